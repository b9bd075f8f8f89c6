"""The console's files, the lite pages' style, and a plain list of the routes."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from api.pages import page
from api.settings import Settings

OWN = Path(__file__).parent / "static"


class Hashed(StaticFiles):
    """Files whose names change with their content, so that browsers may keep them for good."""

    def __init__(self, directory: Path) -> None:
        # The folder appears with the console's build, perhaps while this process runs.
        super().__init__(directory=directory, check_dir=False)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Return the file, to be kept for a year."""
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def router() -> APIRouter:
    """Return the routes of the console's page and of /docs."""
    found = APIRouter(include_in_schema=False)

    @found.get("/", response_model=None)
    async def index(request: Request) -> Response:
        settings: Settings = request.app.state.settings
        file = settings.console / "index.html"
        if not file.is_file():
            return RedirectResponse("/ui/lite?notice=console", 303)
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    @found.get("/favicon.svg", response_model=None)
    async def icon() -> Response:
        return FileResponse(OWN / "favicon.svg", media_type="image/svg+xml", headers={"Cache-Control": "max-age=86400"})

    @found.get("/static/lite.css", response_model=None)
    async def style() -> Response:
        return FileResponse(OWN / "lite.css", media_type="text/css", headers={"Cache-Control": "no-cache"})

    @found.get("/docs", response_model=None)
    async def docs(request: Request) -> Response:
        paths = request.app.openapi()["paths"]
        rows = [
            (verb.upper(), path, operation.get("summary", ""))
            for path, verbs in paths.items()
            for verb, operation in verbs.items()
        ]
        return page(request, "docs.html", {"rows": rows})

    return found
