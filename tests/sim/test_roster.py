"""Unknown and missing robots, known without an engine."""

import subprocess
import sys

import pytest

from sim import catalog
from sim.errors import MissingModel, UnknownRobot
from sim.roster import check_there, known_robots

PROGRAM = """
import sys
from sim.__main__ import main
code = main(sys.argv[1:])
print(sorted({"mujoco", "numpy", "controller", "matplotlib"} & set(sys.modules)))
sys.exit(code)
"""


def test_the_roster_is_the_catalogue() -> None:
    assert sorted(entry.id for entry in catalog.robots()) == list(known_robots())


@pytest.mark.parametrize("entry", catalog.robots(), ids=lambda entry: entry.id)
def test_roster_and_catalogue_agree_on_what_is_there(entry: catalog.Entry) -> None:
    if entry.available():
        check_there(entry.id, None)
        return
    with pytest.raises(MissingModel) as soon:
        check_there(entry.id, None)
    with pytest.raises(MissingModel) as late:
        entry.provenance()
    assert str(soon.value) == str(late.value)
    assert "available now: own_arm, " in str(soon.value)
    assert entry.install() in str(soon.value)


def test_an_unknown_robot_gets_the_closest_names() -> None:
    with pytest.raises(UnknownRobot, match=r"did you mean .*unitree_g1"):
        check_there("unitree_g2", None)


@pytest.mark.parametrize("command", [["show"], ["spec"]])
def test_a_misspelt_robot_is_answered_before_anything_large_is_loaded(command: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command, "unitree_g2"], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (2, "[]\n")
    assert "unitree_g1" in done.stderr
