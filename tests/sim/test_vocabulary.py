"""The one joint vocabulary: every map is true, and what is written once moves robots of several makers alike."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim.catalog import find, robots
from sim.errors import BrokenCatalogue, BrokenRecording, Misfit
from sim.motion import find_motion
from sim.vocabulary import BODIES, JointMap, joint_map, problems
from sim.vocabulary.figure import Figure
from sim.vocabulary.mapping import parse_map
from sim.vocabulary.paths import robot_points, same_up_to_scale
from sim.vocabulary.recording import RECORDINGS_FOLDER, find_format, load_format, read_recording
from tests.sim.wheels import needs

MAPPED = [
    entry.id if entry.is_own else pytest.param(entry.id, marks=needs(entry.id))
    for entry in robots()
    if entry.vocabulary
]
UR5E = needs("universal_robots_ur5e")
FORMATS = sorted(path.stem for path in RECORDINGS_FOLDER.glob("*.toml"))


@pytest.mark.parametrize("robot", MAPPED)
def test_a_robots_own_kinematics_agree_with_its_map(robot: str) -> None:
    """In the canonical zero all axes are the canonical ones, limbs hang straight, left is left and front is front."""
    assert problems(find(robot)) == []


@pytest.mark.parametrize(
    ("robot", "joint", "change", "said"),
    [
        ("own_humanoid", "left_knee_pitch", {"sign": -1}, "180 degrees from positive pitch"),
        ("own_humanoid", "left_knee_pitch", {"zero_rad": 0.6}, "off the vertical"),
        ("own_humanoid", "right_shoulder_roll", {"zero_rad": 1.57}, "off the vertical"),
        ("own_humanoid", "left_hip_roll", {"joint": "left_hip_yaw"}, "from positive roll"),
        ("own_humanoid", "left_elbow_pitch", {"joint": "right_elbow"}, "other side"),
        ("own_quadruped", "front_left_hip_pitch", {"joint": "left_rear_thigh"}, "other end"),
        ("own_arm", "elbow_pitch", {"sign": -1}, "180 degrees from positive pitch"),
        ("own_arm", "wrist_pitch", {"zero_rad": 1.57}, "wrist_yaw"),
        ("own_arm", "shoulder_pitch", {"zero_rad": 3.14}, "off the vertical"),
        pytest.param("universal_robots_ur5e", "elbow", {"sign": 1}, "180 degrees from positive pitch", marks=UR5E),
        pytest.param("universal_robots_ur5e", "shoulder_lift", {"zero_rad": 0.0}, "off the vertical", marks=UR5E),
        pytest.param("universal_robots_ur5e", "wrist_2", {"joint": "wrist_3_joint"}, "from positive yaw", marks=UR5E),
    ],
)
def test_a_wrong_name_sign_or_zero_is_found_by_forward_kinematics(
    robot: str, joint: str, change: dict[str, object], said: str
) -> None:
    entry = find(robot)
    joints = dict(entry.vocabulary["joints"])
    # The joint that is named instead must not stand there twice.
    joints = {name: row for name, row in joints.items() if row["joint"] != change.get("joint")}
    joints[joint] = {**joints[joint], **change}
    wrong = replace(entry, vocabulary={**entry.vocabulary, "joints": joints})

    assert any(said in problem for problem in problems(wrong)), problems(wrong)


def some_map(draw: st.DrawFn) -> JointMap:
    body = draw(st.sampled_from(sorted(BODIES)))
    names = [joint.name for joint in BODIES[body]]
    chosen = draw(st.lists(st.sampled_from(names), unique=True, min_size=1))
    own = draw(st.permutations([f"own_{name}" for name in chosen] + ["unnamed"]))
    rows = {
        name: {
            "joint": f"own_{name}",
            "sign": draw(st.sampled_from([1, -1])),
            "zero_rad": draw(st.floats(-3.0, 3.0)),
        }
        for name in chosen
    }
    return parse_map({"body": body, "joints": rows}, own, label="drawn")


@settings(max_examples=40)
@given(st.data())
def test_there_and_back_is_where_one_was(data: st.DataObject) -> None:
    """Angles, speeds and limits of any map; joints without a canonical name keep what they are given."""
    names = data.draw(st.composite(some_map)())
    angle = st.floats(-3.0, 3.0)
    q = np.array(data.draw(st.lists(angle, min_size=len(names.joint_names), max_size=len(names.joint_names))))
    rest = np.full(len(q), 7.0)
    back = names.robot(names.canonical(q), rest)
    rate = names.robot_rate(names.canonical_rate(q), rest)
    low, high = names.limits(q - 1.0, q + 2.0)
    unnamed = [names.joint_names.index(name) for name in names.unnamed]

    assert unnamed == [names.joint_names.index("unnamed")]
    assert np.all(back[unnamed] == 7.0) and np.all(rate[unnamed] == 7.0)
    assert np.delete(back, unnamed) == pytest.approx(np.delete(q, unnamed), abs=1e-12)
    assert np.delete(rate, unnamed) == pytest.approx(np.delete(q, unnamed), abs=1e-12)
    assert np.all(high[names.mask] - low[names.mask] == pytest.approx(3.0))
    assert np.all((names.canonical(q) - low)[names.mask] >= 0.9)
    assert not names.canonical(q)[~names.mask].any()


def test_power_is_the_same_in_both_vocabularies() -> None:
    """Torque times speed does not depend on how angles are counted."""
    names = joint_map(find("own_quadruped"))
    rng = np.random.default_rng(0)
    speed, torque = rng.normal(size=(2, len(names.joint_names)))

    assert names.canonical_rate(speed) @ names.canonical_rate(torque) == pytest.approx(speed @ torque)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"body": "octopus"}, "octopus"),
        ({"body": "arm", "joints": {"elbow_pich": {"joint": "a"}}}, "elbow_pich.*did you mean elbow_pitch"),
        ({"body": "arm", "joints": {"elbow_pitch": {"joint": "elbw"}}}, "elbw.*did you mean elbow"),
        ({"body": "arm", "joints": {"elbow_pitch": {"joint": "elbow", "sign": 2}}}, "sign 2"),
        ({"body": "arm", "joints": {"elbow_pitch": {"joint": "elbow", "zero_rad": 90.0}}}, "zero_rad 90"),
        ({"body": "arm", "joints": {"elbow_pitch": {"joint": "elbow", "zero_rad": float("nan")}}}, "zero_rad nan"),
        ({"body": "arm", "joints": {"elbow_pitch": "elbow"}}, "must be"),
        (
            {"body": "arm", "joints": {"elbow_pitch": {"joint": "elbow"}, "wrist_yaw": {"joint": "elbow"}}},
            "is elbow_pitch already",
        ),
    ],
)
def test_a_wrong_map_is_refused_by_name(table: dict[str, object], said: str) -> None:
    with pytest.raises(BrokenCatalogue, match=said):
        parse_map(table, ["elbow", "wrist"], label="toy")


def test_a_robot_without_a_map_says_so() -> None:
    with pytest.raises(Misfit, match="own_gripper"):
        joint_map(find("own_gripper"))


def test_one_gesture_in_canonical_angles_moves_every_humanoid_the_same_way() -> None:
    """A squat with raised forearms: ankles come nearer to the hips by one share of the leg, hands go forward and up."""
    canonical = np.zeros((2, len(BODIES["humanoid"])))
    at = {joint.name: i for i, joint in enumerate(BODIES["humanoid"])}
    for side in ("left", "right"):
        canonical[1, [at[f"{side}_hip_pitch"], at[f"{side}_knee_pitch"]]] = -0.6, 1.2
        canonical[1, at[f"{side}_elbow_pitch"]] = -1.2
    shares = {}
    for entry in robots():
        if not entry.available() or entry.vocabulary.get("body") != "humanoid":
            continue
        points = robot_points(entry, canonical)
        for side in ("left", "right"):
            if f"{side}_foot" in points:
                foot = points[f"{side}_foot"]
                shares[entry.id] = np.linalg.norm(foot[1]) / np.linalg.norm(foot[0])
            if f"{side}_hand" in points:
                forward_m, _, up_m = points[f"{side}_hand"][1] - points[f"{side}_hand"][0]
                assert forward_m > 0.03 and up_m > 0.02, entry.id

    # Thigh and shin of like length fold to cos(0.6) = 0.825 of the leg; Apollo's knee, 50 mm off the line, makes 0.89.
    assert "own_humanoid" in shares
    assert all(share == pytest.approx(0.825, abs=0.08) for share in shares.values()), shares


def test_a_motion_in_canonical_joints_serves_every_maker_though_their_signs_differ() -> None:
    """Booster's elbows count oppositely left and right: the same two waves raise both hands of every robot."""
    motion = find_motion("curl")
    signs: dict[str, set[float]] = {}
    for entry in robots():
        if not entry.available() or not motion.fits(entry):
            continue
        fitted, names = motion.fit(entry), joint_map(entry)
        change = names.canonical(fitted.targets(10.0)) - names.canonical(fitted.targets(0.0))
        for side in ("left", "right"):
            i = names.names.index(f"{side}_elbow_pitch")
            signs.setdefault(entry.id, set()).add(float(names.sign[i]))
            # Waves are made smaller near a limit, never turned round: -0.35 with a swing of 0.25.
            assert -0.61 <= change[i] <= -0.05, (entry.id, side)

    assert motion.fits(find("own_humanoid")) and motion.fits(find("own_torso"))
    assert not motion.fits(find("own_arm"))
    assert signs.get("booster_t1", {1.0, -1.0}) == {1.0, -1.0}


def recording(body: str) -> Path:
    """The same walk by one body, from outside the project."""
    folder = Path(os.environ.get("PALAESTRA_SHARED", Path(__file__).parents[2].parent / "shared"))
    path = folder / "data" / "robodata" / "walk_four_bodies" / f"02-constspeed_{body}.npz"
    if not path.is_file():
        pytest.skip("the recorded walks are not on this machine")
    return path


BODY_OF = {
    "locomujoco_talos": "TALOS",
    "locomujoco_atlas": "ATLAS",
    "locomujoco_unitree_g1": "UnitreeG1",
    "locomujoco_unitree_h1": "UnitreeH1",
}


def recorded(name: str) -> dict[str, np.ndarray]:
    form = find_format(name)
    return Figure(form.proportions).points(read_recording(recording(BODY_OF[name]), form)[::5])


def test_one_walk_recorded_on_four_bodies_has_one_foot_path_up_to_scale() -> None:
    """What is left after one factor is at most an eighth of the path; TALOS, of the middle in size, is the unit."""
    assert sorted(BODY_OF) == FORMATS
    paths = {name: recorded(name) for name in BODY_OF}
    for name, points in paths.items():
        for end in ("left_foot", "right_foot"):
            scale, residual = same_up_to_scale(points[end], paths["locomujoco_talos"][end])
            sizes = find_format(name).proportions, find_format("locomujoco_talos").proportions
            legs = [size.thigh_m + size.shin_m for size in sizes]
            assert residual < 0.125, (name, end)
            # The factor is the ratio of the legs.
            assert scale == pytest.approx(legs[0] / legs[1], rel=0.05), (name, end)


def test_hands_swing_alike_where_shoulders_pitch_and_the_mask_tells_where_they_do_not() -> None:
    """G1 and H1 have a shoulder pitch. ATLAS and TALOS have none: their hands go another way, and the mask says why."""
    swing = {
        name: find_format(name).names.mask[find_format(name).names.names.index("left_shoulder_pitch")]
        for name in BODY_OF
    }
    assert swing == {
        "locomujoco_talos": False,
        "locomujoco_atlas": False,
        "locomujoco_unitree_g1": True,
        "locomujoco_unitree_h1": True,
    }
    g1, h1 = recorded("locomujoco_unitree_g1"), recorded("locomujoco_unitree_h1")
    talos = recorded("locomujoco_talos")
    for end in ("left_hand", "right_hand"):
        assert same_up_to_scale(g1[end], h1[end])[1] < 0.15, end
        assert same_up_to_scale(talos[end], h1[end])[1] > 0.4, end


def test_without_the_signs_the_same_arrays_are_another_walk() -> None:
    """ATLAS counts its hips and knees the other way: read as if it did not, its foot goes another way."""
    form = find_format("locomujoco_atlas")
    naive = replace(form, names=replace(form.names, sign=np.ones(len(form.names.names))))
    path = recording("ATLAS")
    figure = Figure(form.proportions)
    right = figure.points(read_recording(path, form)[::5])["left_foot"]
    wrong = figure.points(read_recording(path, naive)[::5])["left_foot"]

    # More than twice what the comparison of bodies above allows.
    assert same_up_to_scale(wrong, right)[1] > 0.3


@pytest.mark.parametrize(
    "robot",
    ["own_humanoid", *(pytest.param(r, marks=needs(r)) for r in ("unitree_g1", "booster_t1", "apptronik_apollo"))],
)
def test_a_walk_recorded_on_one_body_moves_the_catalogues_robots_along_the_same_path(robot: str) -> None:
    """H1's recording, by the robots' own models: feet within a seventh of the path of the recorded figure's."""
    form = find_format("locomujoco_unitree_h1")
    canonical = read_recording(recording("UnitreeH1"), form)[::10]
    figure, points = Figure(form.proportions).points(canonical), robot_points(find(robot), canonical)

    for end in ("left_foot", "right_foot"):
        assert same_up_to_scale(points[end], figure[end])[1] < 1 / 7, end


def test_same_up_to_scale_is_exact_for_multiples_and_blind_to_where_they_are() -> None:
    path = np.random.default_rng(1).normal(size=(50, 3))
    scale, residual = same_up_to_scale(2.5 * path + 3.0, path)

    assert (scale, residual) == (pytest.approx(2.5), pytest.approx(0.0, abs=1e-12))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"drop": "q_knee_angle_l"}, "no array q_knee_angle_l"),
        ({"q_knee_angle_l": np.zeros(3)}, "2 lengths, from 3 to 4"),
        ({"q_knee_angle_l": np.full(4, np.nan)}, "q_knee_angle_l is not finite at frame 0"),
        ({"q_knee_angle_l": np.zeros((4, 2))}, "shape"),
        ({"q_knee_angle_l": np.array(["a"] * 4)}, "angles"),
    ],
)
def test_a_wrong_recording_is_refused_by_file_and_array(arrays: dict[str, object], said: str, tmp_path: Path) -> None:
    form = find_format("locomujoco_talos")
    columns: dict[str, object] = {f"q_{name}": np.zeros(4) for name in form.names.joint_names}
    columns.pop(str(arrays.pop("drop", "")), None)
    path = tmp_path / "walk.npz"
    np.savez(path, **{**columns, **arrays})  # type: ignore[arg-type]

    with pytest.raises(BrokenRecording, match=f"walk.npz.*{said}"):
        read_recording(path, form)


def test_what_is_no_archive_is_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "walk.npz"
    path.write_bytes(b"PK\x03\x04 cut off")

    with pytest.raises(BrokenRecording, match=r"walk\.npz"):
        read_recording(path, find_format("locomujoco_talos"))


def test_a_format_with_a_wrong_length_is_refused_by_field(tmp_path: Path) -> None:
    text = (RECORDINGS_FOLDER / "locomujoco_talos.toml").read_text()
    path = tmp_path / "locomujoco_talos.toml"
    path.write_text(text.replace("thigh_m = 0.38", "thigh_m = 380.0"))

    with pytest.raises(BrokenCatalogue, match="thigh_m = 380"):
        load_format(path)


def test_an_unknown_format_is_answered_with_the_closest() -> None:
    with pytest.raises(BrokenCatalogue, match="locomujoco_atlas"):
        find_format("locomujoco_atlass")
