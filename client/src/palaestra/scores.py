"""Scores into a store's catalogue: `score_store`, on the venue's machine.

The checks are the store's and the file is the catalogue's: each runs as a process of its own, and needs
`palaestra-server` on this machine. A scheduler may be using the catalogue at the same time.
"""

import importlib.util
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.imports import catalogue_of, run

METHOD = "palaestra-quality/3"
"""The store's own, which a test compares."""
REVIEW = "review"
"""The label of what is to be looked at, "open"; whoever has looked sets another value, which then stands."""
FAULT = "fault."
"""Before the kind of what was found, as "fault.gap" = "3": so many of them."""
BATCH = 50
"""Episodes whose scores are on the disk before the next ones are read: a death costs no more than these."""


@dataclass(frozen=True)
class Scored:
    """What scoring came to.

    Attributes:
        changed: Episodes whose score or labels are other than before.
        review: Names' last parts of those whose quality, or a part of it, is below what was asked.
        refused: Those that could not be read, and why.
    """

    changed: int
    review: tuple[str, ...]
    refused: Mapping[str, str] = field(default_factory=dict)


def score_store(
    store: str | Path,
    *,
    review_below: float = 0.5,
    parts_below: Mapping[str, float] | None = None,
    limit: int | None = None,
    twin: bool | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Scored:
    """Score what has no score yet, oldest first, and put what is low up for review.

    Args:
        store: The store's folder, of a venue `store` in its data.
        review_below: A quality below this gets the label "review" = "open", unless it has a "review" already.
        parts_below: The same by the name of a part, as {"timing": 0.3}.
        limit: At most so many.
        twin: Whether each is also run again in its twin, which is a part of the score where that is possible, and gives
            the joints' limits; None: where the venue's simulator is installed.
        progress: Called with (done, of how many).

    Raises:
        PalaestraError: INVALID_FIELD where the catalogue cannot be used, or the store is not installed.
    """
    place = catalogue_of(store)
    wanted = [json.loads(line) for line in run(["-m", "catalogue", "unscored", place, METHOD]).splitlines()][:limit]
    if twin is None:
        twin = importlib.util.find_spec("runner") is not None
    changed, review, refused = 0, [], {}
    for begin in range(0, len(wanted), BATCH):
        portion = wanted[begin : begin + BATCH]
        found = _looked_at(Path(store) / "objects", portion, twin)
        lines = []
        for one in portion:
            said = found[one["sha256"]]
            if "refused" in said:
                refused[one["uid"]] = said["refused"]
                continue
            labels = {f"{FAULT}{kind}": str(n) for kind, n in _counted(said).items()}
            if is_low(said["score"], said["parts"], review_below, parts_below or {}):
                labels = {REVIEW: "open", **labels}
                review.append(one["uid"])
            lines.append({"uid": one["uid"], "quality": said["score"], "parts": said["parts"], "labels": labels})
        given = "".join(json.dumps(line) + "\n" for line in lines).encode()
        changed += int(run(["-m", "catalogue", "score", place, METHOD], given))
        if progress is not None:
            progress(begin + len(portion), len(wanted))
    return Scored(changed, tuple(review), refused)


def is_low(quality: float, parts: Mapping[str, float], review_below: float, parts_below: Mapping[str, float]) -> bool:
    """Return whether a quality of 0 to 1, or one of its parts, is below its bound. A part that is not there is not."""
    return quality < review_below or any(parts.get(name, 1.0) < least for name, least in parts_below.items())


def _looked_at(objects: Path, portion: Sequence[Mapping[str, str]], twin: bool) -> dict[str, Any]:
    """Return what the store says of each object, by its hash."""
    files = {str(objects / "sha256" / one["sha256"][:2] / one["sha256"]): one["sha256"] for one in portion}
    with tempfile.NamedTemporaryFile(prefix="palaestra-twin-") as replays:
        command = ["-m", "store", "score", "--each"]
        if twin:
            replays.write(run(["-m", "runner.replay.measure", *files]))
            replays.flush()
            command += ["--twin", replays.name]
        said = [json.loads(line) for line in run([*command, *files]).splitlines()]
    return {files[one["file"]]: one for one in said if "file" in one}


def _counted(said: Mapping[str, Any]) -> Counter[str]:
    return Counter(finding["kind"] for step in said["steps"] for finding in step["findings"])
