"""When places are closed, what is booked in advance, and which zones are exclusive."""

import json
import sqlite3
from collections import Counter, defaultdict
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from palaestra.v1 import reservation_pb2
from scheduler import calendar
from scheduler.booking import held_by_part
from scheduler.calendar import DAY_NS, Scope, Window
from scheduler.snapshot.places import units
from scheduler.snapshot.queue import claim_of
from scheduler.state import Booking, Claim, Closure, Unit

# How far deciding looks: twice the longest claim.
HORIZON_DAYS = 14


def time_zone(db: sqlite3.Connection) -> ZoneInfo:
    """Return the venue's time zone."""
    return ZoneInfo(db.execute("SELECT time_zone FROM venue").fetchone()[0])


def exclusive_zones(db: sqlite3.Connection) -> frozenset[str]:
    """Return the zones whose cells must not run at once."""
    return frozenset(row["id"] for row in db.execute("SELECT id FROM zone WHERE exclusive"))


def closures(db: sqlite3.Connection, now_ns: int, days: int = HORIZON_DAYS) -> tuple[Closure, ...]:
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


def stopping(db: sqlite3.Connection, now_ns: int) -> bool:
    """Return whether something that runs may have to stop now: a closure is in force that ends what runs there."""
    told = db.execute(
        """
        SELECT (EXISTS (SELECT 1 FROM calendar_window WHERE stop_running) OR EXISTS (SELECT 1 FROM closure
            WHERE stop_running AND start_ns <= :now AND (end_ns > :now OR rrule != '')))
          AND EXISTS (SELECT 1 FROM attempt WHERE state IN (1, 2) AND cancel_ns IS NULL AND preempt_ns IS NULL)
        """,
        {"now": now_ns},
    ).fetchone()[0]
    return bool(told) and any(c.stop_running and c.start_ns <= now_ns < c.end_ns for c in closures(db, now_ns))


def _once(row: sqlite3.Row) -> Closure:
    scope = scope_of(row["scope"])
    places = (scope.units, scope.cells, scope.zones, scope.venue)
    return Closure(row["start_ns"], row["end_ns"], *places, stop_running=bool(row["stop_running"]))


def windows(db: sqlite3.Connection, zone: ZoneInfo) -> tuple[Window, ...]:
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


def bookings(db: sqlite3.Connection, now_ns: int) -> tuple[Booking, ...]:
    """Return the reservations that are not over, in the order in which they were accepted."""
    rows = db.execute(
        "SELECT * FROM reservation WHERE state IN (1, 2) AND end_ns > ? ORDER BY id", (now_ns,)
    ).fetchall()
    if not rows:
        return ()
    held = _held(db)
    found = []
    for row in rows:
        claim = booked_claim(row["spec"], row["start_ns"], row["end_ns"])
        own = held.get(row["id"])
        parts = held_by_part(claim, own.units, **own.counts) if own else ()
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
        self.units: list[Unit] = []
        self.counts: Counter[str] = Counter()


def _held(db: sqlite3.Connection) -> dict[int, _Held]:
    """Return what is held by reservation."""
    leases = """
    SELECT rj.reservation_id, {what} FROM reservation_job rj JOIN lease l ON l.job_id = rj.job_id {join}
    WHERE l.state IN (1, 2, 3, 5)
    """
    part = "JOIN lease_{0} x ON x.lease_id = l.id AND x.free_ns IS NULL"
    found: defaultdict[int, _Held] = defaultdict(_Held)
    leased = db.execute(leases.format(what="x.unit", join=part.format("unit"))).fetchall()
    if leased:
        by_name = {unit.unit: unit for unit in units(db)}
        for row in leased:
            found[row["reservation_id"]].units.append(by_name[row["unit"]])
    for thing in ("slot", "cell"):
        for row in db.execute(leases.format(what="1", join=part.format(thing))):
            found[row["reservation_id"]].counts[f"{thing}s"] += 1
    for row in db.execute(leases.format(what="l.seats, l.chargers", join="")):
        found[row["reservation_id"]].counts.update(seats=row["seats"], chargers=row["chargers"])
    return dict(found)


@lru_cache(maxsize=1024)
def scope_of(text: str) -> Scope:
    """Return a scope as the database keeps it."""
    names = json.loads(text)
    return Scope(*(frozenset(names.get(key, ())) for key in ("units", "cells", "zones")))
