"""Errors as RFC 9457 documents, made in one place from the registry."""

import json
import logging
import secrets
from collections.abc import Callable

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from palaestra.errors import REASONS, PalaestraError, http_status

MEDIA_TYPE = "application/problem+json"


def body_of(error: PalaestraError) -> bytes:
    """Return the problem document of an error. Depends on nothing else, so hidden and missing look the same."""
    document = {
        "type": f"urn:palaestra:error:{error.reason}",
        "title": REASONS[error.reason].help,
        "status": http_status(error),
        "detail": error.message,
        "reason": error.reason,
        "metadata": error.metadata,
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")


def response_of(error: PalaestraError) -> Response:
    """Return the answer to a request that failed with the error."""
    status = http_status(error)
    headers = {}
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="palaestra"'
    return Response(body_of(error), status, headers, media_type=MEDIA_TYPE)


def install(app: FastAPI, *, process: str, respond: Callable[[PalaestraError], Response] = response_of) -> None:
    """Make every error of the application a problem document.

    Args:
        process: Whose log names a defect.
        respond: Makes the answer of an error.
    """
    log = logging.getLogger(process)

    async def ours(request: Request, error: Exception) -> Response:
        assert isinstance(error, PalaestraError)
        return respond(error)

    async def http(request: Request, error: Exception) -> Response:
        """What the router refuses: unknown paths are NOT_FOUND, the rest is plain HTTP without a reason of ours."""
        assert isinstance(error, HTTPException)
        if error.status_code == 404:
            return respond(PalaestraError("NOT_FOUND", "there is no such resource"))
        document = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return Response(json.dumps(document), error.status_code, error.headers, media_type=MEDIA_TYPE)

    async def parameters(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"][1:])
        return respond(PalaestraError("INVALID_FIELD", f"{field}: {first['msg']}", metadata={"field": field}))

    async def defect(request: Request, error: Exception) -> Response:
        error_id = secrets.token_hex(8)
        log.error("defect %s at %s %s", error_id, request.method, request.url.path, exc_info=error)
        said = f"a defect; the log of {process} names it {error_id}"
        return respond(PalaestraError("INTERNAL", said, metadata={"error_id": error_id}))

    app.add_exception_handler(PalaestraError, ours)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(RequestValidationError, parameters)
    app.add_exception_handler(Exception, defect)
