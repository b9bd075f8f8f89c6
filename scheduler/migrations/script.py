"""Runs the SQL of a revision, statement by statement, inside the migration's transaction."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from alembic import op


def run(script: str, postgresql: str | None = None) -> None:
    """Execute SQL text. `sqlite3.executescript` would commit what came before it; this does not.

    postgresql: What to execute in PostgreSQL, in its own words; None: the same, translated. Raises Untranslatable.
    """
    if op.get_bind().dialect.name == "postgresql":
        from database.postgres import schema

        # By the driver itself, for whom a percent sign without parameters is one.
        connection: Any = op.get_bind().connection.dbapi_connection
        connection.execute(schema.translated(script) if postgresql is None else postgresql)
        return
    for statement in statements(script):
        op.get_bind().exec_driver_sql(statement)


def statements(script: str) -> Iterator[str]:
    """Split at the ends of lines where a statement is complete; a trigger's body stays whole. Raises ValueError."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement.strip()
            statement = ""
    rest = [line for line in statement.splitlines() if line.strip() and not line.strip().startswith("--")]
    if rest:
        raise ValueError(f"the SQL ends in the middle of a statement: {rest[0]}")
