"""Make a cache of windows from sealed episodes: under a lock, whole or not at all, going on where a death stopped it.

Rows are appended to the columns in `FOLDER/.<key>.partial`; each `SYNC_BYTES` they are flushed to the disk, and then it
is written down how many episodes are in. Whoever comes after a death cuts the files back to that number.
"""

import fcntl
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from store.errors import StoreFull, WindowsRefused
from store.objects import ObjectStore, check_digest, hash_of, room_for, sync_folder
from store.reader import read_camera, read_episode, read_summary
from store.windows.cache import BOUNDS, HEAD_BYTES, HEADER, Cache, file_name, header_of, npy_head, open_cache, row_bytes
from store.windows.view import Body, Column, View, columns_of, rows_of, tracks_of

SYNC_BYTES = 256 << 20
PROGRESS = "progress.json"

Progress = Callable[[int, int], None]


def build_cache(
    objects: ObjectStore,
    digests: Sequence[str],
    folder: Path,
    view: View | None = None,
    *,
    progress: Progress | None = None,
    sync_bytes: int = SYNC_BYTES,
) -> Cache:
    """Return the cache of these episodes in this order, made now unless it is there already.

    Of several processes that ask at a time one builds and the others wait.

    Args:
        objects: Where the episodes are.
        digests: Their hashes, such as of a data set's version.
        folder: Of caches; made if missing.
        view: What to take of the episodes; None: all numbers, as recorded.
        progress: Is told how many episodes are in, of how many.
        sync_bytes: How much may be to do again after a death.

    Raises:
        WindowsRefused: No episode, or one that does not fit the first; names it.
        ObjectNotFound, BrokenEpisode: An episode is missing or damaged.
        BrokenCache: The cache is there and damaged.
        StoreFull: No room; what was written so far is removed, as it is where episodes do not fit.
    """
    if not digests:
        raise WindowsRefused("episodes: none; a cache is of one at least")
    first = read_summary(objects.path_of(check_digest(digests[0]))).header
    view = (view or View()).for_body(first)
    body = Body.of(first, view)
    key = view.key(digests)
    place = folder / key
    if (place / HEADER).is_file():
        return open_cache(place)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(folder / f".{key}.lock"):
        if (place / HEADER).is_file():
            return open_cache(place)
        partial = folder / f".{key}.partial"
        try:
            with room_for(f"cache {place}"):
                partial.mkdir(mode=0o700, exist_ok=True)
                episodes = _fill(partial, objects, list(digests), view, body, progress, sync_bytes)
                _seal(partial, header=lambda hashes: header_of(view, body, view.methods(first), key, episodes, hashes))
                os.rename(partial, place)
                sync_folder(folder)
        except (StoreFull, WindowsRefused):
            # A full disk stops recorders as well: room is worth more than what would be to do again. And episodes that
            # do not fit each other never will: nobody comes back for what was written of them.
            shutil.rmtree(partial, ignore_errors=True)
            raise
    return open_cache(place)


def _fill(
    partial: Path,
    objects: ObjectStore,
    digests: list[str],
    view: View,
    body: Body,
    progress: Progress | None,
    sync_bytes: int,
) -> list[dict[str, str]]:
    """Append what is missing of the episodes. Returns what the header says of each."""
    columns = columns_of(view, body)
    tracks = tracks_of(columns)
    index = Column(BOUNDS, BOUNDS, "<i8", len(tracks))
    done, edges = _standing(partial, columns, index, len(digests))
    episodes = [_said(digest, objects, view, body) for digest in digests[:done]]
    with ExitStack() as stack:
        files = {}
        for column in (*columns, index):
            path = partial / file_name(column.name)
            if done:
                # What came after the last flush may be torn.
                os.truncate(path, _size_bytes(column, tracks, done, edges))
            else:
                path.write_bytes(bytes(HEAD_BYTES))
            files[column.name] = stack.enter_context(open(path, "ab"))
        if not done:
            files[BOUNDS].write(edges.tobytes())
        waiting_bytes = 0
        for number in range(done, len(digests)):
            episodes.append(_said(digests[number], objects, view, body))
            path = objects.path_of(digests[number])
            episode = read_episode(path, sha256=digests[number])
            cameras = {name: read_camera(path, name) for name in view.cameras}
            rows_by = rows_of(view, body, episode, cameras, dict(zip(tracks, map(int, edges), strict=True)))
            counts = dict.fromkeys(tracks, 0)
            for column in columns:
                values = np.ascontiguousarray(rows_by[column.name], column.dtype)
                files[column.name].write(values.data if values.size else b"")
                counts[column.track] = len(values)
                waiting_bytes += values.nbytes
            edges = edges + np.array(list(counts.values()), np.int64)
            files[BOUNDS].write(edges.tobytes())
            if waiting_bytes >= sync_bytes:
                _write_down(partial, files, number + 1)
                waiting_bytes = 0
            if progress is not None:
                progress(number + 1, len(digests))
        _write_down(partial, files, len(digests))
        for column in (*columns, index):
            with open(partial / file_name(column.name), "r+b") as file:
                file.write(npy_head(column, _rows(column, tracks, len(digests), edges)))
    return episodes


def _said(digest: str, objects: ObjectStore, view: View, body: Body) -> dict[str, str]:
    summary = read_summary(objects.path_of(digest))
    body.check(summary.header, view)
    header, outcome = summary.header, summary.outcome
    return {"sha256": digest, "name": header.name, "task": header.task, "outcome": outcome.status.value}


def _standing(partial: Path, columns: Sequence[Column], index: Column, count: int) -> tuple[int, np.ndarray]:
    """Return how many of `count` episodes are surely in, and where each track ends; none if a file has less."""
    try:
        done = json.loads((partial / PROGRESS).read_bytes())["episodes"]
        if type(done) is not int or not 0 <= done <= count:
            raise ValueError(f"{done!r} of {count} episodes")
        with open(partial / file_name(BOUNDS), "rb") as file:
            file.seek(HEAD_BYTES + done * row_bytes(index))
            edges = np.frombuffer(file.read(row_bytes(index)), np.int64)
        if len(edges) == index.width and (edges >= 0).all():
            tracks = tracks_of(columns)
            sizes = {file_name(c.name): _size_bytes(c, tracks, done, edges) for c in (*columns, index)}
            if all((partial / name).stat().st_size >= size_bytes for name, size_bytes in sizes.items()):
                return done, edges
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        # Whatever it says, it is not what was written down: it begins anew.
        pass
    return 0, np.zeros(index.width, np.int64)


def _rows(column: Column, tracks: list[str], done: int, edges: np.ndarray) -> int:
    return done + 1 if column.name == BOUNDS else int(edges[tracks.index(column.track)])


def _size_bytes(column: Column, tracks: list[str], done: int, edges: np.ndarray) -> int:
    return HEAD_BYTES + _rows(column, tracks, done, edges) * row_bytes(column)


def _write_down(partial: Path, files: Mapping[str, BinaryIO], episodes: int) -> None:
    """Flush the columns, then say how many episodes are in them."""
    for file in files.values():
        file.flush()
        os.fsync(file.fileno())
    fresh = partial / f"{PROGRESS}.new"
    with open(fresh, "w") as said:
        json.dump({"episodes": episodes}, said)
        said.flush()
        os.fsync(said.fileno())
    fresh.rename(partial / PROGRESS)
    sync_folder(partial)


def _seal(partial: Path, *, header: Callable[[dict[str, Any]], bytes]) -> None:
    """Hash the columns, write the header, and flush everything to the disk."""
    hashes: dict[str, Any] = {}
    for path in sorted(partial.glob("*.npy")):
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
            shape, _, _ = np.lib.format.read_array_header_1_0(file)
            file.seek(0)
            hashes[path.name.removesuffix(".npy")] = {"rows": shape[0], "sha256": hash_of(file)}
            os.fsync(file.fileno())
    with open(partial / HEADER, "wb") as target:
        target.write(header(hashes))
        target.flush()
        os.fsync(target.fileno())
    (partial / PROGRESS).unlink()
    sync_folder(partial)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with this process. The file stays: who waits for it holds the same one."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
