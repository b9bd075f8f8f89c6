"""Worlds of the venue, leased and handed out as a Gymnasium environment: `client.slots(robot=..., task=..., worlds=64)`.

What steps them is `palaestra_env`, which comes along and needs NumPy and Gymnasium; this file does not, so that the SDK
stays light for whoever only submits jobs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import grpc

from palaestra import jobs
from palaestra.errors import PalaestraError

if TYPE_CHECKING:
    from palaestra.client import Client

START_S = 600.0


class Slots:
    """Leases worlds. `client.slots` is one."""

    def __init__(self, client: "Client", credentials: grpc.ChannelCredentials | None) -> None:
        self._client, self._credentials = client, credentials

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
        lease = _environments()
        submitted = self._client.submit(jobs.serve(robot, task=task, motion=motion, worlds=worlds, **job))
        return lease.enter(
            self._client,
            submitted.name,
            self._credentials,
            autoreset_mode=autoreset_mode,
            start_timeout_s=start_timeout_s,
            ends_job=True,
        )

    def attach(self, job: str, *, autoreset_mode: str = "NextStep", start_timeout_s: float = START_S) -> Any:
        """Return the worlds of a job to serve that was submitted otherwise, as above; their end is not its end."""
        return _environments().enter(
            self._client,
            job,
            self._credentials,
            autoreset_mode=autoreset_mode,
            start_timeout_s=start_timeout_s,
            ends_job=False,
        )


def _environments() -> Any:
    try:
        # By name, because nothing that the SDK imports may need NumPy.
        return import_module("palaestra_env.lease")
    except ModuleNotFoundError as error:
        message = f'worlds as environments need {error.name}: pip install "palaestra[env]"'
        raise PalaestraError("INVALID_FIELD", message) from None
