"""`palaestra venue`, `cells` and `usage`: what there is, and how much of it was used."""

import typer

from palaestra.cli.options import Json, Profile


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


def show_usage(profile: Profile = None, as_json: Json = False) -> None:
    """Show what you have used, beside the venue's total."""
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.text import seconds
    from palaestra.names import last
    from palaestra.v1.venue_service_pb2 import VendorUsage

    def row(label: str, usage: VendorUsage) -> tuple[str, ...]:
        spans = (seconds(usage.unit_s), seconds(usage.sim_slot_s), seconds(usage.cell_s))
        return (label, *spans, str(usage.jobs), str(usage.episodes), f"{usage.dominant_share:.0%}")

    with connect(profile) as client:
        answer = client.usage()
    if as_json:
        print_json(answer)
        return
    rows = [row(last(usage.vendor), usage) for usage in answer.usage]
    if answer.HasField("total"):
        rows.append(row("all", answer.total))
    print_table(("VENDOR", "UNITS", "SIM SLOTS", "CELLS", "JOBS", "EPISODES", "SHARE NOW"), rows, empty="nothing used")
