"""kill -9 of the scheduler among submissions: every answer holds, nothing is there twice, and it is soon back."""

import random
import socket
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest

from palaestra import ids
from palaestra.channel import authorization, routing, target
from palaestra.v1 import job_service_pb2, job_service_pb2_grpc, venue_service_pb2, venue_service_pb2_grpc
from scheduler import database
from tests.scheduler.faulty import SLOW, Disk
from tests.scheduler.nursery import Nursery
from tests.scheduler.process import FILE, PATIENCE_S, Process
from tests.scheduler.site import job

# Callers that submit one by one, and callers that submit batches, the first of which take all or nothing.
SINGLES, BATCHES = 3, 2
BATCH_SIZE = 50
# What a caller answers by sending the same again.
AGAIN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED)
OPTIONS = [
    ("grpc.initial_reconnect_backoff_ms", 10),
    ("grpc.min_reconnect_backoff_ms", 10),
    ("grpc.max_reconnect_backoff_ms", 50),
    ("grpc.use_local_subchannel_pool", 1),
]
Request = job_service_pb2.SubmitJobRequest


class Crowd:
    """Callers that submit jobs, each again with the same request ids until there is an answer.

    Attributes:
        share: Of the jobs that may have been asked for by now, so that the kills are spread over all of them.
        answered: Name of the job by request id.
        failures: What should not have been answered.
    """

    def __init__(self, address: str, metadata: Any, jobs: int) -> None:
        self._address, self._metadata = address, metadata
        self._stop = threading.Event()
        self.share = 0.0
        self.answered: dict[str, str] = {}
        self.failures: list[str] = []
        singles, batches = jobs // 5 // SINGLES, jobs // 5 * 4 // BATCHES // BATCH_SIZE
        self.jobs = singles * SINGLES + batches * BATCHES * BATCH_SIZE
        kinds = [(singles, 1, True)] * SINGLES + [(batches, BATCH_SIZE, n == 0) for n in range(BATCHES)]
        self._threads = [threading.Thread(target=self._call, args=kind) for kind in kinds]

    def __enter__(self) -> "Crowd":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def finish(self) -> None:
        """Let everybody come to an end."""
        self.share = 1.0
        give_up_s = time.monotonic() + PATIENCE_S
        for thread in self._threads:
            thread.join(max(give_up_s - time.monotonic(), 0.0))
        assert not self.failures
        assert len(self.answered) == self.jobs

    def await_answer(self) -> None:
        """Return as soon as another job is answered, or after a while without."""
        before, give_up_s = len(self.answered), time.monotonic() + 0.3
        while len(self.answered) == before and time.monotonic() < give_up_s:
            time.sleep(0.0002)

    def _call(self, count: int, size: int, atomic: bool) -> None:
        groups = [[ids.new_request_id() for _ in range(size)] for _ in range(count)]
        with grpc.insecure_channel(target(self._address), [*OPTIONS, *routing(self._address)]) as channel:
            stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
            for number, group in enumerate(groups):
                while number > self.share * count and not self._stop.is_set():
                    time.sleep(0.001)
                self._submit(stub, group, atomic)
            # Long after: an answer that was given once is given again.
            for group in groups[:: max(count // 10, 1)]:
                self._submit(stub, group, atomic)

    def _submit(self, stub: Any, group: list[str], atomic: bool) -> None:
        requests = [Request(parent="vendors/acme", job=job(), request_id=each) for each in group]
        batch = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests, atomic=atomic)
        while not self._stop.is_set():
            try:
                if len(group) == 1:
                    names = [stub.SubmitJob(requests[0], timeout=10.0, metadata=self._metadata).name]
                else:
                    results = stub.BatchSubmitJobs(batch, timeout=10.0, metadata=self._metadata).results
                    self.failures += [str(each.failure) for each in results if each.HasField("failure")]
                    names = [each.job.name for each in results]
            except grpc.RpcError as error:
                if error.code() not in AGAIN:  # type: ignore[attr-defined]
                    self.failures.append(str(error))
                    return
                time.sleep(0.005)
            else:
                for request_id, name in zip(group, names, strict=True):
                    if self.answered.setdefault(request_id, name) != name:
                        self.failures.append(f"{request_id} is {name} and {self.answered[request_id]}")
                return


def first_answer(address: str, metadata: Any, started_s: float) -> float:
    """Ask until there is an answer; return how long that took from a moment on [s]."""
    with grpc.insecure_channel(target(address), [*OPTIONS, *routing(address)]) as channel:
        stub = venue_service_pb2_grpc.VenueServiceStub(channel)  # type: ignore[no-untyped-call]
        request = venue_service_pb2.GetVenueRequest(name="venues/-")
        while True:
            try:
                stub.GetVenue(request, timeout=1.0, metadata=metadata)
            except grpc.RpcError:
                assert time.monotonic() - started_s < PATIENCE_S
                time.sleep(0.002)
            else:
                return time.monotonic() - started_s


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def crash(folder: Path, jobs: int, kills: int, *, start: Callable[[], object], kill: Callable[[], object],
          address: str, data: Path) -> list[float]:  # fmt: skip
    """Kill the scheduler so many times among so many submissions; return how long first answers took [s]."""
    chance = random.Random(jobs + kills)
    start()
    token = data / "tokens" / "vendor-acme.token"
    while not (data / "scheduler.address").exists():
        time.sleep(0.005)
    metadata = authorization(token.read_text().strip())
    first_answer(address, metadata, time.monotonic())
    took_s = []
    with Crowd(address, metadata, jobs) as crowd:
        for number in range(kills):
            crowd.share = (number + 1) / (kills + 1)
            # At the moment of an answer; or anywhere from the middle of its start to after all that was allowed.
            if number % 2:
                crowd.await_answer()
            else:
                time.sleep(chance.choice((0.0, 0.01, 0.05, 0.2)) * chance.random())
            kill()
            started_s = time.monotonic()
            start()
            if chance.random() < 0.8:
                took_s.append(first_answer(address, metadata, started_s))
        first_answer(address, metadata, time.monotonic())
        crowd.finish()
        there = listed(address, metadata)
    kill()
    check(crowd, there, data)
    return took_s


def listed(address: str, metadata: Any) -> list[str]:
    """Return the names of all jobs."""
    with grpc.insecure_channel(target(address), routing(address)) as channel:
        stub = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        there, page = [], ""
        while True:
            request = job_service_pb2.ListJobsRequest(parent="vendors/acme", page_size=1000, page_token=page)
            answer = stub.ListJobs(request, timeout=PATIENCE_S, metadata=metadata)
            there += [each.name for each in answer.jobs]
            page = answer.next_page_token
            if not page:
                return there


def check(crowd: Crowd, there: list[str], data: Path) -> None:
    """Every answer of the crowd is there, and nothing else, and nothing twice."""
    assert sorted(there) == sorted(crowd.answered.values()), "every answer is there, and nothing else"
    assert len(set(there)) == crowd.jobs
    with closing(sqlite3.connect(data / database.FILE)) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert dict(db.execute("SELECT request_id, 'vendors/acme/jobs/' || uid FROM job")) == crowd.answered
        submitted = db.execute("SELECT count(*) FROM event WHERE kind = 'job.submitted'").fetchone()[0]
        assert submitted == crowd.jobs, "one event for each"


def told(what: str, took_s: list[float]) -> str:
    ordered = sorted(took_s)
    p50_s, p99_s = ordered[len(ordered) // 2], ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    return f"first answer {what}: p50 {p50_s:.2f} s, p99 {p99_s:.2f} s, of {len(ordered)} (bar: 2 s)"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Disk | None:
    """A disk that takes 5 ms longer for each commit, so that kills come in between; None without a compiler."""
    try:
        disk = Disk(tmp_path_factory.mktemp("slow"))
    except pytest.skip.Exception:
        return None
    disk.mode = SLOW
    return disk


@pytest.fixture(scope="module")
def nursery(slow: Disk | None) -> Iterator[Nursery]:
    with Nursery("scheduler.__main__", environment=slow.environment if slow is not None else None) as found:
        yield found


@pytest.mark.slow
def test_no_answer_is_lost_and_nothing_is_there_twice_after_kill_9(
    nursery: Nursery, slow: Disk | None, tmp_path: Path
) -> None:
    """40 times among 2,000 jobs, single and in batches, of five callers; sometimes it dies again as it starts."""
    address, data = free_address(), (slow.folder if slow is not None else tmp_path) / "data"
    (tmp_path / "venue.toml").write_text(FILE)
    arguments = ["--venue", str(tmp_path / "venue.toml"), "--data", str(data), "--listen", address]
    alive: list[int] = []

    took_s = crash(
        tmp_path, 2000, 40, address=address, data=data,
        start=lambda: alive.append(nursery.start("scheduler.__main__:main", tmp_path / "log", *arguments)),
        kill=lambda: nursery.kill(alive.pop()),
    )  # fmt: skip

    assert "Traceback" not in (tmp_path / "log").read_text()
    print(told("after a restart, imports not counted", took_s))


@pytest.mark.slow
def test_a_restarted_scheduler_soon_answers(tmp_path: Path) -> None:
    """The whole start, as the supervisor makes it, with what a killed one has left; printed, bounded by patience."""
    address, took_s = free_address(), []
    for _ in range(3):
        started_s = time.monotonic()
        process = Process(tmp_path / "p", listen=address)
        process.address()
        took_s.append(first_answer(address, authorization(process.token("vendor-acme")), started_s))
        process.kill()

    print(told("after a whole start", took_s))


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_answer_is_lost_in_a_long_series_of_kills(tmp_path: Path) -> None:
    """200 times among 10,000 jobs, each time the whole start."""
    address = free_address()
    alive: list[Process] = []

    took_s = crash(
        tmp_path, 10_000, 200, address=address, data=tmp_path / "p" / "data",
        start=lambda: alive.append(Process(tmp_path / "p", listen=address)),
        kill=lambda: alive.pop().kill(),
    )  # fmt: skip

    print(told("after a whole start", took_s))
