"""A standing that lasts holds no more than what it stands for, whatever has come and gone."""

from collections.abc import Iterator

import pytest

from scheduler import floor
from scheduler.decide import decide
from scheduler.standing import Standing
from scheduler.state import Claim, Config, Job, State, Unit, UnitRequest, Vendor


def sizes(standing: Standing) -> Iterator[int]:
    """Yield how much is remembered of claims."""
    yield len(standing.floor._matching)
    yield len(standing.outlook._set_of)
    yield len(standing.outlook._matrix)
    yield len(standing.outlook._places)
    yield len(standing.queue.shapes)


def test_claims_that_are_never_asked_for_again_leave_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 jobs come and go, each with a load of its own and thereby another choice of units."""
    monkeypatch.setattr(floor, "MATCHING_MAX", 100, raising=False)
    units = tuple(Unit(f"u-{n:04}", f"m-{n}", payload_kg=n) for n in range(2_000))
    standing = Standing.of(State(0, units=units, vendors=(Vendor("acme"),)))
    for number in range(1, 2_001):
        request = UnitRequest(payload_min_kg=number - 0.5)
        standing.submit(Job(number, "acme", Claim((request,), duration_s=60.0)))
        if number % 10 == 0:
            standing.outlook.feasible(0, [(1 << 62, standing.floor.counts())])
            standing.outlook.longing(standing.queue.shapes)
        if number > 10:
            standing.withdraw(number - 10)

    assert max(sizes(standing)) <= 600
    jobs = tuple(standing.queue.jobs.values())
    anew = Standing.of(State(0, units=units, vendors=(Vendor("acme"),), jobs=jobs))
    assert standing.outlook.longing(standing.queue.shapes) == anew.outlook.longing(anew.queue.shapes)
    config = Config(hold_after_s=0.0)
    assert decide(standing, 0, config) == decide(anew, 0, config)
