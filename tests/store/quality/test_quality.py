"""Checks, score and duplicates on planted faults."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.store_quality import (
    DURATION_S,
    FORCE,
    KINDS,
    LIMITS,
    clean_track,
    duplicates,
    exact_duplicates,
    faults,
    planted,
    streamed,
    twin_faults,
)
from store.episode import STATE, VELOCITY
from store.errors import InvalidEpisode
from store.quality import WEIGHTS, Track, TwinMeasure, check_track, near_duplicates, signature_of
from store.quality.replays import BadReplay, read_replays


@pytest.fixture(scope="module")
def figures() -> dict[str, dict[str, float]]:
    return faults(8)


def test_a_clean_episode_has_no_finding_and_the_score_one() -> None:
    quality = check_track(clean_track(3), motion=LIMITS)
    assert quality.findings == ()
    assert quality.score == pytest.approx(1.0)
    assert set(quality.parts) == set(WEIGHTS) - {"cameras", "twin"}


@pytest.mark.parametrize("kind", KINDS)
def test_planted_faults_are_found_and_nothing_else_is(kind: str, figures: dict[str, dict[str, float]]) -> None:
    assert figures[kind]["recall"] >= 0.9
    assert figures[kind]["precision"] >= 0.9


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "idle"])
def test_a_fault_lowers_the_score_and_one_part_of_it(kind: str) -> None:
    quality = check_track(planted(kind, 5), motion=LIMITS)
    assert quality.score < 1.0
    assert min(quality.parts.values()) < 1.0


def test_a_finding_names_where_the_fault_is() -> None:
    track = clean_track(1)
    state = track.signals[STATE].copy()
    state[700:720, 4] = np.nan
    (found,) = check_track(Track(track.time_s, 100.0, {**track.signals, STATE: state})).findings
    assert (found.kind, found.signal, found.column) == ("not_finite", STATE, 4)
    assert (found.start_s, found.end_s) == pytest.approx((7.0, 7.19))


def test_a_robot_at_rest_is_idle_and_not_frozen() -> None:
    rows = round(DURATION_S * 100)
    track = Track(np.arange(rows) / 100, 100.0, {STATE: np.ones((rows, 2)), VELOCITY: np.zeros((rows, 2))})
    assert {finding.kind for finding in check_track(track).findings} == {"idle"}


def test_the_same_track_gives_the_same_records_and_another_gives_another_hash() -> None:
    one, again, other = (check_track(clean_track(seed)) for seed in (1, 1, 2))
    assert one == again
    assert one.steps[0].input_sha256 != other.steps[0].input_sha256
    assert all(len(step.code_sha256) == 64 for step in one.steps)


@pytest.mark.parametrize("rows", [1, 2, 3, 9])
def test_the_shortest_tracks_are_checked(rows: int) -> None:
    track = Track(np.arange(rows) / 100, 100.0, {STATE: np.zeros((rows, 1)), VELOCITY: np.zeros((rows, 1))})
    assert 0.0 <= check_track(track).score <= 1.0


@pytest.mark.parametrize(
    ("time_s", "rate_hz", "shape", "named"),
    [
        (np.arange(3.0), 0.0, (3, 1), "rate_hz"),
        (np.arange(3.0), 1.0, (2, 1), STATE),
        (np.empty(0), 1.0, (0, 1), "time_s"),
        (np.array([0.0, np.nan]), 1.0, (2, 1), "time_s"),
    ],
)
def test_what_is_no_track_is_refused_by_name(
    time_s: np.ndarray, rate_hz: float, shape: tuple[int, int], named: str
) -> None:
    with pytest.raises(InvalidEpisode, match=named):
        Track(time_s, rate_hz, {STATE: np.zeros(shape)})


def test_perturbed_copies_are_found_and_cousins_are_not() -> None:
    found = duplicates(120)
    assert found["recall"] >= 0.95
    assert found["precision"] >= 0.99


def test_exact_copies_are_told_from_what_differs_by_one_bit() -> None:
    assert exact_duplicates(20) == {"recall": 1.0, "precision": 1.0}


def test_a_unit_that_is_not_its_twin_is_found_and_a_sound_one_is_not() -> None:
    """Weak motors, targets of another time, a wrong sign: by the real core and a replay in the real twin."""
    assert twin_faults(2) == {"recall": 1.0, "precision": 1.0}


def test_a_replay_is_a_part_of_the_score_only_where_there_was_one() -> None:
    """A world that runs otherwise costs half of it; what the step was told is in its record."""
    track = clean_track(4)
    sound, other = (
        check_track(track, motion=LIMITS, twin=TwinMeasure("mujoco 9", same=same)) for same in (True, False)
    )

    assert sound.parts["twin"] == 1.0 and sound.score == pytest.approx(1.0)
    assert other.parts["twin"] == 0.5 and [finding.kind for finding in other.findings] == ["replay"]
    assert other.steps[-1].parameters["engine"] == "mujoco 9"
    assert "twin" not in check_track(track, motion=LIMITS).parts
    # What is no number was not near.
    lost = check_track(track, twin=TwinMeasure("mujoco 9", (float("nan"),)))
    assert [finding.kind for finding in lost.findings] == ["residual"]


@pytest.mark.parametrize(
    "line", ["{", '{"file": "x"}', '{"file": "x", "engine": "m", "same": 1}', '{"file": "x", "lower_rad": [1]}']
)
def test_a_line_that_tells_of_no_replay_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "said").write_text('{"file": "y", "refused": "no model"}\n' + line + "\n")

    with pytest.raises(BadReplay, match="said: line 2"):
        read_replays(tmp_path / "said")


def test_a_stream_that_moves_later_than_the_joints_is_told_by_how_much() -> None:
    """Both ways; a stream that fits, and one in which nothing moves, say nothing."""
    track = clean_track(2)
    for shift_s in (-0.4, 0.4):
        (found,) = check_track(streamed(track, shift_s=shift_s), motion=LIMITS).findings
        assert (found.kind, found.signal) == ("misaligned", FORCE)
        assert found.amount == pytest.approx(shift_s, abs=0.06)
    rest = streamed(track)
    still = replace(rest.streams[FORCE], values=np.zeros_like(rest.streams[FORCE].values))
    assert check_track(replace(rest, streams={FORCE: still}), motion=LIMITS).findings == ()
    assert rest.sha256() != track.sha256()


def test_an_exact_copy_is_at_no_distance_and_another_body_is_no_copy() -> None:
    track = clean_track(1)
    fewer = Track(track.time_s, 100.0, {STATE: track.signals[STATE][:, :3]})
    assert near_duplicates([signature_of(t) for t in (track, fewer, clean_track(1))]) == [(0, 2, 0.0)]
    assert near_duplicates([]) == []


def test_a_real_run_whose_rate_is_said_wrong_is_caught_and_at_its_true_rate_is_clean() -> None:
    """Positions of the recorded run differ by a five-hundredth of its velocities: it is 500 Hz, not 100 Hz."""
    shared = Path(os.environ.get("PALAESTRA_SHARED", "../shared")) / "data" / "robodata"
    path = shared / "walk_four_bodies" / "05-run_UnitreeG1.npz"
    if not path.exists():
        pytest.skip("the real recordings are not here")
    with np.load(path) as held:
        joints = [name for name in held.files if name.startswith("q_") and f"d{name}" in held.files]
        joints = [name for name in joints if held[name].ndim == 1 and not re.search("pelvis|root", name)]
        signals = {
            STATE: np.stack([held[name] for name in joints], axis=1),
            VELOCITY: np.stack([held[f"d{name}"] for name in joints], axis=1),
        }
    said, true = (check_track(Track(np.arange(500) / hz, hz, signals)) for hz in (100.0, 500.0))
    assert sum(finding.kind == "mismatch" for finding in said.findings) > len(joints) / 2
    assert said.score == 0.0
    assert true.findings == ()
