"""The gate of the real server: every method, every role, every kind of bad input."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from palaestra.channel import authorization
from palaestra.errors import PalaestraError
from palaestra.v1 import (
    episode_pb2,
    episode_service_pb2,
    estimate_service_pb2,
    fleet_service_pb2,
    host_service_pb2,
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
from tests.scheduler.site import PATIENCE_S, LiveServer, error_of, job

CLIENTS, EVERYBODY = {"vendor", "operator"}, {"vendor", "operator", "host", "runner"}
# Who may call what, written down a second time. A new method has to be entered here by somebody who thought about it.
ALLOWED: dict[str, set[str]] = {
    "JobService/SubmitJob": {"vendor"},
    "JobService/BatchSubmitJobs": {"vendor"},
    "JobService/GetJob": CLIENTS,
    "JobService/ListJobs": CLIENTS,
    "JobService/CancelJob": CLIENTS,
    "JobService/ExplainJob": CLIENTS,
    "JobService/WhatIf": {"vendor"},
    "EstimateService/GetEstimateCalibration": CLIENTS,
    "JobService/WatchJob": CLIENTS,
    "JobService/ReadLog": CLIENTS,
    "JobArrayService/SubmitJobArray": {"vendor"},
    "JobArrayService/GetJobArray": CLIENTS,
    "JobArrayService/CancelJobArray": CLIENTS,
    "EpisodeService/GetEpisode": CLIENTS,
    "EpisodeService/ListEpisodes": CLIENTS,
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
    "VenueService/StopUnit": {"operator"},
    "FleetService/SetUnitHealth": {"operator"},
    "FleetService/CalibrateUnit": {"operator"},
    "RunnerService/WatchAssignments": {"runner"},
    "RunnerService/StartAttempt": {"runner"},
    "RunnerService/HeartbeatAttempts": {"runner"},
    "RunnerService/AppendLog": {"runner"},
    "RunnerService/CatalogueEpisode": {"runner"},
    "RunnerService/SaveCheckpoint": {"runner"},
    "RunnerService/FinishAttempt": {"runner"},
    "HostService/Connect": {"host"},
}
TOKENS = {"vendor": "vendor-acme", "operator": "operator", "host": "host", "runner": "runner"}
FILES = (
    job_service_pb2, job_array_service_pb2, episode_service_pb2, estimate_service_pb2, venue_service_pb2,
    fleet_service_pb2, runner_service_pb2, host_service_pb2,
)  # fmt: skip
METHODS: dict[str, MethodDescriptor] = {
    f"{service.name}/{method.name}": method
    for file in FILES
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
UNARY = [name for name, method in METHODS.items() if not method.server_streaming]
MALFORMED = b"\xff\xff\xff"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("live")) as server:
        yield server


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
def test_a_method_is_open_to_its_roles_alone(live: LiveServer, name: str) -> None:
    for role, token in TOKENS.items():
        try:
            call(live, name, b"", live.metadata(token))
        except grpc.RpcError:
            error = error_of(call, live, name, b"", live.metadata(token))
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
    who = TOKENS[sorted(ALLOWED[name])[0]]
    error = refused(live, name, MALFORMED, who)

    assert (error.reason, error.code) == ("MALFORMED_MESSAGE", grpc.StatusCode.INVALID_ARGUMENT)


@pytest.mark.parametrize("name", UNARY)
def test_a_unary_call_needs_a_deadline(live: LiveServer, name: str) -> None:
    metadata = live.metadata(TOKENS[sorted(ALLOWED[name])[0]])

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


# Methods of vendors whose request names something of a vendor: the request for a name, and what kind it is.
TAKES_A_NAME = {
    "JobService/GetJob": "jobs", "JobService/CancelJob": "jobs", "JobService/ExplainJob": "jobs",
    "JobService/WatchJob": "jobs", "JobService/ReadLog": "jobs", "VenueService/GetLease": "leases",
    "EpisodeService/GetEpisode": "episodes", "JobArrayService/GetJobArray": "jobArrays",
    "JobArrayService/CancelJobArray": "jobArrays",
}  # fmt: skip
TAKES_A_VENDOR = {
    "JobService/SubmitJob", "JobService/BatchSubmitJobs", "JobService/ListJobs", "EpisodeService/ListEpisodes",
    "VenueService/ListLeases", "VenueService/ListUsage", "JobArrayService/SubmitJobArray", "JobService/WhatIf",
}  # fmt: skip
# Methods that vendors may call and that name the venue.
VENUE_ONLY = ("GetVenue", "ListUnits", "GetUnit", "ListCells", "ListSimSlots", "GetEstimateCalibration")


def test_every_method_that_takes_a_vendors_name_is_looked_at() -> None:
    for name, method in METHODS.items():
        fields = method.input_type.fields_by_name
        if "vendor" in ALLOWED[name] and ("name" in fields or "parent" in fields):
            venue_only = name.split("/")[1] in VENUE_ONLY
            assert (name in TAKES_A_NAME) + (name in TAKES_A_VENDOR) + venue_only == 1, name


@pytest.mark.parametrize("name", TAKES_A_NAME)
def test_another_vendors_thing_and_no_such_thing_are_the_same_bytes(
    live: LiveServer, owned: dict[str, str], name: str
) -> None:
    kind = TAKES_A_NAME[name]
    there = owned[kind]
    missing = there[:-4] + "zzzz"
    forged = there.replace("vendors/acme", "vendors/rival")
    answers = [answer_bytes(live, name, {"name": asked}, asked) for asked in (there, missing)]

    assert answers[0] == answers[1]
    assert answers[0][0] is grpc.StatusCode.NOT_FOUND
    assert answer_bytes(live, name, {"name": forged}, forged)[0] is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("name", sorted(TAKES_A_VENDOR))
def test_another_vendor_and_no_such_vendor_are_the_same_bytes(live: LiveServer, name: str) -> None:
    more: dict[str, Any] = {"job": job()} if name.endswith(("SubmitJob", "WhatIf")) else {}
    answers = []
    for asked in ("vendors/acme", "vendors/none", "vendors/-"):
        if name.endswith("BatchSubmitJobs"):
            more = {"requests": [{"parent": asked, "job": job()}]}
        if name.endswith("SubmitJobArray"):
            more = {"job": job(), "size": 2}
        if asked == "vendors/-" and name.startswith("Job") and ("Submit" in name or name.endswith("WhatIf")):
            asked = "vendors/---"
        answers.append(answer_bytes(live, name, {"parent": asked, **more}, asked))

    assert answers[0] == answers[1]
    assert {answer[0] for answer in answers} == {grpc.StatusCode.NOT_FOUND}


def answer_bytes(live: LiveServer, name: str, fields: dict[str, Any], asked: str) -> tuple[Any, ...]:
    """Return all that rival is answered, with what it asked for taken out."""
    request = GetMessageClass(METHODS[name].input_type)(**fields)
    with pytest.raises(grpc.RpcError) as caught:
        call(live, name, request.SerializeToString(), live.metadata("vendor-rival"))
    error = caught.value
    metadata = [(key, bytes(value).replace(asked.encode(), b"ASKED")) for key, value in error.trailing_metadata()]
    return error.code(), error.details().replace(asked, "ASKED"), metadata


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
