"""`python -m scheduler.targets DATABASE`: print the factors of the weights as JSON. Started by the scheduler.

A process of its own, of low priority: whatever becomes of it, deciding goes on with the targets that it has.
"""

import argparse
import json
import os
import sys
import time

from scheduler import database
from scheduler.targets.demand import problem
from scheduler.targets.model import Unsolved, factors, solve

NICENESS = 10


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scheduler.targets", description=__doc__)
    parser.add_argument("database", type=database.place, help=database.PLACE_HELP)
    parser.add_argument("--time-limit-s", type=float, default=10.0)
    options = parser.parse_args()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    db = database.open_reader(options.database)
    asked = problem(db, time.time_ns())
    db.close()
    try:
        found = solve(asked, options.time_limit_s)
    except Unsolved as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({"level": found.level, "factors": factors(asked, found)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
