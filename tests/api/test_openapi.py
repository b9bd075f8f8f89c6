"""The OpenAPI document says what the server does."""

from typing import Any

import httpx
import jsonschema  # type: ignore[import-untyped]
import pytest
from google.protobuf.json_format import MessageToDict

from api.binding import BINDINGS
from api.schema import schemas
from palaestra.v1 import (
    api_key_service_pb2,
    audit_service_pb2,
    calendar_service_pb2,
    episode_service_pb2,
    estimate_service_pb2,
    fleet_service_pb2,
    job_array_service_pb2,
    job_pb2,
    job_service_pb2,
    reservation_service_pb2,
    venue_service_pb2,
)


@pytest.fixture
def document(stage: Any) -> Any:
    return stage.client().get("/openapi.json").json()


def validator(document: Any, name: str) -> Any:
    return jsonschema.Draft202012Validator(
        {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    )


def test_the_document_is_3_1_and_every_reference_has_its_schema(document: Any) -> None:
    assert document["openapi"].startswith("3.1")
    found = set(document["components"]["schemas"])

    def references(node: Any) -> Any:
        if isinstance(node, dict):
            yield from [node["$ref"].rpartition("/")[2]] if isinstance(node.get("$ref"), str) else []
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    assert set(references(document)) <= found


def test_every_route_of_the_contract_is_described_with_its_real_answer(document: Any) -> None:
    for binding in BINDINGS:
        operation = document["paths"][binding.path][binding.verb.lower()]
        schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert schema["$ref"].endswith(f"/{binding.response.DESCRIPTOR.name}")


@pytest.mark.parametrize(
    ("path", "name"),
    [("/v1/units", "ListUnitsResponse"), ("/v1/venue", "Venue"), ("/v1/usage", "ListUsageResponse"),
     ("/v1/vendors/acme/jobs", "ListJobsResponse"), ("/v1/cells", "ListCellsResponse")],
)  # fmt: skip
def test_real_answers_match_their_schemas(stage: Any, document: Any, path: str, name: str) -> None:
    client: httpx.Client = stage.client("acme-token")
    job = {"claim": {"simSlots": 1, "duration": "60s"}, "train": {"task": "reach", "robotModel": "own_arm"}}
    client.post("/v1/vendors/acme/jobs", json=job)

    validator(document, name).validate(client.get(path).json())


def test_the_schema_refuses_what_the_rules_refuse(document: Any) -> None:
    jobs = validator(document, "Job")
    good = {"claim": {"duration": "60s"}}

    assert jobs.is_valid(good)
    assert not jobs.is_valid(good | {"priority": 101})
    assert not jobs.is_valid(good | {"displayName": "x" * 121})
    assert not jobs.is_valid(good | {"unknown": 1})
    assert not jobs.is_valid({})


def test_a_problem_matches_its_schema(stage: Any, document: Any) -> None:
    validator(document, "Problem").validate(stage.client().get("/v1/venue").json())


def test_maps_enums_times_and_large_numbers_have_their_json_types() -> None:
    descriptor: Any = job_pb2.Job.DESCRIPTOR
    found = schemas([descriptor])["Job"]["properties"]

    assert found["labels"] == {"type": "object", "additionalProperties": {"type": "string"}}
    assert found["state"]["$ref"].endswith("/JobState")
    assert found["createTime"]["format"] == "date-time"
    assert found["sequence"]["type"] == "string"
    full = MessageToDict(job_pb2.Job(sequence=1 << 60, labels={"a": "b"}))
    assert full["sequence"] == str(1 << 60)


def test_every_unary_method_that_vendors_and_operators_may_call_has_a_route() -> None:
    """A method that is added to the contract without a row in the table fails here."""
    elsewhere = {"WatchEvents", "WatchJob", "ReadLog", "GetLease"}
    bound = {binding.rpc.partition(".")[2] for binding in BINDINGS}
    modules = (
        venue_service_pb2, job_service_pb2, job_array_service_pb2, episode_service_pb2, calendar_service_pb2,
        reservation_service_pb2, estimate_service_pb2, fleet_service_pb2, api_key_service_pb2, audit_service_pb2,
    )  # fmt: skip
    for module in modules:
        for service in module.DESCRIPTOR.services_by_name.values():
            assert {method.name for method in service.methods} - elsewhere <= bound


def test_the_list_of_routes_needs_no_script(stage: Any) -> None:
    page = stage.client().get("/docs").text

    assert "/v1/events" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")
