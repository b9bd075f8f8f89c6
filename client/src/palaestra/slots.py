"""Worlds of the venue, leased and handed out as a Gymnasium environment: `client.slots(robot=..., task=...)`.

What steps them is `palaestra_env`, which comes along and needs NumPy and Gymnasium; this file does not, so that the SDK
stays light for whoever only submits jobs.
"""

import time
from collections.abc import Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc

from palaestra import jobs
from palaestra.errors import REASONS, PalaestraError, Unreachable
from palaestra.streams import ENDED
from palaestra.v1.job_pb2 import ATTEMPT_STATE_RUNNING, Failure, Job
from palaestra.v1.job_service_pb2 import SlotTicket

if TYPE_CHECKING:
    from palaestra.client import Client

START_S = 600.0


class Slots:
    """Leases worlds. `client.slots` is one."""

    def __init__(self, client: "Client", credentials: grpc.ChannelCredentials | None, *, elsewhere: bool) -> None:
        self._client, self._credentials, self._elsewhere = client, credentials, elsewhere

    def __call__(
        self,
        *,
        robot: str,
        task: str = "",
        motion: str = "",
        worlds: int = 16,
        autoreset_mode: str = "NextStep",
        start_timeout_s: float = START_S,
        **job: Any,
    ) -> Any:
        """Lease worlds, wait until they stand, and return them as `palaestra_env.lease.LeasedVectorEnv`.

        Use it as a context: its end gives the slots back. The environment is as `sim.env.vector.make_vec`'s of the same
        robot, task and seeds, to the last bit.

        Args:
            robot: Identifier in the robot catalogue.
            task, motion: A task, or a motion, of the venue's catalogue: exactly one of them.
            worlds: How many.
            autoreset_mode: "NextStep", "SameStep" or "Disabled", as Gymnasium defines them.
            start_timeout_s: How long to wait for the grant and the worlds; after that the job is cancelled.
            job: What else `palaestra.jobs.serve` takes: `sim_slots`, `seed`, `duration_s`, `idle_s`, `actuators`,
                `randomisation`, `sensors`, `pace`, `priority`, `labels`, ...

        Raises:
            PalaestraError: the job was refused or failed, with its reason; INVALID_FIELD where NumPy or Gymnasium is
                not installed.
            TimeoutError: the worlds did not stand in time.
        """
        # Before anything is leased.
        lease = _environments()
        submitted = self._client.submit(jobs.serve(robot, task=task, motion=motion, worlds=worlds, **job))
        return lease.enter(
            self._client,
            submitted.name,
            self._credentials,
            elsewhere=self._elsewhere,
            autoreset_mode=autoreset_mode,
            start_timeout_s=start_timeout_s,
            ends_job=True,
        )

    def ticket(self, job: str, *, start_timeout_s: float = START_S) -> SlotTicket:
        """Wait until the worlds of a job to serve stand, and return where they are and what opens them for a minute.

        Raises:
            PalaestraError: the job ended before, with its reason.
            TimeoutError: it took longer than `start_timeout_s`.
        """
        until_s = time.monotonic() + start_timeout_s
        for seen in self._watched(job, start_timeout_s):
            latest = seen.attempts[0] if seen.attempts else None
            if seen.state in ENDED:
                raise failed(seen.name, seen.failure)
            if latest is None or latest.state != ATTEMPT_STATE_RUNNING or seen.progress.slot.attempt != latest.number:
                continue
            try:
                return self._client.open_slot(job)
            except PalaestraError as error:
                # It has ended, or begun anew, since it was seen.
                if error.reason not in ("SLOT_NOT_READY", "JOB_ENDED") or time.monotonic() > until_s:
                    raise
        raise Unreachable(f"the client was closed before the worlds of {job} stood")

    def _watched(self, job: str, timeout_s: float) -> Iterator[Job]:
        try:
            yield from self._client.watch_job(job, timeout_s=timeout_s)
        except TimeoutError:
            raise TimeoutError(f"the worlds of {job} did not stand within {timeout_s:g} s") from None

    def attach(self, job: str, *, autoreset_mode: str = "NextStep", start_timeout_s: float = START_S) -> Any:
        """Return the worlds of a job to serve that was submitted otherwise, as above; their end is not its end."""
        return _environments().enter(
            self._client,
            job,
            self._credentials,
            elsewhere=self._elsewhere,
            autoreset_mode=autoreset_mode,
            start_timeout_s=start_timeout_s,
            ends_job=False,
        )


def failed(job: str, failure: Failure) -> PalaestraError:
    """Return the end of a job or attempt as an error; without a failure, JOB_ENDED."""
    if not failure.reason:
        return PalaestraError("JOB_ENDED", f"{job} has ended")
    # A newer venue may have reasons that are not known here.
    reason = failure.reason if failure.reason in REASONS else "LEASE_NOT_ACTIVE"
    return PalaestraError(reason, f"{job}: {failure.message}")


def _environments() -> Any:
    try:
        # By name, because nothing that the SDK imports may need NumPy.
        return import_module("palaestra_env.lease")
    except ModuleNotFoundError as error:
        message = f'worlds as environments need {error.name}: pip install "palaestra[env]"'
        raise PalaestraError("INVALID_FIELD", message) from None
