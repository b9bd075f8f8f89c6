"""`palaestra share keys|keys create|keys retire`."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile

Key = Annotated[str, typer.Option("--key", metavar="FILE", help="Your private key; without: the login's own.")]

keys = typer.Typer(help="The keys that you sign with.", rich_markup_mode=None, invoke_without_command=True)


@keys.callback()
def list_keys(context: typer.Context, profile: Profile = None, as_json: Json = False) -> None:
    """List your public keys; `create` makes one, `retire` ends one."""
    if context.invoked_subcommand is not None:
        return
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.keys()
    if as_json:
        print_json({"keys": found})
        return
    rows = (
        (one["public_key"], day(one["registered_s"]), f"retired {day(one['retired_s'])}" if one["retired_s"] else "")
        for one in found
    )
    print_table(("PUBLIC KEY", "REGISTERED", "STATE"), rows, empty="no keys; `palaestra share keys create` makes one")


@keys.command()
def create(key: Key = "", profile: Profile = None, as_json: Json = False) -> None:
    """Make a key on this machine, or take the one that is there, and register its public part with the venue."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.signing import Signer

    path = path_of(key, profile)
    signer = Signer.load(path) if path.exists() else Signer.create(path)
    with connect(profile) as client:
        found = client.sharing.register_key(signer)
    if as_json:
        print_json(found | {"path": str(path)})
    else:
        print_line(f"{found['public_key']} signs for you from now on; the private key is in {path}: keep a copy of it")


@keys.command()
def retire(
    public_key: Annotated[str, typer.Argument(metavar="PUBLIC_KEY", help="All of it.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Let a key sign nothing new. What it has signed stands."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.retire_key(public_key)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['public_key']} signs nothing new")


def path_of(key: str, profile: str | None) -> Path:
    import os

    from palaestra.signing import key_path

    return Path(key) if key else key_path(os.environ, profile)


def day(at_s: int) -> str:
    from datetime import UTC, datetime

    from palaestra.cli.times import local

    return local(datetime.fromtimestamp(at_s, UTC))
