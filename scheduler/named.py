"""`python -m scheduler named --data FOLDER`: which stored objects the database names, for whoever removes the others.

A line each: "episode ID HASH" for what was recorded, "artifact HASH" for what jobs have made or were given, and "end"
as the last one. Of jobs every run of 64 hexadecimal digits counts, whatever it means there: to keep too much costs
room, to keep too little somebody's work.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from palaestra.v1 import episode_pb2
from scheduler import database
from scheduler.configuration import BadConfiguration, Settings
from scheduler.sql import ERRORS, Connection

ARTIFACTS = {"job": ("spec", "progress", "result", "failure", "checkpoint"), "attempt": ("failure",)}
"""Where objects are named beside the table of episodes; what events and decisions repeat has its home here."""
BATCH = 1_000
# Also where digits go on before or after: each 64 of them in a row may be one.
_DIGEST = re.compile(rb"(?=([0-9a-f]{64}))")


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 for a database that cannot be used."""
    parser = argparse.ArgumentParser(prog="python -m scheduler named", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the database")
    parser.add_argument("--venue", type=Path, help="the venue file, which may name another database")
    options = parser.parse_args(arguments)
    try:
        url = os.environ.get(database.ENVIRONMENT, "")
        if not url and options.venue is not None:
            url = Settings.load(options.venue).database
        place = database.place(url) if url else options.data / database.FILE
        database.must_exist(place)
        db = database.open_reader(place)
        try:
            for uid, sha256 in episodes(db):
                print("episode", uid, sha256)
            for sha256 in artifacts(db):
                print("artifact", sha256)
        finally:
            db.close()
        print("end")
    except (BadConfiguration, ValueError, OSError, *ERRORS) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def episodes(db: Connection) -> Iterator[tuple[str, str]]:
    """Yield the id and the content's hash of every episode."""
    number = 0
    text = "SELECT id, uid, body FROM episode WHERE id > ? ORDER BY id LIMIT ?"
    while rows := db.execute(text, (number, BATCH)).fetchall():
        number = rows[-1]["id"]
        for row in rows:
            sha256 = episode_pb2.Episode.FromString(row["body"]).content.sha256
            if sha256:
                yield row["uid"], sha256


def artifacts(db: Connection) -> Iterator[str]:
    """Yield what may be the hash of an object in jobs and their attempts, each once."""
    seen: set[str] = set()
    for table, columns in ARTIFACTS.items():
        for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}"):
            for column in columns:
                for found in _DIGEST.finditer(bytes(row[column] or b"")):
                    sha256 = found[1].decode()
                    if sha256 not in seen:
                        seen.add(sha256)
                        yield sha256
