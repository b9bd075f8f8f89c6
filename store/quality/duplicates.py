"""Exact and near duplicates among episodes.

Exact ones have one `Track.sha256`. A signature for near ones is the path of the joints, resampled to `POINTS` points
over the duration: a copy at another rate, with noise, quantised or a little cut is still near. Candidates come from
quantised random projections (p-stable locality-sensitive hashing: Datar, Immorlica, Indyk and Mirrokni, SoCG 2004),
so not every pair is compared; each is then decided by its true distance.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from store.episode import ACTION, STATE
from store.errors import InvalidEpisode
from store.quality.finding import Track

POINTS = 64
TABLES, PROJECTIONS = 32, 3
_CELL = 4.0
"""Width of a cell of a projection, in distances that still count as near."""


@dataclass(frozen=True)
class Signature:
    """Attributes:
    sha256: Of the quantised path, for a catalogue to keep.
    path: float64, (POINTS * joints,): positions [rad] over the duration.
    spread: Root mean square of the path about its joints' means [rad].
    """

    sha256: str
    path: np.ndarray
    spread: float


def signature_of(track: Track) -> Signature:
    """Return the signature of a track's joints. Raises InvalidEpisode: it has neither positions nor actions."""
    name = next((name for name in (STATE, ACTION) if name in track.signals), None)
    if name is None:
        raise InvalidEpisode(f"no {STATE} and no {ACTION}: without joints there is no signature")
    times, first = np.unique(track.time_s, return_index=True)
    values = np.nan_to_num(track.signals[name][first].astype(np.float64), posinf=0.0, neginf=0.0)
    at = np.linspace(times[0], times[-1], POINTS)
    path = np.stack([np.interp(at, times, values[:, column]) for column in range(values.shape[1])], axis=1)
    spread = float(np.sqrt(((path - path.mean(axis=0)) ** 2).mean()))
    digest = hashlib.sha256(np.round(path / 0.01).astype("<i4").tobytes()).hexdigest()
    return Signature(digest, path.reshape(-1), spread)


def near_duplicates(
    signatures: Sequence[Signature], *, share: float = 0.25, seed: int = 0
) -> list[tuple[int, int, float]]:
    """Return pairs of near duplicates: (first, second, distance), first < second, by numbers in `signatures`.

    Args:
        signatures: Of any bodies; only those with equally many joints are compared.
        share: Two paths are near if their root mean square difference is at most this share of the smaller spread,
            but at least of 0.02 rad, so that noise on two robots at rest does not tell them apart.
        seed: Of the projections; another seed may miss other pairs.
    """
    by_size: dict[int, list[int]] = defaultdict(list)
    for number, signature in enumerate(signatures):
        by_size[len(signature.path)].append(number)
    pairs = []
    for size, numbers in by_size.items():
        paths = np.stack([signatures[number].path for number in numbers])
        spreads = np.maximum([signatures[number].spread for number in numbers], 0.02)
        # The width of a cell is one for all: that of the median episode; the decision below is each pair's own.
        cell = _CELL * share * float(np.median(spreads)) * np.sqrt(size)
        rng = np.random.default_rng(seed)
        directions = rng.standard_normal((size, TABLES * PROJECTIONS)) / np.sqrt(size)
        cells = np.floor(paths @ directions * np.sqrt(size) / cell + rng.random(TABLES * PROJECTIONS)).astype(np.int64)
        candidates: set[tuple[int, int]] = set()
        for table in range(TABLES):
            buckets: dict[bytes, list[int]] = defaultdict(list)
            for row, key in enumerate(cells[:, table * PROJECTIONS : (table + 1) * PROJECTIONS]):
                buckets[key.tobytes()].append(row)
            for rows in buckets.values():
                candidates.update(combinations(rows, 2))
        for one, two in candidates:
            distance = float(np.sqrt(((paths[one] - paths[two]) ** 2).mean())) / min(spreads[one], spreads[two])
            if distance <= share:
                pairs.append((numbers[one], numbers[two], distance))
    return sorted(pairs)
