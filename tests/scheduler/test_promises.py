"""What was promised is kept in a running venue: guarantees, reservations, safety, decisions that can be made again."""

import json
from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import calendar_pb2, calendar_service_pb2, job_pb2, reservation_pb2, reservation_service_pb2
from scheduler.commands import ending, reserving, timetable
from scheduler.configuration import BadConfiguration, settings_of
from scheduler.replay import command
from tests.scheduler.site import TTL_S, VENUE, Site, job, play

QUEUED, GRANTED, RUNNING = job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_GRANTED, job_pb2.JOB_STATE_RUNNING
ENDED = job_pb2.ATTEMPT_STATE_CANCELLED
SUCCEEDED = job_pb2.ATTEMPT_STATE_SUCCEEDED
SCHEDULER = {
    "lease_ttl_s": TTL_S,
    "hold_after_s": 30.0,
    "preempt_after_s": 20.0,
    "runtime_min_s": 30.0,
    "preempt_period_s": 5.0,
    "preempt_grace_s": 8.0,
}
GUARANTEED = [{"id": "acme", "guarantee": {"units": 1}}, {"id": "rival"}]


async def busy(site: Site, vendor: str = "rival", jobs: int = 3) -> list[tuple[job_pb2.Job, str]]:
    """Have the vendor run long jobs on so many units."""
    submitted = [await site.submit(job(), vendor) for _ in range(jobs)]
    await site.settle()
    return [(body, await site.start(body)) for body in submitted]


async def rest(site: Site) -> None:
    """Let every unit's host say that what it did is over."""
    for row in site.rows("SELECT id, epoch FROM unit WHERE online"):
        held = site.row("SELECT 1 FROM attempt a JOIN lease_unit lu ON lu.lease_id = a.lease_id "
                        "WHERE lu.unit = ? AND a.state IN (1, 2)", row["id"])  # fmt: skip
        if held is None:
            await site.status(row["id"], motion=1, safe_epoch=row["epoch"])


async def passes(site: Site, duration_s: float, attempts: list[str]) -> list[str]:
    """Let time pass with its heartbeats; return the attempts that were told to stop."""
    told: list[str] = []
    while duration_s > 0:
        step_s = min(duration_s, TTL_S / 2)
        duration_s -= step_s
        site.clock.pass_s(step_s)
        told += await site.beat(*attempts)
        await site.run(reserving.sweep(site.core.bounds.grace_s))
        await site.sweep()
    return told


def state(site: Site, body: job_pb2.Job) -> int:
    return site.get(body.name).state


def test_who_is_guaranteed_a_unit_gets_it_back_and_who_lent_it_goes_on_later_at_no_cost(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        running = await busy(site)
        attempts = [attempt for _, attempt in running]
        await passes(site, 40.0, attempts)
        wanted = await site.submit(job(), "acme")
        told = await passes(site, 15.0, attempts)
        assert told == [], "the guarantee is honoured only after a wait"
        told = await passes(site, 10.0, attempts)
        (stopped,) = set(told)
        body = next(body for body, attempt in running if attempt == stopped)
        await site.finish(stopped, ENDED)
        await rest(site)
        await site.settle()
        assert (state(site, wanted), state(site, body)) == (GRANTED, QUEUED)
        assert [state(site, other) for other, attempt in running if attempt != stopped] == [RUNNING, RUNNING]
        refund = site.row("SELECT vendor, sum(amount_ms) AS ms FROM ledger WHERE entry = 'refund'")
        used = site.row("SELECT sum(amount_ms) AS ms FROM ledger WHERE entry = 'use'")
        assert (refund["vendor"], refund["ms"]) == ("rival", used["ms"]) and used["ms"] > 0
        await site.finish(await site.start(wanted), SUCCEEDED)
        await rest(site)
        await passes(site, ending.YIELD_S + TTL_S, [attempt for attempt in attempts if attempt != stopped])
        assert state(site, body) == GRANTED, "it goes on by itself"
        assert site.get(body.name).create_time == body.create_time

    play(tmp_path, scene, vendor=GUARANTEED, scheduler=SCHEDULER)


def test_who_holds_what_it_is_guaranteed_takes_no_more_from_others(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        own = await busy(site, "acme", 1)
        others = await busy(site, "rival", 2)
        attempts = [attempt for _, attempt in own + others]
        await site.submit(job(), "acme")
        assert await passes(site, 120.0, attempts) == []

    play(tmp_path, scene, vendor=GUARANTEED, scheduler=SCHEDULER)


def test_a_venue_that_does_not_preempt_lets_everything_run_out(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        attempts = [attempt for _, attempt in await busy(site)]
        await site.submit(job(), "acme")
        assert await passes(site, 120.0, attempts) == []

    play(tmp_path, scene, vendor=GUARANTEED, scheduler=SCHEDULER | {"preempt": False})


async def reserve(site: Site, vendor: str, start_s: float, units: int = 1) -> str:
    """Reserve arms for 1,000 s from so many seconds from now on."""
    claim = {"units": [{"selector": {"robot_model": "own_arm"}, "count": units}], "duration": {"seconds": 1}}
    body = reservation_pb2.Reservation(claim=claim)
    start_ns = site.clock.now_ns() + int(start_s * 1e9)
    body.start_time.FromNanoseconds(start_ns)
    body.end_time.FromNanoseconds(start_ns + 1_000_000_000_000)
    request = reservation_service_pb2.CreateReservationRequest(parent=f"vendors/{vendor}", reservation=body)
    return (await site.run(reserving.reserve(vendor, request, site.core.bounds))).name


def test_a_reserved_unit_is_there_in_its_time_whatever_others_submit(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1", "arm-2"])
        name = await reserve(site, "acme", start_s=300.0)
        booked = await site.submit(job(reservation=name), "acme")
        flood = [await site.submit(job(), "rival") for _ in range(20)]
        own = await site.submit(job(), "acme")
        await site.settle()
        # 600 s long jobs would run into the reservation: only one unit is given out before it.
        assert sum(state(site, body) == GRANTED for body in [*flood, own]) == 1
        assert state(site, booked) == QUEUED
        granted = next(body for body in [*flood, own] if state(site, body) == GRANTED)
        attempt = await site.start(granted)
        await passes(site, 295.0, [attempt])
        assert state(site, booked) == QUEUED
        await passes(site, 10.0, [attempt])
        assert state(site, booked) == GRANTED
        (lease,) = site.rows("SELECT * FROM lease WHERE vendor = 'acme' AND job_id = (SELECT id FROM job "
                             "WHERE uid = ?)", booked.name.split("/")[3])  # fmt: skip
        assert lease["grant_ns"] <= site.clock.now_ns()
        assert state(site, granted) == RUNNING, "nobody had to make room"

    play(tmp_path, scene)


def test_what_has_overrun_into_a_reservation_makes_room_for_it(tmp_path: Path) -> None:
    """The unit that was to be kept free breaks down; what runs on the others has to yield."""

    async def scene(site: Site) -> None:
        await site.connect(units=["arm-1", "arm-2"])
        name = await reserve(site, "acme", start_s=300.0)
        booked = await site.submit(job(reservation=name), "acme")
        ((body, attempt),) = await busy(site, "rival", 1)
        used = site.row("SELECT unit FROM lease_unit")["unit"]
        spare = "arm-2" if used == "arm-1" else "arm-1"
        await passes(site, 100.0, [attempt])
        await site.status(spare, motion=4, fault="SENSOR_NOT_FINITE at elbow")
        told = await passes(site, 230.0, [attempt])
        assert set(told) == {attempt}
        assert "to honour a reservation" in site.row("SELECT message FROM event WHERE kind = 'job.preempted'")[0]
        await site.finish(attempt, ENDED)
        await rest(site)
        await site.settle()
        assert (state(site, booked), state(site, body)) == (GRANTED, QUEUED)

    play(tmp_path, scene, scheduler=SCHEDULER)


async def close_now(site: Site, **scope: Any) -> None:
    """Close a place for an hour from now on, and end what runs there."""
    now_ns = site.clock.now_ns()
    closure = calendar_pb2.Closure(stop_running=True, **scope)
    closure.start_time.FromNanoseconds(now_ns)
    closure.end_time.FromNanoseconds(now_ns + 3_600_000_000_000)
    request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall", closure=closure)
    await site.run(timetable.close(request, "hall"))


@pytest.mark.parametrize("preempt", [True, False])
def test_a_place_that_is_closed_for_safety_is_emptied_though_nobody_waits(tmp_path: Path, preempt: bool) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        running = await busy(site)
        held = {row["unit"]: row["job_id"] for row in site.rows(
            "SELECT lu.unit, l.job_id FROM lease_unit lu JOIN lease l ON l.id = lu.lease_id")}  # fmt: skip
        attempts = [attempt for _, attempt in running]
        await site.beat(*attempts)
        await close_now(site, units=["venues/hall/units/arm-2"])
        told = set(await passes(site, 10.0, attempts))
        uid = site.row("SELECT uid FROM job WHERE id = ?", held["arm-2"])["uid"]
        assert [attempt.split("/")[3] for attempt in told] == [uid]
        assert "for safety" in site.row("SELECT message FROM event WHERE kind = 'job.preempted'")[0]

    play(tmp_path, scene, scheduler=SCHEDULER | {"preempt": preempt})


def test_what_a_grant_was_decided_on_is_kept_and_decides_the_same_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    messages: list[str] = []

    async def scene(site: Site) -> None:
        await site.connect()
        for _ in range(4):
            await site.submit(job(), "acme")
            await site.settle()
        messages.extend(row["message"] for row in site.rows("SELECT message FROM event WHERE kind = 'lease.granted'"))
        assert len(site.rows("SELECT 1 FROM decision")) == 2, "as many as the venue keeps"

    play(tmp_path, scene, scheduler=SCHEDULER | {"decisions_kept": 2})
    tokens = [message.removeprefix("decision ") for message in messages]
    assert len(set(tokens)) == 3
    assert command.main([str(tmp_path / "db"), "--decision", tokens[0]]) == 2, "it is kept no more"
    capsys.readouterr()
    for token in tokens[1:]:
        assert command.main([str(tmp_path / "db"), "--decision", token, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["token"].startswith(token)


def test_a_venue_that_keeps_no_decisions_tells_no_token(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job())
        await site.settle()
        assert site.row("SELECT message FROM event WHERE kind = 'lease.granted'")["message"] == ""
        assert site.rows("SELECT 1 FROM decision") == []

    play(tmp_path, scene, scheduler=SCHEDULER | {"decisions_kept": 0})


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"preempt_after_s": -1}, "preempt_after_s is -1, must not be negative"),
        ({"reservations": 1.5}, "reservations is 1.5, must be a whole number"),
        ({"flow_max_s": 0}, "flow_max_s is 0, must be positive"),
        ({"preempt": "no"}, "preempt is 'no', must be true or false"),
        ({"decisions_kept": -3}, "decisions_kept is -3, must be a whole number"),
    ],
)
def test_settings_of_deciding_that_cannot_be_are_refused(setting: dict[str, Any], problem: str) -> None:
    with pytest.raises(BadConfiguration, match=problem):
        settings_of(VENUE | {"scheduler": setting}, "test")


def test_the_venue_file_says_how_to_decide() -> None:
    told = {"reservations": 4, "flow_max_s": 7200, "preempt": False, "preempt_after_s": 5, "runtime_min_s": 0}
    found = settings_of(VENUE | {"scheduler": told}, "test").deciding
    assert {key: getattr(found, key) for key in told} == told
