"""Disks that are full, read-only or broken: no answer is false, reads go on, and what must end says why."""

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from palaestra import ids
from palaestra.channel import authorization
from palaestra.errors import REASONS, PalaestraError, from_rpc
from palaestra.v1 import job_service_pb2, job_service_pb2_grpc
from scheduler import database, disk
from scheduler.sql import Failed
from tests.scheduler.faulty import (
    FINE,
    FULL,
    READ_ONLY,
    SYNC_FAILS,
    SYNC_FAILS_ONCE,
    WRITES_FAIL,
    Disk,
)  # fmt: skip
from tests.scheduler.nursery import Nursery
from tests.scheduler.process import FILE, PATIENCE_S
from tests.scheduler.site import job
from venue.process import Process

Request = job_service_pb2.SubmitJobRequest


class Lab:
    """Starts schedulers whose disk can fail."""

    def __init__(self, base: Path) -> None:
        self.disk = Disk(base)
        self.base = base
        self.nursery = Nursery("scheduler.__main__", environment=self.disk.environment)
        (base / "venue.toml").write_text(FILE)


class Patient:
    """A scheduler with its data on the failing disk, and a client of it."""

    def __init__(self, lab: Lab, data: Path) -> None:
        self._lab = lab
        self._data = data
        self.disk = lab.disk
        self.log = lab.base / f"{data.name}.log"
        self._channel: grpc.Channel | None = None
        self.start()

    def start(self) -> None:
        self.disk.mode = FINE
        (self._data / "scheduler.address").unlink(missing_ok=True)
        self.pid = self.spawn()
        give_up_s = time.monotonic() + PATIENCE_S
        while not (self._data / "scheduler.address").exists():
            assert time.monotonic() < give_up_s, self.log.read_text()
            time.sleep(0.005)
        address = (self._data / "scheduler.address").read_text().strip()
        self._metadata = authorization((self._data / "tokens" / "vendor-acme.token").read_text().strip())
        if self._channel is not None:
            self._channel.close()
        self._channel = grpc.insecure_channel(address)
        self._stub: Any = job_service_pb2_grpc.JobServiceStub(self._channel)  # type: ignore[no-untyped-call]

    def spawn(self) -> int:
        arguments = [
            "--venue",
            str(self._lab.base / "venue.toml"),
            "--data",
            str(self._data),
            "--listen",
            "127.0.0.1:0",
        ]
        return self._lab.nursery.start("scheduler.__main__:main", self.log, *arguments)

    def code(self) -> int:
        return self._lab.nursery.wait(self.pid)

    def end(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self._lab.nursery.kill(self.pid)

    def submit(self, request_id: str) -> str:
        """Return the job's name. Raises PalaestraError."""
        request = Request(parent="vendors/acme", job=job(), request_id=request_id)
        try:
            return str(self._stub.SubmitJob(request, timeout=20.0, metadata=self._metadata).name)
        except grpc.RpcError as error:
            raise from_rpc(error) from None

    def batch(self, request_ids: list[str]) -> list[str]:
        requests = [Request(parent="vendors/acme", job=job(), request_id=each) for each in request_ids]
        request = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests, atomic=True)
        try:
            answer = self._stub.BatchSubmitJobs(request, timeout=20.0, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc(error) from None
        return [result.job.name for result in answer.results]

    def there(self) -> list[str]:
        request = job_service_pb2.ListJobsRequest(parent="vendors/acme", page_size=1000)
        return sorted(each.name for each in self._stub.ListJobs(request, timeout=20.0, metadata=self._metadata).jobs)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    found = Lab(tmp_path_factory.mktemp("lab"))
    with found.nursery:
        yield found


@pytest.fixture
def patient(lab: Lab, request: pytest.FixtureRequest) -> Iterator[Patient]:
    found = Patient(lab, lab.disk.folder / str(abs(hash(request.node.name))))
    yield found
    found.disk.mode = FINE
    found.end()


def new(count: int = 1) -> list[str]:
    return [ids.new_request_id() for _ in range(count)]


@pytest.mark.parametrize(("mode", "reason"), [(FULL, "DISK_FULL"), (READ_ONLY, "DISK_READ_ONLY")])
def test_a_disk_that_takes_nothing_refuses_with_its_reason_is_read_on_and_heals(
    patient: Patient, mode: bytes, reason: str
) -> None:
    before = [patient.submit(*new()), *patient.batch(new(3))]
    single, several = new(), new(60)
    patient.disk.mode = mode
    for _ in range(3):
        with pytest.raises(PalaestraError) as caught:
            patient.submit(*single)
        assert (caught.value.reason, caught.value.retry_after_s) == (reason, disk.RETRY_S)
        assert "nothing was stored" in str(caught.value)
        with pytest.raises(PalaestraError) as caught:
            patient.batch(several)
        assert caught.value.reason == reason
        assert patient.there() == sorted(before), "reads go on"
    assert patient.disk.failures
    patient.disk.mode = FINE
    after = [patient.submit(*single), *patient.batch(several)]

    assert patient.there() == sorted(before + after)
    assert [patient.submit(*single), *patient.batch(several)] == after
    assert patient.log.read_text().count(f"commit failed, {reason}") == 1, "it is said once"
    patient.end()
    patient.start()
    assert patient.there() == sorted(before + after)


@pytest.mark.parametrize("mode", [SYNC_FAILS_ONCE, SYNC_FAILS, WRITES_FAIL])
def test_after_a_failed_write_or_fsync_nothing_is_tried_again_and_it_ends(patient: Patient, mode: bytes) -> None:
    """An fsync after one that failed would succeed and prove nothing."""
    before = [patient.submit(*new()), *patient.batch(new(3))]
    (unsure,) = new()
    patient.disk.mode = mode
    with pytest.raises(PalaestraError) as caught:
        patient.submit(unsure)
    # The sweep may have met with it first, and the process be gone already.
    assert caught.value.reason in ("DISK_FAILED", "SHUTTING_DOWN", "UNAVAILABLE"), caught.value
    assert patient.code() == 1
    assert "the database cannot be written any more, so the scheduler ends" in patient.log.read_text()
    assert "Traceback" not in patient.log.read_text()
    patient.start()
    there = set(patient.there())

    assert set(before) <= there
    assert len(there) <= len(before) + 1
    name = patient.submit(unsure)
    assert set(patient.there()) == {*before, name}, "once, whether it had been stored or not"


@pytest.mark.parametrize(("mode", "problem"), [(FULL, "full|No space"), (READ_ONLY, "Read-only|read-only|readonly")])
def test_no_scheduler_starts_on_a_disk_that_takes_nothing_and_it_says_so(lab: Lab, patient: Patient, mode: bytes,
                                                                         problem: str) -> None:  # fmt: skip
    name = patient.submit(*new())
    patient.end()
    patient.log.unlink()
    patient.disk.mode = mode
    patient.pid = patient.spawn()

    assert patient.code() == 2
    assert any(word in patient.log.read_text() for word in problem.split("|")), patient.log.read_text()
    assert "Traceback" not in patient.log.read_text()
    patient.start()
    assert patient.there() == [name]


def test_no_answer_is_false_however_the_disk_fails_and_heals(patient: Patient) -> None:
    """A walk through all failures: what was answered is there, what was refused is there once or not at all."""
    chance = random.Random(11)
    answered: dict[str, str] = {}
    unsure: list[str] = []
    ends = set()
    for _ in range(30):
        patient.disk.mode = chance.choice((FINE, FINE, FULL, READ_ONLY, SYNC_FAILS_ONCE, WRITES_FAIL))
        group = [unsure.pop()] if unsure and chance.random() < 0.5 else new(chance.choice((1, 1, 20)))
        try:
            names = patient.batch(group) if len(group) > 1 else [patient.submit(*group)]
        except PalaestraError as error:
            ends.add(error.reason)
            unsure += group
        else:
            answered.update(zip(group, names, strict=True))
        patient.disk.mode = FINE
        if "so the scheduler ends" in patient.log.read_text():
            patient.code()
            patient.log.unlink()
            patient.start()
    patient.disk.mode = FINE
    there = set(patient.there())

    assert {"DISK_FULL", "DISK_READ_ONLY"} <= ends
    assert set(answered.values()) <= there
    for request_id in unsure:
        answered[request_id] = patient.submit(request_id)
    assert set(patient.there()) == set(answered.values())
    assert len(set(answered.values())) == len(answered)


def test_the_supervisor_starts_a_scheduler_again_whose_disk_failed(
    lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in lab.disk.environment.items():
        monkeypatch.setenv(name, value)
    lab.disk.mode = FINE
    data = lab.disk.folder / "supervised"
    arguments = ["--venue", str(lab.base / "venue.toml"), "--data", str(data), "--listen", "127.0.0.1:0"]
    child = Process("scheduler", [sys.executable, "-m", "scheduler", *arguments], tmp_path)

    def until(what: str, holds: Callable[[], bool]) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < give_up_s, f"never: {what}; {child.tail()}"
            time.sleep(0.01)

    child.start()
    until("up", lambda: (data / "scheduler.address").exists())
    lab.disk.mode = SYNC_FAILS
    with closing(sqlite3.connect(data / database.FILE)) as db:
        token = (data / "tokens" / "vendor-acme.token").read_text().strip()
        with grpc.insecure_channel((data / "scheduler.address").read_text().strip()) as channel:
            stub: Any = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
            with pytest.raises(grpc.RpcError):
                stub.SubmitJob(Request(parent="vendors/acme", job=job()), timeout=20.0, metadata=authorization(token))
        (data / "scheduler.address").unlink()
        until("ended", lambda: child.pid is None)
        lab.disk.mode = FINE
        until("again", child.watch)
        until("up again", lambda: (data / "scheduler.address").exists())
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    child.terminate()
    child.wait(time.monotonic() + PATIENCE_S)

    assert (child.restarts, child.last_exit_code) == (1, 1)


def error_of(code: int) -> sqlite3.Error:
    found = sqlite3.OperationalError("x")
    found.sqlite_errorcode = code
    return found


VERDICTS = [
    (sqlite3.SQLITE_FULL, False, "DISK_FULL"),
    (sqlite3.SQLITE_FULL, True, "DISK_FULL"),
    (sqlite3.SQLITE_IOERR_WRITE, True, "DISK_READ_ONLY"),
    (sqlite3.SQLITE_IOERR_WRITE, False, "DISK_FAILED"),
    (sqlite3.SQLITE_READONLY, True, "DISK_READ_ONLY"),
    (sqlite3.SQLITE_READONLY_DBMOVED, True, "DISK_FAILED"),
    (sqlite3.SQLITE_IOERR_FSYNC, True, "DISK_FAILED"),
    (sqlite3.SQLITE_IOERR_DIR_FSYNC, False, "DISK_FAILED"),
    (sqlite3.SQLITE_BUSY, False, "DATABASE_BUSY"),
    (sqlite3.SQLITE_BUSY_SNAPSHOT, True, "DATABASE_BUSY"),
    (sqlite3.SQLITE_CORRUPT, False, "DISK_FAILED"),
    (0, False, "DISK_FAILED"),
]


@pytest.mark.parametrize(("code", "read_only", "reason"), VERDICTS)
def test_only_what_surely_left_nothing_behind_is_refused_and_gone_on_from(
    code: int, read_only: bool, reason: str
) -> None:
    assert disk.judge(error_of(code), read_only=read_only) == reason
    assert reason in REASONS


@pytest.mark.parametrize("state", ["55P03", "40001", "40P01"])
def test_a_lock_that_postgresql_did_not_give_refuses_the_whole_commit_and_the_next_one_may_succeed(state: str) -> None:
    """What the server rolled back was not stored: the caller may send it again, and the scheduler goes on."""
    error = Failed(state, "canceling statement due to lock timeout")
    assert disk.is_fatal(error)
    assert disk.judge(error, read_only=False) == "DATABASE_BUSY"
    assert not disk.is_fatal(Failed("23505", "a key that there is already is the command's own matter"))


def test_a_folder_is_read_only_if_no_file_can_be_made_for_that_reason(tmp_path: Path) -> None:
    assert not disk.is_read_only(tmp_path)
    assert not disk.is_read_only(tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_file_system_that_really_fills_up_is_told_as_full_and_heals(tiny: Path) -> None:
    path = tiny / database.FILE
    with closing(database.open_writer(path)) as db:
        (tiny / "ballast").write_bytes(bytes(2_000_000))
        with pytest.raises(sqlite3.Error) as caught:
            for number in range(100):
                db.execute("INSERT INTO meta VALUES (?, zeroblob(50000))", (f"key-{number}",))
        assert disk.judge(caught.value, read_only=disk.is_read_only(tiny)) == "DISK_FULL"
        count = db.execute("SELECT count(*) FROM meta").fetchone()[0]
        (tiny / "ballast").unlink()
        db.execute("INSERT INTO meta VALUES ('after', zeroblob(50000))")
        assert db.execute("SELECT count(*) FROM meta").fetchone()[0] == count + 1
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
