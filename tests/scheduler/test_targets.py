"""Target shares of unlike robots: small cases worked out by hand, what must hold of all, and the process for them."""

import asyncio
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from scheduler import snapshot
from scheduler.commands import running, targeting
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.targets import demand
from scheduler.targets.loop import NoTargets, computed, run
from scheduler.targets.model import Problem, Tenant, Unsolved, factors, ratios, solve
from tests.scheduler.site import VENUE, FakeClock, Site, job, play

LIMIT_S = 10.0


def test_each_gets_more_of_what_it_is_better_at() -> None:
    """A is twice as fast on the first of two units, B as fast on both. With the equal split A gets (2 + 1) / 2 = 1.5,
    B 1. A gives up x of the first for all of the second: (2 - 2 x) / 1.5 = 1 + x, so x = 1/7 and both get 8/7."""
    found = solve(
        Problem({"a": 1, "b": 1}, {"A": Tenant(1, {"a": 2, "b": 1}), "B": Tenant(1, {"a": 1, "b": 1})}), LIMIT_S
    )

    assert found.level == pytest.approx(8 / 7)
    assert found.units["A"] == pytest.approx({"a": 6 / 7, "b": 0.0}, abs=1e-6)
    assert found.units["B"] == pytest.approx({"a": 1 / 7, "b": 1.0}, abs=1e-6)


def test_who_can_use_different_things_gets_all_of_them() -> None:
    """Of the split by weight each would use half of one class only: twice that is all of it."""
    problem = Problem({"a": 3, "b": 5}, {"A": Tenant(1, {"a": 7.0}), "B": Tenant(1, {"b": 0.1})})
    found = solve(problem, LIMIT_S)

    assert found.level == pytest.approx(2.0)
    assert (found.units["A"]["a"], found.units["B"]["b"]) == (pytest.approx(3.0), pytest.approx(5.0))
    assert factors(problem, found) == pytest.approx({"A": 3 / 4, "B": 5 / 4})


def test_where_all_run_alike_weights_are_left_alone() -> None:
    problem = Problem({"a": 4, "b": 2}, {n: Tenant(w, {"a": 3.0, "b": 1.0}) for n, w in (("A", 2.0), ("B", 1.0))})
    found = solve(problem, LIMIT_S)

    assert found.level == pytest.approx(1.0)
    shares = ratios(problem, found.units)
    assert shares == pytest.approx({"A": 1.0, "B": 1.0})


def test_nothing_of_use_is_left_idle() -> None:
    """C's half of its only unit bounds the smallest ratio at 2; A still gets all of what nobody else can use."""
    problem = Problem(
        {"a": 1, "b": 4}, {"C": Tenant(1, {"a": 1.0}), "A": Tenant(1, {"b": 1.0}), "B": Tenant(1, {"a": 1.0})}
    )
    found = solve(problem, LIMIT_S)

    assert found.level == pytest.approx(1.5)
    assert found.units["A"]["b"] == pytest.approx(4.0)


def test_who_can_use_nothing_is_no_tenant() -> None:
    problem = Problem(
        {"a": 2, "b": 0}, {"A": Tenant(1, {"a": 1.0}), "B": Tenant(1, {"b": 5.0}), "C": Tenant(1, {"a": 0.0})}
    )
    found = solve(problem, LIMIT_S)

    assert list(found.units) == ["A"]
    assert factors(problem, found) == {"A": pytest.approx(1.0)}
    assert solve(Problem({}, {}), LIMIT_S).units == {}


def test_no_time_is_no_solution() -> None:
    tenants = {f"t{n}": Tenant(1, {f"c{m}": 1.0 + (n * 7 + m * 3) % 11 for m in range(20)}) for n in range(80)}
    with pytest.raises(Unsolved):
        solve(Problem({f"c{m}": m + 1 for m in range(20)}, tenants), 0.0)


problems = st.builds(
    Problem,
    units=st.fixed_dictionaries({name: st.integers(0, 30) for name in "abc"}),
    tenants=st.dictionaries(
        st.sampled_from("ABCDEF"),
        st.builds(
            Tenant,
            st.floats(0.1, 10.0),
            st.dictionaries(st.sampled_from("abc"), st.one_of(st.just(0.0), st.floats(0.01, 100.0))),
        ),
        min_size=1,
    ),
)


@settings(max_examples=150)
@given(problem=problems)
def test_nobody_gets_less_than_by_the_split_and_nothing_is_given_twice(problem: Problem) -> None:
    found = solve(problem, LIMIT_S)

    assert found.level >= 1.0 - 1e-6
    for g, count in problem.units.items():
        assert sum(units.get(g, 0.0) for units in found.units.values()) <= count + 1e-6
    left = Problem(
        {g: n for g, n in problem.units.items() if n},
        {
            name: Tenant(
                problem.tenants[name].weight,
                {g: v for g, v in problem.tenants[name].speed.items() if v and problem.units[g]},
            )
            for name in found.units
        },
    )
    if found.units:
        assert min(ratios(left, found.units).values()) == pytest.approx(found.level, rel=1e-5)
        weights = {name: problem.tenants[name].weight for name in found.units}
        mean = sum(f * weights[name] for name, f in factors(problem, found).items()) / sum(weights.values())
        assert mean == pytest.approx(1.0)


async def measured_unlike(site: Site) -> None:
    """Two arms and one dog; acme's motion runs thrice as fast on arms, rival's never ran on a dog."""
    await site.hello(units=("arm-1", "arm-2"))
    await site.hello("k", units=("arm-3",), robot_class="dog")
    await site.runner()
    for unit, episodes in (("arm-1", 6), ("arm-3", 2)):
        selector = {"unit": f"venues/hall/units/{unit}"}
        body = await site.submit(job(claim={"units": [{"selector": selector}], "duration": {"seconds": 600}}))
        await site.settle()
        attempt = await site.start(body)
        for index in range(episodes):
            episode = episode_pb2.Episode(index=index)
            request = runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance="r/one", episode=episode)
            await site.run(running.catalogue(request))
        site.clock.pass_s(360.0)
        await site.beat(attempt)
        await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
        await site.status(unit, host="h" if unit == "arm-1" else "k", safe_epoch=1)
    site.core.runners.clear()
    await site.submit(job())
    await site.submit(job(collect={"motion": "wave", "robot_model": "own_arm"}), vendor="rival")


def test_demand_is_who_waits_and_how_fast_his_work_runs_where(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await measured_unlike(site)
        found = demand.problem(site.core.read, site.clock.now_ns())
        assert found.units == {"arm": 2, "dog": 1}
        assert found.tenants["acme"].speed == pytest.approx({"arm": 1.0, "dog": 1 / 3})
        assert found.tenants["rival"].speed == {"arm": 1.0, "dog": 1.0}, "never measured: all alike"
        assert set(found.tenants) == {"acme", "rival"}

    play(tmp_path, scene)


def test_a_process_of_its_own_finds_factors_and_deciding_takes_them_as_weights(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await measured_unlike(site)
        found = await computed(tmp_path / "db")
        expected = demand.problem(site.core.read, site.clock.now_ns())
        assert found == pytest.approx(factors(expected, solve(expected, LIMIT_S)))
        await site.run(targeting.put(found | {"nobody": 2.0}))
        weights = {v.vendor: v.weight for v in snapshot.vendors(site.core.read, site.clock.now_ns())}
        assert weights == pytest.approx({"acme": found["acme"], "rival": found["rival"], "third": 2.0})
        assert weights["acme"] != 1.0
        await site.run(targeting.put({"acme": 1000.0, "rival": 0.0}))
        weights = {v.vendor: v.weight for v in snapshot.vendors(site.core.read, site.clock.now_ns())}
        assert weights == {"acme": 4.0, "rival": 0.25, "third": 2.0}, "within bounds"

    async def act() -> None:
        # The process reads the wall clock, so what was measured must be of today.
        async with Site(tmp_path, FakeClock(time.time_ns())) as site:
            await scene(site)

    asyncio.run(act())


FAILING = {
    "a solver that is killed": (sys.executable, "-c", f"import os; os.kill(os.getpid(), {int(signal.SIGKILL)})"),
    "a solver that fails": (sys.executable, "-c", "raise SystemExit('no')"),
    "no answer": (sys.executable, "-c", ""),
    "another answer": (sys.executable, "-c", "print('[1]')"),
    "no number": (sys.executable, "-c", """print('{"factors": {"acme": NaN}}')"""),
}


@pytest.mark.parametrize("case", FAILING)
def test_what_fails_is_no_target(tmp_path: Path, case: str) -> None:
    with pytest.raises(NoTargets):
        asyncio.run(computed(tmp_path / "db", FAILING[case]))


def test_a_solver_that_takes_too_long_is_killed(tmp_path: Path) -> None:
    note = tmp_path / "pid"
    words = (
        sys.executable,
        "-c",
        f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(600)",
    )

    async def act() -> None:
        with pytest.raises(NoTargets, match="within"):
            await computed(tmp_path / "db", words, patience_s=3.0)

    asyncio.run(act())
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_old_targets_stay_when_new_ones_cannot_be_had(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene(site: Site) -> None:
        await site.run(targeting.put({"acme": 2.0}))
        loop = asyncio.create_task(run(tmp_path / "no database", 0.01, site.run))
        while "no new target shares" not in caplog.text:
            await asyncio.sleep(0.01)
        loop.cancel()
        assert site.row("SELECT factor FROM target")["factor"] == 2.0
        await asyncio.gather(loop, return_exceptions=True)

    play(tmp_path, scene)


def test_targets_are_off_unless_asked_for_and_then_forgotten(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        assert site.core._targets is None
        await site.run(targeting.put({"acme": 2.0}))

    async def again(site: Site) -> None:
        assert site.row("SELECT count(*) FROM target")[0] == 0

    play(tmp_path, scene)
    play(tmp_path, again)
    with pytest.raises(BadConfiguration, match="targets_period_s is -1"):
        settings_of(VENUE | {"scheduler": {"targets_period_s": -1}}, "test")


def test_a_scheduler_that_is_asked_to_computes_targets_by_itself(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await measured_unlike(site)
        while not site.row("SELECT count(*) FROM target")[0]:
            await asyncio.sleep(0.05)

    play(tmp_path, scene, scheduler={"targets_period_s": 0.1})
