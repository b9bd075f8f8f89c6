"""`palaestra episodes` and `palaestra episodes export`."""

from pathlib import Path
from typing import Annotated

import typer

from palaestra.cli.options import JobName, Json, Profile

episodes = typer.Typer(
    help="List recorded episodes, or export those of a job.",
    rich_markup_mode=None,
    invoke_without_command=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(episodes, name="episodes")


@episodes.callback()
def list_episodes(
    context: typer.Context,
    job: Annotated[str | None, typer.Option(metavar="JOB", help="Only episodes of this job.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 100,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List recorded episodes, newest first, or export those of a job."""
    if context.invoked_subcommand is not None:
        return
    from itertools import islice

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect, warn
    from palaestra.cli.text import seconds
    from palaestra.names import last
    from palaestra.v1.episode_pb2 import EpisodeOutcome

    with connect(profile) as client:
        found = list(islice(client.episodes(job), limit))
    if as_json:
        print_json(listing("episodes", found))
        return
    print_table(
        ("EPISODE", "JOB", "INDEX", "MODEL", "ON", "OUTCOME", "RETURN", "LENGTH", "ROWS"),
        (
            (
                last(episode.name),
                last(episode.job),
                str(episode.index),
                episode.robot_model,
                last(episode.unit) or f"world {episode.world}",
                EpisodeOutcome.Name(episode.outcome).removeprefix("EPISODE_OUTCOME_").lower(),
                f"{episode.return_value:.4g}" if episode.HasField("return_value") else "",
                seconds(episode.duration_s),
                str(episode.rows),
            )
            for episode in found
        ),
        empty="no episodes",
    )
    if len(found) == limit:
        warn(f"these are the newest {limit}; --limit shows more")


@episodes.command()
def export(
    job: JobName,
    out: Annotated[Path, typer.Argument(metavar="OUT.zip", help="File to write; it must not exist.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Fetch a job's episodes as a LeRobot data set, zipped."""
    from palaestra import names
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect, find_login
    from palaestra.download import download
    from palaestra.errors import PalaestraError

    if out.exists():
        raise typer.BadParameter(f"{out} exists; it is not overwritten")
    login = find_login(profile)
    if not login.api_url:
        raise PalaestraError("INVALID_FIELD", "the login names no api_url: log in again with the venue's file")
    with connect(profile) as client:
        name = names.job(job, client.identity())
    url = f"{login.api_url.rstrip('/')}/v1/{name}/export?format=lerobot"
    size_bytes = download(url, login.token, out, show=not as_json, tls_root=login.tls_root)
    if as_json:
        print_json({"job": name, "path": str(out), "sizeBytes": str(size_bytes)})
    else:
        print_line(f"{out}: {size_bytes} bytes")
