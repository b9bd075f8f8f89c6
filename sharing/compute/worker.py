"""The process in which an approved algorithm runs: `python -m sharing.compute.worker`. Fenced before it is loaded."""

import json
import os
import sys
from typing import Any

import numpy as np

from sharing.compute.result import written
from sharing.confined import fence
from sharing.confined.data import Array, Data

MODEL = "model"
"""The table of a parcel under which a result comes back to be judged."""


def main() -> int:
    """Train, or tell losses, as standard input says. Returns the exit code."""
    told = json.load(sys.stdin)
    out = os.dup(1)
    os.dup2(2, 1)
    fence.stand(fence.Limits(**told["limits"]), told["size_bytes"])
    files = dict(told["files"])
    model = files.pop(MODEL, None)
    data = Data(told["descriptor"], told["size_bytes"], files)
    space: dict[str, Any] = {"__name__": "algorithm"}
    exec(compile(told["source"], "algorithm", "exec"), space)
    if model is None:
        arrays, metrics = space["train"](data, told["parameters"])
        answer = written(arrays, metrics)
    else:
        arrays = _arrays(told["descriptor"], model, told["arrays"])
        answer = json.dumps([float(loss) for loss in space["losses"](data, arrays, told["parameters"])]).encode()
    while answer:
        answer = answer[os.write(out, answer) :]
    return 0


def _arrays(
    descriptor: int, places: list[tuple[str, int, int]], kinds: list[tuple[str, str, list[int]]]
) -> dict[str, Array]:
    return {
        name: np.frombuffer(os.pread(descriptor, size, offset), dtype).reshape(shape)
        for (_, offset, size), (name, dtype, shape) in zip(places, kinds, strict=True)
    }


if __name__ == "__main__":
    sys.exit(main())
