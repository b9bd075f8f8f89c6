"""The measurements: their command line, and that contestants do the same work."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from bench import peers
from bench.__main__ import BENCHES
from bench.control_kernel import running
from controller import backend

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


def test_peers_compute_what_the_kernel_computes() -> None:
    told = peers.measure(running(16))

    assert {"numpy_law", backend()} <= set(told)
    for name, row in told.items():
        assert row["joint_updates_per_s"] > 0, name
        assert row["largest_difference_nm"] <= 1e-3, name


def test_a_peer_that_computes_another_law_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_numba", lambda columns, arrays: {"numba_law": lambda: arrays[-1] + 1.0})
    with pytest.raises(AssertionError, match="numba_law computes another law"):
        peers.measure(running(16))
