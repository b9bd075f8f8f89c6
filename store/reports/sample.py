"""What signals show in a sample of a data set: each episode is read, looked at, and let go.

The sample is drawn by the contents' hashes alone: the same episodes give the same sample, in whatever order they come.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from store.episode import ACTION, STATE
from store.errors import StoreError
from store.objects import ObjectStore
from store.quality import (
    CameraTrack,
    Signature,
    Track,
    cameras_of,
    check_track,
    near_duplicates,
    signature_of,
    track_of,
)
from store.quality.motion import MotionLimits, response_lag_s
from store.quality.timing import TimingLimits
from store.reader import Episode, read_episode

SIZE = 200
ROWS = 50
"""Rows of an episode that are kept for the joints' coverage, evenly spaced."""
MODELS_MAX = 8
JOINTS_MAX = 64
CELLS = 48
"""Cells of a joint's range, of which the share is told that was visited."""
PAIRS_MAX = 50
REFUSED_MAX = 20


def choose(facts: Iterable[Mapping[str, Any]], size: int, seed: int = 0) -> list[tuple[str, str]]:
    """Return (name, hash of the content) of a uniform sample of the facts that have a content, at most `size`.

    Those whose hash together with the seed is lowest (bottom-k sampling: Cohen and Kaplan, PODC 2007); of equal
    contents one. No more than `size` are in memory.
    """
    kept: list[tuple[int, str, str]] = []
    held: set[str] = set()
    for fact in facts:
        sha256 = fact["sha256"]
        if not sha256 or sha256 in held:
            continue
        # Negative: the heap's first is the highest, which makes room.
        entry = (-int.from_bytes(hashlib.sha256(f"{seed}:{sha256}".encode()).digest()[:8], "big"), sha256, fact["name"])
        if len(kept) < size:
            heapq.heappush(kept, entry)
            held.add(sha256)
        elif size and entry > kept[0]:
            held.discard(heapq.heapreplace(kept, entry)[1])
            held.add(sha256)
    return [(name, sha256) for _, sha256, name in sorted(kept, reverse=True)]


@dataclass
class Sample:
    """What was seen.

    Attributes:
        read: Episodes looked at; refused: those that could not be read, and why.
        rate_share: Measured rate over the promised one, for each episode; jitter: standard deviation of the steps in
            periods; gaps: how many pauses; longest_gap_s: the longest of them.
        lag_s: Delay of the state behind the action, where it can be told.
        faults: Episodes by kind of fault, found anew; parts: values of each part of the score.
        joints: For each robot model the joints' names, positions of some rows (rows, joints) [rad or m].
        duplicates: Pairs of near duplicates: (name, name, distance); exact: names with the same signals, in groups.
        steps: What was run: hash of code, and parameters.
    """

    chosen: int = 0
    read: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    refused_more: int = 0
    rate_share: list[float] = field(default_factory=list)
    jitter: list[float] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)
    longest_gap_s: list[float] = field(default_factory=list)
    lag_s: list[float] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    parts: dict[str, list[float]] = field(default_factory=dict)
    joints: dict[str, tuple[tuple[str, ...], list[np.ndarray]]] = field(default_factory=dict)
    duplicates: list[tuple[str, str, float]] = field(default_factory=list)
    exact: list[list[str]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    _signatures: list[tuple[str, Signature]] = field(default_factory=list, repr=False)
    _hashes: dict[str, list[str]] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls,
        chosen: list[tuple[str, str]],
        objects: ObjectStore,
        progress: Callable[[int, int], None] | None = None,
    ) -> "Sample":
        """Read the chosen episodes, one at a time in memory. One that cannot be read is told and ends nothing."""
        found = cls(chosen=len(chosen))
        for number, (name, sha256) in enumerate(chosen, 1):
            try:
                path = objects.path_of(sha256)
                episode = read_episode(path, sha256=sha256)
                found.add(name, episode, cameras_of(path, episode.header.cameras))
            except (StoreError, OSError) as error:
                if len(found.refused) < REFUSED_MAX:
                    found.refused[name] = str(error)[:200]
                else:
                    found.refused_more += 1
            if progress is not None:
                progress(number, len(chosen))
        found.compare()
        return found

    def add(self, name: str, episode: Episode, cameras: Mapping[str, CameraTrack]) -> None:
        """Look at one episode, of whose cameras somebody says what they show."""
        track = track_of(episode, cameras)
        quality = check_track(track)
        self.read += 1
        self.faults.update({finding.kind for finding in quality.findings})
        for part, value in quality.parts.items():
            self.parts.setdefault(part, []).append(value)
        known = {one["step"] for one in self.steps}
        self.steps += [
            {"step": one.step, "code_sha256": one.code_sha256, "parameters": dict(one.parameters)}
            for one in quality.steps
            if one.step not in known
        ]
        self._time(track)
        lag_s = response_lag_s(track, MotionLimits())
        if lag_s is not None:
            self.lag_s.append(lag_s)
        if STATE in track.signals or ACTION in track.signals:
            self._signatures.append((name, signature_of(track)))
        self._hashes.setdefault(quality.steps[0].input_sha256, []).append(name)
        self._cover(episode)

    def _time(self, track: Track) -> None:
        steps_s = np.diff(track.time_s)
        forward = steps_s[steps_s > 0]
        if not len(forward):
            return
        period_s = float(np.median(forward))
        self.rate_share.append(1.0 / period_s / track.rate_hz)
        pauses = forward[forward > TimingLimits().gap_periods * period_s]
        even = forward[forward <= TimingLimits().gap_periods * period_s]
        self.jitter.append(float(even.std()) / period_s)
        self.gaps.append(len(pauses))
        self.longest_gap_s.append(float(pauses.max()) if len(pauses) else 0.0)

    def _cover(self, episode: Episode) -> None:
        state = episode.signals.get(STATE)
        model, names = episode.header.robot_model, tuple(episode.header.joint_names[:JOINTS_MAX])
        if state is None or (model not in self.joints and len(self.joints) >= MODELS_MAX):
            return
        known, rows = self.joints.setdefault(model, (names, []))
        if known == names:
            at = np.linspace(0, len(state) - 1, min(ROWS, len(state))).astype(int)
            rows.append(np.nan_to_num(state[at, : len(names)].astype(np.float32)))

    def compare(self) -> None:
        """Find exact and near duplicates among what was seen."""
        self.exact = [names for names in self._hashes.values() if len(names) > 1][:PAIRS_MAX]
        names = [name for name, _ in self._signatures]
        pairs = near_duplicates([signature for _, signature in self._signatures])
        self.duplicates = [
            (names[one], names[two], distance)
            for one, two, distance in sorted(pairs, key=lambda pair: pair[2])[:PAIRS_MAX]
        ]
        self._signatures.clear()

    def positions(self, model: str) -> np.ndarray:
        """Return positions of the joints of a model, (rows, joints)."""
        return np.concatenate(self.joints[model][1])

    def coverage(self, model: str) -> dict[str, dict[str, float]]:
        """Return for each joint its lowest and highest position, and the share of `CELLS` between them visited."""
        rows = self.positions(model)
        found = {}
        for column, name in enumerate(self.joints[model][0]):
            low, high = float(rows[:, column].min()), float(rows[:, column].max())
            counts = np.histogram(rows[:, column], CELLS, (low, high if high > low else low + 1e-6))[0]
            found[name] = {"low": low, "high": high, "visited": float((counts > 0).mean())}
        return found

    def summary(self) -> dict[str, Any]:
        """Return what was seen as plain JSON values."""
        return {
            "chosen": self.chosen,
            "read": self.read,
            "refused": {**self.refused, **({"(more)": str(self.refused_more)} if self.refused_more else {})},
            "timing": {
                "rate_share": _spread(self.rate_share),
                "jitter_periods": _spread(self.jitter),
                "gaps": int(sum(self.gaps)),
                "episodes_with_gaps": sum(number > 0 for number in self.gaps),
                "longest_gap_s": max(self.longest_gap_s, default=0.0),
            },
            "lag_s": _spread(self.lag_s),
            "faults": dict(sorted(self.faults.items())),
            "parts": {name: _spread(values) for name, values in sorted(self.parts.items())},
            "coverage": {model: self.coverage(model) for model in sorted(self.joints)},
            "near_duplicates": [list(pair) for pair in self.duplicates],
            "exact_duplicates": self.exact,
            "limits": {"timing": asdict(TimingLimits())},
        }


def _spread(values: list[float]) -> dict[str, float]:
    if not values:
        return {}
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    return {"count": len(values), "q05": float(low), "median": float(middle), "q95": float(high)}
