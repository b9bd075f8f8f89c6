"""Brings a database in PostgreSQL to the newest revision: the same revisions as a file's, in one transaction.

A revision's SQL is translated as the schema is (`schema.translated`), unless it brings words of its own for
PostgreSQL. What the scheduler makes anew at a start if it is not there, marks of changes and vendors' policies, is
taken away before, so that it holds no table fast. Afterwards the database is compared with one that is made at once:
in a namespace of its own, inside the same transaction; a database's owner may make one.
"""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import psycopg
from alembic import command
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from database.address import Address
from database.postgres import schema
from database.postgres.wire import limited
from scheduler import database
from scheduler.migrations.shape import Shape, differences
from scheduler.migrations.upgrade import OWN, Chain, MigrationFailed
from scheduler.postgres import marks, opening, vendors

# Where the tables are made that the others are compared with.
NAMESPACE = "palaestra_wanted"


@dataclass(frozen=True)
class Upgrade:
    """What was done."""

    before: str
    after: str
    steps: list[str]
    duration_s: float


def upgrade(address: Address, chain: Chain = OWN, say: Callable[[str], None] = lambda text: None) -> Upgrade | None:
    """Migrate a database that no scheduler leads on; return None if there is nothing to do.

    Killed at any moment, the database is of the old revision or of the new one, and complete. There is no backup but
    the server's own.

    Raises DatabaseInUse, SchemaMismatch for a database that no revision leads on from, MigrationFailed; sql.Failed,
    psycopg.Error and SQLAlchemyError for what the server refuses. In each case the database is as before.
    """
    started_s = time.monotonic()
    # Its lock keeps schedulers out, and lasts as long as this session.
    with closing(opening.connect_patiently(address)) as held:
        opening.lock(held, address)
        found = opening.revision(held)
        if not found or not found.isdecimal() or found > chain.head:
            raise database.SchemaMismatch(opening.refusal(address, found or None))
        if found == chain.head:
            return None
        say(f"{address} is of revision {found}, {chain.head} is the newest")
        steps = chain.steps(found)
        _run(address, chain)
    return Upgrade(found, chain.head, steps, time.monotonic() - started_s)


def shape_of(db: "psycopg.Connection[Any]", namespace: str) -> Shape:
    """Return every table and function of a namespace by "kind name", as values that are equal if they mean the same.

    Of a table: its columns in order, constraints, further indexes, triggers. Names that the server gives are left out.
    """
    db.execute(f"SET LOCAL search_path TO {namespace}")
    found: Shape = {
        f"table {name}": {"columns": [], "constraints": [], "indexes": [], "triggers": [], "logged": logged}
        for name, logged in db.execute(_TABLES, {"namespace": namespace})
    }
    for part, query in _PARTS.items():
        for table, *told in db.execute(query, {"namespace": namespace}):
            listed = found[f"table {table}"][part]
            assert isinstance(listed, list)
            # What stands in another namespace is named with it.
            listed.append(tuple(_plain(one, namespace) for one in told))
    for name, text in db.execute(_FUNCTIONS, {"namespace": namespace}):
        found[f"function {name}"] = {"text": " ".join(text.split())}
    return found


def _run(address: Address, chain: Chain) -> None:
    """Run the revisions and check what they made, all in one transaction."""
    engine = create_engine(
        "postgresql+psycopg://", creator=lambda: psycopg.connect(limited(address.url)), poolclass=StaticPool
    )
    try:
        with engine.begin() as connection:
            db: Any = connection.connection.dbapi_connection
            db.execute("SET LOCAL synchronous_commit TO on")
            own = db.execute("SELECT current_schema()").fetchone()[0]
            db.execute(marks.REMOVE)
            db.execute(vendors.REMOVE)
            config = chain.config()
            config.attributes["connection"] = connection
            command.upgrade(config, chain.head)
            present = [row[0] for row in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", [own])]
            db.execute(schema.remembering(chain.schema, present))
            db.execute(f"CREATE SCHEMA {NAMESPACE}; SET LOCAL search_path TO {NAMESPACE}")
            db.execute(schema.created(chain.schema))
            wanted = shape_of(db, NAMESPACE)
            wrong = differences(shape_of(db, own), wanted)
            if wrong:
                raise MigrationFailed(f"the migrations do not lead to the schema: {'; '.join(wrong)}")
            db.execute(f"SET LOCAL search_path TO {own}; DROP SCHEMA {NAMESPACE} CASCADE")
    finally:
        engine.dispose()


def _plain(told: Any, namespace: str) -> Any:
    return told.replace(f"{namespace}.", "") if isinstance(told, str) else told


_OF = "c.relnamespace = %(namespace)s::regnamespace AND c.relkind = 'r'"
_TABLES = f"SELECT c.relname, c.relpersistence FROM pg_class c WHERE {_OF} ORDER BY 1"
_PARTS = {
    "columns": f"""
        SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
          pg_get_expr(d.adbin, d.adrelid), a.attcollation::regcollation::text
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE {_OF} ORDER BY c.relname, a.attnum
    """,
    "constraints": f"""
        SELECT c.relname, pg_get_constraintdef(o.oid) FROM pg_class c JOIN pg_constraint o ON o.conrelid = c.oid
        WHERE {_OF} AND o.contype IN ('p', 'u', 'f', 'c') ORDER BY 1, 2
    """,
    "indexes": f"""
        SELECT c.relname, pg_get_indexdef(i.indexrelid) FROM pg_class c JOIN pg_index i ON i.indrelid = c.oid
        WHERE {_OF} AND NOT EXISTS (SELECT 1 FROM pg_constraint o WHERE o.conindid = i.indexrelid AND o.contype != 'f')
        ORDER BY c.relname, i.indexrelid::regclass::text
    """,
    "triggers": f"""
        SELECT c.relname, pg_get_triggerdef(t.oid), t.tgenabled::text FROM pg_class c
        JOIN pg_trigger t ON t.tgrelid = c.oid AND NOT t.tgisinternal WHERE {_OF} ORDER BY c.relname, t.tgname
    """,
}
_FUNCTIONS = "SELECT proname, prosrc FROM pg_proc WHERE pronamespace = %(namespace)s::regnamespace ORDER BY 1"
