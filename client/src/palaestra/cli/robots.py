"""`palaestra robots`, `robots show`, `robots retarget`: the catalogue of robot models, from the simulation room."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json

_ROOM = "sim"

robots = typer.Typer(
    help="List the robot models that the simulation knows, or show one.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(robots, name="robots")


@robots.callback()
def list_robots(context: typer.Context, as_json: Json = False) -> int | None:
    """List maker, class, joints, licence and source of every robot model, those that are not installed too."""
    from palaestra.cli.room import ask_room

    if context.invoked_subcommand is not None:
        return None
    return ask_room(_ROOM, ["robots", *(["--json"] if as_json else [])], what="the robot catalogue")


@robots.command()
def show(
    name: Annotated[str, typer.Argument(metavar="ROBOT", help="Its id in the list.")],
    picture: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw it.")] = None,
    as_json: Json = False,
) -> int:
    """Show one robot model: joints, limits, canonical names, battery and mass, each number with its source."""
    from palaestra.cli.room import ask_room

    words = ["show", name, *(["--picture", str(picture)] if picture else []), *(["--json"] if as_json else [])]
    return ask_room(_ROOM, words, what="the robot catalogue")


@robots.command()
def retarget(
    recording: Annotated[str, typer.Argument(metavar="FORMAT=FILE", help="A format of configs/recordings, its .npz.")],
    robot: Annotated[str, typer.Argument(metavar="ROBOT", help="A humanoid's id in the list.")],
    out: Annotated[Path | None, typer.Option(metavar="OUT.npz", help="Write the robot's own angles.")] = None,
    picture: Annotated[Path | None, typer.Option(metavar="OUT.png", help="Draw feet's and hands' paths.")] = None,
    frames: Annotated[int, typer.Option(help="At most so many.")] = 500,
    period_s: Annotated[
        float | None, typer.Option(help="From frame to frame [s]; by default what the recording's speeds tell.")
    ] = None,
) -> int:
    """Carry a recorded motion to a robot by inverse kinematics, within its limits of position and speed."""
    from palaestra.cli.room import ask_room

    words = ["retarget", recording, robot, "--frames", str(frames)]
    words += ["--period-s", str(period_s)] if period_s is not None else []
    for name, path in (("--out", out), ("--picture", picture)):
        words += [name, str(path)] if path is not None else []
    return ask_room(_ROOM, words, what="retargeting")
