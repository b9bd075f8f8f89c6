"""Runs the SQL of a revision, statement by statement, inside the migration's transaction."""

import sqlite3
from collections.abc import Iterator

from alembic import op


def run(script: str) -> None:
    """Execute SQL text. `sqlite3.executescript` would commit what came before it; this does not."""
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
