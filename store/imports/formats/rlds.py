"""RLDS data sets as TensorFlow Datasets writes them: TFRecord files of `tf.train.Example`, read without TensorFlow.

A record is its length, the masked CRC-32C of the length, the bytes and their masked CRC-32C; both are checked
(tensorflow/core/lib/io/record_writer.h). An Example is a protobuf message of features by name, each a list of bytes,
floats or integers (tensorflow/core/example/feature.proto). One record is one episode; its steps lie flat in
`steps/<feature>` lists, `width` times as many values as there are steps, which `steps/is_first` counts. Pictures stay
behind. The format has neither times nor units: a mapping says `[time] rate_hz`.
"""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from store.errors import ImportRefused
from store.imports.formats import inside
from store.imports.raw import Budget, Options, RawEpisode, RawSignal

MAX_RECORD_BYTES = 1 << 30
MAX_WIDTH = 4096
_TASKS = ("steps/language_instruction", "steps/observation/natural_language_instruction")
Feature = tuple[str, Any]


class Rlds:
    """See the module."""

    NAME = "rlds"

    def sniff(self, path: Path, head: bytes) -> bool:
        """Files called `.tfrecord`, or a folder with such."""
        return bool(_files(path))

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the episodes, file by file."""
        if options.rate_hz is None:
            raise ImportRefused(f"{path.name}: RLDS keeps no times; say [time] rate_hz in a mapping")
        budget, count = Budget(options.max_values), 0
        for file in _files(path):
            if path.is_dir():
                inside(path, str(file.relative_to(path)))
            for number, record in enumerate(records(file)):
                where = f"{file.name}: record {number}"
                yield _episode(example(record, where, budget), f"episode {count}", where, options.rate_hz)
                count += 1


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if ".tfrecord" in file.name and file.is_file())
    return [path] if ".tfrecord" in path.name else []


def records(path: Path) -> Iterator[bytes]:
    """Yield the records of a TFRecord file. Raises ImportRefused at the first one whose sums are wrong."""
    with open(path, "rb") as file:
        number = 0
        size_bytes = path.stat().st_size
        while head := file.read(12):
            where = f"{path.name}: record {number}"
            if len(head) < 12:
                raise ImportRefused(f"{where}: cut off")
            length, said = struct.unpack("<QI", head)
            if masked_crc32c(head[:8]) != said:
                raise ImportRefused(f"{where}: the checksum of its length is wrong")
            if length > min(MAX_RECORD_BYTES, size_bytes):
                raise ImportRefused(f"{where}: claims {length} bytes of {size_bytes}")
            data, tail = file.read(length), file.read(4)
            if len(data) != length or len(tail) != 4:
                raise ImportRefused(f"{where}: cut off")
            if masked_crc32c(data) != struct.unpack("<I", tail)[0]:
                raise ImportRefused(f"{where}: the checksum of its bytes is wrong")
            yield data
            number += 1


def _tables() -> np.ndarray:
    # CRC-32C (Castagnoli), reflected polynomial 0x82F63B78 (RFC 3720, appendix B.4).
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> np.uint32(1)) ^ np.uint32(0x82F63B78), table >> np.uint32(1))
    return table.astype(np.uint32)


_TABLE = _tables()
_LIST = [int(value) for value in _TABLE]
_LANES = 256


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of `data`.

    Long data are cut into `_LANES` pieces of one length, whose sums go on side by side and are then put together: the
    sum of a piece followed by zeros is a linear map of the sum, applied by squaring a 32 x 32 matrix of bits (as in
    zlib's `crc32_combine`).
    """
    piece = len(data) // _LANES
    if piece < 64:
        return _plain(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    rows = np.frombuffer(data, np.uint8, piece * _LANES).reshape(_LANES, piece)
    sums = np.zeros(_LANES, np.uint32)
    sums[0] = 0xFFFFFFFF
    for column in np.ascontiguousarray(rows.T):
        sums = _TABLE[(sums ^ column) & np.uint32(0xFF)] ^ (sums >> np.uint32(8))
    shift = _zeros(piece)
    total = int(sums[0])
    for lane in sums[1:].tolist():
        total = _times(shift, total) ^ lane
    return _plain(data[piece * _LANES :], total) ^ 0xFFFFFFFF


def _plain(data: bytes, value: int) -> int:
    for byte in data:
        value = _LIST[(value ^ byte) & 0xFF] ^ (value >> 8)
    return value


def _zeros(count: int) -> list[int]:
    """Return the map of a sum by `count` zero bytes: the images of its 32 bits."""
    step = [_plain(b"\0", 1 << bit) for bit in range(32)]
    found = [1 << bit for bit in range(32)]
    while count:
        if count & 1:
            found = [_times(step, column) for column in found]
        step = [_times(step, column) for column in step]
        count >>= 1
    return found


def _times(matrix: list[int], value: int) -> int:
    total = 0
    for column in matrix:
        if value & 1:
            total ^= column
        value >>= 1
    return total


def masked_crc32c(data: bytes) -> int:
    """Return the sum as TFRecord keeps it: rotated right by 15 bits, and a constant added."""
    value = crc32c(data)
    return (((value >> 15) | (value << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def example(data: bytes, where: str, budget: Budget) -> dict[str, Feature]:
    """Return the features of an Example: kind ("bytes", "float", "int") and values. Raises ImportRefused."""
    found: dict[str, Feature] = {}
    try:
        for number, features in _fields(memoryview(data)):
            for entry_number, entry in _fields(features) if number == 1 else ():
                if entry_number != 1:
                    continue
                parts = dict(_fields(entry))
                name = bytes(parts[1]).decode()
                found[name] = _feature(parts.get(2, memoryview(b"")), f"{where}: {name[:80]}", budget)
    except (ValueError, KeyError, IndexError, struct.error, TypeError) as error:
        raise ImportRefused(f"{where}: no tf.train.Example: {str(error)[:200]}") from error
    return found


def _feature(data: memoryview, where: str, budget: Budget) -> Feature:
    for number, part in _fields(data):
        if number == 1:
            return "bytes", [bytes(value) for _, value in _fields(part)]
        chunks = [value for _, value in _fields(part)]
        if number == 2:
            packed = b"".join(bytes(chunk) for chunk in chunks)
            budget.take(where, len(packed) // 4, 1)
            return "float", np.frombuffer(packed, "<f4").astype(np.float64)
        if number == 3:
            budget.take(where, len(part), 1)
            values = [v for chunk in chunks for v in ([chunk] if isinstance(chunk, int) else _varints(chunk))]
            return "int", np.array([v - (1 << 64) if v >= 1 << 63 else v for v in values], np.int64)
    return "bytes", []


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Yield (number, value) of a protobuf message's fields. Raises ValueError where it is none."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
            continue
        if kind == 2:
            size, at = _varint(data, at)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"a field of wire type {kind}")
        if at + size > len(data):
            raise ValueError("a field is longer than its message")
        yield key >> 3, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(data) or shift > 63:
            raise ValueError("a number is cut off")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _varints(data: memoryview) -> Iterator[int]:
    at = 0
    while at < len(data):
        value, at = _varint(data, at)
        yield value


def _episode(features: dict[str, Feature], place: str, where: str, rate_hz: float) -> RawEpisode:
    first = features.get("steps/is_first")
    if first is None or first[0] != "int" or not len(first[1]):
        raise ImportRefused(f"{where}: no steps/is_first that counts the steps")
    steps = len(first[1])
    time_s, signals = np.arange(steps) / rate_hz, []
    for name, (kind, values) in features.items():
        if kind == "bytes" or not name.startswith("steps/"):
            continue
        if len(values) % steps or len(values) // steps > MAX_WIDTH:
            raise ImportRefused(f"{where}: {name[:80]}: {len(values)} values are no rows of {steps} steps")
        width = len(values) // steps
        if width:
            names = tuple(str(i) for i in range(width))
            table = np.asarray(values, np.float64).reshape(steps, width)
            signals.append(RawSignal(name.removeprefix("steps/"), time_s, table, names))
    words = [features[name][1][0] for name in _TASKS if name in features and features[name][0] == "bytes"]
    task = words[0].decode("utf-8", "replace")[:500] if words else ""
    return RawEpisode(place, tuple(signals), task=task)


FORMAT = Rlds()
