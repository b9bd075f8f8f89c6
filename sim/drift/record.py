"""Robots of the catalogue under fixed controls from a fixed state, written down to the last bit.

Targets are triangle waves around the home pose, of plain multiplications and additions alone: they are the same bits
wherever they are computed. They go through control core and drives as a job's do. A second world starts with its first
joint `NUDGE_RAD` away: how fast the two part says how far this motion magnifies what is as good as nothing.
"""

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from sim.body import Array, Body, body_of
from sim.catalog import Entry
from sim.slot import POLICY_PERIOD_S, UNSTABLE, digests_of
from sim.worlds import Worlds

NUDGE_RAD = 1e-12
SWING_RAD = 0.1
"""Joints swing by this around home, or by a quarter of their range where that is less; slides by as many metres."""
LENGTH_S = 5.0
QUANTITIES = {"angle": "rad", "speed": "rad/s", "torque": "N m", "base": "m", "turn": "1"}
"""What is compared: of the driven joints (rad stands for m where a joint slides), and position and quaternion of a base
that moves freely."""
VALUES_MAX = 50_000
"""Arrays of a model up to this size are kept whole; of larger ones (points of meshes) the digest has to do."""


@dataclass(frozen=True)
class Motion:
    """What became of one robot.

    Attributes:
        robot: Id in the catalogue.
        substep_s, row_s: Time between two digests, and between two rows.
        digests: By quantity, of the bits after each substep, (S,).
        rows: By quantity, values after each `row_s`, (R, width).
        nudged: The same of the world that started a little beside.
        controls: Digest of all targets.
        model: By name, digests of the compiled model's arrays and options.
        values: The numbers of those that are small enough.
        ended: Why it ended before its time; empty if it did not.
    """

    robot: str
    substep_s: float
    row_s: float
    digests: Mapping[str, npt.NDArray[np.uint64]]
    rows: Mapping[str, Array]
    nudged: Mapping[str, Array]
    controls: int
    model: Mapping[str, int]
    values: Mapping[str, Array]
    ended: str = ""


@dataclass(frozen=True)
class Recording:
    """What one version of the engine did.

    Attributes:
        engine_version, architecture: What moved the robots.
        motions: By robot.
        left_out: Why, by robot, for those that could not be had.
    """

    engine_version: str
    architecture: str
    motions: Mapping[str, Motion]
    left_out: Mapping[str, str]


def header() -> dict[str, str]:
    """Return what moves robots in this process."""
    return {"engine_version": mujoco.__version__, "architecture": platform.machine()}


def record(entry: Entry, *, length_s: float = LENGTH_S) -> Motion:
    """Move one robot for a while. Raises SimError where there is no model of it."""
    model = entry.model(actuators="physical")
    # As in a slot: a world that blows up must stay visible as one.
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    body = body_of(model, entry.robot_spec())
    worlds = Worlds(model, body, 2, 1, physics=entry.actuator_physics())
    torque = worlds.batch.bind("ctrl")
    worlds.qpos[:] = body.home_qpos
    worlds.qpos[1, body.q] += np.eye(1, len(body.home_q))[0] * NUDGE_RAD
    worlds.renew(np.arange(2))
    substep_s = float(model.opt.timestep)
    substeps = max(1, round(POLICY_PERIOD_S / substep_s))
    digests: dict[str, list[int]] = {}
    rows: tuple[dict[str, list[Array]], ...] = ({}, {})
    targets, ended = [], ""
    swing = _swing(body)
    for step in range(round(length_s / (substeps * substep_s))):
        targets.append(swing(step * substeps * substep_s))
        worlds.drives.cohort.q_ref[:] = targets[-1][:, None]
        worlds.drives.cohort.submit()
        for _ in range(substeps):
            lost = worlds.advance(None, 1)
            seen = _seen(body, worlds.qpos, worlds.qvel, torque)
            for name, values in seen.items():
                digests.setdefault(name, []).append(int(digests_of(values[:1])[0]))
            if lost or worlds.batch.warning[:, UNSTABLE, 1].any():
                ended = f"unstable at {step * substeps * substep_s:.3f} s"
                break
        if ended:
            break
        for world, kept in enumerate(rows):
            for name, values in seen.items():
                kept.setdefault(name, []).append(values[world].copy())
    constants = _constants(model)
    return Motion(
        robot=entry.id,
        substep_s=substep_s,
        row_s=substeps * substep_s,
        digests={name: np.array(of, dtype=np.uint64) for name, of in digests.items()},
        rows={name: np.array(of) for name, of in rows[0].items()},
        nudged={name: np.array(of) for name, of in rows[1].items()},
        controls=_digest(np.array(targets)),
        model={name: _digest(array) for name, array in constants.items()},
        values={
            name: np.asarray(array, dtype=np.float64)
            for name, array in constants.items()
            if array.size <= VALUES_MAX and array.dtype.kind == "f"
        },
        ended=ended,
    )


def triangle(phase: float) -> float:
    """Return a wave of height 1 and period 1 that begins at 0 and rises, in operations that are exactly rounded."""
    x = phase - np.floor(phase)
    return float(4.0 * x if x < 0.25 else 2.0 - 4.0 * x if x < 0.75 else 4.0 * x - 4.0)


def _swing(body: Body) -> Callable[[float], Array]:
    """Return joint targets over time: each joint with one of five rates, so that they do not move in step."""
    width = np.minimum(SWING_RAD, (body.q_max - body.q_min) / 4.0)

    def at(time_s: float) -> Array:
        wave = np.array([triangle(time_s * (4 + joint % 5) / 8.0) for joint in range(len(width))])
        return np.asarray(np.clip(body.home_q + width * wave, body.q_min, body.q_max))

    return at


def _seen(body: Body, qpos: Array, qvel: Array, torque: Array) -> dict[str, Array]:
    seen = {"angle": qpos[:, body.q], "speed": qvel[:, body.dq], "torque": torque}
    if body.floating:
        seen |= {"base": qpos[:, :3], "turn": qpos[:, 3:7]}
    return seen


def _constants(model: mujoco.MjModel) -> dict[str, npt.NDArray[Any]]:
    """Return all numbers of a compiled model and of its options."""
    found = {}
    for prefix, thing in (("", model), ("opt.", model.opt)):
        for name in dir(thing):
            value = None if name.startswith("_") else getattr(thing, name, None)
            # `buffer`s and `signature` are other views of the same, or of the version itself.
            if isinstance(value, np.ndarray | float | int) and name not in ("signature", "buffer", "names", "paths"):
                array = np.asarray(value)
                if array.dtype.kind in "fiub" and not name.startswith("n"):
                    found[prefix + name] = array
    return found


def _digest(array: npt.NDArray[Any]) -> int:
    return int.from_bytes(blake2b(np.ascontiguousarray(array).tobytes(), digest_size=8).digest(), "little")
