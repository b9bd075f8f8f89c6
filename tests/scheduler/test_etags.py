"""What was read is changed only as long as it is as it was read; and read as far as somebody wants it."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from palaestra.v1 import job_service_pb2, job_service_pb2_grpc, rules_pb2
from scheduler import audit
from tests.scheduler.contract import METHODS
from tests.scheduler.site import PATIENCE_S, LiveServer, error_of, job

# Resources that have etags, by the collection in their names.
TAGGED = ("/jobs/", "/units/", "/reservations/", "/apiKeys/")
# A stop is right whatever has changed; a ticket changes nothing of the job, and is for its present lease alone.
WITHOUT = {"JobService/OpenSlot", "VenueService/StopUnit"}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("etags")) as server:
        yield server


@pytest.fixture
def jobs(live: LiveServer) -> job_service_pb2_grpc.JobServiceStub:
    return job_service_pb2_grpc.JobServiceStub(live.channel)


def test_every_method_that_changes_something_with_an_etag_takes_one() -> None:
    """Which these are is read from the contract: a new one without it fails here."""
    missing = set()
    for name, method in METHODS.items():
        fields = method.input_type.fields_by_name
        if audit.is_audited(name) and "name" in fields:
            pattern = _pattern(fields["name"])
            if any(tag in pattern for tag in TAGGED) and "etag" not in fields:
                missing.add(name)

    assert missing == WITHOUT


def test_a_read_mask_leaves_the_fields_that_it_names(
    live: LiveServer, jobs: job_service_pb2_grpc.JobServiceStub
) -> None:
    options = {"timeout": PATIENCE_S, "metadata": live.metadata("vendor-acme")}
    made = jobs.SubmitJob(job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(units=2)), **options)

    def get(*paths: str) -> Message:
        request = job_service_pb2.GetJobRequest(name=made.name)
        request.read_mask.paths.extend(paths)
        found: Message = jobs.GetJob(request, **options)
        return found

    assert {field.name for field, _ in get("name", "claim.duration").ListFields()} == {"name", "claim"}
    assert {field.name for field, _ in get("claim.duration").claim.ListFields()} == {"duration"}  # type: ignore[attr-defined]
    assert get() == get("*") == made
    listing = job_service_pb2.ListJobsRequest(parent="vendors/acme")
    listing.read_mask.paths.append("state")
    (short,) = jobs.ListJobs(listing, **options).jobs
    assert [field.name for field, _ in short.ListFields()] == ["state"]
    for path in ("nothing", "claim.nothing", "claim.units.count", "name.more", "", "*.name"):
        error = error_of(get, path)
        assert (error.reason, error.metadata["path"]) == ("UNKNOWN_FIELD_PATH", path)
    assert error_of(get, *["name"] * 65).reason == "INVALID_FIELD"


def _pattern(field: FieldDescriptor) -> str:
    options: Any = field.GetOptions()
    return str(options.Extensions[rules_pb2.rules].pattern)
