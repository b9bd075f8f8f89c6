"""Of one vendor's submissions a window is worked on at a time; nobody waits for another vendor's line."""

import asyncio
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.v1 import job_service_pb2, job_service_pb2_grpc
from scheduler.window import SHARED_S, SHARED_SIZE, SIZE, Windows
from tests.scheduler.site import PATIENCE_S, LiveServer, job


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


async def turn() -> None:
    """Let whoever can go on do so."""
    for _ in range(3):
        await asyncio.sleep(0)


class Crowd:
    """Calls of one vendor that are inside until they are told to leave."""

    def __init__(self, windows: Windows, vendor: str) -> None:
        self._windows, self._vendor = windows, vendor
        self.inside: dict[int, int] = {}
        self.waiting: dict[int, asyncio.Task[None]] = {}
        self.let_in: list[int] = []
        self._count = 0

    def come(self, cost: int = 1) -> None:
        number, self._count = self._count, self._count + 1

        async def call() -> None:
            await self._windows.enter(self._vendor, cost)
            del self.waiting[number]
            self.inside[number] = cost
            self.let_in.append(number)

        self.waiting[number] = asyncio.create_task(call())

    def leave(self, number: int) -> None:
        self._windows.leave(self._vendor, self.inside.pop(number))

    def give_up(self, number: int) -> None:
        self.waiting.pop(number).cancel()


def test_so_many_are_inside_and_the_others_follow_in_the_order_in_which_they_came() -> None:
    async def scene() -> None:
        crowd = Crowd(Windows(4, 2), "acme")
        for _ in range(9):
            crowd.come()
        await turn()
        assert list(crowd.inside) == [0, 1, 2, 3]
        for number in (2, 0):
            crowd.leave(number)
        await turn()
        assert crowd.let_in == [0, 1, 2, 3, 4, 5]

    asyncio.run(scene())


def test_a_call_that_costs_more_than_the_window_is_let_in_alone() -> None:
    async def scene() -> None:
        crowd = Crowd(Windows(4, 2), "acme")
        for cost in (1, 9, 1):
            crowd.come(cost)
        await turn()
        assert list(crowd.inside) == [0]
        crowd.leave(0)
        await turn()
        assert list(crowd.inside) == [1]
        crowd.leave(1)
        await turn()
        assert list(crowd.inside) == [2]

    asyncio.run(scene())


def test_nobody_waits_for_anothers_line_and_beside_others_the_window_is_the_small_one() -> None:
    async def scene() -> None:
        clock = Clock()
        windows = Windows(6, 2, clock)
        rival, acme = Crowd(windows, "rival"), Crowd(windows, "acme")
        for _ in range(20):
            rival.come()
        await turn()
        assert len(rival.inside) == 6
        acme.come()
        await turn()
        assert len(acme.inside) == 1
        # Five leave, and one follows: two are as many as there may be now.
        for number in range(5):
            rival.leave(number)
        await turn()
        assert list(rival.inside) == [5, 6]
        acme.leave(0)
        rival.leave(5)
        await turn()
        assert list(rival.inside) == [6, 7]
        # Nobody else has called for a while.
        clock.now_s += SHARED_S
        rival.leave(6)
        await turn()
        assert len(rival.inside) == 6

    asyncio.run(scene())


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(1, 8), st.integers(1, 8))
def test_whatever_comes_goes_and_gives_up_nobody_is_forgotten_and_the_window_holds(
    seed: int, size: int, shared_size: int
) -> None:
    async def scene() -> None:
        choose, clock = random.Random(seed), Clock()
        windows = Windows(size, min(size, shared_size), clock)
        crowds = [Crowd(windows, name) for name in ("acme", "rival")]
        for _ in range(120):
            crowd = choose.choice(crowds)
            deed = choose.random()
            if deed < 0.45:
                crowd.come(choose.randint(1, 5))
            elif deed < 0.75 and crowd.inside:
                crowd.leave(choose.choice(list(crowd.inside)))
            elif deed < 0.9 and crowd.waiting:
                crowd.give_up(choose.choice(list(crowd.waiting)))
            else:
                clock.now_s += choose.random()
            if choose.random() < 0.7:
                await turn()
                for each in crowds:
                    assert sum(each.inside.values()) <= size or len(each.inside) == 1
                    assert each.inside or not each.waiting, "the line stands still"
        for crowd in crowds:
            while crowd.inside or crowd.waiting:
                await turn()
                for number in list(crowd.inside):
                    crowd.leave(number)
        assert not windows._lines, "something of a line is left"

    asyncio.run(scene())


def test_who_is_let_in_and_cancelled_in_one_turn_leaves_his_place_to_the_next() -> None:
    async def scene() -> None:
        windows = Windows(1, 1)
        crowd = Crowd(windows, "acme")
        for _ in range(3):
            crowd.come()
        await turn()
        crowd.leave(0)
        crowd.give_up(1)
        await turn()
        assert list(crowd.inside) == [2]

    asyncio.run(scene())


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path) as server:
        yield server


def test_who_comes_behind_a_rivals_crowd_is_behind_one_window_of_it(live: LiveServer) -> None:
    """The writer is held until all calls are there; the jobs' events then tell in which order it took them."""
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)  # type: ignore[no-untyped-call]
    busy, free = threading.Event(), threading.Event()

    def hold(tx: Any) -> None:
        busy.set()
        free.wait(PATIENCE_S)

    def begin(vendor: str) -> Any:
        request = job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=job())
        return stub.SubmitJob.future(request, timeout=PATIENCE_S, metadata=live.metadata(f"vendor-{vendor}"))

    held = threading.Thread(target=live.run, args=(hold,))
    held.start()
    try:
        assert busy.wait(PATIENCE_S)
        guard = live.server._guard
        crowd = [begin("rival") for _ in range(3 * SIZE)]
        live.until(lambda: guard.running, lambda running: running >= len(crowd))
        own = begin("acme")
        live.until(lambda: guard.running, lambda running: running >= len(crowd) + 1)
    finally:
        free.set()
        held.join()
    place = own.result(PATIENCE_S).sequence
    before = sum(call.result(PATIENCE_S).sequence < place for call in crowd)

    assert SHARED_SIZE < SIZE
    assert 0 < before <= SIZE
