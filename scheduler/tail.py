"""The latest events, read from the database once for all who watch.

Who watches is woken by every commit. What is new is read then by the first who asks, and put into bytes once for all
readers who may see the same of it; a watcher that falls behind what is kept here reads for itself.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from typing import Any

from palaestra.v1 import venue_service_pb2
from scheduler import encoding, resources
from scheduler.hub import Hub
from scheduler.identity import Identity
from scheduler.sql import Connection, Row

KEPT = 4_096
_EVENTS = venue_service_pb2.WatchEventsResponse.DESCRIPTOR.fields_by_name["events"].number


class Tail:
    """For the event loop's thread.

    Args:
        db: A connection that reads.
        hub: Tells what is committed.
    """

    def __init__(self, db: Connection, hub: Hub) -> None:
        self._db = db
        self._hub = hub
        self._rows: deque[Row] = deque()
        # All events after the first and up to the second are here.
        self._after = self._upto = hub.sequence
        self._entries: dict[tuple[int, object], bytes] = {}

    def after(self, sequence: int, limit: int) -> Sequence[Row] | None:
        """Return the events after a sequence number, at most `limit`; None if they must be read from the database."""
        self._follow()
        if sequence < self._after:
            return None
        at = bisect_right(self._rows, sequence, key=_sequence)
        return [self._rows[place] for place in range(at, min(len(self._rows), at + limit))]

    def entry(self, row: Row, reader: Identity) -> bytes:
        """Return an event as a reader may see it, as one of `WatchEventsResponse.events` in bytes."""
        # What is told apart by `resources.event`: the reader's vendor, and whether it sees all or projects alone.
        key = row["seq"], (reader.vendor, reader.role.sees_everybody, bool(reader.projects))
        found = self._entries.get(key)
        if found is None:
            if len(self._entries) >= KEPT:
                self._entries.clear()
            found = encoding.length_delimited(_EVENTS, resources.event_bytes(row, reader))
            self._entries[key] = found
        return found

    def _follow(self) -> None:
        upto = self._hub.sequence
        if upto <= self._upto:
            return
        rows: list[Any] = self._db.execute(
            "SELECT * FROM event WHERE seq > ? AND seq <= ? ORDER BY seq DESC LIMIT ?", (self._upto, upto, KEPT)
        ).fetchall()
        if len(rows) == KEPT:
            self._rows.clear()
            self._after = rows[-1]["seq"] - 1
        self._rows.extend(reversed(rows))
        while len(self._rows) > KEPT:
            self._after = self._rows.popleft()["seq"]
        self._upto = upto


def _sequence(row: Row) -> int:
    found: int = row["seq"]
    return found
