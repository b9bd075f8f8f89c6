"""kill -9 of PostgreSQL and of the scheduler among submissions: every answer holds, and nothing is there twice."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import grpc
import pytest

pytest.importorskip("psycopg")

from palaestra.channel import authorization
from scheduler.postgres import opening
from tests.cluster import Cluster
from tests.scheduler import test_crash
from tests.scheduler.nursery import Nursery
from tests.scheduler.process import FILE
from tests.scheduler.test_crash import Crowd, first_answer, free_address
from tests.scheduler.test_standby import until

JOBS = 500
# Who is killed is gone at once; a busy machine is not to be taken for a scheduler that hangs.
LEADER_TTL_S = 30.0
_SESSIONS = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'palaestra %'"


@pytest.fixture
def mortal(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, for a test that kills it; it is there again afterwards."""
    yield cluster
    cluster.revive()


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("scheduler.__main__") as found:
        yield found


class Child:
    """A scheduler of a nursery's, on a database in PostgreSQL."""

    def __init__(self, nursery: Nursery, folder: Path, url: str, listen: str = "127.0.0.1:0") -> None:
        folder.mkdir(exist_ok=True)
        self._nursery, self._data, self._log = nursery, folder / "data", folder / "log"
        (folder / "venue.toml").write_text(f"{FILE}\n[scheduler]\nleader_ttl_s = {LEADER_TTL_S}\n")
        (self._data / "scheduler.address").unlink(missing_ok=True)
        arguments = ["--venue", str(folder / "venue.toml"), "--data", str(self._data), "--listen", listen]
        self.pid = nursery.start("scheduler.__main__:main", self._log, *arguments, "--database", url)

    def await_address(self) -> None:
        until("it listens", (self._data / "scheduler.address").exists)

    def token(self, name: str) -> str:
        return (self._data / "tokens" / f"{name}.token").read_text().strip()

    def output(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def signal(self, what: signal.Signals) -> None:
        os.kill(self.pid, what)

    def code(self) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        return self._nursery.wait(self.pid)


class Supervisor:
    """Starts the scheduler again whenever it has ended, as the venue's supervisor does. Use as a context."""

    def __init__(self, nursery: Nursery, folder: Path, url: str) -> None:
        self.address = free_address()
        self.codes: list[int] = []
        self._ended = False
        self._start = partial(Child, nursery, folder, url, self.address)
        self.child = self._start()
        self.child.await_address()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> "Supervisor":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended = True
        while self._thread.is_alive():
            # One may just have been started.
            with suppress(ProcessLookupError):
                self.child.signal(signal.SIGKILL)
            self._thread.join(0.1)

    def _watch(self) -> None:
        while True:
            code = self.child.code()
            if self._ended:
                return
            self.codes.append(code)
            self.child = self._start()


@pytest.mark.slow
def test_no_answer_is_lost_and_nothing_is_there_twice_after_kill_9_of_either(
    mortal: Cluster, nursery: Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database dies twice among the submissions, and the scheduler once; both come back by themselves."""
    # What is still under way when the scheduler ends by itself is cancelled: no answer, and asked again.
    monkeypatch.setattr(test_crash, "AGAIN", (*test_crash.AGAIN, grpc.StatusCode.CANCELLED))
    target = mortal.fresh()
    with Supervisor(nursery, tmp_path, target.url) as supervisor:
        metadata = authorization(supervisor.child.token("vendor-acme"))
        first_answer(supervisor.address, metadata, time.monotonic())
        with Crowd(supervisor.address, metadata, JOBS) as crowd:
            for number, what in enumerate(("database", "scheduler", "database")):
                crowd.share = (number + 1) / 4
                crowd.await_answer()
                if what == "scheduler":
                    supervisor.child.signal(signal.SIGKILL)
                else:
                    mortal.kill()
                    time.sleep(0.2)
                    mortal.start()
                first_answer(supervisor.address, metadata, time.monotonic())
            crowd.finish()
        assert not crowd.failures
        output = supervisor.child.output()
    with closing(opening.open_reader(target)) as db:
        rows = db.execute("SELECT request_id, 'vendors/acme/jobs/' || uid FROM job").fetchall()
        assert dict(map(tuple, rows)) == crowd.answered, "every answer is there, and nothing else"
        assert len(rows) == crowd.jobs
        submitted = db.execute("SELECT count(*), max(seq) - min(seq) + 1 FROM event WHERE kind = 'job.submitted'")
        assert submitted.fetchone()[0] == crowd.jobs, "one event for each"
    # Killed once, and ended by itself with its own code when the database had died.
    assert -9 in supervisor.codes and 1 in supervisor.codes, (supervisor.codes, output)


def test_a_second_scheduler_is_kept_out_and_the_next_gets_in_when_the_first_is_killed(
    cluster: Cluster, nursery: Nursery, tmp_path: Path
) -> None:
    target = cluster.fresh()
    first = Child(nursery, tmp_path / "one", target.url)
    first.await_address()
    second = Child(nursery, tmp_path / "two", target.url)
    assert second.code() == 2
    assert "is in use by the scheduler with session id" in second.output()
    first.signal(signal.SIGKILL)
    assert first.code() == -signal.SIGKILL
    with closing(opening.open_reader(target)) as db:
        until("the server has noticed", lambda: not db.execute(_SESSIONS).fetchall())
    third = Child(nursery, tmp_path / "three", target.url)
    third.await_address()
    third.signal(signal.SIGTERM)
    assert third.code() == 0


def test_a_server_that_comes_up_late_is_waited_for(mortal: Cluster, nursery: Nursery, tmp_path: Path) -> None:
    target = mortal.fresh()
    mortal.kill()
    child = Child(nursery, tmp_path, target.url)
    until("it says so", lambda: "cannot be reached yet" in child.output())
    mortal.start()
    child.await_address()
    child.signal(signal.SIGTERM)
    assert child.code() == 0


def test_a_password_is_in_no_output(cluster: Cluster, nursery: Nursery, tmp_path: Path) -> None:
    url = cluster.address("missing").url.replace("postgres@", "postgres:hidden@")
    child = Child(nursery, tmp_path, url)

    assert child.code() == 2
    assert "does not exist" in child.output()
    assert "hidden" not in child.output()
