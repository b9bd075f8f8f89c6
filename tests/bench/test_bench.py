"""The measurements' command line."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import BENCHES

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_list_names_every_measurement_with_what_it_measures() -> None:
    lines = bench("--list").stdout.splitlines()

    assert [line.split()[0] for line in lines] == list(BENCHES)
    assert all(len(line.split(maxsplit=1)[1]) > 20 for line in lines)


def test_an_unknown_measurement_is_refused_with_the_known_ones() -> None:
    done = bench("sbumit")

    assert done.returncode == 2
    assert "submit" in done.stderr


@pytest.mark.parametrize("name", list(BENCHES))
def test_every_measurement_can_be_run(name: str) -> None:
    assert callable(importlib.import_module(BENCHES[name]).run)
