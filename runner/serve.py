"""Leaving worlds to a program of the vendor elsewhere: the slot is opened here, and driven from there.

Who may drive it shows a ticket that the scheduler made with the lease's secret. What ends the lease (its time, a
cancel, another's right) ends this attempt, and with it the slot's process and the stream.
"""

from pathlib import Path

import grpc

from palaestra.tls_files import NoCertificate, ServerFiles
from palaestra.v1 import job_pb2
from runner.attempt import Attempt
from runner.errors import AttemptError
from runner.scene import scene_of
from runner.slots import open_slot
from sim.slot_process.server import SlotLease, SlotServer

WORLDS = 16
EPISODE_S = 5.0
IDLE_TIMEOUT_S = 60.0
LOOK_S = 0.1


def serve(attempt: Attempt) -> job_pb2.JobResult:
    """Carry out a ServeSpec.

    Raises:
        AttemptError: SLOT_ABANDONED, nobody drove the worlds; WORK_FAILED, their process died; as `open_slot`.
        Stopped: told to stop.
    """
    spec, settings = attempt.job.serve, attempt.settings
    number = int(attempt.name.rsplit("/", 1)[1])
    lease = SlotLease(attempt.assignment.lease.name, number, attempt.assignment.lease_token)
    idle_s = spec.idle_timeout.ToNanoseconds() / 1e9 or IDLE_TIMEOUT_S
    with open_slot(
        attempt,
        spec.robot_model,
        task=spec.task,
        motion=spec.motion,
        horizon_s=spec.episode_duration.ToNanoseconds() / 1e9 or EPISODE_S,
        worlds=spec.worlds or WORLDS,
        seed=spec.seed,
        scene=scene_of(spec),
    ) as slot:
        try:
            server = SlotServer(
                slot,
                lease,
                tls_listen=settings.slots_listen,
                credentials=_credentials(settings.slots_cert, settings.slots_key),
                idle_s=idle_s,
            )
        except (RuntimeError, ValueError) as error:
            raise AttemptError("WORK_FAILED", f"the slot cannot be served: {error}", retryable=True) from error
        try:
            port = server.tls_address.rpartition(":")[2]
            attempt.announce(
                job_pb2.SlotEndpoint(
                    address=server.address,
                    tls_address=f"{settings.slots_name}:{port}" if port else "",
                    attempt=number,
                )
            )
            attempt.log(f"{slot.worlds} worlds wait for whoever drives them")
            _until_finished(attempt, server, idle_s)
        finally:
            server.close()
    return job_pb2.JobResult()


def _until_finished(attempt: Attempt, server: SlotServer, idle_s: float) -> None:
    told = False
    while not server.finished:
        attempt.wait(LOOK_S)
        if not server.alive:
            raise AttemptError("WORK_FAILED", "the slot's process has ended", retryable=True)
        unused_s = server.unused_s
        if unused_s > idle_s:
            raise AttemptError("SLOT_ABANDONED", f"nobody drove the worlds for {idle_s:g} s", retryable=False)
        if (unused_s == 0.0) != told:
            told = unused_s == 0.0
            attempt.progress(0.0, "the worlds are driven" if told else "the worlds wait for whoever drives them")


def _credentials(cert: Path | None, key: Path | None) -> grpc.ServerCredentials | None:
    if cert is None or key is None:
        return None
    try:
        return ServerFiles(cert, key).credentials()
    except NoCertificate as error:
        raise AttemptError("WORK_FAILED", f"the slot cannot be served: {error}", retryable=True) from error
