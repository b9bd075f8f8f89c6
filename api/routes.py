"""Handlers of the plain routes: each translates, calls once, translates back."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from google.protobuf.message import Message

from api.binding import BINDINGS, OWN_PARENT, Binding
from api.message import decode, encode, fill
from api.session import Token
from api.upstream import Upstream
from palaestra.errors import PalaestraError
from palaestra.v1 import venue_service_pb2

Handler = Callable[[Request, str], Awaitable[Response]]


def router() -> APIRouter:
    """Return the routes of the table."""
    found = APIRouter()
    for binding in BINDINGS:
        found.add_api_route(
            binding.path,
            _handler(binding),
            methods=[binding.verb],
            summary=binding.summary,
            operation_id=binding.rpc.replace(".", "_"),
            tags=[binding.rpc.partition(".")[0]],
            response_model=None,
        )
    return found


def answer(message: Message) -> Response:
    """Return a message as JSON, its etag also as the header."""
    etag = getattr(message, "etag", "")
    return Response(encode(message), headers={"ETag": f'"{etag}"'} if etag else None, media_type="application/json")


async def own_parent(upstream: Upstream, token: str) -> str:
    """Return the widest parent of jobs and the like that the caller may list: "vendors/{vendor}" or "vendors/-"."""
    request = venue_service_pb2.GetIdentityRequest()
    identity: venue_service_pb2.GetIdentityResponse = await upstream.call(
        "VenueService.GetIdentity", request, token=token
    )
    return identity.vendor or "vendors/-"


def _handler(binding: Binding) -> Handler:
    async def handle(request: Request, token: Token) -> Response:
        upstream: Upstream = request.app.state.upstream
        message = await _request(binding, request, upstream, token)
        return answer(await upstream.call(binding.rpc, message, token=token))

    return handle


async def _request(binding: Binding, request: Request, upstream: Upstream, token: str) -> Message:
    filled = binding.request()
    message: Any = filled
    bound = binding.bound
    if binding.body == "*":
        decode(await request.body() or b"{}", message)
    elif binding.body:
        decode(await request.body(), getattr(message, binding.body))
        getattr(message, binding.body).SetInParent()
    names = dict(request.path_params)
    if any("{venue}" in template for template in binding.fixed.values()):
        names["venue"] = (await upstream.venue(token=token)).rpartition("/")[2]
    for name, template in binding.fixed.items():
        setattr(message, name, template.format_map(names))
    for header, name in binding.headers.items():
        setattr(message, name, _unquoted(request.headers.get(header, "")))
    if binding.rpc in OWN_PARENT:
        message.parent = await own_parent(upstream, token)
        bound |= {"parent"}
    return fill(filled, request.query_params.multi_items(), bound=bound)


def _unquoted(value: str) -> str:
    """Return the tag inside an If-Match header; `*` asks for no particular one."""
    if value.startswith("W/"):
        raise PalaestraError("INVALID_FIELD", f"If-Match: {value[:80]!r} is weak", metadata={"field": "If-Match"})
    return "" if value == "*" else value.strip('"')
