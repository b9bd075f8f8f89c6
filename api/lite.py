"""/ui/lite: the venue without script, for outages, screen readers and small machines. Reloads itself every 5 s."""

import asyncio
import time
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from api import view
from api.log import read
from api.pages import page
from api.routes import own_parent
from api.session import bearer
from api.upstream import Upstream
from palaestra.errors import PalaestraError, http_status
from palaestra.v1 import (
    episode_pb2,
    episode_service_pb2,
    job_pb2,
    job_service_pb2,
    venue_pb2,
    venue_service_pb2,
)

_LINES = 60
_V = venue_service_pb2


def router() -> APIRouter:
    """Return the routes of the pages without script."""
    found = APIRouter(include_in_schema=False)

    @found.get("/ui/lite", response_model=None)
    async def venue(request: Request, notice: str = "") -> Response:
        return await _shown(request, "venue.html", _venue, {"notice": notice == "console"})

    @found.get("/ui/lite/jobs", response_model=None)
    async def jobs(request: Request) -> Response:
        return await _shown(request, "jobs.html", _jobs)

    @found.get("/ui/lite/jobs/{vendor}/{job}", response_model=None)
    async def job(request: Request, vendor: str, job: str) -> Response:
        return await _shown(request, "job.html", _job, {"name": f"vendors/{vendor}/jobs/{job}"})

    @found.post("/ui/lite/jobs/{vendor}/{job}/cancel", response_model=None)
    async def cancel(request: Request, vendor: str, job: str) -> Response:
        return await _shown(request, "job.html", _cancel, {"name": f"vendors/{vendor}/jobs/{job}"})

    @found.get("/ui/lite/episodes", response_model=None)
    async def episodes(request: Request, page: str = "") -> Response:
        return await _shown(request, "episodes.html", _episodes, {"page": page})

    return found


async def _shown(request: Request, template: str, load: Any, given: dict[str, Any] | None = None) -> Response:
    """Return a page with what `load` finds, the login form for strangers, or a page that says what is wrong."""
    given = given or {}
    try:
        token = bearer(request)
        if not token:
            return RedirectResponse("/login?next=/ui/lite", 303)
        found = await load(request.app.state.upstream, token, **given)
    except PalaestraError as error:
        if http_status(error) == 401:
            return RedirectResponse("/login?next=/ui/lite", 303)
        return page(request, "problem.html", {"error": error}, status=http_status(error))
    if isinstance(found, Response):
        return found
    return page(request, template, {"view": view, "now_s": time.time(), **found})


async def _venue(upstream: Upstream, token: str, *, notice: bool) -> dict[str, Any]:
    parent = "venues/-"
    venue, units, cells, slots, jobs = await asyncio.gather(
        upstream.call("VenueService.GetVenue", _V.GetVenueRequest(name=parent), token=token),
        _units(upstream, token),
        upstream.call("VenueService.ListCells", _V.ListCellsRequest(parent=parent, page_size=1000), token=token),
        upstream.call("VenueService.ListSimSlots", _V.ListSimSlotsRequest(parent=parent, page_size=1000), token=token),
        _listed(upstream, token, [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_GRANTED, job_pb2.JOB_STATE_RUNNING]),
    )
    return {
        "notice": notice,
        "venue": venue,
        "units": units,
        "slots": slots.sim_slots,
        "floor": view.floor(venue, cells.cells, units),
        "jobs": [view.job_row(job, now_s=time.time()) for job in jobs],
    }


async def _units(upstream: Upstream, token: str) -> list[venue_pb2.Unit]:
    request = _V.ListUnitsRequest(parent="venues/-", page_size=1000)
    found: _V.ListUnitsResponse = await upstream.call("VenueService.ListUnits", request, token=token)
    return list(found.units)


async def _listed(upstream: Upstream, token: str, states: list[job_pb2.JobState]) -> list[job_pb2.Job]:
    parent = await own_parent(upstream, token)
    request = job_service_pb2.ListJobsRequest(parent=parent, page_size=200, states=states)
    found: job_service_pb2.ListJobsResponse = await upstream.call("JobService.ListJobs", request, token=token)
    return list(found.jobs)


async def _jobs(upstream: Upstream, token: str) -> dict[str, Any]:
    return {"jobs": [view.job_row(job, now_s=time.time()) for job in await _listed(upstream, token, [])]}


async def _job(upstream: Upstream, token: str, *, name: str) -> dict[str, Any]:
    job: job_pb2.Job = await upstream.call("JobService.GetJob", job_service_pb2.GetJobRequest(name=name), token=token)
    explain, lines = await asyncio.gather(
        upstream.call("JobService.ExplainJob", job_service_pb2.ExplainJobRequest(name=name), token=token),
        read(upstream, name, token=token, tail=_LINES),
    )
    curve = view.curve_points(list(job.result.return_curve), width=560, height=140)
    row = view.job_row(job, now_s=time.time())
    return {
        "job": job,
        "row": row,
        "explain": explain,
        "lines": lines.lines,
        "curve": curve,
        "states": job_pb2.AttemptState,
    }


async def _cancel(upstream: Upstream, token: str, *, name: str) -> Response:
    await upstream.call("JobService.CancelJob", job_service_pb2.CancelJobRequest(name=name), token=token)
    vendor, job = name.split("/")[1::2]
    return RedirectResponse(f"/ui/lite/jobs/{vendor}/{job}", 303)


async def _episodes(upstream: Upstream, token: str, *, page: str) -> dict[str, Any]:
    request = episode_service_pb2.ListEpisodesRequest(
        parent=await own_parent(upstream, token), page_size=100, page_token=page
    )
    found: episode_service_pb2.ListEpisodesResponse = await upstream.call(
        "EpisodeService.ListEpisodes", request, token=token
    )
    return {"episodes": found.episodes, "next": found.next_page_token, "outcomes": episode_pb2.EpisodeOutcome}
