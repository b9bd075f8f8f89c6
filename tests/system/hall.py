"""A whole venue for tests, started as anybody would start it."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from palaestra import Client
from palaestra.v1 import job_pb2, venue_pb2
from venue.process import Process
from venue.profile import Profile
from venue.supervisor import Supervisor

VENUE = Path(__file__).with_name("hall.toml")
# How long a test waits for what must happen: many times what a quiet machine needs.
PATIENCE_S = 100.0
ENDED = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})


class Hall:
    """The running venue, a client for each vendor and one for the operator."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.supervisor = supervisor
        address = supervisor.scheduler_address
        self.operator = Client(address, supervisor.token("operator"), timeout_s=60.0)
        self.acme = Client(address, supervisor.token("vendor-acme"), timeout_s=60.0)
        self.bolt = Client(address, supervisor.token("vendor-bolt"), timeout_s=60.0)

    def close(self) -> None:
        for client in (self.operator, self.acme, self.bolt):
            client.close()

    def read(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return rows of the scheduler's database."""
        db = sqlite3.connect(f"file:{self.supervisor.data / 'scheduler.db'}?mode=ro", uri=True, timeout=10.0)
        db.row_factory = sqlite3.Row
        try:
            return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def until(self, client: Client, name: str, holds: Callable[[job_pb2.Job], bool]) -> job_pb2.Job:
        """Return the job as soon as `holds` of it; fail if it ends before or never."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not holds(job := client.job(name)):
            assert job.state not in ENDED, f"{name} ended: {job}"
            assert time.monotonic() < give_up_s, f"not in {PATIENCE_S} s: {job}"
            time.sleep(0.05)
        return job

    def checked(self, unit: str) -> venue_pb2.Unit:
        """Return a unit as soon as it is of good health, after the check that followed its reset."""
        give_up_s = time.monotonic() + PATIENCE_S
        while (found := self.operator.unit(unit)).health != venue_pb2.UNIT_HEALTH_GOOD:
            assert time.monotonic() < give_up_s, f"not in {PATIENCE_S} s: {found}"
            time.sleep(0.1)
        return found

    def process(self, name: str) -> Process:
        return self.supervisor.process(name)


def is_running(job: job_pb2.Job) -> bool:
    return job.state == job_pb2.JOB_STATE_RUNNING


def succeeded(job: job_pb2.Job) -> job_pb2.Job:
    assert job.state == job_pb2.JOB_STATE_SUCCEEDED, str(job)
    return job


@contextmanager
def open_hall(data: Path, venue: Path = VENUE) -> Iterator[Hall]:
    supervisor = Supervisor(Profile.load(venue), data)
    try:
        supervisor.start()
        hall = Hall(supervisor)
        try:
            yield hall
        finally:
            hall.close()
    finally:
        supervisor.stop()
