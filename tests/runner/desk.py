"""The scheduler's desk as a worker sees it, in memory: takes what an attempt reports, hands out assignments."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from google.protobuf.message import Message

from palaestra.errors import PalaestraError
from palaestra.policy_address import LOOPBACK
from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2, store_service_pb2
from runner.attempt import Attempt
from runner.settings import Settings

JOB = "vendors/acme/jobs/019"


class Desk:
    """Stands in for `runner.link.Link`; its `runner` names the methods, its `call` carries them out.

    Attributes:
        episodes: By (attempt, index), as the scheduler keeps them: a repeat changes nothing.
        checkpoint: The last one of the job.
        room: What the vendor is told of its room in the store; an error: it has none.
        refuse: Reason that every owned call is answered with, if any.
        on_call: Called before each call with the name of its method.
    """

    def __init__(self) -> None:
        self.runner: Any = _Names()
        self.store: Any = _Names()
        self.episodes: dict[tuple[str, int], episode_pb2.Episode] = {}
        self.checkpoint: job_pb2.Artifact | None = None
        self.log: list[str] = []
        self.progress: list[job_pb2.JobProgress] = []
        self.refuse = ""
        self.room: str | PalaestraError = ""
        self.on_call: Callable[[str], None] = lambda method: None
        self._lock = threading.Lock()

    def call(self, method: str, request: Any, *, patience_s: float = 0.0) -> Message:
        with self._lock:
            self.on_call(method)
            if self.refuse:
                raise PalaestraError(self.refuse, f"{method} is refused")
            return self._answer(method, request)

    def _answer(self, method: str, request: Any) -> Message:
        if method == "CatalogueEpisode":
            return self.episodes.setdefault((request.attempt, request.episode.index), request.episode)
        if method == "SaveCheckpoint":
            self.checkpoint = request.checkpoint
            return runner_service_pb2.SaveCheckpointResponse()
        if method == "AppendLog":
            self.log += request.lines
            return runner_service_pb2.AppendLogResponse()
        if method == "CheckRoom":
            if isinstance(self.room, PalaestraError):
                raise self.room
            return store_service_pb2.CheckRoomResponse(warning=self.room)
        assert method == "HeartbeatAttempts", method
        self.progress += [beat.progress for beat in request.attempts]
        return runner_service_pb2.HeartbeatAttemptsResponse()

    def outcomes(self) -> list[int]:
        """Outcomes of all episodes, in the order of their names."""
        return [episode.outcome for _, episode in sorted(self.episodes.items())]


class _Names:
    def __getattr__(self, name: str) -> str:
        return name


def settings(folder: Path, scheduler: str = "127.0.0.1:1") -> Settings:
    return Settings("runner", scheduler, "secret", folder / "objects", folder / "spool", policy_servers=LOOPBACK)


def attempt_at(
    desk: Desk, folder: Path, job: job_pb2.Job, *, number: int = 1, stop: threading.Event | None = None, **fields: Any
) -> Attempt:
    """An attempt at a job, with what the scheduler would hand to it after the earlier ones at the same desk."""
    named = job_pb2.Job()
    named.CopyFrom(job)
    named.name = JOB
    assignment = runner_service_pb2.Assignment(
        attempt=f"{JOB}/attempts/{number}", job=named, episode_count=len(desk.episodes), **fields
    )
    assignment.lease.sim_slots.append("slot")
    if desk.checkpoint is not None:
        assignment.checkpoint.CopyFrom(desk.checkpoint)
    link: Any = desk
    return Attempt(assignment, "runner/1", settings(folder), link, stop or threading.Event())
