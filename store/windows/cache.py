"""A sealed cache of windows: one file per column, mapped into memory, made once from the episodes of a version.

    FOLDER/<key>/cache.json      what is in it: version, key, columns with their hashes, episodes; and its own hash
    FOLDER/<key>/bounds.npy      int64 (episodes + 1, tracks): where each episode starts in each track
    FOLDER/<key>/<column>.npy    NumPy's own format (version 1.0), rows of all episodes one behind the other

The key is the hash of all that decides the content, so a cache is never out of date. `store.windows.build` makes one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from store.errors import BrokenCache, WindowsRefused
from store.objects import hash_of
from store.windows.view import STEPS, VERSION, Body, Column, View, columns_of, tracks_of

FORMAT = "palaestra.windows"
HEADER, BOUNDS = "cache.json", "bounds"
MAX_HEADER_BYTES = 256 << 20
"""A million episodes need about that."""


class Cache:
    """A cache that was opened: its columns, mapped into memory and read-only. Cheap to copy to other processes.

    Attributes:
        path: Its folder.
        key: Its name.
        view, body: What it holds.
        methods: How each signal was brought to even steps; empty where rows are as recorded.
        episodes: One table for each episode: `sha256`, `name`, `task`, `outcome`.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], columns: Mapping[str, np.ndarray]) -> None:
        self.path = path
        self.key: str = header["key"]
        self.view = View(**header["view"])
        self.body = _body(self.view, header["body"])
        self.methods: dict[str, str] = header["methods"]
        self.episodes: list[dict[str, str]] = header["episodes"]
        self._hashes: dict[str, str] = {name: said["sha256"] for name, said in header["columns"].items()}
        self._tracks = {track: number for number, track in enumerate(header["tracks"])}
        self._columns = columns

    def __reduce__(self) -> Any:
        return open_cache, (self.path,)

    def column(self, name: str) -> np.ndarray:
        """Return a column: (rows,) or (rows, width)."""
        return self._columns[name]

    def bounds(self, track: str = STEPS) -> np.ndarray:
        """Return where each episode starts in a track, and where the last ends; int64, (episodes + 1,)."""
        edges: np.ndarray = self._columns[BOUNDS][:, self._tracks[track]]
        return edges

    @property
    def steps(self) -> int:
        """How many steps all episodes have together."""
        return int(self.bounds()[-1])

    @property
    def size_bytes(self) -> int:
        """How much the columns take."""
        return sum(column.nbytes for column in self._columns.values())

    def verify(self) -> None:
        """Read everything and compare its hashes. Raises BrokenCache, naming the file."""
        for name, wanted in self._hashes.items():
            with open(self.path / f"{name}.npy", "rb") as file:
                found = hash_of(file)
            if found != wanted:
                raise BrokenCache(f"{self.path}: {name}.npy has the hash {found} instead of {wanted}")


def open_cache(path: Path, *, verify: bool = False) -> Cache:
    """Open a sealed cache.

    The header's own hash, every file's size, type and shape, and the index are checked always; with `verify` the hash
    of every byte as well.

    Raises:
        BrokenCache: What is wrong, and with which file. A folder without a header is a FileNotFoundError.
    """
    header = _read_header(path)
    try:
        _check_words(header)
        view = View(**header["view"])
        body = _body(view, header["body"])
        wanted = columns_of(view, body)
        tracks, count = tracks_of(wanted), len(header["episodes"])
        said = {name: header["columns"][name]["rows"] for name in (*(column.name for column in wanted), BOUNDS)}
        if view.key([episode["sha256"] for episode in header["episodes"]]) != header["key"]:
            raise ValueError("its key is of other episodes or another view")
        if header["tracks"] != tracks or set(said) != set(header["columns"]) or said[BOUNDS] != count + 1:
            raise ValueError("view, columns, tracks and episodes do not fit each other")
        if not all(type(rows) is int and rows >= 0 for rows in said.values()):
            raise ValueError(f"rows {said}")
    except (KeyError, TypeError, ValueError, AttributeError, WindowsRefused) as error:
        raise BrokenCache(f"{path}: {HEADER}: {type(error).__name__}: {str(error)[:200]}") from error
    index = Column(BOUNDS, BOUNDS, "<i8", len(tracks))
    columns = {column.name: _mapped(path, column, said[column.name]) for column in (*wanted, index)}
    cache = Cache(path, header, columns)
    _check_index(cache, wanted)
    if verify:
        cache.verify()
    return cache


def header_of(
    view: View,
    body: Body,
    methods: Mapping[str, str],
    key: str,
    episodes: list[dict[str, str]],
    hashes: Mapping[str, Any],
) -> bytes:
    """Return the bytes of a header: canonical JSON with the hash of itself."""
    said = {
        "format": FORMAT,
        "version": VERSION,
        "key": key,
        "view": asdict(view),
        "body": asdict(body),
        "methods": dict(methods),
        "tracks": tracks_of(columns_of(view, body)),
        "columns": dict(hashes),
        "episodes": episodes,
    }
    return _dump(said | {"sha256": hashlib.sha256(_dump(said)).hexdigest()})


def _check_words(header: Mapping[str, Any]) -> None:
    """Raise ValueError, TypeError or KeyError where the header has something else than texts: readers rely on them."""
    body = header["body"]
    texts = {
        "joint_names": body["joint_names"],
        "units": [said["unit"] for said in body["signals"].values()],
        "methods": [*header["methods"].keys(), *header["methods"].values()],
        "hashes": [said["sha256"] for said in header["columns"].values()],
        "episodes": [episode[key] for episode in header["episodes"] for key in ("sha256", "name", "task", "outcome")],
    }
    for name, found in texts.items():
        if not isinstance(found, list) or not all(isinstance(text, str) for text in found):
            raise TypeError(f"{name}: {str(found)[:100]}: texts")
    for name in ("signals", "cameras"):
        if not isinstance(body[name], Mapping):
            raise TypeError(f"{name}: {str(body[name])[:100]}: a table")


def _body(view: View, said: Mapping[str, Any]) -> Body:
    """Return what a header says of the body, in the order of the view. Raises KeyError for what it does not say."""
    signals = {name: said["signals"][name] for name in view.signals}
    return Body(tuple(said["joint_names"]), signals, {name: said["cameras"][name] for name in view.cameras})


def file_name(column: str) -> str:
    """Return the name of a column's file; the names of signals and cameras are safe as files."""
    if not re.fullmatch(r"[a-z][a-z0-9_.]*", column):
        raise BrokenCache(f"{column!r} is no name of a column")
    return f"{column}.npy"


HEAD_BYTES = 128


def npy_head(column: Column, rows: int) -> bytes:
    """Return the head of a column's file, always of 128 bytes (NumPy's `numpy.lib.format`, version 1.0)."""
    shape = f"({rows},)" if column.width == 0 else f"({rows}, {column.width})"
    text = f"{{'descr': '{column.dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    return b"\x93NUMPY\x01\x00" + (HEAD_BYTES - 10).to_bytes(2, "little") + f"{text:<{HEAD_BYTES - 11}}\n".encode()


def row_bytes(column: Column) -> int:
    """Return how many bytes a row takes."""
    return int(np.dtype(column.dtype).itemsize) * max(1, column.width)


def _read_header(path: Path) -> dict[str, Any]:
    with open(path / HEADER, "rb") as file:
        text = file.read(MAX_HEADER_BYTES + 1)
    try:
        if len(text) > MAX_HEADER_BYTES:
            raise ValueError(f"more than {MAX_HEADER_BYTES} bytes")
        said: dict[str, Any] = json.loads(text)
        if said["format"] != FORMAT or said["version"] != VERSION:
            raise ValueError(f"{said['format']} version {said['version']}; this program reads {FORMAT} {VERSION}")
        wanted = said.pop("sha256")
        if hashlib.sha256(_dump(said)).hexdigest() != wanted:
            raise ValueError("it is not what it was sealed as: its hash differs")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenCache(f"{path}: {HEADER}: {str(error)[:200] or type(error).__name__}") from error
    return said


def _mapped(path: Path, column: Column, rows: int) -> np.ndarray:
    name = file_name(column.name)
    shape: tuple[int, ...] = (rows,) if column.width == 0 else (rows, column.width)
    try:
        with open(path / name, "rb") as file:
            if file.read(HEAD_BYTES) != npy_head(column, rows):
                raise BrokenCache(f"{path}: {name} says something else than the header: {column.dtype} of {shape}")
            size_bytes = file.seek(0, 2)
            wanted_bytes = HEAD_BYTES + rows * row_bytes(column)
            if size_bytes != wanted_bytes:
                raise BrokenCache(f"{path}: {name} has {size_bytes} bytes instead of {wanted_bytes}")
            if not rows:
                return np.empty(shape, column.dtype)
            mapped = np.memmap(file, np.dtype(column.dtype), "r", HEAD_BYTES, shape)
    except OSError as error:
        raise BrokenCache(f"{path}: {name}: {error}") from error
    return np.asarray(mapped)


def _check_index(cache: Cache, columns: list[Column]) -> None:
    """Check that no index points beside its column, whatever the files say: a batch must never read a neighbour's."""
    edges = cache.column(BOUNDS)
    if (edges[0] != 0).any() or (np.diff(edges, axis=0) < 0).any():
        raise BrokenCache(f"{cache.path}: {BOUNDS}.npy does not rise from 0")
    if (np.diff(cache.bounds()) < 1).any():
        raise BrokenCache(f"{cache.path}: {BOUNDS}.npy: an episode without a step")
    for column in columns:
        rows = len(cache.column(column.name))
        if rows != cache.bounds(column.track)[-1]:
            raise BrokenCache(f"{cache.path}: {column.name}.npy has {rows} rows, {BOUNDS}.npy says another number")


def _dump(said: Mapping[str, Any]) -> bytes:
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
