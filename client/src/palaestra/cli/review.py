"""`palaestra data review`: work off what the rules doubt."""

from pathlib import Path
from typing import Annotated, Any

import typer

from palaestra.cli.options import Json, Profile

review = typer.Typer(help="Work off what the rules doubt.", rich_markup_mode=None, no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="EPISODE", help="Name of the episode, or its last part.")]
Robot = Annotated[str, typer.Option("--robot", metavar="UNIT", help="Only of this unit.")]
Model = Annotated[str, typer.Option("--model", help="Only of this robot model.")]
Maker = Annotated[str, typer.Option("--maker", help="Only of this maker's robots.")]
Scenario = Annotated[str, typer.Option("--scenario", help="Only in this scenario.")]
Fault = Annotated[str, typer.Option("--fault", metavar="KIND", help="Only where a rule has found this, such as gap.")]
QualityMin = Annotated[float | None, typer.Option("--quality-min", min=0, max=1, help="Scored at least so.")]
QualityMax = Annotated[float | None, typer.Option("--quality-max", min=0, max=1, help="Scored at most so.")]
Order = Annotated[str, typer.Option("--order", help="What comes first: worst, informative or oldest.")]
Reviewer = Annotated[str, typer.Option("--as", metavar="NAME", help="Who looks, where several share one login.")]
Picture = Annotated[
    Path | None, typer.Option("--picture", metavar="OUT.png", help="Draw its signals with the faults marked.")
]
Outcome = Annotated[str, typer.Option("--outcome", help="How the task ended: success or failure.")]
Cause = Annotated[str, typer.Option("--cause", help="Why it failed, such as missed_grasp.")]
Grade = Annotated[str, typer.Option("--grade", help="How good the recording is: good, usable or poor.")]
Faults = Annotated[
    str | None, typer.Option("--faults", metavar="KIND,KIND", help='All faults that are there; "none" for none.')
]
Subtasks = Annotated[
    list[str] | None, typer.Option("--subtask", metavar="NAME=START-END", help="A part of it [s]; may be repeated.")
]
Note = Annotated[str, typer.Option("--note", help="Anything else.")]


@review.command("list")
def list_queue(
    robot: Robot = "",
    model: Model = "",
    maker: Maker = "",
    scenario: Scenario = "",
    fault: Fault = "",
    quality_min: QualityMin = None,
    quality_max: QualityMax = None,
    order: Order = "worst",
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many.")] = 50,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List the queue, and who looks at what."""
    from itertools import islice

    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        only = _only(client, robot, model, maker, scenario, fault, quality_min, quality_max)
        found = list(islice(client.reviews.queue(only, order=_order(order)), limit))
    if as_json:
        print_json(listing("reviews", found))
        return
    rows = (
        (
            *(last(one.record.episode.name), one.record.episode.robot_model, one.record.episode.task),
            f"{one.record.quality:.2f}" if one.record.HasField("quality") else "-",
            ", ".join(_faults(one.record.labels)),
            one.holder,
        )
        for one in found
    )
    print_table(("EPISODE", "MODEL", "TASK", "QUALITY", "FAULTS", "LOOKED AT BY"), rows, empty="nothing to review")


@review.command("next")
def take(
    robot: Robot = "",
    model: Model = "",
    maker: Maker = "",
    scenario: Scenario = "",
    fault: Fault = "",
    quality_min: QualityMin = None,
    quality_max: QualityMax = None,
    order: Order = "worst",
    minutes: Annotated[float, typer.Option(min=0.2, max=1440, help="How long it is your own.")] = 15.0,
    another: Annotated[bool, typer.Option("--another", help="Pass over what you have taken already.")] = False,
    reviewer: Reviewer = "",
    picture: Picture = None,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Take the first episode that nobody else looks at; nobody else gets it meanwhile."""
    from palaestra.cli.output import print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        only = _only(client, robot, model, maker, scenario, fault, quality_min, quality_max)
        found = client.reviews.next(
            only, order=_order(order), length_s=60 * minutes, another=another, reviewer=reviewer
        )
    if found is None:
        print_line("{}" if as_json else "nothing to review")
        return
    _show(found, picture, profile, as_json)


@review.command()
def show(episode: Name, picture: Picture = None, profile: Profile = None, as_json: Json = False) -> None:
    """Show what rules and people say of an episode, with a picture of its signals if asked for."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.reviews.get(episode)
    _show(found, picture, profile, as_json)


@review.command()
def accept(
    episode: Name,
    outcome: Outcome = "",
    cause: Cause = "",
    grade: Grade = "",
    faults: Faults = None,
    subtask: Subtasks = None,
    note: Note = "",
    reviewer: Reviewer = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Say that an episode is to be used; it leaves the queue."""
    _answer("accepted", episode, outcome, cause, grade, faults, subtask, note, reviewer, profile, as_json)


@review.command()
def reject(
    episode: Name,
    outcome: Outcome = "",
    cause: Cause = "",
    grade: Grade = "",
    faults: Faults = None,
    subtask: Subtasks = None,
    note: Note = "",
    reviewer: Reviewer = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Say that an episode is not to be used; it leaves the queue."""
    _answer("rejected", episode, outcome, cause, grade, faults, subtask, note, reviewer, profile, as_json)


@review.command("label")
def label_only(
    episode: Name,
    outcome: Outcome = "",
    cause: Cause = "",
    grade: Grade = "",
    faults: Faults = None,
    subtask: Subtasks = None,
    note: Note = "",
    reviewer: Reviewer = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Say something of an episode without a verdict."""
    _answer("", episode, outcome, cause, grade, faults, subtask, note, reviewer, profile, as_json)


@review.command()
def release(episode: Name, reviewer: Reviewer = "", profile: Profile = None, as_json: Json = False) -> None:
    """Give an episode back that you have taken."""
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.reviews.release(episode, reviewer=reviewer)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found.record.episode.name}: looked at by {found.holder or 'nobody'}")


@review.command()
def figures(profile: Profile = None, as_json: Json = False) -> None:
    """Show how far the rules agree with people, by kind of fault, and how long the queue is."""
    from palaestra.cli.output import print_json, print_line, print_table
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.reviews.figures()
    if as_json:
        print_json(found)
        return
    print_line(
        f"{found.open_count} open, {found.claimed_count} of them looked at; "
        f"{found.accepted_count} accepted, {found.rejected_count} rejected"
    )
    rows = (
        (
            *(one.method, one.kind, str(one.both), str(one.rule_only), str(one.person_only)),
            f"{one.precision:.3f}" if one.HasField("precision") else "-",
            f"{one.recall:.3f}" if one.HasField("recall") else "-",
        )
        for one in found.agreements
    )
    heads = ("RULE", "KIND", "BOTH", "RULE ONLY", "PERSON ONLY", "PRECISION", "RECALL")
    print_table(heads, rows, empty="nobody has named the faults of an episode yet")


def _only(client: Any, robot: str, model: str, maker: str, scenario: str, fault: str, low: Any, high: Any) -> Any:
    from palaestra import names
    from palaestra.review import wanted

    full = names.unit(robot, client.identity()) if robot else ""
    return wanted(
        robot=full, robot_model=model, maker=maker, scenario=scenario, fault=fault, quality_min=low, quality_max=high
    )


def _order(order: str) -> str:
    from palaestra.review import ORDERS

    if order not in ORDERS:
        raise typer.BadParameter(f"--order {order!r}: one of {', '.join(ORDERS)}")
    return order


def parts_of(given: list[str] | None) -> list[tuple[str, float, float]] | None:
    """Return subtasks from "NAME=START-END" [s] each; None where there are none. Raises BadParameter."""
    found = []
    for text in given or ():
        name, equals, span = text.partition("=")
        start, dash, end = span.partition("-")
        try:
            if not (equals and dash):
                raise ValueError(text)
            found.append((name, float(start), float(end)))
        except ValueError:
            raise typer.BadParameter(f"--subtask {text!r}: NAME=START-END in seconds, such as reach=0-1.4") from None
    return found or None


def _answer(
    verdict: str,
    episode: str,
    outcome: str,
    cause: str,
    grade: str,
    faults: str | None,
    subtask: list[str] | None,
    note: str,
    reviewer: str,
    profile: str | None,
    as_json: bool,
) -> None:
    from palaestra.cli.output import print_json
    from palaestra.cli.session import connect
    from palaestra.review import opinion

    kinds = None
    if faults is not None:
        kinds = [] if faults == "none" else [kind.strip() for kind in faults.split(",")]
    try:
        said = opinion(
            verdict,
            outcome=outcome,
            failure_cause=cause,
            grade=grade,
            faults=kinds,
            subtasks=parts_of(subtask),
            note=note,
            reviewer=reviewer,
        )
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    with connect(profile) as client:
        found = client.reviews.answer(episode, said)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _show(found: Any, picture: Path | None, profile: str | None, as_json: bool) -> None:
    from palaestra.cli.output import print_json

    if picture is not None:
        _draw(found.record.episode.name, picture, profile)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _print(found: Any) -> None:
    from palaestra.cli.output import print_line, print_table
    from palaestra.cli.text import seconds

    episode = found.record.episode
    print_line(episode.name)
    print_line(f"task: {episode.task}")
    print_line(f"robot: {episode.robot_model}, {seconds(episode.duration_s)}, {episode.rows} rows")
    print_line(f"in the queue: {'yes' if found.open else 'no'}" + (f", {found.holder}" if found.holder else ""))
    rows = ((one.field, one.value, f"{one.author} {one.version}") for one in found.annotations)
    print_table(("FIELD", "VALUE", "BY"), rows, empty="nobody has said anything of it yet")


def _draw(episode: str, out: Path, profile: str | None) -> None:
    from palaestra.cli.session import find_login
    from palaestra.download import download
    from palaestra.errors import PalaestraError

    login = find_login(profile)
    if not login.api_url:
        raise PalaestraError("INVALID_FIELD", "the login names no api_url: log in again with the venue's file")
    url = f"{login.api_url.rstrip('/')}/v1/{episode}/picture"
    download(url, login.token, out, show=False, tls_root=login.tls_root, is_whole=_is_png, kind="PNG image")


def _is_png(path: Path) -> bool:
    data = path.read_bytes()
    return data[:8] == b"\x89PNG\r\n\x1a\n" and data[-8:-4] == b"IEND"


def _faults(labels: Any) -> list[str]:
    return [f"{key.removeprefix('fault.')} {labels[key]}" for key in sorted(labels) if key.startswith("fault.")]
