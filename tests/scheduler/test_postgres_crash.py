"""kill -9 of PostgreSQL and of the scheduler among submissions: every answer holds, and nothing is there twice."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

pytest.importorskip("psycopg")

from palaestra.channel import authorization
from scheduler import database
from scheduler.postgres import opening
from tests.scheduler import test_crash
from tests.scheduler.cluster import Cluster, started
from tests.scheduler.process import PATIENCE_S, Process
from tests.scheduler.test_crash import Crowd, first_answer, free_address

JOBS = 500


@pytest.fixture
def mortal() -> Iterator[Cluster]:
    """A cluster of the test's own, which it may kill."""
    with started() as found:
        yield found


class Supervisor:
    """Starts the scheduler again whenever it has ended, as the venue's supervisor does. Use as a context."""

    def __init__(self, folder: Path, url: str) -> None:
        self.address = free_address()
        self.codes: list[int] = []
        self._folder, self._environment = folder, {**os.environ, database.ENVIRONMENT: url}
        self._stop = threading.Event()
        self.process = self._start()
        self.process.address()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Supervisor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.process.kill()

    def _start(self) -> Process:
        return Process(self._folder, self.address, environment=self._environment)

    def _watch(self) -> None:
        while not self._stop.wait(0.05):
            code = self.process._child.poll()
            if code is not None:
                self.codes.append(code)
                self.process = self._start()


@pytest.mark.slow
def test_no_answer_is_lost_and_nothing_is_there_twice_after_kill_9_of_either(
    mortal: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database dies twice among the submissions, and the scheduler once; both come back by themselves."""
    # What is still under way when the scheduler ends by itself is cancelled: no answer, and asked again.
    monkeypatch.setattr(test_crash, "AGAIN", (*test_crash.AGAIN, grpc.StatusCode.CANCELLED))
    target = mortal.fresh()
    with Supervisor(tmp_path, target.url) as supervisor:
        metadata = authorization(supervisor.process.token("vendor-acme"))
        first_answer(supervisor.address, metadata, time.monotonic())
        with Crowd(supervisor.address, metadata, JOBS) as crowd:
            for number, what in enumerate(("database", "scheduler", "database")):
                crowd.share = (number + 1) / 4
                crowd.await_answer()
                if what == "scheduler":
                    supervisor.process.kill()
                else:
                    mortal.kill()
                    time.sleep(0.2)
                    mortal.start()
                first_answer(supervisor.address, metadata, time.monotonic())
            crowd.finish()
        assert not crowd.failures
        output = supervisor.process.output()
    with closing(opening.open_reader(target)) as db:
        rows = db.execute("SELECT request_id, 'vendors/acme/jobs/' || uid FROM job").fetchall()
        assert dict(map(tuple, rows)) == crowd.answered, "every answer is there, and nothing else"
        assert len(rows) == crowd.jobs
        submitted = db.execute("SELECT count(*), max(seq) - min(seq) + 1 FROM event WHERE kind = 'job.submitted'")
        assert submitted.fetchone()[0] == crowd.jobs, "one event for each"
    # Killed once, and ended by itself with its own code when the database had died.
    assert -9 in supervisor.codes and 1 in supervisor.codes, (supervisor.codes, output)


def test_a_second_scheduler_is_kept_out_and_the_next_gets_in_when_the_first_is_killed(
    cluster: Cluster, tmp_path: Path
) -> None:
    target = cluster.fresh()
    environment = {database.ENVIRONMENT: target.url}
    first = Process(tmp_path / "one", environment=environment)
    try:
        first.address()
        second = Process(tmp_path / "two", environment=environment)
        assert second.code() == 2
        assert "is in use by the scheduler with session id" in second.output()
    finally:
        first.kill()
    third = Process(tmp_path / "three", environment=environment)
    third.address()
    assert third.terminate() == 0


def test_a_server_that_comes_up_late_is_waited_for(mortal: Cluster, tmp_path: Path) -> None:
    target = mortal.fresh()
    mortal.kill()
    process = Process(tmp_path, environment={database.ENVIRONMENT: target.url})
    give_up_s = time.monotonic() + PATIENCE_S
    while "cannot be reached yet" not in process.output():
        assert time.monotonic() < give_up_s, process.output()
        time.sleep(0.05)
    mortal.start()
    process.address()
    assert process.terminate() == 0


def test_a_password_is_in_no_output(cluster: Cluster, tmp_path: Path) -> None:
    url = cluster.address("missing").url.replace("postgres@", "postgres:hidden@")
    process = Process(tmp_path, environment={database.ENVIRONMENT: url})

    assert process.code() == 2
    assert "does not exist" in process.output()
    assert "hidden" not in process.output()
