"""`palaestra scenarios`: the tasks of eight sectors, from the simulation room."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json

_ROOM = "sim"
_WHAT = "the catalogue of scenarios"

scenarios = typer.Typer(help="List, show, run and check scenarios.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(scenarios, name="scenarios")


def _ask(words: list[str], as_json: bool) -> int:
    from palaestra.cli.room import ask_room

    return ask_room(_ROOM, ["scenarios", *words, *(["--json"] if as_json else [])], what=_WHAT)


_Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="Its id in the list, or a .toml file.")]
_Robot = Annotated[str | None, typer.Option(metavar="ROBOT", help="A robot of the catalogue; our own by default.")]


@scenarios.command("list")
def list_scenarios(
    sector: Annotated[str | None, typer.Option(metavar="SECTOR", help="Of one sector only.")] = None,
    as_json: Json = False,
) -> int:
    """List all scenarios: sector, kind of task, robot classes."""
    return _ask(["list", *(["--sector", sector] if sector else [])], as_json)


@scenarios.command()
def show(
    scenario: _Scenario,
    picture: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw it.")] = None,
    level: Annotated[int, typer.Option(min=1, max=4, help="Environment level of the picture.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the picture.")] = 0,
    robot: _Robot = None,
    as_json: Json = False,
) -> int:
    """Show one scenario: demand, conditions, fixtures, levels, limits, economics."""
    words = ["show", scenario, "--level", str(level), "--seed", str(seed)]
    words += ["--picture", str(picture)] if picture else []
    return _ask([*words, *(["--robot", robot] if robot else [])], as_json)


@scenarios.command()
def run(
    scenario: _Scenario,
    level: Annotated[list[int] | None, typer.Option(min=1, max=4, help="All four by default.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0.")] = 1,
    policy: Annotated[list[str] | None, typer.Option(help="pass, fail or idle; all by default.")] = None,
    robot: _Robot = None,
    as_json: Json = False,
) -> int:
    """Run its scripted policies: 0 where only the one that should pass succeeds, else 1."""
    words = ["run", scenario, "--seeds", str(seeds)]
    for each in level or ():
        words += ["--level", str(each)]
    for name in policy or ():
        words += ["--policy", name]
    return _ask([*words, *(["--robot", robot] if robot else [])], as_json)


@scenarios.command()
def check(
    path: Annotated[Path | None, typer.Argument(metavar="PATH", help="A file or folder; else all.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many, from 0.")] = 1,
    as_json: Json = False,
) -> int:
    """Check files, then prove by trials at every level that success can be reached, and missed: 0 right, 1 not."""
    return _ask(["check", *([str(path)] if path else []), "--seeds", str(seeds)], as_json)
