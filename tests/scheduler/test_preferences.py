"""What is chosen where there is a choice: units, alternatives, sizes, and whose turn it is."""

from collections import Counter
from dataclasses import replace

from scheduler.ground import Ground
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
    Reservation,
    State,
    Unit,
    UnitRequest,
    Unnamed,
    Vendor,
)
from tests.scheduler.deciding import decide

S = 1_000_000_000
CONFIG = Config(hold_after_s=30.0)
ARM = Claim((UnitRequest(1, robot_class="arm"),), duration_s=60.0)


def arm(name: str, **changes: object) -> Unit:
    return replace(Unit(name, "own_arm", "arm"), **changes)  # type: ignore[arg-type]


def only(decisions: Decisions) -> Grant:
    (grant,) = decisions.grants
    return grant


def venue(units: tuple[Unit, ...], *jobs: Job, **changes: object) -> State:
    state = State(100 * S, units, vendors=(Vendor("a"), Vendor("b")), jobs=jobs)
    return replace(state, **changes)  # type: ignore[arg-type]


def test_among_like_units_the_one_already_set_up_is_taken_then_the_least_worn() -> None:
    units = (arm("u-1", wear_h=9.0), arm("u-2", wear_h=5.0), arm("u-3", wear_h=7.0, setup="k"))

    assert only(decide(venue(units, Job(1, "a", ARM)), CONFIG)).units == ("u-2",)
    assert only(decide(venue(units, Job(1, "a", ARM, setup="k")), CONFIG)).units == ("u-3",)


def test_the_kind_that_waiting_jobs_long_for_least_is_taken_first() -> None:
    """Any arm will do for the first job, so it leaves the one with the lidar to those that need it."""
    units = (arm("u-1", sensors=("lidar",)), arm("u-2"))
    picky = [Job(n, "b", Claim((UnitRequest(1, sensors=("lidar",)),), duration_s=9.0)) for n in (2, 3)]

    grants = {grant.job: grant.units for grant in decide(venue(units, Job(1, "a", ARM), *picky), CONFIG).grants}
    assert grants == {1: ("u-2",), 2: ("u-1",)}


def test_the_first_alternative_that_can_start_is_granted() -> None:
    claim = Claim((UnitRequest(3),), alternatives=(Claim((UnitRequest(2),)), Claim((UnitRequest(1),))))
    grant = only(decide(venue((arm("u-1"), arm("u-2")), Job(1, "a", claim)), CONFIG))

    assert (grant.alternative, grant.units) == (1, ("u-1", "u-2"))


def test_a_moldable_claim_takes_as_many_as_there_are_up_to_its_most() -> None:
    claim = Claim((UnitRequest(2, count_max=8),))
    units = tuple(arm(f"u-{n:02}") for n in range(12))

    assert len(only(decide(venue(units, Job(1, "a", claim)), CONFIG)).units) == 8
    assert len(only(decide(venue(units[:5], Job(1, "a", claim)), CONFIG)).units) == 5
    assert decide(venue(units[:1], Job(1, "a", claim)), CONFIG).grants == ()


def test_a_moldable_claim_does_not_grow_into_what_is_planned_for_another() -> None:
    """Two of four arms are planned for a gang of three that waits for a third: those left over may be used."""
    busy = arm("u-4", free=False, end_ns=110 * S)
    gang = Job(1, "a", Claim((UnitRequest(3),), duration_s=60.0), create_ns=0)
    grows = Job(2, "b", Claim((UnitRequest(1, count_max=3),), duration_s=60.0), create_ns=99 * S)
    decisions = decide(venue((arm("u-1"), arm("u-2"), arm("u-3"), busy), grows, replace(gang)), CONFIG)

    assert {grant.job: len(grant.units) for grant in decisions.grants} == {1: 3}
    blocked = replace(gang, claim=Claim((UnitRequest(4),), duration_s=60.0))
    decisions = decide(venue((arm("u-1"), arm("u-2"), arm("u-3"), busy), grows, blocked), CONFIG)
    assert (decisions.grants, decisions.reservations) == ((), (Reservation(1, 110 * S),))


def test_units_together_are_of_one_zone_and_units_apart_of_different_ones() -> None:
    units = (arm("u-1", zone="x"), arm("u-2", zone="y"), arm("u-3", zone="y"))
    two = Claim((UnitRequest(2),))
    together = only(decide(venue(units, Job(1, "a", replace(two, placement=Placement.TOGETHER))), CONFIG))
    apart = only(decide(venue(units, Job(1, "a", replace(two, placement=Placement.APART))), CONFIG))

    assert together.units == ("u-2", "u-3")
    assert sorted(unit.zone for unit in units if unit.unit in apart.units) == ["x", "y"]
    three = replace(two, units=(UnitRequest(3),), placement=Placement.APART)
    assert decide(venue(units, Job(1, "a", three)), CONFIG).grants == ()


def test_within_a_priority_the_earlier_deadline_goes_first() -> None:
    jobs = [Job(n, "a", ARM, create_ns=99 * S, deadline_ns=due) for n, due in ((1, None), (2, 9), (3, 5))]
    jobs.append(Job(4, "a", ARM, -1, 99 * S, 1))

    assert only(decide(venue((arm("u-1"),), *jobs), CONFIG)).job == 3


def test_seats_and_chargers_are_part_of_the_whole() -> None:
    claim = replace(ARM, seats=1, chargers=1)
    have = {"seats": Unnamed(1), "chargers": Unnamed(1)}
    grant = only(decide(venue((arm("u-1"),), Job(1, "a", claim), **have), CONFIG))

    assert (grant.seats, grant.chargers) == (1, 1)
    taken = have | {"seats": Unnamed(1, ((200 * S, 1),))}
    assert decide(venue((arm("u-1"),), Job(1, "a", claim), **taken), CONFIG).grants == ()


def test_who_used_more_in_the_past_waits_though_nobody_holds_anything_now() -> None:
    jobs = (Job(1, "a", ARM, create_ns=99 * S), Job(2, "b", ARM, create_ns=99 * S))
    vendors = (Vendor("a", used_share=0.4), Vendor("b", used_share=0.1))

    assert only(decide(venue((arm("u-1"),), *jobs, vendors=vendors), CONFIG)).job == 2


def test_who_has_less_than_guaranteed_comes_first_whatever_the_shares() -> None:
    jobs = (Job(1, "a", ARM), Job(2, "b", ARM))
    vendors = (Vendor("a", used_share=0.4, guarantee=Amounts(1, 0, 0)), Vendor("b"))

    assert only(decide(venue((arm("u-1"),), *jobs, vendors=vendors), CONFIG)).job == 1


def test_a_group_with_many_vendors_gets_no_more_than_one_with_few() -> None:
    """Four arms, a group of three vendors against one vendor alone: two and two, not three and one."""
    vendors = (Vendor("g"), Vendor("g1", parent="g"), Vendor("g2", parent="g"), Vendor("g3", parent="g"), Vendor("z"))
    jobs = [Job(n, vendor, ARM) for n, vendor in enumerate(("g1", "g2", "g3", "z", "z", "z", "g1"), 1)]
    grants = decide(venue(tuple(arm(f"u-{n}") for n in range(4)), *jobs, vendors=vendors), CONFIG).grants

    assert sorted(grant.vendor for grant in grants).count("z") == 2


def test_a_booked_job_starts_with_what_is_booked_though_others_wait_longer() -> None:
    booking = Booking("b-1", "b", ARM, 90 * S, 200 * S)
    jobs = (Job(1, "a", ARM, create_ns=0), Job(2, "b", ARM, create_ns=99 * S, booking="b-1"))
    decisions = decide(venue((arm("u-1"),), *jobs, bookings=(booking,)), CONFIG)

    assert [grant.job for grant in decisions.grants] == [2]
    early = replace(booking, start_ns=130 * S)
    assert decide(venue((arm("u-1"),), *jobs, bookings=(early,)), CONFIG).grants == ()


def test_of_an_exclusive_zone_one_cell_runs_at_a_time() -> None:
    cells = (Cell("c-1", "s", zone="z"), Cell("c-2", "s", zone="z"), Cell("c-3", "t"))
    claim = Claim(sim_slots=1, cell=CellRequest(scenario="s"))
    jobs = (Job(1, "a", claim), Job(2, "b", claim), Job(3, "b", replace(claim, cell=CellRequest("c-3"))))
    state = venue((), *jobs, cells=cells, unnamed=Unnamed(9), exclusive_zones=frozenset({"z"}))

    assert [grant.job for grant in decide(state, CONFIG).grants] == [1, 3]
    assert len(decide(replace(state, exclusive_zones=frozenset()), CONFIG).grants) == 3


def test_what_others_borrowed_comes_back_to_whom_it_is_guaranteed_and_not_a_lease_more() -> None:
    """b holds three arms, one of them longer; a is guaranteed one and has waited: one young lease is spared."""
    units = tuple(arm(f"u-{n}", free=False, end_ns=900 * S) for n in range(3))
    leases = (
        Lease(1, 11, "b", 0, 900 * S, ("u-0",), safe_ns=0),
        Lease(2, 12, "b", 0, 900 * S, ("u-1",), safe_ns=95 * S),
        Lease(3, 13, "b", 99 * S, 900 * S, ("u-2",), safe_ns=99 * S),
    )
    vendors = (Vendor("a", guarantee=Amounts(1, 0, 0)), Vendor("b", held_units=3, leases=3))
    config = replace(CONFIG, preempt_after_s=10.0, runtime_min_s=20.0)
    state = venue(units, Job(5, "a", ARM, create_ns=0), vendors=vendors, leases=leases)

    assert [(p.lease, p.beneficiary) for p in decide(state, config).preemptions] == [(2, 5)]
    asked = replace(state, leases=(leases[0], replace(leases[1], ending=True), leases[2]))
    assert decide(asked, config).preemptions == ()
    assert decide(replace(state, preempted_ns=99 * S), config).preemptions == ()
    kept = replace(state, vendors=(vendors[0], replace(vendors[1], guarantee=Amounts(3, 0, 0))))
    assert decide(kept, config).preemptions == ()


def test_who_filled_the_queue_first_is_not_served_by_age_alone() -> None:
    """Four arms; a has queued a hundred jobs long ago, b a few just now. Arms come free one by one."""
    units = tuple(arm(f"u-{n}") for n in range(4))
    jobs = [Job(n, "a", ARM, create_ns=n) for n in range(1, 101)]
    jobs += [Job(n, "b", ARM, create_ns=50 * S + n) for n in range(101, 121)]
    ground = Ground(venue(units, *jobs))
    running = {lease.job: lease.vendor for lease in _begun(ground, 100)}
    for second in range(101, 131):
        ended = min(running)
        del running[ended]
        ground.end(ended, second * S)
        running |= {lease.job: lease.vendor for lease in _begun(ground, second)}

        assert len(running) == 4
    assert Counter(running.values()) == {"a": 2, "b": 2}


def _begun(ground: Ground, second: int) -> tuple[Lease, ...]:
    ground.step(second * S, CONFIG)
    return ground.begun


def test_a_guarantee_of_units_gives_no_first_rank_in_slots() -> None:
    vendors = (Vendor("a", guarantee=Amounts(1, 0, 0)), Vendor("b"))
    jobs = [Job(n, "a" if n < 8 else "b", Claim(sim_slots=1), create_ns=99 * S) for n in range(16)]
    grants = decide(venue((), *jobs, vendors=vendors, unnamed=Unnamed(8)), CONFIG).grants

    assert Counter(grant.vendor for grant in grants) == {"a": 4, "b": 4}


def test_nobody_makes_room_for_a_guarantee_of_its_own_group() -> None:
    units = tuple(arm(f"u-{n}", free=False, end_ns=900 * S) for n in range(2))
    leases = tuple(Lease(n, 10 + n, "b", 0, 900 * S, (f"u-{n}",)) for n in range(2))
    vendors = (
        Vendor("g", guarantee=Amounts(3, 0, 0)), Vendor("a", parent="g"),
        Vendor("b", parent="g", held_units=2, leases=2),
    )  # fmt: skip
    config = replace(CONFIG, preempt_after_s=10.0, runtime_min_s=20.0)

    assert decide(venue(units, Job(5, "a", ARM, create_ns=0), vendors=vendors, leases=leases), config).preemptions == ()


def test_nobody_makes_room_for_a_job_that_could_not_start_even_then() -> None:
    """The venue closes before the job would end."""
    units = (arm("u-0", free=False, end_ns=900 * S),)
    leases = (Lease(1, 11, "b", 0, 900 * S, ("u-0",)),)
    vendors = (Vendor("a", guarantee=Amounts(1, 0, 0)), Vendor("b", held_units=1, leases=1))
    config = replace(CONFIG, preempt_after_s=10.0, runtime_min_s=20.0)
    state = venue(units, Job(5, "a", ARM, create_ns=0), vendors=vendors, leases=leases)

    assert len(decide(state, config).preemptions) == 1
    closing = replace(state, closures=(Closure(130 * S, 500 * S, venue=True),))
    assert decide(closing, config).preemptions == ()


def test_what_is_left_of_a_booking_that_cannot_be_met_whole_is_kept_for_it() -> None:
    busy = arm("u-2", free=False, end_ns=9_000 * S)
    booking = Booking("b-1", "b", Claim((UnitRequest(2),)), 200 * S, 300 * S)
    long = Job(1, "a", replace(ARM, duration_s=1_000.0), create_ns=99 * S)

    assert decide(venue((arm("u-1"), busy), long, bookings=(booking,)), CONFIG).grants == ()


def test_a_booking_by_name_keeps_that_unit_and_one_together_keeps_the_zone_that_has_enough() -> None:
    long = replace(ARM, duration_s=1_000.0)
    by_name = Booking("b-1", "b", Claim((UnitRequest(unit="u-2"),)), 200 * S, 300 * S)
    state = venue((arm("u-1"), arm("u-2")), *(Job(n, "a", long, create_ns=99 * S) for n in (1, 2)), bookings=(by_name,))
    assert [grant.units for grant in decide(state, CONFIG).grants] == [("u-1",)]

    units = (arm("u-1", zone="x"), arm("u-2", zone="y"), arm("u-3", zone="y"))
    together = Booking("b-1", "b", Claim((UnitRequest(2),), placement=Placement.TOGETHER), 200 * S, 300 * S)
    state = venue(units, *(Job(n, "a", long, create_ns=99 * S) for n in (1, 2, 3)), bookings=(together,))
    assert [grant.units for grant in decide(state, CONFIG).grants] == [("u-1",)]


def test_a_booking_on_a_low_battery_is_kept_and_its_short_job_starts() -> None:
    booking = Booking("b-1", "b", replace(ARM, duration_s=28_800.0), 90 * S, 28_890 * S)
    weary = arm("u-1", good_for_s=6_000.0, good_at_best_s=6_000.0)
    jobs = (Job(1, "a", ARM, create_ns=0), Job(2, "b", ARM, create_ns=99 * S, booking="b-1"))

    assert [grant.job for grant in decide(venue((weary,), *jobs, bookings=(booking,)), CONFIG).grants] == [2]


def test_the_limits_of_a_vendor_hold_in_its_bookings_too() -> None:
    booking = Booking("b-1", "b", ARM, 90 * S, 200 * S)
    vendors = (Vendor("a"), Vendor("b", starts_left=0))
    state = venue((arm("u-1"),), Job(2, "b", ARM, booking="b-1"), bookings=(booking,), vendors=vendors)

    assert decide(state, CONFIG).grants == ()


def test_a_full_battery_is_not_good_for_everything_but_a_charger_in_the_claim_is() -> None:
    full = arm("u-1", good_for_s=5_760.0, good_at_best_s=5_760.0, renewed_ns=0)
    long = replace(ARM, duration_s=28_800.0)

    assert decide(venue((full,), Job(1, "a", long)), CONFIG).grants == ()
    charged = venue((full,), Job(1, "a", replace(long, chargers=1)), chargers=Unnamed(1))
    assert only(decide(charged, CONFIG)).units == ("u-1",)
