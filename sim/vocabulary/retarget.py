"""From one body to another by inverse kinematics: feet and hands take the same way up to the limbs' lengths.

Copying canonical angles keeps a motion's look; where a joint is missing or tilted, hands and feet go elsewhere. Here
each limb's end follows the source's path times the ratio of the two limbs' straight lengths, by damped least squares
(Nakamura and Hanafusa, Inverse kinematic solutions with singularity robustness for robot manipulator control, ASME
J. Dyn. Sys. Meas. Control 108, 1986), near the copied angles, which settle what the path leaves open. Position limits
and, with a period, limits of speed hold for every joint and frame; what they cost shows in the residual.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sim.vocabulary.limbs import Limb, Limbs
from sim.vocabulary.names import HUMANOID
from sim.vocabulary.paths import same_up_to_scale

Array = npt.NDArray[np.float64]

ITERATIONS = 40
DAMPING_M = 0.01
"""Least singular value of the Jacobian [m/rad] below which joints are not asked for all that the end still lacks."""
POSTURE = 0.02
"""Weight of the copied angles against the path: 1 rad off counts as much as this share of a metre."""
STEP_RAD = 0.3
CLOSE_M = 1e-4
ENOUGH_M = 2e-3
"""What is left beyond this may be a dead end: the limb is tried from the copied angles as well."""


@dataclass(frozen=True)
class Retargeted:
    """A motion on another body. T frames, N canonical joints.

    Attributes:
        canonical: Angles [rad], (T, N).
        goals: Where each end was to go, seen from its root, (T, 3) [m].
        paths: Where it goes.
    """

    canonical: Array
    goals: dict[str, Array]
    paths: dict[str, Array]

    def residuals(self) -> dict[str, tuple[float, float]]:
        """Return by end (scale, residual) of its path against its goal, as `same_up_to_scale`: (1, 0) is perfect."""
        return {end: same_up_to_scale(path, self.goals[end]) for end, path in self.paths.items()}


def retarget(source: Limbs, canonical: Array, target: Limbs, *, period_s: float | None = None) -> Retargeted:
    """Carry a motion over.

    Args:
        source: The body that moves by `canonical`, (T, N) [rad].
        target: The body that is to go the same way. Ends that only one of them has are left as copied.
        period_s: Time from frame to frame; with it no joint goes faster than its limit of speed. The first frame is
            where it is.
    """
    asked = source.paths(canonical)
    limbs = [limb for limb in target.limbs if limb.end in asked]
    of_source = {limb.end: limb for limb in source.limbs}
    goals = {limb.end: asked[limb.end] * target.reach_m(limb) / source.reach_m(of_source[limb.end]) for limb in limbs}
    # What both have is copied; nothing may lie outside the target's limits.
    copied = np.where(target.mask, canonical, 0.0)
    low, high = np.where(target.mask, target.low_rad, 0.0), np.where(target.mask, target.high_rad, 0.0)
    copied = np.clip(copied, low, high)
    out = np.empty_like(copied)
    angles = copied[0].copy() if len(copied) else np.zeros(len(HUMANOID))
    moved = np.unique(np.concatenate([limb.joints for limb in limbs])) if limbs else np.zeros(0, dtype=np.intp)
    kept = np.delete(np.arange(len(HUMANOID)), moved)
    for t, posture in enumerate(copied):
        angles[kept] = posture[kept]
        for limb in limbs:
            _reach_best(target, limb, angles, posture, goals[limb.end][t], low, high)
        out[t] = angles
        if period_s is not None and t > 0:
            # Too far for one frame: as far as it comes on the way there.
            out[t] = np.clip(
                angles, out[t - 1] - target.speed_rad_s * period_s, out[t - 1] + target.speed_rad_s * period_s
            )
    paths = target.paths(out)
    return Retargeted(out, goals, {limb.end: paths[limb.end] for limb in limbs})


def _reach_best(
    body: Limbs, limb: Limb, angles: Array, posture: Array, goal_m: Array, least: Array, most: Array
) -> None:
    """Go on from where the limb is; where that ends short, from the copied angles as well, and take the nearer.

    A straight limb has no way to bend that makes it shorter at once, so that it would stay straight.
    """
    other = angles.copy()
    here_m = _reach(body, limb, angles, posture, goal_m, least, most)
    if here_m > ENOUGH_M:
        other[limb.joints] = posture[limb.joints]
        if _reach(body, limb, other, posture, goal_m, least, most) < here_m:
            angles[limb.joints] = other[limb.joints]


def _reach(body: Limbs, limb: Limb, angles: Array, posture: Array, goal_m: Array, least: Array, most: Array) -> float:
    """Move a limb's angles, in place, until its end is at the goal or its limits end it; return what is left [m]."""
    its = limb.joints
    angles[its] = np.clip(angles[its], least[its], most[its])
    for _ in range(ITERATIONS):
        body.place(angles)
        lacks_m = goal_m - body.end_m(limb)
        jacobian = body.jacobian_m(limb)
        # Joints at a limit that would be pushed beyond it take no part.
        gradient = jacobian.T @ lacks_m + POSTURE**2 * (posture[its] - angles[its])
        free = ~(((angles[its] >= most[its]) & (gradient > 0.0)) | ((angles[its] <= least[its]) & (gradient < 0.0)))
        reduced = jacobian[:, free]
        normal = reduced.T @ reduced + (DAMPING_M**2 + POSTURE**2) * np.eye(int(free.sum()))
        step = np.zeros(len(its))
        step[free] = np.linalg.solve(normal, gradient[free])
        longest = float(np.abs(step).max(initial=0.0))
        if longest > STEP_RAD:
            step *= STEP_RAD / longest
        before = angles[its].copy()
        angles[its] = np.clip(before + step, least[its], most[its])
        if np.abs(angles[its] - before).max(initial=0.0) * float(np.abs(jacobian).max(initial=0.0)) < CLOSE_M * 0.1:
            break
    body.place(angles)
    return float(np.linalg.norm(goal_m - body.end_m(limb)))
