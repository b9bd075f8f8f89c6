"""The events of a grant are made of what was written and not of what is read: they tell what a reader finds."""

from pathlib import Path
from typing import Any

from palaestra import jobs
from palaestra.v1 import event_pb2
from scheduler import resources
from scheduler.commands import running
from tests.scheduler.stepping import UNITS, VENUE, Venue

CLAIMS: list[dict[str, Any]] = [
    {"units": [jobs.unit(robot_model="own_arm", count=2)], "cell": jobs.cell(scenario="assembly"), "seats": 1},
    {"sim_slots": 3, "robot_model": "own_arm"},
    {"units": [jobs.unit(robot_model="own_arm")], "sim_slots": 1, "chargers": 1},
]
FOUND: dict[str, tuple[str, Any]] = {
    "job": ("SELECT * FROM job WHERE uid = ?", resources.job),
    "lease": (f"{resources.LEASES} WHERE l.uid = ?", resources.lease),
}
PLACES: dict[str, tuple[str, Any]] = {
    "unit": (f"{resources.UNITS} WHERE u.id = ?", resources.unit),
    "sim_slot": (f"{resources.SLOTS} WHERE s.id = ?", resources.slot),
    "cell": (f"{resources.CELLS} WHERE c.id = ?", resources.cell),
}


def told(venue: Venue, after: int) -> list[str]:
    """Compare what the events after a number tell with what is read now; return their kinds."""
    rows = venue.rows("SELECT * FROM event WHERE seq > ? ORDER BY seq", after)
    for row in rows:
        event = event_pb2.Event.FromString(row["body"])
        what = event.WhichOneof("state") or ""
        body: Any = getattr(event, what)
        name = body.name.split("/")[-1]
        if what in FOUND:
            query, of_row = FOUND[what]
            read: Any = of_row(venue.db, venue.rows(query, name)[0])
        else:
            query, of_place = PLACES[what]
            read = of_place("hall", venue.rows(query, name)[0])
        if what == "job":
            # Written before its own event had a number.
            assert read.sequence == row["seq"]
            read.sequence = body.sequence
        assert body == read
        assert row["resource"] == body.name
    return [row["kind"] for row in rows]


def last_seq(venue: Venue) -> int:
    found: int = venue.rows("SELECT coalesce(max(seq), 0) FROM event")[0][0]
    return found


def test_each_event_of_a_grant_tells_what_is_read_of_its_thing_also_at_a_second_try(tmp_path: Path) -> None:
    venue = Venue(tmp_path / "db", VENUE)
    venue.run(running.register_runner("r", "r/1", 6))
    venue.hello(UNITS)
    for claim in CLAIMS:
        venue.run(venue.submit(jobs.collect(motion="sway", **claim)))
    before = last_seq(venue)
    venue.writer._run_cycle()

    kinds = told(venue, before)
    assert sorted(set(kinds)) == ["cell.leased", "job.granted", "lease.granted", "sim_slot.leased", "unit.leased"]
    assert [kinds.count(kind) for kind in ("job.granted", "unit.leased", "sim_slot.leased")] == [3, 3, 4]

    # One attempt is lost, and the job is granted again.
    row = venue.rows("SELECT * FROM job WHERE attempt_count = 1 ORDER BY id")[1]
    name = f"vendors/acme/jobs/{row['uid']}/attempts/1"
    venue.run(running.start(name, "r/1"))
    venue.run(running.register_runner("r", "r/2", 6))
    venue.clock.pass_s(600.0)
    before = last_seq(venue)
    venue.writer._run_cycle()

    assert "job.granted" in told(venue, before)
    assert venue.rows("SELECT attempt_count FROM job WHERE id = ?", row["id"])[0][0] == 2
