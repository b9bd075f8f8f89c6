"""From a robot's joints to the canonical ones and back.

A robot's file says it in one table:

    [vocabulary]
    body = "humanoid"                                    one of names.BODIES
    [vocabulary.joints]
    left_hip_pitch = { joint = "left_hip_pitch_joint" }
    left_elbow_pitch = { joint = "left_elbow_joint", sign = -1, zero_rad = 1.5708 }

The canonical angle is `sign * (q - zero_rad)`: `zero_rad` is the robot's own angle in the canonical zero. Canonical
joints that the robot has not are masked; its joints that have no canonical name keep what they are given.
"""

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim.catalog import Entry
from sim.errors import BrokenCatalogue, Misfit
from sim.vocabulary.names import BODIES

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class JointMap:
    """What the joints of one robot are called canonically. N canonical joints of its kind of body, J of its own.

    Attributes:
        body: One of `BODIES`.
        names: The canonical names, (N,).
        joint_names: The robot's own, (J,).
        index: Which joint of the robot each canonical one is, (N,); -1 where it has none.
        sign: 1 or -1, (N,).
        zero_rad: The robot's own angle in the canonical zero, (N,).
    """

    body: str
    names: tuple[str, ...]
    joint_names: tuple[str, ...]
    index: npt.NDArray[np.intp]
    sign: Array
    zero_rad: Array

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """Which canonical joints the robot has, (N,)."""
        return self.index >= 0

    @property
    def unnamed(self) -> tuple[str, ...]:
        """The robot's joints that have no canonical name."""
        named = set(self.index.tolist())
        return tuple(name for i, name in enumerate(self.joint_names) if i not in named)

    def canonical(self, q: npt.ArrayLike) -> Array:
        """Return canonical angles [rad], (..., N), of the robot's own (..., J). What it has not is 0."""
        out = self.sign * (self._own(q) - self.zero_rad)
        return np.where(self.mask, out, 0.0)

    def canonical_rate(self, rate: npt.ArrayLike) -> Array:
        """Return canonical speeds [rad/s] or torques [N m], (..., N), of the robot's own (..., J)."""
        return np.where(self.mask, self.sign * self._own(rate), 0.0)

    def robot(self, canonical: npt.ArrayLike, rest: npt.ArrayLike) -> Array:
        """Return the robot's own angles [rad], (..., J), of canonical ones (..., N).

        Args:
            canonical: What the robot has not is ignored.
            rest: Angles [rad] of the joints without a canonical name, (..., J); the others of it are not used.
        """
        return self._back(self.sign * np.asarray(canonical, np.float64) + self.zero_rad, rest)

    def robot_rate(self, canonical: npt.ArrayLike, rest: npt.ArrayLike = 0.0) -> Array:
        """Return the robot's own speeds [rad/s] or torques [N m], (..., J), of canonical ones (..., N)."""
        return self._back(self.sign * np.asarray(canonical, np.float64), rest)

    def limits(self, q_min: npt.ArrayLike, q_max: npt.ArrayLike) -> tuple[Array, Array]:
        """Return canonical position limits [rad], two of (N,), of the robot's own, two of (J,). Masked ones are 0."""
        ends = np.sort(np.stack([self.canonical(q_min), self.canonical(q_max)]), axis=0)
        return ends[0], ends[1]

    def _own(self, values: npt.ArrayLike) -> Array:
        array = np.asarray(values, np.float64)
        if array.shape[-1:] != (len(self.joint_names),):
            raise Misfit(f"{array.shape} values, the robot has {len(self.joint_names)} joints")
        return array[..., self.index]

    def _back(self, values: Array, rest: npt.ArrayLike) -> Array:
        if values.shape[-1:] != (len(self.names),):
            raise Misfit(f"{values.shape} values, the vocabulary of a {self.body} has {len(self.names)} joints")
        shape = (*values.shape[:-1], len(self.joint_names))
        out = np.array(np.broadcast_to(np.asarray(rest, np.float64), shape))
        out[..., self.index[self.mask]] = values[..., self.mask]
        return out


def joint_map(entry: Entry) -> JointMap:
    """Return a robot's map.

    Raises:
        Misfit: nobody has written one.
        BrokenCatalogue: the table names a joint or a body that does not exist.
        MissingModel, BrokenModel: as `Entry.mjspec`.
    """
    if not entry.vocabulary:
        raise Misfit(f"robot {entry.id!r}: its file has no [vocabulary]")
    return parse_map(entry.vocabulary, entry.joint_names(), label=f"robot {entry.id!r}")


def parse_map(table: Mapping[str, Any], joint_names: Sequence[str], *, label: str) -> JointMap:
    """Return the map that a table describes. Raises BrokenCatalogue, naming `label` and the entry."""
    body = table.get("body")
    if not isinstance(body, str) or body not in BODIES:
        raise BrokenCatalogue(f"{label}: [vocabulary] body {body!r} is none of {', '.join(BODIES)}")
    names = tuple(joint.name for joint in BODIES[body])
    index = np.full(len(names), -1, dtype=np.intp)
    sign, zero_rad = np.ones(len(names)), np.zeros(len(names))
    for name, row in table.get("joints", {}).items():
        where = f"{label}: [vocabulary.joints] {name}"
        if name not in names:
            raise BrokenCatalogue(f"{where}: no such canonical joint{nearest(name, names)}")
        if not isinstance(row, Mapping) or set(row) - {"joint", "sign", "zero_rad"} or "joint" not in row:
            raise BrokenCatalogue(f"{where}: must be {{ joint, sign, zero_rad }}, the latter two as needed")
        if row["joint"] not in joint_names:
            raise BrokenCatalogue(f"{where}: no joint {row['joint']!r}{nearest(str(row['joint']), joint_names)}")
        i, own = names.index(name), list(joint_names).index(row["joint"])
        if own in index:
            raise BrokenCatalogue(f"{where}: {row['joint']!r} is {names[index.tolist().index(own)]} already")
        zero = row.get("zero_rad", 0.0)
        if row.get("sign", 1) not in (1, -1):
            raise BrokenCatalogue(f"{where}: sign {row['sign']!r} is neither 1 nor -1")
        if isinstance(zero, bool) or not isinstance(zero, int | float) or not abs(zero) <= 2 * math.pi:
            raise BrokenCatalogue(f"{where}: zero_rad {zero!r} is no angle of at most one turn")
        index[i], sign[i], zero_rad[i] = own, float(row.get("sign", 1)), float(zero)
    return JointMap(body, names, tuple(joint_names), index, sign, zero_rad)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return words that offer the closest of the known ones, or "" where none is close."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]}?" if close else ""
