"""From raw signals to an episode's: which becomes which, in which unit, of which body. Pure.

A mapping is a TOML file:

    robot = "universal_robots_ur5e"        a robot of the vocabulary; or a [robot] table of one's own, see below
    task = "screw"                         and clock_source, calibration, status, cause, started_at, model_sha256
    drop = ["missing", "repeated"]         rows with an empty cell, rows at the time of the row before: dropped, counted

    [time]                                 of CSV and arrays: column, unit (s, ms, us, ns, iso8601), or rate_hz
    [csv]                                  delimiter, decimal
    [[signal]]
    name = "observation.velocity"          a joint signal, or a stream of its own such as `observation.wrench`
    from = ["Speed_J0", "Speed_J1"]        raw signals, side by side: they have the same times
    unit = "rad/s"                         what the *source* has; the episode gets SI units
    names = ["shoulder_pan", ...]          joints, where the source's own names are not
    columns = ["x", "y"]                   only these columns of the source, in this order
    frame = "joint"

    [robot]
    model = "ur3"
    maker = "Universal Robots"

Without a mapping the signals that a format itself knows (a ROS `JointState`, say) are taken, and the others are listed
as left out. Nothing is guessed: a signal whose unit nobody says is refused.
"""

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping as Table
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np

from store.episode import CLOCK_SOURCES, JOINT_FRAME, JOINT_SIGNALS, TIME, EpisodeHeader, Outcome, Status
from store.errors import ImportRefused, InvalidEpisode
from store.imports.raw import Options, RawEpisode, RawSignal
from store.imports.vocabulary import Robot, find_robot
from store.stream import Stream

SI = {
    "deg": ("rad", math.pi / 180),
    "deg/s": ("rad/s", math.pi / 180),
    "rpm": ("rad/s", 2 * math.pi / 60),
    "mm": ("m", 1e-3),
    "mm/s": ("m/s", 1e-3),
    "cm": ("m", 1e-2),
    "g0": ("m/s^2", 9.80665),
    "mA": ("A", 1e-3),
    "mV": ("V", 1e-3),
    "N mm": ("N m", 1e-3),
    "mN m": ("N m", 1e-3),
    "ms": ("s", 1e-3),
    "us": ("s", 1e-6),
}
"""Units that are turned into SI units, with the factor (SI brochure, 9th edition; standard gravity CGPM 1901)."""
UNKNOWN = "unknown"
_DROPS = ("missing", "repeated")


@dataclass(frozen=True)
class SignalMap:
    """One `[[signal]]` of a mapping, see the module."""

    name: str
    sources: tuple[str, ...]
    unit: str | None = None
    frame: str | None = None
    names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Mapping:
    """A mapping, see the module."""

    robot: str = ""
    robot_model: str = ""
    maker: str = ""
    task: str = ""
    clock_source: str = ""
    calibration: str = UNKNOWN
    status: str = ""
    cause: str = ""
    started_at_ns: int = 0
    model_sha256: str = ""
    drop: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    signals: tuple[SignalMap, ...] = ()

    @classmethod
    def parse(cls, text: str, *, label: str = "mapping") -> Self:
        """Read a mapping file. Raises ImportRefused, which names the field."""
        try:
            table = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ImportRefused(f"{label}: {error}") from error
        known = {"robot", "task", "clock_source", "calibration", "status", "cause", "started_at", "model_sha256"}
        _no_others(label, table, known | {"drop", "time", "csv", "signal"})
        values: dict[str, Any] = {
            name: _text(label, name, table[name])
            for name in ("task", "clock_source", "calibration", "status", "cause", "model_sha256")
            if name in table
        }
        robot = table.get("robot", "")
        if isinstance(robot, dict):
            _no_others(f"{label}: [robot]", robot, {"model", "maker"})
            values["robot_model"] = _text(label, "robot.model", robot.get("model"))
            if not re.fullmatch("[a-z0-9_]{1,64}", values["robot_model"]):
                raise ImportRefused(f"{label}: robot.model {values['robot_model']!r}: small letters, digits and _")
            values["maker"] = _text(label, "robot.maker", robot.get("maker"))
        elif robot:
            values["robot"] = _text(label, "robot", robot)
        if values.get("clock_source", CLOCK_SOURCES[0]) not in CLOCK_SOURCES:
            raise ImportRefused(f"{label}: clock_source {values['clock_source']!r}: one of {', '.join(CLOCK_SOURCES)}")
        if values.get("status", Status.SUCCESS) not in list(Status):
            raise ImportRefused(f"{label}: status {values['status']!r}: one of {', '.join(Status)}")
        drop = table.get("drop", [])
        if not isinstance(drop, list) or any(word not in _DROPS for word in drop):
            raise ImportRefused(f"{label}: drop {drop!r}: some of {', '.join(_DROPS)}")
        signals = table.get("signal", [])
        if not isinstance(signals, list):
            raise ImportRefused(f"{label}: signal: tables [[signal]]")
        return cls(
            **values,
            drop=tuple(drop),
            started_at_ns=_moment(label, table.get("started_at")),
            options=_options(label, table.get("time", {}), table.get("csv", {})),
            signals=tuple(_signal(f"{label}: signal {i + 1}", one) for i, one in enumerate(signals)),
        )

    @property
    def sha256(self) -> str:
        """The hash of what it says, whatever the file looks like."""
        said = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(said.encode()).hexdigest()


@dataclass(frozen=True)
class Track:
    """One stream of an episode, with its rows."""

    stream: Stream
    time_s: np.ndarray
    values: Any


@dataclass(frozen=True)
class MappedEpisode:
    """What will be recorded: the joints' rows, streams, and what of the source was left out or dropped."""

    joint_names: tuple[str, ...]
    time_s: np.ndarray
    signals: dict[str, np.ndarray]
    units: dict[str, str]
    streams: dict[str, Track]
    left_out: tuple[str, ...]
    dropped_rows: int


def choose_robot(mapping: Mapping, named: str, said: str) -> Robot:
    """Return the body: what the caller names, else the mapping, else what the source says.

    Raises ImportRefused for a robot that the vocabulary does not know.
    """
    if mapping.robot_model and not named:
        return Robot(mapping.robot_model, mapping.maker, "", {})
    wanted = named or mapping.robot or said
    if not wanted:
        raise ImportRefused("which robot is it? Neither --robot, nor the mapping, nor the source says it")
    return find_robot(wanted)


def apply(episode: RawEpisode, mapping: Mapping) -> MappedEpisode:
    """Return the episode as the mapping says, or, if it has no signals, as the format itself knows.

    Raises ImportRefused, which names the signal: one that is missing or has no unit, values that are missing (unless
    rows with such are to be dropped), times that differ within one signal.
    """
    raw = {signal.name: signal for signal in episode.signals}
    wanted = mapping.signals or _by_role(episode)
    if not wanted:
        raise ImportRefused(
            f"{episode.place}: no signal says by itself what it is and in which unit; a mapping has to: "
            f"{', '.join(list(raw)[:12])}"
        )
    made: dict[str, RawSignal] = {}
    dropped = 0
    for one in wanted:
        signal, lost = _made(episode.place, one, raw, mapping.drop)
        if one.name in made:
            raise ImportRefused(f"{episode.place}: {one.name}: two signals of this name")
        made[one.name] = signal
        dropped += lost
    used = {source for one in wanted for source in one.sources}
    left_out = (*(name for name in raw if name not in used), *episode.passed_over)
    return _split(episode, made, left_out, dropped)


def _split(episode: RawEpisode, made: dict[str, RawSignal], left_out: tuple[str, ...], dropped: int) -> MappedEpisode:
    """Part the joints' rows from the streams. A joint signal at other times than the first becomes a stream."""
    joint_signals: dict[str, np.ndarray] = {}
    units, streams = {TIME: "s"}, {}
    main: RawSignal | None = None
    for name in JOINT_SIGNALS:
        if name not in made:
            continue
        signal = made[name]
        if main is None:
            main = signal
        if signal.names != main.names:
            raise ImportRefused(
                f"{episode.place}: {name}: joints {signal.names[:4]}..., and {main.names[:4]}... before"
            )
        if np.array_equal(signal.time_s, main.time_s):
            joint_signals[name], units[name] = np.asarray(signal.values), str(signal.unit)
        else:
            streams["joints." + name.rpartition(".")[2]] = _track(signal)
    for name, signal in made.items():
        if name not in JOINT_SIGNALS:
            streams[name] = _track(signal)
    if main is None:
        # Streams alone: the rows are their times together, so that the file has a clock of its own.
        longest = max(streams.values(), key=lambda track: len(track.time_s))
        return MappedEpisode((), np.unique(longest.time_s), {}, units, streams, left_out, dropped)
    return MappedEpisode(main.names, main.time_s, joint_signals, units, streams, left_out, dropped)


def _track(signal: RawSignal) -> Track:
    rows = len(signal.time_s)
    span_s = float(signal.time_s[-1] - signal.time_s[0])
    rate_hz = round((rows - 1) / span_s, 6) if span_s > 0 else None
    frame = signal.frame or UNKNOWN
    if signal.is_text:
        return Track(Stream("text", "episode", 1, "text"), signal.time_s, signal.values)
    stream = Stream(
        str(signal.unit), frame, len(signal.names), "float64", rate_hz if rate_hz and rate_hz <= 1e6 else None
    )
    return Track(stream, signal.time_s, signal.values)


def _by_role(episode: RawEpisode) -> tuple[SignalMap, ...]:
    """Return a map of what the format knows; of several topics of one role the first is that signal."""
    found: dict[str, SignalMap] = {}
    for signal in episode.signals:
        if signal.role and signal.unit and signal.role not in found:
            found[signal.role] = SignalMap(signal.role, (signal.name,))
    return tuple(found.values())


def _made(place: str, one: SignalMap, raw: dict[str, RawSignal], drop: tuple[str, ...]) -> tuple[RawSignal, int]:
    where = f"{place}: {one.name}"
    parts = []
    for source in one.sources:
        if source not in raw:
            raise ImportRefused(f"{where}: the source has no {source!r}; it has {', '.join(list(raw)[:12])}")
        parts.append(raw[source])
    first = parts[0]
    for part in parts[1:]:
        if not np.array_equal(part.time_s, first.time_s):
            raise ImportRefused(
                f"{where}: {part.name!r} has other times than {first.name!r}: it is a signal of its own"
            )
    time_s = first.time_s
    if first.is_text:
        return replace(first, name=one.name, unit="text", frame="episode"), 0
    if any(part.is_text for part in parts):
        raise ImportRefused(f"{where}: {next(part.name for part in parts if part.is_text)!r} is no number in some row")
    values = np.concatenate([np.asarray(part.values, np.float64) for part in parts], axis=1)
    names = tuple(name for part in parts for name in part.names)
    if one.columns:
        missing = [name for name in one.columns if name not in names]
        if missing:
            raise ImportRefused(f"{where}: no column {missing[0]!r}; there are {', '.join(names[:12])}")
        values, names = values[:, [names.index(name) for name in one.columns]], one.columns
    if one.names:
        if len(one.names) != len(names):
            raise ImportRefused(f"{where}: {len(one.names)} names for {len(names)} columns")
        names = one.names
    said = one.unit or next((part.unit for part in parts if part.unit), None)
    if said is None:
        raise ImportRefused(f"{where}: in which unit is {', '.join(one.sources[:4])}? The source does not say it")
    unit, factor = SI.get(said, (said, 1.0))
    time_s, values, dropped = _dropped(where, time_s, values * factor if factor != 1.0 else values, names, drop)
    frame = one.frame or next((part.frame for part in parts if part.frame), None)
    if frame is None and one.name in JOINT_SIGNALS:
        frame = JOINT_FRAME
    return RawSignal(one.name, time_s, values, names, unit, frame, one.name), dropped


def _dropped(
    where: str, time_s: np.ndarray, values: np.ndarray, names: tuple[str, ...], drop: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return times and values without the rows that are to be dropped, and how many these were."""
    keep = np.ones(len(time_s), bool)
    missing = ~np.isfinite(values)
    if missing.any():
        if "missing" not in drop:
            row, column = (int(i) for i in np.argwhere(missing)[0])
            raise ImportRefused(f"{where}: row {row}: {names[column]} is {values[row, column]}, not finite")
        keep &= ~missing.any(axis=1)
    repeated = np.concatenate([[False], np.diff(time_s) == 0])
    if repeated.any() and "repeated" in drop:
        keep &= ~repeated
    elif repeated.any() and where.rpartition(": ")[2] in JOINT_SIGNALS:
        row = int(np.flatnonzero(repeated)[0])
        raise ImportRefused(f"{where}: row {row}: {time_s[row]} s, the time of the row before")
    if not keep.any():
        raise ImportRefused(f"{where}: no row is left")
    return time_s[keep], values[keep], int((~keep).sum())


def header_of(
    episode: RawEpisode,
    mapped: MappedEpisode,
    mapping: Mapping,
    robot: Robot,
    *,
    name: str,
    source: Table[str, str],
) -> tuple[EpisodeHeader, Outcome]:
    """Return what is recorded of an episode beside its rows. Raises ImportRefused, which names the field.

    What the source does not say is `unknown`; a source without a wall clock starts at 1970-01-01, one nanosecond on.
    """
    vendor = "/".join(name.split("/")[:2])
    rows = len(mapped.time_s)
    span_s = float(mapped.time_s[-1] - mapped.time_s[0])
    rate_hz = min(max((rows - 1) / span_s, 1e-6), 1e6) if span_s > 0 else 1.0
    body = json.dumps([robot.model, list(mapped.joint_names)], separators=(",", ":"))
    status = Status(mapping.status or episode.status or Status.SUCCESS)
    cause = "" if status is Status.SUCCESS else mapping.cause or episode.cause or UNKNOWN
    try:
        header = EpisodeHeader(
            name=name,
            vendor=vendor,
            job=f"{vendor}/imports/{source['sha256'][:24]}",
            attempt=1,
            robot_model=robot.model,
            maker=robot.maker,
            joint_names=mapped.joint_names,
            task=mapping.task or episode.task or UNKNOWN,
            seed=0,
            control_rate_hz=rate_hz,
            sample_rate_hz=rate_hz,
            clock_source=mapping.clock_source or episode.clock_source or "monotonic",
            engine=source["format"],
            engine_version=UNKNOWN,
            architecture=UNKNOWN,
            model_sha256=mapping.model_sha256 or hashlib.sha256(body.encode()).hexdigest(),
            controller_version=UNKNOWN,
            controller_backend=UNKNOWN,
            started_at_ns=mapping.started_at_ns or episode.start_ns or 1,
            unit=f"imports/{robot.model}",
            units=mapped.units,
            frames=dict.fromkeys(mapped.signals, JOINT_FRAME),
            calibration=mapping.calibration,
            streams={name: track.stream for name, track in mapped.streams.items()},
            source=dict(source),
        )
        return header, Outcome(status, cause)
    except InvalidEpisode as error:
        raise ImportRefused(f"{episode.place}: {error}") from error


def suggestion(described: list[dict[str, Any]], robot: str = "") -> str:
    """Return a mapping file to fill in: what is known stands there, what only a person knows is a `?`."""
    lines = [f"robot = {json.dumps(robot or '?')}", 'task = "?"', "drop = []", ""]
    for one in described:
        role = one["role"] or "observation." + _slug(one["name"])
        mark = "" if one["role"] and one["unit"] else "# "
        lines.append(f"{mark}[[signal]]  # {one['rows']} rows, {one['rate_hz'] or '?'} Hz, {one['kind']}")
        lines.append(f"{mark}name = {json.dumps(role)}")
        lines.append(f"{mark}from = [{json.dumps(one['name'])}]")
        if one["kind"] != "text":
            lines.append(f"{mark}unit = {json.dumps(one['unit'] or '?')}")
        lines.append("")
    return "\n".join(lines)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:100] or "signal"


def _no_others(label: str, table: dict[str, Any], known: set[str]) -> None:
    if unknown := sorted(set(table) - known):
        raise ImportRefused(f"{label}: {unknown[0]!r}: one of {', '.join(sorted(known))}")


def _text(label: str, name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > 500 or value == "?":
        raise ImportRefused(f"{label}: {name} {value!r}: text of 1 to 500 characters")
    return value


def _texts(label: str, name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(one, str) for one in value):
        raise ImportRefused(f"{label}: {name} {str(value)[:80]}: a list of texts")
    return tuple(value)


def _signal(label: str, table: object) -> SignalMap:
    if not isinstance(table, dict):
        raise ImportRefused(f"{label}: a table")
    _no_others(label, table, {"name", "from", "unit", "frame", "names", "columns"})
    return SignalMap(
        _text(label, "name", table.get("name")),
        _texts(label, "from", table.get("from")),
        _text(label, "unit", table["unit"]) if "unit" in table else None,
        _text(label, "frame", table["frame"]) if "frame" in table else None,
        _texts(label, "names", table["names"]) if "names" in table else (),
        _texts(label, "columns", table["columns"]) if "columns" in table else (),
    )


def _options(label: str, time: object, dialect: object) -> Options:
    if not isinstance(time, dict) or not isinstance(dialect, dict):
        raise ImportRefused(f"{label}: [time] and [csv] are tables")
    _no_others(f"{label}: [time]", time, {"column", "unit", "rate_hz"})
    _no_others(f"{label}: [csv]", dialect, {"delimiter", "decimal"})
    rate_hz = time.get("rate_hz")
    if rate_hz is not None and (type(rate_hz) not in (int, float) or not 0 < rate_hz <= 1e6):
        raise ImportRefused(f"{label}: [time] rate_hz {rate_hz!r}: above 0 and up to 1e6 Hz")
    for name, least in (("delimiter", 1), ("decimal", 1)):
        if name in dialect and (not isinstance(dialect[name], str) or len(dialect[name]) != least):
            raise ImportRefused(f"{label}: [csv] {name} {dialect[name]!r}: one character")
    return Options(
        str(time.get("column", "")),
        str(time.get("unit", "")),
        None if rate_hz is None else float(rate_hz),
        dialect.get("delimiter", ""),
        dialect.get("decimal", ""),
    )


def _moment(label: str, value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            raise ImportRefused(f"{label}: started_at {value!r}: a date and a time") from None
    if not isinstance(value, datetime) or value.year < 1970:
        raise ImportRefused(f"{label}: started_at {value!r}: a date and a time")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return max(1, int(moment.timestamp() * 1e9))
