"""A worker: one Ray actor process that carries out one attempt at a time.

Ray places it and restarts nothing; whether an attempt is tried again is the scheduler's decision. Calls arrive on two
threads, so that `cancel` reaches an attempt that is under way.
"""

import os
import sys
import threading
import traceback
from concurrent.futures import ThreadPoolExecutor

from palaestra.v1 import job_pb2, runner_service_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError, Stopped
from runner.link import Link
from runner.settings import Settings
from runner.work import carry_out
from store.errors import StoreFull

NICENESS = 10


class Worker:
    """Wrapped into a Ray actor by `runner.pool`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._link = Link(settings.scheduler, settings.token, settings.tls)
        self._lock = threading.Lock()
        self._attempt = ""
        self._cancelled = ""
        self._stop = threading.Event()

    def ready(self) -> int:
        """Return the process's id, once it is up and everything heavy is imported."""
        return os.getpid()

    def cancel(self, attempt: str) -> None:
        """Ask an attempt to stop: the running one, or the next, should this call overtake `run`."""
        with self._lock:
            self._cancelled = attempt
            if attempt == self._attempt:
                self._stop.set()

    def run(self, assignment: bytes, instance: str) -> bytes:
        """Carry out an attempt; return the FinishAttemptRequest that tells how it ended."""
        message = runner_service_pb2.Assignment.FromString(assignment)
        with self._lock:
            self._attempt = message.attempt
            self._stop.clear()
            if self._cancelled == message.attempt:
                self._stop.set()
        request = runner_service_pb2.FinishAttemptRequest(attempt=message.attempt, instance=instance)
        attempt = Attempt(message, instance, self._settings, self._link, self._stop)
        try:
            request.result.CopyFrom(carry_out(attempt) if message.endpoints else _yielding(attempt))
            request.outcome = job_pb2.ATTEMPT_STATE_SUCCEEDED
        except Stopped:
            request.outcome = job_pb2.ATTEMPT_STATE_CANCELLED
        except AttemptError as error:
            _fail(request, error.reason, str(error), error.retryable)
        except StoreFull as error:
            _fail(request, "STORE_FULL", str(error), True)
        except Exception as error:
            attempt.log(*traceback.format_exc().splitlines())
            _fail(request, "WORK_FAILED", f"{type(error).__name__}: {error}", True)
        if request.HasField("failure"):
            attempt.log(f"attempt ended: {request.failure.message} [{request.failure.reason}]")
        return request.SerializeToString()


def _yielding(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out work that drives no robot on a thread that yields the processor to those that do.

    Niceness is a thread's own on Linux and cannot be taken back, so the thread is a new one; MuJoCo's inherit it.
    """

    def work() -> job_pb2.JobResult:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        return carry_out(attempt)

    with ThreadPoolExecutor(1, thread_name_prefix="yielding") as pool:
        return pool.submit(work).result()


def _fail(request: runner_service_pb2.FinishAttemptRequest, reason: str, message: str, retryable: bool) -> None:
    request.ClearField("result")
    request.outcome = job_pb2.ATTEMPT_STATE_FAILED
    request.failure.CopyFrom(job_pb2.Failure(reason=reason, message=message[:4000], retryable=retryable))
