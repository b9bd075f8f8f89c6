"""`python -m scheduler migrate --data FOLDER`: bring the database of a stopped scheduler to the newest revision.

`--database URL` instead for one in PostgreSQL, of which the server's own backups are the only ones; "-" takes the URL
from the environment. With `--venue FILE` beside `--data` it is the database that a scheduler of that venue would open.
"""

import argparse
import os
import sqlite3
import sys
from collections.abc import Sequence
from pathlib import Path

from alembic.util import CommandError
from sqlalchemy.exc import SQLAlchemyError

from database.address import NoPlace
from database.postgres.dialect import Untranslatable
from scheduler import configuration, database
from scheduler.migrations.upgrade import MigrationFailed, upgrade
from scheduler.sql import Failed


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 if the database could not be migrated and is as it was."""
    parser = argparse.ArgumentParser(prog="python -m scheduler migrate", description=__doc__)
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--data", type=Path, help="folder of the database, which is backed up first")
    which.add_argument(
        "--database", metavar="URL", help=f"postgresql://..., or - for what ${database.ENVIRONMENT} says"
    )
    parser.add_argument("--venue", type=Path, metavar="FILE", help="the venue file, which may name a database")
    options = parser.parse_args(arguments)
    try:
        url = options.database if options.database is not None else _named_by(options.venue)
    except configuration.BadConfiguration as error:
        return _refused(error)
    if url:
        return _in_postgres(url)
    path = options.data / database.FILE
    try:
        done = upgrade(path, say=print)
    except (
        database.DatabaseInUse, database.SchemaMismatch, MigrationFailed, CommandError, SQLAlchemyError, sqlite3.Error,
        OSError,
    ) as error:  # fmt: skip
        return _refused(error)
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


def _named_by(venue: Path | None) -> str:
    """Return the address that environment or venue file name, "" where the database is the folder's file."""
    if venue is None:
        return ""
    return os.environ.get(database.ENVIRONMENT, "") or configuration.Settings.load(venue).database


def _in_postgres(url: str) -> int:
    try:
        place = database.place(url)
    except NoPlace as error:
        return _refused(error)
    if isinstance(place, Path):
        return _refused(f"{url} is no postgresql://...")
    import psycopg  # an extra

    from scheduler.postgres.upgrade import upgrade as upgrade_there

    try:
        done = upgrade_there(place, say=print)
    except (
        database.DatabaseInUse, database.SchemaMismatch, MigrationFailed, Untranslatable, CommandError, SQLAlchemyError,
        psycopg.Error, Failed,
    ) as error:  # fmt: skip
        return _refused(error)
    if done is None:
        print(f"{place} is of revision {database.REVISION}, the newest; nothing to do")
        return 0
    for step in done.steps:
        print(f"  {step}")
    print(f"revision {done.after}, schema checked ({done.duration_s:.1f} s)")
    return 0


def _refused(error: object) -> int:
    print(f"error: {error}; nothing was changed", file=sys.stderr)
    return 2
