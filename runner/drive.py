"""Drives leased units through their hosts and records what they do.

One thread for each unit: targets go out at policy rate by an absolute schedule, samples come back on the same stream
and go straight to the recorder of the running episode. That thread does nothing that can take long, because a unit
that is left without targets stops by itself: episodes are sealed and catalogued by another one behind it.
"""

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import runner_service_pb2, unit_host_service_pb2, unit_host_service_pb2_grpc
from sim.errors import SimError
from sim.motion import FittedMotion, find_motion
from store import ACTION, BASE_POSE, EFFORT, STATE, VELOCITY, EpisodeRecorder, Outcome, Status

from runner.attempt import Attempt
from runner.errors import AttemptError, Stopped
from runner.slots import find_robot

Array = npt.NDArray[np.float64]
POLICY_HZ = 50.0
SAMPLE_HZ = 100.0
# Time to glide back to home between two episodes; not recorded.
RETURN_S = 0.6
# A host may hear of a grant later than we do.
OPEN_PATIENCE_S = 5.0
OPEN_PAUSE_S = 0.02
OPEN_ANSWER_S = 5.0
NOT_YET = frozenset({"LEASE_NOT_ACTIVE", "SHUTTING_DOWN", "UNIT_BUSY"})


def collect_on_units(attempt: Attempt, episodes: int, duration_s: float) -> int:
    """Record `episodes` on each leased unit. Returns when the first torque went out [ns since the epoch].

    Raises:
        AttemptError: a unit failed; what was recorded until then is kept as an aborted episode.
        Stopped: told to stop.
    """
    endpoints = list(attempt.assignment.endpoints)
    todo = _shares(len(endpoints) * episodes - attempt.assignment.episode_count, len(endpoints))
    motions = {endpoint.robot_model: _motion(attempt, endpoint.robot_model) for endpoint in endpoints}
    gang = _Gang(attempt, sum(todo))

    def run(number: int) -> int:
        endpoint = endpoints[number]
        try:
            with UnitDrive(attempt, endpoint, gang) as drive:
                drive.glide_home()
                for _ in range(todo[number]):
                    _record(attempt, gang, drive, motions[endpoint.robot_model], duration_s)
                    drive.glide_home()
            return drive.first_torque_ns
        except Exception as error:
            gang.fail(error)
            return 0

    with ThreadPoolExecutor(len(endpoints), thread_name_prefix="drive") as pool:
        first_torques = [torque for torque in pool.map(run, range(len(endpoints))) if torque]
    gang.close()
    return min(first_torques, default=0)


class _Gang:
    """What the units of one claim share: the first failure ends all of them, and one thread seals their episodes."""

    def __init__(self, attempt: Attempt, total: int) -> None:
        self._attempt = attempt
        self._total = total
        self._done = 0
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="sealer")
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def check(self) -> None:
        """Raise Stopped if another unit of the gang has failed, or the attempt was told to stop."""
        if self._failure is not None:
            raise Stopped
        self._attempt.check()

    def fail(self, error: Exception) -> None:
        """Note a failure; the first one counts, and the others come to rest now instead of finishing alone."""
        with self._lock:
            self._failure = self._failure or error

    def seal(self, index: int, recorder: EpisodeRecorder, outcome: Outcome) -> None:
        """Seal and catalogue an episode behind the drives."""
        self._sealer.submit(self._seal, index, recorder, outcome)

    def _seal(self, index: int, recorder: EpisodeRecorder, outcome: Outcome) -> None:
        try:
            with recorder:
                self._attempt.catalogue(index, recorder.header, outcome, recorder.seal(outcome))
            if outcome.status is Status.SUCCESS:
                self._done += 1
                self._attempt.progress(
                    self._done / max(self._total, 1), f"{self._done} of {self._total} episodes recorded"
                )
        except Exception as error:
            self.fail(error)

    def close(self) -> None:
        """Wait for the last seal; raise the first failure, if any."""
        self._sealer.shutdown()
        if self._failure is not None:
            raise self._failure


def _shares(total: int, parts: int) -> list[int]:
    """Return `total` in `parts` as equal as possible."""
    total = max(total, 0)
    return [total // parts + (index < total % parts) for index in range(parts)]


def _motion(attempt: Attempt, robot_model: str) -> FittedMotion:
    spec = attempt.job.collect
    if not spec.motion:
        raise AttemptError(
            "UNKNOWN_WORK", "policies drive worlds; units are driven by motions so far", retryable=False
        )
    entry = find_robot(attempt, robot_model)
    try:
        return find_motion(spec.motion).fit(entry)
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error


def _record(attempt: Attempt, gang: _Gang, drive: "UnitDrive", motion: FittedMotion, duration_s: float) -> None:
    """Drive and record one episode; leave it to the gang to seal it."""
    index = attempt.next_index()
    spec = attempt.job.collect
    opened = drive.opened
    recorder = attempt.recorder(
        index,
        robot_model=opened.robot_model,
        maker=drive.endpoint.maker or "unknown",
        joint_names=list(opened.joint_names),
        task=spec.task or f"{spec.motion} by {opened.robot_model}",
        seed=spec.seed,
        control_rate_hz=1.0 / opened.control_period_s,
        sample_rate_hz=SAMPLE_HZ,
        clock_source="monotonic",
        provenance=drive.provenance,
        base_pose=drive.has_base_pose,
        unit=drive.endpoint.unit,
    )
    drive.record_to(recorder)
    outcome = Outcome(Status.SUCCESS)
    try:
        drive.follow(motion, duration_s)
    except Exception as error:
        gang.fail(error)
        outcome = Outcome(Status.ABORTED, str(error)[:500] or type(error).__name__)
        raise
    finally:
        drive.record_to(None)
        if recorder.rows:
            # Also what was cut short is kept, with its cause.
            gang.seal(index, recorder, outcome)
        else:
            recorder.abort()
    if not recorder.rows:
        raise AttemptError("UNIT_FAULT", f"{drive.endpoint.unit} sent no samples", retryable=True)


class UnitDrive:
    """One unit under our lease, open for as long as the context."""

    def __init__(self, attempt: Attempt, endpoint: runner_service_pb2.UnitEndpoint, gang: _Gang) -> None:
        self.endpoint = endpoint
        self._gang = gang
        self.first_torque_ns = 0
        self._attempt = attempt
        self._requests: queue.SimpleQueue[unit_host_service_pb2.DriveRequest | None] = queue.SimpleQueue()
        self._ended: AttemptError | None = None
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._recorder: EpisodeRecorder | None = None
        self._start_s: float | None = None
        self._sequence = 0
        self._last = np.zeros(0)
        # Whether the unit tells where its base is; known from its first samples.
        self.has_base_pose = False

    def __enter__(self) -> "UnitDrive":
        self._channel = grpc.insecure_channel(self.endpoint.address)
        give_up_s = time.monotonic() + OPEN_PATIENCE_S
        while True:
            self._attempt.check()
            try:
                self._open()
                break
            except PalaestraError as error:
                if error.reason not in NOT_YET or time.monotonic() > give_up_s:
                    self._channel.close()
                    retryable = error.reason in NOT_YET or error.reason in ("STALE_EPOCH", "UNIT_FAULT")
                    raise AttemptError(error.reason, f"{self.endpoint.unit}: {error.message}", retryable=retryable) from None
            self._attempt.wait(OPEN_PAUSE_S)
        threading.Thread(target=self._read, name="samples", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._requests.put(unit_host_service_pb2.DriveRequest(close=unit_host_service_pb2.DriveClose()))
        self._requests.put(None)
        # The host answers a close with `ended`, which tells when the first torque went out.
        self._closed.wait(2.0)
        self._responses.cancel()
        self._channel.close()

    @property
    def provenance(self) -> dict[str, str]:
        """What moved the body, for the episode's header."""
        known = dict(self.opened.provenance)
        return {
            "engine": known.get("engine", "firmware"),
            "engine_version": known.get("engine_version", "unknown"),
            "architecture": known.get("architecture", "unknown"),
            "model_sha256": known.get("model_sha256", "0" * 64),
            "controller_backend": self.opened.controller_backend or "unknown",
        }

    def record_to(self, recorder: EpisodeRecorder | None) -> None:
        """Send samples to this recorder from now on, or to none."""
        with self._lock:
            self._recorder = recorder
            self._start_s = None

    def follow(self, motion: FittedMotion, duration_s: float) -> None:
        """Send the motion's targets for a time. Raises AttemptError if the drive ends, Stopped."""
        start_s = time.monotonic()
        for step in range(round(duration_s * POLICY_HZ)):
            self._send(motion.targets(step / POLICY_HZ))
            self._attempt.wait(start_s + (step + 1) / POLICY_HZ - time.monotonic())

    def glide_home(self) -> None:
        """Bring the joints back to home by a smooth path."""
        start, home = self._last, np.array(self.opened.home_rad)
        steps = round(RETURN_S * POLICY_HZ)
        begin_s = time.monotonic()
        for step in range(1, steps + 1):
            x = step / steps
            self._send(start + x * x * (3.0 - 2.0 * x) * (home - start))
            self._attempt.wait(begin_s + step / POLICY_HZ - time.monotonic())

    def _send(self, target: Array) -> None:
        if self._ended is not None:
            raise self._ended
        self._gang.check()
        self._sequence += 1
        self._last = target
        message = unit_host_service_pb2.DriveTarget(sequence=self._sequence, position_rad=target.tolist())
        self._requests.put(unit_host_service_pb2.DriveRequest(target=message))

    def _open(self) -> None:
        """Open the stream and wait for the host's word. Raises PalaestraError."""
        self._requests = queue.SimpleQueue()
        stub = unit_host_service_pb2_grpc.UnitHostServiceStub(self._channel)
        assignment = self._attempt.assignment
        self._requests.put(
            unit_host_service_pb2.DriveRequest(
                open=unit_host_service_pb2.DriveOpen(
                    unit=self.endpoint.unit,
                    lease=assignment.lease.name,
                    epoch=self.endpoint.epoch,
                    token=assignment.lease_token,
                    sample_rate_hz=SAMPLE_HZ,
                )
            )
        )
        self._responses: Any = stub.Drive(_until_none(self._requests))
        watchdog = threading.Timer(OPEN_ANSWER_S, self._responses.cancel)
        watchdog.start()
        try:
            first = next(self._responses)
        except grpc.RpcError as error:
            self._requests.put(None)
            raise from_rpc(error) from None
        finally:
            watchdog.cancel()
        if first.HasField("ended"):
            self._requests.put(None)
            raise PalaestraError(first.ended.reason or "LEASE_NOT_ACTIVE", first.ended.message)
        self.opened = first.opened
        self._last = np.array(self.opened.position_rad)

    def _read(self) -> None:
        """Take what the host sends until the stream ends."""
        try:
            for response in self._responses:
                kind = response.WhichOneof("message")
                if kind == "samples":
                    self._take(response.samples)
                elif kind == "refused":
                    self._attempt.log(f"{self.endpoint.unit} refused a target: {response.refused.message}")
                elif kind == "ended":
                    self.first_torque_ns = response.ended.first_torque_unix_ns
                    reason = response.ended.reason
                    if reason:
                        message = f"{self.endpoint.unit}: {response.ended.message}"
                        self._ended = AttemptError(reason, message, retryable=True)
        except grpc.RpcError as error:
            problem = from_rpc(error)
            self._ended = self._ended or AttemptError(
                "UNIT_FAULT", f"{self.endpoint.unit}: its host is gone ({problem.message})", retryable=True
            )
        except Exception as error:
            self._ended = self._ended or AttemptError("WORK_FAILED", f"recording failed: {error}", retryable=True)
        finally:
            self._closed.set()

    def _take(self, block: unit_host_service_pb2.SampleBlock) -> None:
        with self._lock:
            recorder = self._recorder
            self.has_base_pose = self.has_base_pose or len(block.base_pose) > 0
            if recorder is None or block.rows == 0:
                return
            times = np.array(block.time_s)
            if self._start_s is None:
                self._start_s = float(times[0])
            signals = {
                STATE: _rows(block.position_rad, block.rows),
                VELOCITY: _rows(block.velocity_rad_s, block.rows),
                EFFORT: _rows(block.torque_nm, block.rows),
                ACTION: _rows(block.target_rad, block.rows),
            }
            if BASE_POSE in recorder.header.signals:
                signals[BASE_POSE] = _rows(block.base_pose, block.rows)
            recorder.extend(times - self._start_s, signals)


def _rows(values: Sequence[float], rows: int) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(rows, -1)


def _until_none(requests: "queue.SimpleQueue[Any]") -> Iterator[Any]:
    while (request := requests.get()) is not None:
        yield request
