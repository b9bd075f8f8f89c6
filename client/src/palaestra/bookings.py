"""Builders for what is held or closed in advance: reservations, of claims from `jobs.claim`, and closures.

Times are datetimes with a time zone.
"""

from collections.abc import Iterable
from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.errors import PalaestraError
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.claim_pb2 import Claim
from palaestra.v1.reservation_pb2 import Reservation

__all__ = ["closure", "reservation"]


def reservation(claim: Claim, start: datetime, end: datetime, *, display_name: str = "") -> Reservation:
    """Return a reservation of a claim from start to end.

    Raises:
        PalaestraError: INVALID_FIELD for a time without time zone.
    """
    spec = Reservation(
        display_name=display_name, claim=claim, start_time=_time("start", start), end_time=_time("end", end)
    )
    # The contract's rule wants a length between 1 s and 7 days here; the venue looks at start and end alone.
    spec.claim.duration.FromSeconds(1)
    length_s = (end - start).total_seconds()
    if 1.0 <= length_s <= 7 * 86_400.0:
        spec.claim.duration.FromTimedelta(end - start)
    return spec


def closure(
    end: datetime,
    *,
    start: datetime | None = None,
    rrule: str = "",
    units: Iterable[str] = (),
    cells: Iterable[str] = (),
    zones: Iterable[str] = (),
    stop_running: bool = False,
    display_name: str = "",
) -> Closure:
    """Return a closure of units, cells and zones, or of the whole venue if none are named.

    Args:
        end: Of the first occurrence, if it recurs.
        start: None for now.
        rrule: When it recurs, by RFC 5545, in the venue's time zone.
        units, cells: Names, or their last parts.
        zones: Zones of the venue file.
        stop_running: End what runs there when it begins, instead of letting it end.
        display_name: Why; every vendor reads it.

    Raises:
        PalaestraError: INVALID_FIELD for a time without time zone.
    """
    return Closure(
        display_name=display_name,
        start_time=None if start is None else _time("start", start),
        end_time=_time("end", end),
        rrule=rrule,
        units=units,
        cells=cells,
        zones=zones,
        stop_running=stop_running,
    )


def _time(name: str, value: datetime) -> Timestamp:
    if value.tzinfo is None:
        raise PalaestraError("INVALID_FIELD", f"{name} {value} has no time zone", metadata={"field": name})
    time = Timestamp()
    time.FromDatetime(value)
    return time
