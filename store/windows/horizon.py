"""Where a window looks: for each signal, which steps around its anchor."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from store.errors import WindowsRefused
from store.windows.cache import Cache

MAX_OFFSETS = 65_536
TOLERANCE = 1e-3
"""How far a time may be from a whole number of steps, in steps."""


def checked_horizon(cache: Cache, horizon: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Return the offsets of each signal as int64, (length,). Raises WindowsRefused, naming signal and rule."""
    if not isinstance(horizon, Mapping) or not horizon:
        raise WindowsRefused(f"horizon: {str(horizon)[:200]}: a mapping from signal or camera to offsets")
    known = (*cache.body.signals, *cache.body.cameras)
    found = {}
    for name, offsets in horizon.items():
        if name not in known:
            raise WindowsRefused(f"horizon: {name!r} is not in the cache; there are {', '.join(known)}")
        values: Any = list(offsets) if isinstance(offsets, (Sequence, np.ndarray, range)) else None
        if values is None or not 1 <= len(values) <= MAX_OFFSETS:
            raise WindowsRefused(f"horizon: {name}: {str(offsets)[:100]}: 1 to {MAX_OFFSETS} offsets")
        if not all(map(_is_whole, values)):
            raise WindowsRefused(f"horizon: {name}: {str(offsets)[:100]}: whole numbers of steps")
        found[name] = np.array(values, np.int64)
    return found


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and -(2**31) < int(value) < 2**31


def horizon_of(cache: Cache, delta_timestamps: Mapping[str, Sequence[float]]) -> dict[str, list[int]]:
    """Return times relative to the anchor [s], as LeRobot takes them, as steps of an even cache.

    Raises WindowsRefused for a cache of raw rows, and for a time that is no whole number of steps, which it names.
    """
    rate_hz = cache.view.rate_hz
    if rate_hz is None:
        raise WindowsRefused("delta_timestamps: the cache holds raw rows: give a rate_hz, or offsets in rows")
    found = {}
    for name, times_s in delta_timestamps.items():
        steps = [float(time_s) * rate_hz for time_s in times_s]
        for time_s, step in zip(times_s, steps, strict=True):
            if not math.isfinite(step) or abs(step - round(step)) > TOLERANCE:
                raise WindowsRefused(
                    f"delta_timestamps: {name}: {time_s} s is no whole number of steps of {rate_hz:g} Hz"
                )
        found[name] = [round(step) for step in steps]
    return found
