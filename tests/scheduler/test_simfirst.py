"""Work that is marked so reaches units only after the same work has passed in simulation."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from scheduler import waiting
from scheduler.commands import ending, running
from scheduler.commands.ending import failure
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.simulation import Z_95, success_low
from tests.scheduler.site import VENUE, LiveServer, Site, job, play, refusal

SUCCEEDED, FAILED = job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED
GOOD, BAD = episode_pb2.EPISODE_OUTCOME_SUCCESS, episode_pb2.EPISODE_OUTCOME_FAILURE
CUT = episode_pb2.EPISODE_OUTCOME_ABORTED
SLOT = {"sim_slots": 1, "duration": {"seconds": 60}}
TRAIN = {"task": "reach", "robot_model": "own_arm"}
POLICY = job_pb2.JobResult(policy={"sha256": "ab" * 32})
EVERY_JOB = {"scheduler": {"sim_first": True}}


def state(site: Site, body: job_pb2.Job) -> str:
    return job_pb2.JobState.Name(site.get(body.name).state).removeprefix("JOB_STATE_").lower()


async def carry_out(
    site: Site, body: job_pb2.Job, outcome: int = SUCCEEDED, episodes: tuple[Any, ...] = (), **fields: Any
) -> None:
    attempt = await site.start(body)
    for index, each in enumerate(episodes):
        episode = episode_pb2.Episode(index=index, robot_model="own_arm", outcome=each, content={"sha256": "ab" * 32})
        await site.run(
            running.catalogue(
                runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance="r/one", episode=episode)
            )
        )
    await site.finish(attempt, outcome, **fields)
    await site.settle()


async def in_simulation(site: Site, *episodes: Any, vendor: str = "acme", outcome: int = SUCCEEDED) -> None:
    body = await site.submit(job(0, 1), vendor)
    await site.settle()
    fields = {"failure": failure("WORK_FAILED", "broke", retryable=False)} if outcome == FAILED else {}
    await carry_out(site, body, outcome, episodes, **fields)


def test_units_wait_until_the_same_work_has_passed_in_slots(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        real = await site.submit(job(sim_first=True))
        free = await site.submit(job())
        await site.settle()
        assert [state(site, each) for each in (real, free)] == ["queued", "granted"]
        await in_simulation(site, GOOD, GOOD, GOOD, GOOD)
        assert state(site, real) == "granted"
        assert site.row("SELECT count(*) FROM sim_gate")[0] == 0
        again = await site.submit(job(sim_first=True, collect={"motion": "sway", "seed": 5, "episodes": 9}))
        await site.settle()
        assert state(site, again) == "granted", "the same work, whatever its seed and number of episodes"

    play(tmp_path, scene)


NOT_PASSED: dict[str, Any] = {
    "too few episodes to know": {"episodes": (GOOD, GOOD, GOOD)},
    "too many failures": {"episodes": (GOOD, GOOD, GOOD, GOOD, BAD, BAD)},
    "nothing but cut-off episodes": {"episodes": (CUT,) * 9},
    "no episode at all": {"episodes": ()},
    "a failed job": {"episodes": (GOOD,) * 9, "outcome": FAILED},
    "another vendor's": {"episodes": (GOOD,) * 9, "vendor": "rival"},
}


@pytest.mark.parametrize("case", NOT_PASSED)
def test_what_does_not_count_as_passed_opens_no_gate(tmp_path: Path, case: str) -> None:
    fields = dict(NOT_PASSED[case])
    episodes = fields.pop("episodes")

    async def scene(site: Site) -> None:
        await site.connect()
        real = await site.submit(job(sim_first=True))
        await in_simulation(site, *episodes, **fields)
        later = await site.submit(job(sim_first=True))
        await site.settle()
        assert [state(site, each) for each in (real, later)] == ["queued", "queued"]

    play(tmp_path, scene)


def test_another_motion_or_model_is_other_work(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await in_simulation(site, *[GOOD] * 9)
        other = await site.submit(job(sim_first=True, collect={"motion": "wave"}))
        both = job(sim_first=True)
        both.claim.alternatives.add(duration={"seconds": 5}).units.add().selector.robot_model = "own_dog"
        site.core._writer.submit(
            lambda tx: tx.db.execute("INSERT INTO unit (id, robot_model) VALUES ('dog', 'own_dog')")
        ).result()
        two = await site.submit(both)
        await site.settle()
        assert [state(site, each) for each in (other, two)] == ["queued", "queued"]
        works = [row["work"] for row in site.rows("SELECT work FROM sim_gate ORDER BY job_id")]
        assert works == ["motion wave on own_arm", "motion sway on own_dog"]

    play(tmp_path, scene)


def test_an_evaluation_lets_its_policy_reach_units_if_it_is_good_enough(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        training = await site.submit(job_pb2.Job(claim=SLOT, train=TRAIN))
        await site.settle()
        await carry_out(site, training, result=POLICY)
        real = await site.submit(job(sim_first=True, collect={"policy_job": training.name}))
        judged = job_pb2.Job(claim=SLOT, evaluate={**TRAIN, "policy_job": training.name})
        for successes, expected in ((16, "queued"), (32, "granted")):
            evaluation = await site.submit(judged)
            await site.settle()
            await carry_out(site, evaluation, result=job_pb2.JobResult(trials=32, successes=successes))
            assert state(site, real) == expected

    play(tmp_path, scene)


def test_a_run_on_units_is_no_simulation(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        real = await site.submit(job(sim_first=True))
        free = await site.submit(job())
        await site.settle()
        await carry_out(site, free, SUCCEEDED, (GOOD,) * 9)
        assert state(site, real) == "queued"
        assert site.row("SELECT count(*) FROM sim_result")[0] == 0

    play(tmp_path, scene)


def test_the_gate_needs_to_know_which_models_it_is_about(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        any_arm = job(sim_first=True)
        any_arm.claim.units[0].selector.Clear()
        any_arm.claim.units[0].selector.robot_class = "arm"
        error = await refusal(site.submit(any_arm))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "job.claim.units")
        assert "robot_model" in error.message
        named = job(sim_first=True)
        named.claim.units[0].selector.Clear()
        named.claim.units[0].selector.unit = "venues/hall/units/arm-2"
        await site.submit(named)
        assert site.row("SELECT work FROM sim_gate")["work"] == "motion sway on own_arm"

    play(tmp_path, scene)


def test_a_venue_can_demand_it_of_every_job_that_asks_for_units(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        real, slots = await site.submit(job()), await site.submit(job(0, 1))
        await site.settle()
        assert [state(site, each) for each in (real, slots)] == ["queued", "granted"]
        await carry_out(site, slots, SUCCEEDED, (GOOD,) * 4)
        assert state(site, real) == "granted"

    play(tmp_path, scene, **EVERY_JOB)


def test_a_switched_rule_holds_for_the_jobs_that_wait_already(tmp_path: Path) -> None:
    async def before(site: Site) -> None:
        await site.run(running.register_runner("r", "r/one", 2))
        await site.submit(job())
        any_arm = job()
        any_arm.claim.units[0].selector.robot_model = ""
        await site.submit(any_arm)
        await site.submit(job(0, 1))
        await site.submit(job(sim_first=True))

    def gates(site: Site) -> list[int]:
        return [row["open_gates"] for row in site.rows("SELECT open_gates FROM job ORDER BY id")]

    async def strict(site: Site) -> None:
        assert gates(site) == [1, 1, 0, 1]
        await site.connect()
        await in_simulation(site, *[GOOD] * 4)
        assert gates(site) == [0, 0, 0, 0, 0]

    async def stricter(site: Site) -> None:
        assert gates(site) == [1, 1, 0, 1, 0], "four of four are no proof of more than nine in ten"

    async def loose(site: Site) -> None:
        assert gates(site) == [0, 0, 0, 0, 0]

    play(tmp_path, before)
    play(tmp_path, strict, **EVERY_JOB)
    play(tmp_path, stricter, scheduler={"sim_first": True, "sim_first_success_min": 0.9})
    play(tmp_path, loose)


def test_a_cancelled_job_leaves_no_gate_behind(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        body = await site.submit(job(sim_first=True))
        await site.run(ending.cancel("acme", body.name.split("/")[3], ""))
        assert site.row("SELECT count(*) FROM sim_gate")[0] == 0

    play(tmp_path, scene)


def test_explain_names_the_work_and_what_would_help(tmp_path: Path) -> None:
    from palaestra import Client

    with LiveServer(tmp_path) as live, Client(live.address, live.token("vendor-acme")) as client:
        name = client.submit(job(sim_first=True)).name
        answer = client.explain(name)
        reason = answer.reasons[0]
        assert reason.constraint == "SIM_FIRST"
        assert answer.summary == "has not passed in simulation yet: motion sway on own_arm"
        assert "sim slots instead of units" in reason.fix
        assert "50%" in reason.fix
        row = live.core.read.execute("SELECT * FROM job").fetchone()
        assert [found.constraint for found in waiting.reasons(live.core.read, row)] == ["SIM_FIRST"]


@pytest.mark.parametrize(
    "table", [{"sim_first": 1}, {"sim_first": "yes"}, {"sim_first_success_min": 1.5}, {"sim_first_success_min": -0.1}]
)
def test_a_rule_that_makes_no_sense_is_refused(table: dict[str, Any]) -> None:
    with pytest.raises(BadConfiguration, match=r"\[scheduler\] sim_first"):
        settings_of(VENUE | {"scheduler": table}, "test")


@given(st.integers(1, 500).flatmap(lambda trials: st.tuples(st.integers(1, trials), st.just(trials))))
def test_the_lower_end_solves_the_equation_that_defines_it(counts: tuple[int, int]) -> None:
    """Wilson: the rate p0 below the observed one from which it lies z standard errors of p0 away."""
    successes, trials = counts
    low = success_low(successes, trials)
    p = successes / trials
    assert 0 < low < p
    assert math.isclose(p - low, Z_95 * math.sqrt(low * (1 - low) / trials), rel_tol=1e-6, abs_tol=1e-9)
    assert success_low(0, trials) == 0.0
