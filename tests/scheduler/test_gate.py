"""The gate of the real server: every method, every role, every kind of bad input."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from palaestra.channel import authorization
from palaestra.errors import PalaestraError
from palaestra.v1 import (
    episode_pb2,
    job_array_service_pb2,
    job_pb2,
    job_service_pb2,
    runner_service_pb2,
    venue_service_pb2,
)
from scheduler.commands import running
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from scheduler.guard import MESSAGE_BYTES_MAX, TEXT_MAX
from tests.scheduler.contract import METHODS
from tests.scheduler.site import PATIENCE_S, LiveServer, error_of, job

VENDORS, HOUSE = {"vendor", "engineer", "reader"}, {"operator", "safety"}
CLIENTS, EVERYBODY = VENDORS | HOUSE, VENDORS | HOUSE | {"host", "runner", "gateway"}
WORKERS, KEEPERS = {"vendor", "engineer"}, {"vendor", "operator"}
# Who may call what, written down a second time. A new method has to be entered here by somebody who thought about it.
ALLOWED: dict[str, set[str]] = {
    "ApiKeyService/CreateApiKey": KEEPERS,
    "ApiKeyService/GetApiKey": KEEPERS | {"safety"},
    "ApiKeyService/ListApiKeys": KEEPERS | {"safety"},
    "ApiKeyService/RevokeApiKey": KEEPERS,
    "ApiKeyService/RotateApiKey": KEEPERS,
    "AuditService/GetAuditHead": KEEPERS | {"safety"},
    "AuditService/ListAuditEntries": KEEPERS | {"safety"},
    "CalendarService/CreateClosure": HOUSE,
    "CalendarService/DeleteClosure": HOUSE,
    "CalendarService/ListClosedTimes": CLIENTS,
    "CalendarService/ListClosures": CLIENTS,
    "JobService/SubmitJob": WORKERS,
    "JobService/BatchSubmitJobs": WORKERS,
    "JobService/GetJob": CLIENTS,
    "JobService/ListJobs": CLIENTS,
    "JobService/CancelJob": WORKERS | {"operator"},
    "JobService/ReorderJob": WORKERS | {"operator"},
    "JobService/ExplainJob": CLIENTS,
    "JobService/OpenSlot": WORKERS,
    "JobService/WhatIf": VENDORS,
    "EstimateService/GetEstimateCalibration": CLIENTS,
    "JobService/WatchJob": CLIENTS,
    "JobService/ReadLog": CLIENTS,
    "JobArrayService/SubmitJobArray": WORKERS,
    "JobArrayService/GetJobArray": CLIENTS,
    "JobArrayService/CancelJobArray": WORKERS | {"operator"},
    "DataService/CreateDataset": WORKERS,
    "DataService/CreateDatasetVersion": WORKERS,
    "DataService/GetDataset": CLIENTS,
    "DataService/GetDatasetVersion": CLIENTS,
    "DataService/GetRecord": CLIENTS,
    "DataService/LabelEpisodes": WORKERS,
    "DataService/ListDatasetEpisodes": CLIENTS,
    "DataService/ListDatasets": CLIENTS,
    "DataService/ListDatasetVersions": CLIENTS,
    "DataService/ListRecords": CLIENTS,
    "DataService/ListSessions": CLIENTS,
    "EpisodeService/GetEpisode": CLIENTS,
    "EpisodeService/ListEpisodes": CLIENTS,
    "ReservationService/CancelReservation": WORKERS | {"operator"},
    "ReservationService/CreateReservation": WORKERS,
    "ReservationService/GetReservation": CLIENTS,
    "ReservationService/ListReservations": CLIENTS,
    "StoreService/CheckRoom": {"runner"},
    "StoreService/GetStoreUsage": CLIENTS,
    "VenueService/GetVenue": EVERYBODY,
    "VenueService/GetIdentity": EVERYBODY,
    "VenueService/ListUnits": CLIENTS,
    "VenueService/GetUnit": CLIENTS,
    "VenueService/ListCells": CLIENTS,
    "VenueService/ListSimSlots": CLIENTS,
    "VenueService/ListLeases": CLIENTS,
    "VenueService/GetLease": CLIENTS,
    "VenueService/ListUsage": CLIENTS,
    "VenueService/WatchEvents": CLIENTS,
    "VenueService/InjectUnitFault": {"operator"},
    "VenueService/ResetUnit": {"operator"},
    "VenueService/StopUnit": HOUSE,
    "FleetService/SetUnitHealth": HOUSE,
    "FleetService/CalibrateUnit": {"operator"},
    "FleetService/StopCell": HOUSE,
    "FleetService/StopVenue": HOUSE,
    "ReviewService/AnswerReview": WORKERS,
    "ReviewService/ClaimReview": WORKERS,
    "ReviewService/GetReview": CLIENTS,
    "ReviewService/GetReviewFigures": CLIENTS,
    "ReviewService/ListReviews": CLIENTS,
    "ReviewService/ReleaseReview": WORKERS,
    "RunnerService/WatchAssignments": {"runner"},
    "RunnerService/StartAttempt": {"runner"},
    "RunnerService/HeartbeatAttempts": {"runner"},
    "RunnerService/AppendLog": {"runner"},
    "RunnerService/CatalogueEpisode": {"runner"},
    "RunnerService/SaveCheckpoint": {"runner"},
    "RunnerService/FinishAttempt": {"runner"},
    "HostService/Connect": {"host"},
}
TOKENS = {
    "vendor": "vendor-acme", "operator": "operator", "host": "host", "runner": "runner", "gateway": "gateway",
}  # fmt: skip
UNARY = [name for name, method in METHODS.items() if not method.server_streaming]
MALFORMED = b"\xff\xff\xff"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
def everybody(live: LiveServer) -> dict[str, Any]:
    """Metadata of every role: of the house's processes and the vendor by token, of the others by key."""
    found = {role: live.metadata(token) for role, token in TOKENS.items()}
    for role in EVERYBODY - found.keys():
        found[role] = authorization(live.key(role, "acme" if role in VENDORS else "").secret)
    return found


def call(live: LiveServer, name: str, data: bytes, metadata: Any, timeout_s: float | None = PATIENCE_S) -> bytes:
    """Send bytes to a method of any kind; return the first answer. Raises grpc.RpcError."""
    method, path = METHODS[name], f"/palaestra.v1.{name}"
    options = {"timeout": timeout_s, "metadata": metadata}
    if not method.server_streaming:
        return bytes(live.channel.unary_unary(path)(data, **options))
    if method.client_streaming:
        stream = live.channel.stream_stream(path)(iter([data]), **options)
    else:
        stream = live.channel.unary_stream(path)(data, **options)
    try:
        return bytes(next(stream, b""))
    finally:
        stream.cancel()


def send(live: LiveServer, name: str, message: Message, who: str = "vendor-acme") -> Any:
    answer = call(live, name, message.SerializeToString(), live.metadata(who))
    return GetMessageClass(METHODS[name].output_type).FromString(answer)


def refused(live: LiveServer, name: str, message: Message | bytes, who: str = "vendor-acme") -> PalaestraError:
    data = message if isinstance(message, bytes) else message.SerializeToString()
    return error_of(call, live, name, data, live.metadata(who))


def test_somebody_thought_about_every_method() -> None:
    assert set(ALLOWED) == set(METHODS)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_open_to_its_roles_alone(live: LiveServer, everybody: dict[str, Any], name: str) -> None:
    for role, metadata in everybody.items():
        try:
            call(live, name, b"", metadata)
        except grpc.RpcError:
            error = error_of(call, live, name, b"", metadata)
            assert (error.reason == "ROLE_DENIED") == (role not in ALLOWED[name])
            assert error.reason != "INTERNAL"
        else:
            assert role in ALLOWED[name]


@pytest.mark.parametrize("name", METHODS)
def test_without_a_valid_token_nothing_is_said_even_of_malformed_bytes(live: LiveServer, name: str) -> None:
    token = live.token("vendor-acme")
    for metadata in (None, authorization(token[:-1] + "!"), (("authorization", f"Basic {token}"),)):
        for data in (b"", MALFORMED):
            assert error_of(call, live, name, data, metadata).reason == "BAD_TOKEN"


@pytest.mark.parametrize("name", METHODS)
def test_malformed_bytes_are_an_invalid_argument(live: LiveServer, name: str) -> None:
    who = next(token for role, token in TOKENS.items() if role in ALLOWED[name])
    error = refused(live, name, MALFORMED, who)

    assert (error.reason, error.code) == ("MALFORMED_MESSAGE", grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("name", UNARY)
def test_a_unary_call_needs_a_deadline(live: LiveServer, name: str) -> None:
    metadata = live.metadata(next(token for role, token in TOKENS.items() if role in ALLOWED[name]))

    assert error_of(call, live, name, b"", metadata, None).reason == "DEADLINE_REQUIRED"


def test_a_message_over_the_limit_is_refused_with_a_reason(live: LiveServer) -> None:
    assert refused(live, "JobService/SubmitJob", bytes(MESSAGE_BYTES_MAX + 1)).reason == "MESSAGE_TOO_LARGE"
    with pytest.raises(grpc.RpcError) as caught:
        call(live, "JobService/SubmitJob", bytes(4 * MESSAGE_BYTES_MAX + 100), live.metadata("vendor-acme"))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert send(live, "VenueService/GetIdentity", venue_service_pb2.GetIdentityRequest()).vendor == "vendors/acme"


def test_a_broken_rule_names_the_field(live: LiveServer) -> None:
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(priority=101))
    error = refused(live, "JobService/SubmitJob", request)

    assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "job.priority")
    endless = runner_service_pb2.AttemptBeat(
        attempt="vendors/a/jobs/b/attempts/1", progress=job_pb2.JobProgress(fraction=float("nan"))
    )
    beat = runner_service_pb2.HeartbeatAttemptsRequest(instance="r/1", attempts=[endless])
    error = refused(live, "RunnerService/HeartbeatAttempts", beat, "runner")
    assert (error.reason, error.metadata["field"]) == ("INVALID_FIELD", "attempts[0].progress.fraction")


def test_an_error_is_never_longer_than_its_headers_may_be(live: LiveServer) -> None:
    """The path of a map's item holds the key that was sent."""
    body = job(labels={"k" * 100_000: "v" * 121})
    error = refused(live, "JobService/SubmitJob", job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=body))

    assert error.reason == "INVALID_FIELD"
    assert len(error.message) == len(error.metadata["field"]) == TEXT_MAX


@pytest.mark.parametrize("kind", [0, 99])
def test_a_fault_of_no_known_kind_is_refused(live: LiveServer, kind: int) -> None:
    request = venue_service_pb2.InjectUnitFaultRequest(name="venues/hall/units/arm-1", kind=kind)  # type: ignore[arg-type]

    assert refused(live, "VenueService/InjectUnitFault", request, "operator").metadata["field"] == "kind"


def test_a_fault_is_put_into_emulated_units_only(live: LiveServer) -> None:
    request = venue_service_pb2.InjectUnitFaultRequest(name="venues/hall/units/arm-1", kind="FAULT_KIND_JOINT_STUCK")

    assert "real" in refused(live, "VenueService/InjectUnitFault", request, "operator").message


@pytest.fixture(scope="module")
def owned(live: LiveServer) -> dict[str, str]:
    """Names of a job, a lease, an episode and an array of acme."""

    async def connect() -> None:
        live.core.runners["r"] = RunnerConnection("r/one", Catalogue())
        await live.core.connections_changed()

    live.run(running.register_runner("r", "r/one", 2))
    request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(0, 1))
    name = send(live, "JobService/SubmitJob", request).name
    live.act(connect())
    get = job_service_pb2.GetJobRequest(name=name)
    found = live.until(lambda: send(live, "JobService/GetJob", get), lambda answer: bool(answer.attempts))
    attempt = found.attempts[0]
    live.run(running.start(attempt.name, "r/one"))
    content = job_pb2.Artifact(sha256="ab" * 32)
    episode = runner_service_pb2.CatalogueEpisodeRequest(
        attempt=attempt.name, instance="r/one", episode=episode_pb2.Episode(robot_model="own_arm", content=content)
    )
    like = job_array_service_pb2.SubmitJobArrayRequest(parent="vendors/acme", job=job(), size=2)
    return {
        "jobs": name,
        "leases": attempt.lease,
        "episodes": live.run(running.catalogue(episode)).name,
        "jobArrays": send(live, "JobArrayService/SubmitJobArray", like).name,
    }


def test_another_vendors_lease_is_taken_out_of_lists_and_events(live: LiveServer, owned: dict[str, str]) -> None:
    """Everybody sees that the slot is taken, its holder and operators see by which lease."""
    request = venue_service_pb2.ListSimSlotsRequest(parent="venues/-")
    watch = venue_service_pb2.WatchEventsRequest()
    for who, shown in (("vendor-acme", owned["leases"]), ("operator", owned["leases"]), ("vendor-rival", "")):
        slots = send(live, "VenueService/ListSimSlots", request, who).sim_slots
        events = send(live, "VenueService/WatchEvents", watch, who).events
        assert [slot.lease for slot in slots if slot.occupied] == [shown]
        assert {event.sim_slot.lease for event in events if event.kind == "sim_slot.leased"} == {shown}
        told = b"acme" in b"".join(event.SerializeToString() for event in events)
        assert told == (who != "vendor-rival")
    jobs = job_service_pb2.ListJobsRequest(parent="vendors/rival")
    assert send(live, "JobService/ListJobs", jobs, "vendor-rival").jobs == []


def test_a_page_token_is_good_for_its_own_list_alone(live: LiveServer) -> None:
    for who in ("acme", "rival"):
        for _ in range(3):
            request = job_service_pb2.SubmitJobRequest(parent=f"vendors/{who}", job=job())
            send(live, "JobService/SubmitJob", request, f"vendor-{who}")

    def jobs(token: str, who: str = "acme", **fields: Any) -> Any:
        return job_service_pb2.ListJobsRequest(parent=f"vendors/{who}", page_size=2, page_token=token, **fields)

    first = send(live, "JobService/ListJobs", jobs(""))
    rest = send(live, "JobService/ListJobs", jobs(first.next_page_token))
    assert not {each.name for each in first.jobs} & {each.name for each in rest.jobs}
    token = first.next_page_token
    for request in (
        jobs(token[:-4] + "AAAA"), jobs("!" + token), jobs(token + "é"), jobs(token, states=[1]), jobs("AAAA"),
    ):  # fmt: skip
        assert refused(live, "JobService/ListJobs", request).reason == "PAGE_TOKEN_INVALID"
    assert refused(live, "JobService/ListJobs", jobs(token, "rival"), "vendor-rival").reason == "PAGE_TOKEN_INVALID"
    operators = job_service_pb2.ListJobsRequest(parent="vendors/acme", page_size=2, page_token=token)
    assert refused(live, "JobService/ListJobs", operators, "operator").reason == "PAGE_TOKEN_INVALID"


def test_pages_of_the_inventory_hold_each_thing_once(live: LiveServer) -> None:
    names, token = [], ""
    while True:
        request = venue_service_pb2.ListUnitsRequest(parent="venues/hall", page_size=2, page_token=token)
        answer = send(live, "VenueService/ListUnits", request)
        names += [unit.name for unit in answer.units]
        token = answer.next_page_token
        if not token:
            break

    assert names == [f"venues/hall/units/arm-{n}" for n in (1, 2, 3)]
    elsewhere = venue_service_pb2.ListUnitsRequest(parent="venues/other")
    assert refused(live, "VenueService/ListUnits", elsewhere).reason == "NOT_FOUND"
