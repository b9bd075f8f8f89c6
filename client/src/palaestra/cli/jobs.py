"""`palaestra jobs`, `job`, `watch`, `logs`, `explain` and `cancel`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import JobName, Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.job_pb2 import JobState

_STATES = ("queued", "granted", "running", "cancelling", "succeeded", "failed", "cancelled")


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("jobs")(list_jobs)
    app.command("job")(show)
    app.command()(watch)
    app.command()(logs)
    app.command()(explain)
    app.command()(cancel)


def list_jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help=f"Only jobs in this state; may be repeated: {', '.join(_STATES)}."),
    ] = None,
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
        found = list(islice(client.jobs(states), limit))
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
    """Say why a job waits and what would help."""
    from palaestra.cli.output import print_facts, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.v1.job_pb2 import JobState

    with connect(profile) as client:
        answer = client.explain(job)
    if as_json:
        print_json(answer)
        return
    state = JobState.Name(answer.state).removeprefix("JOB_STATE_").lower()
    ahead = str(answer.jobs_ahead) if state == "queued" else ""
    print_facts([("state", state), ("why", answer.summary), ("jobs ahead", ahead)])
    if answer.reasons:
        print_table(
            ("CONSTRAINT", "ASKED", "FIT", "FREE", "WHY", "WHAT HELPS"),
            (
                (r.constraint.lower(), str(r.requested), str(r.matching), str(r.free), r.message, r.fix)
                for r in answer.reasons
            ),
            empty="",
        )


def cancel(job: JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Ask for the end of a job."""
    from palaestra.cli import describe
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    with connect(profile) as client:
        found = client.cancel(job)
    if as_json:
        print_json(found)
    else:
        print_line(f"{found.name}: {describe.state(found)}")


def _state(text: str) -> "JobState":
    from palaestra.v1.job_pb2 import JobState

    if text.lower() not in _STATES:
        raise typer.BadParameter(f"--state {text!r} is none of {', '.join(_STATES)}")
    state: JobState = getattr(JobState, f"JOB_STATE_{text.upper()}")
    return state
