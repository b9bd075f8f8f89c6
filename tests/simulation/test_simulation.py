"""Whole venues live through faults in virtual time; what must hold holds, and what is found can be found again."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping

import pytest

from tests.simulation.defects import DEFECTS

SEEDS = 300
SEEDS_LONG = 10_000


def simulate(*arguments: str, hash_seed: str = "0", patience_s: float = 290.0) -> subprocess.CompletedProcess[str]:
    """Run the simulation in a process of its own: it replaces the machine's clock, chance and network."""
    environment: Mapping[str, str] = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-m", "tests.simulation", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=patience_s, check=False)


def digest(done: subprocess.CompletedProcess[str]) -> str:
    """Return the digest of the one run that was printed."""
    found = re.search("^digest ([0-9a-f]{64})$", done.stdout, re.MULTILINE)
    assert found is not None, done.stdout + done.stderr
    return found[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_what_must_hold_holds_through_100_lives_that_pass_every_failpoint() -> None:
    """A hundred, which take half a minute on two processors; the next test has more."""
    done = simulate("--seeds", "0:100", patience_s=590.0)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "100 seeds, 0 broken" in done.stdout
    assert "never reached: none" in done.stdout, done.stdout


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_what_must_hold_holds_through_300_lives_with_a_death_at_every_failpoint() -> None:
    done = simulate("--seeds", f"0:{SEEDS}", patience_s=1190.0)

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{SEEDS} seeds, 0 broken" in done.stdout
    assert "never reached: none" in done.stdout, done.stdout
    assert "never killed at: none" in done.stdout, done.stdout


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_what_must_hold_holds_through_10000_lives() -> None:
    done = simulate("--seeds", f"{SEEDS}:{SEEDS + SEEDS_LONG}", patience_s=7190.0)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", ["5675", "7729"])
def test_a_seed_that_has_found_something_once_finds_it_no_more(seed: str) -> None:
    """A stream that span between two moments that rounding made one; a stand-in that moved on through a reset."""
    assert simulate("--seed", seed).returncode == 0


def test_a_seed_is_lived_through_again_bit_for_bit_whatever_python_hashes() -> None:
    lives = [simulate("--seed", seed, hash_seed=hashes) for seed, hashes in (("5", "1"), ("5", "2"), ("6", "1"))]
    digests = [digest(life) for life in lives]

    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


@pytest.mark.timeout(600)
def test_a_seed_that_finds_something_prints_the_command_that_finds_it_again() -> None:
    found = simulate("--seeds", "0:4", "--defect", "held-twice")
    assert found.returncode == 1
    told = re.search(r"^seed \d+ is broken: (.*)\n  python -m tests.simulation (.*)$", found.stdout, re.MULTILINE)
    assert told is not None, found.stdout + found.stderr

    again = simulate(*told[2].split())
    assert again.returncode == 1
    assert f"BROKEN {told[1]}" in again.stdout


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_planted_defect_is_found() -> None:
    done = simulate("--defects", patience_s=590.0)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": found by seed") == len(DEFECTS)
