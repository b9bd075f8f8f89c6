"""Scenarios: files, draws, scenes, trials, and what the check finds in bad files."""

import dataclasses
import itertools
import json
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.__main__ import main as room
from sim.catalog import find
from sim.check import check_path
from sim.check.scenario import mistakes, schema
from sim.check.schema import violations
from sim.errors import BrokenScenario, Misfit, UnknownScenario
from sim.scenarios.catalogue import robots_for, try_out
from sim.scenarios.draws import DYNAMIC, QUANTITIES, drawn, ranges_at
from sim.scenarios.fixtures.part import Mover
from sim.scenarios.names import LEVELS, SECTORS
from sim.scenarios.scenario import FOLDER, Economics, find_scenario, parse_scenario, scenario_ids, scenarios
from sim.scenarios.trial import Trial, mover_at, run

SHIPPED = sorted(scenario_ids())


def table(id_: str) -> dict[str, Any]:
    return tomllib.loads(scenario_ids()[id_].read_text("utf-8"))


def found(tables: dict[str, Any], id_: str) -> list[str]:
    wrong = [reason for _, reason in violations(tables, schema())]
    return wrong or [reason for _, reason, _ in mistakes(tables, scenario_ids()[id_])]


def test_eight_sectors_have_five_scenarios_or_more_each_and_all_files_are_right() -> None:
    by_sector = {sector: [s for s in scenarios().values() if s.sector == sector] for sector in SECTORS}
    assert len(SECTORS) == 8
    assert all(len(found) >= 5 for found in by_sector.values())
    assert [str(one) for one in check_path(FOLDER)] == []


def test_a_limit_whose_source_nobody_looked_up_says_so_where_it_stands() -> None:
    for id_, path in scenario_ids().items():
        lines = [line for line in path.read_text("utf-8").splitlines() if line.startswith("force_max_n")]
        assert all("assumption" in line for line in lines), id_


def test_every_level_differs_from_the_one_below_and_the_first_is_fixed() -> None:
    for one in scenarios().values():
        ranges = [ranges_at(one.levels, level) for level in LEVELS]
        assert ranges[0] == {}
        assert all(low != high for low, high in itertools.pairwise(ranges)), one.id
        assert set(ranges[3]) & set(DYNAMIC)


def test_a_scenario_for_one_class_of_robots_says_why_where_it_says_so() -> None:
    alone = [scenario_ids()[one.id] for one in scenarios().values() if len(one.robot_classes) == 1]
    for path in alone:
        lines = path.read_text("utf-8").splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("robot_classes"))
        assert lines[at - 1].startswith("# "), path.name
    assert len(alone) <= 5


@given(seed=st.integers(0, 2**40), level=st.integers(1, 4), id_=st.sampled_from(SHIPPED))
def test_draws_lie_in_their_ranges_and_belong_to_seed_and_quantity_alone(seed: int, level: int, id_: str) -> None:
    ranges = ranges_at(scenarios()[id_].levels, level)
    values = drawn(ranges, scenario=id_, level=level, seed=seed)
    assert values == drawn(ranges, scenario=id_, level=level, seed=seed)
    for name, value in values.items():
        low, high = ranges.get(name, (QUANTITIES[name].default,) * 2)
        assert low <= value <= high
    for name in ranges:
        alone = drawn({name: ranges[name]}, scenario=id_, level=level, seed=seed)
        assert alone[name] == values[name]


def test_another_seed_draws_another_scene_and_level_one_is_always_the_same() -> None:
    scenario, arm = find_scenario("machine-start"), find("own_arm")

    def place(level: int, seed: int) -> list[float]:
        scene = Trial(scenario, arm, level=level, seed=seed).scene
        return [float(v) for v in scene.data.body("start").xpos]

    assert place(1, 0) == place(1, 7)
    assert place(2, 0) != place(2, 7)


@pytest.mark.parametrize(
    ("id_", "robot", "level"),
    [
        ("machine-start", "own_arm", 1),
        ("bench-assembly", "own_torso", 2),
        ("parcel-sorting", "own_arm", 4),
        ("gauge-reading", "own_arm", 3),
        ("back-support", "own_torso", 1),
        ("aisle-passing", "own_mobile_base", 4),
    ],
)
def test_only_the_policy_that_should_pass_succeeds(id_: str, robot: str, level: int) -> None:
    scenario = find_scenario(id_)
    # An idle robot is watched for as long as the task may take: for all of it in the long test below, here for a while.
    short = dataclasses.replace(scenario, limits=dataclasses.replace(scenario.limits, time_max_s=3.0))
    where: dict[str, Any] = {"levels": [level], "seeds": [0], "robot": robot}
    tried = [*try_out([scenario], policies=["pass", "fail"], **where), *try_out([short], policies=["idle"], **where)]
    outcomes = {one.policy: one for one in tried}
    assert outcomes["pass"].outcome.success, outcomes["pass"].outcome.why
    assert not outcomes["fail"].outcome.success
    assert not outcomes["idle"].outcome.success
    assert outcomes["fail"].outcome.why and outcomes["idle"].outcome.why
    assert outcomes["pass"].outcome.energy_j > outcomes["idle"].outcome.energy_j


@pytest.mark.long
@pytest.mark.parametrize("id_", SHIPPED)
def test_every_scenario_passes_and_fails_as_scripted_at_every_level_under_three_seeds(id_: str) -> None:
    trials = try_out([find_scenario(id_)], levels=tuple(LEVELS), seeds=range(3))
    wrong = [f"L{t.level} {t.robot} seed {t.seed} {t.policy}: {t.outcome.why}" for t in trials if not t.as_meant]
    assert wrong == []


def test_a_trial_is_the_same_to_the_bit_when_it_is_run_again() -> None:
    scenario, arm = find_scenario("coffee-button"), find("own_arm")
    one, other = (run(scenario, arm, level=4, seed=3, policy="pass") for _ in range(2))
    assert one == other


def test_the_same_file_serves_robots_of_two_classes_at_the_same_work_point() -> None:
    scenario = find_scenario("cabinet-opening")
    tips = []
    for entry in robots_for(scenario):
        scene = Trial(scenario, entry, level=1, seed=0).scene
        tips.append(scene.data.site("scenario_tip").xpos)
    assert len(tips) == 2
    assert np.allclose(tips[0], tips[1], atol=0.01)


def test_success_that_cannot_be_reached_or_missed_is_told_by_trials(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A button that no arm gets to; and a place that the robot stands in from the start."""
    folder = tmp_path / "manufacturing"
    folder.mkdir()
    text = scenario_ids()["machine-start"].read_text("utf-8")
    text = text.replace("time_max_s = 12.0", "time_max_s = 2.0")
    far = folder / "machine-start.toml"
    far.write_text(text.replace('name = "start"\nx_m = 0.06', 'name = "start"\nx_m = 1.5'), "utf-8")
    words = ["--robot", "own_arm", "--level", "1", "--policy", "pass"]
    assert room(["scenarios", "run", str(far), *words]) == 1
    assert "not as it should be" in capsys.readouterr().out
    (finding,) = check_path(far)
    assert "success cannot be reached: the script that should pass with own_arm does not" in finding.reason
    assert far.read_text().splitlines()[finding.line - 1] == "[goal]"

    folder = tmp_path / "warehousing"
    folder.mkdir()
    near = folder / "aisle-passing.toml"
    text = scenario_ids()["aisle-passing"].read_text("utf-8").replace(', "quadruped"', "").replace("x_m = 3.7\n", "")
    text = text.replace('zones = ["before", "behind"]', 'zones = ["behind"]').replace("= 60.0", "= 2.0")
    near.write_text(text, "utf-8")
    (finding,) = check_path(near)
    assert "success cannot fail: a robot that does nothing (own_mobile_base) succeeds within" in finding.reason
    # In this process, however many cores there are.
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0})
    assert room(["scenarios", "check", str(near)]) == 1
    said = capsys.readouterr().out
    assert "L1 own_mobile_base seed 0: success cannot fail: a robot that does nothing succeeds" in said


def test_the_economics_of_a_run_are_those_of_the_file_that_was_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own, whether its id is one of those that are shipped or not."""
    folder = tmp_path / "inspection"
    folder.mkdir()
    text = scenario_ids()["gauge-reading"].read_text("utf-8")
    cycle_cny = table("gauge-reading")["economics"]["value_per_cycle_cny"]
    words = ["--robot", "own_arm", "--level", "1", "--policy", "pass"]
    for id_ in ("gauge-reading", "my-gauge"):
        worthless = text.replace(f"value_per_cycle_cny = {cycle_cny}", "value_per_cycle_cny = 0.001")
        file = folder / f"{id_}.toml"
        file.write_text(worthless.replace('id = "gauge-reading"', f'id = "{id_}"'), "utf-8")
        assert room(["scenarios", "run", str(file), *words]) == 0
        said = capsys.readouterr().out
        assert f"{id_}: 100% of 1 passed" in said and "never paid back" in said


def _drop(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(tables: dict[str, Any]) -> None:
        for key in path[:-1]:
            tables = tables[key]
        del tables[path[-1]]

    return change


def _set(value: Any, *path: Any) -> Callable[[dict[str, Any]], None]:
    def change(tables: dict[str, Any]) -> None:
        at: Any = tables
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_set("manufactoring", "sector"), "did you mean manufacturing?"),
        (_set("operat", "family"), "did you mean operate?"),
        (_set("buton", "fixtures", 0, "kind"), "did you mean button?"),
        (_set("strat", "goal", "control"), "no fixture 'strat'; did you mean start?"),
        (_set("operator", "goal", "control"), "fixture 'operator' is no control; those are button, switch"),
        (_set(12.0, "fixtures", 0, "travel_m"), "a factor of 1,000 too large"),
        (_set(0.1, "fixtures", 0, "travle_m"), "did you mean travel_m?"),
        (_set("operator", "fixtures", 0, "name"), "two fixtures are named 'operator'"),
        (_set({}, "level", "2"), "level 2 is structured: it must draw a pose"),
        (_set({"light_scale": [1.0, 1.0]}, "level", "3"), "draws nothing: both ends are 1"),
        (_set({}, "level", "3"), "level 3 is open"),
        (_set({}, "level", "4"), "level 4 is dynamic"),
        (_set({"x_m": [0.0, 0.1]}, "level", "1"), "level 1 is fixed"),
        (_set([0.1, -0.1], "level", "2", "x_m"), "0.1 is above -0.1"),
        (_set([0.5, 1.0], "level", "2", "person_speed_m_s"), "may be drawn from level 4 on"),
        (_drop("level", "4"), "4 is missing"),
        (_set(["arm", "humanoid"], "robot_classes"), "nobody has scripted 'operate' for a humanoid"),
        (_set(20.0, "goal", "hold_s"), "cannot be met within limits.time_max_s"),
        (_drop("economics", "source"), "source is missing"),
        (_set("other", "id"), "is not the file's name"),
    ],
)
def test_a_mistake_in_a_file_is_found_with_its_reason(change: Callable[[dict[str, Any]], None], reason: str) -> None:
    tables = table("machine-start")
    assert found(tables, "machine-start") == []
    change(tables)
    assert any(reason in one for one in found(tables, "machine-start"))


def test_a_mistake_is_found_in_its_line(tmp_path: Path) -> None:
    folder = tmp_path / "manufacturing"
    folder.mkdir()
    lines = scenario_ids()["machine-start"].read_text("utf-8").splitlines()
    at = lines.index('control = "start"')
    lines[at] = 'control = "stop"'
    file = folder / "machine-start.toml"
    file.write_text("\n".join(lines), "utf-8")
    assert [(one.line, one.where) for one in check_path(file)] == [(at + 1, "goal.control")]


def test_a_robot_of_another_class_and_unknown_names_are_refused_with_what_there_is() -> None:
    with pytest.raises(Misfit, match="is for arm, dual_arm; 'own_quadruped' is a quadruped"):
        Trial(find_scenario("machine-start"), find("own_quadruped"), level=1, seed=0)
    with pytest.raises(UnknownScenario, match="did you mean machine-start"):
        find_scenario("machine-strat")
    with pytest.raises(BrokenScenario, match="demand is missing"):
        parse_scenario(
            {key: value for key, value in table("machine-start").items() if key != "demand"},
            id_="machine-start",
            sector="manufacturing",
        )


@given(
    value=st.floats(0.01, 100),
    cost=st.floats(0, 100),
    cycle=st.floats(1, 1000),
    rate=st.just(0.0) | st.floats(1e-6, 1),
)
def test_a_unit_is_paid_back_when_its_yearly_margin_has_summed_up(
    value: float, cost: float, cycle: float, rate: float
) -> None:
    years = Economics(value, cost, 1e5, 4000.0, "test").payback_years(cycle, rate)
    margin_cny_year = 4000.0 * (rate * value * 3600.0 / cycle - cost)
    if margin_cny_year > 0:
        assert years * margin_cny_year == pytest.approx(1e5)
    else:
        assert years == float("inf")


@given(time_s=st.floats(0, 1000), speed=st.floats(0, 2))
def test_somebody_who_walks_stays_on_their_way_and_keeps_their_speed(time_s: float, speed: float) -> None:
    mover = Mover("x", (1.0, 2.0, 0.0), (0.0, 1.5, 0.0), speed)
    at, later = mover_at(mover, time_s), mover_at(mover, time_s + 0.01)
    assert at[0] == 1.0 and abs(at[1] - 2.0) <= 1.5 + 1e-9
    assert float(np.linalg.norm(later - at)) <= 0.01 * speed + 1e-9


def test_what_is_carried_falls_when_the_cup_is_too_weak_for_it() -> None:
    """Nothing is glued on: fifteen kilograms stay where they are."""
    scenario = find_scenario("medicine-handing")
    pieces = tuple(
        dataclasses.replace(piece, sizes={**piece.sizes, "mass_kg": 15.0}) if piece.kind == "thing" else piece
        for piece in scenario.pieces
    )
    outcome = run(dataclasses.replace(scenario, pieces=pieces), find("own_arm"), level=1, seed=0, policy="pass")
    assert not outcome.success
    assert outcome.more["lifted_m"] < 0.02


def test_a_belt_carries_what_lies_on_it_at_its_speed() -> None:
    scenario = find_scenario("line-feeding")
    levels = {**scenario.levels, 4: {"target_speed_m_s": (0.03, 0.03)}}
    fixed = dataclasses.replace(scenario, levels={k: (v if k == 4 else {}) for k, v in levels.items()})
    trial = Trial(fixed, find("own_arm"), level=4, seed=0)
    data = trial.scene.data
    for _ in range(500):
        mujoco.mj_step(trial.scene.model, data)
    start = float(data.body("part.thing").xpos[1])
    for _ in range(500):
        mujoco.mj_step(trial.scene.model, data)
    assert start - float(data.body("part.thing").xpos[1]) == pytest.approx(0.03, rel=0.1)


def test_scenarios_are_listed_and_shown_for_programs_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert room(["scenarios", "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["scenarios"]
    assert {one["id"] for one in listed} == set(SHIPPED)
    assert room(["scenarios", "show", "rescue-stairs", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["levels"]["1"] == {} and "push_n" in shown["levels"]["4"]
    assert shown["economics"]["source"]
    assert room(["scenarios", "show", "rescue-stares"]) == 2
    assert "rescue-stairs" in capsys.readouterr().err
