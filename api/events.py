"""GET /v1/events: the venue's changes as server-sent events."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing

from fastapi import APIRouter, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.fanout import Fanout, frames
from api.session import Token
from api.settings import Settings
from api.upstream import Upstream
from palaestra.errors import PalaestraError

_log = logging.getLogger("api")


class EventStream(StreamingResponse):
    """A stream whose reader must take each piece within `stall_s`, or is let go. Gives back `lent` at its end."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncGenerator[bytes, None], lent: AsyncExitStack, *, stall_s: float) -> None:
        super().__init__(content, headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._content = content
        self._lent = lent
        self._stall_s = stall_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until the reader leaves, stalls, or is let go."""
        async with self._lent, aclosing(self._content):
            await super().__call__(scope, receive, send)

    async def stream_response(self, send: Send) -> None:
        """Send what there is, as fast as the reader takes it."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for piece in self._content:
                async with asyncio.timeout(self._stall_s):
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            # The body stays without its end; the socket's own limit (TCP_USER_TIMEOUT) cuts the connection.
            _log.info("let go a reader of events that took nothing for %g s", self._stall_s)
            return
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def router() -> APIRouter:
    """Return the route of the live stream."""
    found = APIRouter()

    @found.get("/v1/events", response_model=None, tags=["VenueService"], operation_id="VenueService_WatchEvents",
               summary="Live changes; resume with Last-Event-ID or ?after=")  # fmt: skip
    async def events(request: Request, token: Token, after: str = "") -> EventStream:
        settings: Settings = request.app.state.settings
        fanout: Fanout = request.app.state.fanout
        upstream: Upstream = request.app.state.upstream
        cursor = _cursor(request.headers.get("last-event-id") or after)
        # The feed is taken before the answer starts, so that a refused token is a plain 401.
        lent = AsyncExitStack()
        feed = await lent.enter_async_context(fanout.feed(token))
        pieces = frames(upstream, feed, token, after=cursor, heartbeat_s=settings.heartbeat_s)
        return EventStream(pieces, lent, stall_s=settings.stall_s)

    return found


def _cursor(text: str) -> int | None:
    if not text:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise PalaestraError("INVALID_FIELD", f"{text[:40]!r} is no event number", metadata={"field": "after"})
    return int(text)
