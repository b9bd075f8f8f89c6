"""A vendor over its rate is refused before its message has come, by the same words as after it."""

import asyncio
from typing import Any

import grpc
import pytest

from bench.scheduler_submit import submissions
from palaestra.channel import authorization
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import job_pb2, job_service_pb2
from scheduler.admission import OpenStreams
from scheduler.door import Door
from scheduler.guard import Guard
from scheduler.identity import Identification, Identity, Role
from scheduler.rates import MethodClass, Rate, Rates

PATIENCE_S = 60.0
SUBMIT = "/palaestra.v1.JobService/SubmitJob"
WHO = {
    "a": Identity(Role.VENDOR, "acme"),
    "r": Identity(Role.VENDOR, "rival"),
    "reads": Identity(Role.READER, "rival"),
    "house": Identity(Role.OPERATOR),
}


GOOD = next(submissions("rival"))


class _Known:
    def identify(self, secret: str) -> Identity | None:
        return WHO.get(secret)


class _Live:
    """A door with a guard in front of one method, in the test's loop. The clock stands still: nothing fills again."""

    def __init__(self, rate: Rate) -> None:
        identification = Identification((_Known(),))
        self.rates = Rates(rate)
        self.guard = Guard(identification, OpenStreams(identification), self.rates, now_s=lambda: 1.0)
        self.read = 0
        self.go_on = asyncio.Event()
        self.go_on.set()
        handler: Any = grpc.unary_unary_rpc_method_handler(
            self._submit, self._parsed, lambda message: message.SerializeToString()
        )
        self.guard.add_registered_method_handlers("palaestra.v1.JobService", {"SubmitJob": handler})
        self.door = Door("127.0.0.1:0")

    async def __aenter__(self) -> "_Live":
        await self.door.serve(self.guard)
        self._channel = grpc.aio.insecure_channel(self.door.address)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()
        await self.door.close(0)

    async def _submit(self, request: Any, context: Any) -> job_pb2.Job:
        await self.go_on.wait()
        return job_pb2.Job()

    def _parsed(self, data: bytes) -> Any:
        self.read += 1
        return job_service_pb2.SubmitJobRequest.FromString(data)

    async def call(self, token: str, data: bytes = GOOD, timeout_s: float | None = PATIENCE_S) -> PalaestraError | None:
        """Return why a call is refused, None if it is not."""
        submit: Any = self._channel.unary_unary(SUBMIT)
        call = submit(data, metadata=authorization(token), timeout=timeout_s)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return from_rpc(error)
        return None


def told(error: PalaestraError | None) -> tuple[object, ...]:
    assert error is not None
    return error.reason, error.message, error.metadata, error.retry_after_s


def test_what_is_over_the_rate_is_refused_unread_and_by_the_same_words() -> None:
    async def scene() -> None:
        async with _Live(Rate(per_s=1.0, burst_s=2.0)) as live:
            assert [await live.call("r") for _ in range(2)] == [None, None]
            # Nobody has been refused yet, so that the first one's message is waited for.
            first = await live.call("r")
            assert live.read == 3
            later = [await live.call("r", data) for data in (GOOD, b"\xff\xff\xff", b"x" * 2_000_000)]
            assert live.read == 3
            assert [told(error) for error in later] == [told(first)] * 3
            assert told(first)[0] == "RATE_LIMITED"
            # Others are let in meanwhile.
            assert await live.call("a") is None
            assert live.read == 4

    asyncio.run(scene())


def test_what_is_wrong_besides_is_told_first() -> None:
    async def scene() -> None:
        async with _Live(Rate(per_s=1.0, burst_s=1.0)) as live:
            assert await live.call("r") is None
            assert told(await live.call("r"))[0] == "RATE_LIMITED"
            read = live.read
            reasons = [told(await live.call(who, GOOD, timeout_s))[0] for who, timeout_s in (
                ("nobody", PATIENCE_S), ("reads", PATIENCE_S), ("r", None), ("r", PATIENCE_S),
            )]  # fmt: skip
            assert reasons == ["BAD_TOKEN", "ROLE_DENIED", "DEADLINE_REQUIRED", "RATE_LIMITED"]
            # Of these, only who is nobody's had his message waited for.
            assert live.read == read + 1
            live.guard.drain()
            assert told(await live.call("r"))[0] == "SHUTTING_DOWN"

    asyncio.run(scene())


def test_what_is_under_way_too_much_is_refused_unread_until_it_is_less() -> None:
    async def scene() -> None:
        async with _Live(Rate(under_way_max=1)) as live:
            live.go_on.clear()
            running = asyncio.create_task(live.call("r"))
            async with asyncio.timeout(PATIENCE_S):
                while not live.read:
                    await asyncio.sleep(0)
            assert "under way" in str(told(await live.call("r"))[1])
            read = live.read
            assert "under way" in str(told(await live.call("r"))[1])
            assert live.read == read
            live.go_on.set()
            assert await running is None
            assert await live.call("r") is None

    asyncio.run(scene())


def test_asking_whether_a_call_would_be_refused_takes_nothing_and_tells_what_taking_does() -> None:
    rates = Rates(Rate(per_s=2.0, burst_s=1.0, under_way_max=1))
    assert not rates.flooded(0.0)
    for _ in range(2):
        assert rates.refusal("acme", MethodClass.SUBMIT, 1, 0.0) is None
        rates.take("acme", MethodClass.SUBMIT, 1, 0.0)
    assert not rates.flooded(0.0)
    asked = rates.refusal("acme", MethodClass.SUBMIT, 1, 0.1)
    with pytest.raises(PalaestraError) as caught:
        rates.take("acme", MethodClass.SUBMIT, 1, 0.1)
    assert told(asked) == told(caught.value)
    assert rates.flooded(0.1)
    assert not rates.flooded(10.0)
