"""Claims: what makes no sense is refused, what is asked for arrives whole, what is granted is kept and given back."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from palaestra import Client, jobs, names, rules
from palaestra.errors import PalaestraError
from palaestra.v1 import claim_pb2, job_pb2, job_service_pb2, reservation_pb2, reservation_service_pb2
from scheduler import resources, snapshot
from scheduler.commands import reserving, running
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.snapshot import claim_of
from scheduler.state import Claim, Placement, UnitRequest, Unnamed
from tests.scheduler.site import VENUE, LiveServer, Site, job, play, refusal

SUCCEEDED = job_pb2.ATTEMPT_STATE_SUCCEEDED
HALL = {"venue": {"id": "hall", "seats": 3, "chargers": 2}}
DURATION = {"seconds": 60}
ARM = {"selector": {"robot_model": "own_arm"}}
NAMED = {"selector": {"unit": "venues/hall/units/arm-1"}}


def asking(**claim: Any) -> job_pb2.Job:
    return job_pb2.Job(claim={"duration": DURATION, **claim}, collect={"motion": "sway", "robot_model": "own_arm"})


CONTRADICTIONS = {
    "nothing at all": (asking(seats=1), "job.claim", "needs units or sim slots"),
    "a unit twice": (asking(units=[NAMED, ARM, NAMED]), "job.claim.units[2].selector.unit", "units[0]"),
    "two of one": (asking(units=[{**NAMED, "count": 2}]), "job.claim.units[0].count", "is 2, of the one unit"),
    "up to two of one": (asking(units=[{**NAMED, "count_max": 2}]), "job.claim.units[0].count", "is 2"),
    "at most less": (asking(units=[{**ARM, "count": 3, "count_max": 2}]), "job.claim.units[0].count_max", "less than"),
    "a sensor twice": (
        asking(units=[{"selector": {"sensors": ["depth", "touch", "depth"]}}]),
        "job.claim.units[0].selector.sensors", "depth is asked for twice",
    ),
    "an empty alternative": (
        asking(units=[ARM], alternatives=[{"duration": DURATION}]),
        "job.claim.alternatives[0]", "needs units or sim slots",
    ),
    "an alternative of an alternative": (
        asking(units=[ARM], alternatives=[{
            "duration": DURATION, "sim_slots": 1, "alternatives": [{"duration": DURATION, "sim_slots": 2}]}]),
        "job.claim.alternatives[0].alternatives", "no alternatives of its own",
    ),
    "an alternative that the work cannot use": (
        job_pb2.Job(
            claim={"duration": DURATION, "sim_slots": 1, "alternatives": [{"duration": DURATION, "units": [ARM]}]},
            train={"task": "reach", "robot_model": "own_arm"},
        ),
        "job.claim.alternatives[0].sim_slots", "needs at least one sim slot",
    ),
    "slots instead of units and no model": (
        job_pb2.Job(
            claim={"duration": DURATION, "units": [ARM], "alternatives": [{"duration": DURATION, "sim_slots": 1}]},
            collect={"motion": "sway"},
        ),
        "job.collect.robot_model", "job.claim.alternatives[0] has no units",
    ),
    "a deadline of yesterday": (job(deadline={"seconds": 1_600_000_000}), "job.deadline", "lies in the past"),
    "a deadline after all clocks": (job(deadline={"seconds": 9_300_000_000}), "job.deadline", "2261"),
    "a deadline that is no time": (job(deadline={"seconds": 1_800_000_000, "nanos": -1}), "job.deadline", "nanos"),
}  # fmt: skip


@pytest.mark.parametrize("case", CONTRADICTIONS)
def test_a_claim_that_contradicts_itself_is_refused_at_its_field(tmp_path: Path, case: str) -> None:
    body, field, words = CONTRADICTIONS[case]

    async def scene(site: Site) -> None:
        await site.connect()
        error = await refusal(site.submit(body))
        assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", field)
        assert words in error.message
        assert site.row("SELECT count(*) FROM job")[0] == 0

    play(tmp_path, scene)


BROKEN_RULES = {
    "count": {"units": [{**ARM, "count": -1}]},
    "count_max": {"units": [{**ARM, "count_max": -1}]},
    "joint_count_min": {"units": [{"selector": {"joint_count_min": -1}}]},
    "payload_min_kg": {"units": [{"selector": {"payload_min_kg": float("nan")}}]},
    "sensors[0]": {"units": [{"selector": {"sensors": [""]}}]},
    "sim_slots": {"sim_slots": -1},
    "seats": {"seats": -1},
    "chargers": {"chargers": -2},
    "alternatives[1].duration": {"alternatives": [{"duration": DURATION}, {"sim_slots": 1}]},
}


@pytest.mark.parametrize("field", BROKEN_RULES)
def test_amounts_below_zero_and_missing_durations_break_a_rule(field: str) -> None:
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=asking(**BROKEN_RULES[field]))
    with pytest.raises(PalaestraError) as caught:
        rules.check(request)
    assert caught.value.reason == "INVALID_FIELD"
    assert caught.value.metadata["field"].endswith(field)


def test_everything_that_a_claim_says_reaches_deciding() -> None:
    message = claim_pb2.Claim(
        units=[{
            "selector": {
                "robot_class": "arm", "maker": "Own", "robot_model": "own_arm", "unit": "venues/hall/units/arm-1",
                "labels": {"b": "2", "a": "1"}, "joint_count_min": 6, "payload_min_kg": 2.5,
                "end_effector": "gripper", "sensors": ["touch", "depth"], "firmware": "1.2",
            },
            "count": 2, "count_max": 8,
        }],
        sim_slots=3, duration={"seconds": 5, "nanos": 500_000_000}, seats=2, chargers=1,
        placement=claim_pb2.PLACEMENT_APART,
        alternatives=[{"duration": {"seconds": 9}, "sim_slots": 1, "placement": claim_pb2.PLACEMENT_TOGETHER}],
    )  # fmt: skip
    request = UnitRequest(
        count=2, robot_class="arm", maker="Own", robot_model="own_arm", unit="arm-1", labels=(("a", "1"), ("b", "2")),
        count_max=8, joints_min=6, payload_min_kg=2.5, end_effector="gripper", sensors=("depth", "touch"),
        firmware="1.2",
    )  # fmt: skip
    assert claim_of(message) == Claim(
        units=(request,), sim_slots=3, duration_s=5.5, seats=2, chargers=1, placement=Placement.APART,
        alternatives=(Claim(sim_slots=1, duration_s=9.0, placement=Placement.TOGETHER),),
    )  # fmt: skip


def test_every_field_of_a_claim_in_the_contract_is_one_that_deciding_knows() -> None:
    """A field that somebody adds to the contract alone would be accepted and then ignored."""
    told = {field.name for field in claim_pb2.Claim.DESCRIPTOR.fields}
    assert told == {"duration" if name == "duration_s" else name for name in Claim.__dataclass_fields__}
    selectors = {field.name for field in claim_pb2.UnitSelector.DESCRIPTOR.fields}
    counts = {"count", "count_max"}
    known = {"joint_count_min" if name == "joints_min" else name for name in UnitRequest.__dataclass_fields__}
    assert selectors | counts == known


def test_jobs_of_a_priority_come_by_deadline_and_those_without_one_last(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        now_s = site.clock.now_ns() // 1_000_000_000
        bodies = {
            "late": job(deadline={"seconds": now_s + 900}),
            "none": job(),
            "soon": job(deadline={"seconds": now_s + 100, "nanos": 7}),
            "urgent": job(priority=1),
        }
        known = {(await site.submit(body)).name: key for key, body in bodies.items()}
        uids = {row["id"]: known[f"vendors/acme/jobs/{row['uid']}"] for row in site.rows("SELECT id, uid FROM job")}
        waiting = snapshot.jobs(site.core.read, site.clock.now_ns())
        assert [uids[found.job] for found in waiting] == ["urgent", "soon", "late", "none"]
        assert waiting[1].deadline_ns == (now_s + 100) * 1_000_000_000 + 7
        assert waiting[3].deadline_ns is None

    play(tmp_path, scene)


def test_a_reservation_is_the_vendors_own_and_reaches_deciding(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        start_s = site.clock.now_ns() // 1_000_000_000 + 3600
        spec = reservation_pb2.Reservation(
            claim={"units": [ARM], "duration": {"seconds": 1}},
            start_time={"seconds": start_s},
            end_time={"seconds": start_s + 3600},
        )
        request = reservation_service_pb2.CreateReservationRequest(parent="vendors/acme", reservation=spec)
        name = (await site.run(reserving.reserve("acme", request, site.core.bounds))).name
        await site.submit(job(reservation=name))
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        assert [found.booking for found in state.jobs] == [found.booking for found in state.bookings]
        assert name.endswith(state.jobs[0].booking)
        for vendor, other in (("rival", name), ("acme", "vendors/acme/reservations/none")):
            assert (await refusal(site.submit(job(reservation=other), vendor))).reason == "NOT_FOUND"

    play(tmp_path, scene)


def test_a_lease_holds_its_seats_and_chargers_until_its_units_rest(tmp_path: Path) -> None:
    """Of an alternative, with its own duration."""
    body = asking(
        units=[{**ARM, "count": 3}],
        alternatives=[{"duration": {"seconds": 77}, "units": [ARM], "seats": 2, "chargers": 1}],
    )

    def unnamed(site: Site) -> tuple[Unnamed, Unnamed]:
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        return state.seats, state.chargers

    async def scene(site: Site) -> None:
        await site.connect()
        assert unnamed(site) == (Unnamed(3), Unnamed(2))
        await site.submit(asking(units=[NAMED]), "rival")
        await site.settle()
        submitted = await site.submit(body)
        await site.settle()
        end_ns = site.clock.now_ns() + 77 * 1_000_000_000
        arm, *rest = site.get(submitted.name).attempts[0].resources
        assert arm in ("arm-2", "arm-3")
        assert rest == ["2 seats", "1 charger"]
        in_use = (Unnamed(3, ((end_ns, 2),)), Unnamed(2, ((end_ns, 1),)))
        attempt = await site.start(submitted)
        assert unnamed(site) == in_use
        lease = site.row(f"{resources.LEASES} WHERE l.seats > 0")
        assert (resources.lease(site.core.read, lease).seats, resources.lease(site.core.read, lease).chargers) == (2, 1)
        await site.finish(attempt, SUCCEEDED)
        assert unnamed(site) == in_use, "an operator leaves when the robot rests, not before"
        epoch = site.row("SELECT epoch FROM unit WHERE id = ?", arm)["epoch"]
        await site.status(arm, safe_epoch=epoch)
        assert unnamed(site) == (Unnamed(3), Unnamed(2))

    play(tmp_path, scene, **HALL)


def test_a_moldable_claim_may_hold_fewer_units_than_its_most(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(asking(units=[NAMED]), "rival")
        await site.settle()
        submitted = await site.submit(asking(units=[{**ARM, "count": 1, "count_max": 3}]))
        await site.settle()
        assert sorted(site.get(submitted.name).attempts[0].resources) == ["arm-2", "arm-3"]
        await site.finish(await site.start(submitted), SUCCEEDED)
        assert site.get(submitted.name).state == job_pb2.JOB_STATE_SUCCEEDED

    play(tmp_path, scene)


@pytest.mark.parametrize("value", [-1, 1.5, "two", True])
@pytest.mark.parametrize("key", ["seats", "chargers"])
def test_a_venue_has_a_whole_number_of_seats_and_chargers(key: str, value: object) -> None:
    with pytest.raises(BadConfiguration, match=rf"\[venue\] {key} is"):
        settings_of(VENUE | {"venue": {"id": "hall", key: value}}, "test")


def test_a_claim_is_checked_against_the_whole_inventory(tmp_path: Path) -> None:
    """What the refusals look at has the seats and chargers in it."""

    async def scene(site: Site) -> None:
        await site.connect()
        inventory = snapshot.inventory(site.core.read, site.clock.now_ns())
        assert (inventory.seats, inventory.chargers) == (Unnamed(3), Unnamed(2))
        assert (len(inventory.units), len(inventory.slots), len(inventory.cells)) == (3, 2, 1)
        assert inventory.jobs == ()

    play(tmp_path, scene, **HALL)


def test_a_job_comes_back_over_the_wire_as_it_was_sent(tmp_path: Path) -> None:
    with LiveServer(tmp_path, settings_of(VENUE | HALL, "test")) as live:
        live.run(running.register_runner("r", "r/one", 2))
        with Client(live.address, live.token("vendor-acme")) as client:
            first = client.submit(jobs.collect(motion="sway", robot_model="own_arm"))
            sent = jobs.collect(
                motion="sway", units=[jobs.unit(name="arm-1"), jobs.unit(robot_model="own_arm", count=1, count_max=2)],
                robot_model="own_arm", seats=1, chargers=1, placement="anywhere",
                alternatives=[jobs.claim(sim_slots=1, duration_s=30)],
                deadline=datetime.now(UTC) + timedelta(days=1), after=[first.name], sim_first=True,
            )  # fmt: skip
            found = client.job(client.submit(sent).name)
            assert found.claim == names.complete(sent, client.identity()).claim
            assert (found.deadline, list(found.after), found.sim_first) == (sent.deadline, [first.name], True)
            constraints = [reason.constraint for reason in client.explain(found.name).reasons]
            assert constraints[:2] == ["DEPENDENCY", "SIM_FIRST"]
            with pytest.raises(PalaestraError) as caught:
                client.submit(jobs.train("reach", "own_arm", deadline=datetime.now(UTC) - timedelta(days=1)))
            assert (caught.value.reason, caught.value.metadata["field"]) == ("INVALID_FIELD", "job.deadline")
