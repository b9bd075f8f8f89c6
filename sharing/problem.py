"""Refusals over HTTP: RFC 9457 documents with a reason of the one registry, and one fixed answer for all that is not
shared, byte for byte, whatever the cause.

Consumers' clients repeat what is answered with 429 or 5xx, so no refusal has such a status.
"""

import json
import logging
import secrets

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from palaestra.errors import REASONS, PalaestraError, http_status
from sharing.errors import BadSignature, BadStep, BudgetExhausted, InvalidTerms, NotShared, SharingError

_REASONS = {
    InvalidTerms: "INVALID_FIELD",
    BadSignature: "BAD_SIGNATURE",
    BadStep: "BAD_STEP",
    BudgetExhausted: "BUDGET_EXHAUSTED",
}
MEDIA_TYPE = "application/problem+json"
_log = logging.getLogger("sharing")


def body_of(error: PalaestraError) -> bytes:
    """Return the problem document of an error."""
    document = {
        "type": f"urn:palaestra:error:{error.reason}",
        "title": REASONS[error.reason].help,
        "status": http_status(error),
        "detail": error.message,
        "reason": error.reason,
        "metadata": error.metadata,
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


NOT_SHARED = body_of(PalaestraError("NOT_FOUND", str(NotShared())))
"""The one body of 404."""


def not_shared() -> Response:
    """Return the one answer to what is missing, another's, not granted, over, embargoed or revoked."""
    return Response(NOT_SHARED, 404, media_type=MEDIA_TYPE)


def response_of(error: PalaestraError) -> Response:
    """Return the answer to a request that failed with the error."""
    if error.reason == "NOT_FOUND":
        return not_shared()
    status = http_status(error)
    headers = {"WWW-Authenticate": 'Bearer realm="palaestra"'} if status == 401 else {}
    return Response(body_of(error), status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    app.add_exception_handler(SharingError, _ours)
    app.add_exception_handler(PalaestraError, _theirs)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _parameters)
    app.add_exception_handler(Exception, _defect)


async def _ours(request: Request, error: Exception) -> Response:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            field = str(error).partition(":")[0]
            metadata = {"field": field} if reason in ("INVALID_FIELD", "BAD_SIGNATURE") else {}
            return response_of(PalaestraError(reason, str(error), metadata=metadata))
    return not_shared()


async def _theirs(request: Request, error: Exception) -> Response:
    assert isinstance(error, PalaestraError)
    return response_of(error)


async def _http(request: Request, error: Exception) -> Response:
    """What the router refuses: unknown paths look as what is not shared, the rest is plain HTTP."""
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return not_shared()
    document = {"type": "about:blank", "title": error.detail, "status": error.status_code}
    return Response(json.dumps(document), error.status_code, error.headers, media_type=MEDIA_TYPE)


async def _parameters(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"][1:])
    return response_of(PalaestraError("INVALID_FIELD", f"{field}: {first['msg']}", metadata={"field": field}))


async def _defect(request: Request, error: Exception) -> Response:
    error_id = secrets.token_hex(8)
    _log.error("defect %s at %s %s", error_id, request.method, request.url.path, exc_info=error)
    return response_of(
        PalaestraError("INTERNAL", f"a defect; the log of sharing names it {error_id}", metadata={"error_id": error_id})
    )
