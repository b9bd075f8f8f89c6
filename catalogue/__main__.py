"""The catalogue by hand, on the machine that has its file; a scheduler may be using it at the same time.

    python -m catalogue enter FILE            take episodes that no scheduler tells of, as imported ones
    python -m catalogue unscored FILE METHOD  print those without a score by METHOD, as JSON lines
    python -m catalogue score FILE METHOD     take scores

`enter` reads one encoded `palaestra.v1.Episode` in base64 a line and prints how many were new; `score` reads a line of
JSON an episode, {"uid", "quality", "parts", "labels"}, and prints how many are other than before. A file of an older
revision is refused, never brought forward: the scheduler that uses it may know no newer one.
"""

import base64
import json
import math
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catalogue import Catalogue, SchemaMismatch
from catalogue.catalogue import Change
from catalogue.entry import entries_of

BY = "venue"
"""Who is told to have scored: whoever may write the file is the venue's operator."""
BATCH = 500


def main(arguments: list[str]) -> int:
    """Run one command and return the exit code: 0 done, 1 refused, 2 wrongly called."""
    command, *rest = arguments or [""]
    if len(rest) != {"enter": 1, "unscored": 2, "score": 2}.get(command, -1):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        catalogue = Catalogue(Path(rest[0]), forward=False)
    except SchemaMismatch as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    try:
        if command == "enter":
            bodies = [base64.b64decode(line, validate=True) for line in sys.stdin.buffer.read().split()]
            print(catalogue.add(entries_of(bodies)))
        elif command == "unscored":
            _unscored(catalogue, rest[1])
        else:
            print(_score(catalogue, rest[1], sys.stdin.buffer))
    except ValueError as error:
        print(f"catalogue: {error}", file=sys.stderr)
        return 1
    finally:
        catalogue.close()
    return 0


def _unscored(catalogue: Catalogue, method: str) -> None:
    number = 0
    while page := catalogue.unscored(method, after=number, size=BATCH):
        for one in page:
            print(json.dumps({"uid": one.uid, "sha256": one.sha256}))
        number = page[-1].id


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
