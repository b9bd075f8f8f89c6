"""The catalogue by hand, on the venue's machine; a scheduler may be using it at the same time.

    python -m catalogue enter PLACE            take episodes that no scheduler tells of, as imported ones
    python -m catalogue unscored PLACE METHOD  print those without a score by METHOD, as JSON lines
    python -m catalogue score PLACE METHOD     take scores
    python -m catalogue usage PLACE            print what each vendor has, as JSON lines
    python -m catalogue named PLACE            print what is named, and what was removed: a word, an id, a hash
    python -m catalogue expire PLACE [--apply] print what has to go by a policy, as JSON lines, and let it go
    python -m catalogue move FILE URL          bring it from a file into PostgreSQL, while the venue is stopped
    python -m catalogue back FILE              let the file go on after a move, without all that happened since

PLACE is a file, postgresql://..., or - for what $PALAESTRA_CATALOGUE says; so is URL. A move that was cut off goes on
when it is called again.

`enter` reads one encoded `palaestra.v1.Episode` in base64 a line and prints how many were new; `score` reads a line of
JSON an episode, {"uid", "quality", "parts", "labels"}, and prints how many are other than before; `expire` one line of
JSON, {"policy": {"days", "vendors", "rejected_days", "datasets"}, "held": [[data set, first, last], ...]}. A file of an
older revision is refused, never brought forward: the scheduler that uses it may know no newer one.
"""

import base64
import json
import math
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from catalogue import Catalogue, HasMoved, SchemaMismatch
from catalogue.catalogue import Change
from catalogue.entry import entries_of
from catalogue.keeping import BadPolicy, Held, Policy
from catalogue.place import place
from database.address import Address, NoPlace
from database.sql import ERRORS

BY = "venue"
"""Who is told to have scored: whoever may write the file is the venue's operator."""
BATCH = 500
ARGUMENTS = {
    "enter": 1, "unscored": 2, "score": 2, "usage": 1, "named": 1, "expire": 1, "move": 2, "back": 1,
}  # fmt: skip


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code: 0 done, 1 refused, 2 wrongly called."""
    command, *rest = arguments or [""]
    apply = command == "expire" and rest[1:] == ["--apply"]
    if len(rest) - apply != ARGUMENTS.get(command, -1):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        if command in ("move", "back"):
            return _move(Path(rest[0]), rest[1] if command == "move" else "")
        catalogue = Catalogue(place(rest[0]), forward=False)
    except (SchemaMismatch, HasMoved, NoPlace, OSError, *ERRORS) as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    try:
        if command == "enter":
            bodies = [base64.b64decode(line, validate=True) for line in sys.stdin.buffer.read().split()]
            print(catalogue.add(entries_of(bodies)))
        elif command == "unscored":
            _unscored(catalogue, rest[1])
        elif command == "usage":
            for one in catalogue.keeping.usage():
                print(json.dumps(asdict(one)))
        elif command == "named":
            for word, found in (("episode", catalogue.keeping.named()), ("removed", catalogue.keeping.removed())):
                for uid, sha256 in found:
                    print(word, uid, sha256)
            print("end")
        elif command == "expire":
            _expire(catalogue, json.loads(sys.stdin.read()), apply=apply)
        else:
            print(_score(catalogue, rest[1], sys.stdin.buffer))
    except (ValueError, *ERRORS) as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    finally:
        catalogue.close()
    return 0


def _move(path: Path, url: str) -> int:
    """Move a file into PostgreSQL, or let it go on if there is no URL."""
    target = place(url) if url else None
    if target is not None and not isinstance(target, Address):
        raise NoPlace(f"{url} is no postgresql://...")
    from catalogue import moving  # psycopg is an extra
    from database.postgres.copying import NotMoved

    try:
        if target is None:
            where = moving.back(path)
            print(f"{path} goes on from where it was; what happened in {where} since is not in it")
            return 0
        found = moving.move(path, target)
    except NotMoved as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    width = max(map(len, found.tables))
    for table, content in found.tables.items():
        print(f"  {table:{width}}  {content.rows:>10,} rows  sha256 {content.sha256[:16]}")
    rows = sum(content.rows for content in found.tables.values())
    print(f"{rows:,} rows in {len(found.tables)} tables, the same on both sides, in {found.duration_s:.1f} s")
    print(f"sha256 {found.sha256}")
    print(f'from now on set [catalogue] database = "{target}" in the venue file; nobody opens {path} any more')
    return 0


def _unscored(catalogue: Catalogue, method: str) -> None:
    number = 0
    while page := catalogue.unscored(method, after=number, size=BATCH):
        for one in page:
            print(json.dumps({"uid": one.uid, "sha256": one.sha256}))
        number = page[-1].id


def _expire(catalogue: Catalogue, said: dict[str, Any], *, apply: bool) -> None:
    try:
        policy, held = Policy(**said["policy"]), [Held(*one) for one in said["held"]]
    except (TypeError, KeyError) as error:
        raise BadPolicy(f"policy: {error}") from error
    for one in catalogue.keeping.expire(policy, held, now_ns=time.time_ns(), apply=apply):
        print(json.dumps(asdict(one)))


def _score(catalogue: Catalogue, method: str, lines: Iterable[bytes]) -> int:
    changes = dict(_change(json.loads(line), method) for line in lines)
    uids = list(changes)
    return sum(
        catalogue.score({uid: changes[uid] for uid in uids[i : i + BATCH]}, by=BY, now_ns=time.time_ns())
        for i in range(0, len(uids), BATCH)
    )


def _change(said: dict[str, Any], method: str) -> tuple[str, Change]:
    """Return whom a line is about and what it says. Raises ValueError for numbers that are no shares of 1."""
    numbers = {"quality": float(said["quality"]), **{key: float(value) for key, value in said["parts"].items()}}
    for key, value in numbers.items():
        if not (math.isfinite(value) and 0 <= value <= 1):
            raise ValueError(f"{said['uid']}: {key} is {value}, from 0 to 1")
    quality = numbers.pop("quality")
    return said["uid"], Change(dict(said.get("labels", {})), (), quality, numbers, method)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
