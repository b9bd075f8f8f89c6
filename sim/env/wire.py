"""openpi's messages: MessagePack, with arrays as maps of their bytes, type and shape.

An array is `{b"__ndarray__": True, b"data": bytes, b"dtype": "<f4", b"shape": [..]}`, a NumPy number
`{b"__npgeneric__": True, b"data": number, b"dtype": ..}`, as openpi-client 0.1.2 (`msgpack_numpy.py`) has them. What
comes in is not trusted: only plain numbers, and only as many bytes as the shape says.
"""

import math
from typing import Any

import msgpack
import numpy as np

from sim.errors import PolicyServerError

MESSAGE_MAX_B = 16 * 2**20
"""What a server may answer at once: a chunk of actions is some kilobytes. Empty lists take sixty times as much memory
as bytes on the wire, and the memory is everybody's."""
_PLAIN = "biuf"


def pack(message: Any) -> bytes:
    """Return a message as bytes. Raises PolicyServerError for what it cannot carry."""
    try:
        packed: bytes = msgpack.packb(message, default=_flat)
    except (TypeError, ValueError, OverflowError) as error:
        raise PolicyServerError(f"a message cannot be sent: {error}") from error
    return packed


def unpack(data: bytes) -> Any:
    """Return a message; its arrays are read-only. Raises PolicyServerError for bytes that are none."""
    try:
        return msgpack.unpackb(data, object_hook=_array)
    except PolicyServerError:
        raise
    except Exception as error:
        # MessagePack's own errors have no common base but Exception.
        raise PolicyServerError(f"a message cannot be read: {type(error).__name__}: {error}") from error


def _flat(thing: Any) -> Any:
    if isinstance(thing, np.ndarray | np.generic) and thing.dtype.kind not in _PLAIN + "SU":
        raise TypeError(f"an array of {thing.dtype} has no place in a message")
    if isinstance(thing, np.ndarray):
        return {b"__ndarray__": True, b"data": thing.tobytes(), b"dtype": thing.dtype.str, b"shape": thing.shape}
    if isinstance(thing, np.generic):
        return {b"__npgeneric__": True, b"data": thing.item(), b"dtype": thing.dtype.str}
    raise TypeError(f"{type(thing).__name__} has no place in a message")


def _array(table: dict[Any, Any]) -> Any:
    if b"__ndarray__" in table:
        dtype, shape, data = _dtype(table), table.get(b"shape"), table.get(b"data")
        if not isinstance(shape, list | tuple) or not all(type(n) is int and n >= 0 for n in shape):
            raise PolicyServerError(f"an array has the shape {shape!r}")
        if not isinstance(data, bytes) or len(data) != math.prod(shape) * dtype.itemsize:
            size = len(data) if isinstance(data, bytes) else type(data).__name__
            raise PolicyServerError(f"an array of {dtype}{tuple(shape)} has {size} bytes")
        return np.frombuffer(data, dtype).reshape(shape)
    if b"__npgeneric__" in table:
        return _dtype(table).type(table.get(b"data"))
    return table


def _dtype(table: dict[Any, Any]) -> np.dtype[Any]:
    name = table.get(b"dtype")
    try:
        dtype = np.dtype(str(name))
    except (TypeError, ValueError, SyntaxError) as error:
        raise PolicyServerError(f"an array is of {str(name)[:40]!r}") from error
    if dtype.kind not in _PLAIN or dtype.hasobject or dtype.shape:
        raise PolicyServerError(f"an array is of {dtype}: only plain numbers are read")
    return dtype
