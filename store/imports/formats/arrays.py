"""NumPy archives (`.npz`): an array of numbers for each signal, or one for each joint as in LocoMuJoCo's data sets.

Arrays of objects are pickles, which run what their maker wants: they are refused, and nothing is unpickled. What an
array claims to be is in its first bytes, and is held against the budget before the rest is unpacked.
"""

import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.lib import format as npy

from store.errors import ImportRefused
from store.imports.raw import Budget, Options, RawEpisode, RawSignal

MAX_ARRAYS = 4096
_JOINT_KINDS = {"q_": "q", "dq_": "dq"}


class Arrays:
    """See the module."""

    NAME = "npz"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A zip archive that is called `.npz`."""
        return head.startswith(b"PK\x03\x04") and path.suffix.lower() == ".npz"

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the one episode of an archive."""
        if options.rate_hz is None:
            raise ImportRefused(f"{path.name}: arrays have no times; say [time] rate_hz in a mapping")
        try:
            with zipfile.ZipFile(path) as archive:
                arrays = _arrays(path.name, archive, Budget(options.max_values))
        except (zipfile.BadZipFile, OSError, ValueError, EOFError, SyntaxError, NotImplementedError) as error:
            raise ImportRefused(f"{path.name}: broken: {str(error)[:200]}") from error
        yield RawEpisode(path.name, tuple(_signals(arrays, options.rate_hz)))


def _arrays(place: str, archive: zipfile.ZipFile, budget: Budget) -> dict[str, np.ndarray]:
    members = archive.infolist()
    if not 1 <= len(members) <= MAX_ARRAYS:
        raise ImportRefused(f"{place}: {len(members)} arrays; 1 to {MAX_ARRAYS} are read")
    found: dict[str, np.ndarray] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        where = f"{place}: {name[:80]}"
        if "/" in name or "\\" in name or ".." in name:
            raise ImportRefused(f"{where}: leads out of the archive")
        with archive.open(member) as file:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, fortran, dtype = read(file)
            if dtype.hasobject:
                raise ImportRefused(f"{where}: an array of objects is a pickle, which is never read")
            if dtype.kind not in "fiub" or len(shape) > 2:
                raise ImportRefused(f"{where}: {dtype} of shape {shape}: one or two dimensions of numbers")
            size = int(np.prod(shape, dtype=object))
            budget.take(where, size, 1)
            data = file.read(size * dtype.itemsize + 1)
            if len(data) != size * dtype.itemsize:
                raise ImportRefused(f"{where}: not the {size} values of {dtype} that it claims")
            values = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
            found[name] = values.astype(np.float64)
    return found


def _signals(arrays: dict[str, np.ndarray], rate_hz: float) -> Iterator[RawSignal]:
    joined: dict[str, dict[str, np.ndarray]] = {}
    for name, values in arrays.items():
        prefix = next((prefix for prefix in _JOINT_KINDS if name.startswith(prefix) and values.ndim == 1), "")
        if prefix:
            joined.setdefault(_JOINT_KINDS[prefix], {})[name.removeprefix(prefix)] = values
        elif values.ndim and len(values):
            rows = values if values.ndim == 2 else values[:, np.newaxis]
            yield RawSignal(name, np.arange(len(rows)) / rate_hz, rows, tuple(str(i) for i in range(rows.shape[1])))
    for kind, columns in joined.items():
        lengths = {len(column) for column in columns.values()}
        if len(lengths) != 1:
            raise ImportRefused(f"{kind}: arrays of {len(lengths)} lengths, from {min(lengths)} to {max(lengths)}")
        table = np.stack(list(columns.values()), axis=1)
        yield RawSignal(kind, np.arange(len(table)) / rate_hz, table, tuple(columns))


FORMAT = Arrays()
