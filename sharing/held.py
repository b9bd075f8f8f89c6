"""`python -m sharing.held FOLDER`: the versions under agreements that are not over, for whoever removes what is old.

A line each, as JSON: the data set's name, the first version and the last, 0 for all that come; "end" as the last line.
"""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sharing.database import open_reader


def main(arguments: list[str]) -> int:
    """Run the command and return the exit code: 0 done, 1 refused, 2 wrongly called."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    path = Path(arguments[0]) / "sharing.db"
    if not path.is_file():
        print(f"sharing: {path} is not there", file=sys.stderr)
        return 1
    for one in held(path, time.time()):
        print(json.dumps(one))
    print('"end"')
    return 0


def held(path: Path, now_s: float) -> Iterator[tuple[str, int, int]]:
    """Yield data set, first and last version of each agreement that is neither revoked nor over."""
    db = open_reader(path)
    try:
        rows = db.execute("SELECT data_set, document FROM agreement WHERE revoked_s IS NULL ORDER BY digest")
        for row in rows:
            terms = json.loads(row["document"])["terms"]
            if terms["valid_until_s"] > now_s:
                yield row["data_set"], int(terms["first_version"]), int(terms["last_version"])
    finally:
        db.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
