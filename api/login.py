"""Logging in: a token becomes a session cookie. Tokens never stand in an address."""

import json
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from api.message import encode
from api.pages import page
from api.session import Sessions, bearer, check_origin
from api.settings import Settings
from api.upstream import Upstream
from palaestra.errors import PalaestraError, http_status
from palaestra.v1 import venue_service_pb2

_AFTER = ("/", "/ui/lite")


def router() -> APIRouter:
    """Return the routes of logging in and out."""
    found = APIRouter(tags=["session"])

    @found.get("/login", response_model=None, summary="Page with a field for the token", include_in_schema=False)
    async def form(request: Request, next: str = "/") -> Response:
        return page(request, "login.html", {"next": _local(next), "problem": ""})

    @found.post("/login", response_model=None, summary='Open a session; body {"token": ...} or a form')
    async def login(request: Request) -> Response:
        if "origin" in request.headers:
            check_origin(request)
        given, by_form = _read(request, await request.body())
        upstream: Upstream = request.app.state.upstream
        try:
            identity: venue_service_pb2.GetIdentityResponse = await upstream.call(
                "VenueService.GetIdentity", venue_service_pb2.GetIdentityRequest(), token=given["token"]
            )
        except PalaestraError as error:
            if not by_form:
                raise
            context = {"next": _local(given["next"]), "problem": _sentence(error)}
            return page(request, "login.html", context, status=http_status(error))
        response = (
            RedirectResponse(_local(given["next"]), 303)
            if by_form
            else Response(encode(identity), media_type="application/json")
        )
        _set_cookie(request, response, given["token"])
        return response

    @found.get("/session", response_model=None, summary="Whether the cookie stands for an open session")
    async def session(request: Request) -> Response:
        return JSONResponse({"open": bool(bearer(request))})

    @found.post("/logout", response_model=None, summary="End the session")
    async def logout(request: Request) -> Response:
        settings: Settings = request.app.state.settings
        sessions: Sessions = request.app.state.sessions
        bearer(request)  # checks where the request comes from
        sessions.close(request.cookies.get(settings.cookie, ""))
        by_form = "json" not in request.headers.get("accept", "")
        response = RedirectResponse("/login", 303) if by_form else Response(status_code=204)
        response.delete_cookie(settings.cookie, path="/", httponly=True, samesite="strict")
        return response

    return found


def _set_cookie(request: Request, response: Response, token: str) -> None:
    settings: Settings = request.app.state.settings
    sessions: Sessions = request.app.state.sessions
    response.set_cookie(
        settings.cookie,
        sessions.open(token),
        max_age=int(settings.session_s),
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def _read(request: Request, body: bytes) -> tuple[dict[str, str], bool]:
    """Return token and target of a login, and whether they came by form. Raises INVALID_FIELD."""
    by_form = request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    given: Any
    try:
        given = dict(parse_qsl(body.decode(), max_num_fields=10)) if by_form else json.loads(body)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict) or not isinstance(given.get("token", "" if by_form else None), str):
        raise PalaestraError("INVALID_FIELD", 'the body is not {"token": ...}', metadata={"field": "token"})
    return {"token": given.get("token", "").strip(), "next": str(given.get("next", "/"))}, by_form


def _local(target: str) -> str:
    """Return where to go after logging in: one of our own pages, whatever was asked for."""
    return target if target in _AFTER else "/"


def _sentence(error: PalaestraError) -> str:
    if error.reason == "BAD_TOKEN":
        return "This venue does not know that token."
    return "The scheduler does not answer. Try again in a moment." if http_status(error) == 503 else error.message
