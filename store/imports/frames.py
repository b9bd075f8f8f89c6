"""How a confined reader hands over what it has read: lengths, tables and plain arrays, nothing that runs when read.

A frame is four bytes of length (big-endian), that much JSON, and then the bytes of the arrays it names. Who receives
believes none of it: types, shapes and sums are checked before anything is allocated.
"""

import json
import struct
from typing import IO, Any, BinaryIO

import numpy as np

from store.errors import ImportRefused
from store.imports.raw import MAX_SIGNALS, RawEpisode, RawSignal

MAX_TABLE_BYTES = 64 << 20
_TEXTS = ("place", "task", "robot", "clock_source", "status", "cause")


def write_table(out: BinaryIO, table: dict[str, Any]) -> None:
    """Write a table without arrays. Raises ImportRefused for one that nobody would read."""
    text = json.dumps(table).encode()
    if len(text) > MAX_TABLE_BYTES:
        raise ImportRefused(f"{table.get('place', 'an episode')}: {len(text)} bytes of texts and names are too many")
    out.write(struct.pack(">I", len(text)))
    out.write(text)


def write_episode(out: BinaryIO, episode: RawEpisode) -> None:
    """Write an episode."""
    signals, arrays = [], []
    for signal in episode.signals:
        times = np.ascontiguousarray(signal.time_s, np.float64)
        row: dict[str, Any] = {
            "name": signal.name,
            "rows": len(times),
            "names": list(signal.names),
            "unit": signal.unit,
            "frame": signal.frame,
            "role": signal.role,
            "texts": None,
        }
        arrays.append(times)
        if isinstance(signal.values, list):
            row["texts"] = signal.values
        else:
            arrays.append(np.ascontiguousarray(signal.values, np.float64))
        signals.append(row)
    words = {name: getattr(episode, name) for name in _TEXTS}
    write_table(
        out,
        {
            "kind": "episode",
            "start_ns": episode.start_ns,
            "signals": signals,
            **words,
            "passed_over": list(episode.passed_over),
        },
    )
    for array in arrays:
        out.write(array.tobytes())


def read_table(source: IO[bytes]) -> dict[str, Any] | None:
    """Return the next frame's table; None at the end. Raises ImportRefused for what is no frame."""
    head = source.read(4)
    if not head:
        return None
    if len(head) < 4 or (length := struct.unpack(">I", head)[0]) > MAX_TABLE_BYTES:
        raise ImportRefused("the reader's answer is no frame")
    try:
        table = json.loads(_exactly(source, length))
    except (ValueError, RecursionError) as error:
        raise ImportRefused("the reader's answer is no frame") from error
    if not isinstance(table, dict):
        raise ImportRefused("the reader's answer is no frame")
    return table


def read_episode(source: IO[bytes], table: dict[str, Any], max_values: int) -> RawEpisode:
    """Return the episode of a frame whose table has been read. Raises ImportRefused."""
    try:
        rows = table["signals"]
        if len(rows) > MAX_SIGNALS:
            raise ImportRefused(f"{len(rows)} signals; at most {MAX_SIGNALS} are read")
        claimed = sum(_count(row["rows"]) * (1 + len(row["names"])) for row in rows)
        if claimed > 2 * max_values:
            raise ImportRefused(f"{claimed} values are more than is imported at once ({max_values})")
        words = {name: str(table[name])[:500] for name in _TEXTS}
        return RawEpisode(
            **words,
            start_ns=int(table["start_ns"]),
            signals=tuple(_signal(source, row) for row in rows),
            passed_over=tuple(str(name)[:255] for name in table["passed_over"][:MAX_SIGNALS]),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ImportRefused(f"the reader's answer is no episode: {str(error)[:200]}") from error


def _signal(source: IO[bytes], row: dict[str, Any]) -> RawSignal:
    count, names = _count(row["rows"]), tuple(str(name)[:255] for name in row["names"])
    times = np.frombuffer(_exactly(source, 8 * count), np.float64)
    texts = row["texts"]
    if texts is None:
        values: Any = np.frombuffer(_exactly(source, 8 * count * len(names)), np.float64).reshape(count, len(names))
    else:
        values = [str(text) for text in texts]
    said = {key: None if row[key] is None else str(row[key])[:255] for key in ("unit", "frame", "role")}
    return RawSignal(str(row["name"])[:255], times, values, names, **said)


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ImportRefused("the reader's answer is no episode")
    return value


def _exactly(source: IO[bytes], length: int) -> bytes:
    data = source.read(length)
    if len(data) != length:
        raise ImportRefused("the reader's answer ends too early")
    return data
