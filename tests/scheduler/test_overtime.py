"""Planned starts: who may overtake a blocked job, and that nobody who does delays it."""

import math
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.floor import Floor
from scheduler.matching import Entry, Part, allocate, choose
from scheduler.option import Option
from scheduler.profile import Profile
from scheduler.state import (
    ALL,
    Backfill,
    Claim,
    Config,
    Decisions,
    Job,
    Order,
    Reservation,
    State,
    Unit,
    UnitRequest,
    Unnamed,
    Vendor,
)
from tests.scheduler.deciding import decide

S = 1_000_000_000
EASY = Config(0.0, 1, Backfill.QUEUE, math.inf, Order.SUBMIT)
CONSERVATIVE = replace(EASY, reservations=ALL)
FCFS = replace(EASY, backfill=Backfill.NONE)
SHORTEST = replace(EASY, backfill=Backfill.SHORTEST)
# 100 processors: 70 in use until 100 s, 20 more until 200 s.
BUSY = ((100 * S, 70), (200 * S, 20))


def starts(decisions: Decisions) -> list[int]:
    return [grant.job for grant in decisions.grants]


def cluster(*jobs: tuple[int, float], busy: tuple[tuple[int, int], ...] = BUSY, now_s: float = 10.0) -> State:
    """Return 100 processors and a queue of (processors, seconds), the oldest first."""
    queue = tuple(
        Job(n, "v", Claim(sim_slots=procs, duration_s=length_s), create_ns=n)
        for n, (procs, length_s) in enumerate(jobs)
    )
    return State(int(now_s * S), vendors=(Vendor("v"),), jobs=queue, unnamed=Unnamed(100, busy))


def test_a_job_that_ends_before_the_head_can_start_overtakes_it() -> None:
    decisions = decide(cluster((80, 50), (10, 90)), EASY)

    assert starts(decisions) == [1]
    assert decisions.reservations == (Reservation(0, 100 * S),)


def test_a_job_that_would_end_a_moment_too_late_does_not_overtake() -> None:
    assert starts(decide(cluster((80, 50), (10, 90.001)), EASY)) == []


def test_a_long_job_may_take_what_the_head_does_not_need() -> None:
    """At 100 s, 80 are free and the head needs 75: five are left over, for one job of five."""
    assert starts(decide(cluster((75, 50), (5, 1000), (5, 1000)), EASY)) == [1]


def test_what_has_no_planned_end_or_overran_may_end_at_any_moment() -> None:
    """So nobody overtakes with what the head needs, however short."""
    assert starts(decide(cluster((95, 50), (10, 1), busy=((5 * S, 90),)), EASY)) == []
    units = tuple(Unit(f"u-{n}", "a", free=n == 0) for n in range(2))
    jobs = tuple(Job(n, "v", Claim((UnitRequest(2 - n),), duration_s=1.0), create_ns=n) for n in range(2))

    assert starts(decide(State(99 * S, units, vendors=(Vendor("v"),), jobs=jobs), EASY)) == []


def test_first_come_first_served_lets_nobody_overtake() -> None:
    assert starts(decide(cluster((10, 5), (80, 50), (1, 1)), FCFS)) == [0]


def test_easy_delays_the_second_blocked_job_and_conservative_does_not() -> None:
    state = cluster((80, 100), (95, 100), (10, 1000), busy=((100 * S, 90),))

    assert starts(decide(state, EASY)) == [2]
    assert starts(decide(state, CONSERVATIVE)) == []
    assert decide(state, CONSERVATIVE).reservations[:2] == (Reservation(0, 100 * S), Reservation(1, 200 * S))


def test_the_first_k_hold_a_reservation_each() -> None:
    state = cluster(*[(80, 100)] * 5, busy=((100 * S, 90),))
    planned = decide(state, replace(EASY, reservations=3)).reservations

    assert planned == tuple(Reservation(n, (100 + 100 * n) * S) for n in range(3))


def test_the_shortest_overtakes_first() -> None:
    state = cluster((80, 50), (10, 80), (10, 20))

    assert starts(decide(state, EASY)) == [1]
    assert starts(decide(state, SHORTEST)) == [2]


def test_what_would_end_beyond_the_bound_of_flow_time_is_not_delayed() -> None:
    """The second blocked job, of 100 s, has waited 50 s: it holds a reservation too if the bound is 150 s."""
    state = cluster((80, 100), (95, 100), (10, 1000), busy=((100 * S, 90),), now_s=50.0)

    assert starts(decide(state, replace(SHORTEST, flow_max_s=151.0))) == [2]
    assert starts(decide(state, replace(SHORTEST, flow_max_s=149.0))) == []


def test_to_ask_for_long_is_no_reason_for_a_reservation_before_having_waited() -> None:
    state = cluster((80, 100), (95, 1000), (10, 1000), busy=((100 * S, 90),), now_s=50.0)
    young = replace(state, jobs=(state.jobs[0], *(replace(job, create_ns=40 * S) for job in state.jobs[1:])))

    assert starts(decide(young, replace(SHORTEST, hold_after_s=30.0, flow_max_s=500.0))) == [2]


def test_fair_share_decides_who_overtakes_and_within_a_vendor_the_shortest() -> None:
    """Both vendors have a long and a short job that fit beside the head; each gets its short one, in turn."""
    base = cluster((80, 50), (1, 80), (1, 20), (1, 80), (1, 20), busy=((100 * S, 97),))
    vendors = (Vendor("v"), Vendor("w", held_slots=97), Vendor("x"))
    jobs = (replace(base.jobs[0], vendor="v"), *(replace(job, vendor="wwxx"[job.job - 1]) for job in base.jobs[1:]))
    config = Config(0.0, 1, Backfill.SHORTEST, math.inf, Order.FAIR)

    assert starts(decide(replace(base, vendors=vendors, jobs=jobs), config)) == [4, 3, 2]


counts = st.integers(1, 40)
lengths_s = st.sampled_from((1, 5, 30, 100, 400))


@given(
    st.lists(st.tuples(st.integers(11, 600), st.integers(1, 12)), max_size=8),
    st.lists(st.tuples(counts, lengths_s), min_size=2, max_size=8),
    st.sampled_from((EASY, SHORTEST, CONSERVATIVE, replace(SHORTEST, reservations=3))),
)
@settings(max_examples=300)
def test_no_reservation_moves_when_what_was_granted_runs(
    busy: list[tuple[int, int]], queue: list[tuple[int, int]], config: Config
) -> None:
    """Decide, start what was granted, decide again: the same starts are planned for the same jobs, none later."""
    state = cluster(*queue, busy=tuple((end_s * S, count) for end_s, count in busy))
    first = decide(state, config)
    claims = {job.job: job.claim for job in state.jobs}
    running = tuple((state.now_ns + int(claims[grant.job].duration_s * S), grant.unnamed) for grant in first.grants)
    left = tuple(job for job in state.jobs if job.job not in starts(first))
    again = decide(replace(state, jobs=left, unnamed=Unnamed(100, (*state.unnamed.busy, *running))), config)

    assert starts(again) == []
    assert again.reservations == first.reservations


def pools(free: Sequence[int], ends: Sequence[tuple[int, int, int]]) -> Profile:
    """Return the profile from 0 on of a venue with three pools, given what is free and (end, pool, count) in use."""
    busy = [tuple((end, count) for end, kind, count in ends if kind == pool) for pool in range(3)]
    told = [Unnamed(free[pool] + sum(count for _, count in busy[pool]), busy[pool]) for pool in range(3)]
    return Profile(Floor((), (), (), told[0], told[1], told[2], frozenset(), frozenset()), 0, {}, lambda: (0, 0, 0))


def counted(parts: Sequence[Part], length: int) -> Option:
    return Option(tuple(parts), 0, length)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), max_size=9), counts, st.integers(1, 60))
def test_the_earliest_start_is_the_first_moment_from_which_there_is_enough_for_the_whole_time(
    ends: list[tuple[int, int]], wanted: int, length: int
) -> None:
    """Against a plain count second by second, with a piece cut out in between."""
    profile = pools([10, 0, 0], [(end, 0, count) for end, count in ends])
    need = counted([Part((0,), wanted)], length)
    profile.take([Entry(0, 0, 4)], 7, 23)

    def free(time: int) -> int:
        return 10 + sum(count for end, count in ends if end <= time) - 4 * (7 <= time < 23)

    fitting = [t for t in range(80) if all(free(u) >= wanted for u in range(t, t + length))]
    found = profile.earliest(need)

    assert (found[0] if found else None) == (fitting[0] if fitting else None)
    assert (profile.start(need) is not None) == (0 in fitting)


kinds = st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True).map(tuple)
parts = st.lists(st.builds(Part, kinds, st.integers(1, 3)), min_size=1, max_size=3)
vectors = st.tuples(*[st.integers(0, 3)] * 3)


@given(vectors, st.lists(st.tuples(st.integers(1, 30), st.integers(0, 2), st.integers(1, 3)), max_size=6), parts, parts,
       st.integers(1, 20), st.integers(1, 20))  # fmt: skip
def test_a_claim_with_a_choice_is_planned_as_early_as_counting_every_second_would(
    free: tuple[int, ...],
    ends: list[tuple[int, int, int]],
    other: list[Part],
    wanted: list[Part],
    cut: int,
    length: int,
) -> None:
    """Another claim is planned before; then each start is tried against the least that its seconds leave."""
    profile = pools(free, ends)
    table = [
        [free[k] + sum(n for end, kind, n in ends if kind == k and end <= t) for k in range(3)] for t in range(120)
    ]
    earlier = profile.earliest(counted(other, cut))
    if earlier is not None:
        profile.take(earlier[1], earlier[0], earlier[0] + cut)
        for entry in earlier[1]:
            for second in range(earlier[0], earlier[0] + cut):
                table[second][entry.kind] -= entry.amount
    need = counted(wanted, length)

    def fits_from(start: int) -> bool:
        least = [min(column) for column in zip(*table[start : start + length], strict=True)]
        return need.within(least.__getitem__, lambda part: part.kinds) is not None

    found = profile.earliest(need)
    assert min(min(row) for row in table) >= 0
    assert (found[0] if found else None) == next((t for t in range(90) if fits_from(t)), None)


MODELS = ("a", "b", "c")
requests = st.builds(
    UnitRequest, count=st.integers(1, 3), robot_model=st.sampled_from(("", *MODELS)), maker=st.sampled_from(("", "m"))
)


@given(st.lists(requests, min_size=1, max_size=4), st.lists(st.tuples(st.sampled_from(MODELS), st.booleans())))
def test_a_claim_fits_in_counts_exactly_if_it_fits_in_names(
    wanted: list[UnitRequest], things: list[tuple[str, bool]]
) -> None:
    units = [Unit(f"u-{n:02}", model, maker="m" if made else "n") for n, (model, made) in enumerate(things)]
    claim = Claim(tuple(wanted))
    grants = decide(State(S, tuple(units), vendors=(Vendor("v"),), jobs=(Job(1, "v", claim),)), Config()).grants

    assert bool(grants) == (choose(wanted, units) is not None)


def test_a_picky_part_gets_the_kind_that_an_easy_one_can_do_without() -> None:
    entries = allocate([Part((0, 1), 2), Part((0, 2), 2), Part((0,), 1)], [2, 2, 1])

    assert entries is not None
    assert sorted(entries) == [(0, 1, 2), (1, 0, 1), (1, 2, 1), (2, 0, 1)]
    assert allocate([Part((0, 1), 2), Part((0,), 2)], [1, 2]) is None
