"""Leadership over one database in PostgreSQL: a row in it, and a session that shows that the leader is there.

Safety rests on the lock that the writer's session holds (`opening.py`): nobody else can write before that session has
ended, and with it whatever it had not committed. The row says who may ask for that lock. A scheduler is there as long
as its seat's session is, which is known by its name, and works as long as it asks the server something in that session.
One that hangs has its sessions ended by whoever takes its place, wherever it runs: the server does that
(https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-ADMIN-SIGNAL) for sessions of the same role.
"""

import threading
from collections.abc import Callable
from contextlib import closing
from typing import TypeVar

from database.address import Address
from database.postgres.connection import Connection
from palaestra.ids import new_id
from scheduler import sql
from scheduler.leadership import Blocked, Mark, Sight
from scheduler.postgres import opening
from scheduler.sql import Failed

T = TypeVar("T")

KEY = "leader"
# How long a take-over waits for a transaction of another one.
LOCK_TIMEOUT_MS = 300
_LOCK_TIMEOUT = "55P03"
_SELECT = "SELECT value FROM meta WHERE key = 'leader'"
# Not this session: who took the row and was not told, because the connection broke, finds nobody and takes it again.
_OF_INSTANCE = """
datname = current_database() AND application_name = 'palaestra ' || CAST(? AS TEXT) AND pid != pg_backend_pid()
"""


class SessionSeat:
    """See `scheduler.leadership.Seat`. Makes the schema if the database is empty.

    Raises DatabaseInUse while something is moved there, SchemaMismatch, Failed.
    """

    def __init__(self, address: Address) -> None:
        # A name that no other process ever has.
        self.instance = new_id()
        self._address = address
        self._mutex = threading.Lock()
        with closing(opening.connect_patiently(address)) as db:
            if opening.revision(db) == "":
                opening.lock(db, address)
            opening.prepare(db, address)
        self._db = self._connected()

    def look(self) -> Sight:
        return self._ask(self._look)

    def take(self, before: Mark | None, mark: Mark) -> bool:
        # One statement, so that one that is stopped here keeps nobody else from it.
        values: tuple[str | bytes, ...] = KEY, mark.to_bytes()
        if before is None:
            query = "INSERT INTO meta VALUES (?, ?) ON CONFLICT DO NOTHING"
        else:
            query = "UPDATE meta SET value = ? WHERE key = ? AND value = ?"
            values = (mark.to_bytes(), KEY, before.to_bytes())
        try:
            with self._mutex:
                taken = self._db.execute(query, values).rowcount == 1
        except Failed as error:
            if error.sqlstate == _LOCK_TIMEOUT:
                raise Blocked(str(error)) from None
            raise
        if taken and before is not None:
            # What may be left of it still has the lock.
            self.end(before.instance)
        return taken

    def beat(self) -> None:
        self._ask(lambda db: db.execute("SELECT 1").fetchone())

    def mark_in(self, db: sql.Connection) -> bytes | None:
        # Whoever has the lock on the writing session is the only one who writes: a row that changes after this look
        # is that of one who waits for this transaction to end, or for its end.
        row = db.execute(_SELECT).fetchone()
        return None if row is None else bytes(row[0])

    def end(self, instance: str) -> bool:
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {_OF_INSTANCE}"
        return any(row[0] for row in self._ask(lambda db: db.execute(query, (instance,)).fetchall()))

    def leave(self) -> None:
        self._db.close()

    def _look(self, db: Connection) -> Sight:
        body = self.mark_in(db)
        if body is None:
            return Sight(None)
        mark = Mark.from_bytes(body)
        row = db.execute(
            f"""
            SELECT pid, CAST(extract(epoch FROM query_start) * 1000000 AS BIGINT) FROM pg_stat_activity
            WHERE {_OF_INSTANCE} ORDER BY query_start DESC NULLS LAST LIMIT 1
            """,
            (mark.instance,),
        ).fetchone()
        return Sight(mark) if row is None else Sight(mark, True, row[1] or 0, row[0])

    def _ask(self, question: Callable[[Connection], T]) -> T:
        """Ask in the seat's session, in a new one if that is lost: the server may have been started anew."""
        with self._mutex:
            try:
                return question(self._db)
            except Failed:
                if not self._db.wire.is_lost:
                    raise
            self._db.close()
            self._db = self._connected()
            return question(self._db)

    def _connected(self) -> Connection:
        db = Connection(self._address.url, {})
        try:
            opening.name(db, self.instance)
            db.script(f"SET lock_timeout TO '{LOCK_TIMEOUT_MS}ms'; SET synchronous_commit TO on")
        except BaseException:
            db.close()
            raise
        return db
