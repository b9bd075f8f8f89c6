"""A venue as one scene of seven makers' robots: time to compile, and how much faster than real time one core steps it.

The robots stand at home, held by their catalogue's gains, beside four shelves; the contact options are the scene's.
Times are of the processor, so that a busy machine changes them less; the median of several goes counts. The same
robots as separate worlds, one after the other, are the peer: what a shared scene costs beyond its parts.
"""

import statistics
import time
from typing import Any

import mujoco
import numpy as np

from sim.catalog import find
from sim.venue import CellTwin, Fixture, UnitTwin, VenueTwin
from sim.venues.worlds import cell_worlds, recorded_changes, shared_scene

ROBOTS = (
    "unitree_g1", "booster_t1", "apptronik_apollo", "boston_dynamics_spot", "franka_panda", "google_barkour_vb",
    "universal_robots_ur5e", "robotis_op3", "own_humanoid", "own_quadruped", "own_arm",
)  # fmt: skip
BRANDS = 7
SIMULATED_S = 0.5
GOES = 3


def hall(robots: tuple[str, ...] = ROBOTS, brands: int = BRANDS) -> VenueTwin:
    """Return a hall with one robot of each of so many makers, those that are on this machine, and four shelves."""
    chosen: dict[str, str] = {}
    for robot in robots:
        entry = find(robot)
        if entry.available() and len(chosen) < brands:
            chosen.setdefault(entry.maker, robot)
    shelf = (Fixture("shelf", 0.0, 0.8),)
    cells = tuple(
        CellTwin(f"cell-{i + 1}", 2.0 + 4.0 * (i % 4), 2.5 + 5.0 * (i // 4), 3.6, 4.0, fixtures=shelf if i < 4 else ())
        for i in range(len(chosen))
    )
    units = tuple(
        UnitTwin(f"unit-{i + 1}", robot, cell.x_m, cell.y_m - 0.8, 90.0)
        for i, (robot, cell) in enumerate(zip(chosen.values(), cells, strict=True))
    )
    return VenueTwin("bench", "Bench", 16.0, 5.0 * (1 + (len(chosen) - 1) // 4), cells, units)


def compile_s(venue: VenueTwin) -> tuple[mujoco.MjModel, float, float]:
    """Return the scene's model, and what attaching and compiling took [s of processor time]."""
    start_s = time.process_time()
    spec = shared_scene(venue)
    attached_s = time.process_time()
    model = spec.compile()
    return model, attached_s - start_s, time.process_time() - attached_s


def faster_than_real_time(model: mujoco.MjModel, gains: tuple[Any, Any], simulated_s: float = SIMULATED_S) -> float:
    """Return simulated seconds for each second of one core; the robots hold their home pose meanwhile."""
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    joint = model.actuator_trnid[:, 0]
    position, speed = model.jnt_qposadr[joint], model.jnt_dofadr[joint]
    home = data.qpos[position].copy()
    spent_s = 0.0
    for _ in range(round(simulated_s / model.opt.timestep)):
        data.ctrl[:] = gains[0] * (home - data.qpos[position]) - gains[1] * data.qvel[speed]
        start_s = time.process_time()
        mujoco.mj_step(model, data)
        spent_s += time.process_time() - start_s
    if any(data.warning[i].number for i in range(len(data.warning))) or not np.isfinite(data.qpos).all():
        raise RuntimeError("the scene blew up; its speed means nothing")
    return simulated_s / spent_s


def gains_of(venue: VenueTwin, model: mujoco.MjModel) -> tuple[Any, Any]:
    """Return position and speed gains by actuator, from the catalogue."""
    kp, kd = np.zeros(model.nu), np.zeros(model.nu)
    for unit in venue.units:
        for joint in find(unit.robot).robot_spec().joints:
            i = model.actuator(f"{unit.id}/{joint.name}").id
            kp[i], kd[i] = joint.kp_nm_rad, joint.kd_nms_rad
    return kp, kd


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    venue = hall()
    compiled = [compile_s(venue) for _ in range(GOES)]
    model = compiled[0][0]
    gains = gains_of(venue, model)
    alone = [(world, shared_scene(world).compile()) for world in cell_worlds(venue)]
    shared, apart = [], []
    for _ in range(GOES):
        shared.append(faster_than_real_time(model, gains))
        # One after the other on the same core: their times add up.
        apart.append(1.0 / sum(1.0 / faster_than_real_time(m, gains_of(world, m)) for world, m in alone))
    return {
        "robots": [unit.robot for unit in venue.units],
        "makers": len({find(unit.robot).maker for unit in venue.units}),
        "nv": model.nv,
        "attach_s": round(statistics.median(one[1] for one in compiled), 3),
        "compile_s": round(statistics.median(one[2] for one in compiled), 3),
        "faster_than_real_time": round(statistics.median(shared), 1),
        "faster_than_real_time_as_separate_worlds": round(statistics.median(apart), 1),
        "robots_with_other_contact_options": sorted(
            robot for robot, changes in recorded_changes(model)["changed"].items() if changes
        ),
    }
