"""The venue's calendar: what the venue file says, and what operators close."""

import hashlib
import json
from collections.abc import Sequence

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import calendar_pb2, calendar_service_pb2
from scheduler import calendar, events, names, resources
from scheduler.calendar import Scope, Window
from scheduler.configuration import Zone
from scheduler.snapshot.closures import recurring, time_zone
from scheduler.snapshot.closures import windows as all_windows
from scheduler.sql import Connection, Row
from scheduler.writer import Command, Transaction

CLOSURES_MAX = 1_000
# A closure that began longer ago is a mistake of typing.
PAST_MAX_S = 86_400.0


def replace(tx: Transaction, zones: Sequence[Zone], windows: Sequence[Window]) -> None:
    """Make zones and windows those of the venue file."""
    db = tx.db
    db.execute("DELETE FROM zone")
    db.executemany("INSERT INTO zone (id, exclusive) VALUES (?, ?)", [(zone.id, zone.exclusive) for zone in zones])
    db.execute("DELETE FROM calendar_window")
    db.executemany(
        """
        INSERT INTO calendar_window (name, opens, starts, ends, rrule, scope, stop_running)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        """,
        [
            (w.name, w.opens, w.start.isoformat(), w.end.isoformat(), w.rrule, scope_text(w.scope), w.stop_running)
            for w in windows
        ],
    )


def close(request: calendar_service_pb2.CreateClosureRequest, venue: str) -> Command[calendar_pb2.Closure]:
    """Return the command that closes something for a time, or returns the closure that its request id made before.

    Raises NOT_FOUND for an unknown place, BAD_CALENDAR for an end before the start or in the past, a rule that is none,
    and a rule that would leave a place closed for ever.
    """

    def command(tx: Transaction) -> calendar_pb2.Closure:
        spec = calendar_pb2.Closure()
        spec.CopyFrom(request.closure)
        for field in ("name", "configured", "create_time"):
            spec.ClearField(field)
        spec.DiscardUnknownFields()
        digest = hashlib.sha256(spec.SerializeToString(deterministic=True)).digest()
        if request.request_id:
            row = tx.db.execute("SELECT * FROM closure WHERE request_id = ?", (request.request_id,)).fetchone()
            if row is not None:
                tx.repeated = True
                return _repeat(row, digest, venue, request.request_id)
        scope = _scope(tx.db, spec, venue)
        start_ns = spec.start_time.ToNanoseconds() if spec.HasField("start_time") else tx.now_ns
        end_ns = spec.end_time.ToNanoseconds()
        _check(tx, start_ns, end_ns, spec.rrule, scope)
        values = (spec.display_name, start_ns, end_ns, spec.rrule, scope_text(scope), int(spec.stop_running))
        if request.validate_only:
            spec.start_time.FromNanoseconds(start_ns)
            return spec
        cursor = tx.db.execute(
            """
            INSERT INTO closure (uid, request_id, request_sha256, display_name, start_ns, end_ns, rrule, scope,
              stop_running, create_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (ids.new_id(), request.request_id or None, digest, *values, tx.now_ns),
        )
        row = tx.db.execute("SELECT * FROM closure WHERE id = ?", (cursor.lastrowid,)).fetchone()
        events.closure_changed(tx, row, "closure.created")
        tx.wants_cycle = True
        return resources.closure(venue, row)

    return command


def reopen(uid: str) -> Command[None]:
    """Return the command that takes an operator's closure back. Raises NOT_FOUND."""

    def command(tx: Transaction) -> None:
        row = tx.db.execute("SELECT * FROM closure WHERE uid = ?", (uid,)).fetchone()
        if row is None:
            raise PalaestraError("NOT_FOUND", f"closure {uid} not found")
        tx.db.execute("DELETE FROM closure WHERE id = ?", (row["id"],))
        events.closure_changed(tx, row, "closure.deleted")
        tx.wants_cycle = True

    return command


def scope_text(scope: Scope) -> str:
    """Return a scope as the database keeps it."""
    lists = {"units": sorted(scope.units), "cells": sorted(scope.cells), "zones": sorted(scope.zones)}
    return json.dumps({key: found for key, found in lists.items() if found})


def _repeat(row: Row, digest: bytes, venue: str, request_id: str) -> calendar_pb2.Closure:
    if row["request_sha256"] != digest:
        raise PalaestraError(
            "REQUEST_ID_REUSED",
            f"request id {request_id} was used for another closure",
            metadata={"request_id": request_id},
        )
    return resources.closure(venue, row)


def _scope(db: Connection, spec: calendar_pb2.Closure, venue: str) -> Scope:
    found: dict[str, set[str]] = {"unit": set(), "cell": set(), "zone": set(spec.zones)}
    for kind, full_names in (("unit", spec.units), ("cell", spec.cells)):
        for name in full_names:
            owner, own = names.parts(name)
            if owner != venue:
                raise PalaestraError("NOT_FOUND", f"{name} not found")
            found[kind].add(own)
    for kind, own_names in found.items():
        known = {row["id"] for row in db.execute(f"SELECT id FROM {kind}")} if own_names else set()
        missing = sorted(own_names - known)
        if missing:
            raise PalaestraError("NOT_FOUND", f"{kind} {missing[0]} not found")
    return Scope(frozenset(found["unit"]), frozenset(found["cell"]), frozenset(found["zone"]))


def _check(tx: Transaction, start_ns: int, end_ns: int, rrule: str, scope: Scope) -> None:
    if end_ns <= start_ns:
        raise PalaestraError("BAD_CALENDAR", "the closure ends before it starts")
    if start_ns < tx.now_ns - int(PAST_MAX_S * 1e9):
        raise PalaestraError("BAD_CALENDAR", "the closure starts in the past, more than a day ago")
    if end_ns <= tx.now_ns and not rrule:
        raise PalaestraError("BAD_CALENDAR", "the closure ends in the past")
    count = tx.db.execute("SELECT count(*) FROM closure WHERE end_ns > ? OR rrule != ''", (tx.now_ns,)).fetchone()[0]
    if count >= CLOSURES_MAX:
        raise PalaestraError("BAD_CALENDAR", f"there are {count} closures, the most allowed; delete some")
    zone = time_zone(tx.db)
    window = recurring(start_ns, end_ns, rrule, scope_text(scope), zone)
    try:
        calendar.check(window, zone)
    except calendar.BadCalendar as error:
        raise PalaestraError("BAD_CALENDAR", str(error)) from None
    if rrule:
        zones_of = {(kind, row["id"]): row["zone"] for kind in ("unit", "cell")
                    for row in tx.db.execute(f"SELECT id, zone FROM {kind}")}  # fmt: skip
        never = calendar.never_open((*all_windows(tx.db, zone), window), zone, zones_of)
        if never is not None:
            raise PalaestraError(
                "BAD_CALENDAR", f"with this closure, {never} again; a long one without rule may be meant"
            )
