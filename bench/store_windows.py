"""Random 64-step windows of state and action that one core cuts in a second, against other loaders of the same rows.

Episodes are two seconds of a humanoid of 29 joints at 500 Hz, sealed, then brought into a cache of windows. All cut
the same shape: both signals, 64 steps from a random row on. Our own figure is of whole batches as a training loop gets
them, order and masks included, warm, by processor time, the median over turns; peers take turns with it and their
figures are by the same clock. `ratio_to_lerobot` is the median of the ratios of turns, null where LeRobot is not
installed. `scaling` is the same for caches of fewer and more episodes.
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench.store_ingest import RATE_HZ, record, walk
from bench.window_peers import LENGTH, SIGNALS, check, peers
from store import LocalObjects
from store.windows import View, Windows, build_cache

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "store-windows.png"
BAR_WINDOWS_PER_S = 50_000
BAR_RATIO = 100
ROWS, EPISODES = 1000, (5, 10, 30, 100)
BATCH = 256
TURNS, TURN_S = 7, 0.1


def run(
    turns: int = TURNS, counts: tuple[int, ...] = EPISODES, turn_s: float = TURN_S, *, picture: Path | None = PICTURE
) -> dict[str, Any]:
    """Measure, and draw the scaling."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    folder = Path(tempfile.mkdtemp(prefix="store-windows-"))
    try:
        objects = LocalObjects(folder / "objects")
        for seed in range(max(counts)):
            record(objects, folder / "spool", *walk(ROWS, seed))
        digests, view = list(objects.digests()), View(SIGNALS)
        begin_s = time.process_time()
        caches = {count: build_cache(objects, digests[:count], folder / "cache", view) for count in counts}
        built_s = time.process_time() - begin_s
        walks = {count: _walk(Windows(cache, dict.fromkeys(SIGNALS, range(LENGTH)), batch_size=BATCH, seed=1))
                 for count, cache in caches.items()}  # fmt: skip
        middle = caches[counts[len(counts) // 2]]
        cuts = peers(middle, objects, folder, RATE_HZ)
        first = _starts(middle.bounds(), 16, seed=0)
        check(cuts, first, {signal: _slow(middle.column(signal), first) for signal in SIGNALS})
        contestants: dict[str, Callable[[], int]] = {f"ours {count}": walk for count, walk in walks.items()}
        for name, cut in cuts.items():
            contestants[name] = _cutting(cut, middle.bounds())
        rates: dict[str, list[float]] = {name: [] for name in contestants}
        for turn in range(turns + 1):
            for name, act in contestants.items():
                rate = _rate_per_s(act, turn_s)
                if turn:
                    rates[name].append(rate)
        size_mb = sum(cache.size_bytes for cache in caches.values()) / 1e6
    finally:
        shutil.rmtree(folder)
    ours = rates[f"ours {counts[len(counts) // 2]}"]
    scaling = [
        {"episodes": count, "windows_per_s": round(statistics.median(rates[f"ours {count}"]))} for count in counts
    ]
    told = {name: round(statistics.median(rates[name])) for name in cuts}
    if picture is not None:
        draw(scaling, told, picture)
    return {
        "windows_per_s": round(statistics.median(ours)),
        "best_windows_per_s": round(max(ours)),
        "bar_windows_per_s": BAR_WINDOWS_PER_S,
        "mb_per_s": round(statistics.median(ours) * _window_bytes(middle) / 1e6),
        **{f"{name}_windows_per_s": rate for name, rate in told.items()},
        **{f"ratio_to_{name}": round(_ratio(ours, rates[name]), 1) for name in cuts if name != "lerobot"},
        "ratio_to_lerobot": round(_ratio(ours, rates["lerobot"]), 1) if "lerobot" in cuts else None,
        "bar_ratio": BAR_RATIO,
        "build_mb_per_s": round(size_mb / built_s, 1),
        "scaling": scaling,
        "turns": turns,
    }


def draw(scaling: list[dict[str, int]], peers: dict[str, int], path: Path) -> None:
    """Draw windows a second against episodes."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 3.8), layout="constrained")
    episodes = [row["episodes"] for row in scaling]
    axes.plot(episodes, [row["windows_per_s"] for row in scaling], "o-", label="Palaestra's cache")
    axes.axhline(BAR_WINDOWS_PER_S, color="tab:red", linewidth=0.8)
    axes.text(episodes[-1], BAR_WINDOWS_PER_S, "bar", color="tab:red", fontsize=8, va="bottom", ha="right")
    for number, (name, rate) in enumerate(sorted(peers.items(), key=lambda row: -row[1])):
        axes.axhline(rate, color="grey", linestyle=":", linewidth=0.9)
        # Left and right by turns: some are as fast as the next.
        axes.text(episodes[number % 2], rate, name, color="dimgrey", fontsize=8, va="bottom")
    axes.set(xscale="log", yscale="log", xlabel="episodes of 1,000 steps", ylabel="windows/s of one core")
    axes.set_xticks(episodes, [f"{count:g}" for count in episodes])
    axes.minorticks_off()
    axes.legend(frameon=False, loc="lower right")
    axes.set_title("Random windows of 64 steps, state and action of 29 joints", fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _walk(windows: Windows) -> Callable[[], int]:
    """Return what takes the next batch of an endless walk, and how many windows that was."""

    def batches() -> Any:
        epoch = 0
        while True:
            yield from windows.batches(epoch)
            epoch += 1

    walk = batches()
    return lambda: len(next(walk)["episode_index"])


def _cutting(cut: Any, edges: np.ndarray) -> Callable[[], int]:
    seeds = iter(range(10**9))

    def act() -> int:
        first = _starts(edges, 16, seed=next(seeds))
        cut(first)
        return len(first)

    return act


def _starts(edges: np.ndarray, count: int, *, seed: int) -> np.ndarray:
    """Return rows at random of which windows stay within their episodes."""
    rng = np.random.default_rng(seed)
    episodes = rng.integers(0, len(edges) - 1, count)
    rows: np.ndarray = edges[episodes] + rng.integers(0, edges[episodes + 1] - edges[episodes] - LENGTH)
    return rows


def _slow(column: np.ndarray, first: np.ndarray) -> np.ndarray:
    return np.stack([column[row : row + LENGTH] for row in first])


def _window_bytes(cache: Any) -> int:
    return sum(LENGTH * cache.column(signal)[0].nbytes for signal in SIGNALS)


def _ratio(ours: list[float], theirs: list[float]) -> float:
    return statistics.median(own / other for own, other in zip(ours, theirs, strict=True))


def _rate_per_s(act: Callable[[], int], least_s: float) -> float:
    """Return windows a second of processor time of all threads."""
    act()
    done, begin_s = 0, time.process_time()
    while True:
        done += act()
        took_s = time.process_time() - begin_s
        if took_s >= least_s:
            return done / took_s
