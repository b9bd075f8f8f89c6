"""The same promises against the real scheduler, which is killed on the way."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from palaestra import Client, PalaestraError, jobs
from palaestra.channel import authorization
from palaestra.v1 import job_pb2, runner_service_pb2, runner_service_pb2_grpc

pytest.importorskip("scheduler.server")

VENUE = """
[venue]
id = "trial"
[[vendor]]
id = "acme"
[[vendor]]
id = "rival"
"""
START_S = 60.0
ROOT = Path(__file__).parents[2]
REACH = jobs.train("reach", "own_arm")


class Scheduler:
    """The scheduler's process, and a runner that takes attempts on and never ends them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        (folder / "venue.toml").write_text(VENUE)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Event()
        self._runner = threading.Thread(target=self._run)
        self.address = ""

    def start(self) -> None:
        """Start, at the address of before if there was one."""
        listen = self.address or "127.0.0.1:0"
        (self._data / "scheduler.address").unlink(missing_ok=True)
        arguments = [
            "--venue",
            str(self._folder / "venue.toml"),
            "--data",
            str(self._data),
            "--listen",
            listen,
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "scheduler", *arguments], stdout=log, stderr=log, cwd=ROOT
            )
        give_up_s = time.monotonic() + START_S
        while not (self._data / "scheduler.address").exists():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < give_up_s
            time.sleep(0.02)
        self.address = (self._data / "scheduler.address").read_text().strip()
        if not self._runner.is_alive():
            self._runner.start()

    def kill(self) -> None:
        """Kill -9."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End everything."""
        self._stopping.set()
        self.kill()
        self._runner.join()

    def token(self, name: str) -> str:
        """Return a token that the scheduler minted."""
        return (self._data / "tokens" / f"{name}.token").read_text().strip()

    def _run(self) -> None:
        request = runner_service_pb2.WatchAssignmentsRequest(
            runner="r1",
            instance="r1/one",
            sim_slots=1,
            tasks=["reach"],
            motions=["sway"],
            robot_models=["own_arm"],
        )
        metadata = authorization(self.token("runner"))
        with grpc.insecure_channel(self.address, [("grpc.max_reconnect_backoff_ms", 200)]) as channel:
            stub = runner_service_pb2_grpc.RunnerServiceStub(channel)  # type: ignore[no-untyped-call]
            while not self._stopping.is_set():
                try:
                    for _ in stub.WatchAssignments(request, metadata=metadata):
                        pass
                except grpc.RpcError:
                    self._stopping.wait(0.05)


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scheduler]:
    """A scheduler with one sim slot."""
    process = Scheduler(tmp_path_factory.mktemp("scheduler"))
    process.start()
    yield process
    process.stop()


@pytest.fixture
def acme(scheduler: Scheduler) -> Iterator[Client]:
    """A vendor's client, once the sim slot is there."""
    with Client(scheduler.address, scheduler.token("vendor-acme"), timeout_s=30.0) as client:
        while client.venue().sim_slot_count == 0:
            time.sleep(0.02)
        yield client


def test_a_request_id_names_one_job_and_one_body(acme: Client) -> None:
    """Sent twice it is one job; with another body it is refused."""
    request_id = "0192f7a0-0000-7000-8000-00000000abcd"
    first = acme.submit(REACH, request_id=request_id)

    assert acme.submit(REACH, request_id=request_id).name == first.name
    with pytest.raises(PalaestraError) as caught:
        acme.submit(jobs.train("reach", "own_arm", seed=1), request_id=request_id)
    assert caught.value.reason == "REQUEST_ID_REUSED"
    acme.cancel(first.name)


def test_another_vendors_job_looks_like_a_missing_one(scheduler: Scheduler, acme: Client) -> None:
    hidden = acme.submit(REACH).name
    with Client(scheduler.address, scheduler.token("vendor-rival")) as rival:
        answers = []
        for name in (hidden, "vendors/acme/jobs/missing"):
            with pytest.raises(PalaestraError) as caught:
                rival.job(name)
            answers.append((caught.value.reason, caught.value.message.replace(name, "NAME")))

    assert answers[0] == answers[1] == ("NOT_FOUND", answers[0][1])
    acme.cancel(hidden)


def test_streams_and_jobs_outlive_a_killed_scheduler(scheduler: Scheduler, acme: Client) -> None:
    """A watch and a tail of the events run through a kill -9, and jobs submitted around it are all there."""
    start = acme.venue().sequence
    first = acme.submit(REACH)
    names = [first.name]
    watched: list[int] = []
    events: list[int] = []
    done = threading.Event()

    def watch() -> None:
        watched.extend(job.state for job in acme.watch_job(first.name))

    def tail() -> None:
        for batch in acme.watch_events(start):
            events.extend(event.sequence for event in batch.events)
            if done.is_set() and batch.sequence >= last:
                return

    threads = [threading.Thread(target=watch), threading.Thread(target=tail)]
    for thread in threads:
        thread.start()
    names += [result.job.name for result in acme.submit_many([REACH, REACH])]
    scheduler.kill()
    restart = threading.Timer(0.2, scheduler.start)
    restart.start()
    names.append(acme.submit(REACH).name)
    restart.join()
    for name in names[1:]:
        assert acme.cancel(name).state == job_pb2.JOB_STATE_CANCELLED
    acme.cancel(first.name)
    last = acme.venue().sequence
    done.set()
    # One more event, for a tail that had read the last one before it was told so.
    names.append(acme.submit(REACH).name)
    acme.cancel(names[-1])
    threads[1].join(timeout=START_S)
    complete: list[int] = []
    for batch in acme.watch_events(start):
        complete.extend(event.sequence for event in batch.events)
        if batch.sequence >= last:
            break

    assert len(set(names)) == 5
    assert {job.name for job in acme.jobs()} >= set(names)
    assert [n for n in events if n <= last] == [n for n in complete if n <= last]
    threads[0].join(timeout=START_S)
    assert not threads[0].is_alive()
    assert watched[-1] == job_pb2.JOB_STATE_CANCELLED
