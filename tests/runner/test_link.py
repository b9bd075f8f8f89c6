"""A worker's line to the scheduler outlives a restart of it."""

import threading
import time
from concurrent import futures
from typing import Any

import grpc
import pytest

from palaestra.errors import PalaestraError, Unreachable, trailing
from palaestra.v1 import runner_service_pb2, runner_service_pb2_grpc
from runner.link import Link


class Scheduler(runner_service_pb2_grpc.RunnerServiceServicer):
    def __init__(self) -> None:
        self.calls = 0
        self.tokens: list[Any] = []
        # With what the first call is refused.
        self.refusal: PalaestraError | None = None

    def AppendLog(self, request: Any, context: Any) -> Any:
        self.calls += 1
        self.tokens.append(dict(context.invocation_metadata())["authorization"])
        if self.refusal is not None and self.calls == 1:
            context.set_trailing_metadata(trailing(self.refusal))
            context.abort(self.refusal.code, self.refusal.message)
        if not request.lines:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no lines")
        return runner_service_pb2.AppendLogResponse()


def serve(scheduler: Scheduler, port: int = 0) -> tuple[grpc.Server, int]:
    server = grpc.server(futures.ThreadPoolExecutor(2), options=[("grpc.so_reuseport", 0)])
    runner_service_pb2_grpc.add_RunnerServiceServicer_to_server(scheduler, server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server, port


LINE = runner_service_pb2.AppendLogRequest(attempt="a", lines=["x"])


def test_a_call_is_repeated_until_the_scheduler_is_back() -> None:
    scheduler = Scheduler()
    server, port = serve(scheduler)
    link = Link(f"127.0.0.1:{port}", "secret")
    link.call(link.runner.AppendLog, LINE)
    server.stop(None).wait()
    back: list[grpc.Server] = []
    threading.Timer(1.0, lambda: back.append(serve(scheduler, port)[0])).start()
    try:
        link.call(link.runner.AppendLog, LINE)
    finally:
        link.close()
        for found in back:
            found.stop(None).wait()

    assert scheduler.calls == 2
    assert scheduler.tokens == ["Bearer secret"] * 2


@pytest.mark.parametrize("reason", ["DATABASE_BUSY", "DISK_FULL", "DISK_READ_ONLY", "DISK_FAILED", "QUEUE_FULL"])
def test_a_call_is_repeated_while_nothing_can_be_written(reason: str) -> None:
    scheduler = Scheduler()
    scheduler.refusal = PalaestraError(reason, "not now")
    server, port = serve(scheduler)
    link = Link(f"127.0.0.1:{port}", "secret")
    try:
        link.call(link.runner.AppendLog, LINE)
    finally:
        link.close()
        server.stop(None).wait()

    assert scheduler.calls == 2


def test_a_refusal_is_final() -> None:
    scheduler = Scheduler()
    server, port = serve(scheduler)
    link = Link(f"127.0.0.1:{port}", "secret")
    try:
        with pytest.raises(PalaestraError) as refused:
            link.call(link.runner.AppendLog, runner_service_pb2.AppendLogRequest(attempt="a"))
    finally:
        link.close()
        server.stop(None).wait()

    assert not isinstance(refused.value, Unreachable)
    assert scheduler.calls == 1


def test_without_patience_nobody_waits_for_a_scheduler_that_is_away() -> None:
    link = Link("127.0.0.1:1", "secret")
    start_s = time.monotonic()
    try:
        with pytest.raises(Unreachable):
            link.call(link.runner.AppendLog, LINE, patience_s=0.0)
    finally:
        link.close()

    assert time.monotonic() - start_s < 5.0
