"""When places are closed, what is booked in advance, and which zones are exclusive."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from palaestra.v1 import reservation_pb2
from scheduler import calendar
from scheduler.booking import held_by_part
from scheduler.calendar import DAY_NS, Scope, Window
from scheduler.snapshot.leases import leases
from scheduler.snapshot.places import units as read_units
from scheduler.snapshot.queue import claim_of
from scheduler.sql import Connection, Row
from scheduler.state import Booking, Claim, Closure, Lease, Unit

# How far deciding looks: twice the longest claim.
HORIZON_DAYS = 14


def time_zone(db: Connection) -> ZoneInfo:
    """Return the venue's time zone."""
    return ZoneInfo(db.execute("SELECT time_zone FROM venue").fetchone()[0])


def exclusive_zones(db: Connection) -> frozenset[str]:
    """Return the zones whose cells must not run at once."""
    return frozenset(row["id"] for row in db.execute("SELECT id FROM zone WHERE exclusive = 1"))


def closures(db: Connection, now_ns: int, days: int = HORIZON_DAYS) -> tuple[Closure, ...]:
    """Return what is closed now and will be within a number of days, by order of start.

    Nothing is known of the time after: what is closed then is told as closed until then, or a little longer.
    """
    zone = time_zone(db)
    until_ns = now_ns + days * DAY_NS
    rows = db.execute("SELECT * FROM closure WHERE rrule = '' AND end_ns > ? AND start_ns < ?", (now_ns, until_ns))
    found = [_once(row) for row in rows]
    # Rules are expanded from the start of the day, once a day: a cycle only leaves out what is over.
    known = calendar.upcoming(windows(db, zone), zone, now_ns // DAY_NS, days + 1)
    found += [closure for closure in known if closure.end_ns > now_ns and closure.start_ns < until_ns]
    return tuple(sorted(found, key=lambda closure: (closure.start_ns, closure.end_ns)))


def stopping(db: Connection, now_ns: int) -> bool:
    """Return whether something that runs may have to stop now: a closure is in force that ends what runs there."""
    told = db.execute(
        """
        SELECT (EXISTS (SELECT 1 FROM calendar_window WHERE stop_running = 1) OR EXISTS (SELECT 1 FROM closure
            WHERE stop_running = 1 AND start_ns <= :now AND (end_ns > :now OR rrule != '')))
          AND EXISTS (SELECT 1 FROM attempt WHERE state IN (1, 2) AND cancel_ns IS NULL AND preempt_ns IS NULL)
        """,
        {"now": now_ns},
    ).fetchone()[0]
    return bool(told) and any(c.stop_running and c.start_ns <= now_ns < c.end_ns for c in closures(db, now_ns))


def _once(row: Row) -> Closure:
    scope = scope_of(row["scope"])
    places = (scope.units, scope.cells, scope.zones, scope.venue)
    return Closure(row["start_ns"], row["end_ns"], *places, stop_running=bool(row["stop_running"]))


def windows(db: Connection, zone: ZoneInfo) -> tuple[Window, ...]:
    """Return the windows of the venue file and the recurring closures of operators."""
    found = [
        Window(
            row["name"],
            datetime.fromisoformat(row["starts"]),
            datetime.fromisoformat(row["ends"]),
            row["rrule"],
            scope_of(row["scope"]),
            bool(row["opens"]),
            bool(row["stop_running"]),
        )
        for row in db.execute("SELECT * FROM calendar_window ORDER BY id")
    ]
    rows = db.execute("SELECT * FROM closure WHERE rrule != '' ORDER BY id")
    return (*found, *(recurring(row["start_ns"], row["end_ns"], row["rrule"], row["scope"], zone,
                                stop_running=bool(row["stop_running"])) for row in rows))  # fmt: skip


def recurring(
    start_ns: int, end_ns: int, rrule: str, scope: str, zone: ZoneInfo, *, stop_running: bool = False
) -> Window:
    """Return an operator's recurring closure, told by the instants of its first occurrence, as local time."""
    start = calendar.local_time(start_ns, zone)
    end = start + timedelta(seconds=-(-(end_ns - start_ns) // calendar.S_NS))
    return Window("", start, end, rrule, scope_of(scope), stop_running=stop_running)


def bookings(
    db: Connection, now_ns: int, running: Iterable[Lease] | None = None, units: Mapping[str, Unit] | None = None
) -> tuple[Booking, ...]:
    """Return the reservations that are not over, in the order in which they were accepted.

    running, units: The open leases (at least those of reserved jobs) and the units (at least theirs); None: read them.
    """
    rows = db.execute(
        "SELECT * FROM reservation WHERE state IN (1, 2) AND end_ns > ? ORDER BY id", (now_ns,)
    ).fetchall()
    if not rows:
        return ()
    held = _held(leases(db) if running is None else running)
    if units is None:
        names = {name for each in held.values() for name in each.units}
        units = {unit.unit: unit for unit in read_units(db, only=names)}
    found = []
    for row in rows:
        claim = booked_claim(row["spec"], row["start_ns"], row["end_ns"])
        own = held.get(row["uid"])
        parts = held_by_part(claim, [units[name] for name in sorted(own.units)], **own.counts) if own else ()
        found.append(Booking(row["uid"], row["vendor"], claim, row["start_ns"], row["end_ns"], parts))
    return tuple(found)


@lru_cache(maxsize=4096)
def booked_claim(spec: bytes, start_ns: int, end_ns: int) -> Claim:
    """Return the claim of a stored reservation, which lasts as long as the reservation."""
    message = reservation_pb2.Reservation.FromString(spec).claim
    message.duration.FromNanoseconds(end_ns - start_ns)
    return claim_of(message)


class _Held:
    """What open leases of one reservation's jobs hold."""

    def __init__(self) -> None:
        self.units: list[str] = []
        self.counts: Counter[str] = Counter()


def _held(running: Iterable[Lease]) -> dict[str, _Held]:
    """Return what is held by reservation."""
    found: defaultdict[str, _Held] = defaultdict(_Held)
    for lease in running:
        if lease.booking:
            own = found[lease.booking]
            own.units += lease.units
            own.counts.update(
                slots=lease.slots, cells=int(lease.cell is not None), seats=lease.seats, chargers=lease.chargers
            )
    return dict(found)


@lru_cache(maxsize=1024)
def scope_of(text: str) -> Scope:
    """Return a scope as the database keeps it."""
    names = json.loads(text)
    return Scope(*(frozenset(names.get(key, ())) for key in ("units", "cells", "zones")))
