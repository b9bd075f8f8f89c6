"""`palaestra data report`: a page about a data set."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import Json, Profile


def report(
    dataset: Annotated[str, typer.Argument(metavar="DATASET[@VERSION]", help="Such as walks, or walks@3.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder for report.html and report.json.")],
    objects: Annotated[
        str, typer.Option("--objects", metavar="ROOT", help="The store's objects, if this machine sees them.")
    ] = "",
    sample: Annotated[int, typer.Option(min=0, max=10_000, help="Read the signals of so many episodes.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the sample.")] = 0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Write a page with plots about a data set's version: what there is, how even, how good, what failed."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.reports import report as make

    def show(done: int, what: str) -> None:
        print(f"\r{done} {what[:60]:<60}\r", end="", file=sys.stderr, flush=True)

    name, at, number = dataset.partition("@")
    if at and not number.isdecimal():
        raise typer.BadParameter(f"{dataset!r}: the version is a number, such as {name}@1")
    version = f"{name}/versions/{number}" if at and name.startswith("vendors/") else f"{name}/{number}" if at else name
    with connect(profile) as client:
        made = make(
            version,
            out,
            client=client,
            profile=profile,
            objects=objects or None,
            sample=sample,
            seed=seed,
            progress=show if sys.stderr.isatty() else None,
        )
    if as_json:
        print_json({"page": str(made.page), "episodes": made.episodes, "sampled": made.sampled, "record": made.record})
    else:
        print_line(f"{made.page}: {made.episodes} episodes, signals of {made.sampled}")
