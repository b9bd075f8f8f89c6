"""The latest events, read from the database once for all who watch.

Who watches is woken by every commit. What is new is read then by the first who asks, and put into bytes once for all
readers who may see the same of it; a watcher that falls behind what is kept here reads for itself.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence

from palaestra.v1 import venue_service_pb2
from scheduler import encoding, resources
from scheduler.hub import Hub
from scheduler.identity import Identity
from scheduler.sql import Connection, Row

KEPT = 4_096
# Of the events' bodies, and of what was made of them for readers: a job may have 64 KiB.
KEPT_BYTES = 16 * 1024 * 1024
# New events that are read without a look at how long they are.
FEW = 64
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
        self._rows_bytes = self._entries_bytes = 0

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
            found = encoding.length_delimited(_EVENTS, resources.event_bytes(row, reader))
            if len(self._entries) >= KEPT or self._entries_bytes + len(found) > KEPT_BYTES:
                self._entries.clear()
                self._entries_bytes = 0
            self._entries[key] = found
            self._entries_bytes += len(found)
        return found

    def _follow(self) -> None:
        upto = self._hub.sequence
        if upto <= self._upto:
            return
        after = self._upto if upto - self._upto <= FEW else self._fits_after(upto)
        if after > self._upto:
            # What lies between these and those of before is passed over.
            self._rows.clear()
            self._rows_bytes, self._after = 0, after
        query = "SELECT * FROM event WHERE seq > ? AND seq <= ? ORDER BY seq"
        for row in self._db.execute(query, (after, upto)).fetchall():
            self._rows.append(row)
            self._rows_bytes += len(row["body"])
        while len(self._rows) > KEPT or self._rows_bytes > KEPT_BYTES:
            row = self._rows.popleft()
            self._rows_bytes -= len(row["body"])
            self._after = row["seq"]
        self._upto = upto

    def _fits_after(self, upto: int) -> int:
        """Return the sequence number after which the new events are no more than is kept."""
        query = "SELECT seq, length(body) AS bytes FROM event WHERE seq > ? AND seq <= ? ORDER BY seq DESC LIMIT ?"
        left = KEPT_BYTES
        for count, row in enumerate(self._db.execute(query, (self._upto, upto, KEPT + 1)).fetchall()):
            left -= row["bytes"]
            if count == KEPT or left < 0:
                found: int = row["seq"]
                return found
        return self._upto


def _sequence(row: Row) -> int:
    found: int = row["seq"]
    return found
