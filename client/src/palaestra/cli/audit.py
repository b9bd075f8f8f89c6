"""`palaestra audit list|verify|export|head`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.audit_pb2 import AuditHead

_Vendor = Annotated[str, typer.Option(metavar="VENDOR", help="Operators: this vendor's chain alone.")]

audit = typer.Typer(
    help="Who did what, and that nobody changed the record.", rich_markup_mode=None, no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(audit, name="audit")


@audit.command("list")
def list_entries(
    vendor: _Vendor = "",
    after: Annotated[int, typer.Option(min=0, help="Only entries after this number.")] = 0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List who did what, oldest first."""
    from datetime import UTC

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.times import local

    with connect(profile) as client:
        found = list(client.audit.entries(parent=_parent(vendor), after_sequence=after))
    if as_json:
        print_json(listing("entries", found))
        return
    print_table(
        ("NUMBER", "TIME", "WHO", "DID", "TO", "CONCERNS", "WHY"),
        (
            (
                str(entry.venue_sequence or entry.sequence),
                local(entry.time.ToDatetime(UTC)),
                entry.actor,
                entry.method,
                entry.resource,
                entry.vendor or "the house",
                entry.reason,
            )
            for entry in found
        ),
        empty="nobody did anything yet",
    )


@audit.command()
def verify(
    vendor: _Vendor = "",
    noted: Annotated[
        str, typer.Option(metavar="NUMBER:HASH", help="A head that was noted before; it must be on the chain.")
    ] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Check that no entry was changed, removed, inserted or put elsewhere. Exit code 1 if one was."""
    from palaestra.chain import BrokenChain
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect, warn

    expected = _head(noted) if noted else None
    with connect(profile) as client:
        try:
            head = client.audit.verify(parent=_parent(vendor), noted=expected)
        except BrokenChain as problem:
            if as_json:
                print_json({"whole": False, "problem": str(problem)})
            else:
                warn(f"the chain is broken: {problem}")
            raise typer.Exit(1) from None
    if as_json:
        print_json({"whole": True, "sequence": head.sequence, "hash": head.hash.hex()})
    else:
        print_line(f"{head.sequence} entries, unbroken; note the head: {head.sequence}:{head.hash.hex()}")


@audit.command()
def export(vendor: _Vendor = "", profile: Profile = None) -> None:
    """Print the chain as lines of JSON, which anybody can check without this program; docs/security.md says how."""
    from palaestra.chain import exported
    from palaestra.cli.session import connect

    with connect(profile) as client:
        for entry in client.audit.entries(parent=_parent(vendor)):
            print(exported(entry))


@audit.command()
def head(vendor: _Vendor = "", profile: Profile = None, as_json: Json = False) -> None:
    """Print where the chain ends now, to be noted elsewhere."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.audit.head(parent=_parent(vendor))
    if as_json:
        print_json({"sequence": found.sequence, "hash": found.hash.hex()})
    else:
        print_line(f"{found.sequence}:{found.hash.hex()}")


def _parent(vendor: str) -> str:
    return f"vendors/{vendor}" if vendor else ""


def _head(text: str) -> "AuditHead":
    from palaestra.v1.audit_pb2 import AuditHead

    number, _, digest = text.partition(":")
    try:
        return AuditHead(sequence=int(number), hash=bytes.fromhex(digest))
    except ValueError:
        raise typer.BadParameter(f"--noted {text!r} is not NUMBER:HASH, as `palaestra audit head` prints it") from None
