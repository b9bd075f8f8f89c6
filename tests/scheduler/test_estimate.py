"""Estimates of starts: small cases by hand, what is not known, calibration on generated and on real logs."""

import csv
import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.estimate import FEWEST, Effort, Ratios, estimate, factor, stretch
from scheduler.ground import Ground
from scheduler.replay import command
from scheduler.replay.estimates import P50, P90, Estimator, Told, score
from scheduler.replay.log import read
from scheduler.replay.policy import POLICIES
from scheduler.replay.simulate import simulate
from scheduler.state import Claim, Config, Job, Lease, SimSlot, State, Unit, UnitRequest, Unnamed, Vendor

S = 1_000_000_000
CONFIG = Config(hold_after_s=0.0)


def venue(*leases: Lease, jobs: tuple[Job, ...], now_s: int = 0, slots: int = 4) -> State:
    """Four slots, of which the leases hold theirs."""
    busy = tuple((lease.end_ns, lease.slots) for lease in leases)
    vendors = (Vendor("a"), Vendor("b"))
    return State(now_s * S, vendors=vendors, jobs=jobs, unnamed=Unnamed(slots, busy), leases=leases)


def lease(job: int, start_s: int, end_s: int, slots: int, vendor: str = "a") -> Lease:
    return Lease(job, job, vendor, start_s * S, end_s * S, slots=slots)


def waiting(job: int, slots: int, duration_s: float, vendor: str = "a") -> Job:
    return Job(job, vendor, Claim(sim_slots=slots, duration_s=duration_s))


def test_a_job_that_starts_now_is_told_so() -> None:
    found = estimate(venue(jobs=(waiting(1, 4, 10),)), 1, CONFIG, Ratios())

    assert (found.wait_s(P50), found.wait_s(P90), found.planned_ns) == (0.0, 0.0, 0)


def test_without_a_past_everything_takes_as_long_as_it_asked_for() -> None:
    state = venue(lease(1, 0, 100, 4), jobs=(waiting(2, 4, 50), waiting(3, 4, 10)))

    assert estimate(state, 2, CONFIG, Ratios()).wait_s(P50) == 100.0
    assert estimate(state, 3, CONFIG, Ratios()).wait_s(P90) == 150.0


def test_jobs_take_what_their_vendors_jobs_took_before() -> None:
    ratios = Ratios([("a", 0.5)] * FEWEST + [("b", 0.25)] * FEWEST)
    jobs = (waiting(2, 4, 40, "b"), waiting(3, 4, 10))
    state = venue(lease(1, 0, 100, 4), jobs=jobs)
    found = estimate(state, 3, replace(CONFIG, backfill=POLICIES["fcfs"].backfill), ratios)

    assert found.planned_ns == 140 * S
    assert found.wait_s(P50) == 60.0


def test_what_has_run_longer_than_its_like_is_expected_to_run_on() -> None:
    """Half of the past took a tenth, half of it nine tenths: after two tenths only the latter is left."""
    ratios = Ratios([("a", 0.1), ("a", 0.9)] * FEWEST)
    state = venue(lease(1, 0, 100, 4), jobs=(waiting(2, 4, 50),), now_s=20)
    late = venue(lease(1, 0, 100, 4), jobs=(waiting(2, 4, 50),), now_s=95)

    assert set(estimate(state, 2, CONFIG, ratios).starts_ns) == {90 * S}
    assert estimate(late, 2, CONFIG, ratios).wait_s(P50) == 5.0


def test_a_vendor_with_little_past_is_judged_by_all() -> None:
    ratios = Ratios([("b", 0.5)] * FEWEST + [("a", 0.1)])

    assert {ratios.draw("a", 0.2, random.Random(n)) for n in range(9)} == {0.5}
    assert ratios.draw("a", 0.7, random.Random(0)) == 1.0
    assert ratios.draw("a", 1.5, random.Random(0)) == 1.5


def test_only_the_latest_ratios_count() -> None:
    ratios = Ratios([("a", 0.1)] * 5_000 + [("a", 0.9)] * 200)

    assert {ratios.draw("a", 0.0, random.Random(n)) for n in range(50)} == {0.9}


@pytest.mark.parametrize("ratio", [-0.1, float("nan")])
def test_what_is_no_ratio_is_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match="no ratio"):
        Ratios([("a", ratio)])


def test_nobody_knows_when_a_job_starts_that_asks_for_more_than_there_is() -> None:
    found = estimate(venue(lease(1, 0, 100, 4), jobs=(waiting(2, 5, 50),)), 2, CONFIG, Ratios())

    assert (found.wait_s(P50), found.wait_s(P90), found.planned_ns) == (None, None, None)


def test_nobody_looks_beyond_the_effort() -> None:
    state = venue(lease(1, 0, 100, 4), jobs=tuple(waiting(n, 4, 100) for n in range(2, 12)))

    assert estimate(state, 11, CONFIG, Ratios(), effort=Effort(futures=2)).wait_s(P50) == 1_000.0
    assert estimate(state, 11, CONFIG, Ratios(), effort=Effort(2, cycles_max=5)).wait_s(P50) is None
    assert estimate(state, 11, CONFIG, Ratios(), effort=Effort(2, horizon_s=900)).wait_s(P50) is None


def test_a_job_that_does_not_wait_has_no_estimate() -> None:
    with pytest.raises(KeyError):
        estimate(venue(jobs=(waiting(1, 4, 10),)), 2, CONFIG, Ratios())


def test_named_things_without_a_lease_come_free_at_their_planned_end() -> None:
    """A unit that its host has not let go yet, a slot that a vanished lease holds."""
    want = Job(1, "a", Claim((UnitRequest(1, "arm"),), 1, None, 10.0))
    state = State(
        0,
        units=(Unit("u", "m", "arm", free=False, end_ns=30 * S),),
        slots=(SimSlot("s", False, 40 * S),),
        vendors=(Vendor("a"),),
        jobs=(want,),
    )

    assert estimate(state, 1, CONFIG, Ratios()).wait_s(P50) == 40.0


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 90), st.sampled_from("ab")), min_size=1, max_size=12),
    st.integers(0, 5),
)
@settings(max_examples=50, deadline=None)
def test_the_same_question_has_the_same_answer_and_quantiles_rise(rows: list[tuple[int, int, str]], seed: int) -> None:
    ratios = Ratios([(vendor, n / FEWEST) for n in range(FEWEST + 1) for vendor in "ab"])
    jobs = tuple(waiting(n + 10, *row) for n, row in enumerate(rows))
    state = venue(lease(1, 0, 100, 3), lease(2, -50, 60, 1, "b"), jobs=jobs)
    found = [estimate(state, jobs[-1].job, CONFIG, ratios, effort=Effort(9, seed=seed)) for _ in range(2)]
    waits_s = [found[0].wait_s(level / 10) for level in range(1, 11)]

    assert found[0] == found[1]
    assert waits_s == sorted(waits_s)
    assert all(start_ns is None or start_ns >= state.now_ns for start_ns in found[0].starts_ns)


@given(st.floats(0.2, 5.0), st.integers(0, 50))
def test_stretching_brings_any_constant_error_to_its_level(error: float, seed: int) -> None:
    """Of exchangeable jobs, at least the level's share waits no longer than told, and not much more."""
    chance = random.Random(seed)
    told_s = [chance.uniform(100, 10_000) for _ in range(600)]
    pairs = [(told, stretch(told, error * chance.uniform(0.5, 1.5))) for told in told_s]
    by = factor(pairs[:200], P90)
    covered = sum(real <= stretch(told, by) for told, real in pairs[200:]) / 400

    assert 0.8 < covered < 0.98


def test_too_little_past_stretches_nothing() -> None:
    assert factor([(1.0, 100.0)] * 29, P50) == 1.0
    assert factor([(60.0, 180.0)] * 30, P50) == 2.0
    assert stretch(60.0, 2.0) == 180.0
    assert stretch(0.0, 0.5) == 0.0


def test_scores_by_hand() -> None:
    """Two jobs told 10 s; one waited 10 s, the other 30 s; one that started at once does not count."""
    told = [Told(n, n == 2, (10.0,) * 10, (10.0,) * 10, None, (20.0,) * 10) for n in range(3)]
    found = {(one.way, one.level): one for one in score(told, (10, 30, 0))}

    assert found["estimate", P50].coverage == 0.5
    assert found["estimate", P50].pinball_s == pytest.approx(0.5 * 20 / 2)
    assert found["estimate", P90].pinball_s == pytest.approx(0.9 * 20 / 2)
    assert found["past waits", P90].pinball_s == pytest.approx((0.1 * 10 + 0.9 * 10) / 2)
    assert (found["as requested", P50].jobs, found["as requested", P50].unknown) == (0, 2)


def test_estimating_changes_nothing_in_the_ground_that_it_looks_at() -> None:
    ground = Ground(venue(lease(1, 0, 100, 4), jobs=(waiting(2, 4, 50),)))
    before = ground.state(0)
    twin = ground.copy()
    twin.end(1, 50 * S)
    twin.step(50 * S, CONFIG)

    assert ground.state(0) == before
    assert [held.job for held in twin.leases()] == [2]


def test_the_command_writes_what_was_told_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    rows = [f"{n},{n * 5},{20 + n % 7},{1 + n % 4},60,u{n % 3}" for n in range(60)]
    log.write_text("\n".join(["job_id,submit_s,run_s,procs,requested_s,user", *rows]))
    out, plot = tmp_path / "told.csv", tmp_path / "told.png"
    run = [str(log), "--procs", "8", "--estimates", str(out), "--sample", "40", "--futures", "5", "--plot", str(plot)]

    assert command.main(run) == 0
    assert "40 estimates" in capsys.readouterr().out
    assert plot.read_bytes().startswith(b"\x89PNG")
    with out.open() as file:
        told = list(csv.DictReader(file))
    assert len(told) == 40
    assert all(float(row["p50_s"]) <= float(row["p90_s"]) for row in told)
    assert command.main([*run, "--json"]) == 0
    assert {one["way"] for one in json.loads(capsys.readouterr().out)} >= {"estimate", "as requested"}
    assert command.main([*run, "--policy", "easy", "default"]) == 2


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "procs"), [("KTH-SP2", 100), ("SDSC-SP2", 128)])
def test_estimates_on_real_logs_are_calibrated_and_at_the_median_better_than_any_simple_guess(
    name: str, procs: int, shared: Path
) -> None:
    """At P90 requested times are a good guess too: on the first 15,000 jobs of SDSC-SP2 they are 9 % better."""
    workload = read(shared / "data/traces/pwa-replay" / f"{name}.csv.gz", procs)
    workload = replace(workload, jobs=workload.jobs[:15_000])
    estimator = Estimator(workload, POLICIES["default"], sample=1_500, effort=Effort(futures=20))
    waits_s = simulate(workload, POLICIES["default"], estimator)
    found = {(one.way, one.level): one for one in score(estimator.told, waits_s)}

    assert 0.45 <= found["estimate", P50].coverage <= 0.55
    assert 0.85 <= found["estimate", P90].coverage <= 0.95
    assert found["estimate", P50].unknown == found["estimate", P90].unknown == 0
    for way in ("as requested", "past waits"):
        assert found["estimate", P50].pinball_s < found[way, P50].pinball_s
        assert found["estimate", P90].pinball_s < 1.15 * found[way, P90].pinball_s
