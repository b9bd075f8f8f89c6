"""`palaestra check`: files of robots, venues and jobs, before anything reads them in earnest."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json

_ROOM = "sim"


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command()(check)


def check(
    path: Annotated[
        Path | None, typer.Argument(metavar="PATH", help="A .toml file, a model (.xml), or a folder of .toml files.")
    ] = None,
    schemas: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write the files' JSON Schemas there, for editors.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Check files of robots, venues, jobs and models: 0 right, 1 with mistakes, each with line and reason."""
    from palaestra.cli.room import ask_room

    if (path is None) == (schemas is None):
        raise typer.BadParameter("name a path to check, or a folder for --schemas")
    if schemas is not None:
        return ask_room(_ROOM, ["schemas", str(schemas)], what="the check")
    return ask_room(_ROOM, ["check", str(path), *(["--json"] if as_json else [])], what="the check")
