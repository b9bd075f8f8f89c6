"""Whether this process serves, for those who ask (gRPC's health checking protocol, grpc.health.v1).

Not grpcio's own servicer: there the end of one watcher makes all others of the service miss every change
(grpcio-health-checking 1.81, `_async.py`), and clients go by such watches to the one that leads.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING
_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Serving(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # grpcio-health-checking has no types
    """The state of the process as a whole, service ""; for its event loop's thread."""

    def __init__(self) -> None:
        self._status = NOT_SERVING
        self._changed = asyncio.Event()

    def tell(self, status: int) -> None:
        """Tell those who watch, and answer so from now on."""
        self._status = status
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:
        if request.service:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service[:100]!r} to ask for")
        return health_pb2.HealthCheckResponse(status=self._status)

    async def Watch(
        self, request: health_pb2.HealthCheckRequest, context: Any
    ) -> AsyncIterator[health_pb2.HealthCheckResponse]:
        while True:
            changed = self._changed
            # As the protocol asks: not an error, for the service may come to be.
            yield health_pb2.HealthCheckResponse(status=_UNKNOWN if request.service else self._status)
            await changed.wait()
