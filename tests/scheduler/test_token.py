"""Tokens: a state as bytes and back, equal states and equal bytes, and nothing else."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.state import Backfill, Claim, Config, Decisions, Grant, Job, State, Unit, UnitRequest, Vendor
from scheduler.token import (
    CLAIMLESS,
    NAMED,
    BadBytes,
    pack,
    pack_changes,
    pack_decisions,
    previous_of,
    text_of,
    token_of,
    unpack,
    unpack_changes,
)
from tests.scheduler.deciding import decide

finite = st.floats(allow_nan=False)
leaf_claims = st.builds(Claim, alternatives=st.just(()), duration_s=finite)
claims = st.recursive(
    leaf_claims, lambda inner: st.builds(Claim, duration_s=finite, alternatives=st.tuples(inner)), max_leaves=3
)
st.register_type_strategy(float, finite)
st.register_type_strategy(Claim, claims)
# Every field is drawn by its type, those that are added to the contract one day among them.
told = {name: st.from_type(hint) for name, hint in State.__annotations__.items()}
states = st.builds(State, **told)
configs = st.from_type(Config)


@given(states, configs)
@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
def test_bytes_give_the_state_back(state: State, config: Config) -> None:
    data = pack(state, config)

    assert unpack(data) == (state, config)
    assert pack(*unpack(data)) == data
    assert json.dumps(json.loads(data), separators=(",", ":")).encode() == data
    # Put together from what was put into words before.
    texts = {field: dict(enumerate(text_of(field, thing) for thing in getattr(state, field))) for field in CLAIMLESS}
    assert pack(state, config, texts) == data


@given(states)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_change_changes_the_token(state: State) -> None:
    token = token_of(pack(state, Config()))

    assert token_of(pack(replace(state, now_ns=state.now_ns + 1), Config())) != token
    assert token_of(pack(replace(state, runner_ready=not state.runner_ready), Config())) != token
    assert token_of(pack(replace(state, vendors=(*state.vendors, Vendor("another"))), Config())) != token
    assert token_of(pack(state, Config(hold_after_s=12345.0))) != token
    assert token_of(pack(state, Config(backfill=Backfill.NONE))) != token


def named(state: State) -> dict[str, dict[Any, Any]]:
    """Return what a state tells by name."""
    return {field: {getattr(thing, key): thing for thing in getattr(state, field)} for field, key in NAMED.items()}


@given(states, states, configs)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_changes_lead_from_one_state_to_another_and_name_the_one_before(a: State, b: State, config: Config) -> None:
    before, after = named(a), named(b)
    whole = pack(replace(a, **{field: tuple(things.values()) for field, things in before.items()}), Config())
    told = {
        field: {
            name: after[field].get(name)
            for name in {*before[field], *after[field]}
            if before[field].get(name) != after[field].get(name)
        }
        for field in NAMED
    }
    others = {field: getattr(b, field) for field in State.__annotations__ if field not in NAMED}
    data = pack_changes(token_of(whole), told, others, config)
    assert json.dumps(json.loads(data), separators=(",", ":")).encode() == data
    texts = {
        field: {name: text_of(field, thing) for name, thing in told[field].items() if thing is not None}
        for field in CLAIMLESS
    }
    assert pack_changes(token_of(whole), told, others, config, texts) == data
    found, found_config = unpack_changes(whole, [data])

    assert (named(found), found_config) == (after, config)
    assert all(getattr(found, field) == value for field, value in others.items())
    assert (previous_of(data), previous_of(whole)) == (token_of(whole), None)
    with pytest.raises(BadBytes):
        unpack(data)


def test_equal_states_have_equal_bytes_however_they_came_about() -> None:
    """Labels in another order, an equal claim that is another object, whole numbers for lengths of time."""

    def state(labels: dict[str, str], claims: list[Claim]) -> State:
        jobs = tuple(Job(n, "v", claim) for n, claim in enumerate(claims))
        return State(1, units=(Unit("u", "m", labels=labels),), jobs=jobs, vendors=(Vendor("v"),))

    one, twin = Claim(sim_slots=1, duration_s=60), Claim(sim_slots=1, duration_s=60.0)
    first = state({"a": "1", "b": "2"}, [one, one])
    second = state({"b": "2", "a": "1"}, [one, twin])

    assert first == second
    assert pack(first, Config()) == pack(second, Config())


def test_a_decision_is_made_again_from_its_bytes_to_the_byte() -> None:
    units = tuple(Unit(f"u{n}", "m", "arm", labels={"hall": str(n % 2)}) for n in range(6))
    jobs = tuple(Job(n, "vw"[n % 2], Claim((UnitRequest(1 + n % 3, "arm"),), 0, None, 10.0 + n)) for n in range(9))
    state = State(5, units=units, vendors=(Vendor("v"), Vendor("w", 2.0)), jobs=jobs)
    made = decide(state, Config(hold_after_s=0.0))
    again = decide(*unpack(pack(state, Config(hold_after_s=0.0))))

    assert made.grants
    assert made.reservations
    assert pack_decisions(again) == pack_decisions(made)
    assert pack_decisions(replace(made, grants=made.grants[:-1])) != pack_decisions(made)
    assert pack_decisions(Decisions((Grant(1, "v", ("u",), (), None),))) != pack_decisions(Decisions())


def test_a_claim_that_many_jobs_share_is_told_once() -> None:
    claim = Claim((UnitRequest(1, "a-class-with-a-name"),))
    data = pack(State(0, jobs=tuple(Job(n, "v", claim) for n in range(100)), vendors=(Vendor("v"),)), Config())

    assert data.count(b"a-class-with-a-name") == 1


def spoiled() -> list[Any]:
    told = json.loads(pack(State(0), Config()))
    return [
        b"",
        b"{}",
        b"\xff",
        b"[1,2,3]",
        json.dumps(["0" * 16, *told[1:]]).encode(),
        json.dumps([told[0], told[1], told[2][:-1], told[3]]).encode(),
        json.dumps([told[0], told[1], ["soon", *told[2][1:]], told[3]]).encode(),
        json.dumps([told[0], told[1], [True, *told[2][1:]], told[3]]).encode(),
    ]


@pytest.mark.parametrize("data", spoiled())
def test_what_is_no_state_is_refused(data: bytes) -> None:
    with pytest.raises(BadBytes):
        unpack(data)
