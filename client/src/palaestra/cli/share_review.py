"""`palaestra share review|review prepare|show|approve|refuse`: pictures, before they leave."""

from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

_Review = Annotated[
    str, typer.Argument(metavar="REVIEW", help="As `palaestra share review` lists it; first digits do.")
]
POLL_S = 2.0

reviews = typer.Typer(
    help="Look at a sample of your pictures as they would leave, and approve or refuse them.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


@reviews.callback()
def list_reviews(context: typer.Context, profile: Profile = None, as_json: Json = False) -> None:
    """List reviews; `prepare` makes one, `show` fetches its sheets, `approve` lets the pictures leave."""
    if context.invoked_subcommand is not None:
        return
    from palaestra.cli.output import print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.share_keys import day

    with connect(profile) as client:
        found = list(client.sharing.reviews.list())
    if as_json:
        print_json({"reviews": found})
        return
    rows = (
        (
            *(one["review"][:12], one["state"], one["agreement"][:12], one["consumer"], one["data_set"]),
            *(str(one["version"]), ", ".join(one["report"]["cameras"]), day(one["made_s"])),
        )
        for one in found
    )
    heads = ("REVIEW", "STATE", "AGREEMENT", "FOR", "DATASET", "VERSION", "CAMERAS", "MADE")
    print_table(heads, rows, empty="no reviews; `palaestra share review prepare AGREEMENT` makes one")


@reviews.command()
def prepare(
    agreement: Annotated[str, typer.Argument(metavar="AGREEMENT", help="Its digest, or the first digits of it.")],
    version: Annotated[int, typer.Option(min=0, help="Of the data set; 0: the newest that is granted.")] = 0,
    wait: Annotated[bool, typer.Option(help="Wait until they are made; it may take hours.")] = True,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Have an agreement's pictures made, faces covered, for you to look at."""
    import time

    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        digest = client.sharing.agreement(agreement)["agreement"]
        made = client.sharing.reviews.prepare(digest, version=version)
        while wait and made["state"] == "making":
            time.sleep(POLL_S)
            made = client.sharing.reviews.prepare(digest, version=version)
    if as_json:
        print_json(made)
    elif made["state"] == "made":
        _tell(made["review"])
    else:
        print_line("they are being made; ask again" if made["state"] == "making" else f"failed: {made['why']}")
    if made["state"] == "failed":
        raise typer.Exit(1)


@reviews.command()
def show(
    name: _Review,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Where the contact sheets go, CAMERA.jpg each.")
    ] = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show what was covered, and fetch the contact sheets: random frames as they would leave. Look at each."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.reviews.get(name)
        paths = []
        for camera in [one["camera"] for one in found["sheets"]] if out is not None else []:
            assert out is not None
            out.mkdir(parents=True, exist_ok=True)
            # The venue names cameras: a name is a name here, and no path.
            path = out / f"{Path(camera).name}.jpg"
            path.write_bytes(client.sharing.reviews.sheet(found, camera))
            paths.append(str(path))
    if as_json:
        print_json(found | ({"paths": paths} if out is not None else {}))
        return
    _tell(found)
    for one in paths:
        print_line(one)


@reviews.command()
def approve(name: _Review, profile: Profile = None, as_json: Json = False) -> None:
    """Let these pictures leave, while the agreement stands. It cannot be taken back but by revoking that."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _said(client.sharing.reviews.approve(name), as_json=as_json)


@reviews.command()
def refuse(
    name: _Review,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Let these pictures never leave. Other terms, such as fewer cameras, make others."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _said(client.sharing.reviews.refuse(name, reason), as_json=as_json)


def _said(found: dict[str, Any], *, as_json: bool) -> None:
    from palaestra.cli.output import print_json, print_line

    if as_json:
        print_json(found)
    else:
        print_line(f"review {found['review'][:12]} is {found['state']} by {found['decided_by']}")


def _tell(one: dict[str, Any]) -> None:
    from palaestra.cli.output import print_facts, print_table

    report = one["report"]
    print_facts(
        [
            ("review", one["review"]),
            ("state", one["state"] + (f" by {one['decided_by']}" if one["decided_by"] else "")),
            ("reason", one["reason"]),
            ("agreement", one["agreement"]),
            ("for", one["consumer"]),
            ("data set", f"{one['data_set']} version {one['version']}"),
            ("detector", f"{report['detector']}, threshold {report['threshold']}"),
            ("weights", report["weights_sha256"]),
            (
                "look next",
                "" if one["decided_by"] else f"palaestra share review show {one['review'][:12]} --out sheets",
            ),
        ]
    )
    rows = (
        (
            *(camera, str(told["released_frames"]), str(told["frames_covered"])),
            *(f"{told['covered_millionths'] / 1e4:.1f} %", str(told["sampled_frames"])),
            str(told["sampled_with_faces_left"]),
        )
        for camera, told in report["cameras"].items()
    )
    print_table(
        ("CAMERA", "FRAMES", "COVERED IN", "OF THE AREA", "SAMPLE", "FACES LEFT IN IT"), rows, empty="no camera"
    )
