"""`palaestra closures` and `calendar`, and for operators `palaestra closure add|remove`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.calendar_pb2 import ClosedTime, Closure

closure = typer.Typer(
    help="Operators: close units, cells, zones or the venue for a time.", rich_markup_mode=None, no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("closures")(list_closures)
    app.command("calendar")(show_calendar)
    app.add_typer(closure, name="closure")


def list_closures(profile: Profile = None, as_json: Json = False) -> None:
    """List closures that are not over."""
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        found = list(client.closures())
    if as_json:
        print_json(listing("closures", found))
        return
    print_table(
        ("CLOSURE", "WHY", "WHERE", "START", "END", "AGAIN", "RUNNING JOBS"),
        (
            (last(item.name), item.display_name, _where(item), *_period(item), item.rrule, _running(item))
            for item in found
        ),
        empty="no closures",
    )


def show_calendar(
    days: Annotated[int, typer.Option(min=1, max=60, help="How far to look ahead.")] = 14,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show when what is closed, opening hours and closures together."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.closed_times(days)
    if as_json:
        print_json(found)
        return
    print_table(
        ("CLOSED", "FROM", "TO", "RUNNING JOBS"),
        ((_where(item), *_period(item), _running(item)) for item in found.closed_times),
        empty=f"nothing is closed within {days} days",
    )


@closure.command()
def add(
    end: Annotated[str, typer.Option(help="Until when, such as 2026-11-23T18:00, or +2h from now.")],
    start: Annotated[str, typer.Option(help="From when.")] = "now",
    unit: Annotated[list[str] | None, typer.Option(help="Close this unit.")] = None,
    cell: Annotated[list[str] | None, typer.Option(help="Close this cell.")] = None,
    zone: Annotated[list[str] | None, typer.Option(help="Close this zone.")] = None,
    rrule: Annotated[str, typer.Option(help="When it recurs, by RFC 5545, such as FREQ=WEEKLY;BYDAY=SU.")] = "",
    why: Annotated[str, typer.Option(help="For people; every vendor reads it.")] = "",
    stop_running: Annotated[
        bool, typer.Option("--stop-running", help="End what runs there when it begins, instead of letting it end.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, close nothing.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Close units, cells, zones, or without any of them the venue."""
    from datetime import UTC, datetime

    from palaestra import bookings
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.cli.times import moment

    now = datetime.now(UTC)
    spec = bookings.closure(
        moment("--end", end, now),
        start=None if start == "now" else moment("--start", start, now),
        rrule=rrule,
        units=unit or (),
        cells=cell or (),
        zones=zone or (),
        stop_running=stop_running,
        display_name=why,
    )
    with connect(profile) as client:
        found = client.create_closure(spec, validate_only=dry_run)
    if as_json:
        print_json(found)
    else:
        print_line("the venue would accept this closure" if dry_run else found.name)


@closure.command()
def remove(
    name: Annotated[str, typer.Argument(metavar="CLOSURE", help="Name of the closure, or its last part.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Take a closure back."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        client.delete_closure(name)
    if as_json:
        print_json({"deleted": name})
    else:
        print_line(f"{name}: deleted")


def _where(item: "Closure | ClosedTime") -> str:
    from palaestra.names import last

    def words(kind: str, names: Iterable[str]) -> list[str]:
        return [f"{kind} {last(name)}" for name in names]

    places = [*words("unit", item.units), *words("cell", item.cells), *words("zone", item.zones)]
    return ", ".join(places) or "venue"


def _period(item: "Closure | ClosedTime") -> tuple[str, str]:
    from datetime import UTC

    from palaestra.cli.times import local

    return local(item.start_time.ToDatetime(UTC)), local(item.end_time.ToDatetime(UTC))


def _running(item: "Closure | ClosedTime") -> str:
    return "are ended" if item.stop_running else "end before"
