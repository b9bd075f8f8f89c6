"""Live events: resume, fan-out, slow readers, and the end."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import httpx
import pytest

from api.fanout import Feed, Ring, frames
from api.settings import Settings
from api.upstream import Upstream
from palaestra.v1 import event_pb2, job_pb2, venue_service_pb2
from tests.api.scheduler_double import TOKENS


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, ring_events=64, ring_bytes=1 << 20, stall_s=2.0)


@pytest.fixture
def stage(new_stage: Any) -> Any:
    return new_stage


class Reader:
    """Reads a stream in a thread and keeps what came."""

    def __init__(self, client: httpx.Client, path: str = "/v1/events", **headers: str) -> None:
        self.frames: list[tuple[str, int, dict[str, Any]]] = []
        self.ended = threading.Event()
        self._opened = threading.Event()
        self.status = 0
        self._stop = False
        self._thread = threading.Thread(target=self._read, args=(client, path, headers), daemon=True)
        self._thread.start()
        assert self._opened.wait(20)

    def _read(self, client: httpx.Client, path: str, headers: dict[str, str]) -> None:
        try:
            with client.stream("GET", path, headers=headers) as response:
                self.status = response.status_code
                kind, number = "", -1
                for line in response.iter_lines():
                    name, _, value = line.partition(": ")
                    if name == "id":
                        number = int(value)
                    elif name == "event":
                        kind = value
                    elif name == "data":
                        self.frames.append((kind, number, json.loads(value)))
                        self._opened.set()
                        number = -1
                    if self._stop:
                        return
        except httpx.TransportError:
            pass
        finally:
            self._opened.set()
            self.ended.set()

    def stop(self) -> None:
        """Leave at the next line, which a heartbeat brings."""
        self._stop = True
        self.ended.wait(20)

    def numbers(self) -> list[int]:
        return [number for kind, number, _ in self.frames if kind == "change"]

    def kinds(self) -> list[str]:
        return [kind for kind, _, _ in self.frames]


def put_jobs(stage: Any, count: int, *, vendor: str = "acme", padding: int = 0) -> None:
    def put(state: Any) -> None:
        for _ in range(count):
            number = state.sequence + 1
            labels = {"padding": "x" * padding}
            state.put_job(job_pb2.Job(name=f"vendors/{vendor}/jobs/job-{number}", labels=labels))

    stage.do(put)


def test_a_change_reaches_everybody_who_may_see_it_and_nobody_else(stage: Any) -> None:
    acme, rival, operator = (Reader(stage.client(f"{who}-token")) for who in ("acme", "rival", "operator"))

    put_jobs(stage, 1, vendor="rival")
    put_jobs(stage, 1, vendor="acme")

    stage.wait_for(lambda: acme.numbers() == [2] and rival.numbers() == [1], "each vendor sees its own")
    stage.wait_for(lambda: operator.numbers() == [1, 2], "the operator sees both")


def test_a_client_that_returns_gets_exactly_what_it_missed(stage: Any) -> None:
    """Cut after three events; five happen meanwhile; the resumed stream has those five and the later ones."""
    first = Reader(stage.client("acme-token"))
    put_jobs(stage, 3)
    stage.wait_for(lambda: first.numbers() == [1, 2, 3], "the first three")
    first.stop()
    put_jobs(stage, 5)

    again = Reader(stage.client("acme-token"), **{"Last-Event-ID": "3"})
    put_jobs(stage, 2)

    stage.wait_for(lambda: len(again.numbers()) == 7, "the missed and the new")
    assert again.numbers() == [4, 5, 6, 7, 8, 9, 10]


class Watches:
    """An upstream with two watches that a test leads: the feed's own (the first one opened), then the client's."""

    def __init__(self) -> None:
        self.opened: list[asyncio.Queue[int]] = []

    async def stream(self, *_: Any, **__: Any) -> AsyncGenerator[venue_service_pb2.WatchEventsResponse, None]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        self.opened.append(queue)
        while True:
            upto = await queue.get()
            events = [event_pb2.Event(sequence=number) for number in range(1, upto + 1)]
            yield venue_service_pb2.WatchEventsResponse(events=events, sequence=upto)


def numbers_in(pieces: list[bytes]) -> list[int]:
    lines = b"".join(pieces).decode().split("\n")
    return [int(line[4:]) for line, kind in pairwise(lines) if kind == "event: change"]


def led(act: Callable[[Watches, Feed, list[bytes]], Any]) -> list[bytes]:
    """Return what a client that resumes at 0 is sent over a ring at 3 while `act` leads."""

    async def run() -> list[bytes]:
        watches = Watches()
        ring = Ring(head=3, most_events=64, most_bytes=1 << 20)
        feed = Feed(cast(Upstream, watches), "token", ring)
        sent: list[bytes] = []

        async def read() -> None:
            # Not a comprehension, which would keep back what has come until the end.
            async for piece in frames(cast(Upstream, watches), feed, "token", after=0, heartbeat_s=0.01):
                sent.append(piece)  # noqa: PERF401

        while not watches.opened:
            await asyncio.sleep(0)
        reading = asyncio.create_task(read())
        while len(watches.opened) < 2:
            await asyncio.sleep(0)
        await act(watches, feed, sent)
        feed.close()
        await reading
        return sent

    return asyncio.run(run())


async def heartbeats(sent: list[bytes]) -> None:
    """Return after the client has had two heartbeats more, at which it has had all that there is."""
    for _ in range(2):
        before = len(sent)
        while len(sent) == before:
            await asyncio.sleep(0.001)


def test_what_a_clients_own_watch_brought_before_the_ring_had_it_does_not_come_again() -> None:
    async def act(watches: Watches, feed: Feed, sent: list[bytes]) -> None:
        watches.opened[1].put_nowait(5)
        await heartbeats(sent)
        watches.opened[0].put_nowait(6)
        await heartbeats(sent)

    assert numbers_in(led(act)) == [1, 2, 3, 4, 5, 6]


def test_a_client_ahead_of_a_ring_that_starts_again_is_told_to_read_everything_again() -> None:
    """The scheduler's history was restored: its latest event is older than the client's last one."""

    async def act(watches: Watches, feed: Feed, sent: list[bytes]) -> None:
        watches.opened[1].put_nowait(9)
        await heartbeats(sent)
        feed.ring.forget(6)
        await heartbeats(sent)
        watches.opened[0].put_nowait(7)
        await heartbeats(sent)

    sent = led(act)

    assert b"id: 6\nevent: resync" in b"".join(sent)
    assert numbers_in(sent) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 7]


def test_events_older_than_the_ring_are_fetched_from_the_scheduler(stage: Any) -> None:
    """Another client keeps the feed alive, whose ring of 64 has long dropped the first of 200 events."""
    other = Reader(stage.client("acme-token"))
    for _ in range(10):
        put_jobs(stage, 20)
        stage.wait_for(lambda: other.frames[-1][1] == stage.scheduler.state.sequence, "the batch")

    late = Reader(stage.client("acme-token"), "/v1/events?after=5")

    stage.wait_for(lambda: len(late.numbers()) == 195, "all of them")
    assert late.numbers() == list(range(6, 201))
    assert "resync" not in late.kinds()


def test_a_thousand_events_come_in_order_without_gap_or_double(stage: Any) -> None:
    reader = Reader(stage.client("operator-token"))
    for _ in range(50):
        put_jobs(stage, 20)
        stage.wait_for(lambda: reader.frames[-1][1] == stage.scheduler.state.sequence, "the batch")

    assert reader.numbers() == list(range(1, 1001))


@pytest.mark.parametrize("oldest_kept", [50, 0])
def test_what_cannot_be_resumed_is_a_resync(stage: Any, oldest_kept: int) -> None:
    """Too old for the scheduler, or from a future that it does not know."""
    put_jobs(stage, 60)
    stage.do(lambda state: setattr(state, "oldest_kept", oldest_kept))

    reader = Reader(stage.client("acme-token"), "/v1/events?after=" + ("3" if oldest_kept else "999"))

    stage.wait_for(lambda: "resync" in reader.kinds(), "resync")
    assert ("resync", 60, {}) in reader.frames
    put_jobs(stage, 1)
    stage.wait_for(lambda: reader.numbers() == [61], "and it goes on")


def test_clients_with_one_token_share_one_watch_that_ends_with_the_last(stage: Any) -> None:
    readers = [Reader(stage.client("acme-token")) for _ in range(5)]
    put_jobs(stage, 1)
    stage.wait_for(lambda: all(reader.numbers() == [1] for reader in readers), "all have it")

    assert stage.scheduler.state.watches == 1
    for reader in readers:
        reader.stop()
    stage.wait_for(lambda: stage.scheduler.state.watches == 0, "the watch ends")


def test_a_restarted_scheduler_is_found_again_and_nothing_is_missed(stage: Any) -> None:
    reader = Reader(stage.client("acme-token"))
    put_jobs(stage, 2)
    stage.wait_for(lambda: reader.numbers() == [1, 2], "before")

    stage.stop_scheduler()
    stage.wait_for(lambda: ("upstream", -1, {"connected": False}) in reader.frames, "the cut is shown")
    put_jobs(stage, 3)
    stage.start_scheduler()

    stage.wait_for(lambda: reader.numbers() == [1, 2, 3, 4, 5], "after")
    assert ("upstream", -1, {"connected": True}) in reader.frames


def test_a_reader_that_takes_nothing_is_told_to_resync_or_let_go_and_holds_up_nobody(stage: Any) -> None:
    """A socket that never reads, next to one that does: the reader gets all, the feed's memory stays bounded."""
    stalled = socket.create_connection(("127.0.0.1", stage.settings.port))
    stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    stalled.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer acme-token\r\n\r\n")
    reader = Reader(stage.client("acme-token"))
    fanout = stage.server.config.app.state.fanout
    sent = 0
    for _ in range(40):
        put_jobs(stage, 10, padding=40_000)
        sent += 10
        stage.wait_for(lambda: reader.frames[-1][1] == stage.scheduler.state.sequence, "the reader keeps up")
        (feed,) = fanout._feeds.values()
        assert feed.ring.size_bytes <= stage.settings.ring_bytes

    assert len(reader.numbers()) == sent
    assert fanout._streams == 2
    stage.wait_for(lambda: fanout._streams == 1, "the stalled one is let go")
    stalled.close()


def test_a_quiet_stream_is_kept_alive(stage: Any) -> None:
    with stage.client("acme-token").stream("GET", "/v1/events") as response:
        lines = response.iter_lines()

        assert response.headers["content-type"].startswith("text/event-stream")
        assert any(line.startswith(": alive") for line in lines)


def test_the_number_of_streams_is_bounded(stage: Any) -> None:
    stage.server.config.app.state.fanout._streams = stage.settings.streams
    try:
        response = stage.client("acme-token").get("/v1/events")
    finally:
        stage.server.config.app.state.fanout._streams = 0

    assert response.status_code == 429
    assert int(response.headers["retry-after"]) > 0


@pytest.mark.parametrize("after", ["-1", "x", "1e3", "9" * 30, "\u0663"])
def test_a_malformed_cursor_is_refused(stage: Any, after: str) -> None:
    response = stage.client("acme-token").get("/v1/events", params={"after": after})

    assert (response.status_code, response.json()["reason"]) == (400, "INVALID_FIELD")


def test_a_stranger_gets_401_and_no_stream(stage: Any) -> None:
    assert stage.client("nobody").get("/v1/events").status_code == 401


def test_an_open_stream_does_not_hold_up_the_stop(stage: Any) -> None:
    """The stream ends in order, long before its 60 s of heartbeat or the server's own limit would end it."""
    reader = Reader(stage.client("acme-token"))

    stage.server.should_exit = True

    assert reader.ended.wait(20)
    stage.wait_for(lambda: not stage.server.server_state.tasks, "nothing is left")


def test_the_ring_keeps_the_latest_and_knows_what_it_lost() -> None:
    ring = Ring(head=10, most_events=3, most_bytes=100)
    for sequence in (11, 13, 14, 20):
        ring.append(sequence, b"%d" % sequence)
    ring.advance(25)

    assert ring.after(10) is None
    assert ring.after(11) == [(13, b"13"), (14, b"14"), (20, b"20")]
    assert ring.after(14) == [(20, b"20")]
    assert ring.after(25) == []
    ring.append(26, b"x" * 99)
    assert ring.after(25) == [(26, b"x" * 99)]
    assert ring.floor == 20
    ring.forget(30)
    assert ring.after(26) is None
    assert ring.after(30) == []


def test_a_token_that_may_watch_no_longer_ends_its_streams(stage: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken back while a stream is open: noticed at the next contact with the scheduler, and not retried."""
    reader = Reader(stage.client("acme-token"))
    stage.stop_scheduler()
    monkeypatch.delitem(TOKENS, "acme-token")
    stage.start_scheduler()

    assert reader.ended.wait(30)
    assert stage.client("acme-token").get("/v1/events").status_code == 401


def test_a_feed_whose_place_in_the_history_is_gone_tells_its_clients(stage: Any) -> None:
    """The scheduler was away so long that it no longer keeps what the feed missed."""
    reader = Reader(stage.client("acme-token"))
    put_jobs(stage, 1)
    stage.wait_for(lambda: reader.numbers() == [1], "the first")
    stage.stop_scheduler()
    put_jobs(stage, 50)
    stage.do(lambda state: setattr(state, "oldest_kept", 40))
    stage.start_scheduler()

    stage.wait_for(lambda: ("resync", 51, {}) in reader.frames, "resync")
    put_jobs(stage, 1)
    stage.wait_for(lambda: reader.numbers() == [1, 52], "and it goes on")
