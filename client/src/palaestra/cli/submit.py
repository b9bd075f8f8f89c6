"""`palaestra submit`: a job from a file, or from flags; or an array of such jobs."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from palaestra.cli.options import Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.job_pb2 import Job

_FROM_FILE = "file"


class _FileOrKind(TyperGroup):
    """`submit collect ...` is a sub-command; `submit job.toml` stands for `submit file job.toml`."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args and args[0] not in self.commands:
            args = [_FROM_FILE, *args]
        return super().resolve_command(ctx, args)


submit = typer.Typer(
    cls=_FileOrKind,
    help="Submit a job, by file or by flags.",
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"ignore_unknown_options": True},
    subcommand_metavar="JOB.TOML | COMMAND ...",
)

_DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, submit nothing.")]
_WhatIf = Annotated[bool, typer.Option("--what-if", help="Say when it would start, and submit nothing.")]
_Wait = Annotated[bool, typer.Option("--wait", help="Follow the job; exit with 1 unless it succeeds.")]
_Name = Annotated[str, typer.Option("--name", help="Name for people.")]
_Seed = Annotated[int, typer.Option(help="Seed of all chance in the job.")]
_Priority = Annotated[int, typer.Option(min=-100, max=100, help="Order among your own jobs, higher first.")]
_Duration = Annotated[float, typer.Option("--duration-s", help="Longest time the job holds its claim, in seconds.")]
_Slots = Annotated[int, typer.Option("--sim-slots", min=0, help="Sim slots to run in.")]
_Task = Annotated[str, typer.Argument(metavar="TASK", help="Task of the venue; `palaestra venue` lists them.")]
_Model = Annotated[str, typer.Argument(metavar="MODEL", help="Robot model; `palaestra venue` lists them.")]
_Episodes = Annotated[
    int, typer.Option(min=0, show_default=False, help="Number of episodes; collect: on each unit or world.")
]
_Array = Annotated[
    int | None,
    typer.Option("--array", min=1, max=10_000, metavar="N", help="Submit N like jobs, each with a seed of its own."),
]
_After = Annotated[
    list[str] | None, typer.Option(metavar="JOB", help="Start when this job has succeeded; may be repeated.")
]
_Deadline = Annotated[
    str, typer.Option(metavar="TIME", help="Order among jobs of one priority; such as 2026-12-01T18:00, local time.")
]
_Reservation = Annotated[str, typer.Option(help="Reservation to run in.")]
_Actuators = Annotated[
    str, typer.Option(metavar="physical|ideal", help="What drives simulated joints; physical unless given.")
]
_Policy = Annotated[str, typer.Option("--policy-job", help="Training job whose policy to use.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(submit, name="submit")


@submit.command(_FROM_FILE)
def from_file(
    file: Annotated[Path, typer.Argument(metavar="JOB.TOML", exists=True, dir_okay=False)],
    array: _Array = None,
    dry_run: _DryRun = False,
    what_if: _WhatIf = False,
    wait: _Wait = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Submit the job in a TOML file; the word `file` may be left out."""
    from palaestra.jobfile import job_from_toml

    if what_if:
        _ask(job_from_toml(file), array=array, profile=profile, as_json=as_json)
        return
    _send(job_from_toml(file), array=array, dry_run=dry_run, wait=wait, profile=profile, as_json=as_json)


@submit.command()
def collect(
    motion: Annotated[str, typer.Option(help="Motion to play; `palaestra venue` lists them.")] = "",
    policy_job: _Policy = "",
    unit: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[N[-MAX]*]KEY=VALUE[,...]",
            help="Units, such as 2*class=arm or 2-8*model=own_arm; may be repeated. Keys: class, maker, model, name, "
            "joints, payload_kg, effector, sensor, firmware, label.KEY.",
        ),
    ] = None,
    episodes: _Episodes = 0,
    episode_s: Annotated[
        float, typer.Option("--episode-s", show_default=False, help="Length of an episode, in seconds.")
    ] = 0.0,
    model: Annotated[str, typer.Option(help="Robot model to simulate, if no units are asked for.")] = "",
    worlds: Annotated[
        int, typer.Option(min=0, show_default=False, help="Worlds to simulate, if no units are asked for.")
    ] = 0,
    actuators: _Actuators = "",
    sim_slots: Annotated[int | None, typer.Option("--sim-slots", min=0, help="Sim slots for the worlds.")] = None,
    cell: Annotated[str, typer.Option(metavar="CELL", help="Ask for this cell.")] = "",
    scenario: Annotated[str, typer.Option(help="Ask for a cell fitted for this scenario.")] = "",
    seats: Annotated[int, typer.Option(min=0, show_default=False, help="Operators' seats.")] = 0,
    chargers: Annotated[int, typer.Option(min=0, show_default=False, help="Chargers beside the units.")] = 0,
    placement: Annotated[str, typer.Option(help="Units together in one zone, or apart, or anywhere.")] = "",
    sim_first: Annotated[
        bool, typer.Option("--sim-first", help="Reach units only after the same work has passed in simulation.")
    ] = False,
    task: Annotated[str, typer.Option(help="What the robot does, in words.")] = "",
    duration_s: _Duration = 600.0,
    seed: _Seed = 0,
    name: _Name = "",
    priority: _Priority = 0,
    deadline: _Deadline = "",
    after: _After = None,
    reservation: _Reservation = "",
    array: _Array = None,
    dry_run: _DryRun = False,
    what_if: _WhatIf = False,
    wait: _Wait = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Drive units, or simulated worlds, and record every episode."""
    from palaestra import jobs
    from palaestra.cli import requests

    job = jobs.collect(
        motion=motion,
        policy_job=policy_job,
        episodes=episodes,
        episode_s=episode_s,
        task=task,
        units=[requests.unit(text) for text in unit or ()],
        sim_slots=sim_slots,
        robot_model=model,
        worlds=worlds,
        actuators=actuators,
        cell=jobs.cell(name=cell, scenario=scenario) if cell or scenario else None,
        duration_s=duration_s,
        seats=seats,
        chargers=chargers,
        placement=placement,
        sim_first=sim_first,
        seed=seed,
        display_name=name,
        priority=priority,
        deadline=_time(deadline),
        after=after or (),
        reservation=reservation,
    )
    if what_if:
        _ask(job, array=array, profile=profile, as_json=as_json)
        return
    _send(job, array=array, dry_run=dry_run, wait=wait, profile=profile, as_json=as_json)


@submit.command()
def train(
    task: _Task,
    model: _Model,
    iterations: Annotated[int, typer.Option(min=0, show_default=False, help="Steps of the search.")] = 0,
    directions: Annotated[int, typer.Option(min=0, show_default=False, help="Random directions in each step.")] = 0,
    actuators: _Actuators = "",
    sim_slots: _Slots = 1,
    duration_s: _Duration = 3600.0,
    seed: _Seed = 0,
    name: _Name = "",
    priority: _Priority = 0,
    deadline: _Deadline = "",
    after: _After = None,
    reservation: _Reservation = "",
    array: _Array = None,
    dry_run: _DryRun = False,
    what_if: _WhatIf = False,
    wait: _Wait = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Improve a policy for a task in simulation."""
    from palaestra import jobs

    job = jobs.train(
        task,
        model,
        sim_slots=sim_slots,
        iterations=iterations,
        directions=directions,
        duration_s=duration_s,
        seed=seed,
        display_name=name,
        priority=priority,
        deadline=_time(deadline),
        after=after or (),
        reservation=reservation,
    )
    if what_if:
        _ask(job, array=array, profile=profile, as_json=as_json)
        return
    _send(job, array=array, dry_run=dry_run, wait=wait, profile=profile, as_json=as_json)


@submit.command()
def evaluate(
    task: _Task,
    model: _Model,
    policy_job: _Policy = "",
    episodes: _Episodes = 0,
    actuators: _Actuators = "",
    sim_slots: _Slots = 1,
    duration_s: _Duration = 600.0,
    seed: _Seed = 0,
    name: _Name = "",
    priority: _Priority = 0,
    deadline: _Deadline = "",
    after: _After = None,
    reservation: _Reservation = "",
    array: _Array = None,
    dry_run: _DryRun = False,
    what_if: _WhatIf = False,
    wait: _Wait = False,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Report how often a policy succeeds, over seeded episodes."""
    from palaestra import jobs

    job = jobs.evaluate(
        task,
        model,
        policy_job=policy_job,
        episodes=episodes,
        actuators=actuators,
        sim_slots=sim_slots,
        duration_s=duration_s,
        seed=seed,
        display_name=name,
        priority=priority,
        deadline=_time(deadline),
        after=after or (),
        reservation=reservation,
    )
    if what_if:
        _ask(job, array=array, profile=profile, as_json=as_json)
        return
    _send(job, array=array, dry_run=dry_run, wait=wait, profile=profile, as_json=as_json)


def _ask(job: "Job", *, array: int | None, profile: str | None, as_json: bool) -> None:
    from palaestra.cli import starts
    from palaestra.cli.output import print_facts, print_json
    from palaestra.cli.session import connect

    if array is not None:
        raise typer.BadParameter("--what-if is about one job; leave --array out")
    with connect(profile) as client:
        answer = client.what_if(job)
    if as_json:
        print_json(answer)
        return
    if answer.starts_now:
        print_facts([("starts", "now, by the next decision")])
        return
    print_facts([("why not now", answer.summary), ("jobs ahead", str(answer.jobs_ahead)), *starts.facts(answer.start)])
    starts.print_reasons(answer.reasons)
    starts.print_changes(answer.start)


def _send(job: "Job", *, array: int | None, dry_run: bool, wait: bool, profile: str | None, as_json: bool) -> None:
    from palaestra.cli import follow
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    if array is not None:
        _send_array(job, array, dry_run=dry_run, wait=wait, profile=profile, as_json=as_json)
        return
    with connect(profile) as client:
        accepted = client.submit(job, validate_only=dry_run)
        if wait and not dry_run:
            if not as_json:
                print_line(accepted.name)
            accepted = follow.quietly(client, accepted.name) if as_json else follow.visibly(client, accepted.name)
    if as_json:
        print_json(accepted)
    elif dry_run:
        print_line("the venue would accept this job")
    elif not wait:
        print_line(accepted.name)
    if wait and not dry_run:
        follow.require_success(accepted)


def _send_array(job: "Job", size: int, *, dry_run: bool, wait: bool, profile: str | None, as_json: bool) -> None:
    from palaestra.cli.output import print_json, print_line
    from palaestra.cli.session import connect

    if wait:
        raise typer.BadParameter("--wait follows one job; follow an array with `palaestra array`")
    with connect(profile) as client:
        accepted = client.submit_array(job, size, validate_only=dry_run)
    if as_json:
        print_json(accepted)
    else:
        print_line(f"the venue would accept these {size} jobs" if dry_run else accepted.name)


def _time(text: str) -> datetime | None:
    """Return the time that a text says; without an offset from UTC, where the reader is."""
    if not text:
        return None
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"--deadline {text!r} is no time such as 2026-12-01T18:00") from None
