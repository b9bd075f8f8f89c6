"""Decisions kept so that they can be made again: the latest that granted something or made room for it."""

import sqlite3
import zlib
from dataclasses import dataclass

from scheduler.state import Config, Decisions, State
from scheduler.token import pack, pack_decisions, token_of
from scheduler.writer import Transaction

KEPT = 1_000
# The fewest digits of a token that are looked up, and all of them.
DIGITS_MIN, DIGITS = 8, 64
# Speed before size: the states of a venue are far more alike within than levels of compression differ.
LEVEL = 1


@dataclass(frozen=True, slots=True)
class Recorded:
    """A decision as it was made: on which bytes, and its own."""

    token: str
    time_ns: int
    state: bytes
    decisions: bytes


def record(tx: Transaction, state: State, config: Config, decisions: Decisions, kept: int | None = None) -> str:
    """Keep a decision in the transaction that carries it out, and return its token.

    kept: How many are; the oldest beyond them go. None: KEPT.
    """
    data = pack(state, config)
    token = token_of(data)
    tx.db.execute(
        "INSERT INTO decision (token, time_ns, state, decisions) VALUES (?, ?, ?, ?)",
        (token, tx.now_ns, zlib.compress(data, LEVEL), zlib.compress(pack_decisions(decisions), LEVEL)),
    )
    tx.db.execute(
        "DELETE FROM decision WHERE id <= (SELECT max(id) FROM decision) - ?", (KEPT if kept is None else kept,)
    )
    return token


def words(token: str) -> str:
    """Return what a message says of a decision's token, with enough digits to find it; nothing for none."""
    return f"; decision {token[:16]}" if token else ""


def find(db: sqlite3.Connection, token: str) -> Recorded | None:
    """Return the decision of a token or of its first digits, the latest if several have them; None if none is kept."""
    if not DIGITS_MIN <= len(token) <= DIGITS or set(token) - set("0123456789abcdef"):
        return None
    # All tokens with these first digits, by the index: "g" follows every digit.
    row = db.execute(
        "SELECT * FROM decision WHERE token >= ? AND token < ? ORDER BY id DESC LIMIT 1", (token, token + "g")
    ).fetchone()
    if row is None:
        return None
    return Recorded(row["token"], row["time_ns"], zlib.decompress(row["state"]), zlib.decompress(row["decisions"]))
