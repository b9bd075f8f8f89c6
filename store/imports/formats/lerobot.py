"""LeRobot data sets, v2.1 and v3.0: vectors of every feature at the data set's rate. Videos stay behind.

What `info.json` says is not believed: its paths are checked, its shapes and rates are held against the files, and the
time stamps against the rows' numbers. LeRobot knows no units of measure; those of data sets that we wrote ourselves are
in `meta/palaestra.json`, of others in a mapping.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from store.episode import JOINT_SIGNALS
from store.errors import ImportRefused
from store.imports.formats import inside
from store.imports.formats.parquet_file import Columns, open_parquet
from store.imports.raw import MAX_EPISODES, Budget, Options, RawEpisode, RawSignal, unique

MAX_JSON_BYTES = 16 << 20
MAX_WIDTH = 4096
MAX_STAMP_ERROR_S = 1e-4
"""LeRobot's own `tolerance_s`: how far a time stamp may be from its row's number over the rate."""
_PATTERNS = {
    "v2.1": "data/chunk-{episode_chunk:03d}/episode_{episode_index:06d}.parquet",
    "v3.0": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
}
_COUNTERS = ("timestamp", "frame_index", "episode_index", "index", "task_index")
_NAMELESS = "__index_level_0__"
"""How pandas writes an index that has no name."""
_NUMBERS = ("float32", "float64", "int64", "int32", "bool")


class LeRobot:
    """See the module."""

    NAME = "lerobot"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A folder with `meta/info.json`."""
        return path.is_dir() and (path / "meta" / "info.json").is_file()

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the episodes in the order of their index."""
        info = _read_info(path)
        version, fps = info["codebase_version"], float(info["fps"])
        widths = {
            name: _width(name, feature) for name, feature in info["features"].items() if _is_vector(name, feature)
        }
        widths |= dict.fromkeys(("timestamp", "frame_index", "episode_index"), 1)
        units = _units(path)
        rows = _episodes_v2(path, info) if version == "v2.1" else _episodes_v3(path)
        tasks = _tasks(path, version)
        budget = Budget(options.max_values)
        if len(rows) != info["total_episodes"]:
            raise ImportRefused(f"meta/info.json: total_episodes {info['total_episodes']}, and {len(rows)} are listed")
        opened: dict[str, Columns] = {}
        for number, length, place in rows:
            if place not in opened:
                opened = {place: _columns(path, place, widths, budget)}
            yield _episode(opened[place], number, length, fps, info, units, tasks)


def _episode(
    columns: Columns,
    number: int,
    length: int,
    fps: float,
    info: dict[str, Any],
    units: dict[str, str],
    tasks: dict[int, str],
) -> RawEpisode:
    where = f"{columns.place}: episode {number}"
    chosen = np.flatnonzero(columns.values["episode_index"][:, 0] == number)
    if len(chosen) != length or length < 1:
        raise ImportRefused(f"{where}: {len(chosen)} rows, and meta/episodes says {length}")
    counted = columns.values["frame_index"][chosen, 0]
    if not np.array_equal(counted, np.arange(length)):
        raise ImportRefused(f"{where}: frame_index does not count from 0 to {length - 1}")
    stamps, time_s = columns.values["timestamp"][chosen, 0].astype(np.float64), np.arange(length) / fps
    off_s = np.abs(stamps - time_s)
    # float32 stamps carry an error of their own that grows with the time.
    wrong = np.flatnonzero(~(off_s <= MAX_STAMP_ERROR_S + 1e-7 * time_s))
    if wrong.size:
        row = int(wrong[0])
        raise ImportRefused(f"{where}: row {row}: timestamp {stamps[row]} s at {fps} fps should be {time_s[row]} s")
    signals = []
    for name, values in columns.values.items():
        if name in _COUNTERS:
            continue
        role = name if name in JOINT_SIGNALS else None
        frame = "joint" if role else None
        names = _names(info["features"][name], values.shape[1])
        signals.append(RawSignal(name, time_s, values[chosen], names, units.get(name), frame, role))
    task = tasks.get(int(columns.values["task_index"][chosen[0], 0]), "") if "task_index" in columns.values else ""
    robot = info.get("robot_type")
    return RawEpisode(f"episode {number}", tuple(signals), 0, task, robot if isinstance(robot, str) else "")


def _read_json(path: Path, relative: str) -> Any:
    file = inside(path, relative)
    if file.stat().st_size > MAX_JSON_BYTES:
        raise ImportRefused(f"{relative}: {file.stat().st_size} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        return json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"{relative}: no JSON: {str(error)[:200]}") from error


def _read_info(path: Path) -> dict[str, Any]:
    where, info = "meta/info.json", _read_json(path, "meta/info.json")
    if not isinstance(info, dict) or info.get("codebase_version") not in _PATTERNS:
        version = info.get("codebase_version") if isinstance(info, dict) else None
        raise ImportRefused(f"{where}: codebase_version {version!r}: one of {', '.join(_PATTERNS)}")
    fps, features, total = info.get("fps"), info.get("features"), info.get("total_episodes")
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not (math.isfinite(fps) and 0 < fps <= 1e5):
        raise ImportRefused(f"{where}: fps {fps!r}: a rate above 0 and up to 1e5 Hz")
    if type(total) is not int or not 1 <= total <= MAX_EPISODES:
        raise ImportRefused(f"{where}: total_episodes {total!r}: 1 to {MAX_EPISODES}")
    if not isinstance(features, dict) or not 1 <= len(features) <= 1024:
        raise ImportRefused(f"{where}: features: a table of 1 to 1024")
    pattern = info.get("data_path")
    if pattern != _PATTERNS[info["codebase_version"]]:
        raise ImportRefused(f"{where}: data_path {str(pattern)[:200]!r}: {_PATTERNS[info['codebase_version']]!r}")
    return info


def _is_vector(name: str, feature: Any) -> bool:
    if not isinstance(feature, dict):
        raise ImportRefused(f"meta/info.json: features[{name[:80]}]: no table")
    return feature.get("dtype") in _NUMBERS


def _width(name: str, feature: dict[str, Any]) -> int:
    shape = feature.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 1 for size in shape):
        raise ImportRefused(f"meta/info.json: features[{name[:80]}]: shape {str(shape)[:80]}: positive whole numbers")
    width = math.prod(shape)
    if len(shape) > 8 or width > MAX_WIDTH:
        raise ImportRefused(
            f"meta/info.json: features[{name[:80]}]: shape {str(shape)[:80]}: at most {MAX_WIDTH} values"
        )
    return width


def _names(feature: dict[str, Any], width: int) -> tuple[str, ...]:
    """Return the names of a feature's dimensions; v2 has them below a key such as `motors`."""
    names = feature.get("names")
    if isinstance(names, dict):
        names = next((part for part in names.values() if isinstance(part, list)), None)
    if not isinstance(names, list) or len(names) != width or not all(isinstance(name, str) for name in names):
        return tuple(str(i) for i in range(width))
    return unique([name[:255] for name in names])


def _units(path: Path) -> dict[str, str]:
    if not (path / "meta" / "palaestra.json").is_file():
        return {}
    said = _read_json(path, "meta/palaestra.json")
    units = said.get("units") if isinstance(said, dict) else None
    return {k: v for k, v in units.items() if isinstance(v, str)} if isinstance(units, dict) else {}


def _episodes_v2(path: Path, info: dict[str, Any]) -> list[tuple[int, int, str]]:
    chunk = info.get("chunks_size")
    if type(chunk) is not int or chunk < 1:
        raise ImportRefused(f"meta/info.json: chunks_size {chunk!r}: a positive whole number")
    found = []
    for line, row in _lines(path, "meta/episodes.jsonl"):
        number, length = row.get("episode_index"), row.get("length")
        if type(number) is not int or type(length) is not int or not 0 <= number < MAX_EPISODES or length < 1:
            raise ImportRefused(f"meta/episodes.jsonl: line {line}: episode_index {number!r}, length {length!r}")
        found.append((number, length, _PATTERNS["v2.1"].format(episode_chunk=number // chunk, episode_index=number)))
    return _distinct(found, "meta/episodes.jsonl")


def _episodes_v3(path: Path) -> list[tuple[int, int, str]]:
    found = []
    wanted = ["episode_index", "length", "data/chunk_index", "data/file_index"]
    for file in _parquet_below(path, "meta/episodes"):
        with open_parquet(path, file) as parquet:
            columns = parquet.read(dict.fromkeys(wanted, 1), Budget(4 * MAX_EPISODES))
        for number, length, chunk, part in zip(*(columns.values[name][:, 0] for name in wanted), strict=True):
            if not (0 <= number < MAX_EPISODES and length >= 1 and 0 <= chunk < 1e6 and 0 <= part < 1e6):
                raise ImportRefused(f"{file}: episode_index {number}, length {length}, chunk {chunk}, file {part}")
            place = _PATTERNS["v3.0"].format(chunk_index=int(chunk), file_index=int(part))
            found.append((int(number), int(length), place))
    return _distinct(found, "meta/episodes")


def _distinct(found: list[tuple[int, int, str]], place: str) -> list[tuple[int, int, str]]:
    numbers = sorted(number for number, _, _ in found)
    if numbers != list(range(len(numbers))):
        raise ImportRefused(f"{place}: the episodes are not numbered from 0, each once")
    return sorted(found)


def _tasks(path: Path, version: str) -> dict[int, str]:
    if version == "v2.1":
        rows = [row for _, row in _lines(path, "meta/tasks.jsonl")]
        pairs = [(row.get("task_index"), row.get("task")) for row in rows]
    else:
        with open_parquet(path, "meta/tasks.parquet") as parquet:
            # The text is the index of a table of pandas's, which LeRobot names in some versions and in others not.
            text = next((name for name in ("task", _NAMELESS) if name in parquet.names), "task")
            pairs = list(zip(*parquet.texts(("task_index", text), MAX_EPISODES), strict=True))
    return {number: text for number, text in pairs if type(number) is int and isinstance(text, str)}


def _lines(path: Path, relative: str) -> Iterator[tuple[int, dict[str, Any]]]:
    file = inside(path, relative)
    if file.stat().st_size > MAX_JSON_BYTES:
        raise ImportRefused(f"{relative}: {file.stat().st_size} bytes; at most {MAX_JSON_BYTES} are read")
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ImportRefused(f"{relative}: line {number}: no JSON: {str(error)[:200]}") from error
        if not isinstance(row, dict):
            raise ImportRefused(f"{relative}: line {number}: no table")
        yield number, row


def _parquet_below(path: Path, folder: str) -> list[str]:
    found = sorted(str(file.relative_to(path)) for file in (path / folder).rglob("*.parquet"))
    if not found:
        raise ImportRefused(f"{folder}: no Parquet files")
    return found


def _columns(path: Path, place: str, widths: dict[str, int], budget: Budget) -> Columns:
    with open_parquet(path, place) as parquet:
        return parquet.read(widths, budget)


FORMAT = LeRobot()
