"""Batteries, rest and calibration: what they let a unit do, and when."""

import math

from hypothesis import given
from hypothesis import strategies as st

from palaestra.v1 import job_pb2
from scheduler import body
from scheduler.body import Battery, Condition
from scheduler.state import Unit
from tests.scheduler.site import job

H_S = 3600.0
H_NS = 3_600_000_000_000
NOW_NS = 1_700_000_000_000_000_000
G1 = Battery(capacity_wh=421.2, work_power_w=211.0, charge_power_w=281.0)

CHARGE = st.floats(0.0, 1.0)
BATTERIES = st.builds(
    Battery, st.floats(1.0, 5000.0), st.floats(1.0, 2000.0), st.one_of(st.just(0.0), st.floats(1.0, 2000.0))
)
TIMES_NS = st.integers(NOW_NS - 10 * H_NS, NOW_NS + 10 * H_NS)
CONDITIONS = st.builds(
    Condition,
    battery=st.none() | BATTERIES,
    charge=st.none() | CHARGE,
    charging=st.booleans(),
    cool_ns=TIMES_NS,
    calibrated_ns=st.none() | TIMES_NS,
    lease_end_ns=st.none() | TIMES_NS,
)


def test_a_full_g1_works_for_an_hour_and_a_half_above_a_reserve_of_a_fifth() -> None:
    """By hand: 0.8 x 421.2 Wh / 211 W = 1.597 h; and back to full at 281 W in 0.8 x 421.2 / 281 = 1.199 h."""
    assert math.isclose(body.work_s(G1, 1.0, 0.2) / H_S, 1.597, abs_tol=1e-3)
    assert math.isclose(body.charging_s(G1, 0.2) / H_S, 1.199, abs_tol=1e-3)
    assert math.isclose(body.energy_wh(G1, 1800.0), 105.5)


@given(BATTERIES, CHARGE, CHARGE, st.floats(0.0, 0.99))
def test_more_charge_is_never_worse_and_no_time_is_negative(
    battery: Battery, one: float, two: float, reserve: float
) -> None:
    less, more = sorted((one, two))
    assert 0.0 <= body.work_s(battery, less, reserve) <= body.work_s(battery, more, reserve)
    assert body.charging_s(battery, less) >= body.charging_s(battery, more) >= 0.0


@given(BATTERIES, CHARGE, st.floats(0.0, 0.99))
def test_a_job_of_the_time_that_a_unit_is_good_for_leaves_the_reserve(
    battery: Battery, charge: float, reserve: float
) -> None:
    left = body.charge_after(battery, charge, body.work_s(battery, charge, reserve))
    assert math.isclose(left, min(charge, max(reserve, 0.0)) if charge < reserve else reserve, abs_tol=1e-6)


@given(CONDITIONS, st.floats(0.0, 0.99), st.booleans())
def test_what_is_said_of_a_body_fits_together(condition: Condition, reserve: float, chargers: bool) -> None:
    ready_ns = body.ready_ns(condition, NOW_NS)
    good_for_s = body.good_for_s(condition, reserve, NOW_NS)
    renewed_ns = body.renewed_ns(condition, reserve, NOW_NS, chargers=chargers)

    assert ready_ns >= condition.cool_ns
    assert good_for_s >= 0.0
    assert renewed_ns is None or renewed_ns >= max(NOW_NS, ready_ns)
    if condition.calibrated_ns is not None:
        assert good_for_s <= max(0, condition.calibrated_ns - NOW_NS) / 1e9
    elif condition.battery is None or condition.charge is None:
        assert good_for_s == math.inf


@given(CONDITIONS, st.floats(0.0, 0.99))
def test_without_a_charger_nothing_is_charged_by_itself(condition: Condition, reserve: float) -> None:
    bounded = not math.isinf(body.good_for_s(condition, reserve, NOW_NS))
    renewed_ns = body.renewed_ns(condition, reserve, NOW_NS, chargers=False)
    assert not bounded or condition.charging or renewed_ns is None


def test_a_unit_on_a_charger_is_ready_when_full_and_then_good_for_a_full_battery() -> None:
    condition = Condition(G1, charge=0.5, charging=True)
    assert body.ready_ns(condition, NOW_NS) == NOW_NS + int(body.charging_s(G1, 0.5) * 1e9)
    assert body.good_for_s(condition, 0.2, NOW_NS) == body.work_s(G1, 1.0, 0.2)


def test_a_leased_unit_is_charged_after_its_lease_from_what_the_lease_leaves() -> None:
    """By hand: half an hour of work takes 105.5 Wh, a quarter of the battery."""
    condition = Condition(G1, charge=0.6, lease_end_ns=NOW_NS + H_NS // 2)
    left = 0.6 - 105.5 / 421.2
    renewed_ns = body.renewed_ns(condition, 0.2, NOW_NS, chargers=True)
    assert renewed_ns is not None
    assert math.isclose((renewed_ns - NOW_NS) / 1e9, 1800.0 + body.charging_s(G1, left), abs_tol=1e-3)


def test_an_expiring_calibration_bounds_and_is_nothing_that_time_renews() -> None:
    condition = Condition(G1, charge=1.0, calibrated_ns=NOW_NS + 60 * 1_000_000_000)
    assert body.good_for_s(condition, 0.2, NOW_NS) == 60.0
    assert body.renewed_ns(condition, 0.2, NOW_NS, chargers=True) is None
    assert body.good_for_s(condition, 0.2, NOW_NS + H_NS) == 0.0


@given(st.floats(-10.0, 1e6), st.floats(0.0, 10.0), st.floats(0.0, 1e5))
def test_a_unit_rests_for_the_larger_of_its_share_and_its_least(worked_s: float, fraction: float, least: float) -> None:
    rest_s = body.rest_s(worked_s, fraction, least)
    assert rest_s == max(least, fraction * max(worked_s, 0.0))


def test_why_not_names_what_keeps_a_unit_and_nothing_else_does() -> None:
    fit = Unit("g1", "unitree_g1", good_for_s=600.0)
    assert body.why_not(fit, 600.0, NOW_NS) is None
    assert body.why_not(Unit("arm", "own_arm"), 1e9, NOW_NS) is None
    cooling = Unit("g1", "unitree_g1", ready_ns=NOW_NS + 90_000_000_000)
    assert "another 90 s" in (body.why_not(cooling, 60.0, NOW_NS) or "")
    low = Unit("g1", "unitree_g1", good_for_s=300.0, renewed_ns=NOW_NS + H_NS)
    assert body.why_not(low, 3600.0, NOW_NS) == (
        "g1 could work 5 min now, by its charge and calibration; the claim asks for 60 min; it can be charged in 60 min"
    )
    due = Unit("g1", "unitree_g1", good_for_s=0.0)
    assert "somebody must" in (body.why_not(due, 60.0, NOW_NS) or "")


def test_jobs_share_a_setup_if_and_only_if_nothing_must_be_changed_between_them() -> None:
    sway = body.setup_of(job(), "acme")
    assert sway and sway == body.setup_of(job(), "rival")
    assert sway == body.setup_of(job(units=2, priority=5), "acme")
    wave = job(collect=job_pb2.CollectSpec(motion="wave"))
    worded = job(collect=job_pb2.CollectSpec(motion="sway", task="pour tea"))
    assert len({sway, body.setup_of(wave, "acme"), *(body.setup_of(worded, v) for v in ("acme", "rival"))}) == 4
    assert body.setup_of(job(units=0, sim_slots=1), "acme") == ""
