"""A scheduler with a planted defect: some grants go to jobs although another lease holds the unit.

With the unique index in place the database refuses them; see `test_never_doubled`.
"""

import random
import sqlite3
from dataclasses import replace
from typing import Any

from scheduler import __main__ as scheduler
from scheduler.commands import granting

SHARE = 0.1


def plant() -> None:
    """Have grants of one unit go wrong now and then, from now on in this process."""
    chance, grant = random.Random(1), granting.grant

    def defective(tx: Any, grants: Any, *rest: Any) -> None:
        held = sorted(row[0] for row in tx.db.execute("SELECT DISTINCT unit FROM lease_unit WHERE free_ns IS NULL"))

        def wrong(decided: Any) -> Any:
            if len(decided.units) == 1 and held and chance.random() < SHARE:
                return replace(decided, units=(chance.choice(held),))
            return decided

        grant(tx, [(wrong(decided), duration_s) for decided, duration_s in grants], *rest)

    granting.grant = defective


def drop_indices(path: str) -> None:
    """Take away what makes a doubled grant impossible."""
    db = sqlite3.connect(path)
    db.execute("DROP INDEX one_lease_per_unit")
    db.commit()
    db.close()


def main() -> int:
    """Serve with the defect."""
    plant()
    return scheduler.main()
