"""GET .../log: the lines of a job's log, bounded."""

from collections import deque
from contextlib import aclosing
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from api.routes import answer
from api.session import Token
from api.upstream import Upstream
from palaestra.v1 import job_service_pb2

MOST_LINES = 10_000


def router() -> APIRouter:
    """Return the route of a job's log."""
    found = APIRouter()

    @found.get("/v1/vendors/{vendor}/jobs/{job}/log", response_model=None, tags=["JobService"],
               operation_id="JobService_ReadLog",
               summary="Lines of a job's log, from the start or the last ones")  # fmt: skip
    async def log(
        request: Request,
        token: Token,
        vendor: str,
        job: str,
        from_line: Annotated[int, Query(alias="fromLine", ge=0, lt=1 << 62)] = 0,
        tail: Annotated[int, Query(ge=0, le=MOST_LINES)] = 0,
    ) -> Response:
        name = f"vendors/{vendor}/jobs/{job}"
        upstream: Upstream = request.app.state.upstream
        return answer(await read(upstream, name, token=token, from_line=from_line, tail=tail))

    return found


async def read(
    upstream: Upstream, name: str, *, token: str, from_line: int = 0, tail: int = 0
) -> job_service_pb2.ReadLogResponse:
    """Return the first 10,000 lines from `from_line`, or the last `tail` of them. Raises PalaestraError."""
    lines: deque[job_service_pb2.LogLine] = deque(maxlen=tail or None)
    request = job_service_pb2.ReadLogRequest(name=name, from_line=from_line)
    async with aclosing(upstream.stream("JobService.ReadLog", request, token=token)) as responses:
        async for response in responses:
            lines.extend(response.lines)
            if not tail and len(lines) >= MOST_LINES:
                break
    kept = list(lines) if tail else list(lines)[:MOST_LINES]
    return job_service_pb2.ReadLogResponse(lines=kept)
