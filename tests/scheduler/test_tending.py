"""Units over their lives: faults, checks by the venue, orders by operators, charging, wear."""

import math
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import body_pb2, fleet_service_pb2, job_pb2, venue_pb2
from scheduler import books, resources, snapshot
from scheduler.commands import bodies, checking, tending
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.fairness import history
from scheduler.state import Closure, State, Unit
from scheduler.targets import demand
from tests.scheduler.site import VENUE, Site, job, play, refusal

QUEUED, GRANTED = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_GRANTED
SUCCEEDED, FAILED, LOST = (
    job_pb2.ATTEMPT_STATE_SUCCEEDED,
    job_pb2.ATTEMPT_STATE_FAILED,
    job_pb2.ATTEMPT_STATE_LOST,
)
GOOD, UNKNOWN, BAD, SUSPECT, MAINTENANCE, RETIRED = (
    venue_pb2.UNIT_HEALTH_GOOD,
    venue_pb2.UNIT_HEALTH_UNKNOWN,
    venue_pb2.UNIT_HEALTH_BAD,
    venue_pb2.UNIT_HEALTH_SUSPECT,
    venue_pb2.UNIT_HEALTH_MAINTENANCE,
    venue_pb2.UNIT_HEALTH_RETIRED,
)
BATTERY = body_pb2.Battery(capacity_wh=100.0, work_power_w=100.0, charge_power_w=200.0)


def shown(site: Site, unit: str = "arm-1") -> venue_pb2.Unit:
    row = site.row(f"{resources.UNITS} WHERE u.id = ?", unit)
    return resources.unit("hall", row)


def decided(site: Site, unit: str = "arm-1") -> Unit:
    """Return the unit as deciding sees it now."""
    return {u.unit: u for u in snapshot.units(site.core.read, site.clock.now_ns(), chargers=True)}[unit]


async def ordered(site: Site, health: Any, unit: str = "arm-1", **fields: Any) -> None:
    request = fleet_service_pb2.SetUnitHealthRequest(name=f"venues/hall/units/{unit}", health=health, **fields)
    await site.run(tending.set_health("hall", request))


async def worked(
    site: Site, unit: str = "arm-1", duration_s: float = 60.0, outcome: int = SUCCEEDED, **end: Any
) -> str:
    """Have a job run on the only free unit and end; return its name."""
    body = await site.submit(job())
    await site.settle()
    attempt = await site.start(body)
    site.clock.pass_s(duration_s)
    await site.finish(attempt, outcome, **end)
    epoch = site.row("SELECT epoch FROM unit WHERE id = ?", unit)["epoch"]
    await site.status(unit, motion=1, safe_epoch=epoch)
    return body.name


def test_a_unit_that_broke_down_serves_again_only_after_it_was_reset_and_passed_a_check(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        body = await site.submit(job(), vendor="rival")
        await site.status("arm-1", motion=4, fault="SENSOR_NOT_FINITE at elbow")
        await site.settle()
        assert (shown(site).health, shown(site).body_state.health_cause) == (SUSPECT, "SENSOR_NOT_FINITE at elbow")
        assert site.rows("SELECT 1 FROM lease") == [], "a latched unit is not checked either"
        await site.status("arm-1", motion=1)
        await site.settle()
        checks = site.rows("SELECT * FROM lease WHERE vendor = 'venue'")
        assert len(checks) == 1 and site.get(body.name).state == QUEUED
        await site.passes_check("arm-1")
        await site.settle()
        assert shown(site).health == GOOD and shown(site).body_state.HasField("check_time")
        assert site.get(body.name).state == GRANTED

    # The unit was granted to the rival at once if it could be; so let it break before there is a runner.
    async def act(site: Site) -> None:
        await site.hello(units=["arm-1"])
        await site.status("arm-1", motion=4, fault="SENSOR_NOT_FINITE at elbow")
        await scene(site)

    play(tmp_path, act)


def test_a_unit_that_fails_its_check_on_probation_is_bad_until_somebody_brings_it_back(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await ordered(site, SUSPECT, cause="it squeaks")
        await site.fails_check("arm-1")
        await site.sweep(after_s=3600.0)
        assert (shown(site).health, "elbow" in shown(site).body_state.health_cause) == (BAD, True)
        assert [row["kind"] for row in site.rows("SELECT kind FROM event WHERE kind = 'unit.bad'")] == ["unit.bad"]
        assert len(site.rows("SELECT 1 FROM lease")) == 1, "a bad unit is not checked again by itself"
        await ordered(site, SUSPECT, cause="elbow replaced")
        await site.passes_check("arm-1")
        assert shown(site).health == GOOD

    play(tmp_path, scene)


def test_a_check_that_comes_to_no_end_says_nothing_and_is_done_again_after_a_pause(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await ordered(site, SUSPECT)
        failure = job_pb2.Failure(reason="RUNNER_LOST", message="gone", retryable=True)
        await site.check_of("arm-1", LOST, failure=failure)
        await site.settle()
        assert shown(site).health == SUSPECT
        ended = site.rows("SELECT state FROM job WHERE vendor = 'venue'")
        assert [row["state"] for row in ended] == [job_pb2.JOB_STATE_FAILED], "it is not tried again as the same job"
        await site.sweep(after_s=9.0)
        assert len(site.rows("SELECT 1 FROM lease")) == 1
        site.clock.pass_s(2.0)
        wanted: list[bool] = []
        await site.run(lambda tx: wanted.append(bodies.check_waited(tx)))
        assert wanted == [True], "no job waits here that would have the venue decide again"
        await site.passes_check("arm-1")
        assert shown(site).health == GOOD

    play(tmp_path, scene)


def test_checks_are_nobodys_business_but_the_operators(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1", "arm-2"])
        await ordered(site, SUSPECT)
        await site.settle()
        names = {row["vendor"] for row in site.rows("SELECT DISTINCT vendor FROM lease")}
        assert names == {"venue"}
        assert "venue" not in {vendor.vendor for vendor in snapshot.vendors(site.core.read, site.clock.now_ns())}
        events = site.rows("SELECT vendor, kind FROM event WHERE kind LIKE 'job.%' OR kind LIKE 'lease.%'")
        assert {row["vendor"] for row in events} == {"venue"}, "a vendor reads only its own and those of nobody"
        assert demand.problem(site.core.read, site.clock.now_ns()).tenants == {}
        site.clock.pass_s(5.0)
        now_ns = site.clock.now_ns()
        assert books.month(site.core.read, books.month_of(now_ns), now_ns, None) == []
        await site.passes_check("arm-1")
        assert books.month(site.core.read, books.month_of(now_ns), now_ns, None) == []
        assert site.rows("SELECT 1 FROM ledger") == site.rows("SELECT 1 FROM usage") == []
        assert history.report(site.core.read, (0.0, 1e12), now_ns / 1e9).lines == ()
        check = job(check=job_pb2.CheckSpec())
        error = await refusal(site.submit(check))
        assert error.reason == "INVALID_FIELD"

    play(tmp_path, scene)


def test_no_vendor_may_be_called_as_the_venue() -> None:
    with pytest.raises(BadConfiguration, match="venue's own"):
        settings_of(VENUE | {"vendor": [{"id": "venue"}]}, "test")


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"reserve": 1.0}, "below 1"),
        ({"reserve": -0.1}, "negative"),
        ({"check_unknown": 1}, "true or false"),
        ({"faults_max": 0}, "1 or more"),
        ({"faults_max": 2.5}, "whole number"),
        ({"rest_s": "long"}, "finite"),
        ({"check_duration_s": 0.0}, "1 or more"),
        ({"colour": "red"}, "has no colour"),
    ],
)
def test_rules_that_cannot_be_kept_are_refused_with_their_name(table: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfiguration, match=problem):
        settings_of(VENUE | {"bodies": table}, "test")


def test_too_many_faults_in_a_day_make_a_unit_bad(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        for count in range(3):
            assert shown(site).health == (GOOD if count else UNKNOWN)
            await site.status("arm-1", motion=4, fault=f"OVER_SPEED {count}")
            await site.status("arm-1", motion=4, fault=f"OVER_SPEED {count}; WATCHDOG")
            await site.status("arm-1", motion=1)
            if count < 2:
                await site.passes_check("arm-1")
                site.clock.pass_s(3600.0)
        await site.settle()
        assert shown(site).health == BAD
        assert "3 faults within 24 h" in shown(site).body_state.health_cause

    play(tmp_path, scene)


def test_an_operators_stop_is_no_fault_of_the_unit(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        for _ in range(5):
            await site.status("arm-1", motion=4, fault=bodies.PROTECTIVE_STOP)
            await site.status("arm-1", motion=1)
        assert shown(site).health == UNKNOWN

    play(tmp_path, scene)


def test_a_job_that_ended_well_makes_good_and_one_lost_by_the_unit_suspect(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await worked(site)
        assert shown(site).health == GOOD
        failure = job_pb2.Failure(reason="UNIT_FAULT", message="arm-1 sends no samples", retryable=True)
        await worked(site, outcome=FAILED, failure=failure)
        assert shown(site).health == SUSPECT

    play(tmp_path, scene)


def test_probation_outlives_the_units_host_and_a_good_unit_is_unknown_after_it(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1", "arm-2"])
        await ordered(site, GOOD)
        await ordered(site, SUSPECT, unit="arm-2")
        await site.hello(instance="i1", units=["arm-1", "arm-2"])
        assert (shown(site).health, shown(site, "arm-2").health) == (GOOD, SUSPECT), "the same process came back"
        await site.hello(instance="i2", units=["arm-1", "arm-2"])
        assert (shown(site).health, shown(site, "arm-2").health) == (UNKNOWN, SUSPECT)

    play(tmp_path, scene)


def test_units_in_maintenance_get_nothing_and_retired_ones_are_not_there(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await ordered(site, MAINTENANCE, cause="new gripper")
        body = await site.submit(job())
        await site.settle()
        assert site.get(body.name).state == QUEUED
        assert not decided(site).usable
        await ordered(site, RETIRED)
        assert "arm-1" not in {unit.unit for unit in snapshot.units(site.core.read)}
        error = await refusal(ordered(site, GOOD))
        assert error.reason == "HEALTH_STEP_REFUSED"
        await ordered(site, SUSPECT)
        await site.passes_check("arm-1")
        await site.settle()
        assert site.get(body.name).state == GRANTED

    play(tmp_path, scene)


def test_what_runs_goes_on_to_its_end_when_a_unit_is_taken_into_maintenance(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        body = await site.submit(job())
        await site.settle()
        attempt = await site.start(body)
        await ordered(site, MAINTENANCE)
        await site.finish(attempt, SUCCEEDED)
        assert site.get(body.name).state == job_pb2.JOB_STATE_SUCCEEDED
        assert shown(site).health == MAINTENANCE

    play(tmp_path, scene)


def test_orders_are_done_once_for_each_request_id_and_only_on_what_was_read(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        etag = shown(site).etag
        await ordered(site, MAINTENANCE, etag=etag, request_id="r1")
        seen = shown(site).etag
        await ordered(site, MAINTENANCE, etag=etag, request_id="r1")
        assert shown(site).etag == seen
        assert (await refusal(ordered(site, RETIRED, request_id="r1"))).reason == "REQUEST_ID_REUSED"
        assert (await refusal(ordered(site, RETIRED, etag=etag))).reason == "ETAG_MISMATCH"
        assert (await refusal(ordered(site, UNKNOWN))).reason == "INVALID_FIELD"
        assert (await refusal(ordered(site, 99))).reason == "INVALID_FIELD"
        assert (await refusal(ordered(site, GOOD, unit="nobody"))).reason == "NOT_FOUND"

    play(tmp_path, scene)


def test_a_unit_is_checked_again_after_so_many_jobs(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        for _ in range(2):
            await worked(site)
        assert decided(site).usable, "a good unit serves while its check is due"
        await site.passes_check("arm-1")
        await site.settle()
        assert site.row("SELECT jobs_unchecked FROM body WHERE unit = 'arm-1'")["jobs_unchecked"] == 0
        assert len(site.rows("SELECT 1 FROM lease WHERE vendor = 'venue'")) == 1

    play(tmp_path, scene, bodies={"check_after_jobs": 2})


def test_where_the_venue_wants_it_a_unit_is_checked_before_its_first_job(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        body = await site.submit(job())
        await site.settle()
        assert site.get(body.name).state == QUEUED
        await site.passes_check("arm-1")
        await site.settle()
        assert site.get(body.name).state == GRANTED

    play(tmp_path, scene, bodies={"check_unknown": True})


def test_nothing_is_checked_where_people_may_be() -> None:
    unit = Unit("g1", "unitree_g1", zone="north")
    here = [
        Closure(50, 60, units=frozenset({"g1"})),
        Closure(0, 150, zones=frozenset({"north"})),
        Closure(150, 160, venue=True),
    ]
    elsewhere = [
        Closure(0, 100, venue=True),
        Closure(200, 300, venue=True),
        Closure(0, 500, zones=frozenset({"south"})),
        Closure(0, 500, cells=frozenset({"g1"})),
    ]
    assert [checking.closed(unit, State(100, closures=(c,)), 100e-9) for c in here] == [False, True, True]
    assert not any(checking.closed(unit, State(100, closures=(c,)), 100e-9) for c in elsewhere)


def test_deciding_sees_what_the_battery_allows(tmp_path: Path) -> None:
    """By hand: (0.7 - 0.2) x 100 Wh / 100 W = 1800 s; then full from 0.7 in 0.3 x 100 / 200 h = 540 s."""

    async def scene(site: Site) -> None:
        declared = body_pb2.Body(battery=BATTERY, payload_kg=3.0, sensors=["imu"], firmware="1.2")
        await site.hello(units=["arm-1"], body=declared)
        assert decided(site).good_for_s == math.inf, "it has not told its charge yet"
        await site.status("arm-1", motion=1, battery=0.7)
        seen = decided(site)
        assert math.isclose(seen.good_for_s, 1800.0)
        assert seen.renewed_ns == site.clock.now_ns() + 540_000_000_000
        assert (seen.payload_kg, seen.sensors, seen.firmware, seen.joint_count) == (3.0, ("imu",), "1.2", 3)
        await site.status("arm-1", motion=1, battery=0.7, charging=True)
        seen = decided(site)
        assert (seen.ready_ns - site.clock.now_ns()) / 1e9 == 540.0
        assert math.isclose(seen.good_for_s, 2880.0)
        assert shown(site).body_state.charging

    play(tmp_path, scene)


def test_a_charge_is_ordered_once_and_holds_a_charger_from_the_order_on(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.hello(units=["arm-1"], body=body_pb2.Body(battery=BATTERY))
        await site.status("arm-1", motion=1, battery=0.5)
        for _ in range(3):
            await site.run(lambda tx: bodies.charge(tx, "arm-1"))
        (order,) = site.rows("SELECT * FROM unit_order WHERE action = 'charge'")
        end_ns = site.clock.now_ns() + 900_000_000_000
        assert snapshot.charging(site.core.read, site.clock.now_ns()) == ((end_ns, 1),)
        assert decided(site).ready_ns == end_ns
        await site.status("arm-1", motion=1, battery=0.5, charging=True, done=[order["id"]])
        assert snapshot.charging(site.core.read, site.clock.now_ns()) == ((end_ns, 1),)
        await site.status("arm-1", motion=1, battery=1.0)
        assert snapshot.charging(site.core.read, site.clock.now_ns()) == ()
        assert decided(site).ready_ns <= site.clock.now_ns()
        kinds = [row["kind"] for row in site.rows("SELECT kind FROM event WHERE kind LIKE 'unit.%' ORDER BY seq")]
        assert kinds[-3:] == ["unit.ordered", "unit.charging", "unit.unplugged"]

    play(tmp_path, scene)


def test_an_idle_unit_with_little_charge_is_charged_gets_no_job_meanwhile_and_comes_back(tmp_path: Path) -> None:
    """One charger and two low batteries: the emptier goes first, the other when the charger is free again."""

    async def scene(site: Site) -> None:
        await site.hello(units=["arm-1", "arm-2"], body=body_pb2.Body(battery=BATTERY))
        await site.status("arm-1", motion=1, battery=0.29)
        await site.status("arm-2", motion=1, battery=0.25)
        await site.runner()
        await site.settle()
        await site.settle()
        sent = site.rows("SELECT id, unit FROM unit_order WHERE action = 'charge'")
        assert [row["unit"] for row in sent] == ["arm-2"], "there is one charger"
        await site.status("arm-2", motion=1, battery=0.25, charging=True, done=[sent[0]["id"]])
        # 600 s of work are 0.17 of a battery: above the reserve, arm-1 has 0.09.
        waiting = await site.submit(job())
        await site.settle()
        assert site.get(waiting.name).state == QUEUED and site.rows("SELECT 1 FROM lease") == []
        assert [row["unit"] for row in site.rows("SELECT unit FROM unit_order WHERE action = 'charge'")] == ["arm-2"]
        site.clock.pass_s(1400.0)
        await site.status("arm-2", motion=1, battery=1.0)
        await site.settle()
        assert site.get(waiting.name).state == GRANTED
        assert [row["unit"] for row in site.rows("SELECT unit FROM lease_unit")] == ["arm-2"]
        sent = site.rows("SELECT unit FROM unit_order WHERE action = 'charge' ORDER BY id")
        assert [row["unit"] for row in sent] == ["arm-2", "arm-1"]

    play(tmp_path, scene, venue={"id": "hall", "chargers": 1})


@pytest.mark.parametrize(
    "status",
    [{"battery": 0.31}, {"battery": 0.1, "fault": "SENSOR_NOT_FINITE at elbow"}, {"battery": 0.1, "charging": True}],
    ids=["enough", "broken", "there"],
)
def test_a_unit_with_enough_charge_or_none_that_can_go_is_not_sent_to_a_charger(
    tmp_path: Path, status: dict[str, Any]
) -> None:
    async def scene(site: Site) -> None:
        await site.hello(units=["arm-1"], body=body_pb2.Body(battery=BATTERY))
        await site.status("arm-1", motion=1, **status)
        await site.runner()
        await site.settle()
        assert site.rows("SELECT 1 FROM unit_order WHERE action = 'charge'") == []

    play(tmp_path, scene, venue={"id": "hall", "chargers": 1})


def test_a_unit_that_did_not_go_to_its_charger_is_sent_again_after_a_minute(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.hello(units=["arm-1"], body=body_pb2.Body(battery=BATTERY))
        await site.status("arm-1", motion=1, battery=0.5)
        await site.run(lambda tx: bodies.charge(tx, "arm-1"))
        order = site.row("SELECT id FROM unit_order")["id"]
        await site.status("arm-1", motion=1, battery=0.5, done=[order])
        assert not shown(site).body_state.charging
        await site.run(lambda tx: bodies.charge(tx, "arm-1"))
        site.clock.pass_s(61.0)
        await site.run(lambda tx: bodies.charge(tx, "arm-1"))
        assert len(site.rows("SELECT 1 FROM unit_order")) == 2

    play(tmp_path, scene)


def test_leases_leave_wear_setup_and_rest(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await worked(site, duration_s=360.0)
        seen = decided(site)
        assert math.isclose(seen.wear_h, 0.1)
        assert (seen.ready_ns - site.clock.now_ns()) / 1e9 == 180.0
        waiting = await site.submit(job())
        (queued,) = snapshot.jobs(site.core.read, site.clock.now_ns())
        assert queued.setup == seen.setup != ""
        assert site.get(waiting.name).name == waiting.name

    play(tmp_path, scene, bodies={"rest_fraction": 0.5, "rest_s": 30.0})


def test_a_units_own_rule_for_resting_comes_before_the_venues(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1"])
        await worked(site, duration_s=100.0)
        assert (decided(site).ready_ns - site.clock.now_ns()) / 1e9 == 10.0

    units = [{"id": "arm-1", "robot": "own_arm", "rest_fraction": 0.0, "rest_s": 10.0}]
    play(tmp_path, scene, unit=units, bodies={"rest_fraction": 0.5})


def test_a_calibration_bounds_how_long_a_unit_is_good_for_until_it_is_lifted(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        async def calibrated(**fields: Any) -> None:
            request = fleet_service_pb2.CalibrateUnitRequest(name="venues/hall/units/arm-1", **fields)
            await site.run(tending.calibrate("hall", request))

        await site.connect(units=["arm-1"])
        expire = Timestamp()
        expire.FromNanoseconds(site.clock.now_ns() + 100_000_000_000)
        await calibrated(expire_time=expire)
        assert (decided(site).good_for_s, decided(site).renewed_ns) == (100.0, None)
        site.clock.pass_s(200.0)
        assert decided(site).good_for_s == 0.0
        assert (await refusal(calibrated(expire_time=expire))).reason == "INVALID_FIELD"
        expire.FromNanoseconds(site.clock.now_ns() + 20 * 366 * 86_400 * 1_000_000_000)
        assert (await refusal(calibrated(expire_time=expire))).reason == "INVALID_FIELD"
        await calibrated()
        assert decided(site).good_for_s == math.inf

    play(tmp_path, scene)


def test_the_charge_is_news_in_steps_and_not_with_every_beat(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.hello(units=["arm-1"])
        for percent in range(100, 88, -1):
            await site.status("arm-1", motion=1, battery=percent / 100)
        told = site.rows("SELECT message FROM event WHERE kind = 'unit.battery'")
        assert [row["message"] for row in told] == ["100%", "99%", "94%", "89%"]

    play(tmp_path, scene)
