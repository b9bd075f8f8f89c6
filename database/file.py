"""A file of SQLite's: opened, made, and brought forward by numbered revisions.

WAL with synchronous=FULL: a commit that returned is on the disk. The number of the last revision is the file's
`user_version`; revisions are never changed once a venue may have run them, and only go forward.
"""

import sqlite3
from collections.abc import Sequence
from pathlib import Path

BUSY_PATIENCE_S = 30.0


class SchemaMismatch(Exception):
    """The tables were made by a later version of their room, or by an older one where they must stay as they are."""


def open_writer(path: Path, revisions: Sequence[Path], *, forward: bool = True) -> sqlite3.Connection:
    """Open the file, made or brought to the last revision if it has to be. Raises SchemaMismatch.

    forward: Whether an older file is brought forward; False where a scheduler that knows no newer one may be using it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    db = _connect(path)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("PRAGMA foreign_keys=ON")
    path.chmod(0o600)
    try:
        migrate(db, path, revisions, forward=forward)
    except BaseException:
        db.close()
        raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that there is, to look. Raises sqlite3.OperationalError if there is none."""
    if not path.exists():
        # SQLite would make an empty one in its place.
        raise sqlite3.OperationalError(f"{path.name} is not there")
    db = _connect(path)
    db.execute("PRAGMA query_only=ON")
    return db


def migrate(db: sqlite3.Connection, path: Path, revisions: Sequence[Path], *, forward: bool = True) -> None:
    """Run the revisions that the file does not have, all or none of them. Raises SchemaMismatch.

    forward: Whether a file that has some already gets the others; an empty one gets all in any case.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        known: int = db.execute("PRAGMA user_version").fetchone()[0]
        if known > len(revisions):
            raise SchemaMismatch(f"{path} is of revision {known}; this version knows {len(revisions)}")
        if 0 < known < len(revisions) and not forward:
            raise SchemaMismatch(
                f"{path} is of revision {known}, this version is of {len(revisions)}: start its scheduler first"
            )
        for number, revision in enumerate(revisions[known:], known + 1):
            for statement in statements(revision.read_text()):
                db.execute(statement)
            db.execute(f"PRAGMA user_version={number}")
        db.execute("COMMIT")
    except BaseException:
        db.execute("ROLLBACK")
        raise


def statements(script: str) -> list[str]:
    """Return the statements of a script; triggers have semicolons inside."""
    found, open_lines = [], ""
    for line in script.splitlines():
        if line.startswith("--"):
            continue
        open_lines += line + "\n"
        if sqlite3.complete_statement(open_lines):
            if open_lines.strip():
                found.append(open_lines.strip())
            open_lines = ""
    if open_lines.strip():
        raise ValueError(f"an unfinished statement: {open_lines.strip()[:80]}")
    return found


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_PATIENCE_S, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    # 64 MiB of pages and the file mapped: what a search reads is mostly the upper part of a few indices.
    db.execute("PRAGMA cache_size=-65536")
    db.execute("PRAGMA mmap_size=1073741824")
    return db
