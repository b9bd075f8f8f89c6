"""Who did what: each accepted call that changes something is written down in the transaction of the change itself.

Whoever the call concerns has an entry in a chain of its own (`palaestra.chain` says how hashes are made), and all
entries together are one chain of the venue. A call concerns the vendor that it names; one about a unit, a cell or the
venue concerns the house, and the vendors whose leases hold what is touched.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeVar

from google.protobuf.message import Message

from palaestra import chain
from palaestra.errors import PalaestraError
from palaestra.v1 import audit_pb2
from scheduler import names
from scheduler.health import VENUE_VENDOR
from scheduler.identity import Identity
from scheduler.recognition import Known
from scheduler.resources import timestamp
from scheduler.sql import Connection, Row, insert
from scheduler.writer import Command, Joint, Transaction

T = TypeVar("T")

# By these names a method changes nothing; every other one is written down, also one that is new.
_LOOKING = ("Get", "List", "Watch", "Read", "Explain", "WhatIf", "Check")
# What the house's own processes report, many times a second, is in the events.
_OF_PROCESSES = frozenset({"HostService", "RunnerService"})
# Chain of all entries together; no vendor's id is empty.
ALL = ""


@dataclass(frozen=True, slots=True)
class Call:
    """A call that is to be written down. method: "Service/Method"."""

    method: str
    caller: Identity
    request: Message | Known


_present: ContextVar[Call | None] = ContextVar("audited", default=None)


def is_audited(method: str) -> bool:
    """Return whether calls of a method, "Service/Method", are written down."""
    service, _, name = method.partition("/")
    return service not in _OF_PROCESSES and not name.startswith(_LOOKING)


def begin(call: Call) -> None:
    """Let what the present call changes be written down as its."""
    _present.set(call)


def recorded(command: Command[T]) -> Command[T]:
    """Return a command that does the same and writes down the present call, if that is to be and changes something."""
    call = _present.get()
    if call is None or _field(call.request, "validate_only"):
        return command
    if isinstance(command, Joint):
        return Joint(_with_entries(command.run), (command, call), lambda result: result, size=command.size)

    def both(tx: Transaction) -> T:
        # Before, for the command may end what holds a unit.
        concerned = _concerned(tx.db, call.request)
        tx.repeated = False
        result = command(tx)
        if tx.repeated:
            return result
        if isinstance(result, list):
            # Units that were asked to stop, some of which may be of another lease than their cell.
            holders = {row["vendor"] for unit in result for row in tx.db.execute(_HOLDERS["units"], (unit,)).fetchall()}
            concerned += sorted(holders - {*concerned, VENUE_VENDOR})
        _append(tx, [_entry_of(call, concerned, result)])
        return result

    return both


@cache
def _with_entries(run: Callable[[Transaction, Sequence[Any]], Sequence[Any]]) -> Any:
    """Return what runs commands together as `run` does, and writes each down that changes something."""

    def both(tx: Transaction, items: Sequence[tuple[Joint[Any, Any, Any], Call]]) -> list[Any]:
        concerned = [_concerned(tx.db, call.request) for _, call in items]
        results: list[Any] = []
        made: list[Entry] = []
        for (command, call), whose, found in zip(
            items, concerned, run(tx, [command.item for command, _ in items]), strict=True
        ):
            result = found
            if not isinstance(found, PalaestraError):
                result = command.answer(found)
                if command.changed(found):
                    made.append(_entry_of(call, whose, result))
            results.append(result)
        _append(tx, made)
        return results

    return both


class Entry(NamedTuple):
    """What is written down of one call. concerned: Vendors' ids, the venue's own for the house."""

    concerned: Sequence[str]
    actor: str
    role: str
    method: str
    resource: str
    reason: str
    request_sha256: bytes


def _entry_of(call: Call, concerned: Sequence[str], result: Any) -> Entry:
    digest = hashlib.sha256(call.request.SerializeToString(deterministic=True)).digest()
    who, role = str(call.caller), call.caller.role.value
    return Entry(concerned, who, role, call.method, _resource(call.request, result), _reason(call.request), digest)


def write(
    tx: Transaction,
    concerned: Sequence[str],
    actor: str,
    role: str,
    method: str,
    resource: str,
    reason: str = "",
    request_sha256: bytes = b"",
) -> None:
    """Append an entry to the chain of each of those concerned: vendors' ids, the venue's own for the house."""
    _append(tx, [Entry(concerned, actor, role, method, resource, reason, request_sha256)])


def _append(tx: Transaction, made: Sequence[Entry]) -> None:
    """Append entries, in order, each to the chain of everybody whom it concerns."""
    known = tx.at_commit.get("audit")
    before = known if isinstance(known, _Appended) else None
    ends = {} if before is None else dict(before.ends)
    rows: list[tuple[object, ...]] = []
    for entry in made:
        request_sha256 = entry.request_sha256.hex()
        # A zero byte cannot be kept by every database, and an entry must be found again as it was hashed.
        reason = entry.reason.replace("\0", "\N{REPLACEMENT CHARACTER}")
        for whose in entry.concerned:
            number, own = ends.get(whose) or _head(tx.db, whose)
            count, together = ends.get(ALL) or _head(tx.db, ALL)
            number, count, vendor = number + 1, count + 1, _vendor(whose)
            fields: dict[str, str | int] = {
                "sequence": number,
                "time_ns": tx.now_ns,
                "actor": entry.actor,
                "role": entry.role,
                "method": entry.method,
                "resource": entry.resource,
                "reason": reason,
                "request_sha256": request_sha256,
                "vendor": vendor,
            }
            own = chain.link(own, fields)
            together = chain.link(together, {"venue_sequence": count, "vendor": vendor, "hash": own.hex()})
            rows.append(
                (count, whose, number, tx.now_ns, entry.actor, entry.role, entry.method, entry.resource, reason,
                 entry.request_sha256, own, together)
            )  # fmt: skip
            ends[whose], ends[ALL] = (number, own), (count, together)
    if rows:
        tx.at_commit["audit"] = _Appended(ends, rows, before)


_ENTRIES = """
INSERT INTO audit (seq, chain, chain_seq, time_ns, actor, role, method, resource, reason, request_sha256, hash,
  venue_hash)
"""


@dataclass(frozen=True)
class _Appended:
    """What an open transaction adds to the audit; written down once, before its commit, by few statements for all.

    Attributes:
        ends: Where chains end then, by whose they are.
        rows: The last entries.
        before: Those before them.
    """

    ends: Mapping[str, tuple[int, bytes]]
    rows: Sequence[tuple[object, ...]]
    before: "_Appended | None"

    def __call__(self, tx: Transaction) -> None:
        parts: list[_Appended] = []
        part: _Appended | None = self
        while part is not None:
            parts.append(part)
            part = part.before
        insert(tx.db, _ENTRIES, [row for one in reversed(parts) for row in one.rows])
        tx.db.executemany(
            """
            INSERT INTO audit_head (chain, seq, hash) VALUES (?, ?, ?)
            ON CONFLICT (chain) DO UPDATE SET seq = excluded.seq, hash = excluded.hash
            """,
            [(whose, *end) for whose, end in sorted(self.ends.items())],
        )


def entries(db: Connection, whose: str, after: int, count: int) -> list[audit_pb2.AuditEntry]:
    """Return the next entries of a chain, or of ALL with their places in the venue's, at most `count`."""
    if whose == ALL:
        rows = db.execute("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT ?", (after, count)).fetchall()
    else:
        rows = db.execute(
            "SELECT * FROM audit WHERE chain = ? AND chain_seq > ? ORDER BY chain_seq LIMIT ?", (whose, after, count)
        ).fetchall()
    return [_entry(row, together=whose == ALL) for row in rows]


def head(db: Connection, whose: str, now_ns: int) -> audit_pb2.AuditHead:
    """Return where a chain ends."""
    number, digest = _head(db, whose)
    return audit_pb2.AuditHead(sequence=number, hash=digest, time=timestamp(now_ns))


def _head(db: Connection, whose: str) -> tuple[int, bytes]:
    row = db.execute("SELECT seq, hash FROM audit_head WHERE chain = ?", (whose,)).fetchone()
    return (0, chain.START) if row is None else (row["seq"], row["hash"])


def _entry(row: Row, *, together: bool) -> audit_pb2.AuditEntry:
    found = audit_pb2.AuditEntry(
        sequence=row["chain_seq"],
        time=timestamp(row["time_ns"]),
        actor=row["actor"],
        role=row["role"],
        method=row["method"],
        resource=row["resource"],
        reason=row["reason"],
        request_sha256=row["request_sha256"],
        vendor=_vendor(row["chain"]),
        hash=row["hash"],
    )
    if together:
        found.venue_sequence, found.venue_hash = row["seq"], row["venue_hash"]
    return found


def _vendor(whose: str) -> str:
    return "" if whose == VENUE_VENDOR else names.vendor(whose)


def _concerned(db: Connection, request: Message | Known) -> list[str]:
    kind, *rest = _target(request).split("/")
    if kind == "vendors":
        return [rest[0]]
    closure = _field(request, "closure")
    if closure is not None:
        rows = _holders_of(db, closure)
    elif len(rest) == 3 and rest[1] in _HOLDERS:
        rows = db.execute(_HOLDERS[rest[1]], (rest[2],)).fetchall()
    elif len(rest) == 1 and _field(request, "parent") is None:
        rows = db.execute(_ALL_HOLDERS).fetchall()
    else:
        rows = []
    return [VENUE_VENDOR, *sorted({row["vendor"] for row in rows} - {VENUE_VENDOR})]


def _holders_of(db: Connection, closure: Message) -> list[Row]:
    """Return whose leases hold what a closure closes: of one without places, all that hold something."""
    places = {kind: [name.rpartition("/")[2] for name in _field(closure, kind)] for kind in _HOLDERS}
    zones = list(_field(closure, "zones"))
    if not any(places.values()) and not zones:
        return db.execute(_ALL_HOLDERS).fetchall()
    for zone in zones:
        for kind, table in (("units", "unit"), ("cells", "cell")):
            found = db.execute(f"SELECT id FROM {table} WHERE zone = ?", (zone,)).fetchall()
            places[kind] += [row["id"] for row in found]
    return [row for kind, ids in places.items() for own in ids for row in db.execute(_HOLDERS[kind], (own,)).fetchall()]


_ALL_HOLDERS = "SELECT DISTINCT vendor FROM lease WHERE state IN (1, 2, 3, 5)"
_HOLDERS = {
    "units": """SELECT l.vendor FROM lease_unit x JOIN lease l ON l.id = x.lease_id
      WHERE x.unit = ? AND x.free_ns IS NULL""",
    "cells": """SELECT l.vendor FROM lease_cell x JOIN lease l ON l.id = x.lease_id
      WHERE x.cell = ? AND x.free_ns IS NULL""",
}


def _target(request: Message | Known) -> str:
    """Return the name that a request is about."""
    return _first(request, ("name", "parent"))


def _resource(request: Message | Known, result: object) -> str:
    """Return the name of what a call made, or else of what it was about."""
    made = result[0] if isinstance(result, tuple) else result
    return (_first(made, ("name",)) if isinstance(made, Message) else "") or _target(request)


def _reason(request: Message | Known) -> str:
    told = _first(request, ("reason", "cause"))
    closure = None if told else _field(request, "closure")
    return told if closure is None else _first(closure, ("display_name",))


def _first(message: Message | Known, fields: tuple[str, ...]) -> str:
    """Return the first of some fields that the message has and that says something."""
    kind: Any = type(message)
    for name in _of(kind, fields):
        text: str = getattr(message, name)
        if text:
            return text
    return ""


def _field(message: Message | Known, name: str) -> Any:
    kind: Any = type(message)
    return getattr(message, name) if _of(kind, (name,)) else None


@cache
def _of(kind: Any, fields: tuple[str, ...]) -> tuple[str, ...]:
    """Return which of the fields a message of this type has: to be asked for one that it has not is dear to it."""
    return tuple(name for name in fields if name in kind.DESCRIPTOR.fields_by_name)
