"""Opens a venue's database in PostgreSQL: once for writing, any number of times for reading.

The writer's session holds an advisory lock of the database. So the lock and the power to commit are one: a scheduler
that has lost its connection has lost both, and a second one is kept out for exactly as long. Which of several
schedulers may ask for it, and when the session of one that hangs is ended, `seat.py` says.
"""

import logging
import secrets
import time
from collections.abc import Callable

from database.address import Address
from database.postgres import schema
from database.postgres.connection import Connection
from scheduler import database, sql
from scheduler.postgres import vendors
from scheduler.sql import Failed

log = logging.getLogger(__name__)
# "palaestr" as a number; locks are each database's own.
LOCK = int.from_bytes(b"palaestr", "big")
# How long a server that is being started is waited for, and the session of a scheduler that has just been killed.
CONNECT_PATIENCE_S = 30.0
LOCK_PATIENCE_S = 10.0
RETRY_S = 0.1
COUNTED = schema.counted(database.SCHEMA)
REMEMBERED = schema.remembered(database.SCHEMA)


def open_writer(address: Address, owner: str = "") -> Connection:
    """Open the only connection that writes; make the schema if the database is empty.

    owner: The instance that leads; under its name the session can be ended, see `seat.py`.
    Raises DatabaseInUse, SchemaMismatch; Failed if the server cannot be reached within half a minute.
    """
    db = connect_patiently(address)
    try:
        # Before it has the lock, so that no session that has it is without a name.
        name(db, owner)
        lock(db, address)
        prepare(db, address)
        vendors.install(db)
        # Durable when acknowledged, whatever the server's own setting says.
        db.script("SET synchronous_commit TO on")
    except BaseException:
        db.close()
        raise
    return db


def open_reader(address: Address, vendor: Callable[[], str | None] = lambda: None) -> Connection:
    """Open a connection that cannot write. Raises Failed.

    vendor: Says for whom a statement reads that is no part of a transaction; None: for the house.
    """
    return Connection(address.url, COUNTED, read_only=True, vendor=vendor)


def connect_patiently(address: Address, patience_s: float = CONNECT_PATIENCE_S) -> Connection:
    """Connect for writing to a server that may not have come up yet. Raises Failed when patience is at its end."""
    give_up_s = time.monotonic() + patience_s
    told = False
    while True:
        try:
            return Connection(address.url, COUNTED, REMEMBERED)
        except Failed as error:
            # A wrong password or name does not mend itself; the server says which it is in words only.
            if not _may_come(error) or time.monotonic() >= give_up_s:
                raise Failed(error.sqlstate, f"{address}: {error}") from None
            if not told:
                log.warning("%s cannot be reached yet: %s", address, error)
                told = True
        time.sleep(RETRY_S)


def name(db: Connection, instance: str) -> None:
    """Say in the server's list of sessions which scheduler a session is of."""
    if instance:
        db.execute("SELECT set_config('application_name', ?, false)", (f"palaestra {instance}",)).fetchone()


def prepare(db: Connection, address: Address) -> None:
    """Make the schema if the database is empty; to be called under the lock then. Raises SchemaMismatch."""
    found = revision(db)
    if found == "":
        create(db)
    elif found != database.REVISION:
        raise database.SchemaMismatch(refusal(address, found))


def lock(db: Connection, address: Address) -> None:
    """Take the lock for as long as the connection lives. Raises DatabaseInUse."""
    give_up_s = time.monotonic() + LOCK_PATIENCE_S
    while not db.execute("SELECT pg_try_advisory_lock(?)", (LOCK,)).fetchone()[0]:
        if time.monotonic() >= give_up_s:
            row = db.execute(
                """
                SELECT a.pid, coalesce(host(a.client_addr), 'this machine') FROM pg_locks l
                JOIN pg_stat_activity a ON a.pid = l.pid
                WHERE l.locktype = 'advisory' AND l.granted AND l.classid = (? >> 32) AND l.objid = (? & 4294967295)
                  AND a.datname = current_database()
                """,
                (LOCK, LOCK),
            ).fetchone()
            owner = f"session {row[0]} from {row[1]}" if row is not None else "another session"
            raise database.DatabaseInUse(f"{address} is in use by another scheduler ({owner})")
        time.sleep(RETRY_S)


def create(db: Connection) -> None:
    """Make the schema in an empty database, in one transaction."""
    db.script(
        f"BEGIN;\n{schema.created(database.SCHEMA)}"
        f"INSERT INTO alembic_version VALUES ('{database.REVISION}');"
        f"INSERT INTO meta VALUES ('secret', '\\x{secrets.token_hex(32)}'); COMMIT"
    )


def revision(db: sql.Connection) -> str | None:
    """Return the revision of a database, "" for an empty one, None for one that has none."""
    tables = {name for (name,) in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")}
    if "alembic_version" in tables:
        rows = [row[0] for row in db.execute("SELECT version_num FROM alembic_version")]
        if len(rows) == 1:
            return str(rows[0])
    return None if tables else ""


def refusal(address: Address, found: str | None) -> str:
    """Say why a database cannot be used as it is, and what to do."""
    if database.is_older(found):
        return (
            f"{address} is of revision {found}, this scheduler needs {database.REVISION}: have the server make a "
            f"backup, then run `python -m scheduler migrate --database -` with the address in ${database.ENVIRONMENT}"
        )
    if found:
        return (
            f"{address} is of revision {found}, which this scheduler does not know (its own is {database.REVISION}), "
            "so a newer one has written it: go on with that version, or put back a backup"
        )
    return f"{address} holds tables that are none of a scheduler's: give it an empty database of its own"


def _may_come(error: Failed) -> bool:
    text = str(error)
    return "starting up" in text or "shutting down" in text or "recovery" in text or (
        error.sqlstate.startswith("08") and "FATAL" not in text
    )  # fmt: skip
