"""GET /healthz: the process runs. GET /readyz: it can serve, because the scheduler answers."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api.settings import Settings
from api.upstream import Upstream
from palaestra.errors import PalaestraError, http_status
from palaestra.v1 import venue_service_pb2


def router() -> APIRouter:
    """Return the routes for probes; they need no token and tell nothing of the venue."""
    found = APIRouter(tags=["health"])

    @found.get("/healthz", response_model=None, summary="The process runs")
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @found.get("/readyz", response_model=None, summary="The scheduler answers")
    async def readyz(request: Request) -> JSONResponse:
        upstream: Upstream = request.app.state.upstream
        settings: Settings = request.app.state.settings
        started_s = time.perf_counter()
        try:
            await upstream.ready()
            if settings.probe_token:
                probe = venue_service_pb2.GetVenueRequest(name="venues/-")
                await upstream.call("VenueService.GetVenue", probe, token=settings.probe_token)
        except PalaestraError as error:
            details = {"status": "unavailable", "scheduler": error.reason, "detail": error.message}
            return JSONResponse(details, max(500, http_status(error)))
        checked = "database" if settings.probe_token else "connection"
        answer_ms = round(1000 * (time.perf_counter() - started_s), 1)
        return JSONResponse({"status": "ok", "scheduler": "ok", "checked": checked, "answer_ms": answer_ms})

    return found
