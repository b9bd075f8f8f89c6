"""The audit of this room: what is noted is a leaf of a Merkle tree, on the disk, before anything is served for it."""

import fcntl
import hashlib
import logging
import os
import sqlite3
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from palaestra.merkle import Checkpoint, open_note, signed_note
from sharing.audit import tree
from sharing.audit.key import raw_public
from sharing.audit.leaf import Leaf, again, kept, leaf_of
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import NotNoted

HEAD_PERIOD_S = 10
BATCH_MAX = 4_096
PAGE_MAX = 8_192
LEAVES_MAX = 200
_log = logging.getLogger(__name__)


class AuditBroken(Exception):
    """The file's tree is not the one that was signed, or somebody else writes it; the message says which."""


@dataclass(frozen=True)
class Told:
    """A leaf as it is shown to whom it concerns: its text, and salt and value of what the text only has hashes of."""

    index: int
    body: str
    openings: Mapping[str, tuple[bytes, str]]


class _Ticket:
    """A leaf on its way to the disk. owed: Its number among those that are owed, None if it is none of them."""

    def __init__(self, leaf: Leaf, owed: int | None = None) -> None:
        self.leaf = leaf
        self.owed = owed
        self.index = -1
        self.done = False
        self._called = threading.Lock()
        self._called.acquire()

    def wait(self) -> None:
        """Return once called."""
        self._called.acquire()

    def call(self) -> None:
        """Let whoever waits go on: it is done, or its turn to write."""
        self._called.release()


class Log:
    """Implements `sharing.witness.Witness`. Safe from any thread, but not from within a transaction of the room's.

    Notes that come together share a transaction, and so an fsync: whoever comes first writes for all that wait, then
    calls each of them, and has whoever came first meanwhile write next. One lock for all would let them go on one at a
    time, while the disk rests.
    """

    def __init__(self, database: Database, key: Ed25519PrivateKey, clock: Clock, lock: Path) -> None:
        """Open the log.

        Args:
            key: Signs heads.
            lock: A file whose lock is held until `close`, so that one process writes.

        Raises:
            AuditBroken: Another one writes, or the tree is not what its last head says.
        """
        self._database, self._key, self._clock = database, key, clock
        self.public_key = raw_public(key)
        self.origin = f"palaestra/audit/{hashlib.sha256(self.public_key).hexdigest()[:16]}"
        self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            db = database.reader()
            self._tree = tree.frontier(db, _size(db))
            self._check(db)
        except BlockingIOError:
            os.close(self._lock)
            raise AuditBroken(f"{lock} is locked: another process writes this audit") from None
        except (LookupError, sqlite3.Error) as error:
            os.close(self._lock)
            raise AuditBroken(f"the audit cannot be read: {error}") from None
        except AuditBroken:
            os.close(self._lock)
            raise
        row = db.execute("SELECT size, at_s FROM audit_head ORDER BY size DESC LIMIT 1").fetchone()
        self._head_at_s = row["at_s"] if row else 0
        self._waiting: list[_Ticket] = []
        self._mutex, self._writing = threading.Lock(), threading.Lock()
        self._led = False
        """Whether somebody writes, or is called to; only then does anybody wait."""
        # What is owed and will be settled by whoever owes it, so by nobody else.
        self._settling: set[int] = set()
        # Whether something is owed that nobody is about to settle: of an earlier life, or as the disk was full.
        self._behind = True
        with self._writing:
            self._write([])

    @property
    def size(self) -> int:
        """How many leaves are on the disk."""
        return self._tree.size

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        """Take note, durable when it returns; return the leaf's index. Raises NotNoted.

        Args:
            kind, fields: See `sharing.witness.Witness.note`. What `sharing.audit.leaf.PERSONAL` names is kept apart.
        """
        ticket = _Ticket(self._leaf(kind, fields))
        self._enter([ticket])
        return ticket.index

    def owe(self, db: sqlite3.Connection, kind: str, fields: Mapping[str, str | int]) -> int:
        """Write down in a transaction what is to be noted, see `sharing.witness.Witness.owe`."""
        text = "INSERT INTO audit_owed (body, openings) VALUES (?, ?)"
        number = db.execute(text, kept(self._leaf(kind, fields))).lastrowid
        assert number is not None
        with self._mutex:
            self._settling.add(number)
        return number

    def settle(self, *owed: int) -> None:
        """Note what is owed and committed. Raises NotNoted."""
        text, done = "SELECT body, openings FROM audit_owed WHERE id = ?", False
        try:
            rows = [self._database.reader().execute(text, (number,)).fetchone() for number in owed]
            self._enter([_Ticket(again(*row), number) for row, number in zip(rows, owed, strict=True)])
            done = True
        except sqlite3.Error as error:
            _log.error("what is owed cannot be read: %s", error)
            raise NotNoted from None
        finally:
            with self._mutex:
                self._settling -= set(owed)
                self._behind = self._behind or not done

    def _leaf(self, kind: str, fields: Mapping[str, str | int]) -> Leaf:
        return leaf_of(kind, fields, int(self._clock.now_s() * 1000))

    def _enter(self, tickets: Sequence[_Ticket]) -> None:
        """Return once leaves are on the disk, in this order. Raises NotNoted."""
        with self._mutex:
            self._waiting += tickets
            others, self._led = self._led, True
        for ticket in tickets:
            if others and not ticket.done:
                ticket.wait()
            if not ticket.done:
                self._lead(ticket)
                # If more is left of these than one batch takes, it waits for its turn like everybody's.
                others = True
        if any(ticket.index < 0 for ticket in tickets):
            raise NotNoted

    def head(self) -> str:
        """Return a signed head over everything noted so far: a checkpoint of C2SP."""
        with self._writing:
            note = _note_of(self._database.reader(), self._tree.size)
            if note is None:
                try:
                    with self._database.transaction() as db:
                        note = self._sign(db, Checkpoint(self.origin, self._tree.size, self._tree.root()))
                except sqlite3.Error as error:
                    _log.error("no head could be written: %s", error)
                    raise NotNoted from None
        return note

    def heads(self, after: int = 0, size: int = 100) -> Sequence[str]:
        """Return signed heads of trees with more than so many leaves, smallest first."""
        text = "SELECT note FROM audit_head WHERE size > ? ORDER BY size LIMIT ?"
        return [row[0] for row in self._database.reader().execute(text, (after, size))]

    def inclusion(self, index: int, size: int) -> Sequence[bytes]:
        """Return the proof that a leaf is in the tree of `size`. Raises ValueError where there is no such."""
        self._there(size)
        return tree.inclusion(self._database.reader(), index, size)

    def consistency(self, first: int, second: int) -> Sequence[bytes]:
        """Return the proof that one tree begins with another. Raises ValueError where there is no such."""
        self._there(second)
        return tree.consistency(self._database.reader(), first, second)

    def hashes(self, begin: int, size: int) -> bytes:
        """Return leaves' hashes from an index on, 32 bytes each, at most `PAGE_MAX` of them."""
        text = "SELECT hash FROM audit_leaf WHERE idx >= ? AND idx < ? ORDER BY idx LIMIT ?"
        rows = self._database.reader().execute(text, (begin, self._tree.size, min(size, PAGE_MAX)))
        return b"".join(row[0] for row in rows)

    def leaves(self, party: str, after: int = -1, size: int = LEAVES_MAX) -> Sequence[Told]:
        """Return up to `size` + 1 leaves that concern a party after an index; the house's own under ''."""
        db = self._database.reader()
        rows = db.execute(
            "SELECT l.idx, l.body FROM audit_party p JOIN audit_leaf l ON l.idx = p.idx "
            "WHERE p.vendor = ? AND p.idx > ? AND p.idx < ? ORDER BY p.idx LIMIT ?",
            (party, after, self._tree.size, size + 1),
        ).fetchall()
        found = []
        for row in rows:
            openings = db.execute("SELECT name, salt, value FROM audit_opening WHERE idx = ?", (row["idx"],))
            found.append(Told(row["idx"], row["body"], {one["name"]: (one["salt"], one["value"]) for one in openings}))
        return found

    def erase(self, value: str) -> int:
        """Forget a person: leaves keep the hash, and its salt is gone. Return in how many leaves. Noted, unnamed."""
        with self._database.transaction() as db:
            count = db.execute("DELETE FROM audit_opening WHERE value = ?", (value,)).rowcount
        self.note("erasure", {"count": count})
        return count

    def close(self) -> None:
        """Give up the lock. Nobody may be noting."""
        os.close(self._lock)

    def _there(self, size: int) -> None:
        if not 0 <= size <= self._tree.size:
            raise ValueError(f"there is no tree of {size} leaves yet")

    def _lead(self, own: _Ticket) -> None:
        """Write all that waits, of which `own` is the first, and call those who wait for it."""
        with self._mutex:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
        try:
            with self._writing:
                self._write(batch)
        finally:
            for ticket in batch:
                ticket.done = True
                if ticket is not own:
                    ticket.call()
            with self._mutex:
                if self._waiting:
                    self._waiting[0].call()
                else:
                    self._led = False

    def _write(self, batch: Sequence[_Ticket]) -> None:
        """Write a batch, after what is owed of before. Whoever calls holds `_writing`.

        What could not be written has no index.
        """
        with self._mutex:
            behind, self._behind = self._behind, False
        try:
            batch = [*(self._left() if behind else ()), *batch]
            if batch:
                self._write_all(batch)
        except (sqlite3.Error, AuditBroken, OSError) as error:
            with self._mutex:
                self._behind = self._behind or behind
            _log.error("nothing can be noted, and so nothing served: %s", error)

    def _left(self) -> list[_Ticket]:
        """Return what is owed and nobody is about to settle."""
        rows = self._database.reader().execute("SELECT * FROM audit_owed ORDER BY id").fetchall()
        # After the look: whatever it has shown that somebody is about to settle, is among these.
        with self._mutex:
            return [
                _Ticket(again(row["body"], row["openings"]), row["id"])
                for row in rows
                if row["id"] not in self._settling
            ]

    def _write_all(self, batch: Sequence[_Ticket]) -> None:
        """Write a batch. Raises sqlite3.Error, AuditBroken, OSError: then nothing of it is written."""
        grown, leaves, nodes, parties, openings = self._tree.copy(), [], [], [], []
        for ticket in batch:
            index, leaf = grown.size, ticket.leaf
            leaves.append((index, leaf.body.decode(), leaf.hash))
            nodes += grown.append(leaf.hash)
            parties += [(party, index) for party in leaf.parties or ("",)]
            openings += [(index, *opening) for opening in leaf.openings]
        owed = [(ticket.owed,) for ticket in batch if ticket.owed is not None]
        with self._database.transaction() as db:
            if _size(db) != self._tree.size:
                raise AuditBroken(f"the file has {_size(db)} leaves instead of {self._tree.size}")
            db.executemany("INSERT INTO audit_leaf VALUES (?, ?, ?)", leaves)
            db.executemany("INSERT INTO audit_node VALUES (?, ?, ?)", nodes)
            db.executemany("INSERT INTO audit_party VALUES (?, ?)", parties)
            db.executemany("INSERT INTO audit_opening VALUES (?, ?, ?, ?)", openings)
            if owed and db.executemany("DELETE FROM audit_owed WHERE id = ?", owed).rowcount != len(owed):
                raise AuditBroken("what was owed has been noted before")
            if self._clock.now_s() - self._head_at_s >= HEAD_PERIOD_S:
                self._sign(db, Checkpoint(self.origin, grown.size, grown.root()))
        first, self._tree = self._tree.size, grown
        for number, ticket in enumerate(batch):
            ticket.index = first + number

    def _sign(self, db: sqlite3.Connection, checkpoint: Checkpoint) -> str:
        note = signed_note(checkpoint, self.public_key, self._key.sign(checkpoint.text().encode()))
        now_s = int(self._clock.now_s())
        db.execute("INSERT INTO audit_head VALUES (?, ?, ?)", (checkpoint.size, note, now_s))
        self._head_at_s = now_s
        return note

    def _check(self, db: sqlite3.Connection) -> None:
        """Raise AuditBroken unless the tree is the one of the last head. Raises LookupError."""
        row = db.execute("SELECT size, note FROM audit_head ORDER BY size DESC LIMIT 1").fetchone()
        if row is None:
            return
        if row["size"] > self._tree.size:
            raise AuditBroken(f"the last head has {row['size']} leaves, the file {self._tree.size}")
        try:
            signed = open_note(row["note"], self.public_key)
        except Exception as error:
            raise AuditBroken(f"the last head is not signed by this log's key: {error}") from None
        if tree.frontier(db, signed.size).root() != signed.root:
            raise AuditBroken(f"the first {signed.size} leaves are not those of the last head")


def _size(db: sqlite3.Connection) -> int:
    found: int = db.execute("SELECT coalesce(max(idx) + 1, 0) FROM audit_leaf").fetchone()[0]
    return found


def _note_of(db: sqlite3.Connection, size: int) -> str | None:
    row = db.execute("SELECT note FROM audit_head WHERE size = ?", (size,)).fetchone()
    return row[0] if row else None
