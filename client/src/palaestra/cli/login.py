"""`palaestra login` and `palaestra whoami`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile

_File = Annotated[Path, typer.Argument(metavar="FILE", help="Login file from the venue.", exists=True, dir_okay=False)]
_NewProfile = Annotated[str, typer.Option("--profile", metavar="NAME", help="Keep it under this name.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command()(login)
    app.command()(whoami)


def login(file: _File, profile: _NewProfile = "default", as_json: Json = False) -> None:
    """Keep a venue's login file and use it from now on."""
    from palaestra import channel
    from palaestra import login as logins
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import warn

    found = logins.parse(file.read_text("utf-8"), str(file))
    if logins.is_exposed(file):
        warn(f"{file} can be read by others: chmod 600 it or delete it")
    if not found.tls_root and not channel.is_loopback(found.address):
        warn(f"{found.address} is elsewhere and the login has no tls_root: the token travels unencrypted")
    path = logins.save(os.environ, profile, found)
    if as_json:
        facts = {"vendor": found.vendor, "role": found.role, "address": found.address}
        print_json({"profile": profile, "path": str(path), **facts})
    else:
        who = found.vendor or found.role
        print_line(f"logged in to {found.address}{f' as {who}' if who else ''} (profile {profile}, {path})")


def whoami(profile: Profile = None, as_json: Json = False) -> None:
    """Say who the venue takes you for."""
    from datetime import UTC

    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect
    from palaestra.cli.times import local

    with connect(profile) as client:
        identity = client.identity()
    if as_json:
        print_json(identity)
    else:
        scopes = [*identity.methods, *(f"project {project}" for project in identity.projects)]
        expires = local(identity.expire_time.ToDatetime(UTC)) if identity.HasField("expire_time") else ""
        print_facts(
            [
                *(("role", identity.role), ("vendor", identity.vendor), ("venue", identity.venue)),
                *(("by", identity.credential), ("only", ", ".join(scopes)), ("until", expires)),
            ]
        )
