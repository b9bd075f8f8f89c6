"""Soundness of deciding over whole generated grounds: zones, calendars, bookings, bodies, limits, preemption."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.decide import decide
from scheduler.floor import available_ns
from scheduler.ground import Ground
from scheduler.health import VENUE_VENDOR
from scheduler.matching import cell_matches, matches
from scheduler.standing import Standing
from scheduler.state import (
    Amounts,
    Booking,
    Cell,
    CellRequest,
    Claim,
    Closure,
    Config,
    Decisions,
    Grant,
    Job,
    Lease,
    Placement,
    State,
    Unit,
    UnitRequest,
    Unnamed,
    Vendor,
)

S = 1_000_000_000
NOW_NS = 1_000 * S
ZONES = ("hall", "yard")
ACCOUNTS = (("x", ""), ("x/one", "x"), ("x/two", "x"), ("y", ""), ("z", ""))
LEAVES = ("x/one", "x/two", "y", "z")

requests = st.builds(
    UnitRequest,
    count=st.integers(1, 2),
    count_max=st.sampled_from((0, 0, 4)),
    robot_model=st.sampled_from(("", "a", "b")),
    sensors=st.sampled_from(((), ("lidar",))),
    payload_min_kg=st.sampled_from((0.0, 5.0)),
)
plain = st.builds(
    Claim,
    units=st.lists(requests, max_size=2).map(tuple),
    sim_slots=st.integers(0, 2),
    cell=st.none() | st.builds(CellRequest, scenario=st.sampled_from(("", "s", "t"))),
    duration_s=st.sampled_from((10.0, 60.0, 200.0)),
    seats=st.integers(0, 1),
    chargers=st.integers(0, 1),
    placement=st.sampled_from(tuple(Placement)),
).filter(lambda claim: bool(claim.units or claim.sim_slots))
claims = st.builds(lambda claim, others: replace(claim, alternatives=tuple(others)), plain, st.lists(plain, max_size=1))
names = st.sampled_from([f"u-{n}" for n in range(8)])


@st.composite
def grounds(draw: Any) -> State:
    """Return a ground with some of everything; leases hold exactly what is not free."""
    units = [
        Unit(
            f"u-{n}", draw(st.sampled_from(("a", "b"))), usable=draw(st.sampled_from((True, True, True, False))),
            zone=draw(st.sampled_from(ZONES)), sensors=draw(st.sampled_from(((), ("lidar",)))),
            payload_kg=draw(st.sampled_from((0.0, 9.0))), wear_h=float(draw(st.integers(0, 2))),
            good_for_s=draw(st.sampled_from((math.inf, math.inf, 30.0))),
            ready_ns=draw(st.sampled_from((0, 0, NOW_NS + 5 * S))), setup=draw(st.sampled_from(("", "k"))),
            wants_charge=draw(st.booleans()),
        )
        for n in range(draw(st.integers(0, 8)))
    ]  # fmt: skip
    cells = [Cell(f"c-{n}", draw(st.sampled_from(("s", "t"))), zone=draw(st.sampled_from(ZONES))) for n in range(4)]
    exclusive = frozenset(draw(st.sets(st.sampled_from(ZONES))))
    leases: list[Lease] = []
    free = [unit.unit for unit in units if unit.usable]
    free_cells = list(cells)
    for number in range(draw(st.integers(0, 3))):
        held = tuple(free[: draw(st.integers(0, 2))])
        free = free[len(held) :]
        cell = free_cells.pop() if free_cells and draw(st.booleans()) else None
        if cell is not None and cell.zone in exclusive:
            free_cells = [other for other in free_cells if other.zone != cell.zone]
        leases.append(
            Lease(number + 1, 100 + number, draw(st.sampled_from(LEAVES)), NOW_NS - draw(st.integers(0, 500)) * S,
                  NOW_NS + draw(st.integers(-5, 150)) * S, held, draw(st.integers(0, 1)),
                  cell.cell if cell else None, draw(st.integers(0, 1)), 0, draw(st.integers(-1, 1)),
                  NOW_NS - draw(st.integers(0, 100)) * S)
        )  # fmt: skip
    of_unit = {unit: lease for lease in leases for unit in lease.units}
    of_cell = {lease.cell: lease for lease in leases if lease.cell}
    jobs = [
        Job(n, draw(st.sampled_from(LEAVES)), draw(claims), draw(st.integers(-1, 1)),
            NOW_NS - draw(st.integers(0, 200)) * S, draw(st.none() | st.integers(0, 99)),
            draw(st.sampled_from(("", "", "", "b-0"))), draw(st.sampled_from(("", "k"))))
        for n in range(1, 1 + draw(st.integers(0, 7)))
    ]  # fmt: skip
    amounts = st.builds(Amounts, st.integers(0, 4), st.integers(0, 4), st.integers(0, 2))
    start_s = st.integers(-20, 120)
    return State(
        NOW_NS,
        tuple(
            replace(u, free=u.unit not in of_unit, end_ns=of_unit[u.unit].end_ns if u.unit in of_unit else None)
            for u in units
        ),
        (),
        tuple(
            replace(c, free=c.cell not in of_cell, end_ns=of_cell[c.cell].end_ns if c.cell in of_cell else None)
            for c in cells
        ),
        tuple(
            Vendor(
                name, draw(st.sampled_from((1.0, 2.0))), parent=parent,
                held_units=sum(len(lease.units) for lease in leases if lease.vendor == name),
                held_slots=sum(lease.slots for lease in leases if lease.vendor == name),
                held_cells=sum(lease.cell is not None for lease in leases if lease.vendor == name),
                leases=sum(lease.vendor == name for lease in leases),
                limit=draw(st.just(Amounts()) | amounts), guarantee=draw(st.just(Amounts(0, 0, 0)) | amounts),
                starts_left=draw(st.sampled_from((math.inf, 1))), leases_max=draw(st.sampled_from((math.inf, 2))),
            )
            for name, parent in ACCOUNTS
        ),
        tuple(jobs),
        Unnamed(5, tuple((lease.end_ns, lease.slots) for lease in leases if lease.slots)),
        True,
        Unnamed(3, tuple((lease.end_ns, lease.seats) for lease in leases if lease.seats)),
        Unnamed(2),
        exclusive,
        tuple(
            Closure(NOW_NS + (start := draw(start_s)) * S, NOW_NS + (start + draw(st.integers(1, 90))) * S,
                    draw(st.frozensets(names, max_size=2)), frozenset(draw(st.sampled_from(((), ("c-1",))))),
                    draw(st.frozensets(st.sampled_from(ZONES), max_size=1)),
                    draw(st.booleans()) and draw(st.booleans()), draw(st.booleans()))
            for _ in range(draw(st.integers(0, 2)))
        ),
        tuple(
            Booking(f"b-{n}", draw(st.sampled_from(LEAVES)), draw(plain), NOW_NS + (start := draw(start_s)) * S,
                    NOW_NS + (start + 100) * S)
            for n in range(draw(st.integers(0, 2)))
        ),
        tuple(leases),
    )  # fmt: skip


def made(state: State, config: Config) -> Decisions:
    return decide(Standing.of(state), state.now_ns, config)


CONFIG = Config(hold_after_s=30.0, preempt_after_s=10.0, runtime_min_s=20.0, reservations=2)


def granted_claim(state: State, grant: Grant) -> Claim:
    claim = next(job.claim for job in state.jobs if job.job == grant.job)
    return (claim, *claim.alternatives)[grant.alternative]


@settings(max_examples=160)
@given(grounds())
def test_every_grant_is_a_whole_alternative_of_what_is_there_fit_and_placed_as_asked(state: State) -> None:
    units = {unit.unit: unit for unit in state.units}
    cells = {cell.cell: cell for cell in state.cells}
    decisions = made(state, CONFIG)

    for grant in decisions.grants:
        claim = granted_claim(state, grant)
        duration_ns = int(claim.duration_s * 1e9)
        given_units = [units[name] for name in grant.units]
        wanted = list(claim.units)
        assert sum(r.count for r in wanted) <= len(given_units) <= sum(max(r.count, r.count_max) for r in wanted)
        assert all(any(matches(request, unit) for request in wanted) for unit in given_units)
        assert all(unit.free and unit.usable for unit in given_units)
        charged = claim.chargers >= sum(max(r.count, r.count_max) for r in claim.units) > 0
        assert all(available_ns(unit, duration_ns, charged=charged) <= NOW_NS for unit in given_units)
        zones = [unit.zone for unit in given_units]
        assert claim.placement is not Placement.TOGETHER or len(set(zones)) <= 1
        assert claim.placement is not Placement.APART or len(set(zones)) == len(zones)
        assert (grant.unnamed, grant.seats, grant.chargers) == (claim.sim_slots, claim.seats, claim.chargers)
        assert (grant.cell is None) == (claim.cell is None)
        if grant.cell is not None and claim.cell is not None:
            assert cells[grant.cell].free
            assert cell_matches(claim.cell, cells[grant.cell])


@settings(max_examples=160)
@given(grounds())
def test_nothing_is_given_twice_and_no_pool_beyond_its_number(state: State) -> None:
    grants = made(state, CONFIG).grants
    twice = Counter(name for grant in grants for name in (*grant.units, grant.cell) if name)

    assert all(count == 1 for count in twice.values())
    assert len({grant.job for grant in grants}) == len(grants)
    for told, taken in (
        (state.unnamed, sum(grant.unnamed for grant in grants)),
        (state.seats, sum(grant.seats for grant in grants)),
        (state.chargers, sum(grant.chargers for grant in grants)),
    ):
        assert taken == 0 or taken <= told.count - sum(count for _, count in told.busy)


@settings(max_examples=160)
@given(grounds())
def test_no_grant_runs_into_a_closure(state: State) -> None:
    units = {unit.unit: unit for unit in state.units}
    cells = {cell.cell: cell for cell in state.cells}

    for grant in made(state, CONFIG).grants:
        end_ns = NOW_NS + int(granted_claim(state, grant).duration_s * 1e9)
        for closure in state.closures:
            if closure.end_ns <= NOW_NS or closure.start_ns >= end_ns:
                continue
            assert not closure.venue
            assert not any(name in closure.units or units[name].zone in closure.zones for name in grant.units)
            assert grant.cell is None or not (
                grant.cell in closure.cells or cells[grant.cell].zone in closure.zones
            )  # fmt: skip


@settings(max_examples=160)
@given(grounds())
def test_cells_of_an_exclusive_zone_never_run_at_once(state: State) -> None:
    zone_of = {cell.cell: cell.zone for cell in state.cells}
    running = [lease.cell for lease in state.leases if lease.cell]
    started = [grant.cell for grant in made(state, CONFIG).grants if grant.cell]

    busy = Counter(zone_of[cell] for cell in (*running, *started))
    assert all(busy[zone] <= 1 for zone in state.exclusive_zones)


@settings(max_examples=160)
@given(grounds())
def test_no_limit_of_an_account_is_passed_by_a_grant(state: State) -> None:
    accounts = {vendor.vendor: vendor for vendor in state.vendors}
    booked = {job.job for job in state.jobs if job.booking}
    grants = made(state, CONFIG).grants

    for name, vendor in accounts.items():
        below = {name} | {child.vendor for child in state.vendors if child.parent == name}
        mine = [grant for grant in grants if grant.vendor in below and grant.job not in booked]
        others = [grant for grant in grants if grant.vendor in below and grant.job in booked]
        if not mine or others:
            continue
        leases = [lease for lease in state.leases if lease.vendor in below]
        units = sum(len(lease.units) for lease in leases) + sum(len(grant.units) for grant in mine)
        slots = sum(lease.slots for lease in leases) + sum(grant.unnamed for grant in mine)
        cells = sum(lease.cell is not None for lease in leases) + sum(grant.cell is not None for grant in mine)
        assert vendor.limit.holds(units, slots, cells)
        assert len(leases) + len(mine) <= vendor.leases_max
        assert len(mine) <= vendor.starts_left


@settings(max_examples=120)
@given(grounds())
def test_a_job_of_a_booking_starts_in_it_alone_and_ends_with_it(state: State) -> None:
    bookings = {booking.booking: booking for booking in state.bookings}
    jobs = {job.job: job for job in state.jobs}

    for grant in made(state, CONFIG).grants:
        booking = jobs[grant.job].booking
        if booking:
            end_ns = NOW_NS + int(granted_claim(state, grant).duration_s * 1e9)
            assert bookings[booking].start_ns <= NOW_NS
            assert end_ns <= bookings[booking].end_ns


@settings(max_examples=120)
@given(grounds(), st.randoms())
def test_the_same_ground_told_in_another_order_or_built_up_step_by_step_decides_the_same(
    state: State, random: Any
) -> None:
    def shuffled(things: tuple[Any, ...]) -> tuple[Any, ...]:
        copy = list(things)
        random.shuffle(copy)
        return tuple(copy)

    told = replace(
        state, units=shuffled(state.units), cells=shuffled(state.cells), vendors=shuffled(state.vendors),
        jobs=shuffled(state.jobs), closures=shuffled(state.closures), bookings=shuffled(state.bookings),
        leases=shuffled(state.leases),
    )  # fmt: skip
    grown = Standing.of(replace(told, jobs=()))
    stranger = Job(999, "y", Claim((UnitRequest(1, unit="u-0"),)), create_ns=0)
    for job in told.jobs:
        grown.submit(job)
    grown.submit(stranger)
    decide(grown, NOW_NS, CONFIG)
    grown.withdraw(stranger.job)

    assert repr(made(told, CONFIG)) == repr(made(state, CONFIG))
    assert repr(decide(grown, NOW_NS, CONFIG)) == repr(made(state, CONFIG))


@settings(max_examples=120)
@given(grounds())
def test_deciding_again_after_the_grants_gives_nothing_more_to_anybody(state: State) -> None:
    """Work conservation: whatever could start did. Planned starts hold back what would delay them, then as before."""
    young = replace(state, jobs=tuple(replace(job, create_ns=NOW_NS, booking="") for job in state.jobs), bookings=())
    config = replace(CONFIG, preempt=False)
    standing = Standing.of(young)
    jobs = {job.job: job for job in young.jobs}
    grants = decide(standing, NOW_NS, config).grants
    for number, grant in enumerate(grants):
        end_ns = NOW_NS + int(granted_claim(young, grant).duration_s * 1e9)
        standing.start(
            grant,
            Lease(1_000 + number, grant.job, jobs[grant.job].vendor, NOW_NS, end_ns, grant.units, grant.unnamed,
                  grant.cell, grant.seats, grant.chargers),
        )  # fmt: skip
    rates = {vendor.vendor for vendor in young.vendors if vendor.starts_left < math.inf}
    again = decide(standing, NOW_NS, config).grants

    # A rate limit is told for the moment: asked again, it is fresh.
    assert [grant for grant in again if not _touches(grant.vendor, rates)] == []


def _touches(vendor: str, names: set[str]) -> bool:
    return vendor in names or vendor.split("/")[0] in names


@settings(max_examples=160)
@given(grounds())
def test_preemption_spares_the_young_the_booked_and_what_is_guaranteed(state: State) -> None:
    leases = {lease.lease: lease for lease in state.leases}
    decisions = made(state, CONFIG)

    for preemption in decisions.preemptions:
        lease = leases[preemption.lease]
        if preemption.cause.value == "safety":
            continue
        assert NOW_NS - lease.start_ns >= CONFIG.runtime_min_s * S
        if preemption.cause.value == "guarantee":
            job = next(job for job in state.jobs if job.job == preemption.beneficiary)
            assert lease.vendor != job.vendor
    lost = [leases[p.lease] for p in decisions.preemptions if p.cause.value == "guarantee"]
    for vendor in state.vendors:
        below = {vendor.vendor} | {child.vendor for child in state.vendors if child.parent == vendor.vendor}
        gone = [lease for lease in lost if lease.vendor in below]
        beneficiaries = {p.beneficiary for p in decisions.preemptions}
        if not gone or any(job.job in beneficiaries and job.vendor in below for job in state.jobs):
            continue
        held = sum(len(lease.units) for lease in state.leases if lease.vendor in below)
        taken = sum(len(lease.units) for lease in gone)
        assert not taken or held - taken >= vendor.guarantee.units
    assert len({preemption.lease for preemption in decisions.preemptions}) == len(decisions.preemptions)


@settings(max_examples=80)
@given(grounds())
def test_only_idle_units_that_need_it_are_charged_and_only_as_many_as_there_are_chargers(state: State) -> None:
    decisions = made(state, CONFIG)
    units = {unit.unit: unit for unit in state.units}
    taken = {name for grant in decisions.grants for name in grant.units}

    assert all(units[name].wants_charge and units[name].free and name not in taken for name in decisions.charges)
    assert len(decisions.charges) + sum(grant.chargers for grant in decisions.grants) <= state.chargers.count


def test_a_closure_for_safety_ends_what_runs_there_even_on_a_broken_unit_and_leaves_the_rest() -> None:
    closed = Closure(NOW_NS - S, NOW_NS + S, zones=frozenset({"yard"}), stop_running=True)
    units = (
        Unit("u-1", "a", zone="yard", free=False, usable=False, end_ns=NOW_NS + S),
        Unit("u-2", "a", zone="hall", free=False, end_ns=NOW_NS + S),
    )
    leases = tuple(Lease(n, n, "y", NOW_NS, NOW_NS + S, (f"u-{n}",)) for n in (1, 2))
    state = State(NOW_NS, units, vendors=(Vendor("y", held_units=2, leases=2),), closures=(closed,), leases=leases)

    assert [preemption.lease for preemption in made(state, CONFIG).preemptions] == [1]
    whole = replace(state, closures=(replace(closed, venue=True),))
    assert [preemption.lease for preemption in made(whole, CONFIG).preemptions] == [1, 2]


def test_a_lease_on_a_unit_that_has_become_unusable_can_end() -> None:
    unit = Unit("u-0", "a", usable=False, free=False, end_ns=NOW_NS + 60 * S)
    lease = Lease(1, 7, "y", NOW_NS, NOW_NS + 60 * S, ("u-0",))
    ground = Ground(State(NOW_NS, units=(unit,), vendors=(Vendor("y"),), leases=(lease,))).copy()
    ground.end(7, NOW_NS + S)

    assert ground.leases() == ()
    assert not ground.state(NOW_NS + S).units[0].usable


def test_a_check_of_the_house_is_in_nobodys_account_and_keeps_nobody_from_looking_ahead() -> None:
    unit = Unit("u-0", "a", free=False, end_ns=NOW_NS + 60 * S)
    check = Lease(1, 7, VENUE_VENDOR, NOW_NS, NOW_NS + 60 * S, ("u-0",))
    ground = Ground(State(NOW_NS, units=(unit,), vendors=(Vendor("y"),), leases=(check,))).copy()
    assert not ground.state(NOW_NS + S).units[0].free
    ground.end(7, NOW_NS + S)

    assert ground.state(NOW_NS + S).units[0].free
    assert VENUE_VENDOR not in {vendor.vendor for vendor in ground.state(NOW_NS + S).vendors}
