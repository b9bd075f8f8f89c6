"""ReservationService: vendors hold claims in advance."""

from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import reservation_pb2, reservation_service_pb2, reservation_service_pb2_grpc
from scheduler import names, reading, resources
from scheduler.commands import reserving
from scheduler.core import Core
from scheduler.guard import caller


class ReservationService(reservation_service_pb2_grpc.ReservationServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def CreateReservation(
        self, request: reservation_service_pb2.CreateReservationRequest, context: Any
    ) -> reservation_pb2.Reservation:
        vendor = request.parent.split("/")[1]
        if vendor != caller().vendor:
            raise PalaestraError("NOT_FOUND", f"{request.parent} not found")
        reading.whole_vendor_scope(caller())
        return await self._core.run(reserving.reserve(vendor, request, self._core.bounds))

    async def GetReservation(
        self, request: reservation_service_pb2.GetReservationRequest, context: Any
    ) -> reservation_pb2.Reservation:
        return self._reservation(request.name)

    async def ListReservations(
        self, request: reservation_service_pb2.ListReservationsRequest, context: Any
    ) -> reservation_service_pb2.ListReservationsResponse:
        core = self._core
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        scope = ("reservations", request.parent, caller().vendor, str(request.show_ended))
        page = core.pager.page(request.page_token, request.page_size, scope)
        where: list[tuple[str, object]] = [] if request.show_ended else [("r.state IN (1, 2) AND ? = 1", 1)]
        rows = reading.page(core.read, resources.RESERVATIONS, "reservation", caller(), vendor, page, where)
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        found = [resources.reservation(row) for row in shown]
        return reservation_service_pb2.ListReservationsResponse(reservations=found, next_page_token=token)

    async def CancelReservation(
        self, request: reservation_service_pb2.CancelReservationRequest, context: Any
    ) -> reservation_pb2.Reservation:
        self._reservation(request.name)
        vendor, uid = names.parts(request.name)
        await self._core.run(reserving.cancel(vendor, uid, request.etag))
        return self._reservation(request.name)

    def _reservation(self, name: str) -> reservation_pb2.Reservation:
        row = reading.find(self._core.read, "reservation", caller(), name, resources.RESERVATIONS)
        return resources.reservation(row)
