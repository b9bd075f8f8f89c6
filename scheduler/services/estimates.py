"""EstimateService: how good the venue's estimates are."""

from typing import Any

from palaestra.v1 import estimate_pb2, estimate_service_pb2, estimate_service_pb2_grpc
from scheduler import answers, reading
from scheduler.core import Core


class EstimateService(estimate_service_pb2_grpc.EstimateServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def GetEstimateCalibration(
        self, request: estimate_service_pb2.GetEstimateCalibrationRequest, context: Any
    ) -> estimate_pb2.EstimateCalibration:
        reading.venue_scope(self._core.venue, request.parent)
        return answers.calibration(self._core.calibration())
