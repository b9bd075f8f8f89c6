"""Signals out of robots' messages, whatever container they came in: ROS messages by type, others by their fields.

Units and frames of the standard types are those of the comments in ROS's `sensor_msgs` and `geometry_msgs`, and of REP
103 (SI units). Of other messages every number is a column, without a unit.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

import numpy as np

from store.episode import EFFORT, STATE, VELOCITY
from store.errors import ImportRefused
from store.imports.raw import Budget, RawSignal, unique
from store.stream import IMU, WRENCH

MAX_COLUMNS = 4096
MAX_DEPTH = 8
_XYZ = ("x", "y", "z")


@dataclass
class _Topic:
    """What has come of one topic so far. Each part is one signal."""

    kind: str
    stamps_ns: list[int] = field(default_factory=list)
    parts: dict[str, list[Any]] = field(default_factory=dict)
    names: dict[str, tuple[str, ...]] = field(default_factory=dict)
    frame: str = ""
    ragged: bool = False


class Topics:
    """Takes the messages of one recording and gives its signals."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._topics: dict[str, _Topic] = {}

    def add(self, topic: str, kind: str, stamp_ns: int, message: Any) -> None:
        """Take a message: a decoded ROS message, or a table of values. Raises ImportRefused, naming topic and row.

        A topic of no standard type whose messages differ in their fields is no signal; it is passed over.
        """
        found = self._topics.setdefault(topic, _Topic(kind))
        if found.ragged:
            return
        row = len(found.stamps_ns)
        where = f"{topic}: message {row}"
        if not row:
            found.frame = str(getattr(getattr(message, "header", None), "frame_id", "") or "")
        for part, (names, values) in _parts(kind, message).items():
            if len(names) > MAX_COLUMNS:
                raise ImportRefused(f"{where}: {len(names)} numbers in one message; at most {MAX_COLUMNS} are read")
            known = found.names.setdefault(part, names) if not row else found.names.get(part)
            if known != names:
                self._differs(found, f"{where}: {part or kind}")
                return
            self._budget.take(where, 1, len(names) + 1)
            found.parts.setdefault(part, []).append(values)
        if any(len(rows) != row + 1 for rows in found.parts.values()):
            self._differs(found, f"{where}: {kind}")
            return
        found.stamps_ns.append(stamp_ns)

    @property
    def passed_over(self) -> tuple[str, ...]:
        """The topics whose messages differ in their fields."""
        return tuple(name for name, topic in self._topics.items() if topic.ragged)

    @staticmethod
    def _differs(topic: _Topic, where: str) -> None:
        if topic.kind.rpartition("/")[2] in _SPECIAL:
            raise ImportRefused(f"{where}: not the fields of the first message")
        topic.ragged = True
        topic.parts.clear()
        topic.stamps_ns.clear()

    def signals(self) -> tuple[int, tuple[RawSignal, ...]]:
        """Return (wall clock of time 0 [ns], the signals). Times count from the earliest message."""
        stamps = [topic.stamps_ns[0] for topic in self._topics.values() if topic.stamps_ns]
        if not stamps:
            raise ImportRefused("no messages with numbers")
        start_ns = min(stamps)
        found = []
        for name, topic in self._topics.items():
            time_s = (np.array(topic.stamps_ns, np.int64) - start_ns) * 1e-9
            for part, rows in topic.parts.items():
                unit, role = _MEANING.get((topic.kind.rpartition("/")[2], part), (None, None))
                full = f"{name}.{part}" if part else name
                values: Any = rows if isinstance(rows[0], str) else np.array(rows, np.float64)
                frame = "joint" if role in (STATE, VELOCITY, EFFORT) else (topic.frame or None)
                found.append(RawSignal(full, time_s, values, topic.names[part], unit, frame, role))
        return start_ns, tuple(found)


_MEANING: dict[tuple[str, str], tuple[str, str | None]] = {
    ("JointState", "position"): ("rad", STATE),
    ("JointState", "velocity"): ("rad/s", VELOCITY),
    ("JointState", "effort"): ("N m", EFFORT),
    ("Imu", ""): ("m/s^2, rad/s", IMU),
    ("WrenchStamped", ""): ("N, N m", WRENCH),
    ("Wrench", ""): ("N, N m", WRENCH),
}
Parts = dict[str, tuple[tuple[str, ...], Any]]


def _parts(kind: str, message: Any) -> Parts:
    """Return the signals of one message by name: (names of the columns, the row)."""
    known = _SPECIAL.get(kind.rpartition("/")[2]) if not isinstance(message, dict) else None
    if known is not None:
        return known(message)
    names, values = [], []
    for name, value in _leaves(message, "", 0):
        names.append(name)
        values.append(value)
    return {"": (unique(names), values)} if names else {}


def _joint_state(message: Any) -> Parts:
    joints = unique(list(message.name))
    found: Parts = {}
    for part in ("position", "velocity", "effort"):
        values = np.asarray(getattr(message, part), np.float64)
        # A publisher leaves out what it has not: the arrays are then empty.
        if len(values):
            if len(values) != len(joints):
                raise ImportRefused(f"JointState: {len(values)} values of {part} for {len(joints)} joints")
            found[part] = joints, values
    return found


def _imu(message: Any) -> Parts:
    parts = (message.linear_acceleration, message.angular_velocity)
    names = tuple(f"{what}_{axis}" for what in ("acceleration", "angular_velocity") for axis in _XYZ)
    turn = message.orientation
    return {
        "": (names, [getattr(part, axis) for part in parts for axis in _XYZ]),
        "orientation": (("qw", "qx", "qy", "qz"), [turn.w, turn.x, turn.y, turn.z]),
    }


def _wrench(message: Any) -> Parts:
    wrench = getattr(message, "wrench", message)
    names = tuple(f"{what}_{axis}" for what in ("force", "torque") for axis in _XYZ)
    return {"": (names, [getattr(part, axis) for part in (wrench.force, wrench.torque) for axis in _XYZ])}


_SPECIAL: dict[str, Callable[[Any], Parts]] = {
    "JointState": _joint_state,
    "Imu": _imu,
    "WrenchStamped": _wrench,
    "Wrench": _wrench,
}


def _leaves(value: Any, name: str, depth: int) -> Iterator[tuple[str, float]]:
    """Yield every number of a message with its path; texts, headers and bytes are passed over."""
    if depth > MAX_DEPTH:
        raise ImportRefused(f"{name[:200]}: messages within messages, more than {MAX_DEPTH} deep")
    if isinstance(value, bool | int | float | np.number | np.bool_):
        yield name or "value", float(value)
    elif isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype != np.uint8:
        if value.size > MAX_COLUMNS:
            raise ImportRefused(f"{name[:200]}: {value.size} numbers in one message; at most {MAX_COLUMNS} are read")
        for i, item in enumerate(value.reshape(-1).tolist()):
            yield f"{name}[{i}]", float(item)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(value[: MAX_COLUMNS + 1]):
            yield from _leaves(item, f"{name}[{i}]", depth + 1)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key), depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for one in fields(value):
            if one.name not in ("header", "__msgtype__"):
                yield from _leaves(getattr(value, one.name), f"{name}.{one.name}" if name else one.name, depth + 1)
