"""Worlds of a scenario in one slot: whose chance is whose, who drives, and how a trial ends."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.body import Array
from sim.catalog import find
from sim.errors import BadAction, BadSlot, BadSnapshot, Misfit
from sim.scenarios.scenario import find_scenario, scenarios
from sim.slot_process.scenario_slot import ScenarioSlot, trial_seed


def slot(scenario: str = "machine-start", robot: str = "own_arm", **fields: Any) -> ScenarioSlot:
    given = {"level": 3, "script": "pass", "worlds": 1, "seed": 4} | fields
    return ScenarioSlot(find_scenario(scenario), find(robot), **given)


def seek(obs: Array, names: tuple[str, ...]) -> Array:
    """Forward and left to where a robot on the floor sees the place to be: before the door, then at the bed."""
    first = obs[:, [names.index("places")]] < 1.0
    way = np.where(first, *(obs[:, [names.index(f"{p}_x_m"), names.index(f"{p}_y_m")]] for p in ("before", "bed")))
    return np.concatenate([np.clip(2.0 * way, -1.0, 1.0), np.zeros((len(obs), 1))], axis=1)


def test_a_policy_that_goes_where_it_sees_the_place_succeeds_without_any_script() -> None:
    worlds = slot("ward-delivery", "own_mobile_base", script="", level=2, worlds=2)
    moved = worlds.step(seek(worlds.reset(), worlds.observation_names))
    while not (moved.terminated | moved.truncated).all():
        moved = worlds.step(seek(moved.obs, worlds.observation_names))

    assert worlds.success.all(), worlds.failures
    assert worlds.failures == {}
    # Each ended in a step of its own, with the reward for it; the last one with this one.
    assert moved.terminated.all() and moved.reward.max() == 1.0
    assert (worlds.steps < worlds.horizon_steps).all()


def test_a_world_goes_its_own_way_whoever_shares_its_slot() -> None:
    """Its seed, number and episode alone say which; and another episode is another trial."""
    both, alone = slot(worlds=2, first_world=3), slot(first_world=4)
    start = [both.digests()[1], alone.digests()[0]]
    for each in (both, alone):
        for _ in range(20):
            each.step(np.zeros((each.worlds, each.action_size)))
    assert start[0] == start[1]
    assert both.digests()[1] == alone.digests()[0] != start[0]
    assert both.digests()[0] != both.digests()[1]
    # Where fixtures are is the model's and not the state's: it is seen.
    other = alone.reset()
    assert (alone.reset(worlds=[4], episodes=[0]) != other).any()
    assert alone.digests()[0] == start[1]


def test_what_is_added_to_a_script_moves_the_robot_and_does_not_add_up() -> None:
    plain, pushed = slot(), slot()
    offset = np.zeros((1, pushed.action_size))
    offset[0, 0] = 0.2
    for _ in range(30):
        plain.step(np.zeros_like(offset))
        pushed.step(offset)
    apart = pushed.joint_state()[0][0, 0] - plain.joint_state()[0][0, 0]
    assert 0.02 < apart < 0.4


def test_an_action_that_is_no_number_is_refused_or_ends_its_own_world_alone() -> None:
    worlds = slot(worlds=2)
    actions = np.zeros((2, worlds.action_size))
    actions[1, 0] = np.nan
    before = worlds.digests()
    with pytest.raises(BadAction, match=r"worlds \[1\]"):
        worlds.step(actions)
    assert (worlds.digests() == before).all()
    moved = worlds.step(actions, contain=True)
    assert moved.terminated.tolist() == [False, True]
    assert "not finite" in worlds.failures[1]


def test_what_there_is_not_is_refused_by_name() -> None:
    with pytest.raises(BadSlot, match="level 5"):
        slot(level=5)
    with pytest.raises(BadSlot, match="script 'win'"):
        slot(script="win")
    with pytest.raises(Misfit, match="own_quadruped"):
        slot(robot="own_quadruped")
    with pytest.raises(BadSnapshot, match="by its numbers"):
        slot(level=1).snapshot()


@given(
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.integers(0, 2**40)),
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.integers(0, 2**40), st.integers(0, 2**40)),
)
def test_a_trials_seed_belongs_to_job_world_and_episode(one: tuple[int, int, int], other: tuple[int, int, int]) -> None:
    assert trial_seed(*one) == trial_seed(*one) < 2**52
    assert (trial_seed(*one) == trial_seed(*other)) == (one == other)


@pytest.mark.long
@pytest.mark.parametrize("id_", sorted(scenarios()))
def test_what_is_seen_has_the_same_columns_at_every_level(id_: str) -> None:
    from sim.scenarios.catalogue import robots_for

    for entry in robots_for(find_scenario(id_)):
        made = [ScenarioSlot(find_scenario(id_), entry, level=n, script="", worlds=1, seed=9) for n in (1, 4)]
        assert [len(one.observe()[0]) for one in made] == [one.obs_size for one in made]
        assert made[0].observation_names == made[1].observation_names
        assert len(set(made[0].observation_names)) == made[0].obs_size
        assert all(np.isfinite(one.observe()).all() for one in made)
