"""`palaestra keys list|create|rotate|revoke`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.api_key_pb2 import ApiKey
    from palaestra.v1.api_key_service_pb2 import ApiKeySecret

_Name = Annotated[str, typer.Argument(metavar="KEY", help="Name of the key, or its last part.")]
_Vendor = Annotated[str, typer.Option(metavar="VENDOR", help="Operators: of this vendor.")]
_House = Annotated[bool, typer.Option("--house", help="Operators: of the house, and of no vendor.")]

_LONG = "+90d"

keys = typer.Typer(help="Make keys for programs, and take them back.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(keys, name="keys")


@keys.command("list")
def list_keys(
    vendor: _Vendor = "",
    house: _House = False,
    show_all: Annotated[bool, typer.Option("--all", help="Also those that are revoked or have expired.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List keys, newest first. Their secrets are told nowhere."""
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = list(client.api_keys.list(parent=_parent(vendor, house=house), show_ended=show_all))
    if as_json:
        print_json(listing("apiKeys", found))
        return
    print_table(
        ("KEY", "ROLE", "FOR", "SCOPES", "MADE", "USED", "EXPIRES", "STATE"),
        (
            (
                key.name,
                key.role,
                key.display_name,
                ", ".join([*key.methods, *(f"project {project}" for project in key.projects)]),
                _time(key, "create_time"),
                _time(key, "use_time") or "never",
                _time(key, "expire_time") or "never",
                _state(key),
            )
            for key in found
        ),
        empty="no keys",
    )


@keys.command()
def create(
    role: Annotated[
        str, typer.Option(help="vendor, engineer, reader; of the house: operator, safety, host, runner, gateway.")
    ],
    name: Annotated[str, typer.Option(help="For people: where it is used.")] = "",
    method: Annotated[
        list[str] | None, typer.Option(help="Only this, such as JobService/SubmitJob or 'JobService/*'. Repeatable.")
    ] = None,
    project: Annotated[list[str] | None, typer.Option(help="Only jobs of this project. Repeatable.")] = None,
    expires: Annotated[
        str,
        typer.Option(help="When it ends, such as 2027-01-31T00:00 or +90d; or never.", show_default="as you do, +90d"),
    ] = "",
    house: _House = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, make nothing.")] = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a key. Its secret is printed once, alone on standard output."""
    from datetime import UTC, datetime

    from palaestra.api_keys import api_key
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect
    from palaestra.cli.times import moment

    expire = None if expires == "never" else moment("--expires", expires or _LONG, datetime.now(UTC))
    with connect(profile) as client:
        own = client.identity().expire_time
        if not expires and expire is not None and own.seconds:
            # No key outlives what makes it.
            expire = min(expire, own.ToDatetime(UTC))
        spec = api_key(role, display_name=name, methods=method or (), projects=project or (), expire=expire)
        found = client.api_keys.create(spec, parent=_parent("", house=house), validate_only=dry_run)
    if dry_run and not as_json:
        print_line("the venue would make this key")
    else:
        _tell(found, as_json=as_json)


@keys.command()
def rotate(
    name: _Name,
    overlap: Annotated[str, typer.Option(help="How long the former secret still opens, such as 30min or 2d.")] = "0s",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Give a key a new secret, which is printed once."""
    from palaestra.cli.session import connect
    from palaestra.cli.times import span

    overlap_s = span("--overlap", overlap).total_seconds()
    with connect(profile) as client:
        _tell(client.api_keys.rotate(name, overlap_s=overlap_s), as_json=as_json)


@keys.command()
def revoke(name: _Name, profile: Profile = None, as_json: Json = False) -> None:
    """Take a key back for good. What it opened ends within seconds."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.api_keys.revoke(name)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found.name}: revoked")


def _parent(vendor: str, *, house: bool) -> str:
    if vendor and house:
        raise typer.BadParameter("--vendor and --house: a key is of one or the other")
    return "venues/-" if house else f"vendors/{vendor}" if vendor else ""


def _tell(found: "ApiKeySecret", *, as_json: bool) -> None:
    """Print a secret where it can be caught, and the rest beside it."""
    from palaestra.cli.output import print_json
    from palaestra.cli.session import warn

    if as_json:
        print_json(found)
        return
    warn(f"{found.api_key.name}, role {found.api_key.role}. This is its secret; it is told nowhere again:")
    print(found.secret, flush=True)


def _state(key: "ApiKey") -> str:
    from datetime import UTC, datetime

    now = datetime.now(UTC)
    if key.HasField("revoke_time"):
        return f"revoked {_time(key, 'revoke_time')}"
    if key.HasField("expire_time") and key.expire_time.ToDatetime(UTC) <= now:
        return "expired"
    if key.HasField("former_expire_time") and key.former_expire_time.ToDatetime(UTC) > now:
        return f"good; former secret until {_time(key, 'former_expire_time')}"
    return "good"


def _time(key: "ApiKey", field: str) -> str:
    from datetime import UTC

    from palaestra.cli.times import local

    return local(getattr(key, field).ToDatetime(UTC)) if key.HasField(field) else ""
