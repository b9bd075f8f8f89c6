"""The OpenAPI 3.1 document: FastAPI's list of routes with the contract's own schemas in it."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from google.protobuf.message import Message

from api.binding import BINDINGS, OWN_PARENT, Binding
from api.message import parameters
from api.schema import REFERENCE, field_schema, schemas
from palaestra.errors import REASONS
from palaestra.v1 import event_pb2, job_service_pb2
from web.problem import MEDIA_TYPE

_PROBLEM = {
    "type": "object",
    "description": "RFC 9457 problem with a reason of the registry.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "examples": ["urn:palaestra:error:NOT_FOUND"]},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "reason": {"type": "string", "enum": sorted(REASONS)},
        "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
_STREAMS = {
    "/v1/events": "text/event-stream",
    "/v1/vendors/{vendor}/episodes/{episode}/content": "application/vnd.apache.parquet",
    "/v1/vendors/{vendor}/episodes/{episode}/picture": "image/png",
    "/v1/vendors/{vendor}/jobs/{job}/export": "application/zip",
}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of the application's routes."""
    found = get_openapi(
        title="Palaestra",
        version="v1",
        openapi_version="3.1.0",
        description="REST of a training ground. Bodies are the canonical JSON of the messages in proto/palaestra/v1.",
        routes=app.routes,
    )
    for binding in BINDINGS:
        _describe(found["paths"][binding.path][binding.verb.lower()], binding)
    log = found["paths"]["/v1/vendors/{vendor}/jobs/{job}/log"]["get"]
    log["responses"] = _responses(_json(job_service_pb2.ReadLogResponse))
    for path, media_type in _STREAMS.items():
        found["paths"][path]["get"]["responses"] = _responses({media_type: {}})
    roots: list[type[Message]] = [event_pb2.Event, job_service_pb2.ReadLogResponse]
    for binding in BINDINGS:
        roots += [binding.request, binding.response]
    found["components"] = {
        "schemas": schemas(_descriptor(root) for root in roots) | {"Problem": _PROBLEM},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    }
    found["security"] = [{"token": []}]
    for path in ("/healthz", "/readyz", "/login", "/session"):
        for operation in found["paths"][path].values():
            operation["security"] = []
    return found


def _describe(operation: dict[str, Any], binding: Binding) -> None:
    bound = binding.bound | ({"parent"} if binding.rpc in OWN_PARENT else set())
    operation["parameters"] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in _in_path(binding.path)
    ]
    operation["parameters"] += [
        {"name": name, "in": "header", "required": False, "schema": {"type": "string"}} for name in binding.headers
    ]
    if binding.body != "*":
        operation["parameters"] += [
            {"name": field.json_name, "in": "query", "required": False, "schema": field_schema(field)}
            for field in parameters(binding.request, bound=bound)
        ]
    if binding.body:
        whole = _descriptor(binding.request)
        message = whole if binding.body == "*" else whole.fields_by_name[binding.body].message_type
        schema = {"$ref": REFERENCE + message.name}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    operation["responses"] = _responses(_json(binding.response))


def _descriptor(message: type[Message]) -> Any:
    return message.DESCRIPTOR


def _json(message: type[Message]) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": REFERENCE + message.DESCRIPTOR.name}}}


def _responses(content: dict[str, Any]) -> dict[str, Any]:
    problem = {
        "description": "A problem",
        "content": {MEDIA_TYPE: {"schema": {"$ref": REFERENCE + "Problem"}}},
    }
    return {"200": {"description": "OK", "content": content}, "default": problem}


def _in_path(path: str) -> list[str]:
    return [part.partition("}")[0] for part in path.split("{")[1:]]
