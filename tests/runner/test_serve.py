"""Worlds that are left to a program elsewhere, as a worker serves them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from palaestra import jobs, tickets
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2
from palaestra_env.remote import RemoteSlot
from runner.errors import AttemptError, Stopped
from runner.serve import serve
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork
from tests.runner.desk import Desk, attempt_at

LEASE, KEY = "vendors/acme/leases/7", "the lease's own"
PATIENCE_S = 60.0


class Served:
    """A job to serve at work on a thread."""

    def __init__(self, folder: Path, **fields: object) -> None:
        self.desk, self.stop = Desk(), threading.Event()
        job = jobs.serve("own_arm", task="reach", worlds=3, seed=4, **fields)  # type: ignore[arg-type]
        attempt = attempt_at(self.desk, folder, job, stop=self.stop, lease_token=KEY)
        attempt.assignment.lease.name = LEASE
        self._pool = ThreadPoolExecutor(1)
        self.end: Future[job_pb2.JobResult] = self._pool.submit(serve, attempt)

    @property
    def address(self) -> str:
        until_s = time.monotonic() + PATIENCE_S
        while not (told := [each.slot.address for each in self.desk.progress if each.HasField("slot")]):
            assert time.monotonic() < until_s
            assert not self.end.done(), self.end.exception()
            time.sleep(0.01)
        return told[-1]

    def open(self, epoch: int = 1) -> RemoteSlot:
        token = tickets.issue(KEY, LEASE, epoch, time.time_ns() + 60 * 10**9)
        return RemoteSlot(self.address, lease=LEASE, epoch=epoch, token=token)

    def close(self) -> None:
        self.stop.set()
        self._pool.shutdown()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    made: list[Served] = []

    def make(**fields: object) -> Served:
        made.append(Served(tmp_path, **fields))
        return made[-1]

    yield make
    for each in made:
        each.close()


def test_a_program_elsewhere_gets_the_worlds_of_a_slot_here_and_ends_the_job(
    served: Callable[..., Served],
) -> None:
    terms = [{"quantity": "mass_scale", "uniform": {"low": 0.5, "high": 2.0}}]
    at_work = served(randomisation=terms)
    spec = SlotSpec(
        TaskWork(
            "own_arm",
            task="reach",
            randomisation=({"quantity": "mass_scale", "distribution": "uniform", "low": 0.5, "high": 2.0},),
        ),
        worlds=3,
        seed=4,
    )
    with LeasedSlot(spec) as here, at_work.open() as there:
        assert there.reset().tobytes() == here.reset().tobytes()
        for step in range(3):
            action = np.full((3, 7), 0.1 * step)
            assert there.step(action).obs.tobytes() == here.step(action).obs.tobytes()
        there.finish()

    assert at_work.end.result(PATIENCE_S) == job_pb2.JobResult()


def test_worlds_that_nobody_drives_are_given_up(served: Callable[..., Served]) -> None:
    at_work = served(idle_s=0.3)

    with pytest.raises(AttemptError) as ended:
        at_work.end.result(PATIENCE_S)
    assert (ended.value.reason, ended.value.retryable) == ("SLOT_ABANDONED", False)


def test_the_end_of_the_lease_reaches_a_program_that_waits_and_one_that_steps(served: Callable[..., Served]) -> None:
    at_work = served()
    with at_work.open() as slot:
        slot.step(np.zeros((3, 7)))
        at_work.stop.set()
        with pytest.raises(PalaestraError) as told:
            for _ in range(1_000_000):
                slot.step(np.zeros((3, 7)))
    assert told.value.reason == "LEASE_NOT_ACTIVE"
    with pytest.raises(Stopped):
        at_work.end.result(PATIENCE_S)


def test_a_program_that_dies_leaves_the_worlds_to_the_next_one(served: Callable[..., Served]) -> None:
    at_work = served()
    first = at_work.open()
    first.step(np.zeros((3, 7)))
    first.close()
    until_s = time.monotonic() + PATIENCE_S
    while (busy := _reason_against(at_work)) is not None:
        assert busy == "UNIT_BUSY"
        assert time.monotonic() < until_s
        time.sleep(0.02)


def _reason_against(at_work: Served) -> str | None:
    """Return why nobody can drive the worlds now, None where somebody could and did."""
    try:
        with at_work.open() as slot:
            slot.step(np.zeros((3, 7)))
    except PalaestraError as error:
        return error.reason
    return None
