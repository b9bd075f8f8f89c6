"""FleetService: operators care for units over their lives."""

from typing import Any

from palaestra.v1 import fleet_service_pb2, fleet_service_pb2_grpc, venue_pb2
from scheduler.commands import tending
from scheduler.core import Core
from scheduler.services.venue import unit_of


class FleetService(fleet_service_pb2_grpc.FleetServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def SetUnitHealth(self, request: fleet_service_pb2.SetUnitHealthRequest, context: Any) -> venue_pb2.Unit:
        await self._core.run(tending.set_health(self._core.venue, request))
        return unit_of(self._core, request.name)

    async def CalibrateUnit(self, request: fleet_service_pb2.CalibrateUnitRequest, context: Any) -> venue_pb2.Unit:
        await self._core.run(tending.calibrate(self._core.venue, request))
        return unit_of(self._core, request.name)
