"""For operators: `palaestra cordon|drain|release|stop`, and for vendors too `palaestra reorder`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import JobName, Json, Profile, Reason

if TYPE_CHECKING:
    from palaestra.operations import Place

_Units = Annotated[list[str] | None, typer.Option("--unit", metavar="UNIT", help="This unit. Repeatable.")]
_Cells = Annotated[list[str] | None, typer.Option("--cell", metavar="CELL", help="This cell. Repeatable.")]
_Zones = Annotated[list[str] | None, typer.Option("--zone", metavar="ZONE", help="This zone. Repeatable.")]
_Venue = Annotated[bool, typer.Option("--venue", help="The whole venue.")]
_End = Annotated[str, typer.Option("--end", help="Until when, such as 2026-11-23T18:00, or +2h; else until released.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    for command in (cordon, drain, release, stop, reorder):
        app.command()(command)


def cordon(
    unit: _Units = None,
    cell: _Cells = None,
    zone: _Zones = None,
    venue: _Venue = False,
    end: _End = "",
    reason: Reason = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Operators: let nothing new begin at a place. What runs there goes on to its end."""
    _close(_place(unit, cell, zone, venue=venue), end, reason, profile, drain=False, as_json=as_json)


def drain(
    unit: _Units = None,
    cell: _Cells = None,
    zone: _Zones = None,
    venue: _Venue = False,
    end: _End = "",
    reason: Reason = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Operators: cordon a place, and end what runs there in good order; it goes on elsewhere or later."""
    _close(_place(unit, cell, zone, venue=venue), end, reason, profile, drain=True, as_json=as_json)


def release(
    unit: _Units = None,
    cell: _Cells = None,
    zone: _Zones = None,
    venue: _Venue = False,
    reason: Reason = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Operators: open a place that was cordoned or drained; a unit in quarantine is checked before its next job."""
    from palaestra.cli.output import print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        changed = client.operations.release(_place(unit, cell, zone, venue=venue), reason=reason)
    if as_json:
        print_json({"released": changed})
    else:
        _print_lines([f"{name}: released" for name in changed], "nothing there was cordoned, drained or out")


def stop(
    cell: Annotated[str, typer.Option(metavar="CELL", help="All units of this cell.")] = "",
    venue: _Venue = False,
    reason: Reason = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Operators: ask all units of a cell or the venue for a protective stop. Not a safety-rated emergency stop."""
    from palaestra.cli.output import print_json
    from palaestra.cli.session import connect

    if bool(cell) == venue:
        raise typer.BadParameter("say either --cell or --venue; one unit is stopped by `palaestra unit stop`")
    with connect(profile) as client:
        units = (
            client.operations.stop_venue(reason=reason) if venue else client.operations.stop_cell(cell, reason=reason)
        )
    if as_json:
        print_json({"units": units})
    else:
        _print_lines([f"{name}: asked to stop" for name in units], "there is no unit there")


def reorder(
    name: JobName,
    priority: Annotated[int, typer.Option(min=-100, max=100, help="As of `palaestra submit`; higher goes first.")],
    reason: Annotated[str, typer.Option(metavar="WORDS", help="Why; the job's vendor reads it.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Move a job among those of its vendor, by another priority."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        job = client.operations.reorder(name, priority, reason=reason)
    if as_json:
        print_json(job)
    else:
        print_line(f"{job.name}: priority {job.priority}")


def _print_lines(lines: list[str], otherwise: str) -> None:
    from palaestra.cli.output import print_line

    for line in lines or [otherwise]:
        print_line(line)


def _place(units: list[str] | None, cells: list[str] | None, zones: list[str] | None, *, venue: bool) -> "Place":
    from palaestra.operations import Place

    if venue == bool(units or cells or zones):
        raise typer.BadParameter("say which: --unit, --cell, --zone, or --venue for all of it")
    return Place(units or (), cells or (), zones or (), venue)


def _close(place: "Place", end: str, reason: str, profile: str | None, *, drain: bool, as_json: bool) -> None:
    from datetime import UTC, datetime

    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.cli.times import moment

    until = moment("--end", end, datetime.now(UTC)) if end else None
    with connect(profile) as client:
        found = client.operations.cordon(place, reason=reason, end=until, drain=drain)
    if as_json:
        print_json(found)
    else:
        print_line(found.name)
