"""Robots of the catalogue on the joint bench."""

from pathlib import Path

import pytest

from sim.__main__ import main
from sim.catalog import find
from sim.jointbench import joint_inertia_kg_m2


def test_a_joint_of_the_catalogue_is_tested_against_its_own_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench-joint", "own_humanoid", "left_knee", "--test", "torque-speed", "--out", str(tmp_path)]
    assert main(command) == 0
    told = capsys.readouterr().out

    assert "no_load_speed_rad_s" in told and "specified 24" in told
    assert "DIFFERS" not in told
    assert {path.name for path in tmp_path.iterdir()} == {"torque-speed.csv", "torque-speed.png"}


def test_a_joint_moves_its_rotor_and_what_hangs_on_it() -> None:
    """The knee moves at least its armature, and the hip, which carries the knee, more than the knee."""
    entry = find("own_humanoid")
    knee, hip = (joint_inertia_kg_m2(entry, f"left_{name}") for name in ("knee", "hip_pitch"))
    armature = entry.model().joint("left_knee").id

    assert entry.model().dof_armature[entry.model().jnt_dofadr[armature]] < knee < hip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["own_humanoid", "left_tail"], "left_tail"),
        (["own_humanoide", "left_knee"], "own_humanoid"),
        (["own_humanoid", "left_knee", "--test", "overload"], "thermal"),
        (["own_humanoid", "left_knee", "--inertia-kg-m2", "-1"], "inertia_kg_m2"),
        (["own_humanoid", "left_knee", "--actuator", "nowhere.toml"], "nowhere.toml"),
    ],
)
def test_what_cannot_be_tested_is_said(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench-joint", *arguments]) == 2
    assert said in capsys.readouterr().err
