"""Contestants measured in turn, so that a busy machine hits all of them alike."""

import time
from collections.abc import Callable, Mapping

import numpy as np

Call = Callable[[], object]


def take_turns(calls: Mapping[str, Call], *, rounds: int, batch_s: float = 2e-3) -> dict[str, float]:
    """Return the median time of each call [s]. A turn repeats a fast call to last about `batch_s`."""
    repeats = {}
    for name, call in calls.items():
        call()
        start_s = time.perf_counter()
        call()
        repeats[name] = max(1, int(batch_s / max(1e-7, time.perf_counter() - start_s)))
    times_s: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start_s = time.perf_counter()
            for _ in range(repeats[name]):
                call()
            times_s[name].append((time.perf_counter() - start_s) / repeats[name])
    return {name: float(np.median(times)) for name, times in times_s.items()}
