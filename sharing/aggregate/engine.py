"""DuckDB with one table and nothing else: what it could otherwise reach is off, and stays off."""

from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow as pa

from sharing.aggregate.statement import Statement

MEMORY = "256MB"
HARDENING = (
    "SET enable_external_access=false",
    "SET python_enable_replacements=false",
    "SET allow_community_extensions=false",
    "SET autoinstall_known_extensions=false",
    "SET autoload_known_extensions=false",
    f"SET memory_limit='{MEMORY}'",
    "SET threads=1",
    "SET max_temp_directory_size='0B'",
    "SET lock_configuration=true",
)
"""In this order: the last one takes away that anything is set again. What each closes was tried: docs/aggregates.md."""


class Engine:
    """One table `facts` in memory, and answers about it."""

    def __init__(self, facts: pa.Table) -> None:
        self._db = duckdb.connect(":memory:")
        self._db.register("given", facts)
        self._db.execute("CREATE TABLE facts AS SELECT * FROM given")
        self._db.unregister("given")
        for text in HARDENING:
            self._db.execute(text)

    def rows(self, statement: Statement) -> Sequence[tuple[Any, ...]]:
        """Return the rows of a statement."""
        found: list[tuple[Any, ...]] = self._db.execute(statement.text, list(statement.values)).fetchall()
        return found
