"""Whether two recordings part, when and how far: one engine against itself, and against what is made up to differ."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.__main__ import main
from sim.catalog import find
from sim.drift import file
from sim.drift.compare import compare, compare_motion
from sim.drift.record import NUDGE_RAD, Motion, Recording, header, record, triangle
from sim.errors import BrokenRecording

LENGTH_S = 0.2


@pytest.fixture(scope="module")
def arm() -> Motion:
    return record(find("own_arm"), length_s=LENGTH_S)


@pytest.fixture(scope="module")
def walker() -> Motion:
    return record(find("own_quadruped"), length_s=LENGTH_S)


def of(*motions: Motion, version: str = "") -> Recording:
    told = header() | ({"engine_version": version} if version else {})
    return Recording(**told, motions={motion.robot: motion for motion in motions}, left_out={})


def moved(motion: Motion, name: str, row: int, by: float) -> Motion:
    """The same with one quantity elsewhere from the row on, as another engine would have left it."""
    rows, digests = motion.rows[name].copy(), motion.digests[name].copy()
    rows[row:] += by
    digests[row * 10 :] += np.uint64(1)
    return replace(motion, rows={**motion.rows, name: rows}, digests={**motion.digests, name: digests})


def test_one_engine_moves_a_robot_to_the_same_bits_each_time(arm: Motion) -> None:
    found = compare_motion(arm, record(find("own_arm"), length_s=LENGTH_S))

    assert (found.verdict, found.since_s, found.model) == ("same", None, {})
    assert all(drift.parts_s is None and not drift.grows.any() for drift in found.drifts.values())


def test_the_robot_moves_and_the_nudged_one_beside_it_does_too(walker: Motion) -> None:
    """Otherwise there would be nothing that could part."""
    assert np.ptp(walker.rows["angle"], axis=0).min() > 1e-3
    beside = np.abs(walker.rows["angle"] - walker.nudged["angle"]).max()
    assert 0.0 < beside < 1e3 * NUDGE_RAD
    assert len(walker.digests["base"]) == 10 * len(walker.rows["base"]) == round(LENGTH_S / walker.substep_s)


@pytest.mark.parametrize(("by", "verdict", "since_s"), [(1e-13, "rounding", None), (1e-6, "other motion", 0.06)])
def test_what_rounding_makes_is_told_from_another_motion(
    walker: Motion, by: float, verdict: str, since_s: float | None
) -> None:
    found = compare_motion(walker, moved(walker, "base", 2, by))

    assert found.verdict == verdict
    assert found.since_s == pytest.approx(since_s)
    assert found.drifts["base"].parts_s == pytest.approx(0.042)
    assert found.drifts["angle"].parts_s is None
    assert found.drifts["base"].grows[-1] == pytest.approx(by, rel=1e-2)


def test_a_robot_that_blows_up_in_one_version_alone_moves_otherwise(arm: Motion) -> None:
    cut = replace(
        arm,
        rows={name: rows[:3] for name, rows in arm.rows.items()},
        digests={name: bits[:30] for name, bits in arm.digests.items()},
        ended="unstable at 0.060 s",
        controls=0,
    )
    found = compare_motion(arm, cut)

    assert (found.verdict, found.ended, len(found.time_s)) == ("other motion", "unstable at 0.060 s", 3)


def test_a_number_that_is_none_counts_as_a_difference(arm: Motion) -> None:
    assert compare_motion(arm, moved(arm, "speed", 4, float("nan"))).verdict == "other motion"


def test_what_was_compiled_otherwise_is_named(arm: Motion) -> None:
    mass = arm.values["body_mass"].copy()
    mass[-1] *= 1.001
    other = replace(arm, model={**arm.model, "body_mass": 1}, values={**arm.values, "body_mass": mass})
    found = compare_motion(arm, other)

    assert list(found.model) == ["body_mass"]
    assert 0.0 < found.model["body_mass"] <= 1.001e-3


def test_recordings_of_different_questions_are_not_compared(arm: Motion, walker: Motion) -> None:
    with pytest.raises(BrokenRecording, match="targets"):
        compare_motion(arm, replace(arm, controls=arm.controls + 1))
    with pytest.raises(BrokenRecording, match="joints"):
        compare_motion(arm, replace(arm, rows={name: rows[:, :1] for name, rows in arm.rows.items()}))
    with pytest.raises(BrokenRecording, match="no robot in common"):
        compare(of(arm), of(walker))


def test_a_recording_comes_back_from_its_file_as_it_was(arm: Motion, tmp_path: Path) -> None:
    file.save(of(arm, version="3.17.0"), tmp_path / "a.npz")
    back = file.load(tmp_path / "a.npz")

    assert back.engine_version == "3.17.0"
    assert compare(back, of(arm))[0].verdict == "same"
    assert back.motions["own_arm"].model == arm.model


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04" + bytes(60)])
def test_a_file_that_is_no_recording_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(content)
    with pytest.raises(BrokenRecording, match=r"b\.npz"):
        file.load(tmp_path / "b.npz")


def test_an_archive_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    tables: list[dict[str, Any]] = [
        {"x": np.zeros(3)},
        {"about": np.array("{}")},
        {"about": np.array("[1]")},
        {"about": np.array(json.dumps({"format": "palaestra-drift-1"}))},
        {"about": np.array([{"an": "object"}], dtype=object)},
    ]
    for table in tables:
        np.savez(tmp_path / "c.npz", **table)
        with pytest.raises(BrokenRecording, match=r"c\.npz"):
            file.load(tmp_path / "c.npz")


def test_the_command_records_compares_and_draws(
    walker: Motion, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = tmp_path / "one.npz", tmp_path / "other.npz"
    assert main(["drift", "record", str(one), "--robot", "own_quadruped", "--length-s", str(LENGTH_S)]) == 0
    assert main(["drift", "compare", str(one), str(one)]) == 0
    file.save(of(moved(walker, "base", 2, 1e-6), version="3.17.0"), other)
    capsys.readouterr()
    assert main(["drift", "compare", str(one), str(other), "--picture", str(tmp_path / "drift.png")]) == 1

    said = capsys.readouterr().out
    assert "other motion from 0.06 s" in said
    assert "0 same, 0 rounding, 1 other motion" in said
    assert "against 3.17.0" in said
    assert (tmp_path / "drift.png").read_bytes().startswith(b"\x89PNG")
    assert main(["drift", "compare", str(one), str(other), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["robots"][0]
    assert (told["verdict"], told["drifts"]["base"]["parts_s"]) == ("other motion", pytest.approx(0.042))
    assert main(["drift", "compare", str(one), str(tmp_path / "none.npz")]) == 2
    assert main(["drift", "record", str(one), "--robot", "no_such"]) == 2
    assert main(["drift", "record", str(one), "--length-s", "nan"]) == 2


@given(st.floats(-1e3, 1e3))
def test_the_wave_stays_within_its_height(phase: float) -> None:
    assert -1.0 <= triangle(phase) <= 1.0


def test_the_wave_goes_up_and_down_once_in_a_period() -> None:
    assert [triangle(n / 8) for n in range(9)] == [0.0, 0.5, 1.0, 0.5, 0.0, -0.5, -1.0, -0.5, 0.0]
