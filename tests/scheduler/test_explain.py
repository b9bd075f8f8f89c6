"""Why a job waits, in counts, without a word about anybody else."""

from dataclasses import replace

from hypothesis import given, settings

from scheduler.explain import explain, impossible, unknown_selector
from scheduler.state import (
    Amounts,
    Cell,
    CellRequest,
    Claim,
    Closure,
    Config,
    Job,
    SimSlot,
    State,
    Unit,
    UnitRequest,
    Vendor,
)
from scheduler.whatif import counterfactuals
from tests.scheduler.deciding import decide
from tests.scheduler.test_decide import venues
from tests.scheduler.test_ground import grounds

ARMS = State(
    now_ns=0,
    units=(
        Unit("arm-1", "own_arm", "arm", "Own"),
        Unit("arm-2", "own_arm", "arm", "Own", free=False),
        Unit("arm-3", "own_arm", "arm", "Own", usable=False),
        Unit("dog-1", "own_quadruped", "quadruped", "Own", labels={"pack": "big"}),
        Unit("panda-1", "panda", "arm", "Franka"),
    ),
    slots=(SimSlot("s-0"), SimSlot("s-1", False)),
    cells=(Cell("c-0", "assembly", 2, False), Cell("c-1", "picking", 1)),
    vendors=(Vendor("acme"), Vendor("nemesis")),
)


CONFIG = Config(hold_after_s=0.0)


def of(claim: Claim) -> Job:
    return Job(1, "acme", claim)


def arms(count: int) -> Claim:
    return Claim((UnitRequest(count=count, robot_model="own_arm"),))


def test_units_are_counted_as_asked_for_matching_and_free() -> None:
    (reason,) = explain(of(arms(2)), ARMS, CONFIG).reasons

    assert (reason.constraint, reason.requested, reason.matching, reason.free) == ("UNITS", 2, 3, 1)
    assert reason.message == "2 x unit of model own_arm: 1 of 3 matching units free, 1 out of order"
    assert reason.fix == "with 1 it could start now"


def test_another_model_of_the_class_is_suggested_if_it_is_free() -> None:
    busy = replace(ARMS, units=(*ARMS.units[1:3], *ARMS.units[3:]))
    (reason,) = explain(of(arms(1)), busy, CONFIG).reasons

    assert reason.fix == "free now in the same class: panda"


def test_requests_that_want_the_same_unit_are_said_to_compete() -> None:
    claim = Claim((UnitRequest(unit="arm-1"), UnitRequest(count=2, robot_class="arm", maker="own")))
    one_arm = replace(ARMS, units=(ARMS.units[0], ARMS.units[4]))
    both = Claim((UnitRequest(unit="arm-1"), UnitRequest(robot_model="own_arm")))

    assert [reason.constraint for reason in explain(of(claim), ARMS, CONFIG).reasons] == ["UNITS"]
    assert explain(of(both), one_arm, CONFIG).reasons[0].message == "its requests compete for the same free units"


def test_slots_and_cells_are_counted() -> None:
    claim = Claim(sim_slots=2, cell=CellRequest(scenario="assembly"))
    slots, cell = explain(of(claim), ARMS, CONFIG).reasons

    assert (slots.constraint, slots.requested, slots.matching, slots.free) == ("SIM_SLOTS", 2, 2, 1)
    assert (cell.constraint, cell.requested, cell.matching, cell.free) == ("CELL", 1, 1, 0)


def test_an_absent_runner_is_the_first_reason() -> None:
    reasons = explain(of(arms(2)), replace(ARMS, runner_ready=False), CONFIG).reasons

    assert [reason.constraint for reason in reasons] == ["RUNNER", "UNITS"]


def test_what_is_kept_for_an_earlier_job_is_said_without_saying_whose() -> None:
    earlier = replace(ARMS, jobs=(Job(0, "nemesis", arms(2)), of(arms(1))))
    explanation = explain(of(arms(1)), earlier, CONFIG)

    assert [reason.constraint for reason in explanation.reasons] == ["EARLIER_JOBS"]
    assert "nemesis" not in repr(explanation)


def test_jobs_ahead_are_the_vendors_own() -> None:
    """Own jobs of higher priority count; how many a rival has waiting is nobody's business."""
    own = [Job(n, "acme", arms(1), priority=1, create_ns=n) for n in range(3)]
    last = Job(9, "acme", arms(1), create_ns=9)
    theirs = [Job(n, "nemesis", arms(1), create_ns=n) for n in (4, 20)]
    state = replace(ARMS, jobs=(*own, last, *theirs))
    served = replace(state, vendors=(Vendor("acme", held_units=1), Vendor("nemesis")))

    assert explain(last, state, CONFIG).jobs_ahead == 3
    assert explain(last, served, CONFIG).jobs_ahead == 3
    assert explain(own[0], state, CONFIG).jobs_ahead == 0


def test_a_job_further_back_than_deciding_looks_is_not_said_to_be_next() -> None:
    unseen = Job(99, "acme", arms(1), create_ns=99)
    state = replace(ARMS, jobs=tuple(Job(n, "acme", arms(1), create_ns=n) for n in range(5)))

    assert explain(unseen, state, CONFIG).jobs_ahead == 5


@given(venues())
def test_a_job_without_any_reason_is_one_that_starts(state: State) -> None:
    """Alone in the venue, a job has no reason to wait exactly if it is granted."""
    for job in state.jobs[:2]:
        alone = replace(state, jobs=(job,))
        granted = bool(decide(alone, Config()).grants)

        assert granted == (not explain(job, alone, CONFIG).reasons)


@given(venues())
def test_no_explanation_names_another_vendor(state: State) -> None:
    names = {"x": "vendor-x", "y": "vendor-y", "z": "vendor-z"}
    named = replace(
        state,
        jobs=tuple(replace(job, vendor=names[job.vendor]) for job in state.jobs),
        vendors=tuple(replace(vendor, vendor=names[vendor.vendor]) for vendor in state.vendors),
    )
    for job in named.jobs:
        assert "vendor-" not in repr(explain(job, named, Config(0.001)))


def test_what_no_unit_of_the_venue_is_cannot_be_selected() -> None:
    assert unknown_selector(Claim((UnitRequest(robot_model="own_arn"),)), ARMS) == (
        "no unit of this venue matches 1 x unit of model own_arn"
    )
    assert unknown_selector(Claim((UnitRequest(labels=(("pack", "small"),)),)), ARMS) is not None
    assert unknown_selector(Claim((UnitRequest(unit="arm-9"),)), ARMS) is not None
    assert unknown_selector(Claim(cell=CellRequest(scenario="assembly", level=4)), ARMS) is not None
    assert unknown_selector(Claim((UnitRequest(maker="FRANKA"),), cell=CellRequest("c-1")), ARMS) is None


def test_a_claim_is_impossible_if_an_idle_and_healthy_venue_could_not_serve_it() -> None:
    both = Claim((UnitRequest(unit="arm-1"), UnitRequest(count=3, robot_model="own_arm")))

    assert impossible(arms(3), ARMS) is None
    assert impossible(arms(4), ARMS) == "the claim asks for 4 x unit of model own_arm, the venue has 3"
    assert impossible(both, ARMS) == "the venue has no distinct units for all requests of the claim together"
    assert impossible(Claim(sim_slots=3), ARMS) == "the claim asks for 3 sim slots, the venue has 2"


def test_that_others_come_first_is_said_without_saying_how_many() -> None:
    """However many jobs the rival has, the words are the same."""
    mine = Job(9, "acme", arms(1), create_ns=9)

    def words(rivals: int) -> str:
        theirs = tuple(Job(n, "nemesis", arms(1), create_ns=n) for n in range(rivals))
        return repr(explain(mine, replace(ARMS, jobs=(mine, *theirs)), CONFIG))

    assert "VENDOR_SHARE" in words(1)
    assert words(1) == words(7)
    assert "VENDOR_SHARE" not in words(0)


@given(grounds())
def test_whatever_the_ground_a_job_that_does_not_start_has_a_reason_and_one_that_does_has_none(state: State) -> None:
    for job in state.jobs[:3]:
        explanation = explain(job, state, CONFIG)
        granted = {grant.job for grant in decide(state, CONFIG).grants}

        assert (job.job in granted) == (not explanation.reasons)
        assert (job.job in granted) == (explanation.planned_start_ns == state.now_ns)


@settings(max_examples=50)
@given(grounds())
def test_what_a_counterfactual_promises_for_now_comes_true_when_the_job_is_changed_so(state: State) -> None:
    for job in state.jobs[:2]:
        before_ns = explain(job, state, CONFIG).planned_start_ns
        for told in counterfactuals(job, state, CONFIG):
            changed = replace(job, claim=told.claim)
            others = tuple(other for other in state.jobs if other.job != job.job)
            after_ns = explain(changed, replace(state, jobs=(*others, changed)), CONFIG).planned_start_ns

            assert after_ns == told.start_ns
            assert before_ns is None or told.start_ns < before_ns


def test_a_job_behind_a_long_lease_is_told_what_would_let_it_start_sooner() -> None:
    """Two of three arms are busy for an hour; a cell for picking is free, the one for assembly is not."""
    end_ns = 3_600 * 1_000_000_000
    arms_ = tuple(
        Unit(f"arm-{n}", "own_arm", "arm", "own", free=n == 0, end_ns=end_ns if n else None) for n in range(3)
    )
    state = State(0, arms_, vendors=(Vendor("acme"),))
    job = Job(1, "acme", arms(2))
    explanation = explain(job, replace(state, jobs=(job,)), CONFIG)
    (told, *_) = counterfactuals(job, replace(state, jobs=(job,)), CONFIG)

    assert explanation.planned_start_ns == end_ns
    assert (told.change, told.start_ns) == ("with 1 x own_arm instead of 2", 0)


def test_the_vendors_own_limit_is_told_with_numbers_a_groups_without() -> None:
    limit = Amounts(units=1)
    own = replace(ARMS, vendors=(Vendor("acme", held_units=1, limit=limit), Vendor("nemesis")))
    group = replace(
        ARMS,
        vendors=(Vendor("acme", parent="g"), Vendor("g", limit=limit), Vendor("nemesis", held_units=1, parent="g")),
    )
    (mine,) = explain(of(arms(1)), own, CONFIG).reasons
    (ours,) = explain(of(arms(1)), group, CONFIG).reasons

    assert (mine.constraint, mine.message) == ("QUOTA", "acme holds 1 of at most 1 units")
    assert (ours.constraint, ours.message) == ("QUOTA", "the vendor's group holds too many units for 1 more")


def test_a_closing_venue_is_told_with_the_longest_claim_that_still_ends_before() -> None:
    closing = replace(ARMS, closures=(Closure(30 * 1_000_000_000, 60 * 1_000_000_000, venue=True),), now_ns=0)
    (reason,) = explain(of(arms(1)), closing, CONFIG).reasons

    assert (reason.constraint, reason.fix) == ("CALENDAR", "for at most 30 s it could start now")


def test_a_unit_with_too_little_charge_is_told_with_how_long_it_could_work() -> None:
    weary = replace(ARMS, units=tuple(replace(unit, good_for_s=20.0) for unit in ARMS.units))
    (reason,) = explain(of(arms(1)), weary, CONFIG).reasons

    assert (reason.constraint, reason.fix) == ("BODY", "for at most 20 s it could start now")


def test_where_no_unit_is_rested_the_one_that_is_ready_first_is_named_with_its_time() -> None:
    first, *_, last = ARMS.units
    units = (replace(first, ready_ns=90 * 10**9), replace(last, robot_model="own_arm", ready_ns=40 * 10**9))
    (reason,) = explain(of(arms(1)), replace(ARMS, units=units), CONFIG).reasons

    assert (reason.constraint, reason.fix) == ("BODY", "panda-1 cools down or is charged for another 40 s")


def test_a_claim_with_one_good_alternative_is_neither_unknown_nor_impossible() -> None:
    good = replace(arms(99), alternatives=(arms(1),))
    bad = replace(arms(99), alternatives=(arms(98),))

    assert (unknown_selector(good, ARMS), impossible(good, ARMS)) == (None, None)
    assert impossible(bad, ARMS) == "the claim asks for 99 x unit of model own_arm, the venue has 3"
