"""`palaestra reserve`, `reservations` and `reservation show|cancel`: claims held in advance."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.reservation_pb2 import Reservation

_Name = Annotated[str, typer.Argument(metavar="RESERVATION", help="Name of the reservation, or its last part.")]

reservation = typer.Typer(help="Show a reservation, or give it back.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("reserve")(reserve)
    app.command("reservations")(list_reservations)
    app.add_typer(reservation, name="reservation")


def reserve(
    start: Annotated[str, typer.Option(help="When, such as 2026-11-23T09:00, or +2h from now.")],
    end: Annotated[str, typer.Option(help="Until when; or else --length.")] = "",
    length: Annotated[str, typer.Option(help="For how long, such as 90min or 2h.")] = "",
    unit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[N*]KEY=VALUE[,...]", help="Units, such as 2*class=arm; keys: class, maker, model, name."
        ),
    ] = None,
    sim_slots: Annotated[int, typer.Option("--sim-slots", min=0, help="Sim slots to hold.")] = 0,
    cell: Annotated[str, typer.Option(metavar="CELL", help="Hold this cell.")] = "",
    scenario: Annotated[str, typer.Option(help="Hold a cell fitted for this scenario.")] = "",
    seats: Annotated[int, typer.Option(min=0, help="Operators' seats to hold.")] = 0,
    chargers: Annotated[int, typer.Option(min=0, help="Chargers to hold beside the units.")] = 0,
    name: Annotated[str, typer.Option("--name", help="Name for people.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, hold nothing.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Hold units, sim slots or a cell for a time; jobs that name the reservation start in it."""
    from datetime import UTC, datetime

    from palaestra import jobs
    from palaestra.cli import requests
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.cli.times import moment, span

    if bool(end) == bool(length):
        raise typer.BadParameter("give either --end or --length")
    begin = moment("--start", start, datetime.now(UTC))
    claim = jobs.claim(
        units=[requests.unit(text) for text in unit or ()],
        sim_slots=sim_slots,
        cell=jobs.cell(name=cell, scenario=scenario) if cell or scenario else None,
        seats=seats,
        chargers=chargers,
    )
    until = moment("--end", end, datetime.now(UTC)) if end else begin + span("--length", length)
    with connect(profile) as client:
        found = client.reserve(claim, begin, until, display_name=name, validate_only=dry_run)
    if as_json:
        print_json(found)
    else:
        print_line("the venue would hold this" if dry_run else found.name)


def list_reservations(
    every: Annotated[bool, typer.Option("--all", help="Also those that are over.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List your reservations, newest first."""
    from datetime import UTC

    from palaestra.cli.describe import asked
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.times import local
    from palaestra.names import last

    with connect(profile) as client:
        found = list(client.reservations(show_ended=every))
    if as_json:
        print_json(listing("reservations", found))
        return
    print_table(
        ("RESERVATION", "NAME", "STATE", "START", "END", "HOLDS", "JOBS"),
        (
            (
                last(item.name),
                item.display_name,
                _state(item),
                local(item.start_time.ToDatetime(UTC)),
                local(item.end_time.ToDatetime(UTC)),
                asked(item.claim),
                str(item.job_count or ""),
            )
            for item in found
        ),
        empty="no reservations",
    )


@reservation.command()
def show(name: _Name, profile: Profile = None, as_json: Json = False) -> None:
    """Show one reservation."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.reservation(name), as_json=as_json)


@reservation.command()
def cancel(name: _Name, profile: Profile = None, as_json: Json = False) -> None:
    """Give a reservation back; jobs that wait for it are cancelled."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.cancel_reservation(name), as_json=as_json)


def _report(found: "Reservation", *, as_json: bool) -> None:
    from datetime import UTC

    from palaestra.cli.describe import asked
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.times import local

    if as_json:
        print_json(found)
        return
    print_facts(
        [
            ("reservation", found.name),
            ("name", found.display_name),
            ("state", _state(found)),
            ("start", local(found.start_time.ToDatetime(UTC))),
            ("end", local(found.end_time.ToDatetime(UTC))),
            ("holds", asked(found.claim)),
            ("jobs", str(found.job_count or "")),
        ]
    )


def _state(found: "Reservation") -> str:
    from palaestra.v1.reservation_pb2 import ReservationState

    word = ReservationState.Name(found.state).removeprefix("RESERVATION_STATE_").lower()
    return f"{word}, degraded" if found.degraded else word
