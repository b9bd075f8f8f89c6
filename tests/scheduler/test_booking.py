"""Advance bookings beside each other, compared with trying everything."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from scheduler import booking as bookings
from scheduler.booking import fits, held_by_part, over_limit, plans, within
from scheduler.matching import cell_matches, matches
from scheduler.state import (
    Amounts,
    Booking,
    Cell,
    CellRequest,
    Claim,
    Closure,
    Placement,
    SimSlot,
    State,
    Unit,
    UnitRequest,
    Unnamed,
    Vendor,
)  # fmt: skip

S = 1_000_000_000
UNITS = tuple(Unit(f"u-{n}", model, zone=zone) for n, (model, zone) in enumerate(
    (("a", "north"), ("a", "south"), ("b", "north"), ("b", ""))))  # fmt: skip
CELLS = (Cell("c-1", "x", 1, zone="north"), Cell("c-2", "x", 2, zone="north"), Cell("c-3", "y", 1))
STATE = State(
    0, UNITS, tuple(SimSlot(f"s-{n}") for n in range(3)), CELLS, seats=Unnamed(1), exclusive_zones=frozenset({"north"})
)


def booked(claim: Claim, start_s: int = 0, end_s: int = 10, name: str = "new", vendor: str = "acme") -> Booking:
    return Booking(name, vendor, claim, start_s * S, end_s * S)


def model(name: str, count: int = 1) -> Claim:
    return Claim(units=(UnitRequest(count=count, robot_model=name),))


claims = st.builds(
    Claim,
    units=st.lists(
        st.builds(UnitRequest, count=st.integers(1, 2), robot_model=st.sampled_from(("", "a", "b")),
                  unit=st.sampled_from(("", "", "u-0", "u-3"))), max_size=2).map(tuple),
    sim_slots=st.integers(0, 2),
    cell=st.sampled_from((None, None, CellRequest(scenario="x"), CellRequest(cell="c-3"), CellRequest(level=1))),
)  # fmt: skip
some_bookings = st.lists(
    st.builds(
        lambda claim, start, length: booked(claim, start, start + length),
        claims, st.integers(0, 8), st.integers(1, 8),
    ),
    max_size=4,
).map(lambda found: [Booking(f"b-{n}", "v", b.claim, b.start_ns, b.end_ns) for n, b in enumerate(found)])  # fmt: skip
some_closures = st.lists(
    st.builds(
        lambda start, length, units, zones: Closure(start * S, (start + length) * S, units=units, zones=zones),
        st.integers(0, 8), st.integers(1, 3),
        st.frozensets(st.sampled_from(("u-0", "u-2")), max_size=1), st.frozensets(st.just("south"), max_size=1),
    ),
    max_size=2,
)  # fmt: skip


def overlap(one: Booking, other: Booking | Closure) -> bool:
    return one.start_ns < other.end_ns and other.start_ns < one.end_ns


def possible(wanted: Sequence[Booking], closures: Sequence[Closure]) -> bool:
    """Whether all bookings can be kept, each by units and a cell of its own for its whole time: by trying all."""
    for b in wanted:
        at_once = [o for o in wanted if o.start_ns <= b.start_ns < o.end_ns]
        if sum(o.claim.sim_slots for o in at_once) > len(STATE.slots):
            return False
    needs: list[tuple[Booking, list[str]]] = []
    for b in wanted:
        shut = [c for c in closures if overlap(b, c)]
        for request in b.claim.units:
            names = [u.unit for u in UNITS if matches(request, u)
                     and not any(u.unit in c.units or u.zone in c.zones for c in shut)]  # fmt: skip
            needs += [(b, names)] * request.count
        if b.claim.cell is not None:
            places = {"north" if c.zone == "north" else c.cell for c in CELLS if cell_matches(b.claim.cell, c)
                      and not any(c.zone in closed.zones for closed in shut)}  # fmt: skip
            needs.append((b, sorted(places)))

    def solve(index: int, taken: list[tuple[Booking, str]]) -> bool:
        if index == len(needs):
            return True
        b, names = needs[index]
        return any(
            solve(index + 1, [*taken, (b, name)])
            for name in names
            if not any(other_name == name and overlap(b, other) for other, other_name in taken)
        )

    return solve(0, [])


@given(some_bookings, some_closures)
def test_what_is_accepted_one_by_one_can_all_be_kept_and_stays_kept(
    wanted: list[Booking], closures: list[Closure]
) -> None:
    accepted: list[Booking] = []
    for candidate in wanted:
        if fits(candidate, accepted, closures, STATE) is None:
            accepted.append(candidate)

    assert possible(accepted, closures)
    assert plans(accepted, closures, STATE).keys() == {b.booking for b in accepted}


@given(some_bookings, some_closures)
def test_the_first_booking_is_refused_only_if_it_cannot_be_kept_alone(
    wanted: list[Booking], closures: list[Closure]
) -> None:
    for candidate in wanted:
        assert (fits(candidate, [], closures, STATE) is None) == possible([candidate], closures)


@given(some_bookings, some_closures)
def test_a_plan_gives_each_booking_units_of_its_own(wanted: list[Booking], closures: list[Closure]) -> None:
    planned = plans(wanted, closures, STATE)
    by_name = {b.booking: b for b in wanted}
    for name, plan in planned.items():
        assert len(plan.units) == sum(request.count for request in by_name[name].claim.units)
        for closure in closures:
            if overlap(by_name[name], closure):
                assert not plan.units & closure.units
        for other, theirs in planned.items():
            if other != name and overlap(by_name[name], by_name[other]):
                assert not plan.units & theirs.units
                assert not plan.place or plan.place != theirs.place


def test_one_after_the_other_fits_and_at_once_does_not_and_the_reason_names_nobody() -> None:
    first = booked(model("a", 2), 0, 10, "first", "rival")

    assert fits(booked(model("a"), 10, 20), [first], [], STATE) is None
    problem = fits(booked(model("a"), 9, 20), [first], [], STATE)
    assert problem is not None
    assert "1 x unit of model a" in problem
    assert "rival" not in problem


def test_a_booking_needs_the_same_units_for_its_whole_time() -> None:
    """Each hour has an arm to spare, but no arm is there for both hours."""
    one = booked(Claim(units=(UnitRequest(unit="u-0"),)), 0, 5, "one")
    other = booked(Claim(units=(UnitRequest(unit="u-1"),)), 5, 10, "other")

    assert fits(booked(model("a"), 0, 10), [one, other], [], STATE) is not None
    assert fits(booked(model("a"), 0, 5), [one, other], [], STATE) is None


def test_an_easy_booking_moves_aside_for_a_picky_one() -> None:
    easy = booked(model("a"), 0, 10, "easy")

    assert fits(booked(Claim(units=(UnitRequest(unit="u-0"),))), [easy], [], STATE) is None


def test_slots_and_seats_are_summed_where_they_are_most() -> None:
    others = [booked(Claim(sim_slots=2), 0, 4, "p"), booked(Claim(sim_slots=2), 6, 10, "q")]

    assert fits(booked(Claim(sim_slots=1)), others, [], STATE) is None
    problem = fits(booked(Claim(sim_slots=2)), others, [], STATE)
    assert problem == "2 sim slots wanted: not enough of the venue's 3 is left at some time of it"
    seat = Claim(sim_slots=1, seats=1)
    assert fits(booked(seat), [booked(seat, 9, 12, "r")], [], STATE) is not None


def test_cells_of_an_exclusive_zone_are_not_booked_at_once() -> None:
    first = booked(Claim(sim_slots=1, cell=CellRequest(cell="c-1")), name="first")

    assert fits(booked(Claim(sim_slots=1, cell=CellRequest(cell="c-2"))), [first], [], STATE) is not None
    assert fits(booked(Claim(sim_slots=1, cell=CellRequest(cell="c-3"))), [first], [], STATE) is None


def test_nothing_is_booked_into_a_closure() -> None:
    night = Closure(5 * S, 8 * S, venue=True)
    north = Closure(5 * S, 8 * S, zones=frozenset({"north"}))
    needs_all = booked(model("a", 2))

    assert "the venue is closed" in (fits(booked(model("a")), [], [night], STATE) or "")
    assert fits(booked(model("a"), 8, 10), [], [night], STATE) is None
    assert "closed" in (fits(needs_all, [], [north], STATE) or "")
    assert fits(booked(model("a")), [], [north], STATE) is None


def test_units_together_stand_in_one_zone_and_apart_in_zones_of_their_own() -> None:
    def placed(placement: Placement, *requests: UnitRequest) -> Booking:
        return booked(Claim(units=requests, placement=placement))

    a, b = UnitRequest(robot_model="a"), UnitRequest(robot_model="b")
    assert fits(placed(Placement.TOGETHER, a, b), [], [], STATE) is None
    assert fits(placed(Placement.TOGETHER, a, a), [], [], STATE) is not None
    assert fits(placed(Placement.APART, a, a), [], [], STATE) is None
    assert fits(placed(Placement.APART, a, b), [], [], STATE) is None, "b in the north, so a in the south"
    assert fits(placed(Placement.APART, b, b), [], [], STATE) is not None


def test_what_was_lost_by_a_later_closure_does_not_stand_in_the_way() -> None:
    lost = booked(Claim(units=(UnitRequest(unit="u-0"),)), name="lost")
    closed = Closure(0, 5 * S, units=frozenset({"u-0"}))

    assert fits(booked(model("a"), 5, 10), [lost], [closed], STATE) is None
    assert plans([lost], [closed], STATE) == {}


def test_a_vendor_books_no_more_at_a_time_than_it_may_hold() -> None:
    vendor = Vendor("acme", limit=Amounts(units=2, slots=1))
    own = [booked(model("a", 2), 0, 5, "own")]

    assert over_limit(booked(model("b"), 5, 9), own, vendor) is None
    assert "at most 2" in (over_limit(booked(model("b"), 4, 9), own, vendor) or "")
    assert "sim slots" in (over_limit(booked(Claim(sim_slots=2)), [], vendor) or "")
    assert over_limit(booked(Claim(cell=CellRequest())), own, vendor) is None


def test_a_job_fits_if_the_reservation_holds_all_that_it_claims() -> None:
    held = booked(Claim(units=(UnitRequest(2, "arm"), UnitRequest(1, "humanoid")), sim_slots=1), 0, 100)

    def job(*units: UnitRequest, **fields: object) -> str | None:
        return within(Claim(units=units, duration_s=10.0, **fields), held, 50 * S)  # type: ignore[arg-type]

    assert job(UnitRequest(3)) is None
    assert job(UnitRequest(1, "arm", robot_model="x"), sim_slots=1) is None
    assert "does not hold these" in (job(UnitRequest(3, "arm")) or "")
    assert "does not hold these" in (job(UnitRequest(1, "quadruped")) or "")
    assert "sim slots" in (job(sim_slots=2) or "")
    assert "a cell" in (job(cell=CellRequest()) or "")
    assert "50 s are left" in (within(Claim(sim_slots=1, duration_s=51.0), held, 50 * S) or "")


def test_what_is_held_is_told_by_part_with_each_unit_counted_once() -> None:
    claim = Claim(units=(UnitRequest(2), UnitRequest(1, robot_model="a")), sim_slots=2, cell=CellRequest())

    assert held_by_part(claim, UNITS[:1], slots=1) in ((1, 0, 1, 0), (0, 1, 1, 0))
    assert held_by_part(claim, [UNITS[2], UNITS[0], UNITS[3]], slots=2, cells=1) == (2, 1, 2, 1)
    assert held_by_part(claim, UNITS, slots=9, cells=9, seats=9)[2:] == (2, 1), "no more than the claim has"
    assert sum(held_by_part(claim, UNITS)[:2]) == 3
    assert held_by_part(Claim(cell=CellRequest(), seats=2), [], cells=1, seats=1) == (1, 1), (
        "no place for parts that are not there"
    )


def test_only_what_overlaps_directly_or_through_others_is_planned_together() -> None:
    chain = [booked(model("a"), n * 5, n * 5 + 6, f"n-{n}") for n in (2, 0, 1)]
    far = booked(model("a"), 16, 20, "far")

    assert bookings._groups([far, *chain]) == [chain, [far]]
