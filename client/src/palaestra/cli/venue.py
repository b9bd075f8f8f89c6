"""`palaestra venue`, `cells` and `usage`: what there is, and how much of it was used."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.usage_pb2 import MonthlyUsage


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("venue")(show)
    app.command("cells")(list_cells)
    app.command("usage")(show_usage)


def show(profile: Profile = None, as_json: Json = False) -> None:
    """Show what the venue has and knows how to do."""
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        venue = client.venue()
    if as_json:
        print_json(venue)
        return
    print_facts(
        [
            ("venue", venue.name),
            ("name", venue.display_name),
            ("floor", f"{venue.width_m:g} m x {venue.depth_m:g} m" if venue.width_m else ""),
            ("units", str(venue.unit_count)),
            ("cells", str(venue.cell_count)),
            ("sim slots", str(venue.sim_slot_count)),
            ("runners", str(venue.runner_count)),
            ("tasks", ", ".join(venue.tasks)),
            ("motions", ", ".join(venue.motions)),
            ("robot models", ", ".join(venue.robot_models)),
            ("scenarios", ", ".join(venue.scenarios)),
        ]
    )


def list_cells(profile: Profile = None, as_json: Json = False) -> None:
    """List the venue's cells."""
    from palaestra.cli.describe import level
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        cells = list(client.cells())
    if as_json:
        print_json(listing("cells", cells))
        return
    print_table(
        ("CELL", "NAME", "SCENARIO", "SECTOR", "LEVEL", "STATE"),
        (
            (
                last(cell.name),
                cell.display_name,
                cell.scenario,
                cell.sector,
                level(cell.level),
                ("yours" if cell.lease else "occupied") if cell.occupied else "free",
            )
            for cell in cells
        ),
        empty="no cells",
    )


def show_usage(
    month: Annotated[
        str | None, typer.Option(help='The books of one month, such as "2026-11" (UTC): use, refunds and what remains.')
    ] = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show what you have used; with --month, by robot class and with refunds."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.text import seconds
    from palaestra.names import last
    from palaestra.v1.venue_service_pb2 import VendorUsage

    def row(label: str, usage: VendorUsage) -> tuple[str, ...]:
        spans = (seconds(usage.unit_s), seconds(usage.sim_slot_s), seconds(usage.cell_s))
        return (label, *spans, str(usage.jobs), str(usage.episodes), f"{usage.dominant_share:.0%}")

    with connect(profile) as client:
        answer = client.usage(month=month or "")
    if as_json:
        print_json(answer)
        return
    if month is not None:
        lines = [(last(found.vendor), *line) for found in answer.months for line in _lines(found)]
        print_table(("VENDOR", "WHAT", "USED", "REFUND", "NET"), lines, empty=f"nothing used in {month}")
        return
    rows = [row(last(usage.vendor), usage) for usage in answer.usage]
    if answer.HasField("total"):
        rows.append(row("all", answer.total))
    print_table(("VENDOR", "UNITS", "SIM SLOTS", "CELLS", "JOBS", "EPISODES", "SHARE NOW"), rows, empty="nothing used")


def _lines(found: "MonthlyUsage") -> list[tuple[str, ...]]:
    """Return one line for each thing that was used in the month."""
    from palaestra.cli.text import seconds

    things = [(f"units: {line.robot_class or 'of no class'}", line) for line in found.units]
    things += [("sim slots", found.sim_slots), ("cells", found.cells)]
    return [
        (label, *(seconds(amount_s) for amount_s in (line.used_s, line.refund_s, line.net_s)))
        for label, line in things
        if line.used_s
    ]
