"""Who gets what: properties over generated venues, and worked examples."""

from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.account import dominant_share
from scheduler.matching import cell_matches, choose, matches
from scheduler.state import (
    Cell,
    CellRequest,
    Claim,
    Config,
    Decisions,
    Job,
    Reservation,
    SimSlot,
    State,
    Unit,
    UnitRequest,
    Vendor,
)
from tests.scheduler.deciding import decide

MODELS = ("a", "b")
VENDORS = ("x", "y", "z")
CONFIG = Config(hold_after_s=30.0)

unit_requests = st.builds(UnitRequest, count=st.integers(1, 3), robot_model=st.sampled_from(("", *MODELS)))
claims = st.builds(
    Claim,
    units=st.lists(unit_requests, max_size=2).map(tuple),
    sim_slots=st.integers(0, 3),
    cell=st.none() | st.builds(CellRequest, scenario=st.sampled_from(("", "s", "t"))),
    duration_s=st.sampled_from((10.0, 40.0, 90.0)),
).filter(lambda claim: bool(claim.units or claim.sim_slots))


@st.composite
def venues(draw: Any, age_max_s: int = 25) -> State:
    """Return a venue with some of everything; ages up to 25 s are too young for anything to be held back."""
    flag, mostly = st.booleans(), st.sampled_from((True, True, False))
    now_ns = 1_000_000_000_000
    ends = st.none() | st.integers(-10, 100).map(lambda s: now_ns + s * 1_000_000_000)
    jobs = [
        Job(number, draw(st.sampled_from(VENDORS)), draw(claims), draw(st.integers(-1, 1)),
            now_ns - draw(st.integers(0, age_max_s)) * 1_000_000_000)
        for number in range(draw(st.integers(0, 8)))
    ]  # fmt: skip
    return State(
        now_ns=now_ns,
        units=tuple(
            Unit(f"u-{n}", draw(st.sampled_from(MODELS)), free=draw(flag), usable=draw(mostly), end_ns=draw(ends))
            for n in range(draw(st.integers(0, 6)))
        ),
        slots=tuple(SimSlot(f"s-{n}", draw(flag), draw(ends)) for n in range(draw(st.integers(0, 4)))),
        cells=tuple(
            Cell(f"c-{n}", draw(st.sampled_from(("s", "t"))), free=draw(flag), end_ns=draw(ends)) for n in range(2)
        ),
        vendors=tuple(Vendor(name, draw(st.sampled_from((1.0, 2.0))), draw(st.integers(0, 2))) for name in VENDORS),
        jobs=tuple(jobs),
    )


def fits(claim: Claim, state: State, decisions: Decisions) -> bool:
    """Whether the claim could be met with what the grants leave."""
    gone = {name for grant in decisions.grants for name in (*grant.units, *grant.slots, grant.cell)}
    units = [unit for unit in state.units if unit.free and unit.usable and unit.unit not in gone]
    slots = [slot for slot in state.slots if slot.free and slot.slot not in gone]
    cells = [cell for cell in state.cells if cell.free and cell.cell not in gone]
    wanted = claim.cell
    return (
        claim.sim_slots <= len(slots)
        and (wanted is None or any(cell_matches(wanted, cell) for cell in cells))
        and choose(claim.units, units) is not None
    )


@given(venues(age_max_s=60))
def test_a_grant_is_the_whole_claim_of_what_is_free_and_nothing_is_given_twice(state: State) -> None:
    grants = decide(state, CONFIG).grants
    units = {unit.unit: unit for unit in state.units}
    free_slots = {slot.slot for slot in state.slots if slot.free}
    cells = {cell.cell: cell for cell in state.cells}
    jobs = {job.job: job for job in state.jobs}
    given_away = Counter(name for grant in grants for name in (*grant.units, *grant.slots, grant.cell) if name)

    assert all(count == 1 for count in given_away.values())
    assert len({grant.job for grant in grants}) == len(grants)
    for grant in grants:
        claim = jobs[grant.job].claim
        wanted = [request for request in claim.units for _ in range(request.count)]
        assert grant.vendor == jobs[grant.job].vendor
        assert len(grant.units) == len(wanted)
        assert all(matches(request, units[name]) for request, name in zip(wanted, grant.units, strict=True))
        assert all(units[name].free and units[name].usable for name in grant.units)
        assert len(grant.slots) == claim.sim_slots
        assert free_slots.issuperset(grant.slots)
        assert (grant.cell is None) == (claim.cell is None)
        if claim.cell is not None and grant.cell is not None:
            assert cell_matches(claim.cell, cells[grant.cell])
            assert cells[grant.cell].free


@given(venues(age_max_s=60), st.randoms())
def test_the_order_in_which_things_are_told_does_not_matter(state: State, random: Any) -> None:
    def shuffled(things: tuple[Any, ...]) -> tuple[Any, ...]:
        copy = list(things)
        random.shuffle(copy)
        return tuple(copy)

    same = replace(
        state, units=shuffled(state.units), slots=shuffled(state.slots), cells=shuffled(state.cells),
        vendors=shuffled(state.vendors), jobs=shuffled(state.jobs),
    )  # fmt: skip

    assert decide(same, CONFIG) == decide(state, CONFIG)


@given(venues())
def test_nothing_that_still_fits_is_left_waiting(state: State) -> None:
    """Without a job that waited too long, no job is passed over that could have what is left."""
    decisions = decide(state, CONFIG)
    granted = {grant.job for grant in decisions.grants}

    assert not decisions.reservations
    assert not any(fits(job.claim, state, decisions) for job in state.jobs if job.job not in granted)


def below_entitlement(vendor: Vendor, state: State) -> bool:
    """Among those that hold something or have jobs waiting."""
    waiting = {job.vendor for job in state.jobs}
    active = [v for v in state.vendors if v.held_units or v.held_slots or v.held_cells or v.vendor in waiting]
    totals = (len(state.units), len(state.slots), len(state.cells))
    held = dominant_share(vendor.held_units, vendor.held_slots, vendor.held_cells, totals)
    return vendor in active and held < vendor.weight / sum(v.weight for v in active)


@given(venues(age_max_s=60))
@settings(max_examples=200)
def test_the_job_that_waited_longest_starts_or_holds_the_first_reservation(state: State) -> None:
    """Of the jobs that could start once all leases end, and of vendors that hold less than their weight's part."""
    ended = replace(
        state,
        units=tuple(replace(unit, free=True) for unit in state.units),
        slots=tuple(replace(slot, free=True) for slot in state.slots),
        cells=tuple(replace(cell, free=True) for cell in state.cells),
    )
    below = {vendor.vendor for vendor in state.vendors if below_entitlement(vendor, state)}
    possible = [job for job in state.jobs if job.vendor in below and fits(job.claim, ended, Decisions())]
    longest = min(possible, key=lambda job: (job.create_ns, job.job), default=None)
    if longest is None or state.now_ns - longest.create_ns < CONFIG.hold_after_s * 1e9:
        return
    decisions = decide(state, CONFIG)

    if fits(longest.claim, state, Decisions()):
        assert decisions.grants[0].job == longest.job
    else:
        assert decisions.reservations[0].job == longest.job
    assert decide(ended, CONFIG).grants[0].job == longest.job


def test_without_a_runner_nothing_is_granted() -> None:
    assert decide(venue(units=1, jobs=[want(1, "x", units=1)], runner_ready=False), CONFIG) == Decisions()


def test_dominant_shares_are_equalised_as_in_the_worked_example_of_drf() -> None:
    """Ghodsi et al. 2011, section 4.1: of 9 CPUs and 18 GB, tasks of <1, 4> and <3, 1>: three of A's and two of B's.

    Here units stand for CPUs and sim slots for GB.
    """
    of_a = [want(2 * n, "A", units=1, slots=4) for n in range(9)]
    of_b = [want(2 * n + 1, "B", units=3, slots=1) for n in range(9)]
    grants = decide(venue(units=9, slots=18, jobs=[*of_a, *of_b], vendors="AB"), CONFIG).grants

    assert Counter(grant.vendor for grant in grants) == {"A": 3, "B": 2}
    assert sum(len(grant.units) for grant in grants) == 9


def test_a_vendor_of_twice_the_weight_gets_twice_as_much() -> None:
    jobs = [want(n, "AB"[n % 2], units=1) for n in range(40)]
    state = replace(venue(units=9, jobs=jobs, vendors="AB"), vendors=(Vendor("A", 2.0), Vendor("B", 1.0)))

    assert Counter(grant.vendor for grant in decide(state, CONFIG).grants) == {"A": 6, "B": 3}


def test_what_a_vendor_holds_already_counts() -> None:
    jobs = [want(1, "A", units=1), want(2, "B", units=1)]
    state = replace(venue(units=4, free=1, jobs=jobs, vendors="AB"), vendors=(Vendor("A", held_units=3), Vendor("B")))

    assert [grant.vendor for grant in decide(state, CONFIG).grants] == ["B"]


def test_of_equal_vendors_the_one_that_used_less_before_goes_first() -> None:
    jobs = [want(1, "A", units=1), want(2, "B", units=1)]
    state = replace(venue(units=1, jobs=jobs, vendors="AB"), vendors=(Vendor("A", used_share=9.0), Vendor("B")))

    assert [grant.vendor for grant in decide(state, CONFIG).grants] == ["B"]


def test_within_a_vendor_priority_goes_before_age() -> None:
    jobs = [want(1, "A", units=1), want(2, "A", units=1, priority=5), want(3, "A", units=1, priority=5)]

    assert [grant.job for grant in decide(venue(units=2, jobs=jobs, vendors="A"), CONFIG).grants] == [2, 3]


def test_another_vendors_priority_says_nothing() -> None:
    jobs = [want(1, "A", units=1), want(2, "B", units=1, priority=100)]

    assert [grant.job for grant in decide(venue(units=1, jobs=jobs, vendors="AB"), CONFIG).grants] == [1]


def test_a_large_gang_that_waited_long_is_held_for_and_starts() -> None:
    """Units come free one by one while small jobs queue up; the gang gets them all in the end."""
    gang = want(0, "A", units=3, age_s=31.0)
    small = [want(n, "B", units=1, age_s=1.0) for n in range(1, 9)]
    for free in (1, 2):
        decisions = decide(venue(units=3, free=free, jobs=[gang, *small], vendors="AB"), CONFIG)
        assert decisions == Decisions((), (Reservation(0, int(1e12) + 1), *decisions.reservations[1:]))
    started = decide(venue(units=3, jobs=[gang, *small], vendors="AB"), CONFIG)

    assert [grant.job for grant in started.grants] == [0]
    assert not started.reservations


def test_a_gang_that_has_not_waited_long_stops_nobody() -> None:
    jobs = [want(0, "A", units=3, age_s=29.0), want(1, "B", units=1)]

    assert [grant.job for grant in decide(venue(units=3, free=1, jobs=jobs, vendors="AB"), CONFIG).grants] == [1]


def test_no_more_is_held_back_than_the_waiting_job_needs() -> None:
    """It lacks slots only: the units beyond the one that it will take go on working."""
    waiting = want(0, "A", units=1, slots=2, age_s=40.0)
    jobs = [waiting, *(want(n, "B", units=1) for n in (1, 2, 3))]
    decisions = decide(venue(units=3, slots=1, jobs=jobs, vendors="AB", slots_leased=1), CONFIG)

    assert [len(grant.units) for grant in decisions.grants] == [1, 1]
    assert [reservation.job for reservation in decisions.reservations] == [0]


def test_a_job_that_waits_for_a_broken_unit_holds_nothing_back() -> None:
    jobs = [want(0, "A", units=2, slots=1, age_s=90.0), want(1, "B", slots=1)]
    state = venue(units=2, slots=1, jobs=jobs, vendors="AB")
    broken = replace(state, units=(state.units[0], replace(state.units[1], usable=False)))
    decisions = decide(broken, CONFIG)

    assert [grant.job for grant in decisions.grants] == [1]
    assert not decisions.reservations


def want(number: int, vendor: str, *, units: int = 0, slots: int = 0, priority: int = 0, age_s: float = 0.0) -> Job:
    requests = (UnitRequest(count=units),) if units else ()
    return Job(number, vendor, Claim(requests, slots), priority, int(1e12 - age_s * 1e9))


def venue(
    *, units: int = 0, free: int | None = None, slots: int = 0, slots_leased: int = 0, jobs: list[Job],
    vendors: str = "x", runner_ready: bool = True,
) -> State:  # fmt: skip
    return State(
        now_ns=int(1e12),
        units=tuple(Unit(f"u-{n:02}", "a", free=free is None or n < free) for n in range(units)),
        slots=tuple(SimSlot(f"s-{n:02}", n < slots) for n in range(slots + slots_leased)),
        vendors=tuple(Vendor(name) for name in vendors),
        jobs=tuple(jobs),
        runner_ready=runner_ready,
    )
