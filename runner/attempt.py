"""One attempt in a worker: what it may do with the rest of the venue, and nothing else."""

import platform
import threading
import time
from collections.abc import Mapping, Sequence

from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from palaestra.v1 import job_pb2, runner_service_pb2, store_service_pb2
from runner.episodes import LEVELS, name_of, request_of
from runner.errors import AttemptError, Stopped
from runner.link import PATIENCE_S, Link
from runner.settings import Settings
from store import (
    EpisodeHeader,
    EpisodeRecorder,
    ObjectStore,
    Outcome,
    SealedEpisode,
    Stream,
    joint_frames,
    joint_units,
    open_objects,
)
from store.camera import CameraStream
from store.episode import SENSOR_PREFIX
from store.spool import Claim

PROGRESS_PERIOD_S = 0.5
SEALED = Failpoint("runner.episode.sealed", "an episode is an object of the store; the catalogue does not have it")
CATALOGUED = Failpoint("runner.episode.catalogued", "an episode is in the catalogue; its worker goes on from there")


class Attempt:
    """The attempt that a worker carries out."""

    def __init__(
        self,
        assignment: runner_service_pb2.Assignment,
        instance: str,
        settings: Settings,
        link: Link,
        stop: threading.Event,
    ) -> None:
        self.assignment = assignment
        self.settings = settings
        self.job = assignment.job
        self.name = assignment.attempt
        at = settings.objects_at or str(settings.objects)
        self.objects: ObjectStore = open_objects(at, settings.objects).of("/".join(self.job.name.split("/")[:2]))
        self._instance = instance
        self._link = link
        self._stop = stop
        self._lock = threading.Lock()
        self._progress_s = 0.0
        self._index = 0
        self._slot: job_pb2.SlotEndpoint | None = None
        self._warned = False

    @property
    def vendor(self) -> str:
        return self.name.split("/")[1]

    @property
    def stopped(self) -> bool:
        """Whether the attempt was told to stop."""
        return self._stop.is_set()

    def check(self) -> None:
        """Raise Stopped if the attempt was told to stop."""
        if self._stop.is_set():
            raise Stopped

    def wait(self, seconds: float) -> None:
        """Sleep, but not past a stop. Raises Stopped."""
        if self._stop.wait(max(seconds, 0.0)):
            raise Stopped

    def log(self, *lines: str) -> None:
        """Append lines to the job's log. Losing one is no reason to fail."""
        request = runner_service_pb2.AppendLogRequest(attempt=self.name, lines=[line[:4000] for line in lines])
        try:
            self._link.call(self._link.runner.AppendLog, request, patience_s=0.0)
        except PalaestraError:
            pass

    def progress(self, fraction: float, message: str) -> None:
        """Report how far the work is, at most twice a second."""
        now_s = time.monotonic()
        with self._lock:
            if now_s - self._progress_s < PROGRESS_PERIOD_S and fraction < 1.0:
                return
            self._progress_s = now_s
        try:
            self._beat(fraction, message, patience_s=0.0)
        except PalaestraError:
            return

    def announce(self, slot: job_pb2.SlotEndpoint) -> None:
        """Tell where the attempt's worlds are served, with this report and all later ones. Raises AttemptError."""
        self._slot = slot
        try:
            self._beat(0.0, "the worlds wait for whoever drives them")
        except PalaestraError as error:
            raise AttemptError(error.reason, error.message, retryable=True) from error

    def _beat(self, fraction: float, message: str, *, patience_s: float = PATIENCE_S) -> None:
        progress = job_pb2.JobProgress(fraction=min(max(fraction, 0.0), 1.0), message=message[:500], slot=self._slot)
        beat = runner_service_pb2.AttemptBeat(attempt=self.name, progress=progress)
        request = runner_service_pb2.HeartbeatAttemptsRequest(instance=self._instance, attempts=[beat])
        response = self._link.call(self._link.runner.HeartbeatAttempts, request, patience_s=patience_s)
        if self.name in response.stop:
            self._stop.set()

    def next_index(self) -> int:
        """Return the next episode's number within the attempt."""
        with self._lock:
            self._index += 1
            return self._index - 1

    def recorder(
        self,
        index: int,
        *,
        robot_model: str,
        maker: str,
        joint_names: Sequence[str],
        task: str,
        seed: int,
        control_rate_hz: float,
        sample_rate_hz: float,
        clock_source: str,
        provenance: dict[str, str],
        base_pose: bool,
        unit: str | None = None,
        world: int | None = None,
        scenario: str | None = None,
        level: int | None = None,
        sensor_widths: Mapping[str, int] | None = None,
        sensor_units: Mapping[str, str] | None = None,
        replay: Mapping[str, str] | None = None,
        cameras: Mapping[str, CameraStream] | None = None,
        streams: Mapping[str, Stream] | None = None,
    ) -> EpisodeRecorder:
        """Open the recorder of one episode.

        provenance: engine, engine_version, model_sha256, controller_backend, calibration; of what is simulated also
        actuators and drives_sha256. streams: signals with rates of their own.

        Raises InvalidEpisode, which names what is missing.
        """
        sensors = sensor_widths or {}
        cell = self.assignment.cell
        header = EpisodeHeader(
            name=name_of(self.name, index),
            vendor=self.vendor,
            job=self.job.name,
            attempt=int(self.name.rsplit("/", 1)[1]),
            robot_model=robot_model,
            maker=maker,
            joint_names=tuple(joint_names),
            task=task,
            seed=abs(seed) % 2**63,
            control_rate_hz=control_rate_hz,
            sample_rate_hz=sample_rate_hz,
            clock_source=clock_source,
            engine=provenance["engine"],
            engine_version=provenance["engine_version"],
            architecture=provenance.get("architecture", platform.machine()),
            model_sha256=provenance["model_sha256"],
            actuators=provenance.get("actuators"),
            drives_sha256=provenance.get("drives_sha256"),
            controller_version=provenance.get("controller_version", "0.1.0"),
            controller_backend=provenance["controller_backend"],
            started_at_ns=time.time_ns(),
            unit=unit,
            world=None if world is None else str(world),
            scenario=scenario or cell.scenario or None,
            cell=cell.name or None,
            level=LEVELS.get(level or cell.level),
            units={**joint_units(base_pose=base_pose), **(sensor_units or {})},
            sensor_widths=sensors,
            replay=replay,
            cameras=cameras or {},
            # A sensor reads in its own frame, which the body description has under its name.
            frames={**joint_frames(base_pose=base_pose), **{s: s.removeprefix(SENSOR_PREFIX) for s in sensors}},
            calibration=provenance.get("calibration", "model" if world is not None else None),
            streams=streams or {},
        )
        self._check_room()
        return EpisodeRecorder(header, self.settings.spool, self.objects)

    def _check_room(self) -> None:
        """Raise AttemptError if the vendor may have nothing more in the store; the log says once when it is near."""
        request = store_service_pb2.CheckRoomRequest(attempt=self.name)
        try:
            warning = self._link.call(self._link.store.CheckRoom, request).warning
        except PalaestraError as error:
            raise _failed(error) from error
        if warning and not self._warned:
            self._warned = True
            self.log(warning)

    def catalogue(self, header: EpisodeHeader, outcome: Outcome, sealed: SealedEpisode) -> None:
        """Enter a sealed episode into the catalogue. Raises Stopped if the attempt is no longer ours."""
        request = request_of(header, outcome, sealed, self._instance)
        SEALED()
        try:
            self._owned(self._link.runner.CatalogueEpisode, request)
        except BaseException:
            # The attempt is over, or nobody can be reached: it is told once more by who recovers the spool.
            sealed.settle(False)
            raise
        CATALOGUED()
        sealed.settle(True)

    def keep(self, data: bytes, media_type: str) -> job_pb2.Artifact:
        """Store bytes by their hash."""
        with Claim(self.settings.spool) as claim:
            claim.extra.write_bytes(data)
            stored = self.objects.put_file(claim.extra, move=True)
        return job_pb2.Artifact(sha256=stored.sha256, size_bytes=stored.size_bytes, media_type=media_type)

    def fetch(self, artifact: job_pb2.Artifact) -> bytes:
        """Return stored bytes."""
        with self.objects.open(artifact.sha256) as file:
            return file.read()

    def save_checkpoint(self, data: bytes) -> None:
        """Keep a checkpoint from which a later attempt goes on."""
        artifact = self.keep(data, "application/json")
        request = runner_service_pb2.SaveCheckpointRequest(
            attempt=self.name, instance=self._instance, checkpoint=artifact
        )
        self._owned(self._link.runner.SaveCheckpoint, request)

    def _owned(self, method: object, request: object) -> None:
        try:
            self._link.call(method, request)  # type: ignore[arg-type]
        except PalaestraError as error:
            if error.reason in ("ATTEMPT_NOT_ACTIVE", "NOT_FOUND"):
                raise Stopped from error
            raise _failed(error) from error


def _failed(error: PalaestraError) -> AttemptError:
    # A quota is not less full because one tries again.
    return AttemptError(error.reason, error.message, retryable=error.reason != "STORE_QUOTA")
