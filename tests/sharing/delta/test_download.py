"""A consumer that reads for ever, and others beside it."""

import asyncio
from contextlib import nullcontext
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from sharing.delta.download import PIECE_BYTES, Download, Slots
from sharing.errors import NotShared
from tests.sharing.delta.ground import whole


class Data:
    """A file of zeros that may be read so many times."""

    def __init__(self, times: int = 1_000) -> None:
        self.times, self.reads = times, 0
        self.noted: list[tuple[int, int]] = []

    def read(self, begin: int, size_bytes: int) -> bytes:
        assert self.noted, "nothing goes out before it was noted"
        self.reads += 1
        if self.reads > self.times:
            raise NotShared
        return bytes(size_bytes)

    def note(self, begin: int, size_bytes: int) -> None:
        self.noted.append((begin, size_bytes))


def download(data: Data, size_bytes: int, slot: Any = None, **bounds: float) -> Download:
    return Download(data, slot or nullcontext(), 0, size_bytes, status=200, headers={}, **bounds)


def test_a_file_is_sent_in_pieces_and_noted_before_the_first() -> None:
    data = Data()
    status, body = asyncio.run(whole(download(data, 3 * PIECE_BYTES + 5)))
    assert (status, len(body), data.reads, data.noted) == (200, 3 * PIECE_BYTES + 5, 4, [(0, 3 * PIECE_BYTES + 5)])


def test_what_is_taken_back_ends_with_the_next_piece() -> None:
    _, body = asyncio.run(whole(download(Data(times=2), 5 * PIECE_BYTES)))
    assert len(body) == 2 * PIECE_BYTES


@pytest.mark.parametrize("bounds", [{"taken_s": 0.05}, {"answer_s": 0.05}])
def test_who_takes_nothing_is_let_go(bounds: dict[str, float]) -> None:
    data = Data()

    async def stalled() -> tuple[int, bytes]:
        # Ends by itself: nobody ever takes a piece.
        return await whole(download(data, 5 * PIECE_BYTES, **bounds), taken=asyncio.Event())

    assert asyncio.run(stalled()) == (200, b"")
    assert data.reads <= 1


def test_who_takes_nothing_would_hold_on_for_ever_without_the_bounds() -> None:
    async def stalled() -> None:
        sending = asyncio.ensure_future(whole(download(Data(), 9, taken_s=1e9, answer_s=1e9), taken=asyncio.Event()))
        await asyncio.wait([sending], timeout=0.2)
        assert not sending.done()
        sending.cancel()

    asyncio.run(stalled())


def test_one_consumer_has_so_many_answers_at_a_time_and_others_are_not_held_up() -> None:
    async def run() -> None:
        slots, taken = Slots(active=2, queued=1), asyncio.Event()
        stuck = [asyncio.ensure_future(whole(download(Data(), 9, slots.one("a")), taken=taken)) for _ in range(3)]
        while "a" not in slots._of or slots._of["a"][1][0] < 3:
            await asyncio.sleep(0)
        with pytest.raises(HTTPException) as refused:
            await whole(download(Data(), 9, slots.one("a")))
        assert refused.value.status_code == 429
        assert await whole(download(Data(), 9, slots.one("b"))) == (200, bytes(9))
        taken.set()
        assert await asyncio.gather(*stuck) == [(200, bytes(9))] * 3
        assert not slots._of

    asyncio.run(run())
