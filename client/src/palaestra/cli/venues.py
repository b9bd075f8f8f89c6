"""`palaestra venues`: venues as files: what they have, their floor plan, a made-up city. From the simulation room."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json

_ROOM = "sim"
_WHAT = "venues as files"
_Venue = Annotated[str, typer.Argument(metavar="VENUE", help="Its id in the list, or a file ending in .toml.")]

venues = typer.Typer(
    help="List the venue files, show one, draw its floor plan, or make up a city of them.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(venues, name="venues")


@venues.callback()
def list_venues(context: typer.Context, as_json: Json = False) -> int | None:
    """List floor, cells, scenarios, units and makers of every venue file."""
    from palaestra.cli.room import ask_room

    if context.invoked_subcommand is not None:
        return None
    return ask_room(_ROOM, ["venues", *(["--json"] if as_json else [])], what=_WHAT)


@venues.command("list")
def list_again(as_json: Json = False) -> int:
    """List floor, cells, scenarios, units and makers of every venue file."""
    from palaestra.cli.room import ask_room

    return ask_room(_ROOM, ["venues", *(["--json"] if as_json else [])], what=_WHAT)


@venues.command()
def show(venue: _Venue, as_json: Json = False) -> int:
    """Show one: zones, safety zones, cells, robots, and what sharing one simulated scene changes for each of them."""
    from palaestra.cli.room import ask_room

    return ask_room(_ROOM, ["venues", "show", venue, *(["--json"] if as_json else [])], what=_WHAT)


@venues.command()
def plan(
    venue: _Venue, out: Annotated[Path, typer.Argument(metavar="OUT.svg", help="Where to write the drawing.")]
) -> int:
    """Draw the floor plan: walls, doors, zones, cells with their scenarios, units, chargers, safety zones."""
    from palaestra.cli.room import ask_room

    return ask_room(_ROOM, ["venues", "plan", venue, str(out)], what=_WHAT)


@venues.command()
def generate(
    out: Annotated[Path, typer.Argument(metavar="FOLDER", help="One file for each hall, and city.toml with them all.")],
    units: Annotated[int, typer.Option(help="Robots in all of them together.")] = 10_000,
    scenarios: Annotated[int, typer.Option(help="Tasks at levels; each is in some cell.")] = 100,
    halls: Annotated[int, typer.Option("--venues", help="How many halls.")] = 7,
    seed: Annotated[int, typer.Option(help="The same seed makes the same city.")] = 1,
) -> int:
    """Make up a city of venues, for trials of the scheduler and the console; 10,000 units take a few seconds."""
    from palaestra.cli.room import ask_room

    numbers = [("--units", units), ("--scenarios", scenarios), ("--venues", halls), ("--seed", seed)]
    words = [word for name, value in numbers for word in (name, str(value))]
    return ask_room(_ROOM, ["venues", "generate", *words, str(out)], what=_WHAT)
