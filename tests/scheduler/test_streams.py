"""Hosts, runners and watchers as peers of the real server."""

import asyncio
import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    host_service_pb2,
    host_service_pb2_grpc,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    runner_service_pb2,
    runner_service_pb2_grpc,
    venue_pb2,
    venue_service_pb2,
    venue_service_pb2_grpc,
)
from runner.wanted import Wanted
from scheduler.commands import fleet
from scheduler.guard import _caller
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.services.runners import LOOK_REST, RunnerService
from scheduler.services.venue import EVENT_BLOCK, VenueService
from scheduler.strays import Strays
from tests.scheduler.site import PATIENCE_S, LiveServer, Site, error_of, job, play

ARM = "venues/hall/units/arm-1"


@pytest.fixture
def live(tmp_path: Path) -> Iterator[LiveServer]:
    with LiveServer(tmp_path) as server:
        yield server


class Peer:
    """One stream to the server, its answers collected by a thread."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.answers: list[Any] = []
        self.error: grpc.RpcError | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for answer in self._stream:
                self.answers.append(answer)
        except grpc.RpcError as error:
            self.error = error

    @property
    def last(self) -> Any:
        return self.answers[-1] if self.answers else None

    def cut(self) -> None:
        self._stream.cancel()
        self._thread.join(PATIENCE_S)

    def ended(self) -> bool:
        return not self._thread.is_alive()


class Host(Peer):
    """A unit host that says what the test says."""

    def __init__(self, live: LiveServer, host: str = "h", instance: str = "i1") -> None:
        self._say: queue.Queue[Any] = queue.Queue()
        declared = host_service_pb2.UnitDeclaration(unit=ARM, robot_model="own_arm", joint_count=3, serial="s-1")
        hello = host_service_pb2.HostHello(host=host, instance=instance, address="127.0.0.1:1", units=[declared])
        self._say.put(host_service_pb2.ConnectRequest(hello=hello))
        stub = host_service_pb2_grpc.HostServiceStub(live.channel)  # type: ignore[no-untyped-call]
        super().__init__(stub.Connect(iter(self._say.get, None), metadata=live.metadata("host")))

    def beat(self, done: tuple[int, ...] = (), **status: Any) -> None:
        units = [host_service_pb2.UnitStatus(unit=ARM, **status)]
        self._say.put(host_service_pb2.ConnectRequest(beat=host_service_pb2.HostBeat(units=units, orders_done=done)))

    def cut(self) -> None:
        self._say.put(None)
        super().cut()


class Runner(Peer):
    """A runner; `assigned` is what it is to carry out."""

    def __init__(self, live: LiveServer, instance: str = "r/one") -> None:
        stub = runner_service_pb2_grpc.RunnerServiceStub(live.channel)  # type: ignore[no-untyped-call]
        request = runner_service_pb2.WatchAssignmentsRequest(
            runner="r", instance=instance, sim_slots=2, motions=["sway"]
        )
        super().__init__(stub.WatchAssignments(request, metadata=live.metadata("runner")))

    @property
    def assigned(self) -> list[runner_service_pb2.Assignment]:
        wanted = Wanted()
        for answer in list(self.answers):
            wanted.take(answer)
        return list(wanted.assignments.values())


def runners(live: LiveServer) -> Callable[[str, Any], Any]:
    stub = runner_service_pb2_grpc.RunnerServiceStub(live.channel)  # type: ignore[no-untyped-call]
    return lambda method, request: getattr(stub, method)(request, timeout=PATIENCE_S, metadata=live.metadata("runner"))


def jobs(live: LiveServer) -> Callable[[str, Any], Any]:
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)  # type: ignore[no-untyped-call]
    metadata = live.metadata("vendor-acme")
    return lambda method, request: getattr(stub, method)(request, timeout=PATIENCE_S, metadata=metadata)


def venue(live: LiveServer) -> Callable[[str, Any], Any]:
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)  # type: ignore[no-untyped-call]
    metadata = live.metadata("operator")
    return lambda method, request: getattr(stub, method)(request, timeout=PATIENCE_S, metadata=metadata)


def submit(live: LiveServer, body: job_pb2.Job) -> str:
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body)
    return str(jobs(live)("SubmitJob", request).name)


def unit(live: LiveServer) -> venue_pb2.Unit:
    found: venue_pb2.Unit = venue(live)("GetUnit", venue_service_pb2.GetUnitRequest(name=ARM))
    return found


@contextlib.contextmanager
def connected(*peers: Peer) -> Iterator[None]:
    try:
        yield
    finally:
        for peer in peers:
            peer.cut()


def test_a_grant_reaches_host_and_runner_and_its_end_takes_it_away(live: LiveServer) -> None:
    host, worker = Host(live), Runner(live)
    with connected(host, worker):
        name = live.until(lambda: submit(live, job(1)), bool)
        live.until(lambda: host.last, lambda last: last and last.grants)
        (assignment,) = live.until(lambda: worker.assigned, bool)
        (grant,) = host.last.grants
        assert (grant.unit, grant.lease, grant.epoch) == (ARM, assignment.lease.name, 1)
        assert 0 < grant.ttl_s <= 10.0
        assert grant.token_sha256 == sha256(assignment.lease_token)
        assert [(end.unit, end.address, end.epoch) for end in assignment.endpoints] == [(ARM, "127.0.0.1:1", 1)]
        call = runners(live)
        call("StartAttempt", runner_service_pb2.StartAttemptRequest(attempt=assignment.attempt, instance="r/one"))
        end = runner_service_pb2.FinishAttemptRequest(attempt=assignment.attempt, instance="r/one", outcome=3)  # type: ignore[arg-type]
        call("FinishAttempt", end)
        live.until(lambda: host.last, lambda last: not last.grants)
        live.until(lambda: worker.assigned, lambda assigned: not assigned)
        assert unit(live).state == venue_pb2.UNIT_STATE_UNCERTAIN
        host.beat(safe_epoch=1, battery=0.5)
        live.until(lambda: unit(live), lambda seen: seen.state == venue_pb2.UNIT_STATE_IDLE)
        assert unit(live).battery == 0.5
        assert unit(live).HasField("seen_time")
        assert jobs(live)("GetJob", job_service_pb2.GetJobRequest(name=name)).state == job_pb2.JOB_STATE_SUCCEEDED


def sha256(text: str) -> bytes:

    return hashlib.sha256(text.encode()).digest()


def test_an_order_comes_until_it_is_reported_as_done(live: LiveServer) -> None:
    host = Host(live)
    with connected(host):
        live.until(lambda: host.answers, bool)
        venue(live)("StopUnit", venue_service_pb2.StopUnitRequest(name=ARM))
        (order,) = live.until(lambda: host.last, lambda last: last.orders).orders
        assert (order.unit, order.WhichOneof("action")) == (ARM, "protective_stop")
        seen = len(host.answers)
        live.until(lambda: host.answers, lambda answers: len(answers) > seen + 1)
        assert [each.order for each in host.last.orders] == [order.order]
    again = Host(live, instance="i2")
    with connected(again):
        live.until(lambda: again.last, lambda last: last and last.orders)
        again.beat(done=(order.order,))
        live.until(lambda: again.last, lambda last: not last.orders)


def test_a_host_that_comes_back_before_its_cut_was_noticed_keeps_its_units(live: LiveServer) -> None:
    """The old stream's end must not take the units of the new one offline."""
    old = Host(live)
    live.until(lambda: old.answers, bool)
    new = Host(live)
    with connected(new):
        live.until(lambda: new.answers, bool)
        live.until(old.ended, bool)
        old.cut()
        seen = len(new.answers)
        live.until(lambda: new.answers, lambda answers: len(answers) > seen + 1)
        assert unit(live).state == venue_pb2.UNIT_STATE_IDLE
    live.until(lambda: unit(live), lambda seen: seen.state == venue_pb2.UNIT_STATE_OFFLINE)


def test_a_unit_of_a_live_host_another_model_and_another_serial_are_refused(live: LiveServer) -> None:
    first = Host(live)
    with connected(first):
        live.until(lambda: first.answers, bool)
        rival = Host(live, host="other")
        live.until(rival.ended, bool)
        for changed in ({"robot_model": "own_humanoid"}, {"serial": "s-2"}):
            declared = {"unit": ARM, "robot_model": "own_arm", "joint_count": 3, "serial": "s-1"} | changed
            hello = {"host": "h", "instance": "i9", "address": "x", "units": [declared]}
            stub = host_service_pb2_grpc.HostServiceStub(live.channel)  # type: ignore[no-untyped-call]
            request = host_service_pb2.ConnectRequest(hello=hello)  # type: ignore[arg-type]
            stream = stub.Connect(iter([request]), metadata=live.metadata("host"))
            assert error_of(next, stream).reason == "HOST_CONFLICT"
        rival.cut()
        assert rival.error is not None
        assert unit(live).state == venue_pb2.UNIT_STATE_IDLE, "the first host still has it"
    moved = Host(live, host="other")
    with connected(moved):
        live.until(lambda: moved.answers, bool)
        live.until(lambda: unit(live), lambda seen: seen.state == venue_pb2.UNIT_STATE_IDLE)


def test_a_unit_that_moved_to_a_new_process_is_not_granted_to_the_old_one(live: LiveServer) -> None:
    """The old process's stream may be open still; what it says of the unit counts no more."""
    old, worker = Host(live), Runner(live)
    live.until(lambda: old.answers, bool)
    new = Host(live, instance="i2")
    with connected(old, new, worker):
        live.until(lambda: new.answers, bool)
        submit(live, job(1))
        live.until(lambda: new.last, lambda last: last.grants)
        seen = len(old.answers)
        live.until(lambda: old.answers, lambda answers: len(answers) > seen + 1)
        assert not any(answer.grants for answer in old.answers)
        old.beat(motion=host_service_pb2.MOTION_STATE_LATCHED, fault="a ghost's")
        new.beat(motion=host_service_pb2.MOTION_STATE_DRIVEN, battery=0.25)
        live.until(lambda: unit(live), lambda found: found.battery == 0.25)
        assert unit(live).fault == ""


def test_a_runner_that_comes_back_before_its_cut_was_noticed_goes_on_working(live: LiveServer) -> None:
    old = Runner(live)
    live.until(lambda: old.answers, bool)
    new = Runner(live)
    with connected(new):
        live.until(old.ended, bool)
        name = live.until(lambda: submit(live, job(0, 1)), bool)
        live.until(lambda: new.assigned, bool)
        assert venue(live)("GetVenue", venue_service_pb2.GetVenueRequest(name="venues/-")).runner_count == 1
        get = job_service_pb2.GetJobRequest(name=name)
        assert jobs(live)("GetJob", get).state == job_pb2.JOB_STATE_GRANTED


def test_events_are_watched_without_gap_or_repeat_over_any_number_of_cuts(live: LiveServer) -> None:
    """A watcher that is cut after each answer and resumes sees what one that was never cut sees."""
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)  # type: ignore[no-untyped-call]
    metadata = live.metadata("operator")
    steady = Peer(stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=metadata))
    pieces: list[int] = []
    sequence = 0
    with connected(steady):
        for _ in range(12):
            requests = [job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job()) for _ in range(3)]
            requests[2].job.claim.units[0].count = 99
            batch = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=requests)
            jobs(live)("BatchSubmitJobs", batch)
            batch.atomic = True
            assert error_of(jobs(live), "BatchSubmitJobs", batch).reason == "IMPOSSIBLE_CLAIM"
            stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(after_sequence=sequence), metadata=metadata)
            answer = next(stream)
            stream.cancel()
            pieces += [event.sequence for event in answer.events]
            sequence = answer.sequence
        last = live.core.hub.sequence
        live.until(lambda: steady.answers, lambda answers: answers[-1].sequence >= last)
    events = [event for answer in steady.answers for event in answer.events]
    whole = [event.sequence for event in events]

    assert pieces == [each for each in whole if each <= sequence]
    assert whole == list(range(1, last + 1))
    assert all(event.job.sequence == event.sequence for event in events if event.job.name)


def test_events_that_are_gone_or_not_yet_there_are_too_old(live: LiveServer) -> None:
    for _ in range(5):
        submit(live, job())
    live.run(lambda tx: tx.db.execute("DELETE FROM event WHERE seq <= 2").fetchone())
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)  # type: ignore[no-untyped-call]

    def watch(after: int) -> Any:
        request = venue_service_pb2.WatchEventsRequest(after_sequence=after)
        stream = stub.WatchEvents(request, metadata=live.metadata("operator"))
        try:
            return next(stream)
        finally:
            stream.cancel()

    assert error_of(watch, 1).reason == "EVENTS_TOO_OLD"
    assert error_of(watch, 99).reason == "EVENTS_TOO_OLD"
    assert [event.sequence for event in watch(2).events] == [3, 4, 5]


def test_a_callers_lost_patience_stops_nothing_but_its_call(live: LiveServer) -> None:
    """Calls whose deadline passes while the writer is busy are given up, and the next is served."""
    busy, free = threading.Event(), threading.Event()

    def block(tx: Any) -> None:
        busy.set()
        assert free.wait(PATIENCE_S)

    waiting = threading.Thread(target=live.run, args=(block,))
    waiting.start()
    assert busy.wait(PATIENCE_S)
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)  # type: ignore[no-untyped-call]
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job())
    for _ in range(3):
        with pytest.raises(grpc.RpcError) as caught:
            stub.SubmitJob(request, timeout=0.3, metadata=live.metadata("vendor-acme"))
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    free.set()
    waiting.join(PATIENCE_S)

    assert submit(live, job())


def test_a_server_that_stops_sends_its_watchers_away_with_a_reason(tmp_path: Path) -> None:
    with LiveServer(tmp_path) as live:
        stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)  # type: ignore[no-untyped-call]
        request = venue_service_pb2.WatchEventsRequest()
        watcher = Peer(stub.WatchEvents(request, metadata=live.metadata("operator")))
        host = Host(live)
        live.until(lambda: watcher.answers and host.answers, bool)
        live.act(drain(live))
        live.until(lambda: watcher.ended() and host.ended(), bool)
        for peer in (watcher, host):
            assert peer.error is not None
            assert error_of(reraise, peer.error).reason == "SHUTTING_DOWN"
        host.cut()


async def drain(live: LiveServer) -> None:
    live.core.drain()


def reraise(error: grpc.RpcError) -> None:
    raise error


def test_a_unit_whose_host_never_heard_of_its_grant_is_free_again_when_the_host_says_so(live: LiveServer) -> None:
    """The host dies between grant and message. Its successor is told which epochs are over, and confirms them."""
    worker = Runner(live)
    with connected(worker):
        deaf = Host(live, instance="i1")
        live.until(lambda: deaf.answers, bool)
        deaf.beat(safe_epoch=0)
        name = submit(live, job(1))
        (assignment,) = live.until(lambda: worker.assigned, bool)
        deaf.cut()
        jobs(live)("CancelJob", job_service_pb2.CancelJobRequest(name=name))
        live.until(lambda: worker.assigned, lambda assigned: not assigned)
        assert assignment.endpoints[0].epoch == 1
        again = Host(live, instance="i2")
        with connected(again):
            (ended,) = live.until(lambda: again.last, lambda last: last and last.ended).ended
            assert (ended.unit, ended.epoch) == (ARM, 1)
            assert unit(live).state == venue_pb2.UNIT_STATE_UNCERTAIN
            again.beat(safe_epoch=1)
            live.until(lambda: unit(live), lambda seen: seen.state == venue_pb2.UNIT_STATE_IDLE)
            live.until(lambda: again.last, lambda last: not last.ended)


def test_orders_that_were_meant_for_the_moment_do_not_wait_for_an_offline_unit(live: LiveServer) -> None:
    """A reset could clear a fault that came later; a stop is right at any time."""
    host = Host(live)
    live.until(lambda: host.answers, bool)
    venue(live)("ResetUnit", venue_service_pb2.ResetUnitRequest(name=ARM))
    host.cut()
    live.until(lambda: unit(live), lambda seen: seen.state == venue_pb2.UNIT_STATE_OFFLINE)
    refused = error_of(venue(live), "ResetUnit", venue_service_pb2.ResetUnitRequest(name=ARM))
    assert refused.reason == "UNIT_OFFLINE"
    venue(live)("StopUnit", venue_service_pb2.StopUnitRequest(name=ARM))
    again = Host(live, instance="i2")
    with connected(again):
        orders = live.until(lambda: again.last, lambda last: last and last.orders).orders
        assert [order.WhichOneof("action") for order in orders] == ["protective_stop"]


def test_a_block_of_events_stays_far_below_what_a_client_takes_in_one_message(live: LiveServer) -> None:
    """Two hundred large jobs of one vendor must not stop the operator's stream."""
    big = job(1, labels={"k" * 100 + str(n): "v" * 120 for n in range(32)})
    big.collect.task = "t" * 500
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=big)
    batch = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme", requests=[request] * 400)
    host = Host(live)
    with connected(host):
        live.until(lambda: host.answers, bool)
        jobs(live)("BatchSubmitJobs", batch)
        stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)  # type: ignore[no-untyped-call]
        stream = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=live.metadata("operator"))
        watcher = Peer(stream)
        with connected(watcher):
            live.until(
                lambda: sum(e.kind == "job.submitted" for answer in watcher.answers for e in answer.events),
                lambda seen: seen == 400,
            )
            assert max(answer.ByteSize() for answer in watcher.answers) < 2 * 1024 * 1024


def test_a_vendor_has_so_many_streams_at_a_time_and_another_is_not_touched(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One more is refused with when to try again; and there is room as soon as one has ended, however it ended."""
    monkeypatch.setattr("scheduler.admission.STREAMS_MAX", 3)
    stub = venue_service_pb2_grpc.VenueServiceStub(live.channel)

    def watch(vendor: str) -> Any:
        request = venue_service_pb2.WatchEventsRequest()
        stream = stub.WatchEvents(request, timeout=PATIENCE_S, metadata=live.metadata(f"vendor-{vendor}"))
        next(stream)
        return stream

    streams = [watch("rival") for _ in range(3)]
    error = error_of(watch, "rival")
    assert (error.reason, error.retry_after_s) == ("TOO_MANY_STREAMS", 1.0)
    watch("third").cancel()
    streams[0].cancel()

    def again() -> Any:
        try:
            return watch("rival")
        except grpc.RpcError:
            return None

    live.until(again, lambda stream: stream is not None).cancel()
    for stream in streams:
        stream.cancel()


def test_a_host_that_holds_an_epoch_which_nobody_granted_gets_a_higher_one_next(live: LiveServer) -> None:
    """As after the database was put back to an older one: the host would take no grant up to its own epoch."""
    host, worker = Host(live), Runner(live)
    with connected(host, worker):
        live.until(lambda: host.last is not None, bool)
        host.beat(epoch=40, safe_epoch=40, motion=host_service_pb2.MOTION_STATE_RESTING)
        live.until(lambda: unit(live).epoch, lambda epoch: epoch == 40)
        host.beat(epoch=10**15, safe_epoch=10**15, motion=host_service_pb2.MOTION_STATE_RESTING)
        submit(live, job(units=1))
        live.until(lambda: host.last.grants, bool)

        assert [grant.epoch for grant in host.last.grants] == [41]


def test_what_is_driven_without_a_lease_is_stopped_by_order(live: LiveServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Strays.__init__, "__defaults__", (0.2,))
    host = Host(live)
    with connected(host):
        live.until(lambda: host.last is not None, bool)

        def ordered() -> bool:
            host.beat(motion=host_service_pb2.MOTION_STATE_DRIVEN)
            return any(order.HasField("protective_stop") for order in host.last.orders)

        live.until(ordered, bool)


def test_a_runner_that_takes_long_to_be_told_is_not_told_later_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only looking costs the venue something; a network that swallowed everything for a while does not."""
    rests_s: list[float] = []
    rest = asyncio.sleep

    async def noted(delay_s: float) -> None:
        rests_s.append(delay_s)
        await rest(min(delay_s, 0.01))

    async def scene(site: Site) -> None:
        _caller.set(Identity(Role.RUNNER, "", "token"))
        request = runner_service_pb2.WatchAssignmentsRequest(runner="r", instance="r/one", sim_slots=2)
        told = RunnerService(site.core).WatchAssignments(request, None)
        await anext(told)
        await rest(0.5)
        monkeypatch.setattr(asyncio, "sleep", noted)
        try:
            await anext(told)
        finally:
            monkeypatch.undo()
            await told.aclose()  # type: ignore[attr-defined]
        assert rests_s[0] < 0.5 * LOOK_REST

    play(tmp_path, scene)


def test_who_may_see_nothing_of_much_that_is_new_leaves_the_loop_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key of projects, behind by many events of its vendor's other work: each block of them is a turn of its own."""
    looked: list[int] = []
    turns = 0

    def unseen(*_: object) -> bool:
        looked.append(turns)
        return False

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def scene(site: Site) -> None:
        sequence = site.core.hub.sequence
        rows = [("x", "vendors/acme/jobs/x", "acme", "", b"")] * (5 * EVENT_BLOCK)
        await site.run(lambda tx: tx.events(rows))
        _caller.set(Identity(Role.READER, "acme", projects=frozenset({"walk"})))
        busy = asyncio.create_task(others())
        request = venue_service_pb2.WatchEventsRequest(after_sequence=sequence)
        watching = VenueService(site.core).WatchEvents(request, None)
        await anext(watching)
        more = asyncio.create_task(anext(watching))
        while len(looked) < len(rows):
            await asyncio.sleep(0)
        more.cancel()
        busy.cancel()
        await asyncio.gather(more, busy, return_exceptions=True)

    monkeypatch.setattr("scheduler.reading.sees_event", unseen)
    play(tmp_path, scene)

    assert len(set(looked)) == 5


def test_a_host_that_goes_while_nothing_can_be_written_is_offline_later(
    live: LiveServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its units would be given to jobs for as long as it stays away."""
    real, asked = fleet.offline, []

    def offline(*gone: str) -> Any:
        asked.append(gone)

        def refuse(tx: Any) -> None:
            raise PalaestraError("DATABASE_BUSY", "not now")

        return refuse if len(asked) == 1 else real(*gone)

    host = Host(live)
    with connected(host):
        live.until(lambda: unit(live).state, lambda state: state == venue_pb2.UNIT_STATE_IDLE)
        monkeypatch.setattr("scheduler.commands.fleet.offline", offline)
    live.until(lambda: unit(live).state, lambda state: state == venue_pb2.UNIT_STATE_OFFLINE)
    assert asked == [("h", "i1")] * 2
