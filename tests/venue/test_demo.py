"""The demo's plan, its judgement, its tables and its report."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from palaestra.v1 import job_pb2, venue_pb2
from tests.venue.hall import OWN, REAL, VENDORS, at, attempt, broken, ended, good_outcome, units
from venue.outcome import judge, ran_s, waited_s
from venue.plan import NotEnoughRobots, plan
from venue.report import write_report
from venue.table import figures, live_table, summary_table


@pytest.mark.parametrize("models", [OWN, OWN | REAL], ids=["own", "real"])
def test_the_plan_has_three_vendors_eight_jobs_contention_a_fault_and_a_cancel(models: dict[str, str]) -> None:
    everything = plan(units(models), VENDORS)

    assert len(everything) >= 8
    assert {planned.vendor for planned in everything} == set(VENDORS)
    assert [planned.gets_fault for planned in everything].count(True) == 1
    assert [planned.gets_cancelled for planned in everything].count(True) == 1
    assert sum(planned.job.claim.HasField("cell") for planned in everything) >= 2
    assert len({planned.key for planned in everything}) == len(everything)
    keys = {planned.key for planned in everything}
    assert all(planned.after in keys for planned in everything if planned.after)


def test_the_plan_takes_real_robots_where_they_are_and_our_own_elsewhere() -> None:
    def models(given: dict[str, str]) -> set[str]:
        text = "".join(str(planned.job) for planned in plan(units(given), VENDORS))
        return {model for model in OWN | REAL if model in text}

    assert models(OWN | REAL) >= set(REAL)
    assert not models(OWN) & set(REAL)


def test_a_plan_without_robots_says_which_are_missing() -> None:
    with pytest.raises(NotEnoughRobots, match="2 units of class arm, 0 are idle"):
        plan(units({"own_humanoid": "humanoid", "own_quadruped": "quadruped"}), VENDORS)
    offline = units(OWN)
    for unit in offline:
        unit.state = venue_pb2.UNIT_STATE_OFFLINE
    with pytest.raises(NotEnoughRobots, match="class humanoid, 0 are idle"):
        plan(offline, VENDORS)


def test_a_demo_that_went_well_has_no_problems() -> None:
    assert judge(good_outcome()).problems == []


def outcome_with(key: str, **fields: Any) -> Any:
    outcome = good_outcome()
    planned = next(planned for planned in outcome.planned if planned.key == key)
    return replace(outcome, jobs=outcome.jobs | {key: ended(planned, **fields)})


def test_everything_that_went_wrong_is_named() -> None:
    failed = job_pb2.Failure(reason="WORK_FAILED", message="no disk")
    worse = job_pb2.JobResult(return_before=2.0, return_after=1.0)
    went_wrong = {
        "squat is JOB_STATE_FAILED: no disk": outcome_with("squat", state=job_pb2.JOB_STATE_FAILED, failure=failed),
        "walk did not learn: return 2.000 before, 1.000 after": outcome_with("walk", result=worse),
        "dogs-trot was to lose dog-1": outcome_with("dogs-trot"),
        "no unit was broken": good_outcome(faulted_unit=""),
        "no job was cancelled": good_outcome(cancel_took_s=None),
        "the cancel took 2.5 s": good_outcome(cancel_took_s=2.5),
        "pair-wave was never submitted": good_outcome(jobs={}),
    }
    for problem, outcome in went_wrong.items():
        assert any(problem in found for found in judge(outcome).problems), problem


def test_a_fault_other_than_the_injected_one_does_not_count() -> None:
    outcome = good_outcome()
    planned = next(planned for planned in outcome.planned if planned.gets_fault)
    for attempts, problem in (
        ([broken(2.0, 4.0, "dog-4"), attempt(2, 4.5, 9.0, "dog-2")], "was to lose dog-1"),
        ([broken(2.0, 4.0, "dog-1"), attempt(2, 4.5, 9.0, "dog-1")], "ended on dog-1"),
    ):
        job = ended(planned, *attempts)
        (found,) = judge(replace(outcome, jobs=outcome.jobs | {planned.key: job})).problems
        assert problem in found


def test_waiting_and_running_are_those_of_the_scheduler_s_clock() -> None:
    planned = plan(units(OWN), VENDORS)[0]
    job = ended(planned, attempt(1, 2.0, 4.0), attempt(2, 5.0, 8.5))

    assert waited_s(job) == pytest.approx(2.0)
    assert ran_s(job) == pytest.approx(5.5)
    assert figures(job)[:3] == ["2", "2.0", "5.5"]


def rendered(table: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_tables_show_every_job_also_before_it_is_submitted() -> None:
    outcome = good_outcome()
    some = {key: job for key, job in outcome.jobs.items() if key != "walk-eval"}

    live, summary = rendered(live_table(outcome.planned, some)), rendered(summary_table(outcome))
    for planned in outcome.planned:
        assert planned.key in live
        assert planned.key in summary
    assert "waits for its policy" in live


def test_texts_of_vendors_are_no_markup() -> None:
    """A display name may hold anything; rich and the browser both read brackets."""
    outcome = outcome_with("squat", display_name="[red]x[/nonsense]", progress=job_pb2.JobProgress(message="[/b] 50 %"))

    assert "[red]x[/nonsense]" in rendered(summary_table(outcome))
    assert "[/b] 50 %" in rendered(live_table(outcome.planned, outcome.jobs))


def test_the_report_holds_every_job_and_escapes_their_texts(tmp_path: Path) -> None:
    outcome = outcome_with("squat", display_name="<script>alert(1)</script>")
    page = write_report(replace(outcome, problems=["<b>bad</b>"]), tmp_path / "report")
    text = page.read_text()

    assert all(planned.key in text for planned in outcome.planned)
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "&lt;b&gt;bad&lt;/b&gt;" in text
    assert (page.parent / "demo.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_of_a_demo_that_was_interrupted_can_be_written(tmp_path: Path) -> None:
    """Nothing submitted; or a job in the queue, one granted and one under way."""
    outcome = good_outcome(jobs={}, usage=[])
    write_report(outcome, tmp_path / "empty")
    planned = outcome.planned
    queued, granted, under_way = (job_pb2.Job(create_time=at(0.0)) for _ in range(3))
    granted.attempts.append(job_pb2.Attempt(number=1, grant_time=at(1.0)))
    under_way.attempts.append(job_pb2.Attempt(number=1, grant_time=at(1.0), start_time=at(2.0)))
    jobs = {planned[0].key: queued, planned[1].key: granted, planned[2].key: under_way}

    page = write_report(replace(outcome, jobs=jobs), tmp_path / "some")

    assert planned[2].key in page.read_text()
