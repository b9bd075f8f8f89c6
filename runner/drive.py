"""Drives leased units through their hosts and records what they do.

One thread for each unit: targets go out at policy rate by an absolute schedule, samples come back on the same stream
and go straight to the recorder of the running episode. That thread does nothing that can take long, because a unit
that is left without targets stops by itself: recorders are opened, sealed and catalogued by others behind it.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from palaestra.channel import is_loopback
from palaestra.errors import PalaestraError, from_rpc
from palaestra.tls_files import TlsFiles
from palaestra.v1 import runner_service_pb2, unit_host_service_pb2, unit_host_service_pb2_grpc
from runner.attempt import Attempt
from runner.course import Course, Seen, course_of
from runner.errors import AttemptError
from runner.gang import Gang
from runner.slots import find_robot
from runner.tally import Tally
from sim.errors import SimError
from store import ACTION, BASE_POSE, EFFORT, STATE, VELOCITY, EpisodeRecorder, Outcome, Status
from store.errors import StoreFull

Array = npt.NDArray[np.float64]
POLICY_HZ = 50.0
SAMPLE_HZ = 100.0
# Shortest time to glide back to home between two episodes, and the share of a joint's speed limit that it may take; not
# recorded.
RETURN_S = 0.6
GLIDE_SPEED_SHARE = 0.4
# A host may hear of a grant later than we do.
OPEN_PATIENCE_S = 5.0
OPEN_PAUSE_S = 0.02
OPEN_ANSWER_S = 5.0
# Targets are before what the robot has told of by a block of samples and the way here: up to AHEAD_S is normal; at
# AHEAD_MAX_S the motion stands.
AHEAD_S = 0.08
AHEAD_MAX_S = 0.2
SILENCE_S = 10.0
# By as much targets may be late and be made up for.
SLIP_S = 0.01
CLOSE_S = 2.0
CLOSE_FAILED_S = 0.3
NOT_YET = frozenset({"LEASE_NOT_ACTIVE", "SHUTTING_DOWN", "UNIT_BUSY"})


def collect_on_units(attempt: Attempt, episodes: int, duration_s: float) -> int:
    """Record `episodes` on each leased unit. Returns when the first torque went out [ns since the epoch].

    Raises:
        AttemptError: a unit failed; what was recorded until then is kept as an aborted episode.
        Stopped: told to stop.
    """
    endpoints = list(attempt.assignment.endpoints)
    tally = Tally.of(attempt)
    recorded = attempt.assignment.episode_count - tally.aborted
    todo = shares(len(endpoints) * episodes - recorded, len(endpoints))
    models = {endpoint.robot_model for endpoint in endpoints}
    speeds = {model: _speed_limits(attempt, model) for model in models}
    gang = Gang(attempt, tally, sum(todo))

    def run(number: int) -> int:
        endpoint = endpoints[number]
        try:
            course = course_of(attempt, endpoint.robot_model, number)
            opened = UnitDrive(attempt, endpoint, gang, speeds[endpoint.robot_model])
            with closing(course), opened as drive:
                drive.glide_home()
                for episode in range(todo[number]):
                    course.begin(episode)
                    _record(attempt, gang, drive, course, duration_s)
                    drive.glide_home()
            return drive.first_torque_ns
        except Exception as error:
            gang.fail(error)
            return 0

    with ThreadPoolExecutor(len(endpoints), thread_name_prefix="drive") as pool:
        first_torques = [torque for torque in pool.map(run, range(len(endpoints))) if torque]
    gang.close()
    return min(first_torques, default=0)


def glide_time_s(way_rad: Array, dq_max_rad_s: Array) -> float:
    """Return in which time joints go a way along x²(3 - 2x), no faster than a share of their limits.

    The steepest part of that path is 1.5 times as fast as its mean. Both arguments have shape (n,).
    """
    needed_s = float(np.max(1.5 * np.abs(way_rad) / (GLIDE_SPEED_SHARE * dq_max_rad_s), initial=0.0))
    return max(needed_s, RETURN_S)


def pace(ahead_s: float) -> float:
    """Return how fast a motion goes on, 0 to 1, whose targets are `ahead_s` before what the robot has told of."""
    return min(max((AHEAD_MAX_S - ahead_s) / (AHEAD_MAX_S - AHEAD_S), 0.0), 1.0)


def shares(total: int, parts: int) -> list[int]:
    """Return `total` in `parts` as equal as possible."""
    total = max(total, 0)
    return [total // parts + (index < total % parts) for index in range(parts)]


def _speed_limits(attempt: Attempt, robot_model: str) -> Array:
    try:
        spec = find_robot(attempt, robot_model).robot_spec()
    except SimError as error:
        raise AttemptError("UNKNOWN_WORK", str(error), retryable=False) from error
    return np.array([joint.dq_max_rad_s for joint in spec.joints])


def _record(attempt: Attempt, gang: Gang, drive: "UnitDrive", course: Course, duration_s: float) -> None:
    """Drive and record one episode; leave it to the gang to seal it."""
    index = attempt.next_index()
    spec = attempt.job.collect
    opened = drive.opened

    def open_recorder() -> EpisodeRecorder:
        return attempt.recorder(
            index,
            robot_model=opened.robot_model,
            maker=drive.endpoint.maker or "unknown",
            joint_names=list(opened.joint_names),
            task=spec.task or f"{course.title} by {opened.robot_model}",
            seed=spec.seed,
            control_rate_hz=1.0 / opened.control_period_s,
            sample_rate_hz=SAMPLE_HZ,
            clock_source="monotonic",
            provenance=drive.provenance,
            base_pose=drive.has_base_pose,
            unit=drive.endpoint.unit,
        )

    opening = gang.open(open_recorder)
    try:
        drive.hold_until(opening.done)
    except BaseException:
        opening.add_done_callback(_forget)
        raise
    recorder = opening.result()
    settle = drive.record_to(recorder)
    outcome = Outcome(Status.SUCCESS)
    try:
        drive.follow(course, duration_s)
    except Exception as error:
        gang.fail(error)
        outcome = Outcome(Status.ABORTED, gang.cause()[:500])
        raise
    finally:
        drive.record_to(None)
        # Also what was cut short is kept, with its cause.
        gang.seal(recorder, outcome, settle)


def _forget(opening: "Future[EpisodeRecorder]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().abort()


class _Take:
    """One episode's rows on their way from the reader's thread to its recorder."""

    def __init__(self, recorder: EpisodeRecorder) -> None:
        self._recorder = recorder
        self._lock = threading.Lock()
        self._start_s: float | None = None
        self._over = False

    def add(self, block: unit_host_service_pb2.SampleBlock) -> None:
        """Append a block of samples, unless the episode is over."""
        with self._lock:
            if self._over or block.rows == 0:
                return
            times = np.array(block.time_s)
            signals = {
                STATE: _rows(block.position_rad, block.rows),
                VELOCITY: _rows(block.velocity_rad_s, block.rows),
                EFFORT: _rows(block.torque_nm, block.rows),
                ACTION: _rows(block.target_rad, block.rows),
            }
            if BASE_POSE in self._recorder.header.signals:
                signals[BASE_POSE] = _rows(block.base_pose, block.rows)
            # A broken sensor's rows are no data, and must not cost those before them.
            good = np.all([np.isfinite(values).all(axis=1) for values in signals.values()], axis=0)
            if not good.any():
                return
            if self._start_s is None:
                self._start_s = float(times[good][0])
            self._recorder.extend(times[good] - self._start_s, {name: values[good] for name, values in signals.items()})

    def settle(self) -> None:
        """Wait until the last row is in; from then on none is added."""
        with self._lock:
            self._over = True


class UnitDrive:
    """One unit under our lease, open for as long as the context."""

    def __init__(
        self, attempt: Attempt, endpoint: runner_service_pb2.UnitEndpoint, gang: Gang, dq_max_rad_s: Array
    ) -> None:
        self.endpoint = endpoint
        self._gang = gang
        self._dq_max_rad_s = dq_max_rad_s
        self.first_torque_ns = 0
        self._attempt = attempt
        self._requests: queue.SimpleQueue[unit_host_service_pb2.DriveRequest | None] = queue.SimpleQueue()
        self._ended: AttemptError | None = None
        self._closed = threading.Event()
        # Written by the drive's thread, read by the reader's; replacing a reference needs no lock.
        self._take: _Take | None = None
        self._sequence = 0
        # When the host last sent samples, which it does every 20 ms, and what the robot's clock was then.
        self._heard_s = 0.0
        self._robot_s = 0.0
        self._last = np.zeros(0)
        self._seen = Seen(0.0, np.zeros(0), np.zeros(0), None)
        self._refusals: set[str] = set()
        # Whether the unit tells where its base is; known from its first samples.
        self.has_base_pose = False

    def __enter__(self) -> "UnitDrive":
        tls = TlsFiles() if is_loopback(self.endpoint.address) else self._attempt.settings.drive_tls
        self._channel = tls.channel(self.endpoint.address, ())
        try:
            self._open_patiently()
        except BaseException:
            self._channel.close()
            raise
        threading.Thread(target=self._read, name="samples", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._requests.put(unit_host_service_pb2.DriveRequest(close=unit_host_service_pb2.DriveClose()))
        self._requests.put(None)
        # The host answers a close with `ended`, which tells when the first torque went out. Nobody waits long for that
        # who was told to stop.
        self._closed.wait(CLOSE_S if kind is None else CLOSE_FAILED_S)
        self._responses.cancel()
        self._channel.close()

    def _open_patiently(self) -> None:
        give_up_s = time.monotonic() + OPEN_PATIENCE_S
        while True:
            self._gang.check()
            try:
                self._open()
                return
            except PalaestraError as error:
                if error.reason not in NOT_YET or time.monotonic() > give_up_s:
                    retryable = error.reason in NOT_YET or error.reason in ("STALE_EPOCH", "UNIT_FAULT")
                    message = f"{self.endpoint.unit}: {error.message}"
                    raise AttemptError(error.reason, message, retryable=retryable) from None
            self._attempt.wait(OPEN_PAUSE_S)

    @property
    def provenance(self) -> dict[str, str]:
        """What moved the body, for the episode's header."""
        known = dict(self.opened.provenance)
        return {
            "engine": known.get("engine", "firmware"),
            "engine_version": known.get("engine_version", known.get("firmware", "")),
            "architecture": known.get("architecture", "unknown"),
            # What a robot does not say is not made up: an episode without it is refused.
            "model_sha256": known.get("model_sha256", ""),
            "calibration": known.get("calibration", ""),
            "controller_backend": self.opened.controller_backend,
            **{key: known[key] for key in ("actuators", "drives_sha256") if key in known},
        }

    def record_to(self, recorder: EpisodeRecorder | None) -> Callable[[], None]:
        """Send samples to this recorder from now on, or to none. Never waits.

        Returns a function that waits until nothing is added any more; call it before sealing.
        """
        take = None if recorder is None else _Take(recorder)
        self._take = take
        return (lambda: None) if take is None else take.settle

    def follow(self, course: Course, duration_s: float) -> None:
        """Send a course's targets for a time. Raises AttemptError if the drive ends, Stopped."""
        for time_s in self._times(duration_s):
            self._send(course.target(time_s, self._seen, self._last))

    def glide_home(self) -> None:
        """Bring the joints back to home by a smooth path."""
        start, home = self._last, np.array(self.opened.home_rad)
        duration_s = glide_time_s(home - start, self._dq_max_rad_s)
        for time_s in self._times(duration_s):
            x = time_s / duration_s
            self._send(start + x * x * (3.0 - 2.0 * x) * (home - start))
        self._send(home)

    def hold_until(self, ready: Callable[[], bool]) -> None:
        """Repeat the last target until something is ready."""
        while not ready():
            self._send(self._last)
            self._attempt.wait(1.0 / POLICY_HZ)

    def _times(self, duration_s: float) -> Iterator[float]:
        """Yield times from 0 to `duration_s` at policy rate, by an absolute schedule and at the robot's pace.

        Time passes more slowly where the robot cannot follow, as when its host, short of a processor, skips ticks:
        targets that run ahead of it, or that come late and all at once, would make it jump, and the control core stops
        it for that.

        Raises:
            AttemptError: UNIT_FAULT, the unit was silent for too long.
        """
        begin_s = self._robot_s
        time_s, due_s = 0.0, time.monotonic()
        while time_s < duration_s:
            yield time_s
            due_s = max(due_s + 1.0 / POLICY_HZ, time.monotonic() - SLIP_S)
            self._attempt.wait(due_s - time.monotonic())
            if time.monotonic() - self._heard_s > SILENCE_S:
                raise AttemptError("UNIT_FAULT", f"{self.endpoint.unit} sends no samples", retryable=True)
            time_s += pace(time_s - (self._robot_s - begin_s)) / POLICY_HZ

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
        self._heard_s = time.monotonic()

    def _hear(self, block: unit_host_service_pb2.SampleBlock) -> None:
        """Note the robot's time: that of its loop, less the ticks that the loop skipped."""
        if block.rows:
            self._heard_s = time.monotonic()
            self._robot_s = block.time_s[-1] - block.missed_ticks * self.opened.control_period_s
            joints = len(self.opened.joint_names)
            pose = np.array(block.base_pose[-7:]) if block.base_pose else None
            q, dq = np.array(block.position_rad[-joints:]), np.array(block.velocity_rad_s[-joints:])
            if np.isfinite(q).all() and np.isfinite(dq).all():
                self._seen = Seen(self._robot_s, q, dq, pose)

    def _read(self) -> None:
        """Take what the host sends until the stream ends."""
        try:
            for response in self._responses:
                kind = response.WhichOneof("message")
                if kind == "samples":
                    self._hear(response.samples)
                    self.has_base_pose = self.has_base_pose or len(response.samples.base_pose) > 0
                    if (take := self._take) is not None:
                        take.add(response.samples)
                elif kind == "refused" and response.refused.reason not in self._refusals:
                    # The same fifty times a second says no more than once.
                    self._refusals.add(response.refused.reason)
                    self._gang.note(f"{self.endpoint.unit} refused a target: {response.refused.message}")
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
        except StoreFull as error:
            self._ended = self._ended or AttemptError("STORE_FULL", str(error), retryable=True)
        except Exception as error:
            self._ended = self._ended or AttemptError("WORK_FAILED", f"recording failed: {error}", retryable=True)
        finally:
            self._closed.set()


def _rows(values: Sequence[float], rows: int) -> npt.NDArray[np.float32]:
    return np.array(values, dtype=np.float32).reshape(rows, -1)


def _until_none(requests: "queue.SimpleQueue[Any]") -> Iterator[Any]:
    while (request := requests.get()) is not None:
        yield request
