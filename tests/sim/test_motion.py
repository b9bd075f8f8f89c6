"""Scripted motions: smooth, inside the limits, and the robot stays up."""

from pathlib import Path

import numpy as np
import pytest

from controller import Cohort, State
from sim.catalog import find, robots
from sim.errors import BrokenCatalogue, Misfit, UnknownMotion
from sim.motion import RAMP_S, find_motion, load_motion, motions, motions_for, side_of
from sim.unit import EmulatedUnit
from tests.sim.wheels import needs_wheels

SUITED = [
    pytest.param(e.id, m.name, marks=() if e.is_own else needs_wheels)
    for e in robots()
    if e.available()
    for m in motions_for(e)
]
OWN = [("own_humanoid", "sway"), ("own_humanoid", "wave"), ("own_humanoid", "squat"),
       ("own_arm", "reach_around"), ("own_quadruped", "trot_in_place")]  # fmt: skip


@pytest.mark.parametrize(("robot", "motion"), SUITED)
def test_targets_start_at_home_stay_inside_the_limits_and_move(robot: str, motion: str) -> None:
    entry = find(robot)
    fitted, joints = find_motion(motion).fit(entry), entry.robot_spec().joints
    home = fitted.targets(0.0)
    path = np.array([fitted.targets(t) for t in np.arange(0.0, 8.0, 0.01)])

    assert fitted.joint_names == tuple(j.name for j in joints)
    assert np.array_equal(path[0], home)
    assert (path >= np.array([j.q_min_rad for j in joints])).all()
    assert (path <= np.array([j.q_max_rad for j in joints])).all()
    assert np.ptp(path, axis=0).max() > 0.03
    speed = np.abs(np.diff(path, axis=0)) / 0.01
    assert (speed <= np.array([j.dq_max_rad_s for j in joints])).all()


@pytest.mark.parametrize(("robot", "motion"), OWN)
def test_a_motion_starts_gently(robot: str, motion: str) -> None:
    """The first twentieth of the swelling moves joints by less than a hundredth of the whole motion."""
    fitted = find_motion(motion).fit(find(robot))
    whole = np.ptp([fitted.targets(t) for t in np.arange(0.0, 8.0, 0.02)], axis=0).max()
    begin = np.abs(fitted.targets(0.05 * RAMP_S) - fitted.targets(0.0)).max()

    assert begin < 0.02 * whole


@pytest.mark.parametrize(("robot", "motion"), OWN)
def test_our_robots_go_through_their_motions_on_their_feet(robot: str, motion: str) -> None:
    unit = EmulatedUnit(find(robot), "u", period_s=0.002)
    fitted = find_motion(motion).fit(find(robot))
    core = Cohort(unit.spec, 1, 0.002)
    unit.read(core.q[:, 0], core.dq[:, 0])
    core.arm(0)
    for tick in range(2500):
        unit.read(core.q[:, 0], core.dq[:, 0])
        if tick % 10 == 0:
            core.set_target(0, q_ref=fitted.targets(tick * 0.002))
        core.step()
        unit.write(core.tau[:, 0])
    pose = np.zeros(7)

    assert core.unit_state(0) is State.RUN
    if unit.base_pose(pose):
        assert pose[2] > 0.7 * unit.model.key("home").qpos[2]
        assert 1 - 2 * (pose[4] ** 2 + pose[5] ** 2) > 0.9


def test_a_motion_of_another_class_or_without_its_joints_is_refused() -> None:
    with pytest.raises(Misfit, match="own_arm"):
        find_motion("squat").fit(find("own_arm"))


@needs_wheels
def test_a_humanoid_without_arms_does_not_wave() -> None:
    entry = find("berkeley_humanoid")

    assert "wave" not in [m.name for m in motions_for(entry)]
    with pytest.raises(Misfit, match="berkeley_humanoid"):
        find_motion("wave").fit(entry)


def test_sides_are_read_from_the_makers_vocabularies() -> None:
    names = (
        "left_knee",
        "L_knee",
        "LL_KFE",
        "FL_hip",
        "knee_front_left",
        "Right_Knee_Pitch",
        "LR_KFE",
        "r_el",
        "torso",
    )

    assert [side_of(n) for n in names] == ["left"] * 5 + ["right"] * 3 + [""]


def test_an_unknown_motion_is_answered_with_the_closest_name() -> None:
    assert {"sway", "wave", "squat", "reach_around", "trot_in_place"} <= set(motions())
    with pytest.raises(UnknownMotion, match="squat"):
        find_motion("sqat")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('name = "m"\ntitle = "t"\nrobot_classes = ["arm"]\nkind = "dance"', "dance"),
        ('name = "m"\ntitle = "t"\nrobot_classes = ["armm"]\nkind = "waves"\nwaves = []', "armm"),
        ('name = "n"\ntitle = "t"\nrobot_classes = ["arm"]\nkind = "waves"\nwaves = []', "'n'"),
        ('name = "m"\ntitle = "t"\nrobot_classes = ["arm"]\nkind = "waves"\n[[waves]]\npart = "tail"', "tail"),
        ('name = "m"\nrobot_classes = ["arm"]\nkind = "waves"\nwaves = []', "title"),
        ("name = ", "m.toml"),
    ],
)
def test_a_wrong_description_is_refused_by_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(BrokenCatalogue, match=said):
        load_motion(tmp_path / "m.toml")
