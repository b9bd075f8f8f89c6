"""`palaestra share fetch`: what an agreement grants, as files."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile


def register(share: typer.Typer) -> None:
    """Add the command."""
    share.command("fetch")(fetch)


def fetch(
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its digest, or the first digits of it.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to make; it must not exist.")],
    form: Annotated[str, typer.Option("--format", help="lerobot (v3.0), parquet or mcap.")] = "lerobot",
    version: Annotated[int, typer.Option(min=0, help="Of the data set; 0: the newest that is granted.")] = 0,
    fps: Annotated[int, typer.Option(min=0, max=1000, help="Even rate of lerobot; 0: as recorded.")] = 0,
    purpose: Annotated[str, typer.Option(help="training, evaluation, research or safety; else training.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Fetch what an agreement grants by the channel export, as a signed folder."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect, warn

    if out.exists():
        raise typer.BadParameter(f"{out} exists; it is not overwritten")
    if not as_json:
        warn("the venue writes it anew for this agreement, which may take minutes the first time")
    try:
        with connect(profile) as client:
            found = client.sharing.fetch(
                agreement, out, form=form, version=version, fps=fps, purpose=purpose, show=not as_json
            )
    except OSError as error:
        raise typer.BadParameter(f"{out}: {error.strerror or error}") from None
    files = [path for path in found.rglob("*") if path.is_file()]
    size_bytes = sum(path.stat().st_size for path in files)
    if as_json:
        print_json({"path": str(found), "files": len(files), "sizeBytes": str(size_bytes)})
    else:
        print_line(f"{found}: {len(files)} files, {size_bytes} bytes")
        print_line(f"check it: palaestra data verify {found}")
