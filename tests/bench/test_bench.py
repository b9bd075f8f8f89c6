"""The measurements: their command line, and that contestants do the same work."""

import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench import peers, store_windows, window_peers
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


def test_windows_are_measured_against_readers_of_the_same_rows() -> None:
    told = store_windows.run(1, (2, 3, 4), 0.001, picture=None)

    assert told["windows_per_s"] > 0
    assert told["parquet_windows_per_s"] > 0
    assert [row["episodes"] for row in told["scaling"]] == [2, 3, 4]
    assert (told["ratio_to_lerobot"] is None) == ("lerobot_windows_per_s" not in told)


def test_a_reader_that_gives_other_windows_is_caught() -> None:
    column = np.arange(400.0).reshape(200, 2)
    cuts = {late: lambda first, late=late: _windows(column, first + late) for late in (0, 1)}
    first = np.array([0, 7, 30])

    window_peers.check({"right": cuts[0]}, first, _windows(column, first))
    with pytest.raises(AssertionError, match="late gives other windows"):
        window_peers.check({"right": cuts[0], "late": cuts[1]}, first, _windows(column, first))


def _windows(column: Any, first: Any) -> dict[str, Any]:
    rows = first[:, None] + np.arange(window_peers.LENGTH)
    return dict.fromkeys(window_peers.SIGNALS, column[rows])
