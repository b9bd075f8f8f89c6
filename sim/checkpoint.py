"""A slot's snapshot as bytes: what it may be restored into, then its arrays, then the hash of both.

    b"PALCKPT1" | length of the head, 8 bytes, little endian | head, JSON | arrays, one after the other | SHA-256

Nothing in it is ever executed or unpickled; whatever is not as it should be is refused with its name.
"""

import hashlib
import json
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.errors import BadSnapshot
from sim.slot import Snapshot

MAGIC = b"PALCKPT1"
BYTES_MAX = 1 << 31
_DTYPES = ("bool", "int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64")
_DIGEST_BYTES = 32
_HEAD_BYTES_MAX = 1 << 20


def to_bytes(snapshot: Snapshot) -> bytes:
    """Return the snapshot as bytes; equal snapshots are equal bytes."""
    arrays = {"state": snapshot.state, **{f"array.{name}": array for name, array in sorted(snapshot.arrays.items())}}
    table = [(name, array.dtype.name, list(array.shape)) for name, array in arrays.items()]
    head = json.dumps({"header": snapshot.header, "arrays": table}, sort_keys=True).encode()
    body = b"".join(np.ascontiguousarray(array).tobytes() for array in arrays.values())
    whole = MAGIC + len(head).to_bytes(8, "little") + head + body
    return whole + hashlib.sha256(whole).digest()


def from_bytes(data: bytes) -> Snapshot:
    """Read what `to_bytes` wrote. Raises BadSnapshot for anything else, also for a single flipped bit."""
    start = len(MAGIC) + 8
    if len(data) > BYTES_MAX or len(data) < start + _DIGEST_BYTES or data[: len(MAGIC)] != MAGIC:
        raise BadSnapshot(f"{len(data)} bytes that are no checkpoint of this format")
    whole, digest = data[:-_DIGEST_BYTES], data[-_DIGEST_BYTES:]
    if hashlib.sha256(whole).digest() != digest:
        raise BadSnapshot("the checkpoint is damaged: its hash does not fit")
    length = int.from_bytes(data[len(MAGIC) : start], "little")
    if length > min(_HEAD_BYTES_MAX, len(whole) - start):
        raise BadSnapshot(f"a head of {length} bytes")
    try:
        head = json.loads(whole[start : start + length])
        header = {str(key): str(value) for key, value in head["header"].items()}
        arrays = _arrays(head["arrays"], whole, start + length)
        state = arrays.pop("state")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadSnapshot(f"a head that makes no sense: {error}") from error
    return Snapshot(header, state, {name.removeprefix("array."): array for name, array in arrays.items()})


def _arrays(table: list[Any], whole: bytes, offset: int) -> dict[str, npt.NDArray[Any]]:
    found: dict[str, npt.NDArray[Any]] = {}
    for name, dtype, shape in table:
        if dtype not in _DTYPES or not all(type(side) is int and side >= 0 for side in shape):
            raise BadSnapshot(f"array {str(name)[:50]!r}: {dtype} of shape {shape}")
        count = math.prod(shape)
        if offset + count * np.dtype(dtype).itemsize > len(whole):
            raise BadSnapshot(f"array {str(name)[:50]!r} is longer than the checkpoint")
        found[str(name)] = np.frombuffer(whole, dtype, count, offset).reshape(shape)
        offset += count * np.dtype(dtype).itemsize
    if offset != len(whole):
        raise BadSnapshot(f"{len(whole) - offset} bytes too many")
    return found
