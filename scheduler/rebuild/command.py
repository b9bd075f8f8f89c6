"""`python -m scheduler rebuild DATABASE`: show a past of the venue from its events, or check the events by the tables.

Without --at: rebuild the present from all events, compare it with the tables, and say what differs.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence

from scheduler import database
from scheduler.lifecycle import JobState, LeaseState
from scheduler.rebuild import tables
from scheduler.rebuild.record import Gap, Record, rebuild
from scheduler.sql import ERRORS, Connection

SHOWN = 20


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0; 1: events and tables differ; 2: a database or option of no use."""
    parser = argparse.ArgumentParser(prog="python -m scheduler rebuild", description=__doc__)
    parser.add_argument("database", type=database.place, help=database.PLACE_HELP)
    parser.add_argument("--at", type=int, metavar="SEQUENCE", help="the number of the event up to which to rebuild")
    options = parser.parse_args(arguments)
    try:
        database.must_exist(options.database)
        db = database.open_reader(options.database)
        try:
            found = database.revision(db)
            if found != database.REVISION:
                raise database.SchemaMismatch(database.refusal(options.database, found or None))
            # One look at the database, though a scheduler may go on writing.
            db.execute("BEGIN")
            record = rebuild(events(db), options.at)
            wrong = tables.differences(record.rows, tables.rows(db)) if options.at is None else []
        finally:
            db.close()
    except Gap as gap:
        print(f"error: {gap}: the venue keeps `events_kept` events, and the past cannot be rebuilt from less than all",
              file=sys.stderr)  # fmt: skip
        return 2
    except (OSError, *ERRORS, database.SchemaMismatch) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(described(record))
    for line in wrong[:SHOWN]:
        print(f"  {line}")
    if options.at is None:
        print(f"{len(wrong)} rows differ from the tables" if wrong else "the tables are what the events tell")
    return 1 if wrong else 0


def events(db: Connection) -> Iterator[tuple[int, int, str, bytes]]:
    """Return all events in order, as `rebuild` takes them."""
    for row in db.execute("SELECT seq, time_ns, kind, body FROM event ORDER BY seq"):
        yield row["seq"], row["time_ns"], row["kind"], row["body"]


def described(record: Record) -> str:
    """Say in a few lines how things stood."""
    jobs = Counter(JobState(row["state"]).name.lower() for row in record.rows["job"].values())
    leases = {key[0]: row for key, row in record.rows["lease"].items()}
    held = [
        f"  {key[1]}  epoch {row['epoch']}  lease {key[0]} ({LeaseState(leases[str(key[0])]['state']).name.lower()})"
        for key, row in sorted(record.rows["lease_unit"].items(), key=lambda item: str(item[0][1]))
        if row["free_ns"] is None
    ]
    states = ", ".join(f"{count} {state}" for state, count in sorted(jobs.items())) or "none"
    return "\n".join([f"after event {record.sequence}", f"jobs: {states}", f"units held: {len(held)}", *held])
