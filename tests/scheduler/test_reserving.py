"""Advance reservations in a venue with a database: accepted once, kept, used, given up."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.errors import PalaestraError
from palaestra.v1 import calendar_pb2, calendar_service_pb2, job_pb2, reservation_pb2, reservation_service_pb2
from palaestra.v1.calendar_service_pb2_grpc import CalendarServiceStub
from palaestra.v1.reservation_service_pb2_grpc import ReservationServiceStub
from scheduler import resources, snapshot
from scheduler.commands import reserving, timetable
from scheduler.configuration import settings_of
from scheduler.state import Claim, UnitRequest
from tests.scheduler.site import VENUE, LiveServer, Site, error_of, job, play, refusal

HOUR_S = 3600
DAY_S = 86_400
REQUEST_ID = "0192f7a0-0000-7000-8000-00000000abcd"
PLANNED, ACTIVE = reservation_pb2.RESERVATION_STATE_PLANNED, reservation_pb2.RESERVATION_STATE_ACTIVE
ZONED: dict[str, Any] = {
    "venue": {"id": "hall", "time_zone": "Europe/Berlin"},
    "zone": [{"id": "north", "exclusive": True}, {"id": "south"}],
    "unit": [{"id": f"arm-{n}", "robot": "own_arm", "zone": "north"} for n in (1, 2, 3)],
    "cell": [{"id": "bench", "scenario": "assembly", "level": 2, "zone": "north"}],
}


def stamp(unix_ns: int) -> Timestamp:
    found = Timestamp()
    found.FromNanoseconds(unix_ns)
    return found


def wish(site: Site, start_s: float = HOUR_S, length_s: float = HOUR_S, units: int = 1, **fields: Any) -> Any:
    """Return a reservation of arms that starts so many seconds from now."""
    start_ns = site.clock.now_ns() + int(start_s * 1e9)
    body = {
        "claim": {"units": [{"selector": {"robot_model": "own_arm"}, "count": units}], "duration": {"seconds": 1}},
        "start_time": stamp(start_ns),
        "end_time": stamp(start_ns + int(length_s * 1e9)),
    }
    return reservation_pb2.Reservation(**body | fields)


async def reserve(site: Site, body: Any, vendor: str = "acme", request_id: str = "", **fields: Any) -> Any:
    request = reservation_service_pb2.CreateReservationRequest(
        parent=f"vendors/{vendor}", reservation=body, request_id=request_id, **fields
    )
    return await site.run(reserving.reserve(vendor, request, site.core.bounds))


def stored(site: Site, name: str) -> reservation_pb2.Reservation:
    row = site.row(f"{resources.RESERVATIONS} WHERE r.uid = ?", name.split("/")[3])
    return resources.reservation(row)


async def pass_time(site: Site, duration_s: float) -> None:
    site.clock.pass_s(duration_s)
    await site.run(reserving.sweep(site.core.bounds.grace_s))


def kinds(site: Site) -> list[str]:
    return [row["kind"] for row in site.rows("SELECT kind FROM event WHERE kind LIKE 'reservation.%' ORDER BY seq")]


def test_a_reservation_is_durable_and_told_to_its_vendor_alone(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        found = await reserve(site, wish(site, display_name="demo", name="vendors/rival/reservations/x", state=4))
        assert found == stored(site, found.name)
        assert found.name.startswith("vendors/acme/reservations/")
        assert (found.state, found.display_name, found.claim.duration.seconds) == (PLANNED, "demo", HOUR_S)
        event = site.row("SELECT * FROM event WHERE kind = 'reservation.created'")
        assert (event["vendor"], event["resource"]) == ("acme", found.name)
        (booking,) = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True).bookings
        assert (booking.booking, booking.vendor, booking.held) == (found.name.split("/")[3], "acme", ())
        assert booking.claim == Claim(units=(UnitRequest(1, robot_model="own_arm"),), duration_s=float(HOUR_S))

    play(tmp_path, scene)


def test_a_request_id_makes_one_reservation_and_another_body_is_refused(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        body = wish(site)
        names = {(await reserve(site, body, request_id=REQUEST_ID)).name for _ in range(3)}
        assert len(names) == 1
        error = await refusal(reserve(site, wish(site, units=2), request_id=REQUEST_ID))
        assert error.reason == "REQUEST_ID_REUSED"
        await reserve(site, wish(site, units=2), "rival", request_id=REQUEST_ID)
        assert site.row("SELECT count(*) FROM reservation")[0] == 2

    play(tmp_path, scene)


def test_a_reservation_that_cannot_be_is_refused_with_the_reason_and_changes_nothing(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        humanoid = {"units": [{"selector": {"robot_class": "humanoid"}}], "duration": {"seconds": 1}}
        for body, reason, words in (
            (wish(site, start_s=-2 * HOUR_S), "BAD_PERIOD", "in the past"),
            (wish(site, start_s=-50, length_s=40), "BAD_PERIOD", "ends in the past"),
            (wish(site, length_s=-1), "BAD_PERIOD", "ends before it starts"),
            (wish(site, length_s=0), "BAD_PERIOD", "ends before it starts"),
            (wish(site, length_s=8 * DAY_S), "BAD_PERIOD", "at most 604800 s"),
            (wish(site, start_s=31 * DAY_S), "BAD_PERIOD", "at most 30 days ahead"),
            (wish(site, units=4), "IMPOSSIBLE_CLAIM", "the venue has 3"),
            (wish(site, claim=humanoid), "UNKNOWN_SELECTOR", "humanoid"),
            (wish(site, claim={"duration": {"seconds": 1}}), "INVALID_FIELD", "asks for nothing"),
            (wish(site, claim={"sim_slots": 3, "duration": {"seconds": 1}}), "IMPOSSIBLE_CLAIM", "has 2"),
        ):
            error = await refusal(reserve(site, body))
            assert (error.reason, words in error.message) == (reason, True), error
        assert site.row("SELECT count(*) FROM reservation")[0] == 0
        assert kinds(site) == []
        assert (await reserve(site, wish(site), validate_only=True)).name == ""
        assert site.row("SELECT count(*) FROM reservation")[0] == 0

    play(tmp_path, scene)


def test_reservations_never_hold_more_than_the_venue_has_however_they_race(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        tries = [reserve(site, wish(site), vendor) for vendor in ("acme", "rival", "third") * 4]
        results = await asyncio.gather(*tries, return_exceptions=True)
        refused = [r for r in results if isinstance(r, PalaestraError)]
        assert len(results) - len(refused) == 3
        assert {r.reason for r in refused} == {"NO_CAPACITY"}
        for error in refused:
            assert not any(vendor in error.message for vendor in ("acme", "rival", "third"))
        assert (await reserve(site, wish(site, start_s=2 * HOUR_S))).state == PLANNED

    play(tmp_path, scene)


def test_a_vendor_has_a_bounded_number_of_open_reservations(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        for n in range(2):
            await reserve(site, wish(site, start_s=n * DAY_S))
        error = await refusal(reserve(site, wish(site, start_s=5 * DAY_S)))
        assert (error.reason, "2 reservations" in error.message) == ("OVER_QUOTA", True)
        await reserve(site, wish(site, start_s=5 * DAY_S), "rival")

    play(tmp_path, scene, scheduler={"reservations_max": 2})


def test_a_vendor_and_its_group_reserve_within_their_limits(tmp_path: Path) -> None:
    """The vendor's own limit, then that of the group, whose members it does not learn."""
    tables: dict[str, Any] = {
        "group": [{"id": "pair", "limit": {"units": 2}}],
        "vendor": [
            {"id": "acme", "parent": "pair"},
            {"id": "rival", "parent": "pair"},
            {"id": "third", "limit": {"units": 1}},
        ],
    }

    async def scene(site: Site) -> None:
        await site.connect()
        error = await refusal(reserve(site, wish(site, units=2), "third"))
        assert (error.reason, "at most 1" in error.message) == ("OVER_QUOTA", True)
        await reserve(site, wish(site, units=2))
        error = await refusal(reserve(site, wish(site), "rival"))
        assert (error.reason, error.message) == ("OVER_QUOTA", "with it the vendor's group would hold too much then")
        await reserve(site, wish(site), "third")

    play(tmp_path, scene, **tables)


def test_a_reservation_becomes_active_and_ends_with_its_time(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        name = (await reserve(site, wish(site, length_s=600))).name
        await pass_time(site, HOUR_S - 1)
        assert stored(site, name).state == PLANNED
        await pass_time(site, 1)
        assert stored(site, name).state == ACTIVE
        await pass_time(site, 600)
        ended = stored(site, name)
        assert ended.state == reservation_pb2.RESERVATION_STATE_ENDED
        assert ended.close_time.ToNanoseconds() == site.clock.now_ns()
        assert kinds(site) == ["reservation.created", "reservation.active", "reservation.ended"]
        assert snapshot.bookings(site.core.read, site.clock.now_ns()) == ()
        error = await refusal(site.run(reserving.cancel("acme", name.split("/")[3], "")))
        assert error.reason == "RESERVATION_ENDED"

    play(tmp_path, scene)


def test_an_unused_reservation_is_given_up_after_its_grace_and_its_time_is_free_again(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        name = (await reserve(site, wish(site, units=3, length_s=5 * HOUR_S))).name
        await pass_time(site, HOUR_S)
        await pass_time(site, 900)
        assert stored(site, name).state == ACTIVE
        assert (await refusal(reserve(site, wish(site), "rival"))).reason == "NO_CAPACITY"
        await pass_time(site, 1)
        assert stored(site, name).state == reservation_pb2.RESERVATION_STATE_UNUSED
        event = site.row("SELECT * FROM event WHERE kind = 'reservation.unused'")
        assert event["message"] == "no job came within 900 s after its start"
        await reserve(site, wish(site), "rival")

    play(tmp_path, scene)


def test_a_scheduler_that_was_down_at_the_start_still_gives_the_whole_grace(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        name = (await reserve(site, wish(site, length_s=5 * HOUR_S))).name
        await pass_time(site, 3 * HOUR_S)
        await pass_time(site, 899)
        assert stored(site, name).state == ACTIVE

    play(tmp_path, scene)


def test_a_reservation_with_a_job_is_kept_and_tells_what_its_jobs_hold(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        claim = wish(site).claim
        claim.sim_slots = 1
        name = (await reserve(site, wish(site, start_s=0, length_s=4 * HOUR_S, claim=claim))).name
        body = await site.submit(job(1, 1, reservation=name))
        await pass_time(site, 0)
        await site.settle()
        assert site.get(body.name).state == job_pb2.JOB_STATE_GRANTED
        (booking,) = snapshot.bookings(site.core.read, site.clock.now_ns())
        assert booking.held == (1, 1)
        await site.finish(await site.start(body), job_pb2.ATTEMPT_STATE_SUCCEEDED)
        await pass_time(site, 2 * HOUR_S)
        assert (stored(site, name).state, stored(site, name).job_count) == (ACTIVE, 1)

    play(tmp_path, scene)


def test_jobs_that_wait_for_a_reservation_end_with_it(tmp_path: Path) -> None:
    """Cancelled by its vendor, or over: nothing would ever start them."""

    async def scene(site: Site) -> None:
        await site.hello(units=("arm-1", "arm-2", "arm-3"))
        for cancelled in (True, False):
            name = (await reserve(site, wish(site, start_s=HOUR_S, length_s=HOUR_S))).name
            waiting = (await site.submit(job(1, reservation=name))).name
            if cancelled:
                await site.run(reserving.cancel("acme", name.split("/")[3], ""))
                await site.run(reserving.cancel("acme", name.split("/")[3], ""))
            else:
                await pass_time(site, 2 * HOUR_S)
            ended = site.get(waiting)
            assert ended.state == job_pb2.JOB_STATE_CANCELLED
            assert ended.failure.reason == "RESERVATION_ENDED"
        assert kinds(site).count("reservation.cancelled") == 1

    play(tmp_path, scene)


def test_a_job_that_comes_back_after_its_reservation_ends_soon(tmp_path: Path) -> None:
    """As one whose runner was lost in the last moment."""

    async def scene(site: Site) -> None:
        await site.hello(units=("arm-1", "arm-2", "arm-3"))
        name = (await reserve(site, wish(site, start_s=HOUR_S, length_s=HOUR_S))).name
        job_name = (await site.submit(job(1, reservation=name))).name
        uid = job_name.rpartition("/")[2]

        def put(state: int) -> Any:
            return lambda tx: tx.db.execute("UPDATE job SET state = ? WHERE uid = ?", (state, uid)) and None

        await site.run(put(3))
        await pass_time(site, 2 * HOUR_S)
        assert site.get(job_name).state == job_pb2.JOB_STATE_RUNNING
        await site.run(put(1))
        await site.run(reserving.inspect())
        ended = site.get(job_name)
        assert (ended.state, ended.failure.reason) == (job_pb2.JOB_STATE_CANCELLED, "RESERVATION_ENDED")

    play(tmp_path, scene)


def test_a_job_is_checked_against_its_reservation(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        name = (await reserve(site, wish(site, length_s=HOUR_S))).name

        def bound(claim: Claim, vendor: str = "acme", given: str = name) -> Any:
            return site.run(lambda tx: reserving.check(tx, vendor, given, claim))

        one = Claim(units=(UnitRequest(),), duration_s=60.0)
        assert await bound(one) == 1
        missing = "vendors/rival/reservations/none"
        strange = await refusal(bound(one, "rival"))
        assert (strange.reason, strange.message) == ("NOT_FOUND", f"{name} not found")
        assert (await refusal(bound(one, "rival", missing))).message == f"{missing} not found"
        for claim in (Claim(units=(UnitRequest(2),)), Claim(sim_slots=1), Claim(duration_s=2.0 * HOUR_S)):
            assert (await refusal(bound(claim))).reason == "OUTSIDE_RESERVATION"
        site.clock.pass_s(3 * HOUR_S)
        assert (await refusal(bound(one))).reason == "RESERVATION_ENDED"
        assert (await refusal(site.submit(job(1, reservation=name)))).reason == "RESERVATION_ENDED"

    play(tmp_path, scene)


def test_an_etag_guards_a_cancel(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        found = await reserve(site, wish(site))
        uid = found.name.split("/")[3]
        assert (await refusal(site.run(reserving.cancel("acme", uid, "99")))).reason == "ETAG_MISMATCH"
        assert (await refusal(site.run(reserving.cancel("rival", uid, "")))).reason == "NOT_FOUND"
        await site.run(reserving.cancel("acme", uid, found.etag))
        assert stored(site, found.name).state == reservation_pb2.RESERVATION_STATE_CANCELLED

    play(tmp_path, scene)


def test_a_reservation_is_degraded_while_what_it_needs_is_out_of_order(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        first = (await reserve(site, wish(site, units=2))).name
        second = (await reserve(site, wish(site), "rival")).name
        later = (await reserve(site, wish(site, start_s=10 * DAY_S, units=3))).name
        await site.run(reserving.inspect())
        assert not any(stored(site, name).degraded for name in (first, second, later))
        await site.status("arm-3", motion=1, fault="encoder")
        await site.run(reserving.inspect())
        assert [stored(site, name).degraded for name in (first, second, later)] == [False, True, False]
        await site.run(reserving.inspect())
        await site.status("arm-3", motion=1)
        await site.run(reserving.inspect())
        assert stored(site, second).degraded, "it is on probation until it has passed a check"
        await site.passes_check("arm-3")
        await site.run(reserving.inspect())
        assert not stored(site, second).degraded
        assert kinds(site)[3:] == ["reservation.degraded", "reservation.restored"]

    play(tmp_path, scene)


def closing(
    site: Site, start_s: float | None, end_s: float, **fields: Any
) -> calendar_service_pb2.CreateClosureRequest:
    now_ns = site.clock.now_ns()
    body = calendar_pb2.Closure(end_time=stamp(now_ns + int(end_s * 1e9)), **fields)
    if start_s is not None:
        body.start_time.CopyFrom(stamp(now_ns + int(start_s * 1e9)))
    return calendar_service_pb2.CreateClosureRequest(parent="venues/-", closure=body)


def test_operators_close_units_zones_and_the_venue_and_open_them_again(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        now_ns = site.clock.now_ns()
        one = await site.run(timetable.close(closing(site, 60, 120, units=["venues/hall/units/arm-1"]), "hall"))
        now = await site.run(timetable.close(closing(site, None, 60, zones=["north"], stop_running=True), "hall"))
        state = snapshot.load(site.core.read, now_ns, runner_ready=True)
        assert state.exclusive_zones == {"north"}
        assert {unit.zone for unit in state.units} == {cell.zone for cell in state.cells} == {"north"}
        assert [(c.start_ns - now_ns, c.end_ns - now_ns, c.units, c.zones, c.venue, c.stop_running)
                for c in state.closures] == [
            (0, 60_000_000_000, frozenset(), {"north"}, False, True),
            (60_000_000_000, 120_000_000_000, {"arm-1"}, frozenset(), False, False),
        ]  # fmt: skip
        await site.run(timetable.reopen(now.name.split("/")[3]))
        await site.run(timetable.reopen(one.name.split("/")[3]))
        assert snapshot.closures(site.core.read, now_ns) == ()
        assert (await refusal(site.run(timetable.reopen(one.name.split("/")[3])))).reason == "NOT_FOUND"
        found = [row["kind"] for row in site.rows("SELECT * FROM event WHERE kind LIKE 'closure.%'")]
        assert found == ["closure.created"] * 2 + ["closure.deleted"] * 2

    play(tmp_path, scene, **ZONED)


def test_a_closure_that_recurs_keeps_its_local_time_and_one_that_cannot_be_is_refused(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        now_ns = site.clock.now_ns()
        weekly = closing(site, HOUR_S, 3 * HOUR_S, rrule="FREQ=WEEKLY")
        await site.run(timetable.close(weekly, "hall"))
        found = snapshot.closures(site.core.read, now_ns)
        assert [(c.start_ns - now_ns) // 1_000_000_000 for c in found] == [HOUR_S, HOUR_S + 7 * DAY_S]
        assert all(c.venue for c in found)
        for request, reason, words in (
            (closing(site, 60, 30), "BAD_CALENDAR", "ends before it starts"),
            (closing(site, -3 * DAY_S, 60), "BAD_CALENDAR", "in the past"),
            (closing(site, -60, -30), "BAD_CALENDAR", "ends in the past"),
            (closing(site, 0, 60, rrule="FREQ=SECONDLY"), "BAD_CALENDAR", "SECONDLY"),
            (closing(site, 0, 60, rrule="FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30"), "BAD_CALENDAR", "never occurs"),
            (closing(site, 0, DAY_S, rrule="FREQ=DAILY"), "BAD_CALENDAR", "venue would never open again"),
            (closing(site, 0, 400 * DAY_S), "BAD_CALENDAR", "366 days"),
            (closing(site, 0, 60, zones=["east"]), "NOT_FOUND", "zone east"),
            (closing(site, 0, 60, units=["venues/hall/units/arm-9"]), "NOT_FOUND", "unit arm-9"),
            (closing(site, 0, 60, units=["venues/other/units/arm-1"]), "NOT_FOUND", "venues/other/units/arm-1"),
            (closing(site, 0, 60, cells=["venues/hall/cells/none"]), "NOT_FOUND", "cell none"),
        ):
            error = await refusal(site.run(timetable.close(request, "hall")))
            assert (error.reason, words in error.message) == (reason, True), error
        assert site.row("SELECT count(*) FROM closure")[0] == 1

    play(tmp_path, scene, **ZONED)


def test_nothing_is_reserved_while_the_place_is_closed(tmp_path: Path) -> None:
    """By an operator, and outside opening hours 20 days from now."""
    opening = {"name": "day", "start": datetime(2023, 1, 2, 8), "end": datetime(2023, 1, 2, 20), "rrule": "FREQ=DAILY"}

    async def scene(site: Site) -> None:
        await site.connect()
        now = datetime.fromtimestamp(site.clock.now_ns() / 1e9, UTC)
        noon_s = (now.replace(hour=11, minute=0, second=0) - now).total_seconds() + 20 * DAY_S
        await reserve(site, wish(site, start_s=noon_s, length_s=HOUR_S))
        error = await refusal(reserve(site, wish(site, start_s=noon_s + 8 * HOUR_S, length_s=2 * HOUR_S)))
        assert (error.reason, "the venue is closed" in error.message) == ("NO_CAPACITY", True)
        units = [f"venues/hall/units/arm-{n}" for n in (1, 2)]
        await site.run(timetable.close(closing(site, noon_s, noon_s + DAY_S, units=units), "hall"))
        error = await refusal(reserve(site, wish(site, start_s=noon_s + 60, length_s=60), "rival"))
        assert error.reason == "NO_CAPACITY"

    play(tmp_path, scene, **ZONED, opening=[opening])


def test_a_restart_keeps_reservations_and_closures_and_takes_the_calendar_from_the_file(tmp_path: Path) -> None:
    opening = {"name": "always", "start": datetime(2023, 1, 2), "end": datetime(2023, 1, 3), "rrule": "FREQ=DAILY"}

    async def first(site: Site) -> None:
        await site.connect()
        await reserve(site, wish(site))
        await site.run(timetable.close(closing(site, 0, 60, units=["venues/hall/units/arm-1"]), "hall"))

    async def later(site: Site) -> None:
        state = snapshot.load(site.core.read, site.clock.now_ns(), runner_ready=True)
        assert (len(state.bookings), len(state.closures), state.exclusive_zones) == (1, 1, frozenset())
        assert site.row("SELECT count(*) FROM calendar_window")[0] == 0

    play(tmp_path, first, **ZONED, opening=[opening])
    play(tmp_path, later)


def test_a_vendor_sees_its_own_reservations_and_only_operators_close(tmp_path: Path) -> None:
    """Through the whole server: roles, scopes, and that a stranger's and none look the same."""
    with LiveServer(tmp_path) as server:
        reservations, calendar = ReservationServiceStub(server.channel), CalendarServiceStub(server.channel)
        server.run(lambda tx: tx.db.execute("INSERT INTO sim_slot (id, runner) VALUES ('r-0', 'r')"))
        now_ns = server.core.clock.now_ns()
        body = reservation_pb2.Reservation(
            claim={"sim_slots": 1, "duration": {"seconds": 1}},
            start_time=stamp(now_ns + 60_000_000_000),
            end_time=stamp(now_ns + 120_000_000_000),
        )

        def call(method: Any, who: str, request: Any) -> Any:
            return lambda: method(request, timeout=10, metadata=server.metadata(who))

        create = reservation_service_pb2.CreateReservationRequest(parent="vendors/acme", reservation=body)
        found = call(reservations.CreateReservation, "vendor-acme", create)()
        assert error_of(call(reservations.CreateReservation, "vendor-rival", create)).reason == "NOT_FOUND"
        assert error_of(call(reservations.CreateReservation, "operator", create)).reason == "ROLE_DENIED"
        get = reservation_service_pb2.GetReservationRequest
        cancel = reservation_service_pb2.CancelReservationRequest
        nothing = "vendors/acme/reservations/none"
        for method, request in ((reservations.GetReservation, get), (reservations.CancelReservation, cancel)):
            hidden = error_of(call(method, "vendor-rival", request(name=found.name)))
            missing = error_of(call(method, "vendor-rival", request(name=nothing)))
            assert (hidden.reason, hidden.message) == ("NOT_FOUND", f"{found.name} not found")
            assert missing.message == f"{nothing} not found"
        listed = reservation_service_pb2.ListReservationsRequest
        own = call(reservations.ListReservations, "vendor-acme", listed(parent="vendors/acme"))().reservations
        assert [item.name for item in own] == [found.name]
        every = call(reservations.ListReservations, "operator", listed(parent="vendors/-"))().reservations
        assert [item.name for item in every] == [found.name]
        for parent in ("vendors/acme", "vendors/-"):
            assert (
                error_of(call(reservations.ListReservations, "vendor-rival", listed(parent=parent))).reason
                == "NOT_FOUND"
            )

        closure = calendar_pb2.Closure(display_name="cleaning", end_time=stamp(now_ns + 30_000_000_000))
        close = calendar_service_pb2.CreateClosureRequest(parent="venues/-", closure=closure)
        assert error_of(call(calendar.CreateClosure, "vendor-acme", close)).reason == "ROLE_DENIED"
        bad = calendar_service_pb2.CreateClosureRequest(parent="venues/-", closure=closure)
        bad.closure.rrule = "FREQ=HOURLY"
        assert error_of(call(calendar.CreateClosure, "operator", bad)).reason == "BAD_CALENDAR"
        made = call(calendar.CreateClosure, "operator", close)()
        seen = call(
            calendar.ListClosures, "vendor-rival", calendar_service_pb2.ListClosuresRequest(parent="venues/-")
        )()
        assert [item.display_name for item in seen.closures] == ["cleaning"]
        times = calendar_service_pb2.ListClosedTimesRequest(parent="venues/-")
        assert len(call(calendar.ListClosedTimes, "vendor-rival", times)().closed_times) == 1
        remove = calendar_service_pb2.DeleteClosureRequest(name=made.name)
        assert error_of(call(calendar.DeleteClosure, "vendor-acme", remove)).reason == "ROLE_DENIED"
        call(calendar.DeleteClosure, "operator", remove)()
        assert error_of(call(calendar.DeleteClosure, "operator", remove)).reason == "NOT_FOUND"


def test_the_closures_of_the_venue_file_are_listed_and_stay(tmp_path: Path) -> None:
    rest = {"name": "rest", "start": datetime(2026, 3, 2, 8), "end": datetime(2026, 3, 2, 9), "zones": ["north"],
            "rrule": "FREQ=WEEKLY"}  # fmt: skip
    with LiveServer(tmp_path, settings_of(VENUE | ZONED | {"closure": [rest]}, "test")) as server:
        calendar, who = CalendarServiceStub(server.channel), server.metadata("operator")
        listed = calendar_service_pb2.ListClosuresRequest(parent="venues/hall")
        (found,) = calendar.ListClosures(listed, timeout=10, metadata=who).closures
        delete = calendar_service_pb2.DeleteClosureRequest(name=found.name)
        refused = error_of(lambda: calendar.DeleteClosure(delete, timeout=10, metadata=who))

        assert (found.display_name, found.rrule, list(found.zones), found.configured) == (
            "rest", "FREQ=WEEKLY", ["north"], True,
        )  # fmt: skip
        assert found.start_time.ToDatetime(UTC) == datetime(2026, 3, 2, 7, tzinfo=UTC), "08:00 in Berlin"
        assert refused.reason == "CONFIGURED"
