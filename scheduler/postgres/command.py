"""`python -m scheduler move --data FOLDER --to URL`: move a stopped venue from its file into PostgreSQL.

The database must be there, empty, and the role in the URL its owner. "--to -" takes the URL from the environment.
`--back` instead of `--to` takes the mark off the file that keeps schedulers from it since.
"""

import argparse
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from database.address import NoPlace
from scheduler import database
from scheduler.sql import ERRORS


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 if nothing was moved."""
    parser = argparse.ArgumentParser(prog="python -m scheduler move", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the database, which is only read")
    parser.add_argument("--to", default="-", metavar="URL", help=f"postgresql://...; default: ${database.ENVIRONMENT}")
    parser.add_argument(
        "--back", action="store_true", help="let a file go on whose venue has moved: without all that happened since"
    )
    options = parser.parse_args(arguments)
    path = options.data / database.FILE
    if options.back:
        return _back(path)
    try:
        target = database.place(options.to)
    except NoPlace as error:
        return _refused(error)
    if isinstance(target, Path):
        return _refused(f"{options.to} is no postgresql://...")
    from database.postgres.copying import NotMoved  # psycopg is an extra
    from scheduler.postgres.moving import move

    try:
        found = move(path, target)
    except (NotMoved, OSError, database.DatabaseInUse, database.HasMoved, database.SchemaMismatch, *ERRORS) as error:
        return _refused(error)
    width = max(map(len, found.tables))
    for table, content in found.tables.items():
        print(f"  {table:{width}}  {content.rows:>10,} rows  sha256 {content.sha256[:16]}")
    rows = sum(content.rows for content in found.tables.values())
    print(f"{rows:,} rows in {len(found.tables)} tables, the same on both sides, in {found.duration_s:.1f} s")
    print(f"sha256 {found.sha256}")
    print(
        f'from now on set [scheduler] database = "{target}" in the venue file; no scheduler starts on {path} any more'
    )
    return 0


def _back(path: Path) -> int:
    try:
        database.must_exist(path)
        lock = database.DatabaseLock(path)
        try:
            with closing(database.open_file_to_read(path)) as db:
                where = database.moved_to(db)
            if not where:
                return _refused(f"{path} says nothing of a move")
            database.mark_moved(path, "")
        finally:
            lock.release()
    except (OSError, database.DatabaseInUse, *ERRORS) as error:
        return _refused(error)
    print(f"{path} goes on from where it was; what happened in {where} since is not in it, and must not go on there")
    return 0


def _refused(reason: object) -> int:
    print(f"error: {reason}; nothing was moved", file=sys.stderr)
    return 2
