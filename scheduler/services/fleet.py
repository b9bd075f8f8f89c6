"""FleetService: operators care for units over their lives."""

from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import fleet_service_pb2, fleet_service_pb2_grpc, venue_pb2
from scheduler import names, reading
from scheduler.commands import stopping, tending
from scheduler.core import Core
from scheduler.services.venue import unit_of


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def SetUnitHealth(self, request: fleet_service_pb2.SetUnitHealthRequest, context: Any) -> venue_pb2.Unit:
        await self._core.run(tending.set_health(self._core.venue, request))
        return unit_of(self._core, request.name)

    async def StopCell(
        self, request: fleet_service_pb2.StopCellRequest, context: Any
    ) -> fleet_service_pb2.StopUnitsResponse:
        venue, cell = names.parts(request.name)
        if venue != self._core.venue:
            raise PalaestraError("NOT_FOUND", f"{request.name} not found")
        return self._stopped(await self._core.run(stopping.stop_cell(cell, request.reason), urgent=True))

    async def StopVenue(
        self, request: fleet_service_pb2.StopVenueRequest, context: Any
    ) -> fleet_service_pb2.StopUnitsResponse:
        reading.venue_scope(self._core.venue, request.name)
        return self._stopped(await self._core.run(stopping.stop_venue(request.reason), urgent=True))

    def _stopped(self, units: list[str]) -> fleet_service_pb2.StopUnitsResponse:
        return fleet_service_pb2.StopUnitsResponse(units=[names.unit(self._core.venue, unit) for unit in units])

    async def CalibrateUnit(self, request: fleet_service_pb2.CalibrateUnitRequest, context: Any) -> venue_pb2.Unit:
        await self._core.run(tending.calibrate(self._core.venue, request))
        return unit_of(self._core, request.name)
