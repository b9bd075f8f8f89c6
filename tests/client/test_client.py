"""What a vendor's program can rely on, against a real gRPC server with a venue in memory."""

import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import islice

import grpc
import pytest

from palaestra import Client, PalaestraError, Unreachable, jobs
from palaestra.v1 import episode_service_pb2, estimate_service_pb2, job_pb2, job_service_pb2, venue_service_pb2
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue

DOWN = PalaestraError("SHUTTING_DOWN", "starting")
SWAY = jobs.collect(motion="sway", units=[jobs.unit(robot_class="arm")])

SERVICES = (
    job_service_pb2.DESCRIPTOR.services_by_name["JobService"],
    venue_service_pb2.DESCRIPTOR.services_by_name["VenueService"],
    episode_service_pb2.DESCRIPTOR.services_by_name["EpisodeService"],
    estimate_service_pb2.DESCRIPTOR.services_by_name["EstimateService"],
)
UNARY = {method.name for service in SERVICES for method in service.methods if not method.server_streaming}


def after(venue: FakeVenue, method: str, act: Callable[[], None]) -> threading.Thread:
    """Do something once a call of the method has arrived."""

    def run() -> None:
        while not venue.calls(method):
            time.sleep(0.005)
        act()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_submitted_job_comes_back_with_a_name(client: Client) -> None:
    job = client.submit(SWAY)

    assert job.name.startswith("vendors/acme/jobs/")
    assert client.job(job.name) == job


def test_a_dry_run_leaves_nothing(client: Client, venue: FakeVenue) -> None:
    job = client.submit(SWAY, validate_only=True)

    assert not job.name
    assert not venue.jobs


def test_a_repeated_submit_carries_the_same_request_id(client: Client, venue: FakeVenue) -> None:
    """The server fails twice; the third attempt of the same logical call succeeds, and one job exists."""
    venue.fail("SubmitJob", DOWN, DOWN)

    client.submit(SWAY)

    ids = [call.request.request_id for call in venue.calls("SubmitJob")]
    assert len(ids) == 3
    assert len(set(ids)) == 1
    assert len(venue.jobs) == 1


def test_two_submits_carry_different_request_ids(client: Client, venue: FakeVenue) -> None:
    client.submit(SWAY)
    client.submit(SWAY)

    assert len({call.request.request_id for call in venue.calls("SubmitJob")}) == 2
    assert len(venue.jobs) == 2


def test_a_batch_gives_each_job_its_own_request_id(client: Client, venue: FakeVenue) -> None:
    results = client.submit_many([SWAY, SWAY, SWAY])

    (call,) = venue.calls("BatchSubmitJobs")
    assert len({item.request_id for item in call.request.requests}) == 3
    assert [venue.jobs[result.job.name] for result in results] == [result.job for result in results]


def test_a_reset_is_not_repeated(operator: Client, venue: FakeVenue) -> None:
    """It carries no request id, and a repeat could clear a fault that came in between."""
    venue.fail("ResetUnit", PalaestraError("SHUTTING_DOWN", "stopping", retry_after_s=0.1))

    with pytest.raises(PalaestraError) as caught:
        operator.reset_unit("arm-1")
    assert caught.value.reason == "SHUTTING_DOWN"
    assert len(venue.calls("ResetUnit")) == 1


def test_every_unary_call_has_a_deadline_and_the_token(venue: FakeVenue) -> None:
    with Client(venue.address, VENDOR_TOKEN, timeout_s=7.0) as client:
        job = client.submit(SWAY)
        client.submit_many([SWAY])
        client.job(job.name)
        list(client.jobs())
        client.explain(job.name)
        assert client.operations.reorder(job.name, 3, reason="a guest").priority == 3
        client.what_if(SWAY)
        assert client.open_slot(job.name).token
        client.estimates()
        client.cancel(job.name)
        client.identity()
        client.venue()
        list(client.units())
        client.unit("arm-1")
        list(client.cells())
        list(client.sim_slots())
        list(client.leases())
        client.usage()
        assert client.lease("vendors/acme/leases/x").name
        list(client.episodes())
        with pytest.raises(PalaestraError, match="NOT_FOUND"):
            client.episode("vendors/acme/episodes/x")
        for refused in (client.reset_unit, client.stop_unit):
            with pytest.raises(PalaestraError, match="ROLE_DENIED"):
                refused("arm-1")
        with pytest.raises(PalaestraError, match="ROLE_DENIED"):
            client.inject_fault("arm-1", venue_service_pb2.FAULT_KIND_JOINT_STUCK)

    assert {call.method for call in venue.received} == UNARY
    assert all(call.left_s is not None and 0.0 < call.left_s < 2 * 7.0 for call in venue.received)
    assert {call.token for call in venue.received} == {VENDOR_TOKEN}


def test_an_error_keeps_its_reason_message_and_facts(client: Client, venue: FakeVenue) -> None:
    venue.fail("GetJob", PalaestraError("STORE_FULL", "no room for 3 GB", metadata={"free_bytes": "12"}))

    with pytest.raises(PalaestraError) as caught:
        client.job("vendors/acme/jobs/x")
    assert (caught.value.reason, caught.value.message) == ("STORE_FULL", "no room for 3 GB")
    assert caught.value.metadata == {"free_bytes": "12"}
    assert caught.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_token_is_a_bad_token(venue: FakeVenue) -> None:
    with Client(venue.address, "guess") as client, pytest.raises(PalaestraError) as caught:
        client.venue()
    assert caught.value.reason == "BAD_TOKEN"


def test_no_server_is_unreachable_within_the_deadline(venue: FakeVenue) -> None:
    venue.stop()
    with Client(venue.address, VENDOR_TOKEN, timeout_s=0.3) as client:
        with pytest.raises(Unreachable, match=venue.address):
            client.venue()
        with pytest.raises(Unreachable):
            next(client.watch_events())


def test_a_call_waits_for_a_server_that_starts_within_the_deadline(client: Client, venue: FakeVenue) -> None:
    client.venue()
    venue.stop()
    starter = threading.Timer(0.3, venue.start)
    starter.start()

    assert client.submit(SWAY).name in venue.jobs
    starter.join()


def test_a_broken_rule_is_refused_before_it_is_sent(client: Client, venue: FakeVenue) -> None:
    with pytest.raises(PalaestraError, match=r"job.train.task: is required") as caught:
        client.submit(jobs.train("", "own_arm"))
    assert caught.value.reason == "INVALID_FIELD"
    assert not venue.calls("SubmitJob")


def test_a_full_queue_is_waited_for_as_long_as_it_says(client: Client, venue: FakeVenue) -> None:
    venue.fail("SubmitJob", PalaestraError("QUEUE_FULL", "1,000 jobs wait", retry_after_s=0.2))

    start_s = time.monotonic()
    client.submit(SWAY)

    assert time.monotonic() - start_s >= 0.2
    assert len({call.request.request_id for call in venue.calls("SubmitJob")}) == 1
    assert len(venue.jobs) == 1


def test_a_full_queue_is_not_waited_for_beyond_the_deadline(client: Client, venue: FakeVenue) -> None:
    venue.fail("SubmitJob", PalaestraError("QUEUE_FULL", "1,000 jobs wait", retry_after_s=3600.0))

    with pytest.raises(PalaestraError) as caught:
        client.submit(SWAY)
    assert (caught.value.reason, caught.value.retry_after_s) == ("QUEUE_FULL", 3600.0)
    assert len(venue.calls("SubmitJob")) == 1


def test_a_server_that_takes_long_to_stop_fails_no_call(client: Client, venue: FakeVenue) -> None:
    """It refuses for longer than gRPC repeats by itself; who serves next answers."""
    venue.fail("SubmitJob", *[PalaestraError("SHUTTING_DOWN", "stopping", retry_after_s=0.1)] * 12)

    client.submit(SWAY)

    assert len({call.request.request_id for call in venue.calls("SubmitJob")}) == 1
    assert len(venue.jobs) == 1


def test_pages_are_walked_to_the_end(client: Client, venue: FakeVenue) -> None:
    """Five jobs in pages of two: three calls, each job once, newest first."""
    names = [venue.add_job().name for _ in range(5)]
    venue.add_job(vendor="rival")

    assert [job.name for job in client.jobs()] == names[::-1]
    assert [call.request.page_token for call in venue.calls("ListJobs")] == ["", "2", "4"]


def test_pages_keep_their_filter(client: Client, venue: FakeVenue) -> None:
    ended = [venue.add_job(job_pb2.JOB_STATE_SUCCEEDED).name for _ in range(3)]
    venue.add_job()

    assert {job.name for job in client.jobs([job_pb2.JOB_STATE_SUCCEEDED])} == set(ended)


def test_a_page_is_fetched_only_when_it_is_wanted(client: Client, venue: FakeVenue) -> None:
    for _ in range(5):
        venue.add_job()

    list(islice(client.jobs(), 2))

    assert len(venue.calls("ListJobs")) == 1


def test_an_operator_lists_every_vendor(operator: Client, venue: FakeVenue) -> None:
    names = {venue.add_job(vendor=vendor).name for vendor in ("acme", "rival")}

    assert {job.name for job in operator.jobs()} == names


def test_a_short_name_is_completed_with_the_callers_vendor(client: Client, venue: FakeVenue) -> None:
    job = venue.add_job()
    short = job.name.rpartition("/")[2]

    assert client.job(short).name == job.name
    assert client.explain(short).jobs_ahead == 1
    assert client.cancel(short).state == job_pb2.JOB_STATE_CANCELLED
    assert client.wait(short).name == job.name
    assert list(client.log(short)) == []
    assert client.unit("arm-2").name == "venues/test/units/arm-2"
    assert len(venue.calls("GetIdentity")) == 1


def test_short_names_inside_a_job_are_completed(client: Client, venue: FakeVenue) -> None:
    units = [jobs.unit(name="arm-1"), jobs.unit(name="venues/other/units/arm-2")]
    spec = jobs.collect(policy_job="01abc", units=units, cell=jobs.cell(name="bench"))
    job = client.submit(spec)
    (batched,) = client.submit_many([jobs.evaluate("reach", "own_arm", policy_job="01abc")])

    assert [request.selector.unit for request in job.claim.units] == [
        "venues/test/units/arm-1",
        "venues/other/units/arm-2",
    ]
    assert job.claim.cell.cell == "venues/test/cells/bench"
    assert job.collect.policy_job == batched.job.evaluate.policy_job == "vendors/acme/jobs/01abc"
    assert spec.collect.policy_job == "01abc"


def test_an_operator_must_give_a_full_job_name(operator: Client, venue: FakeVenue) -> None:
    with pytest.raises(PalaestraError, match="full name"):
        operator.job("01abc")
    assert not venue.calls("GetJob")


def test_a_watch_shows_each_state_and_ends_with_the_job(client: Client, venue: FakeVenue) -> None:
    job = venue.add_job()
    seen = []
    coming = deque([job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED])
    for state in client.watch_job(job.name):
        seen.append(state.state)
        if coming:
            venue.set_state(job.name, coming.popleft())

    assert seen == [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED]


def test_a_cut_watch_goes_on_and_shows_nothing_twice(client: Client, venue: FakeVenue) -> None:
    """Every stream breaks after one message; the job as it was is not shown again."""
    job = venue.add_job()
    venue.cut_after["WatchJob"].extend([1, 1, 1])
    seen = []
    coming = deque([job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED])
    for state in client.watch_job(job.name):
        seen.append(state.state)
        if coming:
            venue.set_state(job.name, coming.popleft())

    assert seen == [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_SUCCEEDED]
    assert len(venue.calls("WatchJob")) >= 2


def test_a_watch_survives_a_restart_of_the_server(client: Client, venue: FakeVenue) -> None:
    job = venue.add_job()

    def restart() -> None:
        venue.stop()
        venue.set_state(job.name, job_pb2.JOB_STATE_SUCCEEDED)
        venue.start()

    thread = after(venue, "WatchJob", restart)
    ended = client.wait(job.name)
    thread.join()

    assert ended.state == job_pb2.JOB_STATE_SUCCEEDED


def test_waiting_ends_after_its_time(client: Client, venue: FakeVenue) -> None:
    job = venue.add_job()

    with pytest.raises(TimeoutError, match=job.name):
        client.wait(job.name, timeout_s=0.2)


def test_watching_a_job_that_is_not_there_fails_at_once(client: Client, venue: FakeVenue) -> None:
    with pytest.raises(PalaestraError) as caught:
        client.wait("nothing")
    assert caught.value.reason == "NOT_FOUND"
    assert len(venue.calls("WatchJob")) == 1


def test_a_cut_log_goes_on_at_the_next_line(client: Client, venue: FakeVenue) -> None:
    job = venue.add_job(job_pb2.JOB_STATE_SUCCEEDED)
    venue.logs[job.name] = [f"line {number}" for number in range(1, 8)]
    venue.cut_after["ReadLog"].extend([2, 0, 3])

    assert [line.text for line in client.log(job.name, follow=True)] == venue.logs[job.name]
    assert [call.request.from_line for call in venue.calls("ReadLog")] == [1, 3, 3, 6]


def test_events_come_without_gap_or_repeat_across_cuts(client: Client, venue: FakeVenue) -> None:
    """Nine events in batches of two; streams break after 1, 0 and 2 batches."""
    for _ in range(9):
        venue.add_job()
    venue.cut_after["WatchEvents"].extend([1, 0, 2])

    assert [event.sequence for event in islice(client.events(), 9)] == list(range(1, 10))
    assert [call.request.after_sequence for call in venue.calls("WatchEvents")] == [0, 2, 2, 6]


def test_events_start_after_the_sequence_number(client: Client, venue: FakeVenue) -> None:
    for _ in range(4):
        venue.add_job()

    assert [event.sequence for event in islice(client.events(after_sequence=2), 2)] == [3, 4]


def test_events_that_are_too_old_are_an_error(client: Client, venue: FakeVenue) -> None:
    venue.fail("WatchEvents", PalaestraError("EVENTS_TOO_OLD", "events before 500 are gone"))

    with pytest.raises(PalaestraError) as caught:
        next(client.events())
    assert caught.value.reason == "EVENTS_TOO_OLD"


def test_a_watcher_that_leaves_ends_its_call(client: Client, venue: FakeVenue) -> None:
    """After the generator is closed the same connection serves other calls, and closing does not hang."""
    job = venue.add_job()
    watch = client.watch_job(job.name)
    next(watch)
    watch.close()

    assert client.job(job.name).name == job.name


def test_closing_ends_streams_and_is_not_taken_for_an_ended_job(client: Client, venue: FakeVenue) -> None:
    """Another thread closes the client: the tail of the events ends, a wait says that it was cut short."""
    job = venue.add_job()
    closer = after(venue, "WatchJob", client.close)
    tail: list[int] = []
    tailing = threading.Thread(target=lambda: tail.extend(event.sequence for event in client.events()))
    tailing.start()
    while not venue.calls("WatchEvents"):
        time.sleep(0.005)
    with pytest.raises(Unreachable, match="closed before"):
        client.wait(job.name)
    closer.join()
    tailing.join(timeout=20)
    assert not tailing.is_alive()


def test_operators_stop_fault_and_reset_units(operator: Client) -> None:
    assert operator.stop_unit("arm-1").fault == "stop"
    assert operator.reset_unit("arm-1").fault == ""
    assert operator.inject_fault("arm-1", venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT).fault == "encoder_dropout"
