"""The seat of each kind of database; and leadership over one SQLite file: a row in it, a folder of presences beside it.

All who use the file are on one machine, because a write-ahead log is shared through its memory
(https://sqlite.org/wal.html, "Disadvantages", 2). So a leader that was stopped in the middle of a transaction, which
keeps SQLite's write lock for as long as it exists, can be ended.
"""

import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

from database.address import Place
from palaestra.ids import new_id
from scheduler import database, presence
from scheduler.database import DatabaseInUse, SharedLock
from scheduler.leadership import Blocked, Candidate, Leadership, Mark, Seat, Sight
from scheduler.sql import Connection

KEY = "leader"
# How long a take-over waits for a transaction of another one.
BUSY_MS = 300
# How long the session of a scheduler that has just been killed is waited for, and between looks.
SESSION_PATIENCE_S = 1.0
SESSION_RETRY_S = 0.1
_SELECT = "SELECT value FROM meta WHERE key = 'leader'"


class FileSeat:
    """See `scheduler.leadership.Seat`. Makes the database if it is new.

    Raises DatabaseInUse while it is migrated, SchemaMismatch, sqlite3.Error, OSError.
    """

    def __init__(self, path: Path) -> None:
        # A name that no other process ever has.
        self.instance = new_id()
        self._folder = folder_of(path)
        self._mutex = threading.Lock()
        self._lock = SharedLock(path)
        try:
            # First, because a full disk says so here, and in SQLite's words not always.
            self._presence = presence.Presence(self._folder, self.instance)
        except BaseException:
            self._lock.release()
            raise
        try:
            self._db = database.open_file(path)
            self._lock.share()
            self._db.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        except BaseException:
            self._presence.leave()
            self._lock.release()
            raise

    def look(self) -> Sight:
        with self._mutex:
            body = self.mark_in(self._db)
        if body is None:
            return Sight(None)
        mark = Mark.from_bytes(body)
        found = presence.look(self._folder, mark.instance)
        return Sight(mark, found.alive, found.beats, found.pid)

    def take(self, before: Mark | None, mark: Mark) -> bool:
        with self._mutex:
            try:
                self._db.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                    raise Blocked(str(error)) from None
                raise
            try:
                taken = self.mark_in(self._db) == (before.to_bytes() if before is not None else None)
                if taken:
                    self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (KEY, mark.to_bytes()))
                self._db.execute("COMMIT")
            except sqlite3.Error:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise
        if taken:
            presence.sweep(self._folder)
        return taken

    def beat(self) -> None:
        self._presence.beat()

    def mark_in(self, db: Connection) -> bytes | None:
        row = db.execute(_SELECT).fetchone()
        return None if row is None else bytes(row[0])

    def end(self, instance: str) -> bool:
        found = presence.look(self._folder, instance)
        return found.alive and presence.kill(self._folder, instance)

    def leave(self) -> None:
        self._db.close()
        self._presence.leave()
        self._lock.release()


def folder_of(path: Path) -> Path:
    """Return where the schedulers of a database show that they are there."""
    return path.with_name(f"{path.name}.presence")


def open_seat(place: Place) -> Seat:
    """Return the seat of a database. Raises what `FileSeat` raises, or `postgres.seat.SessionSeat`."""
    if isinstance(place, Path):
        return FileSeat(place)
    from scheduler.postgres.seat import SessionSeat

    return SessionSeat(place)


def lead(place: Place, address: str = "", *, ttl_s: float) -> Leadership:
    """Lead at once. Raises DatabaseInUse if somebody else does, and what `open_seat` raises."""
    seat = open_seat(place)
    candidate = Candidate(seat, address, ttl_s)
    # A file knows at once who is gone. A server takes a moment to notice that a session's process was killed.
    give_up_s = time.monotonic() + (0.0 if isinstance(place, Path) else SESSION_PATIENCE_S)
    while (found := candidate.attempt()) is None and time.monotonic() < give_up_s:
        time.sleep(SESSION_RETRY_S)
    if found is None:
        seat.leave()
        raise DatabaseInUse(in_use(place, candidate.sight))
    return found


def in_use(place: Place, sight: Sight) -> str:
    """Say who leads, and what to do."""
    where = f" at {sight.mark.address}" if sight.mark is not None and sight.mark.address else ""
    kind = "process" if isinstance(place, Path) else "session"
    return (
        f"{place} is in use by the scheduler with {kind} id {sight.pid}{where}; with --standby another one waits "
        "until that has ended"
    )
