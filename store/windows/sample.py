"""Random windows from a cache: which come when, and cutting them out.

    windows = Windows(cache, {"observation.state": range(-15, 1), "action": range(64)}, batch_size=256, seed=7)
    for batch in windows.batches(epoch=0):
        batch["action"]         # (256, 64, joints)
        batch["action_is_pad"]  # (256, 64), True where the window leaves its episode

Each step of each episode is the anchor of one window of an epoch. The order follows from seed and epoch alone; ranks
and workers take turns at its batches, so that who reads them and how many there are changes no batch.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from store.camera import IMAGE_PREFIX
from store.errors import WindowsRefused
from store.windows.buffers import Buffers
from store.windows.cache import Cache
from store.windows.frames import Frames
from store.windows.horizon import checked_horizon, horizon_of
from store.windows.order import places
from store.windows.view import AT, STEPS, VALID

PAD = "_is_pad"
"""Behind a signal's name: its mask. The name is LeRobot's."""
CHUNK_BYTES = 1 << 18
Batch = dict[str, np.ndarray]


class Windows:
    """Windows of one shape. Holds no state of a walk through it, so any number of those may be under way."""

    def __init__(
        self,
        cache: Cache,
        horizon: Mapping[str, Sequence[int]] | None = None,
        *,
        delta_timestamps: Mapping[str, Sequence[float]] | None = None,
        batch_size: int = 256,
        seed: int = 0,
        whole: bool = False,
        drop_last: bool = False,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """Take exactly one of the two kinds of offsets.

        Args:
            cache: What to cut from.
            horizon: For each signal or camera the offsets from the anchor, in steps; of streams in a cache of raw rows,
                in rows of the stream, from its last one at or before the anchor on.
            delta_timestamps: The same in seconds, of a cache of even steps.
            whole: Only windows that lie within their episodes, with all the rows that they ask of streams and cameras.
            drop_last: Leave out the last batch of an epoch if it is not full.
            rank, ranks: Which of so many takers this is: of batch `rank`, `rank + ranks`, ... All take equally many.

        Raises:
            WindowsRefused: Names what is wrong.
        """
        if (horizon is None) == (delta_timestamps is None):
            raise WindowsRefused("horizon and delta_timestamps: exactly one of them")
        for name, value, least in (("batch_size", batch_size, 1), ("ranks", ranks, 1), ("rank", rank, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise WindowsRefused(f"{name}: {value!r}: a whole number from {least}")
        if rank >= ranks:
            raise WindowsRefused(f"rank: {rank}: below ranks, {ranks}")
        if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**63:
            raise WindowsRefused(f"seed: {seed!r}: a whole number from 0 to 2**63 - 1")
        if delta_timestamps is not None:
            horizon = horizon_of(cache, delta_timestamps)
        self.cache, self.batch_size, self.seed = cache, batch_size, seed
        self.whole, self.drop_last, self.rank, self.ranks = whole, drop_last, rank, ranks
        self.horizon = checked_horizon(cache, horizon or {})
        self._buffers = Buffers()
        self._frames = {name: Frames(cache, name) for name in self.horizon if name in cache.body.cameras}
        # Anchors of an episode are one run of steps; which run a window is of, its number tells.
        edges = cache.bounds()
        steps = [offsets for name, offsets in self.horizon.items() if self._track(name) == STEPS] if whole else []
        before = max(0, 0, *(-int(offsets.min()) for offsets in steps))
        after = max(0, 0, *(int(offsets.max()) for offsets in steps))
        self._first, last = edges[:-1] + before, edges[1:] - after
        for name in self.horizon:
            if whole and self._track(name) != STEPS:
                first, end = self._with_all_rows(name)
                self._first, last = np.maximum(self._first, first), np.minimum(last, end)
        counts = np.maximum(last - self._first, 0)
        self._counts = np.concatenate([[0], np.cumsum(counts)])
        if not len(self):
            asked = [0, *(int(offset) for offsets in self.horizon.values() for offset in offsets)]
            raise WindowsRefused(f"horizon: from {min(asked)} to {max(asked)}: no episode is as long")
        if not self.batch_count:
            # Else each epoch would end at once, and training with it, without having seen anything.
            raise WindowsRefused(
                f"{len(self)} windows in batches of {batch_size} for {ranks} ranks: fewer batches than ranks"
                + (", the last one being left out" if drop_last and len(self) % batch_size else "")
            )
        self._views = {name: _runs(cache.column(name), offsets) for name, offsets in self.horizon.items()
                       if name not in self._frames}  # fmt: skip

    def __len__(self) -> int:
        """How many windows an epoch of all ranks has."""
        return int(self._counts[-1])

    @property
    def batch_count(self) -> int:
        """How many batches an epoch has for this rank."""
        whole, rest = divmod(len(self), self.batch_size)
        total = whole + (1 if rest and not self.drop_last else 0)
        # A rank that had one more would wait for the others for ever.
        return total // self.ranks

    def shard(self, rank: int, ranks: int) -> "Windows":
        """Return the same windows as one of several takers gets them."""
        horizon = {name: offsets.tolist() for name, offsets in self.horizon.items()}
        return Windows(
            self.cache, horizon, batch_size=self.batch_size, seed=self.seed, whole=self.whole,
            drop_last=self.drop_last, rank=rank, ranks=ranks,
        )  # fmt: skip

    def stream(self, *, epoch: int = 0, start: int = 0) -> Any:
        """Return `store.windows.loader.WindowStream`: batches as tensors, for a DataLoader with `batch_size=None`.

        Raises WindowsRefused where torch is not installed.
        """
        return _loader().WindowStream(self, epoch=epoch, start=start)

    def by_number(self) -> Any:
        """Return `store.windows.loader.WindowSet`: windows by number, for samplers of torch's own."""
        return _loader().WindowSet(self)

    def ray(self, *, epoch: int = 0) -> Any:
        """Return an epoch as a `ray.data.Dataset`, see `store.windows.ray_data`."""
        return import_module("store.windows.ray_data").ray_dataset(self, epoch=epoch)

    def batches(self, epoch: int = 0, *, start: int = 0, worker: int = 0, workers: int = 1) -> Iterator[Batch]:
        """Yield the batches of an epoch from number `start` on; of them every `workers`-th, `worker` first."""
        for number in range(start + worker, self.batch_count, workers):
            yield self.batch(number, epoch)

    def batch(self, number: int, epoch: int = 0) -> Batch:
        """Return one batch of an epoch; where it comes from is a matter of seed, epoch and number alone."""
        if not 0 <= number < self.batch_count:
            raise IndexError(f"batch {number} of {self.batch_count}")
        begin = (number * self.ranks + self.rank) * self.batch_size
        at = np.arange(begin, min(begin + self.batch_size, len(self)))
        return self.take(places(len(self), at, seed=self.seed, epoch=epoch))

    def __getitem__(self, number: int) -> Batch:
        """Return window `number` in the order of the episodes and steps, without the axis of batches."""
        if not -len(self) <= number < len(self):
            raise IndexError(f"window {number} of {len(self)}")
        return {name: values[0] for name, values in self.take(np.array([number % len(self)])).items()}

    def take(self, numbers: np.ndarray) -> Batch:
        """Return windows by their numbers in the order of the episodes.

        Returns:
            For each signal of the horizon its values, (batch, length, width), and its mask `<signal>_is_pad`, bool,
            (batch, length): True where the window leaves its episode or a stream has nothing to tell; values there are
            the nearest row of the episode, zeros where it has none. Frames are uint8 (batch, length, height, width, 3),
            or float32 (batch, length, height, width) [m]. `episode_index`, `step_index` within the episode, int64, and
            `time_s`, float64, of the anchors, (batch,).
        """
        numbers = np.asarray(numbers, np.int64)
        if numbers.ndim != 1 or (numbers.size and not 0 <= numbers.min() <= numbers.max() < len(self)):
            raise IndexError(f"windows {str(numbers)[:100]} of {len(self)}")
        episodes = np.searchsorted(self._counts, numbers, side="right") - 1
        anchors = self._first[episodes] + numbers - self._counts[episodes]
        edges = self.cache.bounds()
        batch: Batch = {}
        for name, offsets in self.horizon.items():
            if name in self._frames:
                batch |= self._pictures(name, offsets, anchors, episodes)
            else:
                batch[name], batch[name + PAD] = self._values(name, offsets, anchors, episodes)
        batch["episode_index"] = episodes
        batch["step_index"] = anchors - edges[episodes]
        batch["time_s"] = self.cache.column("time_s")[anchors]
        return batch

    def _track(self, name: str) -> str:
        """Return whose rows the offsets of a signal or camera count."""
        track = IMAGE_PREFIX + name if name in self._frames else name
        own = name in self._frames or "stream" in self.cache.body.signals[name]
        return track if own and self.cache.view.rate_hz is None else STEPS

    def _with_all_rows(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Return of each episode the first step, and the one after the last, whose rows of a stream are all there."""
        track, offsets, steps = self._track(name), self.horizon[name], self.cache.bounds()
        at, rows = self.cache.column(track + AT), self.cache.bounds(track)
        first, end = steps[:-1].copy(), steps[1:].copy()
        for episode in range(len(first)):
            wanted = rows[episode] - offsets.min(), rows[episode + 1] - offsets.max()
            begins, ends = np.searchsorted(at[steps[episode] : steps[episode + 1]], wanted)
            first[episode], end[episode] = steps[episode] + begins, steps[episode] + ends
        return first, end

    def _values(
        self, name: str, offsets: np.ndarray, anchors: np.ndarray, episodes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        cache, raw = self.cache, self.cache.view.rate_hz is None and "stream" in self.cache.body.signals[name]
        edges = cache.bounds(name if raw else STEPS)
        begin, end = edges[episodes], edges[episodes + 1]
        if raw:
            # The file may say anything; rows stay within the episode all the same.
            anchors = np.clip(cache.column(name + AT)[anchors], begin - 1, end - 1)
        column = cache.column(name)
        pad = _outside(anchors, offsets, begin, end)
        edge = np.flatnonzero(pad.any(axis=1))
        view, reach = self._views[name]
        if view is None or not len(view):
            rows = np.clip(anchors[:, None] + offsets, begin[:, None], np.maximum(end, begin + 1)[:, None] - 1)
            values = _rows(column, rows)
        else:
            values = self._buffers.take((len(anchors), len(offsets), column.shape[1]), column.dtype)
            flat, starts = values.reshape(len(anchors), -1), np.clip(anchors + reach, 0, len(view) - 1)
            # Indexing makes an array of its own: small ones stay in the processor's cache.
            share = max(1, CHUNK_BYTES // max(1, flat[:1].nbytes))
            for first in range(0, len(starts), share):
                flat[first : first + share] = view[starts[first : first + share]]
            if edge.size:
                rows = anchors[edge, None] + offsets
                nearest = np.clip(rows, begin[edge, None], np.maximum(end, begin + 1)[edge, None] - 1)
                values[edge] = _rows(column, nearest)
        if raw:
            values[begin == end] = 0
        elif "stream" in cache.body.signals[name]:
            steps = np.clip(anchors[:, None] + offsets, begin[:, None], end[:, None] - 1)
            pad |= ~cache.column(name + VALID)[steps]
        return values, pad

    def _pictures(self, name: str, offsets: np.ndarray, anchors: np.ndarray, episodes: np.ndarray) -> Batch:
        cache, track = self.cache, IMAGE_PREFIX + name
        edges, steps = cache.bounds(track), cache.bounds()
        begin, end = edges[episodes][:, None], edges[episodes + 1][:, None]
        at = cache.column(track + AT)
        if cache.view.rate_hz is None:
            rows = at[anchors][:, None] + offsets
            pad = np.zeros(rows.shape, bool)
        else:
            low, high = steps[episodes][:, None], steps[episodes + 1][:, None]
            wanted = anchors[:, None] + offsets
            pad = (wanted < low) | (wanted >= high)
            rows = at[np.clip(wanted, low, high - 1)]
        pad |= (rows < begin) | (rows >= end)
        frames = self._frames[name].read(np.clip(rows, begin, np.maximum(end, begin + 1) - 1), begin[:, 0] == end[:, 0])
        return {track: frames, track + PAD: pad}


def _loader() -> Any:
    try:
        return import_module("store.windows.loader")
    except ImportError as error:
        raise WindowsRefused(f"torch is not installed here ({error}); `batches` needs none") from error


def _outside(anchors: np.ndarray, offsets: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return which steps of the windows lie outside the episodes, (batch, length)."""
    low, high = (begin - anchors)[:, None], (end - anchors)[:, None]
    outside: np.ndarray = (offsets < low) | (offsets >= high)
    return outside


def _runs(column: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray | None, int]:
    """Return the column seen as all its runs of the window's length, overlapping, and where a window's begins.

    None where the offsets are no run: such windows are gathered row by row.
    """
    length, first = len(offsets), int(offsets[0])
    if length > len(column) or column.ndim != 2 or (np.diff(offsets) != 1).any():
        return None, 0
    rows, width = column.shape
    step = column.strides[0]
    shape, strides = (rows - length + 1, length * width), (step, column.strides[1])
    return np.lib.stride_tricks.as_strided(column, shape, strides, writeable=False), first


def _rows(column: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows of a column, zeros if it has none."""
    if not len(column):
        return np.zeros((*rows.shape, *column.shape[1:]), column.dtype)
    taken: np.ndarray = column[np.minimum(rows, len(column) - 1)]
    return taken
