"""The demo's tables on the terminal."""

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table

from palaestra.v1 import job_pb2
from venue.outcome import Outcome, in_order, ran_s, waited_s
from venue.plan import DemoJob

COLOURS = {
    job_pb2.JOB_STATE_QUEUED: "dim",
    job_pb2.JOB_STATE_GRANTED: "cyan",
    job_pb2.JOB_STATE_RUNNING: "bold cyan",
    job_pb2.JOB_STATE_CANCELLING: "yellow",
    job_pb2.JOB_STATE_SUCCEEDED: "green",
    job_pb2.JOB_STATE_FAILED: "red",
    job_pb2.JOB_STATE_CANCELLED: "yellow",
}


ENDED = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})


def state_text(job: job_pb2.Job) -> str:
    """Return the job's state as coloured text."""
    name = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
    colour = COLOURS.get(job.state, "")
    return f"[{colour}]{name}[/{colour}]" if colour else name


def live_table(planned: Sequence[DemoJob], jobs: Mapping[str, job_pb2.Job]) -> Table:
    """Return what is going on now."""
    ended = sum(job.state in ENDED for job in jobs.values())
    at_work = sum(job.state not in ENDED and job.state != job_pb2.JOB_STATE_QUEUED for job in jobs.values())
    title = f"{at_work} at work, {len(jobs) - at_work - ended} waiting, {ended} of {len(planned)} ended"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="dim")
    for column in ("job", "vendor", "state", "holds", "progress"):
        table.add_column(column)
    for item in planned:
        job = jobs.get(item.key)
        if job is None:
            table.add_row(item.key, item.vendor, "[dim]waits for its policy[/dim]", "", "")
            continue
        active = job.state in (job_pb2.JOB_STATE_GRANTED, job_pb2.JOB_STATE_RUNNING) and job.attempts
        holds = ", ".join(in_order(job)[-1].resources) if active else ""
        done = job.progress.fraction
        bar = "█" * round(10 * done) + "░" * (10 - round(10 * done))
        table.add_row(item.key, item.vendor, state_text(job), escape(holds), f"{bar} {escape(job.progress.message)}")
    return table


def summary_table(outcome: Outcome) -> Table:
    """Return how everything ended."""
    table = Table(title="What happened", header_style="bold")
    for column in ("job", "vendor", "what", "state"):
        table.add_column(column)
    for column in ("tries", "wait s", "run s", "episodes", "return before", "after", "success"):
        table.add_column(column, justify="right")
    for item in outcome.planned:
        job = outcome.jobs.get(item.key)
        if job is None:
            continue
        table.add_row(item.key, item.vendor, escape(job.display_name), state_text(job), *figures(job))
    return table


def figures(job: job_pb2.Job) -> list[str]:
    """Return tries, wait, run, episodes, return before, return after and success of a job as texts."""
    result = job.result
    before = f"{result.return_before:.2f}" if result.HasField("return_before") else ""
    after = f"{result.return_after:.2f}" if result.HasField("return_after") else ""
    success = ""
    if result.trials:
        success = f"{result.success_rate:.0%} [{result.success_low:.0%}, {result.success_high:.0%}]".replace(
            "[", "("
        ).replace("]", ")")
    return [
        str(len(job.attempts)),
        f"{waited_s(job):.1f}",
        f"{ran_s(job):.1f}",
        str(job.episode_count or ""),
        before,
        after,
        success,
    ]
