"""`palaestra share credits ...` and `palaestra share lineage`: what was earned, and where what one has comes from."""

import json
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

credits = typer.Typer(help="What you earned by sharing, and spent.", rich_markup_mode=None, invoke_without_command=True)
lineage = typer.Typer(
    help="Where what was shared comes from, and what was made of it.", rich_markup_mode=None, no_args_is_help=True
)


def register(share: typer.Typer) -> None:
    """Add the commands to `palaestra share`."""
    share.add_typer(credits, name="credits")
    share.add_typer(lineage, name="lineage")


@credits.callback()
def show(context: typer.Context, profile: Profile = None, as_json: Json = False) -> None:
    """Show your balance and every posting; `statement` has them signed, `verify` checks that."""
    if context.invoked_subcommand is not None:
        return
    from palaestra.cli.output import print_json, print_line, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.share_keys import day

    with connect(profile) as client:
        found = client.sharing.credits()
    if as_json:
        print_json(found)
        return
    rows = (
        (
            *(str(one["number"]), day(one["posted_s"]), one["kind"], one["agreement"][:12]),
            *(str(one["version"] or ""), str(one["recordings"] or ""), f"{one['amount_microcredits'] / 1e6:.6f}"),
        )
        for one in found["postings"]
    )
    headings = ("NUMBER", "POSTED", "KIND", "AGREEMENT", "VERSION", "RECORDINGS", "CREDITS")
    print_table(headings, rows, empty="nothing was earned or spent yet")
    print_line(f"balance: {found['balance_microcredits'] / 1e6:.6f} credits")


@credits.command()
def statement(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it; not over a file that is there.")],
    after: Annotated[int, typer.Option(min=0, help="Only postings after this number.")] = 0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Fetch a signed statement of your postings with all their factors and proofs, check it, and keep it."""
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect
    from palaestra.credits import verify_statement

    with connect(profile) as client:
        found = client.sharing.credit_statement(after)
    held = verify_statement(found)
    with file.open("x", encoding="utf-8") as target:
        json.dump(found, target, ensure_ascii=False, indent=1)
    _tell(held, as_json=as_json)
    if "next" in found and not as_json:
        print_line(f"there are more postings: --after {found['next']}")


@credits.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A statement.", exists=True, dir_okay=False)],
    public_key: Annotated[
        str, typer.Option("--public-key", help="The venue's audit key, as your witness keeps it; 64 digits.")
    ] = "",
    as_json: Json = False,
) -> None:
    """Check a statement, offline: signature, proofs, every factor and every sum. Exit code 1 if it does not hold."""
    from palaestra.credits import verify_statement
    from palaestra.errors import PalaestraError

    try:
        document = json.loads(file.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise PalaestraError("BAD_SIGNATURE", f"{file}: not a statement: not JSON") from None
    _tell(verify_statement(document, public_key), as_json=as_json)


def _tell(held: Any, *, as_json: bool) -> None:
    from palaestra.cli.output import print_facts, print_json

    if as_json:
        print_json(
            {
                "vendor": held.vendor,
                "public_key": held.public_key,
                "postings": held.postings,
                "opening_microcredits": held.opening_microcredits,
                "balance_microcredits": held.balance_microcredits,
            }
        )
        return
    print_facts(
        [
            ("vendor", held.vendor),
            ("signed by", held.public_key),
            ("postings", str(held.postings)),
            ("before", f"{held.opening_microcredits / 1e6:.6f} credits"),
            ("balance", f"{held.balance_microcredits / 1e6:.6f} credits"),
        ]
    )


@lineage.command("row")
def row(
    what: Annotated[
        str, typer.Argument(metavar="FILE_OR_EPISODE", help="A Parquet file of a shared table, or an episode's name.")
    ],
    number: Annotated[int, typer.Option("--row", min=0, help="Which row of the file, counted from 0.")] = 0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Follow a row of what you have, or gave, back to agreement, version and recording."""
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    place = _row(Path(what), number) if Path(what).is_file() else {"episode": what}
    with connect(profile) as client:
        found = client.sharing.lineage(place["episode"]) | place
    if as_json:
        print_json(found)
        return
    recording, terms = found["recording"], found["terms"]
    print_facts(
        [
            ("episode", found["episode"]),
            ("step", f"{found['step']} of the episode's rows here" if "step" in found else ""),
            ("time", f"{found['time_s']:g} s after its start, as told" if "time_s" in found else ""),
            ("agreement", found["agreement"]),
            ("from", found["provider"]),
            ("for", found["consumer"]),
            ("versions", ", ".join(f"{found['data_set']}/versions/{one}" for one in found["versions"])),
            ("transforms", ", ".join(terms.get("transforms", {})) or "none"),
            ("recording", recording.get("episode", "")),
            ("its hash", recording.get("sha256", "")),
            ("job", recording.get("job", "")),
            *(("made by", f"{one['step']} {one['source']}") for one in recording.get("steps", [])),
        ]
    )


@lineage.command("events")
def events(
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="JSON lines; what is there is added to.")
    ] = None,
    to: Annotated[str, typer.Option("--to", metavar="URL", help="A server of yours that takes events by POST.")] = "",
    after: Annotated[int, typer.Option(min=-1, help="Only after this leaf of the audit.")] = -1,
    profile: Profile = None,
) -> None:
    """Tell what was made of your data, and for you, as OpenLineage run events: into a file, or to a server of yours."""
    from contextlib import ExitStack

    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect

    if out is None and not to:
        raise typer.BadParameter("--out FILE, or --to URL")
    if to and not to.startswith(("http://", "https://")):
        raise typer.BadParameter("--to must be an http or https address")
    count = 0
    with ExitStack() as held:
        client = held.enter_context(connect(profile))
        target = held.enter_context(out.open("a", encoding="utf-8")) if out is not None else None
        for event in client.sharing.lineage_events(after):
            text = json.dumps(event, ensure_ascii=False)
            if target is not None:
                target.write(f"{text}\n")
            if to:
                _send(to, text)
            count += 1
    print_line(f"{count} events told")


def _send(url: str, text: str) -> None:
    """Send an event. Without the login's token: the server is not the venue's."""
    import urllib.error
    import urllib.request

    from palaestra.errors import Unreachable

    request = urllib.request.Request(url, text.encode(), {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30.0):
            pass
    except (urllib.error.URLError, OSError) as error:
        raise Unreachable(f"{url}: {error}") from None


def _row(path: Path, number: int) -> dict[str, Any]:
    """Return episode, step and time of a row of a Parquet file."""
    try:
        # The client does without; who has Parquet files to ask about has what reads them.
        pq = import_module("pyarrow.parquet")
    except ImportError:
        raise typer.BadParameter("reading a file needs one more package: pip install pyarrow") from None
    try:
        with pq.ParquetFile(path) as file:
            if "episode" not in file.schema_arrow.names:
                raise typer.BadParameter(f"{path}: has no column episode; name the episode instead of the file")
            if number >= file.metadata.num_rows:
                raise typer.BadParameter(f"--row {number}: {path} has {file.metadata.num_rows} rows")
            wanted = [name for name in ("episode", "time_s") if name in file.schema_arrow.names]
            table = file.read(columns=wanted)
    except (OSError, ValueError) as error:
        raise typer.BadParameter(f"{path}: not a Parquet file: {str(error)[:200]}") from None
    names = table.column("episode").to_pylist()
    found: dict[str, Any] = {"episode": str(names[number]).rpartition("/")[2]}
    if "time_s" in table.column_names:
        step = sum(1 for name in names[:number] if name == names[number])
        found |= {"step": step, "time_s": table.column("time_s")[number].as_py()}
    return found
