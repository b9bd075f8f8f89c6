"""`palaestra share token|token create|rotate|revoke`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

_Out = Annotated[Path, typer.Option("--out", metavar="FILE", help="The profile file, for your eyes alone.")]
_Credential = Annotated[str, typer.Argument(metavar="CREDENTIAL", help="As `palaestra share token` lists it.")]

tokens = typer.Typer(
    help="Load shared tables with pandas, Polars or Spark: credentials of Delta Sharing clients.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@tokens.callback()
def list_tokens(context: typer.Context, profile: Profile = None, as_json: Json = False) -> None:
    """List credentials; `create` makes one and its profile file, `rotate` changes its secret, `revoke` ends it."""
    if context.invoked_subcommand is not None:
        return
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.share_keys import day

    with connect(profile) as client:
        found = client.sharing.credentials.list()
    if as_json:
        print_json({"credentials": found})
        return
    rows = (
        (one["credential"], _opens(one), one["purpose"], day(one["issued_s"]), day(one["expires_s"])) for one in found
    )
    heads = ("CREDENTIAL", "OPENS", "PURPOSE", "MADE", "EXPIRES")
    print_table(heads, rows, empty="no credentials; `palaestra share token create AGREEMENT` makes one")


@tokens.command()
def create(
    agreement: Annotated[list[str], typer.Argument(metavar="AGREEMENT...", help="Digests, or their first digits.")],
    out: _Out = Path("palaestra.share"),
    share: Annotated[
        list[str] | None,
        typer.Option("--share", metavar="NAME", help="What to call its share; once for each agreement, in order."),
    ] = None,
    purpose: Annotated[str, typer.Option(help="training, evaluation, research or safety.")] = "training",
    until: Annotated[str, typer.Option("--until", help="When it ends, such as +30d.")] = "+30d",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a credential for agreements that let you have data by delta-share, and write its profile file."""
    from datetime import UTC, datetime

    from palaestra.cli.session import connect
    from palaestra.cli.times import moment

    if share and len(share) != len(agreement):
        raise typer.BadParameter("--share: once for each agreement, or not at all")
    if out.exists():
        raise typer.BadParameter(f"--out {out}: is there already")
    now = datetime.now(UTC)
    lifetime_s = round((moment("--until", until, now) - now).total_seconds())
    with connect(profile) as client:
        digests = [client.sharing.agreement(name)["agreement"] for name in agreement]
        made = client.sharing.credentials.create(
            digests, purpose=purpose, shares=dict(zip(digests, share or [], strict=False)), lifetime_s=lifetime_s
        )
    _keep(made, out, replace=False, as_json=as_json)


@tokens.command()
def rotate(
    credential: _Credential,
    out: _Out = Path("palaestra.share"),
    overlap_s: Annotated[int, typer.Option(min=0, max=86_400, help="So long the old secret stays good [s].")] = 0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Give a credential another secret; the profile file is replaced."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        made = client.sharing.credentials.rotate(credential, overlap_s=overlap_s)
    _keep(made, out, replace=True, as_json=as_json)


@tokens.command()
def revoke(credential: _Credential, profile: Profile = None, as_json: Json = False) -> None:
    """End a credential at once; the agreement stands."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.credentials.revoke(credential)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['credential']} opens nothing from now on")


def _keep(made: dict[str, Any], out: Path, *, replace: bool, as_json: bool) -> None:
    from palaestra.cli.output import print_json, print_line
    from palaestra.credentials import write

    write(made["profile"], out, replace=replace)
    told = {key: value for key, value in made.items() if key != "profile"} | {"path": str(out)}
    if as_json:
        print_json(told)
        return
    print_line(f"credential {made['credential']} opens {_opens(made)}; its profile is in {out}: keep it secret")


def _opens(of: dict[str, Any]) -> str:
    return ", ".join(f"{one['share']}.{one['schema']}" for one in of["opens"])
