"""The demo: three vendors share one venue; one robot breaks, one job is cancelled, all the others end well."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape

from palaestra import Client
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2, venue_service_pb2
from venue.outcome import Outcome, in_order, judge, seconds_between
from venue.plan import DemoJob, NotEnoughRobots, plan
from venue.profile import Profile
from venue.report import write_report
from venue.supervisor import Supervisor, VenueError
from venue.table import ENDED, live_table, summary_table

# The whole of it takes under three minutes; past this something is wrong.
PATIENCE_S = 300.0
# In the middle of an episode, so that what was cut short can be seen in the catalogue.
FAULT_AFTER_S = 3.0
CANCEL_AFTER_S = 6.0
POLL_S = 0.25


def run(profile: Profile, data: Path, report: Path, *, keep: bool) -> int:
    """Run the demo; return 0 if everything went as it should."""
    console = Console()
    if not console.is_terminal:
        # Into a file or a pipe: wide enough for the table.
        console = Console(width=160)
    interrupt = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupt.set())
    started_s = time.monotonic()
    console.rule(f"[bold]{profile.name}")
    supervisor = Supervisor(profile, data, say=lambda text: console.print(f"  {escape(text)}"), interrupt=interrupt)
    try:
        supervisor.start()
        console.print(f"  ready after {time.monotonic() - started_s:.0f} s; console at {supervisor.api_url}\n")
        outcome = _Demo(supervisor, console, interrupt).play()
        path = write_report(outcome, report)
        console.print(summary_table(outcome))
        for problem in outcome.problems:
            console.print(f"[red]not as it should be:[/red] {escape(problem)}")
        console.print(f"\n  report     {path}")
        console.print(f"  took       {time.monotonic() - started_s:.0f} s")
        if keep:
            console.print(f"  console    {supervisor.api_url}  (tokens in {supervisor.data / 'tokens'}; Ctrl-C ends)")
            interrupt.wait()
        else:
            console.print(
                f"  console    `make up` starts this venue again, with all of this in it, at {supervisor.api_url}"
            )
        return 1 if outcome.problems else 0
    except (VenueError, NotEnoughRobots, PalaestraError) as error:
        console.print(f"[red]error:[/red] {escape(str(error))}")
        return 2
    finally:
        console.print("  stopping")
        supervisor.stop()


class _Demo:
    """The play: everything is done through the SDK, as the vendors and the operator would."""

    def __init__(self, supervisor: Supervisor, console: Console, interrupt: threading.Event) -> None:
        self._console = console
        self._interrupt = interrupt
        address = supervisor.scheduler_address
        self._operator = Client(address, supervisor.token("operator"))
        self._vendors = {
            vendor: Client(address, supervisor.token(f"vendor-{vendor}")) for vendor in supervisor.profile.vendors
        }
        self._venue = self._operator.venue()
        self._jobs: dict[str, job_pb2.Job] = {}
        self._names: dict[str, str] = {}
        self._faulted = ""
        self._cancel_asked_s = 0.0
        self._cancel_took_s: float | None = None

    def play(self) -> Outcome:
        """Submit, disturb, watch, and say how it went."""
        before = list(self._operator.units())
        everything = plan(before, tuple(self._vendors))
        for job in everything:
            if not job.after:
                self._submit(job, job.job)
        terminal = self._console.is_terminal
        last: dict[str, int] = {}
        deadline_s = time.monotonic() + PATIENCE_S
        with Live(console=self._console, refresh_per_second=4, transient=True) if terminal else _Quiet() as live:
            while time.monotonic() < deadline_s and not self._interrupt.is_set():
                self._refresh()
                self._disturb(everything)
                self._submit_followers(everything)
                if terminal:
                    live.update(live_table(everything, self._jobs))
                else:
                    self._tell_changes(everything, last)
                if len(self._jobs) == len(everything) and all(job.state in ENDED for job in self._jobs.values()):
                    break
                time.sleep(POLL_S)
        self._repair()
        outcome = Outcome(
            venue=self._venue,
            units=before,
            planned=everything,
            jobs=dict(self._jobs),
            usage=list(self._operator.usage().usage),
            faulted_unit=self._faulted,
            cancel_took_s=self._cancel_took_s,
        )
        return judge(outcome)

    def _submit(self, planned: DemoJob, job: job_pb2.Job) -> None:
        submitted = self._vendors[planned.vendor].submit(job)
        self._names[planned.key] = submitted.name
        self._jobs[planned.key] = submitted
        if not self._console.is_terminal:
            self._console.print(f"  {planned.vendor} submits {planned.key}: {job.display_name}")

    def _submit_followers(self, everything: list[DemoJob]) -> None:
        for planned in everything:
            before = self._jobs.get(planned.after)
            if planned.key in self._names or before is None or before.state not in ENDED:
                continue
            job = job_pb2.Job()
            job.CopyFrom(planned.job)
            if before.state == job_pb2.JOB_STATE_SUCCEEDED:
                job.evaluate.policy_job = before.name
            self._submit(planned, job)

    def _refresh(self) -> None:
        for vendor, client in self._vendors.items():
            prefix = f"vendors/{vendor}/"
            wanted = {name: key for key, name in self._names.items() if name.startswith(prefix)}
            for job in client.jobs():
                if job.name in wanted:
                    self._jobs[wanted.pop(job.name)] = job
                if not wanted:
                    break

    def _disturb(self, everything: list[DemoJob]) -> None:
        """Break one robot, and cancel one job, once each is well under way."""
        for planned in everything:
            job = self._jobs.get(planned.key)
            if job is None or job.state not in (job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_CANCELLED):
                continue
            running_s = seconds_between(in_order(job)[-1].start_time, None) if job.attempts else 0.0
            if planned.gets_fault and not self._faulted and running_s > FAULT_AFTER_S:
                self._faulted = f"{self._venue.name}/units/{in_order(job)[-1].resources[0]}"
                kind = venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT
                self._operator.inject_fault(self._faulted, kind)
                self._say(f"an encoder of {self._faulted} fails while {planned.key} uses it")
            if planned.gets_cancelled and not self._cancel_asked_s and running_s > CANCEL_AFTER_S:
                self._cancel_asked_s = time.monotonic()
                self._vendors[planned.vendor].cancel(job.name)
                self._say(f"{planned.vendor} cancels {planned.key}")
            if planned.gets_cancelled and self._cancel_took_s is None and job.state == job_pb2.JOB_STATE_CANCELLED:
                self._cancel_took_s = time.monotonic() - self._cancel_asked_s

    def _repair(self) -> None:
        """Put the broken robot right again, so that the next demo finds it."""
        if not self._faulted:
            return
        try:
            self._operator.reset_unit(self._faulted)
        except PalaestraError as error:
            self._say(f"{self._faulted} could not be reset: {error}")

    def _tell_changes(self, everything: list[DemoJob], last: dict[str, int]) -> None:
        for planned in everything:
            job = self._jobs.get(planned.key)
            if job is not None and last.get(planned.key) != job.state:
                last[planned.key] = job.state
                state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
                held = f" with {', '.join(in_order(job)[-1].resources)}" if job.attempts and job.state in (2, 3) else ""
                self._console.print(f"  {planned.key}: {state}{held}")

    def _say(self, text: str) -> None:
        self._console.print(f"  [yellow]{escape(text)}[/yellow]")


class _Quiet:
    """Stands in for the live display where there is no terminal."""

    def __enter__(self) -> "_Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        return

    update: Callable[..., None] = staticmethod(lambda *_: None)
