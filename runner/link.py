"""A worker's line to the scheduler: plain calls that outlive a restart of it."""

import random
import time
from collections.abc import Callable
from typing import TypeVar

import grpc

from palaestra.channel import authorization, resuming_options
from palaestra.errors import OUTAGES, from_rpc
from palaestra.tls_files import TlsFiles
from palaestra.v1 import runner_service_pb2_grpc, store_service_pb2_grpc

T = TypeVar("T")
CALL_TIMEOUT_S = 10.0
# Longer than a scheduler takes to come back; all calls repeat safely.
PATIENCE_S = 30.0
PAUSE_FIRST_S = 0.1
PAUSE_MAX_S = 1.0


class Link:
    """One channel, one identity."""

    def __init__(self, address: str, token: str, tls: TlsFiles | None = None) -> None:
        self._channel = (tls or TlsFiles()).channel(address, resuming_options())
        self.runner = runner_service_pb2_grpc.RunnerServiceStub(self._channel)
        self.store = store_service_pb2_grpc.StoreServiceStub(self._channel)
        self.metadata = authorization(token)

    def call(self, method: Callable[..., T], request: object, *, patience_s: float = PATIENCE_S) -> T:
        """Call a method that may be repeated, again and again while nobody answers. Raises PalaestraError."""
        give_up_s = time.monotonic() + patience_s
        pause_s = PAUSE_FIRST_S
        while True:
            try:
                return method(request, timeout=CALL_TIMEOUT_S, metadata=self.metadata)
            except grpc.RpcError as error:
                problem = from_rpc(error)
                if problem.reason not in OUTAGES or time.monotonic() > give_up_s:
                    raise problem from None
            time.sleep(pause_s * random.uniform(0.7, 1.3))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def close(self) -> None:
        self._channel.close()
