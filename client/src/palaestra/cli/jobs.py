"""`palaestra jobs`, `job`, `array`, `watch`, `logs`, `explain`, `estimates` and `cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import ArrayName, JobName, Json, Profile

if TYPE_CHECKING:
    from palaestra.client import Client
    from palaestra.v1.job_array_pb2 import JobArray
    from palaestra.v1.job_pb2 import Job, JobState

_STATES = ("queued", "granted", "running", "cancelling", "succeeded", "failed", "cancelled")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("jobs")(list_jobs)
    app.command("job")(show)
    app.command("array")(show_array)
    app.command()(watch)
    app.command()(logs)
    app.command()(explain)
    app.command()(estimates)
    app.command()(cancel)


def list_jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"Only jobs in this state; may be repeated: {', '.join(_STATES)}."),
    ] = None,
    array: Annotated[str | None, typer.Option(help="Only jobs of this array.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Show at most so many, the newest.")] = 100,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """List jobs, newest first."""
    from datetime import UTC, datetime
    from itertools import islice

    from palaestra.cli import describe
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect, warn
    from palaestra.names import last

    states = [_state(text) for text in state or ()]
    with connect(profile) as client:
        found = list(islice(client.jobs(states, array=array), limit))
        own = bool(client.identity().vendor)
    if as_json:
        print_json(listing("jobs", found))
        return
    now = datetime.now(UTC)
    print_table(
        ("JOB", "NAME", "WORK", "STATE", "PROGRESS", "WAITED", "RAN", "EPISODES"),
        (
            (
                last(job.name) if own else job.name,
                job.display_name,
                describe.work(job),
                describe.state(job),
                describe.progress(job),
                describe.waited(job, now),
                describe.ran(job, now),
                str(job.episode_count or ""),
            )
            for job in found
        ),
        empty="no jobs",
    )
    if len(found) == limit:
        warn(f"these are the newest {limit}; --limit shows more")


def show(job: JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Show everything about a job."""
    from datetime import UTC, datetime

    from palaestra.cli import describe
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.job(job)
    if as_json:
        print_json(found)
    else:
        print_facts(describe.facts(found, datetime.now(UTC)))


def show_array(array: ArrayName, profile: Profile = None, as_json: Json = False) -> None:
    """Show how many jobs of an array are in which state."""
    from palaestra.cli import describe
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.array(array)
    if as_json:
        print_json(found)
    else:
        print_facts(describe.array(found))


def watch(job: JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Follow a job to its end. Exit 1 unless it succeeds."""
    from palaestra.cli import follow
    from palaestra.cli.session import connect

    with connect(profile) as client:
        ended = follow.as_lines(client, job) if as_json else follow.visibly(client, job)
    follow.require_success(ended)


def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")] = False,
    from_line: Annotated[int, typer.Option("--from-line", min=1, help="First line to show.")] = 1,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Print a job's log. With --json, one object for each line."""
    from palaestra.cli.output import print_json_line, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        for line in client.log(job, from_line=from_line, follow=follow):
            if as_json:
                print_json_line(line)
            else:
                print_line(line.text)


def explain(job: JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Say why a job waits, when it will start, and what would help."""
    from palaestra.cli import starts
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect
    from palaestra.v1.job_pb2 import JobState

    with connect(profile) as client:
        answer = client.explain(job)
    if as_json:
        print_json(answer)
        return
    state = JobState.Name(answer.state).removeprefix("JOB_STATE_").lower()
    ahead = str(answer.jobs_ahead) if state == "queued" else ""
    facts = [("state", state), ("why", answer.summary), ("jobs ahead", ahead)]
    print_facts([*facts, *starts.facts(answer.start)])
    starts.print_reasons(answer.reasons)
    starts.print_changes(answer.start)


def estimates(profile: Profile = None, as_json: Json = False) -> None:
    """Say how well the starts that this venue told have held."""
    from palaestra.cli import starts
    from palaestra.cli.output import print_facts, print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.estimates()
    if as_json:
        print_json(found)
    elif not found.jobs:
        print_line("too few jobs have been told a start yet")
    else:
        print_facts(starts.calibration(found))


def cancel(
    name: Annotated[str, typer.Argument(metavar="JOB|ARRAY", help="Name of a job or array, or the last part of it.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Ask for the end of a job, or of all jobs of an array."""
    from palaestra.cli import describe
    from palaestra.cli.output import print_facts, print_json, print_line
    from palaestra.cli.session import connect
    from palaestra.v1.job_pb2 import Job

    with connect(profile) as client:
        found = _cancel(client, name)
    if as_json:
        print_json(found)
    elif isinstance(found, Job):
        print_line(f"{found.name}: {describe.state(found)}")
    else:
        print_facts(describe.array(found))


def _cancel(client: "Client", name: str) -> "Job | JobArray":
    """Cancel what has the name; the last part of a name does not say whether it is a job or an array."""
    from palaestra.errors import PalaestraError

    if "/jobArrays/" in name:
        return client.cancel_array(name)
    try:
        return client.cancel(name)
    except PalaestraError as error:
        if error.reason != "NOT_FOUND" or "/" in name:
            raise
        try:
            return client.cancel_array(name)
        except PalaestraError as second:
            raise (error if second.reason == "NOT_FOUND" else second) from None


def _state(text: str) -> "JobState":
    from palaestra.v1.job_pb2 import JobState

    if text.lower() not in _STATES:
        raise typer.BadParameter(f"--state {text!r} is none of {', '.join(_STATES)}")
    state: JobState = getattr(JobState, f"JOB_STATE_{text.upper()}")
    return state
