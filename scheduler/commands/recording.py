"""Decisions kept so that they can be made again: the latest that granted something or made room for it.

What a decision was made on is kept whole now and then, and in between as what has changed since the decision before: so
keeping it costs what has happened, not what there is.
"""

import zlib
from dataclasses import dataclass
from typing import Any

from scheduler.snapshot.kept import Kept
from scheduler.sql import Connection, Row
from scheduler.state import Config, Decisions, State
from scheduler.token import (
    CLAIMLESS,
    pack,
    pack_changes,
    pack_decisions,
    previous_of,
    text_of,
    token_of,
    unpack_changes,
)
from scheduler.writer import Transaction

KEPT = 1_000
# A whole state at least after so many changes of it.
CHANGES_MAX = 256
# The fewest digits of a token that are looked up, and all of them.
DIGITS_MIN, DIGITS = 8, 64
# Speed before size: the states of a venue are far more alike within than levels of compression differ.
LEVEL = 1
# Stands before compressed changes; zlib's own first byte is another one (RFC 1950).
CHANGES = b"+"


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was made: on which bytes (a whole state and changes of it, in order), and its own."""

    token: str
    time_ns: int
    states: tuple[bytes, ...]
    decisions: bytes

    def made_on(self) -> tuple[State, Config]:
        """Return what it was made on. Raises BadBytes."""
        return unpack_changes(self.states[0], self.states[1:])


class Recorder:
    """Records the decisions of one venue, each but some by what has changed since the one before.

    kept: How many are kept. Of the oldest beyond them, what others build on stays until these go too: a quarter as many
        more at most.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self._changes_max = min(CHANGES_MAX, kept // 4)
        self._previous = ""
        # How each thing was told last, so that a whole state is not put into words anew each time: at 6,000 slots and
        # as many leases, that held all calls up for a tenth of a second.
        self._texts: dict[str, dict[Any, str]] = {}
        self._others: dict[str, Any] = {}
        # Changes since the last whole state, how many bytes they have, and how many that has.
        self._count = self._size = self._whole_size = 0

    def record(self, tx: Transaction, venue: Kept, config: Config, decisions: Decisions) -> str:
        """Keep a decision made on what `venue` saw last, in the transaction that carries it out; return its token."""
        changed, others = venue.changed, venue.others()
        if changed is None or self._count >= self._changes_max or self._size > self._whole_size:
            # What ages is told as of now, which may change it.
            state = venue.state()
            self._tell(venue)
            # What went and came again stands elsewhere.
            texts = {field: {name: known[name] for name in venue.things[field]} for field, known in self._texts.items()}
            token, self._whole_size = _insert(tx, pack(state, config, texts), decisions)
            self._count = self._size = 0
            _forget(tx, self.kept)
        else:
            told = {name: value for name, value in others.items() if self._others[name] != value}
            things = {
                field: {name: venue.things[field].get(name) for name in names}
                for field, names in changed.items()
                if names
            }
            self._tell(venue)
            data = pack_changes(self._previous, things, told | {"now_ns": tx.now_ns}, config, self._texts)
            token, size = _insert(tx, data, decisions, mark=CHANGES)
            self._count += 1
            self._size += size
        # What is kept for others' sake alone is no decision any more.
        tx.db.execute("UPDATE decision SET decisions = x'' WHERE id = (SELECT max(id) FROM decision) - ?", (self.kept,))
        self._previous, self._others = token, others
        venue.forget_changes()
        return token

    def _tell(self, venue: Kept) -> None:
        """Keep up how things are told."""
        changed = venue.changed
        for field in CLAIMLESS:
            things = venue.things[field]
            if changed is None:
                self._texts[field] = {name: text_of(field, thing) for name, thing in things.items()}
                continue
            texts = self._texts[field]
            for name in changed[field]:
                thing = things.get(name)
                if thing is None:
                    texts.pop(name, None)
                else:
                    texts[name] = text_of(field, thing)


def record(tx: Transaction, state: State, config: Config, decisions: Decisions, kept: int | None = None) -> str:
    """Keep a decision by the whole state, and return its token. kept: How many are; None: KEPT."""
    token, _ = _insert(tx, pack(state, config), decisions)
    _forget(tx, KEPT if kept is None else kept)
    return token


def _insert(tx: Transaction, data: bytes, decisions: Decisions, mark: bytes = b"") -> tuple[str, int]:
    """Write one decision down; return its token and the bytes that it takes."""
    token, stored = token_of(data), mark + zlib.compress(data, LEVEL)
    tx.db.execute(
        "INSERT INTO decision (token, time_ns, state, decisions) VALUES (?, ?, ?, ?)",
        (token, tx.now_ns, stored, zlib.compress(pack_decisions(decisions), LEVEL)),
    )
    return token, len(stored)


def _forget(tx: Transaction, kept: int) -> None:
    """Delete the oldest decisions, but not those on which one of the latest `kept` builds."""
    tx.db.execute(
        """
        DELETE FROM decision WHERE id < (SELECT max(id) FROM decision
          WHERE id <= (SELECT max(id) FROM decision) - ? + 1 AND substr(state, 1, 1) != ?)
        """,
        (kept, CHANGES),
    )


def words(token: str) -> str:
    """Return what a message says of a decision's token, with enough digits to find it; nothing for none."""
    return f"; decision {token[:16]}" if token else ""


def find(db: Connection, token: str) -> Recorded | None:
    """Return the decision of a token or of its first digits, the latest if several have them; None if none is kept.

    Raises BadBytes.
    """
    if not DIGITS_MIN <= len(token) <= DIGITS or set(token) - set("0123456789abcdef"):
        return None
    # All tokens with these first digits, by the index: "g" follows every digit.
    row = db.execute(
        "SELECT * FROM decision WHERE token >= ? AND token < ? AND decisions != x'' ORDER BY id DESC LIMIT 1",
        (token, token + "g"),
    ).fetchone()
    if row is None:
        return None
    states = [_state_of(row)]
    before = row
    while (previous := previous_of(states[-1])) is not None:
        before = db.execute(
            "SELECT * FROM decision WHERE token = ? AND id < ? ORDER BY id DESC LIMIT 1", (previous, before["id"])
        ).fetchone()
        if before is None:
            return None
        states.append(_state_of(before))
    return Recorded(row["token"], row["time_ns"], tuple(states[::-1]), zlib.decompress(row["decisions"]))


def _state_of(row: Row) -> bytes:
    return zlib.decompress(row["state"].removeprefix(CHANGES))
