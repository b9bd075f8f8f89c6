"""Where compute jobs wait: a few at a time visit, each in confined processes, here or where a cluster has room."""

import logging
import queue
import threading
from typing import Any

from sharing.aggregate.desk import Deciding, Projecting
from sharing.compute.algorithm import Algorithm, Approvals
from sharing.compute.jobs import Job, Jobs, State
from sharing.compute.visit import LIMITS, visit
from sharing.confined import process
from sharing.confined.fence import Limits
from sharing.errors import InvalidAlgorithm, NotShared, SharingError, WorkEnded
from sharing.grant import Ask, Grant
from sharing.terms import Channel, Purpose
from sharing.witness import Witness

AT_ONCE = 1
AGAIN_S = 1.0
"""After so long it is tried again what the disk refused [s]."""
MAX_PARAMETERS, MAX_PARAMETER = 32, 200
_log = logging.getLogger(__name__)


class House:
    """Takes jobs, runs them, and keeps what may leave. `start` it once; `stop` ends what runs."""

    def __init__(
        self,
        gate: Deciding,
        projector: Projecting,
        witness: Witness,
        approvals: Approvals,
        jobs: Jobs,
        *,
        limits: Limits = LIMITS,
        run: process.Run | None = None,
    ) -> None:
        """Open the house. run: Runs a confined process; None: on this machine."""
        self._gate = gate
        self._projector = projector
        self._witness = witness
        self.approvals = approvals
        self.jobs = jobs
        self._limits = limits
        self._run_confined = run
        self._waiting: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Run jobs from now on. Those that an earlier process left open have failed: nothing of them is kept."""
        for job in self.jobs.open():
            self.jobs.end(job.id, State.FAILED, "the room was started anew; ask again")
        self._stopping.clear()
        for number in range(AT_ONCE):
            thread = threading.Thread(target=self._run, name=f"compute-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End what runs, and wait for it."""
        self._stopping.set()
        for _ in self._threads:
            self._waiting.put(None)
        for thread in self._threads:
            thread.join()
        self._threads.clear()

    def submit(
        self, consumer: str, agreement: str, purpose: Purpose, algorithm: str, parameters: Any, version: int = 0
    ) -> Job:
        """Take a job.

        Raises:
            NotShared: Nothing is shared by this channel, or the provider does not allow the algorithm.
            InvalidAlgorithm: The parameters break a rule.
            TooManyJobs: So many of the consumer's are open.
        """
        checked = _parameters(parameters)
        grant = self._gate.authorize(
            Ask(consumer, agreement, Channel.COMPUTE, purpose, version, about=f"algorithm {algorithm[:64]}")
        )
        if self.approvals.find(grant.provider, algorithm) is None:
            raise NotShared
        job = self.jobs.add(grant, grant.version, algorithm, checked)
        self._waiting.put(None)
        return job

    def cancel(self, job: Job) -> bool:
        """End a job for its consumer; return whether it was open. Its process is gone within a second."""
        return self.jobs.end(job.id, State.ENDED, "taken back by its consumer")

    def result(self, job: Job, purpose: Purpose) -> bytes:
        """Return the result of a job to its consumer: a NumPy archive. Raises NotShared."""
        ask = Ask(job.consumer, job.agreement, Channel.COMPUTE, purpose, job.version, about=f"result {job.id}")
        grant = self._gate.authorize(ask)
        found = self.jobs.result(job.id)
        if found is None:
            raise NotShared
        self._witness.note(
            "bytes", {**grant.parties(), "channel": str(Channel.COMPUTE), "about": job.id, "size_bytes": len(found)}
        )
        return found

    def _run(self) -> None:
        last = ""
        while not self._stopping.is_set():
            self._waiting.get()
            try:
                job = self._begun(last)
            except Exception:
                # A full disk, for one: this thread is the only one that there is, and it is tried again.
                _log.exception("no compute job could be begun")
                self._waiting.put(None)
                self._stopping.wait(AGAIN_S)
                continue
            if job is None:
                continue
            last = job.consumer
            state, reason = State.FAILED, "a defect"
            try:
                state, reason = self._visited(job)
            except NotShared:
                state, reason = State.ENDED, "no longer shared"
            except SharingError as error:
                reason = str(error)
            except Exception:
                _log.exception("compute job %s", job.id)
            self._end(job, state, reason)

    def _begun(self, last: str) -> Job | None:
        """Begin the next job, and return it. last: Whose turn it was before."""
        queued = [job for job in self.jobs.open() if job.state == State.QUEUED]
        # The oldest, but for whoever had the last turn: nobody's long jobs keep all others waiting.
        job = min(queued, key=lambda job: job.consumer == last, default=None)
        return job if job is not None and not self._stopping.is_set() and self.jobs.begin(job.id) else None

    def _end(self, job: Job, state: State, reason: str) -> None:
        """Write down how a job ended, as soon as that can be written."""
        while True:
            try:
                self.jobs.end(job.id, state, reason)
                return
            except Exception:
                _log.exception("the end of compute job %s could not be written down", job.id)
                if self._stopping.wait(AGAIN_S):
                    return

    def _visited(self, job: Job) -> tuple[State, str]:
        """Run a job and keep its result. Returns its end, if it was not kept already."""
        ask = Ask(
            job.consumer, job.agreement, Channel.COMPUTE, Purpose(job.purpose), job.version, about=f"job {job.id}"
        )
        grant = self._gate.authorize(ask)
        algorithm = self._allowed(grant, job)

        def still() -> None:
            self._gate.still(grant)
            found = self.jobs.get(job.id)
            if self._stopping.is_set() or found is None or found.state != State.RUNNING:
                raise WorkEnded("taken back")
            if self.approvals.find(grant.provider, job.algorithm) is None:
                raise NotShared

        projection = self._projector.project(grant)
        found = visit(
            algorithm,
            job.parameters,
            grant,
            projection,
            self._projector,
            still,
            limits=self._limits,
            run=self._run_confined,
        )
        still()
        if found.result is None:
            return State.REFUSED, f"the result tells who was in it: membership AUC {found.auc:.2f}"
        lineage = {**found.lineage, "job": job.id}
        self.jobs.end(job.id, State.RELEASED, "", lineage, found.result.npz())
        return State.RELEASED, ""

    def _allowed(self, grant: Grant, job: Job) -> Algorithm:
        found = self.approvals.find(grant.provider, job.algorithm)
        if found is None:
            raise NotShared
        return found


def _parameters(value: Any) -> dict[str, str | int]:
    if not isinstance(value, dict) or len(value) > MAX_PARAMETERS:
        raise InvalidAlgorithm(f"parameters: must be an object of at most {MAX_PARAMETERS}")
    for name, one in value.items():
        fits = (isinstance(one, str) and len(one) <= MAX_PARAMETER) or (type(one) is int and abs(one) < 2**53)
        if not fits or len(name) > MAX_PARAMETER:
            raise InvalidAlgorithm(f"parameters: {name[:80]!r}: must be a whole number or a text")
    return dict(value)
