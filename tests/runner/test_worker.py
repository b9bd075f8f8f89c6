"""A worker without Ray: what becomes of an attempt's end, and of a cancel that comes early."""

import threading
from pathlib import Path
from typing import Any

import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2, runner_service_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.worker import Worker
from store.errors import StoreFull
from tests.runner.desk import JOB, Desk, settings

ATTEMPT = f"{JOB}/attempts/1"


@pytest.fixture
def worker(tmp_path: Path, desk: Desk) -> Worker:
    made = Worker(settings(tmp_path))
    link: Any = desk
    made._link.close()
    made._link = link
    return made


def run(worker: Worker, attempt: str = ATTEMPT) -> runner_service_pb2.FinishAttemptRequest:
    assignment = runner_service_pb2.Assignment(attempt=attempt, job=jobs.train("reach", "own_arm"))
    return runner_service_pb2.FinishAttemptRequest.FromString(worker.run(assignment.SerializeToString(), "runner/1"))


def work(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    monkeypatch.setattr("runner.worker.carry_out", act)


@pytest.mark.parametrize(
    ("error", "reason", "retryable"),
    [
        (AttemptError("UNIT_FAULT", "arm-1: OVER_SPEED", retryable=True), "UNIT_FAULT", True),
        (AttemptError("UNKNOWN_WORK", "no motion", retryable=False), "UNKNOWN_WORK", False),
        (StoreFull("no room"), "STORE_FULL", True),
        (ZeroDivisionError("oops"), "WORK_FAILED", True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_becomes_a_failure_with_its_reason(
    worker: Worker, desk: Desk, monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str, retryable: bool
) -> None:
    def fails(attempt: Attempt) -> job_pb2.JobResult:
        raise error

    work(monkeypatch, fails)
    end = run(worker)

    assert (end.outcome, end.failure.reason, end.failure.retryable) == (
        job_pb2.ATTEMPT_STATE_FAILED,
        reason,
        retryable,
    )
    assert str(error) in end.failure.message
    assert any(reason in line for line in desk.log)


def test_work_of_an_unknown_kind_is_refused(worker: Worker) -> None:
    assignment = runner_service_pb2.Assignment(attempt=ATTEMPT)
    end = runner_service_pb2.FinishAttemptRequest.FromString(worker.run(assignment.SerializeToString(), "i"))

    assert (end.failure.reason, end.failure.retryable) == ("UNKNOWN_WORK", False)


def waits(attempt: Attempt) -> job_pb2.JobResult:
    attempt.wait(20.0)
    raise AssertionError("nobody stopped it")


def test_a_cancel_stops_the_attempt_under_way(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    work(monkeypatch, waits)
    threading.Timer(0.2, worker.cancel, [ATTEMPT]).start()

    assert run(worker).outcome == job_pb2.ATTEMPT_STATE_CANCELLED


def test_a_cancel_that_overtakes_its_attempt_stops_it(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    work(monkeypatch, waits)
    worker.cancel(ATTEMPT)

    assert run(worker).outcome == job_pb2.ATTEMPT_STATE_CANCELLED


def test_a_cancel_of_the_attempt_before_does_not_stop_the_next(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def checks(attempt: Attempt) -> job_pb2.JobResult:
        attempt.check()
        return job_pb2.JobResult(trials=1)

    work(monkeypatch, checks)
    run(worker)
    worker.cancel(ATTEMPT)

    assert run(worker, f"{JOB}/attempts/2").outcome == job_pb2.ATTEMPT_STATE_SUCCEEDED
