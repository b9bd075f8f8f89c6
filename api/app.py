"""The application: all routes, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import console, content, events, health, lite, log, login, picture, routes
from api.fanout import Fanout
from api.openapi import document
from api.session import Sessions
from api.settings import Settings
from api.upstream import Upstream
from store.objects import open_objects
from web.bounds import Bounds
from web.problem import install, response_of

# No inline script, no inline style, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that, browsers send `Origin: null` from our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Application(FastAPI):
    """FastAPI with our OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = document(self)
        return self.openapi_schema


def create_app(settings: Settings) -> FastAPI:
    """Return the application of one api process."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        upstream = Upstream(settings.scheduler, timeout_s=settings.call_timeout_s, tls=settings.upstream_tls)
        app.state.upstream = upstream
        app.state.fanout = Fanout(upstream, settings)
        yield
        app.state.fanout.stop()
        await upstream.close()

    # FastAPI's own pages for /docs load scripts from elsewhere; console.py has one that does not.
    app = Application(title="Palaestra", docs_url=None, redoc_url=None, lifespan=lifespan, redirect_slashes=False)
    app.state.settings = settings
    app.state.sessions = Sessions(length_s=settings.session_s)
    app.state.objects = open_objects(settings.objects_at or str(settings.objects), settings.objects)
    for part in (health, routes, log, events, content, picture, login, lite, console):
        app.include_router(part.router())
    app.mount("/assets", console.Hashed(settings.console / "assets"))
    install(app, process="api")
    app.add_middleware(
        Bounds,
        loopback_only=settings.loopback_only,
        headers=HEADERS,
        respond=response_of,
        body_bytes=settings.body_bytes,
    )
    return app
