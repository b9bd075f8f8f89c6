"""What the venue itself finds in recordings: asked of a confined process, in portions."""

import base64
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sharing.credits.sketch import Sketch
from sharing.projection.process import run
from sharing.projection.sources import Source, told_of
from store.episode import MAX_VALUES
from store.errors import StoreError
from store.imports.confine import Limits
from store.objects import ObjectStore

LIMITS = Limits(memory_bytes=6 << 30, cpu_s=1800, time_s=3600.0)
PORTION = 100
"""Recordings that one process measures; their sketches are all that it answers with."""


@dataclass(frozen=True)
class Measured:
    """What was found in a recording. `sketch` is None, and all else empty, for one that cannot be read."""

    sha256: str
    sketch: Sketch | None = None
    duration_ms: int = 0
    quality_ppm: int = 0
    model: str = ""
    scenario: str = ""
    imported: bool = False


def measure(sources: Sequence[Source], objects: ObjectStore, *, limits: Limits = LIMITS) -> Iterator[Measured]:
    """Yield what is found in each recording, in order. Raises NotReleasable for a process that gives no answer."""
    for first in range(0, len(sources), PORTION):
        some = sources[first : first + PORTION]
        told: dict[str, dict[str, str]] = {}
        for source in some:
            try:
                told[source.sha256] = told_of(objects, source.sha256)
            except StoreError:
                # Removed, or never there: nothing is earned with it.
                continue
        said = dict(zip(told, _asked(list(told.values()), limits), strict=True)) if told else {}
        for source in some:
            yield measured_of(source.sha256, said.get(source.sha256, {"unreadable": "gone"}))


def _asked(episodes: list[dict[str, str]], limits: Limits) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as work:
        told = {"episodes": episodes, "work": work, "max_values": MAX_VALUES, "limits": asdict(limits)}
        found: list[dict[str, Any]] = run(told, limits, module="sharing.credits.worker")["episodes"]
        return found


def measured_of(sha256: str, said: dict[str, Any]) -> Measured:
    """Return what the process said of a recording, within its bounds."""
    if "unreadable" in said:
        return Measured(sha256)
    data = {name: base64.b64decode(said[name]) for name in ("path", "residual", "recorded")}
    joints = int(said["joints"])
    sketch = Sketch(
        path_from(data["path"], joints), np.frombuffer(data["residual"], "<f4"), np.frombuffer(data["recorded"], bool)
    )
    return Measured(
        sha256,
        sketch,
        max(0, int(said["duration_ms"])),
        min(1_000_000, max(0, int(said["quality_ppm"]))),
        str(said["model"])[:200],
        str(said["scenario"])[:200],
        bool(said["imported"]),
    )


def path_from(data: bytes, joints: int) -> np.ndarray:
    """Return a path, shape (bins, joints), of its bytes."""
    return np.frombuffer(data, "<f4").reshape(-1, joints)
