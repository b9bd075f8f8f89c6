"""What an episode is: its header, its outcome and its signals, checked once and then immutable.

An episode is one recorded run on one unit or in one simulated world. The header says everything that is
needed to understand the numbers without asking anybody: the body and its joints, the task, the rates and the
clock, the engine, the controller and the units of measure. It travels inside the sealed file as canonical
JSON, so that a file found alone can still be read.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from typing import Any, Self

from store.camera import IMAGE_PREFIX, CameraStream, checked_cameras
from store.errors import InvalidEpisode
from store.stream import Stream, checked_streams

SCHEMA_VERSION = 2
"""Version 1 had neither frames nor calibration nor streams; such files are read, and not written any more."""
MAX_VALUES = 2**28
"""Most float32 values of one episode, all signals together: 1 GiB decoded, 75 min of 29 joints at 500 Hz.
The recorder stops there and the reader refuses more, so what was written can always be read."""
MAX_JOINTS = 1024
MAX_NAME = 255
MAX_TEXT = 500
"""Most characters of a task or a cause: as many as the catalogue takes, so what is sealed can be listed."""

TIME = "time_s"
STATE = "observation.state"
VELOCITY = "observation.velocity"
EFFORT = "observation.effort"
ACTION = "action"
BASE_POSE = "observation.base_pose"
JOINT_SIGNALS = (STATE, VELOCITY, EFFORT, ACTION)
SIGNALS = (*JOINT_SIGNALS, BASE_POSE)
SENSOR_PREFIX = "observation.sensor."
"""A signal of this prefix holds the readings of one sensor, under the sensor's name."""
MAX_REPLAY_TEXT = 262_144
MAX_SENSORS = 64
MAX_READINGS = 65_536
REPLAY_ACTION = "replay.action"
REPLAY_STATE = "replay.state"
"""In what a world took, exactly, and the 64-bit hash of the state it was in then: columns of episodes with `replay`."""
BASE_POSE_NAMES = ("x", "y", "z", "qw", "qx", "qy", "qz")

CLOCK_SOURCES = ("simulation", "monotonic", "ntp", "ptp")
LEVELS = ("L1", "L2", "L3", "L4")


class Status(StrEnum):
    """How an episode ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    ABORTED = "aborted"
    # The recording process died; what it had flushed was sealed later, by `store.recovery`.
    INTERRUPTED = "interrupted"


JOINT_FRAME = "joint"
WORLD_FRAME = "world"


def joint_units(*, base_pose: bool = False) -> dict[str, str]:
    """Return the units of measure of a body with revolute joints; the keys say which signals are recorded.

    `observation.state` and `action` are joint positions [rad], `observation.velocity` [rad/s],
    `observation.effort` the joint torque [N m], `time_s` seconds since `started_at_ns`. With `base_pose` also
    `observation.base_pose`: position [m] and unit quaternion (w, x, y, z) of the base in the world frame.
    """
    units = {TIME: "s", STATE: "rad", VELOCITY: "rad/s", EFFORT: "N m", ACTION: "rad"}
    if base_pose:
        units[BASE_POSE] = "m, quaternion wxyz"
    return units


def joint_frames(*, base_pose: bool = False) -> dict[str, str]:
    """Return the frames of the same signals: joints about their own axes, the base in the world."""
    frames = dict.fromkeys(JOINT_SIGNALS, JOINT_FRAME)
    if base_pose:
        frames[BASE_POSE] = WORLD_FRAME
    return frames


@dataclass(frozen=True)
class EpisodeHeader:
    """What is known of an episode before its first sample. A field that breaks its rule: InvalidEpisode.

    Attributes:
        name: Resource name, e.g. `vendors/acme/episodes/e-7`.
        vendor: The owner, as the scheduler names it.
        job, attempt: The job that recorded it and which try at it, counted from 1.
        unit, world: The robot or the simulated world; exactly one of them is set.
        robot_model, maker: The body and who makes it.
        joint_names: Names of the n joints, in the order of the columns of every joint signal.
        scenario, cell, level: Where and what; `level` is L1 to L4. None where the job has none.
        task: What is to be done, in plain words.
        seed: The seed of everything random in the run, not negative.
        control_rate_hz, sample_rate_hz: Rate of the joint loop, and of the rows recorded here.
        clock_source: One of `CLOCK_SOURCES`: what drives `time_s`.
        engine, engine_version: What moved the body, e.g. `mujoco` `4.0.0`, or a robot's firmware.
        architecture: Processor architecture of the recording machine, as `platform.machine()` says.
        model_sha256: Hash of the body description that was used.
        actuators, drives_sha256: What drove simulated joints, `physical` or `ideal`, and the hash of its numbers.
        controller_version, controller_backend: The control core and its kernel, e.g. `0.1.0` `cython`.
        started_at_ns: Wall clock of `time_s == 0`, nanoseconds since 1970-01-01 UTC.
        units: Unit of measure per recorded signal, see `joint_units`.
        frames: In what frame each signal without the time is, see `joint_frames`; of a sensor its site or body.
        calibration: What the readings are true by: the name or hash of a calibration, `model` of a simulated body.
        streams: Further signals, each at a rate of its own, see `store.stream`.
        source: Of what was not recorded here but imported: `format`, `file`, `place` within it, `sha256` of all its
            files, `mapping_sha256`. Such an episode may lack joint signals, and joints altogether.
        sensor_widths: How many readings a row of each sensor's signal has.
        replay: What else is needed to run a world's episode again to the last bit; None where it is not recorded. The
            actions it took and the hashes of its states are then columns of their own.
        cameras: The cameras by name; the packets of each are a column of their own.
    """

    name: str
    vendor: str
    job: str
    attempt: int
    robot_model: str
    maker: str
    joint_names: tuple[str, ...]
    task: str
    seed: int
    control_rate_hz: float
    sample_rate_hz: float
    clock_source: str
    engine: str
    engine_version: str
    architecture: str
    model_sha256: str
    controller_version: str
    controller_backend: str
    started_at_ns: int
    unit: str | None = None
    world: str | None = None
    scenario: str | None = None
    cell: str | None = None
    level: str | None = None
    actuators: str | None = None
    drives_sha256: str | None = None
    units: Mapping[str, str] = field(default_factory=joint_units, hash=False)
    sensor_widths: Mapping[str, int] = field(default_factory=dict, hash=False)
    replay: Mapping[str, str] | None = field(default=None, hash=False)
    cameras: Mapping[str, CameraStream] = field(default_factory=dict, hash=False)
    frames: Mapping[str, str] | None = field(default=None, hash=False)
    calibration: str | None = None
    streams: Mapping[str, Stream] = field(default_factory=dict, hash=False)
    source: Mapping[str, str] | None = field(default=None, hash=False)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        if type(self.schema_version) is not int or not 1 <= self.schema_version <= SCHEMA_VERSION:
            raise _bad("schema_version", self.schema_version, f"this store knows versions 1 to {SCHEMA_VERSION}")
        _check_complete(self)
        for name in _NAMES:
            _check_text(name, getattr(self, name), MAX_NAME)
        for name in _OPTIONAL_NAMES:
            if getattr(self, name) is not None:
                _check_text(name, getattr(self, name), MAX_NAME)
        _check_text("task", self.task, MAX_TEXT)
        if (self.unit is None) == (self.world is None):
            raise _bad("unit", self.unit, f"exactly one of unit and world is set; world is {self.world!r}")
        if self.level is not None and self.level not in LEVELS:
            raise _bad("level", self.level, f"one of {', '.join(LEVELS)}")
        if self.clock_source not in CLOCK_SOURCES:
            raise _bad("clock_source", self.clock_source, f"one of {', '.join(CLOCK_SOURCES)}")
        for name in ("model_sha256", "drives_sha256"):
            digest = getattr(self, name)
            if digest is None and name == "drives_sha256":
                continue
            if not isinstance(digest, str) or not re.fullmatch("[0-9a-f]{64}", digest):
                raise _bad(name, digest, "64 lower-case hexadecimal digits")
        for name, least in (("attempt", 1), ("seed", 0), ("started_at_ns", 1)):
            value = getattr(self, name)
            if type(value) is not int or not least <= value < 2**63:
                raise _bad(name, value, f"an integer from {least} to 2**63 - 1")
        for name in ("control_rate_hz", "sample_rate_hz"):
            value = getattr(self, name)
            if type(value) not in (int, float) or not (math.isfinite(value) and 0 < value <= 1e6):
                raise _bad(name, value, "a rate above 0 and up to 1e6 Hz")
            object.__setattr__(self, name, float(value))
        if self.source is not None:
            object.__setattr__(self, "source", _checked_source(self.source))
        if self.joint_names or self.source is None:
            object.__setattr__(self, "joint_names", _checked_joints(self.joint_names))
        object.__setattr__(self, "sensor_widths", _checked_sensors(self.sensor_widths))
        object.__setattr__(self, "units", _checked_units(self.units, self.sensor_widths, self.source is None))
        object.__setattr__(self, "cameras", checked_cameras(self.cameras))
        if self.schema_version > 1:
            object.__setattr__(self, "frames", _checked_frames(self.frames, self.signals))
            _check_text("calibration", self.calibration, MAX_NAME)
        object.__setattr__(self, "streams", checked_streams(self.streams))
        if self.replay is not None:
            object.__setattr__(self, "replay", _checked_replay(self.replay, self.world))

    @property
    def signals(self) -> tuple[str, ...]:
        """Names of the recorded signals without the time, in the order of the file's columns."""
        return (*(signal for signal in SIGNALS if signal in self.units), *self.sensor_widths)

    @property
    def images(self) -> tuple[str, ...]:
        """Names of the columns of packets, one for each camera."""
        return tuple(f"{IMAGE_PREFIX}{name}" for name in self.cameras)

    def width(self, signal: str) -> int:
        """Return how many values one row of `signal` has."""
        if signal in self.sensor_widths:
            return self.sensor_widths[signal]
        return len(BASE_POSE_NAMES) if signal == BASE_POSE else len(self.joint_names)

    @property
    def is_multi_rate(self) -> bool:
        """Whether there are signals at rates of their own beside the joints'."""
        return bool(self.streams)

    @property
    def row_values(self) -> int:
        """How many float32 values one row has, all signals together; each of 64 bits counts as two."""
        exact = 0 if self.replay is None else 2 * (len(self.joint_names) + 1)
        return 2 + exact + sum(self.width(signal) for signal in self.signals)

    def to_json(self) -> str:
        """Return canonical JSON: sorted keys, no spaces, so that equal headers are equal bytes."""
        # What is recorded here has no source: its bytes stay what they were before there were imports.
        said = [one.name for one in fields(self) if one.name != "source" or self.source is not None]
        return _dump({name: getattr(self, name) for name in said})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises InvalidEpisode on anything else."""
        values = _load("header", text, {f.name for f in fields(cls)})
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidEpisode(f"header: {error}") from error


@dataclass(frozen=True)
class Outcome:
    """How an episode ended: `cause` tells why it was not a success, `episode_return` sums the rewards."""

    status: Status
    cause: str = ""
    episode_return: float | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "status", Status(self.status))
        except ValueError:
            raise _bad("status", self.status, f"one of {', '.join(Status)}") from None
        if self.status is Status.SUCCESS:
            if self.cause != "":
                raise _bad("cause", self.cause, "a success has none")
        else:
            _check_text("cause", self.cause, MAX_TEXT)
        if self.episode_return is not None:
            if type(self.episode_return) not in (int, float) or not math.isfinite(self.episode_return):
                raise _bad("episode_return", self.episode_return, "a finite number or None")
            object.__setattr__(self, "episode_return", float(self.episode_return))

    def to_json(self) -> str:
        """Return canonical JSON."""
        return _dump(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises InvalidEpisode on anything else."""
        values = _load("outcome", text, {f.name for f in fields(cls)})
        try:
            return cls(**values)
        except TypeError as error:
            raise InvalidEpisode(f"outcome: {error}") from error


_MANDATORY = {
    "model_sha256": "body description",
    "units": "units of measure",
    "frames": "frames",
    "clock_source": "clock source",
    "calibration": "calibration",
    "engine": "engine",
    "engine_version": "engine version",
    "controller_version": "controller version",
    "controller_backend": "controller backend",
}
"""Without these nobody could say later what the numbers are."""

_NAMES = (
    "name",
    "vendor",
    "job",
    "robot_model",
    "maker",
    "engine",
    "engine_version",
    "architecture",
    "controller_version",
    "controller_backend",
)
_UNWRITABLE = re.compile("[\x00-\x1f\ud800-\udfff]")
"""Control characters, and lone surrogates, which no file can hold."""
_OPTIONAL_NAMES = ("unit", "world", "scenario", "cell", "actuators")


def _bad(name: str, value: object, rule: str) -> InvalidEpisode:
    shown = repr(value)
    return InvalidEpisode(f"{name}: {shown if len(shown) <= 200 else shown[:200] + '...'}: {rule}")


def _check_complete(header: EpisodeHeader) -> None:
    """Refuse a header that leaves out what is mandatory, and say all of it at once."""
    left_out = [
        f"{name} ({what})"
        for name, what in _MANDATORY.items()
        if not _given(header, name) and (header.schema_version > 1 or name not in ("frames", "calibration"))
    ]
    if left_out:
        raise InvalidEpisode(f"mandatory and missing: {', '.join(left_out)}")


def _given(header: EpisodeHeader, name: str) -> bool:
    # Of streams alone there are no frames of joints' signals; each stream has its own.
    return bool(getattr(header, name)) or (name == "frames" and header.source is not None and header.frames is not None)


def _check_text(name: str, value: object, most: int) -> None:
    if not isinstance(value, str) or not value.strip() or len(value) > most:
        raise _bad(name, value, f"text of 1 to {most} characters")
    if _UNWRITABLE.search(value):
        raise _bad(name, value, "no control characters, no lone surrogates")


def _checked_joints(names: object) -> tuple[str, ...]:
    if isinstance(names, str) or not isinstance(names, (tuple, list)) or not 1 <= len(names) <= MAX_JOINTS:
        raise _bad("joint_names", names, f"1 to {MAX_JOINTS} names")
    for name in names:
        _check_text("joint_names", name, MAX_NAME)
    if len(set(names)) != len(names):
        raise _bad("joint_names", names, "each name once")
    return tuple(names)


def _checked_sensors(widths: object) -> dict[str, int]:
    if not isinstance(widths, Mapping) or len(widths) > MAX_SENSORS:
        raise _bad("sensor_widths", widths, f"a mapping from signal to width, of up to {MAX_SENSORS}")
    for signal, width in widths.items():
        _check_text("sensor_widths", signal, MAX_NAME)
        if not re.fullmatch(re.escape(SENSOR_PREFIX) + "[a-z0-9_.]+", signal):
            raise _bad("sensor_widths", signal, f"{SENSOR_PREFIX} and small letters, digits, _ and .")
        if type(width) is not int or not 1 <= width <= MAX_READINGS:
            raise _bad(f"sensor_widths[{signal}]", width, f"an integer from 1 to {MAX_READINGS}")
    return dict(sorted(widths.items()))


def _checked_replay(table: object, world: str | None) -> dict[str, str]:
    if world is None:
        raise _bad("replay", table, "worlds alone run again to the last bit")
    if not isinstance(table, Mapping) or len(table) > 64:
        raise _bad("replay", table, "a mapping of up to 64 texts")
    for key, value in table.items():
        _check_text("replay", key, MAX_NAME)
        if not isinstance(value, str) or len(value) > MAX_REPLAY_TEXT:
            raise _bad(f"replay[{key}]", value, f"text of up to {MAX_REPLAY_TEXT} characters")
    return dict(sorted(table.items()))


def _checked_source(source: object) -> dict[str, str]:
    if not isinstance(source, Mapping) or not {"format", "sha256"} <= set(source) or len(source) > 16:
        raise _bad("source", source, "a mapping of up to 16 texts, `format` and `sha256` among them")
    for key, value in source.items():
        _check_text("source", key, MAX_NAME)
        _check_text(f"source[{key}]", value, MAX_NAME)
    return dict(sorted(source.items()))


def _checked_units(units: object, sensors: Mapping[str, int], complete: bool) -> dict[str, str]:
    if not isinstance(units, Mapping):
        raise _bad("units", units, "a mapping from signal to unit of measure")
    for signal in (TIME, *JOINT_SIGNALS) if complete else (TIME,):
        if signal not in units:
            raise _bad("units", dict(units), f"{signal} has a unit of measure")
    for signal, unit in units.items():
        if signal != TIME and signal not in SIGNALS and signal not in sensors:
            raise _bad("units", signal, f"one of {', '.join((*SIGNALS, *sensors))}")
        _check_text(f"units[{signal}]", unit, MAX_NAME)
    if missing := sorted(set(sensors) - set(units)):
        raise _bad("units", missing, "each sensor has a unit of measure")
    return {signal: units[signal] for signal in (TIME, *SIGNALS, *sensors) if signal in units}


def _checked_frames(frames: object, signals: tuple[str, ...]) -> dict[str, str]:
    if not isinstance(frames, Mapping):
        raise _bad("frames", frames, "a mapping from signal to frame")
    if missing := [signal for signal in signals if signal not in frames]:
        raise _bad("frames", missing, "each signal has a frame")
    if unknown := sorted(set(frames) - set(signals)):
        raise _bad("frames", unknown, f"one of {', '.join(signals)}")
    for signal, frame in frames.items():
        _check_text(f"frames[{signal}]", frame, MAX_NAME)
    return {signal: frames[signal] for signal in signals}


def _dump(values: dict[str, Any]) -> str:
    return json.dumps(
        values, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=asdict
    )


def _load(what: str, text: str | bytes, known: set[str]) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEpisode(f"{what}: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise _bad(what, values, "a JSON object")
    unknown = sorted(set(values) - known)
    if unknown:
        raise _bad(what, unknown, "no field of this schema version")
    return values
