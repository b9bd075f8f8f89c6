"""Reports of data sets: every episode counted, a sample looked at, one page that needs nothing else."""

import contextlib
import hashlib
import io
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.store_quality import SENSOR, clean_track, planted
from store import EpisodeRecorder, LocalObjects, Outcome
from store.__main__ import main
from store.reports import Sample, Tally, choose, read_facts
from store.reports.facts import DURATION_EDGES_S, KEYS_MAX, BadFacts
from store.reports.page import code_sha256
from tests.store.conftest import build_header

SHA = "ab" * 32


def fact(number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return a fact of an episode that succeeded."""
    values: dict[str, Any] = {
        "name": f"vendors/acme/episodes/e-{number}",
        "sha256": hashlib.sha256(str(number).encode()).hexdigest(),
        "robot_model": "own_arm",
        "maker": "Own",
        "scenario": "",
        "outcome": "success",
        "cause": "",
        "duration_s": 2.0,
        "rows": 200,
        "quality": 0.9,
        "parts": {"timing": 0.5},
        "labels": {},
    }
    return values | changes


def seal(root: Path, number: int, track: Any) -> str:
    header = build_header(joints=6, name=f"vendors/acme/episodes/e-{number}")
    signals = {name: np.zeros((len(track.time_s), header.width(name)), np.float32) for name in header.signals}
    signals |= {name: values for name, values in track.signals.items() if name != SENSOR}
    with EpisodeRecorder(header, root / "spool", LocalObjects(root / "objects")) as recorder:
        recorder.extend(track.time_s, signals)
        return recorder.seal(Outcome("success")).sha256


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four sealed episodes: one twice, one with a jump, one with a gap; and facts of them and two that are gone."""
    folder = tmp_path_factory.mktemp("report")
    tracks = [clean_track(1, duration_s=6.0), clean_track(1, duration_s=6.0), planted("jump", 2), planted("gap", 3)]
    found = [fact(number, sha256=seal(folder, number, track)) for number, track in enumerate(tracks)]
    failed = {"outcome": "failure", "cause": "<script>fell</script>", "labels": {"fault.gap": "3", "review": "open"}}
    found += [fact(4, **failed), fact(5, quality=None, parts={})]
    (folder / "facts.jsonl").write_text("".join(json.dumps(one) + "\n" for one in found))
    return folder


@pytest.fixture(scope="module")
def made(root: Path) -> Any:
    """The report, made by the command; with what that said."""
    words = ["report", str(root / "facts.jsonl"), str(root / "out"), "--objects", str(root / "objects")]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        assert main([*words, "--title", "<b>$x_{"]) == 0
    return root / "out", out.getvalue(), err.getvalue()


def test_a_report_says_what_there_is_and_what_was_looked_at(root: Path, made: Any) -> None:
    """Facts of all six, signals of the four that are there, and the two that are not told."""
    out, said, progress = made

    assert json.loads(said)["sampled"] == 4
    assert "progress: 6 of 6 sampled episodes" in progress
    figures = json.loads((out / "report.json").read_text())
    facts, sample = figures["facts"], figures["sample"]
    assert (facts["episodes"], facts["unscored"], facts["rows"]) == (6, 1, 1200)
    assert facts["counts"]["fault"] == {"gap": 1} and facts["counts"]["findings"] == {"gap": 3}
    assert facts["outcome_by_robot"] == {"own_arm": {"success": 5, "failure": 1}}
    assert sum(facts["parts"]["timing"]) == sum(facts["quality"]) == 5
    assert sample["faults"] == {"gap": 1, "jump": 1}
    assert sample["timing"]["gaps"] == 1 and sample["timing"]["episodes_with_gaps"] == 1
    assert sample["lag_s"]["median"] == pytest.approx(0.06, abs=0.011)
    assert set(sample["refused"]) == {f"vendors/acme/episodes/e-{number}" for number in (4, 5)}
    twins = {f"vendors/acme/episodes/e-{number}" for number in (0, 1)}
    assert [set(pair[:2]) for pair in sample["near_duplicates"]] == [twins]
    assert [set(group) for group in sample["exact_duplicates"]] == [twins]
    shas = [json.loads(line)["sha256"] for line in (root / "facts.jsonl").read_text().splitlines()]
    manifest = hashlib.sha256("".join(f"{sha}\n" for sha in shas).encode()).hexdigest()
    assert figures["record"] == {
        "step": "report",
        "input_sha256": manifest,
        "code_sha256": code_sha256(),
        "parameters": {"size": 200, "seed": 0},
    }
    assert {one["step"] for one in figures["steps"]} >= {"timing", "sensors"}
    assert all(re.fullmatch("[0-9a-f]{64}", one["code_sha256"]) for one in figures["steps"])


def test_the_page_needs_nothing_else_and_runs_nothing(made: Any) -> None:
    """A vendor's words are words; pictures are in the page."""
    page = (made[0] / "report.html").read_text()

    assert "<script" not in page and "&lt;b&gt;$x_{" in page
    assert "default-src 'none'" in page
    pictures = re.findall('src="([^"]*)"', page)
    assert len(pictures) == 7 and all(one.startswith("data:image/png;base64,iVBOR") for one in pictures)
    assert not re.search("https?://", page)


def test_a_sample_is_the_same_in_any_order_and_another_with_another_seed() -> None:
    facts = [fact(number) for number in range(300)]
    mixed = random.Random(1).sample(facts, 300)

    assert sorted(choose(facts, 20)) == sorted(choose(mixed, 20))
    assert len(set(choose(facts, 20)) & set(choose(facts, 20, seed=1))) < 10
    assert len(choose(facts, 1000)) == 300
    assert choose([fact(sha256=""), fact(sha256=SHA), fact(1, sha256=SHA)], 9) == [("vendors/acme/episodes/e-0", SHA)]
    assert choose(facts, 0) == []


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.floats(0, 1e6), st.sampled_from(["success", "failure"]), st.none() | st.floats(0, 1))))
def test_every_episode_is_counted_once_in_every_plot(told: list[tuple[float, str, float | None]]) -> None:
    tally = Tally()
    for duration_s, outcome, quality in told:
        tally.add(fact(duration_s=duration_s, outcome=outcome, quality=quality))

    assert tally.episodes == tally.durations.sum() == tally.quality.sum() + tally.unscored == len(told)
    assert sum(tally.counts.get("outcome", {}).values()) == len(told)
    assert sum(tally.counts.get("cause", {}).values()) == sum(outcome == "failure" for _, outcome, _ in told)
    assert len(DURATION_EDGES_S) == len(tally.durations) + 1


def test_what_is_different_everywhere_takes_no_more_room() -> None:
    """Free words as causes: the first thousand by name, the others counted together."""
    tally = Tally()
    for number in range(KEYS_MAX + 500):
        tally.add(fact(number, outcome="failure", cause=f"cause {number}", robot_model=f"model_{number}"))

    assert len(tally.counts["cause"]) <= KEYS_MAX + 1 and len(tally.by_robot) <= KEYS_MAX + 1
    assert sum(tally.counts["cause"].values()) == KEYS_MAX + 500
    assert sum(number for _, number in tally.top("cause", 5)) == KEYS_MAX + 500


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        json.dumps(fact(duration_s=float("nan"))),
        json.dumps(fact(quality=2)),
        json.dumps({"name": "x"}),
        "[" * 60_000,
        '"' + "x" * (1 << 17) + '"',
    ],
)
def test_a_line_that_is_no_fact_is_refused_by_its_number(tmp_path: Path, line: str) -> None:
    (tmp_path / "facts").write_text(json.dumps(fact()) + "\n" + line + "\n")

    with pytest.raises(BadFacts, match="facts: line 2"):
        list(read_facts(tmp_path / "facts"))


def test_a_joint_that_stays_in_one_place_covers_less_than_one_that_moves() -> None:
    sample = Sample()
    rows = np.stack([np.linspace(-1, 1, 500), np.r_[np.zeros(499), 1.0]], axis=1).astype(np.float32)
    sample.joints["own_arm"] = (("sweeps", "stays"), [rows])

    found = sample.coverage("own_arm")

    assert found["sweeps"]["visited"] == 1.0
    assert found["stays"]["visited"] == pytest.approx(2 / 48)
