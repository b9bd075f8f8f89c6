"""robomimic data sets (HDF5): `data/demo_N` with `actions`, `obs/...`, `states`. Needs `h5py`.

Only the file itself is read: external links, external storage and virtual data sets lead to other files and are
refused, as are links in circles. What a data set claims to hold is bounded before it is unpacked. The format knows
neither times nor units: a mapping says `[time] rate_hz`.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from store.errors import ImportRefused
from store.imports.raw import MAX_EPISODES, Budget, Options, RawEpisode, RawSignal

MAGIC = b"\x89HDF\r\n\x1a\n"
MAX_DEPTH = 6
MAX_WIDTH = 4096


class Robomimic:
    """See the module."""

    NAME = "robomimic"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic bytes of HDF5."""
        return head.startswith(MAGIC)

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the demonstrations in the order of their numbers."""
        try:
            import h5py
        except ImportError as error:
            raise ImportRefused(f"{path.name}: reading HDF5 needs the extra [import]: {error}") from error
        if options.rate_hz is None:
            raise ImportRefused(f"{path.name}: robomimic keeps no times; say [time] rate_hz in a mapping")
        budget = Budget(options.max_values)
        try:
            with h5py.File(path, "r", locking=False) as file:
                group = _child(file, "data", path.name)
                names = sorted(group, key=lambda name: (len(name), name))
                if not 1 <= len(names) <= MAX_EPISODES:
                    raise ImportRefused(f"{path.name}: data: {len(names)} demonstrations; 1 to {MAX_EPISODES}")
                for name in names:
                    demo = _child(group, name, f"{path.name}: data")
                    yield _episode(demo, f"data/{name}", options.rate_hz, budget)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ImportRefused(f"{path.name}: broken: {str(error)[:200]}") from error


def _child(group: Any, name: str, where: str) -> Any:
    """Return a member of a group that lies in this file, by a hard link. Raises ImportRefused."""
    import h5py

    link = group.get(name, getlink=True)
    if link is None:
        raise ImportRefused(f"{where}: no {name!r}")
    if not isinstance(link, h5py.HardLink):
        raise ImportRefused(f"{where}: {name[:80]}: a link ({type(link).__name__}), which is not followed")
    return group[name]


def _episode(demo: Any, place: str, rate_hz: float, budget: Budget) -> RawEpisode:
    signals = []
    for name, data in _datasets(demo, place, "", 0):
        if not 1 <= len(data.shape) <= 2 or data.dtype.kind not in "fiub":
            continue  # pictures and texts
        signals.append(_signal(name, data, f"{place}: {name}", rate_hz, budget))
    lengths = {len(signal.values) for signal in signals}
    if len(lengths) > 1:
        raise ImportRefused(f"{place}: data sets of {len(lengths)} lengths, from {min(lengths)} to {max(lengths)}")
    return RawEpisode(place, tuple(signals))


def _datasets(group: Any, place: str, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
    import h5py

    if depth > MAX_DEPTH:
        raise ImportRefused(f"{place}: {prefix[:80]}: groups within groups, more than {MAX_DEPTH} deep")
    for name in group:
        child = _child(group, name, f"{place}/{prefix}".rstrip("/"))
        if isinstance(child, h5py.Group):
            yield from _datasets(child, place, f"{prefix}{name}/", depth + 1)
        elif isinstance(child, h5py.Dataset):
            yield f"{prefix}{name}", child


def _signal(name: str, data: Any, where: str, rate_hz: float, budget: Budget) -> RawSignal:
    if data.is_virtual or data.external:
        raise ImportRefused(f"{where}: its values are in another file, which is not read")
    rows, width = data.shape[0], data.shape[1] if data.ndim == 2 else 1
    if width > MAX_WIDTH:
        raise ImportRefused(f"{where}: {width} values a row; at most {MAX_WIDTH} are read")
    budget.take(where, rows, width)
    values = np.asarray(data[()], np.float64).reshape(rows, width)
    return RawSignal(name, np.arange(rows) / rate_hz, values, tuple(str(i) for i in range(width)))


FORMAT = Robomimic()
