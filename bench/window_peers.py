"""Random windows of the same rows by others: LeRobot's loader, Parquet, Arrow, HDF5, zarr and Lance.

Those that are importable take part; none is needed. Each gets what is best known for it: one file, chunks of an
episode, and the rows of a window in one call. All must give the same numbers as our own loader, or the measurement
fails.
"""

from collections.abc import Callable
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store import ACTION, STATE, ObjectStore
from store.lerobot import export_lerobot
from store.windows import Cache

LENGTH = 64
SIGNALS = (STATE, ACTION)
Cut = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Takes the first rows of windows, (n,), which lie within their episodes; gives each signal as (n, LENGTH, width)."""


def peers(cache: Cache, objects: ObjectStore, folder: Path, rate_hz: int) -> dict[str, Cut]:
    """Return what is importable here, ready to cut. `folder` is for their files."""
    found = {"parquet": _parquet(cache, objects), "arrow": _arrow(cache, folder)}
    for name, make in (("hdf5", _hdf5), ("zarr", _zarr), ("lance", _lance)):
        try:
            found[name] = make(cache, folder)
        except ImportError:
            continue
    try:
        found["lerobot"] = _lerobot(cache, objects, folder, rate_hz)
    except ImportError:
        pass
    return found


def check(cuts: dict[str, Cut], first: np.ndarray, wanted: dict[str, np.ndarray]) -> None:
    """Have everybody cut the same windows. Raises AssertionError, which names who gives other numbers."""
    for name, cut in cuts.items():
        got = cut(first)
        for signal in SIGNALS:
            assert np.array_equal(np.asarray(got[signal]).reshape(wanted[signal].shape), wanted[signal]), (
                f"{name} gives other windows of {signal}"
            )


def _stacked(rows: Callable[[str, int], Any], first: np.ndarray) -> dict[str, np.ndarray]:
    return {signal: np.stack([rows(signal, int(row)) for row in first]) for signal in SIGNALS}


def _parquet(cache: Cache, objects: ObjectStore) -> Cut:
    """The sealed episodes as they are: the two columns of the window's episode, decoded for each window."""
    edges = cache.bounds()
    paths = [objects.path_of(episode["sha256"]) for episode in cache.episodes]

    def cut(first: np.ndarray) -> dict[str, np.ndarray]:
        parts: dict[str, list[np.ndarray]] = {signal: [] for signal in SIGNALS}
        for row in first:
            episode = int(np.searchsorted(edges, row, side="right")) - 1
            table = pq.read_table(paths[episode], columns=list(SIGNALS), use_threads=False)
            begin = int(row - edges[episode])
            for signal in SIGNALS:
                values = table.column(signal).combine_chunks().flatten().to_numpy().reshape(len(table), -1)
                parts[signal].append(values[begin : begin + LENGTH])
        return {signal: np.stack(rows) for signal, rows in parts.items()}

    return cut


def _table(cache: Cache) -> Any:
    columns = {}
    for signal in SIGNALS:
        values = cache.column(signal)
        columns[signal] = pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
    return pa.table(columns)


def _arrow(cache: Cache, folder: Path) -> Cut:
    """An Arrow IPC file, mapped into memory, a batch for each episode."""
    path, table, edges = folder / "windows.arrow", _table(cache), cache.bounds()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for begin, end in pairwise(edges):
            writer.write_table(table.slice(int(begin), int(end - begin)))
    batches = [pa.ipc.open_file(pa.memory_map(str(path))).get_batch(n) for n in range(len(edges) - 1)]

    def rows(signal: str, row: int) -> Any:
        episode = int(np.searchsorted(edges, row, side="right")) - 1
        part = batches[episode].column(signal).slice(int(row - edges[episode]), LENGTH)
        return part.flatten().to_numpy().reshape(LENGTH, -1)

    return lambda first: _stacked(rows, first)


def _hdf5(cache: Cache, folder: Path) -> Cut:
    h5py = import_module("h5py")
    file = h5py.File(folder / "windows.h5", "w")
    for signal in SIGNALS:
        file.create_dataset(signal, data=cache.column(signal))
    return lambda first: _stacked(lambda signal, row: file[signal][row : row + LENGTH], first)


def _zarr(cache: Cache, folder: Path) -> Cut:
    zarr = import_module("zarr")
    group = zarr.open_group(str(folder / "windows.zarr"), mode="w")
    chunk = int(np.diff(cache.bounds()).max())
    arrays = {}
    for signal in SIGNALS:
        values = cache.column(signal)
        arrays[signal] = group.create_array(
            signal, shape=values.shape, chunks=(chunk, values.shape[1]), dtype=values.dtype, compressors=None
        )
        arrays[signal][:] = values
    return lambda first: _stacked(lambda signal, row: arrays[signal][row : row + LENGTH], first)


def _lance(cache: Cache, folder: Path) -> Cut:
    lance = import_module("lance")
    # Lance takes a dot for a path into a structure.
    names = {signal: signal.replace(".", "_") for signal in SIGNALS}
    table = _table(cache).rename_columns([names[signal] for signal in SIGNALS])
    dataset = lance.write_dataset(table, str(folder / "windows.lance"))

    def cut(first: np.ndarray) -> dict[str, np.ndarray]:
        rows = (first[:, None] + np.arange(LENGTH)).reshape(-1)
        table = dataset.take(rows.tolist(), columns=list(names.values()))
        return {
            signal: table.column(names[signal]).combine_chunks().flatten().to_numpy().reshape(len(first), LENGTH, -1)
            for signal in SIGNALS
        }

    return cut


def _lerobot(cache: Cache, objects: ObjectStore, folder: Path, rate_hz: int) -> Cut:
    """Our export of the same episodes, read by `LeRobotDataset` with `delta_timestamps`, item by item."""
    torch = import_module("torch")
    torch.set_num_threads(1)
    try:
        import_module("torchvision")
    except RuntimeError:
        # A torchvision that was made for another torch lacks two operators; nothing here calls them.
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    module = import_module("lerobot.datasets.lerobot_dataset")
    export_lerobot(objects, [episode["sha256"] for episode in cache.episodes], folder / "lerobot", rate_hz)
    times_s = [step / rate_hz for step in range(LENGTH)]
    dataset = module.LeRobotDataset(
        "acme/windows", root=folder / "lerobot", delta_timestamps=dict.fromkeys(SIGNALS, times_s)
    )

    def cut(first: np.ndarray) -> dict[str, np.ndarray]:
        items = [dataset[int(row)] for row in first]
        return {signal: torch.stack([item[signal] for item in items]).numpy() for signal in SIGNALS}

    return cut
