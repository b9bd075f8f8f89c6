"""`palaestra events`."""

from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile

_LATEST = 100


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("events")(show)


def show(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what happens from now on.")] = False,
    after: Annotated[
        int | None,
        typer.Option("--after", min=0, help=f"Sequence number to start after. Default: {_LATEST} before the latest."),
    ] = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Print what happened at the venue, as far as you may read it. With --json, one object for each event."""
    from palaestra.cli.describe import event as describe_event
    from palaestra.cli.output import print_json_line, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        latest = client.venue().sequence
        start = max(latest - _LATEST, 0) if after is None else after
        if not follow and start >= latest:
            return
        for batch in client.watch_events(start):
            for event in batch.events:
                if not follow and event.sequence > latest:
                    return
                if as_json:
                    print_json_line(event)
                else:
                    print_line(describe_event(event))
            if not follow and batch.sequence >= latest:
                return
