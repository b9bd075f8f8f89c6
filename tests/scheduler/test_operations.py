"""The levers of operators, as the SDK pulls them: stops, another order, places closed and opened again."""

import asyncio
import cmath
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra import Client, PalaestraError, bookings
from palaestra.aio import AsyncClient
from palaestra.operations import Place
from palaestra.v1 import (
    fleet_service_pb2,
    fleet_service_pb2_grpc,
    host_service_pb2,
    runner_service_pb2,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
)
from palaestra.v1.job_service_pb2 import ReorderJobRequest
from scheduler.commands import fleet, reordering, stopping
from scheduler.commands.stopping import stands_in
from scheduler.configuration import settings_of
from scheduler.guard import _caller
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.services.fleet import FleetService
from scheduler.services.runners import RunnerService
from scheduler.services.venue import VenueService
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, Site, job, play, refusal

FLOOR = {
    "cell": [
        {"id": "bench", "scenario": "assembly", "level": 2, "x_m": 5.0, "y_m": 5.0, "width_m": 2.0, "depth_m": 1.0},
        {"id": "far", "scenario": "walk", "x_m": 12.0, "y_m": 5.0},
    ],
    "unit": [
        {"id": "arm-1", "robot": "own_arm", "x_m": 5.9, "y_m": 5.4},
        {"id": "arm-2", "robot": "own_arm", "x_m": 6.1, "y_m": 5.0},
        {"id": "arm-3", "robot": "own_arm", "x_m": 12.0, "y_m": 5.0},
    ],
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("operations"), settings_of(VENUE | FLOOR, "test")) as server:
        yield server


@pytest.fixture
def operator(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
        yield client


def orders(site: Site) -> list[tuple[str, str]]:
    rows = site.rows("SELECT unit, action FROM unit_order WHERE done_ns IS NULL ORDER BY id")
    return [(row["unit"], row["action"]) for row in rows]


def test_stopping_a_cell_asks_the_units_of_its_lease_and_those_that_stand_in_it(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        # Held by arm-2 or another that fits; wherever it stands, it works in the cell.
        held = await site.submit(job(units=1, cell="assembly"))
        await site.settle()
        (leased,) = [row["unit"] for row in site.rows("SELECT unit FROM lease_unit WHERE free_ns IS NULL")]
        assert site.get(held.name).attempts
        found = await site.run(stopping.stop_cell("bench", "smoke"))
        assert set(found) == {leased, "arm-1"}
        assert [unit for unit, _ in orders(site)] == found
        message = site.row("SELECT message FROM event WHERE kind = 'unit.ordered' ORDER BY seq DESC LIMIT 1")
        assert message["message"] == "protective_stop: smoke"
        assert (await refusal(site.run(stopping.stop_cell("none")))).reason == "NOT_FOUND"

    play(tmp_path, scene, **FLOOR)


def test_a_full_queue_refuses_neither_stops_nor_the_heartbeats_that_keep_leases(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        site.core._writer._depth_max = 0
        assert (await refusal(site.submit(job()))).reason == "QUEUE_FULL"
        _caller.set(Identity(Role.SAFETY, "", "token"))
        venue, levers = VenueService(site.core), FleetService(site.core)
        await venue.StopUnit(venue_service_pb2.StopUnitRequest(name="venues/hall/units/arm-2"), None)
        assert orders(site) == [("arm-2", "protective_stop")]
        await levers.StopCell(fleet_service_pb2.StopCellRequest(name="venues/hall/cells/bench"), None)
        await levers.StopVenue(fleet_service_pb2.StopVenueRequest(name="venues/hall"), None)
        assert len(orders(site)) == 3
        beat = runner_service_pb2.HeartbeatAttemptsRequest(instance="r/one")
        await RunnerService(site.core).HeartbeatAttempts(beat, None)

    play(tmp_path, scene, **FLOOR)


def test_a_stop_is_never_refused_for_orders_that_wait_and_one_that_waits_is_enough(tmp_path: Path) -> None:
    """Also of a unit that is offline; but after a reset that still waits, a stop is asked for again."""

    async def scene(site: Site) -> None:
        await site.hello()
        reset = host_service_pb2.UnitOrder(reset_fault=host_service_pb2.ResetFault())
        for _ in range(fleet.OPEN_ORDERS_MAX):
            await site.run(fleet.order("arm-1", reset, ""))
        assert (await refusal(site.run(fleet.order("arm-1", reset, "")))).reason == "QUEUE_FULL"
        for _ in range(3):
            assert await site.run(stopping.stop_venue()) == ["arm-1", "arm-2", "arm-3"]
        stops = [unit for unit, action in orders(site) if action == "protective_stop"]
        assert sorted(stops) == ["arm-1", "arm-2", "arm-3"]
        await site.run(lambda tx: tx.db.execute("DELETE FROM unit_order"))
        await site.run(stopping.stop_unit("arm-1"))
        await site.run(fleet.order("arm-1", reset, ""))
        await site.run(stopping.stop_unit("arm-1"))
        assert [action for _, action in orders(site)] == ["protective_stop", "reset_fault", "protective_stop"]

    play(tmp_path, scene)


SIDE = st.floats(0.1, 50.0)
PLACE = st.floats(-100.0, 100.0)
HALVES = st.floats(-2.0, 2.0)


@given(x=PLACE, y=PLACE, yaw=st.floats(-7.0, 7.0), width=SIDE, depth=SIDE, along=HALVES, across=HALVES)
def test_a_unit_stands_in_a_cell_if_it_is_within_its_sides_however_the_cell_is_turned(
    x: float, y: float, yaw: float, width: float, depth: float, along: float, across: float
) -> None:
    """along, across: From the centre, in halves of the cell's sides; 1 is the edge."""
    point = complex(along * width / 2, across * depth / 2) * cmath.rect(1.0, yaw)
    cell = {"x_m": x, "y_m": y, "yaw_rad": yaw, "width_m": width, "depth_m": depth}
    unit = {"x_m": x + point.real, "y_m": y + point.imag}
    if max(abs(along), abs(across)) < 0.999:
        assert stands_in(unit, cell)  # type: ignore[arg-type]
    if max(abs(along), abs(across)) > 1.001:
        assert not stands_in(unit, cell)  # type: ignore[arg-type]


def test_a_job_that_is_moved_goes_first_and_its_vendor_reads_why(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        first, second = await site.submit(job()), await site.submit(job())
        request = _reorder(second.name, 5, "a guest comes at noon", etag=site.get(second.name).etag)
        await site.run(reordering.reorder(request))
        moved = site.get(second.name)
        assert (moved.priority, moved.etag) == (5, "2")
        event = site.row("SELECT * FROM event ORDER BY seq DESC LIMIT 1")
        assert (event["kind"], event["vendor"]) == ("job.reordered", "acme")
        assert event["message"] == "priority 0 to 5: a guest comes at noon"
        assert (await refusal(site.run(reordering.reorder(request)))).reason == "ETAG_MISMATCH"
        request.etag = ""
        await site.run(reordering.reorder(request))
        assert site.get(second.name).etag == "2", "the same again changes nothing"
        await site.connect(units=["arm-1"])
        await site.settle()
        assert site.get(second.name).attempts
        assert not site.get(first.name).attempts

    play(tmp_path, scene)


def test_a_cancel_that_is_repeated_with_its_etag_succeeds_again(live: LiveServer) -> None:
    """As a caller does whose answer was lost; of a job that goes on, another etag is refused."""
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as acme:
        made = acme.submit(job())
        with pytest.raises(PalaestraError, match="etag"):
            acme.cancel(made.name, etag="77")
        cancelled = acme.cancel(made.name, etag=made.etag)
        assert cancelled.etag != made.etag
        assert acme.cancel(made.name, etag=made.etag) == cancelled


def test_a_place_that_names_nothing_is_not_the_venue() -> None:
    """A list that came out empty must not drain the hall."""
    for wrong in ({}, {"units": []}, {"cells": ["far"], "venue": True}):
        with pytest.raises(PalaestraError, match="venue=True"):
            Place(**wrong)  # type: ignore[arg-type]
    assert Place(venue=True).units == ()


def test_a_job_that_has_ended_or_is_not_there_is_not_moved(live: LiveServer, operator: Client) -> None:
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as acme:
        ended = acme.cancel(acme.submit(job()).name)
        for name, reason in ((ended.name, "JOB_ENDED"), (f"{ended.name[:-2]}00", "NOT_FOUND")):
            for client in (acme, operator):
                with pytest.raises(PalaestraError) as caught:
                    client.operations.reorder(name, 1, reason="why not")
                assert caught.value.reason == reason
        with pytest.raises(PalaestraError) as caught:
            acme.operations.reorder(ended.name, 1, reason="")
        assert (caught.value.reason, caught.value.metadata["field"]) == ("INVALID_FIELD", "reason")


@pytest.mark.parametrize("drain", [False, True], ids=["cordon", "drain"])
def test_a_place_that_is_closed_begins_nothing_until_it_is_released(operator: Client, drain: bool) -> None:
    place = Place(units=["arm-3"])
    made = operator.operations.cordon(place, reason="its belt", drain=drain)
    other = operator.operations.cordon(Place(units=["arm-3", "arm-2"]), reason="both")
    assert (made.display_name, made.stop_running, list(made.units)) == (
        "its belt",
        drain,
        ["venues/hall/units/arm-3"],
    )
    closed = [time for time in operator.closed_times(1).closed_times if list(time.units) == list(made.units)]
    assert [time.stop_running for time in closed] == [drain]

    assert operator.operations.release(place) == [made.name]
    assert {closure.name for closure in operator.closures()} == {other.name}, "what names other places, too, stays"
    operator.delete_closure(other.name)


def test_a_closure_that_is_planned_for_later_outlives_a_release(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by a clock that is slow, by which even a cordon of just now lies ahead."""
    start = datetime.now(UTC) + timedelta(hours=20)
    planned = operator.create_closure(bookings.closure(start + timedelta(hours=1), start=start, units=["arm-3"]))
    place = Place(units=["arm-3"])
    made = operator.operations.cordon(place, reason="its belt")
    monkeypatch.setattr(time, "time_ns", lambda: 0)

    assert operator.operations.release(place) == [made.name]
    assert {closure.name for closure in operator.closures()} == {planned.name}
    operator.delete_closure(planned.name)


def test_a_unit_in_quarantine_comes_back_to_be_checked(operator: Client) -> None:
    assert operator.operations.quarantine("arm-1", reason="it smells").health == venue_pb2.UNIT_HEALTH_BAD
    assert operator.operations.release(Place(units=["arm-1"]), reason="fan replaced") == ["venues/hall/units/arm-1"]
    assert operator.unit("arm-1").health == venue_pb2.UNIT_HEALTH_SUSPECT
    told = [(entry.reason, entry.method) for entry in operator.audit.entries() if "SetUnitHealth" in entry.method]
    assert told == [("it smells", "FleetService/SetUnitHealth"), ("fan replaced", "FleetService/SetUnitHealth")]


def test_the_client_for_asyncio_pulls_the_same_levers(live: LiveServer) -> None:
    async def act() -> None:
        async with AsyncClient(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
            assert await client.operations.stop_cell("far", reason="try") == ["venues/hall/units/arm-3"]
            assert len(await client.operations.stop_venue(reason="try")) == 3
            place = Place(cells=["far"])
            made = await client.operations.cordon(place, reason="try")
            assert await client.operations.release(place) == [made.name]
            await client.operations.quarantine("arm-2", reason="try")
            assert await client.operations.release(Place(units=["arm-2"])) == ["venues/hall/units/arm-2"]
            assert (await client.audit.verify()).sequence == (await client.audit.head()).sequence
            assert [entry.resource async for entry in client.audit.entries()][-1] == "venues/hall/units/arm-2"

    asyncio.run(act())


def test_places_of_another_venue_are_not_there(live: LiveServer) -> None:
    stub = fleet_service_pb2_grpc.FleetServiceStub(live.channel)
    options = {"timeout": PATIENCE_S, "metadata": live.metadata("operator")}
    for call in (
        lambda: stub.StopCell(fleet_service_pb2.StopCellRequest(name="venues/other/cells/bench"), **options),
        lambda: stub.StopVenue(fleet_service_pb2.StopVenueRequest(name="venues/other"), **options),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            call()
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_a_fault_is_put_into_a_unit_only_if_it_is_as_it_was_read(live: LiveServer) -> None:
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)
    request = venue_service_pb2.InjectUnitFaultRequest(
        name="venues/hall/units/arm-1", kind=venue_service_pb2.FAULT_KIND_JOINT_STUCK, etag="999999"
    )
    with pytest.raises(grpc.RpcError) as caught:
        stub.InjectUnitFault(request, timeout=PATIENCE_S, metadata=live.metadata("operator"))
    assert caught.value.code() is grpc.StatusCode.ABORTED  # type: ignore[attr-defined]


def _reorder(name: str, priority: int, reason: str, etag: str = "") -> ReorderJobRequest:
    return ReorderJobRequest(name=name, priority=priority, reason=reason, etag=etag)
