"""`python -m scheduler migrate --data FOLDER`: bring the database of a stopped scheduler to the newest revision."""

import argparse
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from scheduler import database
from scheduler.migrations.upgrade import MigrationFailed, upgrade


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 if the database could not be migrated and is as it was."""
    parser = argparse.ArgumentParser(prog="python -m scheduler migrate", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the database, which is backed up first")
    path = parser.parse_args(arguments).data / database.FILE
    try:
        done = upgrade(path, say=print)
    except (
        database.DatabaseInUse, database.SchemaMismatch, MigrationFailed, CommandError, SQLAlchemyError, sqlite3.Error,
        OSError,
    ) as error:  # fmt: skip
        print(f"error: {error}; nothing was changed", file=sys.stderr)
        return 2
    if done is None:
        print(f"{path} is of revision {database.REVISION}, the newest; nothing to do")
        return 0
    for step in done.steps:
        print(f"  {step}")
    print(
        f"revision {done.after}, {done.rows:,} rows, schema, integrity and references checked ({done.duration_s:.1f} s)"
    )
    print(f"to go back, put the backup in place of {path} while no scheduler runs; remove {path.name}-wal and -shm")
    return 0
