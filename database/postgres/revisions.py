"""A room's tables in PostgreSQL: in a namespace of its own, made and brought forward by the same revisions as a file's.

A revision's SQL is translated as it runs, unless there is a file of the same name beside it in `postgresql/`, for what
has no translation. The last one's number stands in the table `revision`. So one database serves several rooms, and is
one backup.
"""

import time
from collections.abc import Sequence
from pathlib import Path

from database.address import Address
from database.file import SchemaMismatch
from database.postgres import schema
from database.postgres.connection import Connection
from database.sql import Failed

PATIENCE_S = 30.0
"""How long a writer waits for the one before; as long as for a file."""
RETRY_S = 0.002
RETRY_MAX_S = 0.05
_CHANGES = ("INSERT", "UPDATE", "DELETE")


class Namespace:
    """The tables of one room in a database.

    Args:
        address: The database.
        name: Of the namespace, a word.
        revisions: The files for SQLite, in order.
    """

    def __init__(self, address: Address, name: str, revisions: Sequence[Path]) -> None:
        self.address = address
        self.name = name
        self._revisions = [_words(path) for path in revisions]
        self._counted = schema.counted("\n".join(path.read_text() for path in revisions))
        self._lock = int.from_bytes(f"{name:8.8}".encode(), "big")

    def open_writer(self, *, forward: bool = True) -> Connection:
        """Open a connection that writes, and make the tables or bring them to the last revision if that has to be.

        forward: Whether older tables are brought forward; False where a scheduler that knows no newer ones may be
            using them.

        Raises SchemaMismatch, Failed.
        """
        db = self.connect()
        try:
            self.migrate(db, forward=forward)
        except BaseException:
            db.close()
            raise
        return db

    def open_reader(self) -> Connection:
        """Open a connection that cannot write. Raises Failed."""
        # A page is short work: to plan it anew each time takes as long, and to compile the plan a multiple of that.
        settings = f"SET search_path TO {self.name}; SET jit TO off; SET plan_cache_mode TO force_generic_plan"
        return Connection(self.address.url, {}, read_only=True, settings=settings, yields=True)

    def connect(self) -> Connection:
        """Open a connection that writes, whatever there is. Raises Failed."""
        settings = (
            # Durable when acknowledged, whatever the server's own setting says.
            f"SET search_path TO {self.name}; SET synchronous_commit TO on; SET jit TO off;"
            f"SET default_transaction_isolation TO 'read committed'; SET lock_timeout TO '{PATIENCE_S:.0f}s'"
        )
        return Connection(self.address.url, self._counted, settings=settings, alone=False, yields=True)

    def begin(self, db: Connection) -> None:
        """Begin a transaction once nobody else writes; over a new connection if the old one is lost meanwhile.

        Since writers take turns, none can fail because of what another one does at the same time.

        Raises Failed, after half a minute if somebody else does not end its own.
        """
        db.revive()
        try:
            self._begin(db)
        except Failed:
            if not db.wire.is_lost:
                raise
            # It has said nothing yet, so that nothing comes twice.
            db.revive()
            self._begin(db)

    def _begin(self, db: Connection) -> None:
        give_up_s, pause_s = time.monotonic() + PATIENCE_S, RETRY_S
        db.execute("BEGIN")
        try:
            while not db.execute("SELECT pg_try_advisory_xact_lock(?)", (self._lock,)).fetchone()[0]:
                if time.monotonic() >= give_up_s:
                    raise Failed("55P03", f"{self.address}, {self.name}: another one writes, and does not end")
                time.sleep(pause_s)
                pause_s = min(2 * pause_s, RETRY_MAX_S)
        except BaseException:
            if not db.wire.is_lost:
                db.execute("ROLLBACK")
            raise

    def known(self, db: Connection) -> int | None:
        """Return the number of the last revision that is there, 0 if there is nothing; None for anything else."""
        query = "SELECT tablename FROM pg_tables WHERE schemaname = ?"
        tables = {row[0] for row in db.execute(query, (self.name,)).fetchall()}
        if "revision" in tables:
            return int(db.execute("SELECT number FROM revision").fetchone()[0])
        return None if tables else 0

    def migrate(self, db: Connection, *, forward: bool = True) -> None:
        """Run the revisions that are not there, all or none of them. Raises SchemaMismatch, Failed."""
        last = len(self._revisions)
        if self.known(db) == last:
            return
        self.begin(db)
        try:
            self.run(db, forward=forward)
            db.execute("COMMIT")
        except BaseException:
            if not db.wire.is_lost:
                db.execute("ROLLBACK")
            raise

    def run(self, db: Connection, *, forward: bool) -> None:
        """Run the revisions that are not there, inside a transaction. Raises SchemaMismatch."""
        last, where = len(self._revisions), f"{self.address}, {self.name},"
        known = self.known(db)
        if known is None:
            raise SchemaMismatch(f"{where} holds tables that are none of a {self.name}'s, or a part of a move")
        if known > last:
            raise SchemaMismatch(f"{where} is of revision {known}; this version knows {last}")
        if 0 < known < last and not forward:
            raise SchemaMismatch(
                f"{where} is of revision {known}, this version is of {last}: start its scheduler first"
            )
        if known == 0:
            db.script(f"CREATE SCHEMA IF NOT EXISTS {self.name}; CREATE TABLE revision (number BIGINT NOT NULL)")
            db.execute("INSERT INTO revision VALUES (0)")
        for text in self._revisions[known:]:
            for statement in schema.statements(text):
                if statement.split(None, 1)[0].upper() in _CHANGES:
                    # Through the connection, which numbers rows.
                    db.execute(statement)
                else:
                    db.script(schema.translated(statement))
        db.execute("UPDATE revision SET number = ?", (last,))


def _words(path: Path) -> str:
    """Return a revision for PostgreSQL."""
    own = path.parent / "postgresql" / path.name
    return (own if own.exists() else path).read_text()
