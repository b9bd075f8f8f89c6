"""Following a job on the terminal."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from palaestra.cli import describe
from palaestra.cli.output import print_facts, print_json_line, print_line
from palaestra.cli.text import clean
from palaestra.errors import REASONS, PalaestraError
from palaestra.names import last
from palaestra.v1 import job_pb2
from palaestra.v1.job_pb2 import Job

if TYPE_CHECKING:
    from palaestra.client import Client


def quietly(client: "Client", name: str) -> Job:
    """Return the job when it has ended."""
    return client.wait(name)


def as_lines(client: "Client", name: str) -> Job:
    """Print the job as JSON at each change; return it when it has ended."""
    job = Job()
    for latest in client.watch_job(name):
        job = latest
        print_json_line(job)
    return job


def visibly(client: "Client", name: str) -> Job:
    """Show the job as it moves: a bar on a terminal, else a line for each change; then all about it."""
    job = _with_bar(client, name) if sys.stdout.isatty() else _with_lines(client, name)
    print_facts(describe.facts(job, datetime.now(UTC)))
    return job


def require_success(job: Job) -> None:
    """Raise why the job ended, unless it succeeded."""
    if job.state == job_pb2.JOB_STATE_SUCCEEDED:
        return
    cancelled = job.state == job_pb2.JOB_STATE_CANCELLED
    reason = job.failure.reason
    if reason not in REASONS:
        reason = "JOB_CANCELLED" if cancelled else "WORK_FAILED"
    raise PalaestraError(reason, job.failure.message or f"{job.name}: {describe.state(job)}")


def _with_lines(client: "Client", name: str) -> Job:
    job = Job()
    shown = ""
    for latest in client.watch_job(name):
        job = latest
        # The time of day differs in lines that say the same.
        line = f"{describe.state(job)} {describe.progress(job)}"
        if line != shown:
            print_line(describe.change(job))
        shown = line
    return job


def _with_bar(client: "Client", name: str) -> Job:
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    job = Job()
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[words]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task(last(name), total=1.0, words="")
        for latest in client.watch_job(name):
            job = latest
            words = clean(f"{describe.state(job)} {describe.progress(job)}")
            progress.update(task, completed=job.progress.fraction, words=words)
    return job
