"""ULog, the log of PX4: topics of little-endian structures by the definitions that the file carries.

Read by the specification of the format (PX4 user guide, "ULog File Format"). Each topic is a signal, its numbers are
the columns; times are microseconds since the vehicle started. A file that ends amid a message is a log that lost its
power: what came before is read, as every reader of the format does.
"""

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from store.errors import ImportRefused
from store.imports.raw import Budget, Options, RawEpisode, RawSignal

MAGIC = b"ULog\x01\x12\x35"
MAX_BYTES = 4 << 30
MAX_FIELDS = 4096
_KINDS = {
    "int8_t": "<i1",
    "uint8_t": "<u1",
    "int16_t": "<i2",
    "uint16_t": "<u2",
    "int32_t": "<i4",
    "uint32_t": "<u4",
    "int64_t": "<i8",
    "uint64_t": "<u8",
    "float": "<f4",
    "double": "<f8",
    "bool": "?",
    "char": "S1",
}
_FIELD = re.compile(r"^([A-Za-z0-9_]+)(?:\[(\d{1,5})\])? ([A-Za-z0-9_]+)$")


@dataclass
class _Topic:
    name: str
    dtype: np.dtype
    rows: list[bytes] = field(default_factory=list)


class ULog:
    """See the module."""

    NAME = "ulog"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic bytes."""
        return head.startswith(MAGIC)

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the one episode of a log."""
        topics = _topics(path, Budget(options.max_values))
        signals = [signal for topic in topics if (signal := _signal(topic, path.name)) is not None]
        if not signals:
            raise ImportRefused(f"{path.name}: no topics with numbers")
        start_s = min(float(signal.time_s[0]) for signal in signals)
        moved = tuple(
            RawSignal(one.name, one.time_s - start_s, one.values, one.names)
            for one in sorted(signals, key=lambda s: s.name)
        )
        yield RawEpisode(path.name, moved)


def _topics(path: Path, budget: Budget) -> list[_Topic]:
    formats: dict[str, str] = {}
    found: dict[int, _Topic] = {}
    with open(path, "rb") as file:
        if not file.read(16).startswith(MAGIC):
            raise ImportRefused(f"{path.name}: no ULog")
        at = 16
        while len(head := file.read(3)) == 3:
            size, kind = struct.unpack("<HB", head)
            data = file.read(size)
            if len(data) < size:
                break
            where = f"{path.name}: byte {at}"
            at += 3 + size
            if kind == ord("F"):
                name, _, fields = data.decode("ascii", "replace").partition(":")
                formats[name] = fields
            elif kind == ord("A"):
                _subscribe(found, formats, data, where)
            elif kind == ord("D"):
                _take(found, data, where, budget)
    return list(found.values())


def _subscribe(found: dict[int, _Topic], formats: dict[str, str], data: bytes, where: str) -> None:
    if len(data) < 4:
        raise ImportRefused(f"{where}: a subscription is cut off")
    multi, number = struct.unpack("<BH", data[:3])
    name = data[3:].decode("ascii", "replace")
    if number in found:
        raise ImportRefused(f"{where}: topic {number} is there twice")
    found[number] = _Topic(f"{name}.{multi}", _dtype(name, formats, where, 0))


def _take(found: dict[int, _Topic], data: bytes, where: str, budget: Budget) -> None:
    topic = found.get(struct.unpack("<H", data[:2])[0]) if len(data) >= 2 else None
    if topic is None:
        raise ImportRefused(f"{where}: data of a topic that is not there")
    # Bytes of padding at the end of a structure are not written.
    size = topic.dtype.itemsize
    if len(data) - 2 > size or len(data) - 2 < size - 8:
        raise ImportRefused(f"{where}: {topic.name}: {len(data) - 2} bytes instead of {size}")
    budget.take(where, 1, -(-size // 4))
    topic.rows.append(data[2:].ljust(size, b"\0"))


def _dtype(name: str, formats: dict[str, str], where: str, depth: int) -> np.dtype:
    """Return the type of a structure; one within another is a type of its own."""
    if name not in formats:
        raise ImportRefused(f"{where}: nobody defines {name[:80]!r}")
    if depth > 4:
        raise ImportRefused(f"{where}: {name[:80]}: structures within structures, more than 4 deep")
    parts: list[tuple[str, object]] = []
    for text in formats[name].split(";"):
        if not text:
            continue
        match = _FIELD.match(text.strip())
        if match is None or len(parts) >= MAX_FIELDS:
            raise ImportRefused(f"{where}: {name[:80]}: {text[:80]!r} is no field")
        kind, count, field_name = match[1], int(match[2] or 0), match[3]
        base = np.dtype(_KINDS[kind]) if kind in _KINDS else _dtype(kind, formats, where, depth + 1)
        if any(field_name == known for known, _ in parts):
            raise ImportRefused(f"{where}: {name[:80]}: {field_name!r} is there twice")
        parts.append((field_name, np.dtype((base, (count,))) if count else base))
    found = np.dtype(parts)
    if found.itemsize > 65_535:
        raise ImportRefused(f"{where}: {name[:80]}: {found.itemsize} bytes; a message has at most 65,535")
    return found


def _signal(topic: _Topic, place: str) -> RawSignal | None:
    if not topic.rows:
        return None
    rows = np.frombuffer(b"".join(topic.rows), topic.dtype)
    if "timestamp" not in (topic.dtype.names or ()):
        raise ImportRefused(f"{place}: {topic.name}: has no timestamp")
    names: list[str] = []
    columns: list[np.ndarray] = []
    for name, column in _columns(rows, ""):
        if name != "timestamp" and not name.rpartition(".")[2].startswith("_padding"):
            names.append(name)
            columns.append(column.astype(np.float64))
    if not columns:
        return None
    return RawSignal(topic.name, rows["timestamp"] * 1e-6, np.stack(columns, axis=1), tuple(names))


def _columns(rows: np.ndarray, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    for name in rows.dtype.names or ():
        part = rows[name]
        for suffix, column in _flat(part):
            if column.dtype.names:
                yield from _columns(column, f"{prefix}{name}{suffix}.")
            elif column.dtype.kind in "fiub":
                yield f"{prefix}{name}{suffix}", column


def _flat(part: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if part.ndim == 1:
        yield "", part
        return
    for i in range(part.shape[1]):
        yield f"[{i}]", part[:, i]


FORMAT = ULog()
