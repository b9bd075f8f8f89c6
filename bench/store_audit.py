"""What the audit of sharing costs: notes on the disk by many at once, and proofs in large trees.

`events_per_s`: notes a second of `THREADS` threads, each durable before the next of its own; `ratio_to_fsync`: over
how many appended blocks a second the disk takes one after the other, in turns, which a shared commit may exceed.
`proof_ms_p50` and `proof_ms_p99`: an inclusion proof in the largest tree of `SIZES`, made and checked, of leaves
that are drawn at random.
"""

import hashlib
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from palaestra import merkle
from sharing.audit.log import Log
from sharing.clock import Clock
from sharing.database import Database

PICTURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "store-audit.png"
THREADS, SECONDS, TURNS = 64, 1.0, 5
SIZES = (1_000, 10_000, 100_000, 1_000_000)
PROOFS = 500
FIELDS: dict[str, str | int] = {
    "provider": "vendors/aurora",
    "consumer": "vendors/borealis",
    "about": "file-1",
    "allowed": 1,
}


def run() -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as name, _log(Path(name)) as (log, _):
        _noted(log, SECONDS / 4)
        turns = [(_noted(log, SECONDS), _synced(Path(name) / "bare", SECONDS / 2)) for _ in range(TURNS)]
    growth = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            growth.append({"leaves": size, **_proofs(Path(name), size)})
    _draw(growth)
    return {
        "threads": THREADS,
        "events_per_s": round(statistics.median(one for one, _ in turns)),
        "fsync_per_s": round(statistics.median(one for _, one in turns)),
        "ratio_to_fsync": round(statistics.median(one / other for one, other in turns), 2),
        "proof_ms_p50": growth[-1]["proof_ms_p50"],
        "proof_ms_p99": growth[-1]["proof_ms_p99"],
        "growth": growth,
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
    }


@contextmanager
def _log(folder: Path) -> Iterator[tuple[Log, Database]]:
    database = Database(folder / "sharing.db")
    log = Log(database, Ed25519PrivateKey.generate(), Clock(), folder / "audit.lock")
    try:
        yield log, database
    finally:
        log.close()
        database.close()


def _noted(log: Log, seconds: float) -> float:
    """Return how many notes a second come on the disk."""
    before, until_s = log.size, time.perf_counter() + seconds

    def work() -> None:
        while time.perf_counter() < until_s:
            log.note("decision", FIELDS)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    begun_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (log.size - before) / (time.perf_counter() - begun_s)


def _synced(path: Path, seconds: float) -> float:
    """Return how many appended blocks a second come on the disk, one after the other."""
    count, begun_s = 0, time.perf_counter()
    with path.open("ab", buffering=0) as file:
        while time.perf_counter() < begun_s + seconds:
            file.write(bytes(512))
            os.fdatasync(file.fileno())
            count += 1
    return count / (time.perf_counter() - begun_s)


def _proofs(folder: Path, size: int) -> dict[str, float]:
    """Return times of proofs in a tree that is put into the file at once, as the log would have it."""
    database = Database(folder / "sharing.db")
    leaves = [hashlib.sha256(number.to_bytes(8, "big")).digest() for number in range(size)]
    tree = merkle.Frontier()
    nodes: list[tuple[int, int, bytes]] = []
    for leaf in leaves:
        nodes += tree.append(leaf)
    with database.transaction() as db:
        db.executemany("INSERT INTO audit_leaf VALUES (?, '{}', ?)", enumerate(leaves))
        db.executemany("INSERT INTO audit_node VALUES (?, ?, ?)", nodes)
    log = Log(database, Ed25519PrivateKey.generate(), Clock(), folder / "audit.lock")
    times_ms = []
    for index in np.random.default_rng(size).integers(0, size, PROOFS).tolist():
        begun_s = time.perf_counter()
        proof = log.inclusion(index, size)
        merkle.check_inclusion(leaves[index], index, size, proof, tree.root())
        times_ms.append(1e3 * (time.perf_counter() - begun_s))
    log.close()
    database.close()
    p50, p99 = np.percentile(times_ms, [50, 99])
    return {"proof_ms_p50": round(float(p50), 3), "proof_ms_p99": round(float(p99), 3)}


def _draw(growth: list[dict[str, float]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.4), layout="constrained")
    for name in ("proof_ms_p50", "proof_ms_p99"):
        axes.plot([one["leaves"] for one in growth], [one[name] for one in growth], "o-", label=name[-3:])
    axes.axhline(1.0, color="0.6", linestyle=":", label="bar")
    axes.set(xscale="log", xlabel="leaves", ylabel="proof made and checked [ms]", ylim=(0, None))
    axes.legend(frameon=False)
    figure.savefig(PICTURE, dpi=120)
    pyplot.close(figure)
