"""The scheduler as a process: what it refuses to start with, its tokens, and kill -9."""

import random
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import grpc
import pytest

from palaestra import ids
from palaestra.channel import authorization
from palaestra.v1 import job_service_pb2, job_service_pb2_grpc
from scheduler.configuration import BadConfiguration, Settings, settings_of
from tests.scheduler.site import VENUE, job

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
FILE = """
[venue]
id = "hall"
[[vendor]]
id = "acme"
[[unit]]
id = "arm-1"
robot = "own_arm"
"""


class Process:
    """`python -m scheduler` on a folder; its output goes to a file."""

    def __init__(self, folder: Path, listen: str = "127.0.0.1:0", file: str = FILE, data: Path | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self.data = data or folder / "data"
        self._log = folder / "log"
        (folder / "venue.toml").write_text(file)
        if data is None:
            (self.data / "scheduler.address").unlink(missing_ok=True)
        arguments = ["--venue", str(folder / "venue.toml"), "--data", str(self.data), "--listen", listen]
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "scheduler", *arguments]
            self._child = subprocess.Popen(command, stdout=log, stderr=log, cwd=ROOT)

    def address(self) -> str:
        """Wait until it listens; return where."""
        found = self.data / "scheduler.address"
        give_up_s = time.monotonic() + PATIENCE_S
        while not found.exists():
            assert self._child.poll() is None, self.output()
            assert time.monotonic() < give_up_s
            time.sleep(0.005)
        return found.read_text().strip()

    def token(self, name: str) -> str:
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def output(self) -> str:
        return self._log.read_text()

    def code(self) -> int:
        """Wait for its end; return the exit code."""
        return self._child.wait(PATIENCE_S)

    def terminate(self) -> int:
        self._child.terminate()
        return self.code()

    def kill(self) -> None:
        self._child.kill()
        self._child.wait()


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    process = Process(tmp_path_factory.mktemp("first"))
    process.address()
    yield process
    process.kill()


def test_a_second_scheduler_on_the_database_refuses_to_start(first: Process, tmp_path: Path) -> None:
    second = Process(tmp_path / "second", data=first.data)

    assert second.code() == 2
    assert "is in use by the scheduler with process id" in second.output()
    assert "Traceback" not in second.output()


def test_a_database_of_another_schema_is_refused_with_what_to_do(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with closing(sqlite3.connect(data / "scheduler.db")) as db:
        db.execute("PRAGMA user_version=1")
    process = Process(tmp_path / "process", data=data)

    assert process.code() == 2
    assert "move the data folder away" in process.output()
    assert "Traceback" not in process.output()


def test_a_second_scheduler_on_the_port_refuses_to_start(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = Process(tmp_path / "p", listen=address)
        assert process.code() == 2
    assert f"cannot listen on {address}" in process.output()
    assert "Traceback" not in process.output()


def test_two_schedulers_never_share_a_port(first: Process, tmp_path: Path) -> None:
    """gRPC would let them, silently, if it were not told otherwise."""
    second = Process(tmp_path / "second", listen=first.address())

    assert second.code() == 2
    assert "cannot listen" in second.output()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.1.2.3:7400", "example:7400"])
def test_without_tls_only_loopback_is_listened_on(tmp_path: Path, listen: str) -> None:
    process = Process(tmp_path / "p", listen=listen)

    assert process.code() == 2
    assert "not a loopback address" in process.output()


def test_a_broken_venue_file_is_refused_with_its_field(tmp_path: Path) -> None:
    process = Process(tmp_path / "p", file=FILE.replace('robot = "own_arm"', "robot = 7"))

    assert process.code() == 2
    assert "unit arm-1: robot is 7" in process.output()
    assert "Traceback" not in process.output()


def test_a_database_of_another_venue_is_refused(tmp_path: Path) -> None:
    before = Process(tmp_path / "p")
    before.address()
    assert before.terminate() == 0
    after = Process(tmp_path / "p", file=FILE.replace("hall", "barn"))

    assert after.code() == 2
    assert "'barn', the database is that of venue 'hall'" in after.output()


BROKEN = {
    "[venue] needs an id": ({"venue": {}}, "id is ''"),
    "a name is text": ({"venue": {"id": "v", "name": 3}}, "name is 3"),
    "a venue is a table": ({"venue": "v"}, "venue is 'v'"),
    "ids have no slash": ({"vendor": [{"id": "a/b"}]}, "vendor: id is 'a/b'"),
    "vendors are tables": ({"vendor": "acme"}, "vendor is 'acme'"),
    "somebody must be there": ({"vendor": []}, "at least one"),
    "nobody is there twice": ({"vendor": [{"id": "a"}, {"id": "a"}]}, "vendor a occurs twice"),
    "weights are positive": ({"vendor": [{"id": "a", "weight": 0}]}, "vendor a: weight is 0"),
    "weights are numbers": ({"vendor": [{"id": "a", "weight": True}]}, "vendor a: weight is True"),
    "levels are 1 to 4": ({"cell": [{"id": "c", "level": 5}]}, "cell c: level is 5"),
    "places are finite": ({"cell": [{"id": "c", "x_m": float("nan")}]}, "cell c: x_m is nan"),
    "units have a robot": ({"unit": [{"id": "u"}]}, "unit u needs a robot"),
    "labels are texts": ({"unit": [{"id": "u", "robot": "r", "labels": {"a": 1}}]}, "unit u: labels: a is 1"),
    "times are positive": ({"scheduler": {"lease_ttl_s": -1}}, "[scheduler] lease_ttl_s is -1"),
    "misspelt settings": ({"scheduler": {"lease_ttl": 5}}, "[scheduler] has no lease_ttl"),
    "half a job": ({"scheduler": {"queued_jobs_max": 0.5}}, "queued_jobs_max is 0.5"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_setting_that_cannot_be_is_named(case: str) -> None:
    tables, problem = BROKEN[case]
    with pytest.raises(BadConfiguration) as caught:
        settings_of(VENUE | tables, "file.toml")

    assert problem in str(caught.value)
    assert str(caught.value).startswith("file.toml: ")


def test_the_venues_that_come_along_can_be_used() -> None:
    for path in (ROOT / "configs" / "venues").glob("*.toml"):
        assert Settings.load(path).venue.vendors


def test_tokens_are_minted_once_for_their_owner_alone(tmp_path: Path) -> None:
    process = Process(tmp_path / "p")
    process.address()
    names = {path.name for path in (process.data / "tokens").iterdir()}
    before = {name: (process.data / "tokens" / name).read_text() for name in names}
    modes = {(process.data / "tokens" / name).stat().st_mode & 0o777 for name in names}
    assert process.terminate() == 0
    (process.data / "tokens" / "operator.token").write_text("")
    process = Process(tmp_path / "p")
    process.address()

    assert names == {f"{name}.token" for name in ("vendor-acme", "operator", "host", "runner")}
    assert modes == {0o600}
    assert (process.data / "tokens").stat().st_mode & 0o777 == 0o700
    assert len(set(before.values())) == 4
    assert process.token("vendor-acme") == before["vendor-acme.token"].strip()
    assert len(process.token("operator")) > 40, "one that a crash left empty is minted anew"
    assert not any(token.strip() in process.output() for token in before.values())
    process.kill()


KILLS = 20
CALLERS = 4
JOBS_EACH = 100


@pytest.mark.slow
def test_no_acknowledged_job_is_lost_and_none_is_doubled_by_kill_9(tmp_path: Path) -> None:
    """Four callers submit 400 jobs, again with the same request id until they have an answer, while the scheduler is
    killed 20 times at random moments and started again on its port."""
    process = Process(tmp_path / "p")
    address = process.address()
    metadata = authorization(process.token("vendor-acme"))
    answered: list[dict[str, str]] = [{} for _ in range(CALLERS)]
    failures: list[str] = []
    done = threading.Event()

    def submit(index: int) -> None:
        options = [("grpc.initial_reconnect_backoff_ms", 20), ("grpc.min_reconnect_backoff_ms", 20),
                   ("grpc.max_reconnect_backoff_ms", 100)]  # fmt: skip
        with grpc.insecure_channel(address, options) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
            for _ in range(JOBS_EACH):
                request_id = ids.new_request_id()
                request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(), request_id=request_id)
                while not done.is_set():
                    try:
                        name = stub.SubmitJob(request, timeout=10.0, metadata=metadata).name
                    except grpc.RpcError as error:
                        if error.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):  # type: ignore[attr-defined]
                            failures.append(str(error))
                            return
                        time.sleep(0.01)
                    else:
                        answered[index][request_id] = name
                        break
                # Spread over the kills.
                while len(answered[index]) > JOBS_EACH * (kills + 1) / KILLS and not done.is_set():
                    time.sleep(0.002)

    kills = 0
    chance = random.Random(7)
    callers = [threading.Thread(target=submit, args=(index,)) for index in range(CALLERS)]
    for caller in callers:
        caller.start()
    try:
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.0, 0.15))
            process.kill()
            process = Process(tmp_path / "p", listen=address)
            process.address()
            kills += 1
        for caller in callers:
            caller.join(PATIENCE_S)
        assert not failures
        assert [len(each) for each in answered] == [JOBS_EACH] * CALLERS
        with grpc.insecure_channel(address) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
            request = job_service_pb2.ListJobsRequest(parent="vendors/acme", page_size=1000)
            there = [each.name for each in stub.ListJobs(request, timeout=PATIENCE_S, metadata=metadata).jobs]
    finally:
        done.set()
        process.kill()

    names = [name for each in answered for name in each.values()]
    assert sorted(there) == sorted(names), "every answer is there, and nothing else"
    assert len(set(there)) == CALLERS * JOBS_EACH
