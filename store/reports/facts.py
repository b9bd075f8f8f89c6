"""What the catalogue knows of the episodes of a data set, counted one by one: nothing grows with their number.

A fact is a line of JSON: `name`, `sha256`, `robot_model`, `maker`, `scenario`, `outcome`, `cause`, `duration_s`,
`rows`, `quality` (or null), `parts`, `labels`.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from store.errors import StoreError

KEYS_MAX = 1_000
"""Different values of one thing that are counted by name; what comes later is counted as `OTHER`."""
OTHER = "(other)"
FAULT = "fault."
LINE_MAX = 1 << 16
BINS = 20
DURATION_EDGES_S = np.logspace(-2, 5, 71)
"""From 10 ms to a day: ten bins for each tenfold."""
_TEXTS = ("robot_model", "maker", "scenario", "outcome", "cause")


class BadFacts(StoreError):
    """A line that is no fact; the message names it."""


@dataclass
class Tally:
    """Counts over all episodes.

    Attributes:
        counts: By thing, `robot_model`, `maker`, `scenario`, `outcome`, `cause` (of what did not succeed), `judged`
            (people's failure causes), `review`, `fault` (episodes that have the kind), `findings` (how many of them).
        by_robot: Outcomes by robot model.
        durations: Episodes by `DURATION_EDGES_S`; what is outside is in the first or last bin.
        quality: Episodes by tenths of tenths, `BINS` from 0 to 1; parts: the same for each part of the score.
        manifest: Hash over the contents' hashes, as a data set's version has it.
    """

    episodes: int = 0
    duration_s: float = 0.0
    rows: int = 0
    unscored: int = 0
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    by_robot: dict[str, Counter[str]] = field(default_factory=dict)
    durations: np.ndarray = field(default_factory=lambda: np.zeros(len(DURATION_EDGES_S) - 1, np.int64))
    quality: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    parts: dict[str, np.ndarray] = field(default_factory=dict)
    _manifest: Any = field(default_factory=hashlib.sha256, repr=False)

    @property
    def manifest_sha256(self) -> str:
        """SHA-256 over the contents' hashes in their order, each with a newline: a version's own."""
        return str(self._manifest.hexdigest())

    def add(self, fact: Mapping[str, Any]) -> None:
        """Count one episode."""
        self.episodes += 1
        self.duration_s += fact["duration_s"]
        self.rows += fact["rows"]
        self._manifest.update(f"{fact['sha256']}\n".encode())
        place = int(np.searchsorted(DURATION_EDGES_S, fact["duration_s"], side="right")) - 1
        self.durations[min(max(place, 0), len(self.durations) - 1)] += 1
        labels = fact["labels"]
        for thing in ("robot_model", "maker", "scenario", "outcome"):
            self._count(thing, fact[thing] or "(none)")
        if fact["outcome"] != "success":
            self._count("cause", fact["cause"] or "(none)")
        if "failure_cause" in labels:
            self._count("judged", labels["failure_cause"])
        if "review" in labels:
            self._count("review", labels["review"])
        for key, value in labels.items():
            if key.startswith(FAULT):
                self._count("fault", key.removeprefix(FAULT))
                self._count("findings", key.removeprefix(FAULT), int(value) if value.isdecimal() else 1)
        model = fact["robot_model"] or "(none)"
        if model not in self.by_robot and len(self.by_robot) >= KEYS_MAX:
            model = OTHER
        self.by_robot.setdefault(model, Counter())[fact["outcome"]] += 1
        if fact["quality"] is None:
            self.unscored += 1
            return
        self.quality[_bin(fact["quality"])] += 1
        for name, value in fact["parts"].items():
            if name in self.parts or len(self.parts) < KEYS_MAX:
                self.parts.setdefault(name, np.zeros(BINS, np.int64))[_bin(value)] += 1

    def _count(self, thing: str, value: str, much: int = 1) -> None:
        counts = self.counts.setdefault(thing, Counter())
        counts[value if value in counts or len(counts) < KEYS_MAX else OTHER] += much

    def top(self, thing: str, most: int = 12) -> list[tuple[str, int]]:
        """Return the most frequent values of a thing, the rest together as `OTHER`."""
        counts = self.counts.get(thing, Counter())
        found = [pair for pair in counts.most_common(most + 1) if pair[0] != OTHER][:most]
        rest = sum(counts.values()) - sum(number for _, number in found)
        return [*found, (OTHER, rest)] if rest else found

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain JSON values."""
        return {
            "episodes": self.episodes,
            "duration_s": self.duration_s,
            "rows": self.rows,
            "unscored": self.unscored,
            "manifest_sha256": self.manifest_sha256,
            "counts": {thing: dict(self.top(thing, 50)) for thing in sorted(self.counts)},
            "outcome_by_robot": {model: dict(self.by_robot[model]) for model in sorted(self.by_robot)[:50]},
            "durations": {"edges_s": DURATION_EDGES_S.tolist(), "episodes": self.durations.tolist()},
            "quality": self.quality.tolist(),
            "parts": {name: bins.tolist() for name, bins in sorted(self.parts.items())},
        }


def _bin(share: float) -> int:
    return min(BINS - 1, max(0, int(share * BINS)))


def read_facts(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the facts of a file, checked, one line in memory at a time. Raises BadFacts with the line's number."""
    with open(path, "rb") as file:
        number = 0
        while line := file.readline(LINE_MAX + 1):
            number += 1
            if len(line) > LINE_MAX:
                raise BadFacts(f"{path.name}: line {number} has more than {LINE_MAX} bytes")
            try:
                yield _checked(json.loads(line))
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise BadFacts(f"{path.name}: line {number}: {type(error).__name__} {error}") from error


def _checked(fact: Any) -> dict[str, Any]:
    found: dict[str, Any] = {name: str(fact[name])[:500] for name in (*_TEXTS, "name", "sha256")}
    found["duration_s"], found["rows"] = float(fact["duration_s"]), int(fact["rows"])
    if not (math.isfinite(found["duration_s"]) and found["duration_s"] >= 0 and found["rows"] >= 0):
        raise ValueError(f"duration_s {fact['duration_s']}, rows {fact['rows']}")
    quality = fact["quality"]
    found["quality"] = None if quality is None else _share(quality)
    found["parts"] = {str(name)[:63]: _share(value) for name, value in fact["parts"].items()}
    found["labels"] = {str(key)[:63]: str(value)[:255] for key, value in fact["labels"].items()}
    return found


def _share(value: Any) -> float:
    share = float(value)
    if not 0 <= share <= 1:
        raise ValueError(f"{share} is no share of 1")
    return share
