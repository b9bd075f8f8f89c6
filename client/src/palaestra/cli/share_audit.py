"""`palaestra share audit ...`: whether the room's log is what it was, by what a vendor keeps of it on its own disk."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.client import Client
    from palaestra.witness import Checked

audit = typer.Typer(
    help="Hold the log of all that was decided against what you keep of it.",
    rich_markup_mode=None,
    no_args_is_help=True,
)
_Folder = Annotated[
    str, typer.Option("--folder", metavar="DIR", help="What you keep of the log; else beside your logins.")
]
_Quick = Annotated[bool, typer.Option("--quick", help="Read only what is new, not all of it again.")]


@audit.command()
def head(profile: Profile = None, as_json: Json = False) -> None:
    """Print the log's signed head, to be noted elsewhere: in a mail, on paper, with another vendor."""
    from palaestra.cli.output import print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.audit("head", {})
    if as_json:
        print_json(found)
    else:
        print(found["head"], end="")


@audit.command()
def verify(folder: _Folder = "", quick: _Quick = False, profile: Profile = None, as_json: Json = False) -> None:
    """Check the log against what you kept of it, and keep what is new. Exit code 1, and the place, if it was changed.

    The first time there is nothing to hold it against: what is there then is believed, and its key is kept.
    """
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = _checked(client, _place(folder, profile), full=not quick, as_json=as_json)
    if as_json:
        print_json({"whole": True, "size": found.size, "root": found.root.hex(), "new": found.new, "own": found.own})
    else:
        print_line(_words(found))


@audit.command()
def watch(
    every_s: Annotated[float, typer.Option("--every-s", min=1.0, help="Seconds from one look to the next.")] = 60.0,
    folder: _Folder = "",
    profile: Profile = None,
) -> None:
    """Check again and again until Ctrl-C; ends with exit code 1 as soon as the log was changed."""
    import time

    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect, warn
    from palaestra.errors import Unreachable

    place, full = _place(folder, profile), True
    with connect(profile) as client:
        while True:
            try:
                found = _checked(client, place, full=full, as_json=False)
            except Unreachable as error:
                warn(f"{error}; trying again in {every_s:g} s")
            else:
                # All of it was read once: from now on a change of what was before shows in the proof.
                full = False
                print_line(_words(found))
            time.sleep(every_s)


@audit.command()
def compare(
    other: Annotated[Path, typer.Argument(metavar="DIR", help="What another vendor keeps of the same log.")],
    folder: _Folder = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Find out whether two vendors were shown two logs. Exit code 1, and the place, if they were. Asks nobody."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.witness import Tampered, Witness

    try:
        count = Witness(_place(folder, profile)).compare(Witness(other))
    except Tampered as error:
        raise _told(error, as_json=as_json) from None
    if as_json:
        print_json({"whole": True, "common": count})
    else:
        print_line(f"{count} leaves, which both have seen alike")


def _checked(client: "Client", place: Path, *, full: bool, as_json: bool) -> "Checked":
    from palaestra.errors import PalaestraError
    from palaestra.merkle import BadNote
    from palaestra.witness import Tampered, Witness

    try:
        return Witness(place).check(client.sharing.audit, full=full)
    except Tampered as error:
        raise _told(error, as_json=as_json) from None
    except BadNote as error:
        wrong = Tampered("key", 0, f"the head is not signed by the key that is kept: {error}")
        raise _told(wrong, as_json=as_json) from None
    except ImportError:
        missing = "checking signatures needs one more package: pip install 'palaestra[share]'"
        raise PalaestraError("INVALID_FIELD", missing) from None


def _told(error: Any, *, as_json: bool) -> typer.Exit:
    from palaestra.cli.output import print_json
    from palaestra.cli.session import warn

    if as_json:
        print_json({"whole": False, "kind": error.kind, "index": error.index, "problem": str(error)})
    else:
        warn(f"the log was changed: {error}. What you keep stays as it is, as evidence")
    return typer.Exit(1)


def _place(folder: str, profile: str | None) -> Path:
    import os

    from palaestra.witness import default_folder

    return Path(folder) if folder else default_folder(os.environ, profile)


def _words(found: "Checked") -> str:
    return f"{found.size} leaves, {found.new} of them new, {found.own} of your own read; root {found.root.hex()}"
