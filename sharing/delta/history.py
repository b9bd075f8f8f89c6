"""When the versions of a data set were made: what time travel by time goes by."""

from datetime import UTC, datetime
from typing import NoReturn

from database.keeping import Readers
from database.sql import Connection, Row
from palaestra.errors import PalaestraError
from sharing.database import NothingRecorded, looking
from sharing.errors import NotShared

TIMESTAMP_CHARACTERS = 64

_TIME = """
SELECT v.number, v.create_ns FROM dataset d JOIN dataset_version v ON v.dataset = d.id
WHERE d.vendor = ? AND d.name = ? AND NOT EXISTS (SELECT 1 FROM open_version o WHERE o.version = v.id)
"""


class History:
    """Looks into the catalogue. Safe from any thread."""

    def __init__(self, catalogue: Readers[Connection]) -> None:
        self._catalogue = catalogue

    def made_s(self, data_set: str, version: int) -> int:
        """Return when a version was made, in seconds since 1970. Raises NotShared."""
        row = self._one(data_set, "AND v.number = ?", version)
        return int(row["create_ns"]) // 1_000_000_000

    def at(self, data_set: str, time_s: float) -> int:
        """Return the newest version of a time [s since 1970]. Raises NotShared if there was none yet."""
        found = self._one(data_set, "AND v.create_ns < ? ORDER BY v.number DESC LIMIT 1", _next_ns(time_s))
        return int(found["number"])

    def since(self, data_set: str, time_s: float) -> int:
        """Return the oldest version that was made at a time [s since 1970] or later. Raises NotShared for none."""
        found = self._one(data_set, "AND v.create_ns >= ? ORDER BY v.number LIMIT 1", int(time_s) * 1_000_000_000)
        return int(found["number"])

    def _one(self, data_set: str, condition: str, value: int) -> Row:
        parts = data_set.split("/")
        try:
            with looking():
                row = self._catalogue.reader().execute(_TIME + condition, (parts[1], parts[3], value)).fetchone()
        except NothingRecorded:
            row = None
        if row is None:
            raise NotShared
        found: Row = row
        return found


def _next_ns(time_s: float) -> int:
    """Return the end of a time's second: times are told in whole seconds, and a version is there at the one told."""
    return (int(time_s) + 1) * 1_000_000_000


def time_of(name: str, text: object) -> float:
    """Return the seconds since 1970 of an ISO 8601 text; without a zone it is UTC. Raises INVALID_FIELD."""
    if not isinstance(text, str) or len(text) > TIMESTAMP_CHARACTERS:
        refuse(name, "must be a time such as 2026-01-31T12:00:00Z")
    try:
        found = datetime.fromisoformat(text)
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        refuse(name, "must be a time such as 2026-01-31T12:00:00Z")
    if not 0 <= seconds < 253_402_300_800:
        refuse(name, "must be a time from 1970 to 9999")
    return seconds


def refuse(name: str, why: str) -> NoReturn:
    """Raise INVALID_FIELD for a field of a request."""
    raise PalaestraError("INVALID_FIELD", f"{name}: {why}", metadata={"field": name})
