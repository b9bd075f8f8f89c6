"""A leased slot as an environment: from the job that serves it to the end of its lease, with its reason."""

import time
from contextlib import suppress
from typing import Any, Self

import grpc

from palaestra.client import Client
from palaestra.errors import PalaestraError, Unreachable
from palaestra.slots import failed
from palaestra.streams import ENDED
from palaestra.v1 import slot_service_pb2 as pb
from palaestra.v1.job_pb2 import ATTEMPT_STATE_RUNNING, JOB_STATE_CANCELLED, JOB_STATE_CANCELLING, Job
from palaestra.v1.job_service_pb2 import SlotTicket
from palaestra_env.remote import RemoteSlot
from palaestra_env.vector import SlotVectorEnv

REASON_S = 8.0
"""How long to look for what ended a stream: the venue knows within seconds."""
LOOK_S = 0.1
_BROKEN = frozenset({"LEASE_NOT_ACTIVE", "SHUTTING_DOWN", "WORK_FAILED", "INTERNAL"})


class JobSlot(RemoteSlot):
    """The slot of a job. Where its stream breaks, the error is what became of the job."""

    def __init__(
        self, client: Client, job: str, ticket: SlotTicket, credentials: grpc.ChannelCredentials | None
    ) -> None:
        """Open the stream with a ticket. Raises PalaestraError."""
        self._client, self._job, self._attempt = client, job, int(ticket.epoch)
        encrypted = credentials is not None and bool(ticket.tls_address)
        address = ticket.tls_address if encrypted else ticket.address
        super().__init__(
            address,
            lease=ticket.lease,
            epoch=ticket.epoch,
            token=ticket.token,
            credentials=credentials if encrypted else None,
        )

    def _ask(self, request: pb.StepWorldsRequest) -> pb.StepWorldsResponse:
        try:
            return super()._ask(request)
        except PalaestraError as error:
            if error.reason not in _BROKEN:
                raise
            raise self._why(error) from None

    def _why(self, error: PalaestraError) -> PalaestraError:
        """Return what ended the lease, as the venue says; if it says nothing, the error as it is."""
        until_s = time.monotonic() + REASON_S
        while time.monotonic() < until_s:
            try:
                job = self._client.job(self._job)
            except PalaestraError:
                return error
            found = _end_of(job, self._attempt)
            if found is not None:
                return found
            time.sleep(LOOK_S)
        return error


class LeasedVectorEnv(SlotVectorEnv):
    """Worlds of the venue as a Gymnasium `VectorEnv`. Its end gives the slots back; use it as a context.

    Attributes:
        job: Name of the job that serves the worlds.
        slot: The worlds; `slot.opened` tells all that they say of themselves, `slot.readings()` what sensors read.
    """

    def __init__(self, slot: JobSlot, client: Client, job: str, *, autoreset_mode: str, ends_job: bool) -> None:
        """Take over a slot. Raises ValueError for another mode."""
        super().__init__(slot, autoreset_mode=autoreset_mode)
        self.job = job
        self._remote, self._client, self._ends_job = slot, client, ends_job

    def close_extras(self, **_: Any) -> None:
        """Give the slots back, or only leave them where the job is somebody else's to end."""
        if not self._ends_job:
            self._remote.close()
            return
        try:
            self._remote.finish()
        except PalaestraError:
            # It has ended already, or cannot be reached: then the venue is asked.
            with suppress(PalaestraError):
                self._client.cancel(self.job)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def enter(
    client: Client,
    job: str,
    credentials: grpc.ChannelCredentials | None,
    *,
    elsewhere: bool,
    autoreset_mode: str,
    start_timeout_s: float,
    ends_job: bool,
) -> LeasedVectorEnv:
    """Return the worlds of a job to serve as an environment, once they stand.

    Args:
        client: Through which the job was submitted.
        job: Its name.
        credentials: Of the client's connection; None where it is not encrypted.
        elsewhere: Whether the client is on another machine than the venue.
        autoreset_mode: As Gymnasium's.
        start_timeout_s: How long to wait.
        ends_job: Whether the end of the environment is the job's.

    Raises:
        PalaestraError: the job ended before, or the slot cannot be reached.
        TimeoutError: it took longer than `start_timeout_s`.
    """
    try:
        ticket = client.slots.ticket(job, start_timeout_s=start_timeout_s)
        if elsewhere and not ticket.tls_address:
            message = f"{job}: this venue's worlds are driven from its own machine alone (no [tls] slots_listen)"
            raise Unreachable(message)
        slot = JobSlot(client, job, ticket, credentials)
        try:
            return LeasedVectorEnv(slot, client, job, autoreset_mode=autoreset_mode, ends_job=ends_job)
        except BaseException:
            slot.close()
            raise
    except BaseException:
        if ends_job:
            with suppress(PalaestraError):
                client.cancel(job)
        raise


def _end_of(job: Job, attempt: int) -> PalaestraError | None:
    """Return what ended an attempt, None while it goes on."""
    found = next((one for one in job.attempts if one.number == attempt), None)
    if job.state in (JOB_STATE_CANCELLING, JOB_STATE_CANCELLED):
        return PalaestraError("JOB_CANCELLED", f"{job.name} was cancelled")
    if found is not None and found.HasField("failure"):
        return failed(job.name, found.failure)
    if job.state in ENDED or (found is not None and found.state != ATTEMPT_STATE_RUNNING):
        return PalaestraError("LEASE_NOT_ACTIVE", f"{job.name}: its lease has ended")
    return None
