"""Live events: one upstream watch for each distinct token, one shared ring of encoded events, a cursor per client.

A client has no queue of its own. It reads the ring from its cursor at its own speed; when it falls behind the ring's
oldest event it is told to read everything again (`resync`). So a slow client costs one cursor, and memory is bounded
by the ring alone. Every event is encoded once for all clients that may see it, which are those with the same token.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing

from api.message import encode
from api.settings import Settings
from api.upstream import Upstream
from palaestra.errors import OUTAGES, PalaestraError
from palaestra.v1 import event_pb2, venue_service_pb2

_log = logging.getLogger("api")
# A client that catches up gets the ring in pieces, so that no copy of the whole ring waits in its socket.
_PIECE_BYTES = 64 << 10
_FINAL = frozenset({"BAD_TOKEN", "ROLE_DENIED", "KEY_EXPIRED", "KEY_REVOKED", "CERTIFICATE_REFUSED", "SCOPE_DENIED"})


def frame(kind: str, data: bytes, sequence: int | None = None) -> bytes:
    """Return one server-sent event. `data` is JSON on one line."""
    head = f"id: {sequence}\n" if sequence is not None else ""
    return f"{head}event: {kind}\ndata: ".encode() + data + b"\n\n"


def change(event: event_pb2.Event) -> bytes:
    """Return a committed change as a server-sent event that a client can resume from."""
    return frame("change", encode(event), event.sequence)


class Ring:
    """The latest encoded events, bounded by count and bytes.

    Everything with a sequence number in (floor, head] that the token may see is in the ring.
    """

    def __init__(self, *, head: int, most_events: int, most_bytes: int) -> None:
        self.floor = head
        self.head = head
        # How many times it has started again: who has read before has to read everything anew.
        self.renewals = 0
        self.size_bytes = 0
        self._most_events = most_events
        self._most_bytes = most_bytes
        self._events: deque[tuple[int, bytes]] = deque()

    def append(self, sequence: int, encoded: bytes) -> None:
        """Add the next event; the oldest ones make room."""
        assert sequence > self.head, f"event {sequence} after {self.head}"
        self._events.append((sequence, encoded))
        self.head = sequence
        self.size_bytes += len(encoded)
        while len(self._events) > self._most_events or self.size_bytes > self._most_bytes:
            self.floor, dropped = self._events.popleft()
            self.size_bytes -= len(dropped)

    def advance(self, sequence: int) -> None:
        """Note that there is nothing for this token up to `sequence`."""
        self.head = max(self.head, sequence)

    def forget(self, head: int) -> None:
        """Start again at `head`: what lies between is lost, and every client has to read again."""
        self._events.clear()
        self.renewals += 1
        self.size_bytes = 0
        self.floor = self.head = head

    def after(self, cursor: int) -> list[tuple[int, bytes]] | None:
        """Return (sequence, event) after a cursor in order, None where some of them are gone."""
        if cursor < self.floor:
            return None
        found = []
        for entry in reversed(self._events):
            if entry[0] <= cursor:
                break
            found.append(entry)
        return found[::-1]


class Feed:
    """The watch of one token: keeps the ring filled and wakes the clients."""

    def __init__(self, upstream: Upstream, token: str, ring: Ring) -> None:
        self.ring = ring
        self.connected = True
        self.closed = False
        self.clients = 0
        self._upstream = upstream
        self._token = token
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._follow())

    async def wait(self, timeout_s: float) -> bool:
        """Return True when something changed, False after the time."""
        done, _ = await asyncio.wait({self._changed}, timeout=timeout_s)
        return bool(done)

    def close(self) -> None:
        """End the watch and let every client go."""
        self.closed = True
        self._task.cancel()
        self._wake()

    async def _follow(self) -> None:
        try:
            await self._follow_forever()
        except PalaestraError as error:
            _log.info("a token may watch no longer: %s", error)
        except Exception:
            _log.exception("defect in an event feed")
        self.closed = True
        self._wake()

    async def _follow_forever(self) -> None:
        """Watch, and watch again after a break. Raises PalaestraError once the token may not."""
        pause_s = 0.2
        while True:
            try:
                async with aclosing(self._watch(self.ring.head)) as responses:
                    async for response in responses:
                        self._set_connected(True)
                        pause_s = 0.2
                        self._take(response)
            except PalaestraError as error:
                if error.reason in _FINAL:
                    raise
                _log.warning("event watch broke: %s", error)
                self._set_connected(False)
                if error.reason == "EVENTS_TOO_OLD":
                    await self._start_again()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 2.0)

    async def _start_again(self) -> None:
        """Go on from the present; the clients are told to read everything again."""
        try:
            self.ring.forget(await head_of(self._upstream, self._token))
        except PalaestraError as error:
            if error.reason not in OUTAGES:
                raise
        else:
            self._wake()

    def _watch(self, after: int) -> AsyncGenerator[venue_service_pb2.WatchEventsResponse, None]:
        request = venue_service_pb2.WatchEventsRequest(after_sequence=after)
        return self._upstream.stream("VenueService.WatchEvents", request, token=self._token)

    def _take(self, response: venue_service_pb2.WatchEventsResponse) -> None:
        fresh = [event for event in response.events if event.sequence > self.ring.head]
        for event in fresh:
            self.ring.append(event.sequence, change(event))
        self.ring.advance(response.sequence)
        if fresh:
            self._wake()

    def _set_connected(self, connected: bool) -> None:
        if connected != self.connected:
            self.connected = connected
            self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        if not changed.done():
            changed.set_result(None)


class Fanout:
    """The feeds of all tokens that somebody listens with."""

    def __init__(self, upstream: Upstream, settings: Settings) -> None:
        self._upstream = upstream
        self._settings = settings
        self._feeds: dict[str, Feed] = {}
        self._streams = 0
        self._stopping = False

    @contextlib.asynccontextmanager
    async def feed(self, token: str) -> AsyncIterator[Feed]:
        """Lend the token's feed to one client; the last one to leave ends it.

        Raises BAD_TOKEN before anything is sent, QUEUE_FULL over the limit of streams, SHUTTING_DOWN at the end.
        """
        if self._stopping:
            raise PalaestraError("SHUTTING_DOWN", "the api is stopping", retry_after_s=1)
        if self._streams >= self._settings.streams:
            raise PalaestraError("QUEUE_FULL", f"{self._streams} live streams are open already", retry_after_s=10)
        self._streams += 1
        try:
            feed = await self._join(token)
            try:
                yield feed
            finally:
                feed.clients -= 1
                if feed.clients == 0:
                    feed.close()
                    if self._feeds.get(token) is feed:
                        del self._feeds[token]
        finally:
            self._streams -= 1

    def stop(self) -> None:
        """Let every client go, so that the server can stop."""
        self._stopping = True
        for feed in self._feeds.values():
            feed.close()

    async def _join(self, token: str) -> Feed:
        # Also for a feed that runs: the caller's token may have been revoked since it was opened.
        head = await head_of(self._upstream, token)
        feed = self._feeds.get(token)
        if feed is None or feed.closed:
            limits = self._settings
            ring = Ring(head=head, most_events=limits.ring_events, most_bytes=limits.ring_bytes)
            feed = self._feeds[token] = Feed(self._upstream, token, ring)
        feed.clients += 1
        return feed


async def head_of(upstream: Upstream, token: str) -> int:
    """Return the sequence number of the venue's latest event. Raises PalaestraError."""
    request = venue_service_pb2.GetVenueRequest(name="venues/-")
    return int((await upstream.call("VenueService.GetVenue", request, token=token)).sequence)


async def frames(
    upstream: Upstream, feed: Feed, token: str, *, after: int | None, heartbeat_s: float
) -> AsyncGenerator[bytes, None]:
    """Yield the stream of one client until its feed is closed.

    Without `after` it starts now. Events older than the ring are fetched by a watch of the client's own, until it
    reaches the ring. `resync` tells the client to read everything again; what follows it is complete from there on.
    """
    ring = feed.ring
    renewals = ring.renewals
    cursor = ring.head if after is None else after
    yield b"retry: 1000\n\n" + frame("bookmark", b"{}", min(cursor, ring.head))
    if cursor > ring.head:
        # From another history, such as a database that was restored.
        cursor = -1
    elif cursor < ring.floor:
        try:
            request = venue_service_pb2.WatchEventsRequest(after_sequence=cursor)
            async with aclosing(upstream.stream("VenueService.WatchEvents", request, token=token)) as missed:
                async for response in missed:
                    for event in response.events:
                        yield change(event)
                    cursor = max(cursor, response.sequence)
                    if cursor >= ring.floor or feed.closed:
                        break
        except PalaestraError as error:
            if error.reason in OUTAGES:
                return
            cursor = -1
    connected = True
    marked = cursor
    while not feed.closed:
        fresh = ring.after(cursor) if ring.renewals == renewals else None
        if fresh is None:
            renewals = ring.renewals
            cursor = marked = ring.head
            yield frame("resync", b"{}", cursor)
            continue
        if fresh:
            piece = bytearray()
            for sequence, encoded in fresh:
                piece += encoded
                cursor = marked = sequence
                if len(piece) > _PIECE_BYTES:
                    break
            yield bytes(piece)
            continue
        # What the client's own watch brought may be ahead of the ring, which is not to bring it again.
        cursor = max(cursor, ring.head)
        if feed.connected != connected:
            connected = feed.connected
            yield frame("upstream", b'{"connected":true}' if connected else b'{"connected":false}')
            continue
        if not await feed.wait(heartbeat_s):
            # The bookmark lets a client resume from now even if nothing was for it.
            cursor = max(cursor, ring.head) if ring.after(cursor) == [] else cursor
            yield b": alive\n\n" if marked == cursor else frame("bookmark", b"{}", cursor)
            marked = cursor
