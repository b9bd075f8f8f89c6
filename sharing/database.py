"""The room's SQLite file, kept as the catalogue's: numbered revisions that only go forward, each commit on the disk."""

import sqlite3
from pathlib import Path

from catalogue import database

REVISIONS = sorted((Path(__file__).parent / "revisions").glob("[0-9]*.sql"))


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file, made or brought to the last revision if it has to be. Raises catalogue.database.SchemaMismatch."""
    return database.open_writer(path, REVISIONS)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that there is, to look."""
    return database.open_reader(path)
