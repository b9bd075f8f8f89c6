"""What leaves a compute job: declared arrays of numbers and declared metrics, bounded, and never an object.

The job writes a line of JSON that says what follows, then the bytes of the arrays. It may write anything: whatever is
not exactly as declared is refused, and nothing of it is unpickled.
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sharing.compute.algorithm import Outputs
from sharing.errors import WorkEnded

MAX_BYTES = 8 << 20
MAX_HEAD_BYTES = 65_536
MAX_DIMENSIONS = 4
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Result:
    """Arrays and metrics as they were declared."""

    arrays: Arrays
    metrics: Mapping[str, float]

    def npz(self) -> bytes:
        """Return the arrays as a NumPy archive that loads with `allow_pickle=False`."""
        target = io.BytesIO()
        # As numpy.savez does it, whose own parameters have names that an array may have, too.
        with zipfile.ZipFile(target, "w") as archive:
            for name in sorted(self.arrays):
                with archive.open(f"{name}.npy", "w") as part:
                    np.lib.format.write_array(part, self.arrays[name], allow_pickle=False)
        return target.getvalue()


def written(arrays: Mapping[str, Any], metrics: Mapping[str, Any]) -> bytes:
    """Return arrays and metrics as a job writes them."""
    parts = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    head = {
        "arrays": [[name, str(part.dtype), list(part.shape)] for name, part in parts.items()],
        "metrics": {name: float(value) for name, value in metrics.items()},
    }
    return b"".join([json.dumps(head).encode() + b"\n", *(part.tobytes() for part in parts.values())])


def read(said: bytes, outputs: Outputs) -> Result:
    """Return the result of what a job wrote. Raises WorkEnded for everything that was not declared."""
    line, _, rest = said.partition(b"\n")
    try:
        head: Any = json.loads(line) if len(line) <= MAX_HEAD_BYTES and len(said) <= MAX_BYTES else None
        arrays, metrics = head["arrays"], head["metrics"]
        if {*head} != {"arrays", "metrics"} or {*metrics} != {*outputs.metrics}:
            raise WorkEnded("its result is not as declared")
        if [*map(type, metrics.values())] != [float] * len(metrics) or not all(map(math.isfinite, metrics.values())):
            raise WorkEnded("a metric is not a finite number")
        found: dict[str, NDArray[Any]] = {}
        for name, dtype, shape in arrays:
            if name not in outputs.arrays or name in found or outputs.arrays[name][0] != dtype:
                raise WorkEnded("its result is not as declared")
            if len(shape) > MAX_DIMENSIONS or not all(type(size) is int and size >= 0 for size in shape):
                raise WorkEnded("an array has no shape")
            count = math.prod(shape)
            size = count * np.dtype(dtype).itemsize
            if count > outputs.arrays[name][1] or size > len(rest):
                raise WorkEnded("an array is larger than declared")
            values = np.frombuffer(rest[:size], dtype).reshape(shape)
            if not np.isfinite(values).all():
                raise WorkEnded("an array has a number that is not finite")
            found[name], rest = values, rest[size:]
    except (ValueError, TypeError, KeyError, RecursionError, UnicodeDecodeError):
        raise WorkEnded("its result is not as declared") from None
    if rest or {*found} != {*outputs.arrays}:
        raise WorkEnded("its result is not as declared")
    return Result(found, {name: metrics[name] for name in outputs.metrics})
