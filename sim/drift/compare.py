"""What two recordings say of each other. Pure: values in, values out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sim.body import Array
from sim.drift.record import QUANTITIES, Motion, Recording
from sim.errors import BrokenRecording

MAGNIFIED = 1e3
"""Up to so many times what a start `NUDGE_RAD` beside has made of itself until then, a difference counts as rounding:
the engines' errors of 1e-16 come anew with each substep, the nudge of 1e-12 came once."""
Verdict = Literal["same", "rounding", "other motion"]


@dataclass(frozen=True)
class Drift:
    """How one quantity of one robot parts.

    Attributes:
        parts_s: End of the first substep after which a bit differs; None if none ever does.
        grows: Largest difference in each row, (R,), in the quantity's unit.
        nudged: The same between the first recording and its nudged world, (R,).
    """

    parts_s: float | None
    grows: Array
    nudged: Array


@dataclass(frozen=True)
class Comparison:
    """One robot in two recordings.

    Attributes:
        robot: Id in the catalogue.
        time_s: Of the rows, (R,).
        drifts: By quantity.
        model: Names of the compiled model's arrays and options whose bits differ, where both versions have them, with
            the largest difference relative to the array's largest number; NaN where only digests are known.
        verdict: "same": to the last bit. "rounding": no more than rounding that this motion magnifies. "other motion":
            more than that.
        since_s: From when on the motion is another one; None where it is not.
        ended: Why one of them ended early; empty if none did.
    """

    robot: str
    time_s: Array
    drifts: Mapping[str, Drift]
    model: Mapping[str, float]
    verdict: Verdict
    since_s: float | None
    ended: str


def compare(one: Recording, other: Recording) -> list[Comparison]:
    """Compare the robots that both recordings have. Raises BrokenRecording where there is none, as `compare_motion`."""
    common = [robot for robot in one.motions if robot in other.motions]
    if not common:
        raise BrokenRecording("the two recordings have no robot in common")
    return [compare_motion(one.motions[robot], other.motions[robot]) for robot in common]


def compare_motion(one: Motion, other: Motion) -> Comparison:
    """Compare one robot's motions. Raises BrokenRecording where they were not asked for the same."""
    for name, (mine, theirs) in {
        "targets": (one.controls, other.controls),
        "substep": (one.substep_s, other.substep_s),
        "quantities": (set(one.rows), set(other.rows)),
        "joints": ({n: r.shape[1] for n, r in one.rows.items()}, {n: r.shape[1] for n, r in other.rows.items()}),
    }.items():
        if mine != theirs and not (name == "targets" and (one.ended or other.ended)):
            raise BrokenRecording(f"{one.robot}: the two recordings differ in their {name}: {mine} and {theirs}")
    drifts = {name: _drift(one, other, name) for name in QUANTITIES if name in one.rows}
    since_s = min((s for s in (_leaves_s(each, one.row_s) for each in drifts.values()) if s is not None), default=None)
    same = all(each.parts_s is None for each in drifts.values()) and not (one.ended or other.ended)
    rows = min(len(each.grows) for each in drifts.values())
    ended = "; ".join(filter(None, (one.ended, other.ended)))
    return Comparison(
        robot=one.robot,
        time_s=np.arange(1, rows + 1, dtype=np.float64) * one.row_s,
        drifts=drifts,
        model={
            name: _apart(one, other, name)
            for name in one.model
            if one.model[name] != other.model.get(name, one.model[name])
        },
        verdict="same" if same else "rounding" if since_s is None and one.ended == other.ended else "other motion",
        since_s=since_s,
        ended=ended,
    )


def _drift(one: Motion, other: Motion, name: str) -> Drift:
    mine, theirs = one.digests[name], other.digests[name]
    count = min(len(mine), len(theirs))
    apart = np.flatnonzero(mine[:count] != theirs[:count])
    rows = min(len(one.rows[name]), len(other.rows[name]))
    return Drift(
        (int(apart[0]) + 1) * one.substep_s if len(apart) else None,
        _largest(one.rows[name][:rows] - other.rows[name][:rows]),
        _largest(one.rows[name][:rows] - one.nudged[name][:rows]),
    )


def _largest(difference: Array) -> Array:
    return np.asarray(np.abs(difference).max(axis=1, initial=0.0))


def _leaves_s(drift: Drift, row_s: float) -> float | None:
    """Return from when on a difference is more than magnified rounding."""
    allowed = MAGNIFIED * np.maximum.accumulate(drift.nudged)
    # Not `>`: a difference that is no number must count.
    beyond = np.flatnonzero(~(drift.grows <= allowed))
    return (int(beyond[0]) + 1) * row_s if len(beyond) else None


def _apart(one: Motion, other: Motion, name: str) -> float:
    mine, theirs = one.values.get(name), other.values.get(name)
    if mine is None or theirs is None or mine.shape != theirs.shape:
        return float("nan")
    return float(np.abs(mine - theirs).max(initial=0.0) / max(float(np.abs(mine).max(initial=0.0)), 1e-300))
