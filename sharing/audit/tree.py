"""The tree in the room's file: complete subtrees are rows, so that a proof is a few dozen look-ups at any size."""

import sqlite3

from palaestra import merkle
from palaestra.merkle import Frontier


def node(db: sqlite3.Connection, level: int, number: int) -> bytes:
    """Return the root of a complete subtree: the `number`th of 2**level leaves. Raises LookupError."""
    if level == 0:
        row = db.execute("SELECT hash FROM audit_leaf WHERE idx = ?", (number,)).fetchone()
    else:
        row = db.execute("SELECT hash FROM audit_node WHERE level = ? AND number = ?", (level, number)).fetchone()
    if row is None:
        raise LookupError(f"the audit's tree has no node {number} at level {level}")
    found: bytes = row[0]
    return found


def subtree(db: sqlite3.Connection, begin: int, end: int) -> bytes:
    """Return the root over the leaves from `begin` up to and without `end`, as RFC 6962 splits them."""
    size = end - begin
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(db, level, begin >> level)
    middle = begin + merkle.split(size)
    return merkle.node_hash(subtree(db, begin, middle), subtree(db, middle, end))


def frontier(db: sqlite3.Connection, size: int) -> Frontier:
    """Return the right edge of the tree of the first `size` leaves."""
    roots, begin = [], 0
    for level in reversed(range(size.bit_length())):
        if size >> level & 1:
            roots.append(node(db, level, begin >> level))
            begin += 1 << level
    return Frontier(size, roots)


def inclusion(db: sqlite3.Connection, index: int, size: int) -> list[bytes]:
    """Return the proof that a leaf is in the tree of the first `size`. Raises ValueError."""
    return merkle.inclusion_proof(index, size, lambda begin, end: subtree(db, begin, end))


def consistency(db: sqlite3.Connection, first: int, second: int) -> list[bytes]:
    """Return the proof that the tree of `second` leaves begins with that of `first`. Raises ValueError."""
    return merkle.consistency_proof(first, second, lambda begin, end: subtree(db, begin, end))
