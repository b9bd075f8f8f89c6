"""What an agreement may ask to be done to the data on the way, by name, and the arithmetic of it.

| name | parameters | what it does |
|---|---|---|
| `subsample` | `keep_every` | keeps the first of so many rows of the joints, of sensors and of numeric streams |
| `coarsen-time` | `step_ms` | times are told as whole steps; of the rows of a step the first stays |
| `drop-absolute-time` | - | no start is told: so it is without any of these names, too; excludes the next two |
| `shift-time` | `max_days` | the start is told, moved by a secret number of seconds, one for the agreement |
| `coarsen-start` | `step_s` | the start is told in whole steps |
| `contact-flag` | `threshold_percent` | whether any torque lies so many percent of its deviation from its mean |
| `scrub-text` | - | texts lose what names people, places, things and paths: so it is without this name, too |
| `fill-faces` | - | colour video is let out, with faces covered; without it no camera's pictures leave |
| `k-anonymity` | `k` | no episode's metadata stand alone: fewer than k alike are generalised, or nothing leaves |
"""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from sharing.errors import InvalidTerms

DEFAULT_K = 5
MIN_CONTACT_PERCENT = 150
"""Of a torque as a flag at 1.5 deviations an attacker learns no more than from noise; of finer classes more (measured
on recordings of a real arm)."""
_OTHERS = ("aggregate-", "compute-")
"""Names that begin so speak to those channels, and change nothing here."""
_RULES: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "subsample": {"keep_every": (1, 100_000)},
    "coarsen-time": {"step_ms": (1, 3_600_000)},
    "drop-absolute-time": {},
    "shift-time": {"max_days": (1, 3_650)},
    "coarsen-start": {"step_s": (1, 315_360_000)},
    "contact-flag": {"threshold_percent": (MIN_CONTACT_PERCENT, 1_000)},
    "scrub-text": {},
    "fill-faces": {},
    "k-anonymity": {"k": (2, 1_000_000)},
}


@dataclass(frozen=True)
class Transforms:
    """The transforms of an agreement, read.

    Attributes:
        keep_every: The first of so many rows stays.
        step_s: Times are told in whole steps [s]; 0: as they are.
        max_shift_s: Starts are told, moved by up to so much [s]; 0: not so.
        start_step_s: Starts are told in whole steps [s]; 0: not so.
        contact_deviations: Threshold of the contact flag; 0: there is none.
        faces: Whether faces are covered, so that video may leave.
        k: How many episodes have to be alike.
        k_agreed: Whether that was agreed: then it is met, or nothing leaves.
    """

    keep_every: int = 1
    step_s: float = 0.0
    max_shift_s: int = 0
    start_step_s: int = 0
    contact_deviations: float = 0.0
    faces: bool = False
    k: int = DEFAULT_K
    k_agreed: bool = False

    @property
    def tells_start(self) -> bool:
        """Whether anything is said of when an episode was."""
        return bool(self.max_shift_s or self.start_step_s)


def read(named: Mapping[str, Mapping[str, str]]) -> Transforms:
    """Return the transforms of terms. Raises InvalidTerms, which names the transform, the parameter and the rule."""
    values: dict[str, dict[str, int]] = {}
    for name, parameters in named.items():
        if name.startswith(_OTHERS):
            continue
        rules = _RULES.get(name)
        if rules is None:
            raise InvalidTerms(f"transforms: {str(name)[:80]!r}: one of {', '.join(_RULES)}")
        if set(parameters) != set(rules):
            raise InvalidTerms(f"transforms.{name}: takes {', '.join(rules) or 'no parameter'}")
        values[name] = {key: _whole(f"transforms.{name}.{key}", parameters[key], *rules[key]) for key in rules}
    start = [name for name in ("drop-absolute-time", "shift-time", "coarsen-start") if name in values]
    if start[0:1] == ["drop-absolute-time"] and len(start) > 1:
        raise InvalidTerms(f"transforms: {start[0]} excludes {start[1]}")
    said = {(name, key): value for name, parameters in values.items() for key, value in parameters.items()}
    return Transforms(
        keep_every=said.get(("subsample", "keep_every"), 1),
        step_s=said.get(("coarsen-time", "step_ms"), 0) / 1e3,
        max_shift_s=86_400 * said.get(("shift-time", "max_days"), 0),
        start_step_s=said.get(("coarsen-start", "step_s"), 0),
        contact_deviations=said.get(("contact-flag", "threshold_percent"), 0) / 100,
        faces="fill-faces" in values,
        k=said.get(("k-anonymity", "k"), DEFAULT_K),
        k_agreed="k-anonymity" in values,
    )


def _whole(place: str, text: object, least: int, most: int) -> int:
    if not isinstance(text, str) or not text.isascii() or not text.isdigit() or len(text) > 12:
        raise InvalidTerms(f"{place}: a whole number, as text")
    if not least <= int(text) <= most:
        raise InvalidTerms(f"{place}: {int(text)}: from {least} to {most}")
    return int(text)


def kept_rows(time_s: np.ndarray, transforms: Transforms, *, thin: bool = True) -> tuple[np.ndarray, np.ndarray]:
    """Return (numbers of the rows that stay, int64 and rising, and their times [s] as they are told).

    Args:
        time_s: Not falling, shape (rows,).
        thin: Whether rows may go; of events all stay, and only their times are coarsened.
    """
    rows = np.arange(0, len(time_s), transforms.keep_every if thin else 1)
    told_s = time_s[rows]
    if transforms.step_s:
        steps = np.floor(told_s / transforms.step_s + 1e-9)
        if thin:
            first = np.diff(steps, prepend=-np.inf) > 0
            rows, steps = rows[first], steps[first]
        told_s = steps * transforms.step_s
    return rows, told_s


def told_start_s(started_at_ns: int, transforms: Transforms, key: bytes) -> float | None:
    """Return the start of an episode as it is told, seconds since 1970; None: nothing is told."""
    if not transforms.tells_start:
        return None
    start_s = started_at_ns // 1_000_000_000
    if transforms.max_shift_s:
        chance = int.from_bytes(hmac.digest(key, b"shift", hashlib.sha256)[:8], "big")
        start_s += chance % (2 * transforms.max_shift_s + 1) - transforms.max_shift_s
    if transforms.start_step_s:
        start_s -= start_s % transforms.start_step_s
    return float(start_s)


def contact(effort: np.ndarray, deviations: float) -> np.ndarray:
    """Return whether any joint's torque is unusual: float32 of 0 and 1, shape (rows, 1).

    Args:
        effort: Torques [N m], shape (rows, joints).
        deviations: |tau - mean| > deviations * standard deviation, each over the episode.
    """
    if not effort.size:
        return np.zeros((len(effort), 1), np.float32)
    values = effort.astype(np.float64)
    away = np.abs(values - values.mean(axis=0)) > deviations * np.maximum(values.std(axis=0), 1e-9)
    flag: np.ndarray = away.any(axis=1, keepdims=True).astype(np.float32)
    return flag
