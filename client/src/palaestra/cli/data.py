"""`palaestra data`: search what was recorded, label it, make data sets, import and verify."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile
from palaestra.cli.report import report
from palaestra.cli.review import review

data = typer.Typer(
    help="Search what was recorded, label it, make data sets.", rich_markup_mode=None, no_args_is_help=True
)
dataset = typer.Typer(help="Data sets and their versions.", rich_markup_mode=None, no_args_is_help=True)

Text = Annotated[str, typer.Option("--text", help='Words of the task, all of them; "pick cub*" leaves one unfinished.')]
Robot = Annotated[str, typer.Option("--robot", metavar="UNIT", help="Only of this unit.")]
Model = Annotated[str, typer.Option("--model", help="Only of this robot model.")]
Maker = Annotated[str, typer.Option("--maker", help="Only of this maker's robots.")]
Scenario = Annotated[str, typer.Option("--scenario", help="Only in this scenario.")]
Level = Annotated[str, typer.Option("--level", help="Only at this level, L1 to L4.")]
Ended = Annotated[str, typer.Option("--outcome", help="success, failure, aborted or interrupted.")]
Quality = Annotated[float | None, typer.Option("--quality-min", min=0, max=1, help="Scored at least so.")]
Since = Annotated[str, typer.Option("--since", help="Started at or after, such as 2026-11-22T09:00.")]
Before = Annotated[str, typer.Option("--before", help="Started before.")]
Job = Annotated[str, typer.Option("--job", metavar="JOB", help="Only of this job.")]
Labelled = Annotated[
    list[str] | None, typer.Option("--label", metavar="KEY[=VALUE]", help="Only with this label; may be repeated.")
]
Names = Annotated[list[str], typer.Argument(metavar="EPISODE...", help="Episodes, or the last parts of their names.")]
DatasetName = Annotated[str, typer.Argument(metavar="DATASET", help="Name of the data set, or its last part.")]
Version = Annotated[str, typer.Argument(metavar="DATASET/NUMBER", help="A version, such as walks/3.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    data.add_typer(dataset, name="dataset")
    data.add_typer(review, name="review")
    data.command()(report)
    app.add_typer(data, name="data")


@data.command("list")
def list_newest(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 50,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List what was recorded last."""
    _search({}, limit, profile, as_json)


@data.command()
def search(
    text: Text = "",
    robot: Robot = "",
    model: Model = "",
    maker: Maker = "",
    scenario: Scenario = "",
    level: Level = "",
    outcome: Ended = "",
    quality_min: Quality = None,
    since: Since = "",
    before: Before = "",
    job: Job = "",
    label: Labelled = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 50,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Search what was recorded, newest first; all conditions hold together."""
    wanted = _wanted(text, robot, model, maker, scenario, level, outcome, quality_min, since, before, job, label)
    _search(wanted, limit, profile, as_json)


@data.command()
def show(
    episode: Annotated[str, typer.Argument(metavar="EPISODE", help="Name of the episode, or its last part.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Show an episode: what it holds, its labels, its score, the data sets it is in."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.cli.text import seconds

    with connect(profile) as client:
        record = client.data.record(episode)
    if as_json:
        print_json(record)
        return
    found = record.episode
    lines = [
        found.name,
        f"task: {found.task}",
        f"robot: {found.robot_model} of {found.maker or '?'}, {found.unit or f'world {found.world}'}",
        f"outcome: {_outcome(found.outcome)} {found.outcome_cause}".rstrip(),
        f"length: {seconds(found.duration_s)}, {found.rows} rows, {found.content.size_bytes} bytes",
        f"content: sha256 {found.content.sha256}",
        *(f"signal: {s.name} x {s.width} [{s.unit}] at {s.rate_hz:g} Hz in {s.frame}" for s in found.signals),
        *(f"{key}: {value}" for key, value in sorted(found.provenance.items())),
        *(f"label: {key} = {value}" for key, value in sorted(record.labels.items())),
        *([f"quality: {record.quality:g} by {record.quality_method or '?'}"] if record.HasField("quality") else []),
        *(f"quality part: {key} {value:g}" for key, value in sorted(record.quality_parts.items())),
        *(f"in: {name}" for name in record.dataset_versions),
    ]
    for line in lines:
        print_line(line)


@data.command()
def label(
    episodes: Names,
    put: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Set a label.")] = None,
    remove: Annotated[list[str] | None, typer.Option("--remove", metavar="KEY", help="Take a label away.")] = None,
    quality: Annotated[float | None, typer.Option(min=0, max=1, help="Score them, 0 to 1.")] = None,
    method: Annotated[str, typer.Option(help="By what they were scored.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Label or score episodes, all or none of them."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    labels = {}
    for pair in put or ():
        key, equals, value = pair.partition("=")
        if not equals or not value:
            raise typer.BadParameter(f"{pair!r} is no KEY=VALUE")
        labels[key] = value
    if not (labels or remove or quality is not None):
        raise typer.BadParameter("give --set, --remove or --quality")
    with connect(profile) as client:
        changed = client.data.label(episodes, labels, remove=remove or (), quality=quality, quality_method=method)
    if as_json:
        print_json({"changed": changed})
    else:
        print_line(f"{changed} of {len(episodes)} changed")


@data.command()
def sessions(
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 50,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List what each attempt of a job has recorded."""
    from itertools import islice

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.text import seconds

    with connect(profile) as client:
        found = list(islice(client.data.sessions(), limit))
    if as_json:
        print_json(listing("sessions", found))
        return
    rows = (
        (
            *(one.name, one.robot_model, one.scenario, one.task),
            *(str(one.episode_count), str(one.success_count), seconds(one.duration_s), str(one.size_bytes)),
        )
        for one in found
    )
    heads = ("SESSION", "MODEL", "SCENARIO", "TASK", "EPISODES", "SUCCESS", "LENGTH", "BYTES")
    print_table(heads, rows, empty="no sessions")


@data.command()
def usage(
    vendor: Annotated[str, typer.Argument(metavar="[VENDOR]", help="Another's, for operators: vendors/NAME.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Tell how much of the store one has and may have."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.data.usage(vendor)
    if as_json:
        print_json(found)
        return
    of_bytes = f" of {found.size_bytes_max / 1e9:g}" if found.size_bytes_max else ""
    of_count = f" of {found.episode_count_max}" if found.episode_count_max else ""
    print_line(f"{found.vendor}: {found.episode_count}{of_count} episodes, {found.size_bytes / 1e9:.3f}{of_bytes} GB")
    if found.removed_episode_count:
        gone = f"{found.removed_episode_count} episodes, {found.removed_size_bytes / 1e9:.3f} GB"
        print_line(f"removed by the venue's policy: {gone}")
    if found.warning:
        print_line(f"warning: {found.warning}")


@data.command("import")
def import_(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A file or a folder.")],
    store: Annotated[
        str, typer.Option("--into", metavar="STORE", help="The store's folder; of a venue its store.")
    ] = "",
    vendor: Annotated[str, typer.Option(help="The owner.")] = "local",
    form: Annotated[
        str,
        typer.Option("--format", help="lerobot, mcap, rosbag, rlds, robomimic, ulog, npz, csv; left out: found out."),
    ] = "",
    robot: Annotated[str, typer.Option("--robot", metavar="MODEL", help="The robot's model.")] = "",
    mapping: Annotated[str, typer.Option("--map", metavar="FILE", help="What becomes which signal (TOML).")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try everything, keep nothing.")] = False,
    suggest: Annotated[bool, typer.Option("--suggest", help="Print a mapping to fill in, and do nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Make episodes of a recording in another format: LeRobot, MCAP, ROS bags, RLDS, robomimic, ULog, CSV."""
    from palaestra.cli.output import listing, print_json, print_line, print_table
    from palaestra.cli.text import seconds
    from palaestra.imports import import_recording, suggest_mapping
    from palaestra.names import last

    if suggest:
        print_line(suggest_mapping(path, form=form, robot=robot, mapping=mapping or None))
        return
    if not store and not dry_run:
        raise typer.BadParameter("give --into, or --dry-run")

    def show(done: int, what: str) -> None:
        print(f"\r{done} episodes, {what[:60]:<60}\r", end="", file=sys.stderr, flush=True)

    owner = vendor if vendor.startswith("vendors/") else f"vendors/{vendor}"
    done = import_recording(
        path,
        None if dry_run else store,
        vendor=owner,
        form=form,
        robot=robot,
        mapping=mapping or None,
        progress=show if sys.stderr.isatty() else None,
    )
    if as_json:
        print_json({**listing("episodes", list(done.episodes)), "import": done.id, "left_out": list(done.left_out)})
        return
    rows = (
        (last(one.name), one.robot_model, one.task, _outcome(one.outcome), str(one.rows), seconds(one.duration_s))
        for one in done.episodes
    )
    print_table(("EPISODE", "MODEL", "TASK", "OUTCOME", "ROWS", "LENGTH"), rows, empty="no episodes")
    if done.left_out:
        print_line(f"left out: {', '.join(done.left_out)}")
    if done.dropped_rows:
        print_line(f"dropped: {done.dropped_rows} rows")
    state = "nothing kept" if dry_run else f"{done.entered} new in the catalogue"
    print_line(f"{done.format}, import {done.id[:12]}: {state}")


@data.command()
def score(
    store: Annotated[str, typer.Argument(metavar="STORE", help="The store's folder; of a venue its store.")],
    review_below: Annotated[
        float, typer.Option(min=0, max=1, help='A quality below this gets the label "review" = "open".')
    ] = 0.5,
    part: Annotated[
        list[str] | None,
        typer.Option("--part-below", metavar="PART=SHARE", help="So does a part of it; may be repeated."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many, the oldest.")] = None,
    twin: Annotated[
        bool | None,
        typer.Option("--twin/--no-twin", help="Run each again in its twin too; left out: if a simulator is installed."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Score what has no score yet, label its faults, put up for review what is low; on the venue's machine."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.scores import score_store

    bounds = {}
    for pair in part or ():
        name, _, share = pair.partition("=")
        try:
            bounds[name] = float(share)
        except ValueError:
            raise typer.BadParameter(f"{pair!r} is no PART=SHARE") from None

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} episodes\r", end="", file=sys.stderr, flush=True)

    progress = show if sys.stderr.isatty() else None
    done = score_store(store, review_below=review_below, parts_below=bounds, limit=limit, twin=twin, progress=progress)
    if as_json:
        print_json({"changed": done.changed, "review": list(done.review), "refused": dict(done.refused)})
        return
    for uid, why in done.refused.items():
        print_line(f"{uid}: not scored: {why}")
    print_line(f"{done.changed} scored, {len(done.review)} of them up for review, {len(done.refused)} not readable")


@data.command()
def verify(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A signed export.")],
    public_key: Annotated[str, typer.Option("--key", metavar="HEX", help="Whose signature counts.")] = "",
    as_json: Json = False,
) -> None:
    """Hold every file of a signed export against its manifest, and the manifest against its signature."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.imports import verify_folder

    found = verify_folder(folder, public_key=public_key)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found['files']} files whole ({found['size_bytes']} bytes), signed by {found['public_key']}")


@data.command()
def trace(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A Parquet file with joints' columns, or a part of one.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Name the recipient of your shared data that a leaked file came from, by its marks."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.sharing.trace(Path(file))
    if as_json:
        print_json(found)
        return
    print_line(f"{found['rows']} rows laid over {found['recordings']} recordings")
    for one in found["suspects"][:20]:
        verdict = "found" if one["found"] else "-"
        print_line(f"{verdict:6} z {one['z']:8.1f}  {one['consumer']}  {one['agreement']}")


@dataset.command("create")
def create_dataset(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Small letters, digits and dashes.")],
    description: Annotated[str, typer.Option(help="What it is for.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a data set without a version."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        made = client.data.create_dataset(name, description)
    if as_json:
        print_json(made)
    else:
        print_line(made.name)


@dataset.command("list")
def list_datasets(profile: Profile = None, as_json: Json = False) -> None:
    """List data sets by name."""
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        found = list(client.data.datasets())
    if as_json:
        print_json(listing("datasets", found))
        return
    rows = ((last(one.name), str(one.latest_version), one.description) for one in found)
    print_table(("DATASET", "LATEST", "DESCRIPTION"), rows, empty="no data sets")


@dataset.command()
def freeze(
    name: DatasetName,
    episode: Annotated[list[str] | None, typer.Option("--episode", help="An episode; may be repeated.")] = None,
    description: Annotated[str, typer.Option(help="What is in it, and why.")] = "",
    text: Text = "",
    robot: Robot = "",
    model: Model = "",
    maker: Maker = "",
    scenario: Scenario = "",
    level: Level = "",
    outcome: Ended = "",
    quality_min: Quality = None,
    since: Since = "",
    before: Before = "",
    job: Job = "",
    label: Labelled = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Make a data set's next version, for ever: of the episodes named, or of all that a search finds now."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    wanted = _wanted(text, robot, model, maker, scenario, level, outcome, quality_min, since, before, job, label)
    if bool(episode) == bool(wanted):
        raise typer.BadParameter("give episodes, or conditions as for a search")
    with connect(profile) as client:
        query = _query(wanted, client) if wanted else None
        made = client.data.freeze(name, episodes=episode or (), wanted=query, description=description)
    if as_json:
        print_json(made)
    else:
        print_line(f"{made.name}: {made.episode_count} episodes, manifest {made.manifest_sha256}")


@dataset.command("show")
def show_dataset(name: DatasetName, profile: Profile = None, as_json: Json = False) -> None:
    """Show the versions of a data set, newest first, with what they were made from."""
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.cli.text import seconds

    with connect(profile) as client:
        found = list(client.data.versions(name))
    if as_json:
        print_json(listing("versions", found))
        return
    rows = (
        (
            *(str(one.number), str(one.episode_count), seconds(one.duration_s), str(one.size_bytes)),
            one.manifest_sha256[:12],
            "; ".join(f"{step.step} {step.source}" for step in one.lineage),
            one.description,
        )
        for one in found
    )
    heads = ("VERSION", "EPISODES", "LENGTH", "BYTES", "MANIFEST", "FROM", "DESCRIPTION")
    print_table(heads, rows, empty="no versions")


@dataset.command()
def episodes(
    version: Version,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 1000,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the episodes of a version in its order, with the hashes of their contents."""
    from itertools import islice

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        found = list(islice(client.data.episodes(version), limit))
    if as_json:
        print_json(listing("episodes", found))
        return
    rows = ((last(one.name), one.robot_model, _outcome(one.outcome), one.content.sha256) for one in found)
    print_table(("EPISODE", "MODEL", "OUTCOME", "SHA256"), rows, empty="no episodes")


def _search(wanted: dict[str, Any], limit: int, profile: str | None, as_json: bool) -> None:
    from itertools import islice

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect, warn
    from palaestra.cli.text import seconds
    from palaestra.names import last

    with connect(profile) as client:
        found = list(islice(client.data.search(_query(wanted, client)), limit))
    if as_json:
        print_json(listing("records", found))
        return
    rows = (
        (
            *(last(one.episode.name), one.episode.robot_model, one.episode.scenario, one.episode.task),
            *(_outcome(one.episode.outcome), f"{one.quality:.2f}" if one.HasField("quality") else ""),
            seconds(one.episode.duration_s),
            " ".join(f"{key}={value}" for key, value in sorted(one.labels.items())),
        )
        for one in found
    )
    heads = ("EPISODE", "MODEL", "SCENARIO", "TASK", "OUTCOME", "QUALITY", "LENGTH", "LABELS")
    print_table(heads, rows, empty="no episodes")
    if len(found) == limit:
        warn(f"these are the newest {limit}; --limit shows more")


def _wanted(
    text: str,
    robot: str,
    model: str,
    maker: str,
    scenario: str,
    level: str,
    outcome: str,
    quality_min: float | None,
    since: str,
    before: str,
    job: str,
    label: list[str] | None,
) -> dict[str, Any]:
    """Return the conditions that are given, as `palaestra.data.query` takes them."""
    from datetime import UTC, datetime

    from palaestra.cli.times import moment

    now = datetime.now(UTC)
    given = {
        "text": text,
        "robot": robot,
        "robot_model": model,
        "maker": maker,
        "scenario": scenario,
        "level": level,
        "outcome": outcome,
        "quality_min": quality_min,
        "start": moment("--since", since, now) if since else None,
        "end": moment("--before", before, now) if before else None,
        "job": job,
        "labels": label,
    }
    return {key: value for key, value in given.items() if value not in (None, "", [])}


def _query(wanted: dict[str, Any], client: Any) -> Any:
    from palaestra import names
    from palaestra.data import query

    who = client.identity()
    if "robot" in wanted:
        wanted["robot"] = names.unit(wanted["robot"], who)
    if "job" in wanted:
        wanted["job"] = names.job(wanted["job"], who)
    try:
        return query(**wanted)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _outcome(outcome: Any) -> str:
    from palaestra.v1.episode_pb2 import EpisodeOutcome

    return EpisodeOutcome.Name(outcome).removeprefix("EPISODE_OUTCOME_").lower()
