"""The application: all routes, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI

from api import console, content, events, health, lite, log, login, problem, routes
from api.fanout import Fanout
from api.guard import Guard
from api.openapi import document
from api.session import Sessions
from api.settings import Settings
from api.upstream import Upstream
from store.objects import open_objects


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
    for part in (health, routes, log, events, content, login, lite, console):
        app.include_router(part.router())
    app.mount("/assets", console.Hashed(settings.console / "assets"))
    problem.install(app)
    app.add_middleware(Guard, body_bytes=settings.body_bytes, loopback_only=settings.loopback_only)
    return app
