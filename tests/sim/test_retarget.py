"""Retargeting: feet and hands take the same way on another body, within its limits; where they cannot, it shows."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.cli import run as command
from sim.__main__ import main as room
from sim.catalog import find
from sim.errors import Misfit
from sim.vocabulary.carry import joint_arrays
from sim.vocabulary.figure import Figure
from sim.vocabulary.limbs import Limbs, figure_limbs, robot_limbs
from sim.vocabulary.mapping import joint_map
from sim.vocabulary.names import HUMANOID
from sim.vocabulary.paths import robot_points, same_up_to_scale
from sim.vocabulary.recording import find_format, read_recording, recorded_period_s
from sim.vocabulary.retarget import retarget
from tests.sim.test_vocabulary import BODY_OF, recording
from tests.sim.wheels import needs

OWN = robot_limbs(find("own_humanoid"))
FRAME_S = 0.002
"""Of the walks: what their speeds tell (`test_a_recordings_own_speeds_tell_how_far_apart_its_frames_are`)."""
AT = {joint.name: i for i, joint in enumerate(HUMANOID)}


def recorded(name: str, step: int = 10) -> tuple[Limbs, np.ndarray]:
    form = find_format(name)
    return figure_limbs(Figure(form.proportions), form.names), read_recording(recording(BODY_OF[name]), form)[::step]


@settings(max_examples=15)
@given(st.lists(st.floats(-0.5, 0.5), min_size=len(HUMANOID), max_size=len(HUMANOID)))
def test_an_ends_jacobian_is_how_it_moves(angles: list[float]) -> None:
    """Against differences of the robot's own forward kinematics, in every joint of every limb."""
    pose, step = np.array(angles), 1e-6
    for limb in OWN.limbs:
        OWN.place(pose)
        jacobian = OWN.jacobian_m(limb)
        for column, joint in enumerate(limb.joints):
            ends = []
            for sign in (1.0, -1.0):
                moved = pose.copy()
                moved[joint] += sign * step
                OWN.place(moved)
                ends.append(OWN.end_m(limb))
            assert jacobian[:, column] == pytest.approx((ends[0] - ends[1]) / (2 * step), abs=1e-5)


def test_ends_are_those_that_paths_are_compared_by() -> None:
    canonical = np.zeros((2, len(HUMANOID)))
    canonical[1, [AT["left_hip_pitch"], AT["left_knee_pitch"], AT["right_elbow_pitch"]]] = -0.6, 1.0, -0.8
    points, paths = robot_points(find("own_humanoid"), canonical), OWN.paths(canonical)

    assert set(points) == set(paths) and len(paths) == 4
    assert all(paths[end] == pytest.approx(points[end], abs=1e-9) for end in points)


@pytest.mark.parametrize("name", sorted(BODY_OF))
def test_each_recorded_walk_goes_to_our_humanoid_and_back(name: str) -> None:
    """One path up to scale both ways, a fiftieth left at most; copying leaves a fifth."""
    source, canonical = recorded(name)
    there = retarget(source, canonical, OWN, period_s=10 * FRAME_S)
    back = retarget(OWN, there.canonical, source)
    walked = source.paths(canonical)

    for end in ("left_foot", "right_foot", "left_hand", "right_hand"):
        scale, residual = there.residuals()[end]
        assert scale == pytest.approx(1.0, abs=0.02) and residual < 0.02, end
        scale, residual = same_up_to_scale(back.paths[end], walked[end])
        assert scale == pytest.approx(1.0, abs=0.02) and residual < 0.02, end


@pytest.mark.parametrize("name", ["locomujoco_atlas", "locomujoco_talos"])
def test_hands_swing_without_a_shoulder_pitch_as_far_as_the_other_joints_let_them(name: str) -> None:
    """By copied angles over four tenths of H1's swing are lost on ATLAS and TALOS; less than an eighth this way."""
    h1, canonical = recorded("locomujoco_unitree_h1")
    target, _ = recorded(name)
    copied, walked = target.paths(canonical), h1.paths(canonical)
    found = retarget(h1, canonical, target)

    for end in ("left_hand", "right_hand"):
        assert same_up_to_scale(copied[end], walked[end])[1] > 0.4
        assert found.residuals()[end][1] < 0.125
    pitches = [AT["left_shoulder_pitch"], AT["right_shoulder_pitch"]]
    assert not found.canonical[:, pitches].any()


@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), st.floats(0.002, 0.2))
def test_no_joint_leaves_its_limits_or_its_speed_whatever_is_asked(seed: int, period_s: float) -> None:
    """Also for a wild motion that no body could follow."""
    wild = np.random.default_rng(seed).uniform(-3.0, 3.0, size=(6, len(HUMANOID)))
    found = retarget(OWN, wild, OWN, period_s=period_s)
    mask = OWN.mask

    assert np.isfinite(found.canonical).all()
    assert (found.canonical >= OWN.low_rad - 1e-9)[:, mask].all()
    assert (found.canonical <= OWN.high_rad + 1e-9)[:, mask].all()
    assert (np.abs(np.diff(found.canonical, axis=0)) <= OWN.speed_rad_s * period_s + 1e-9)[:, mask].all()


def test_a_motion_of_its_own_stays_what_it_is() -> None:
    canonical = np.zeros((5, len(HUMANOID)))
    canonical[:, AT["left_hip_pitch"]] = np.linspace(-0.6, 0.0, 5)
    canonical[:, AT["left_knee_pitch"]] = np.linspace(0.9, 0.3, 5)

    assert retarget(OWN, canonical, OWN).canonical == pytest.approx(canonical, abs=1e-6)


@pytest.mark.parametrize("robot", [pytest.param(r, marks=needs(r)) for r in ("unitree_g1", "booster_t1")])
def test_makers_robots_follow_a_recorded_walk(robot: str) -> None:
    source, canonical = recorded("locomujoco_unitree_h1", step=25)
    found = retarget(source, canonical, robot_limbs(find(robot)), period_s=25 * FRAME_S)

    assert all(residual < 0.05 for _, residual in found.residuals().values()), found.residuals()


@pytest.mark.parametrize("name", BODY_OF)
def test_a_recordings_own_speeds_tell_how_far_apart_its_frames_are(name: str) -> None:
    assert recorded_period_s(recording(BODY_OF[name]), find_format(name)) == pytest.approx(FRAME_S, rel=0.01)


def test_of_a_made_up_recording_the_rate_is_told_and_of_one_without_speeds_none(tmp_path: Path) -> None:
    form = find_format("locomujoco_unitree_h1")
    file, time_s = tmp_path / "wave.npz", np.arange(200) / 120.0
    angles = {f"q_{name}": np.sin(3.0 * time_s) for name in form.names.joint_names}
    np.savez(file, **angles)
    assert recorded_period_s(file, form) is None
    # One joint's speeds are right, another's are ten times too large and not even theirs.
    first, second = form.names.joint_names[:2]
    speeds = {f"dq_{first}": 3.0 * np.cos(3.0 * time_s), f"dq_{second}": 30.0 * np.sin(5.0 * time_s)}
    np.savez(file, **angles, **speeds)
    # Differences over two frames are a little less than the slope.
    assert recorded_period_s(file, form) == pytest.approx(1.0 / 120.0, rel=1e-3)


def test_what_is_no_humanoid_is_refused_by_name() -> None:
    with pytest.raises(Misfit, match="own_arm"):
        robot_limbs(find("own_arm"))


def test_the_command_writes_the_robots_own_angles(tmp_path: Path) -> None:
    out = tmp_path / "walk.npz"
    form = "locomujoco_unitree_g1"
    words = ["robots", "retarget", f"{form}={recording(BODY_OF[form])}", "own_humanoid", "--frames", "6"]

    assert command([*words, "--out", str(out)]) == 0
    entry = find("own_humanoid")
    with np.load(out) as arrays:
        assert set(arrays.files) == {"period_s", *(f"q_{name}" for name in entry.joint_names())}
        own = np.stack([arrays[f"q_{name}"] for name in entry.joint_names()], axis=1)
    canonical = joint_map(entry).canonical(own)
    again = joint_arrays(entry, canonical)
    assert np.stack([again[f"q_{name}"] for name in entry.joint_names()], axis=1) == pytest.approx(own, abs=1e-12)
    assert room([*words[1:3], "own_arm"]) == 2
