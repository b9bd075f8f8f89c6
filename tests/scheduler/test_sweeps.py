"""What is looked after several times a second costs the same, however many wait and whatever is in the books."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import job_service_pb2
from scheduler import events
from scheduler.commands import ending, reserving
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.sql import is_file
from scheduler.writer import Command
from tests.scheduler.site import batch_command, job
from tests.scheduler.stepping import Venue

FEW, MANY = 200, 2_000
# Of the database's own machine: a few more for deeper trees.
MORE_MAX = 1.1
SWEEPS: dict[str, Callable[[], Command[Any]]] = {
    "of leases and attempts": ending.sweep,
    "of reservations": lambda: reserving.sweep(900.0),
    "of old events": lambda: lambda tx: events.forget_old(tx, 10**9),
}


def submit(venue: Venue, count: int) -> None:
    for _ in range(count // 100):
        requests = [job_service_pb2.SubmitJobRequest(job=job(1)) for _ in range(100)]
        batch = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests)
        venue.run(batch_command("acme", batch, Catalogue(), Limits()))


def steps(venue: Venue, command: Command[Any]) -> int:
    """Return how many instructions of SQLite's machine a command takes."""
    count = 0

    def one_more() -> None:
        nonlocal count
        count += 1

    venue.db.set_progress_handler(one_more, 1)
    try:
        venue.run(command)
    finally:
        venue.db.set_progress_handler(None, 1)
    return count


@pytest.mark.parametrize("which", SWEEPS)
def test_a_sweep_costs_the_same_with_ten_times_as_many_jobs_that_wait(tmp_path: Path, which: str) -> None:
    venue = Venue(tmp_path / "v.db")
    if not is_file(venue.db):
        pytest.skip("counts the instructions of SQLite")
    sweep = SWEEPS[which]
    submit(venue, FEW)
    venue.run(sweep())
    before = steps(venue, sweep())
    submit(venue, MANY - FEW)
    venue.run(sweep())
    assert steps(venue, sweep()) <= MORE_MAX * before
