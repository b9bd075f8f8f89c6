"""Refusals of this room: one fixed answer for all that is not shared, byte for byte, whatever the cause.

Consumers' clients repeat what is answered with 429 or 5xx, so no refusal has such a status.
"""

from fastapi import FastAPI, Request
from fastapi.responses import Response

from palaestra.errors import PalaestraError
from sharing.errors import BadSignature, BadStep, BudgetExhausted, InvalidTerms, NotShared, SharingError
from web import problem
from web.problem import MEDIA_TYPE, body_of

_REASONS = {
    InvalidTerms: "INVALID_FIELD",
    BadSignature: "BAD_SIGNATURE",
    BadStep: "BAD_STEP",
    BudgetExhausted: "BUDGET_EXHAUSTED",
}
NOT_SHARED = body_of(PalaestraError("NOT_FOUND", str(NotShared())))
"""The one body of 404."""


def not_shared() -> Response:
    """Return the one answer to what is missing, another's, not granted, over, embargoed or revoked."""
    return Response(NOT_SHARED, 404, media_type=MEDIA_TYPE)


def response_of(error: PalaestraError) -> Response:
    """Return the answer to a request that failed with the error."""
    return not_shared() if error.reason == "NOT_FOUND" else problem.response_of(error)


def install(app: FastAPI) -> None:
    """Make every error of the application a problem document."""
    problem.install(app, process="sharing", respond=response_of)
    app.add_exception_handler(SharingError, _ours)


async def _ours(request: Request, error: Exception) -> Response:
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            field = str(error).partition(":")[0]
            metadata = {"field": field} if reason in ("INVALID_FIELD", "BAD_SIGNATURE") else {}
            return response_of(PalaestraError(reason, str(error), metadata=metadata))
    return not_shared()
