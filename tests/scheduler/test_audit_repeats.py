"""The audit of what is sent again, or is a part of a batch: one entry for what changes something, none for the rest."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.message import Message

from palaestra.v1.calendar_service_pb2 import CreateClosureRequest
from palaestra.v1.fleet_service_pb2 import CalibrateUnitRequest
from palaestra.v1.job_array_service_pb2 import CancelJobArrayRequest, SubmitJobArrayRequest
from palaestra.v1.job_service_pb2 import BatchSubmitJobsRequest, CancelJobRequest, ReorderJobRequest, SubmitJobRequest
from palaestra.v1.reservation_service_pb2 import CancelReservationRequest, CreateReservationRequest
from scheduler import audit
from scheduler.commands import arrays, ending, reordering, reserving, submitting, tending, timetable
from scheduler.commands.draft import draft_of
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.writer import Command
from tests.scheduler.site import Site, batch_command, job, play


def repeatable(site: Site) -> dict[str, tuple[Message, Callable[[], Command[Any]]]]:
    """Return a request of each kind that can be sent again without doing anything again, and what makes its command."""
    ident, known = "0b5f3d0e-4a4c-4a1e-9d2c-7b9d6a3f2c11", (site.core.catalogue, site.core.limits)
    own, house = {"parent": "vendors/acme", "request_id": ident}, {"parent": "venues/-", "request_id": ident}
    one = SubmitJobRequest(job=job(), **own)
    after = SubmitJobRequest(parent="vendors/acme", job=job(), request_id=ident.replace("0b", "0c"), after_indices=[0])
    batch, ordered = (BatchSubmitJobsRequest(parent="vendors/acme", requests=each) for each in ([one], [one, after]))
    array = SubmitJobArrayRequest(job=job(), size=2, **own)
    start_s = site.clock.now_ns() // 10**9 + 3600
    period = {"start_time": {"seconds": start_s}, "end_time": {"seconds": start_s + 60}}
    claim = {"sim_slots": 1, "duration": {"seconds": 60}}
    reserved = CreateReservationRequest(reservation={"claim": claim, **period}, **own)
    closed = CreateClosureRequest(closure={**period, "units": ["venues/hall/units/arm-3"]}, **house)
    until = {"expire_time": {"seconds": start_s}}
    calibrated = CalibrateUnitRequest(name="venues/hall/units/arm-1", request_id=ident, **until)
    return {
        "JobService/SubmitJob": (one, lambda: submitting.submit("acme", draft_of(one), *known)),
        "JobService/BatchSubmitJobs": (
            batch,
            lambda: batch_command("acme", batch, *known),
        ),
        "JobService/BatchSubmitJobs, in an order": (
            ordered,
            lambda: batch_command("acme", ordered, *known),
        ),
        "JobArrayService/SubmitJobArray": (array, lambda: arrays.submit("acme", array, *known)),
        "ReservationService/CreateReservation": (
            reserved,
            lambda: reserving.reserve("acme", reserved, site.core.bounds),
        ),
        "CalendarService/CreateClosure": (closed, lambda: timetable.close(closed, "hall")),
        "FleetService/CalibrateUnit": (calibrated, lambda: tending.calibrate("hall", calibrated)),
    }


async def called(site: Site, method: str, request: Message, command: Command[Any]) -> int:
    """Make a call; return how many entries it left."""
    before = len(site.rows("SELECT 1 FROM audit"))

    async def call() -> None:
        audit.begin(audit.Call(method.partition(",")[0], Identity(Role.OPERATOR), request))
        await site.run(command)

    # In a task, which has the present call to itself.
    await asyncio.create_task(call())
    return len(site.rows("SELECT 1 FROM audit")) - before


@pytest.mark.parametrize("method", [
    "JobService/SubmitJob", "JobService/BatchSubmitJobs", "JobService/BatchSubmitJobs, in an order",
    "JobArrayService/SubmitJobArray", "ReservationService/CreateReservation", "CalendarService/CreateClosure",
    "FleetService/CalibrateUnit",
])  # fmt: skip
def test_a_request_that_is_sent_again_has_one_entry(tmp_path: Path, method: str) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        request, command = repeatable(site)[method]
        assert [await called(site, method, request, command()) for _ in range(3)] == [1, 0, 0]

    play(tmp_path, scene)


def test_of_like_requests_that_are_run_together_one_has_an_entry(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        request, command = repeatable(site)["JobService/SubmitJob"]
        calls = [called(site, "JobService/SubmitJob", request, command()) for _ in range(4)]
        await asyncio.gather(*calls)
        assert len(site.rows("SELECT 1 FROM job")) == len(site.rows("SELECT 1 FROM audit")) == 1

    play(tmp_path, scene)


def test_what_is_ended_or_ordered_once_more_has_one_entry(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        made = await site.submit(job(3, priority=1))
        _, _, _, uid = made.name.split("/")
        again = ReorderJobRequest(name=made.name, priority=7, reason="because")
        booked = await site.run(repeatable(site)["ReservationService/CreateReservation"][1]())
        array = (await site.run(repeatable(site)["JobArrayService/SubmitJobArray"][1]())).name
        ending_all = CancelJobArrayRequest(name=array)
        cancelling = CancelReservationRequest(name=booked.name)
        for method, request, command in (
            ("JobService/ReorderJob", again, lambda: reordering.reorder(again)),
            ("JobService/CancelJob", CancelJobRequest(name=made.name), lambda: ending.cancel("acme", uid, "")),
            ("JobArrayService/CancelJobArray", ending_all,
             lambda: arrays.cancel("acme", array.rpartition("/")[2])),
            ("ReservationService/CancelReservation", cancelling,
             lambda: reserving.cancel("acme", booked.name.rpartition("/")[2], "")),
        ):  # fmt: skip
            assert [await called(site, method, request, command()) for _ in range(2)] == [1, 0], method

    play(tmp_path, scene)


def test_a_batch_of_which_nothing_is_kept_has_no_entry_and_one_of_which_something_is_has_one(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        known = site.core.catalogue, site.core.limits
        checked = SubmitJobRequest(parent="vendors/acme", job=job(), validate_only=True)
        never = SubmitJobRequest(parent="vendors/acme", job=job(9))
        kept = SubmitJobRequest(parent="vendors/acme", job=job())
        for requests, entries in (([checked], 0), ([checked, checked], 0), ([never, checked], 0), ([checked, kept], 1)):
            batch = BatchSubmitJobsRequest(parent="vendors/acme", requests=requests)
            command = batch_command("acme", batch, *known)
            assert await called(site, "JobService/BatchSubmitJobs", batch, command) == entries
        assert len(site.rows("SELECT 1 FROM job")) == 1

    play(tmp_path, scene)
