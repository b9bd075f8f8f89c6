"""`palaestra slot`: lease worlds for a program of one's own, and let it in."""

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import JobName, Json, Profile

if TYPE_CHECKING:
    from palaestra.v1.job_service_pb2 import SlotTicket

slot = typer.Typer(
    help="Lease worlds for a program of your own; `client.slots` of the SDK is such a program.",
    rich_markup_mode=None,
    no_args_is_help=True,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.add_typer(slot, name="slot")


@slot.command()
def lease(
    robot: Annotated[str, typer.Option("--robot", metavar="MODEL", help="Robot model to simulate.")],
    task: Annotated[str, typer.Option(help="Task of the venue's catalogue; this or --motion.")] = "",
    motion: Annotated[str, typer.Option(help="Motion of the venue's catalogue, instead of a task.")] = "",
    worlds: Annotated[int, typer.Option(min=0, show_default=False, help="How many; 16 unless given.")] = 0,
    sim_slots: Annotated[int, typer.Option("--sim-slots", min=1, help="Sim slots to run in.")] = 1,
    duration_s: Annotated[
        float, typer.Option("--duration-s", help="Longest time the lease lasts, in seconds.")
    ] = 600.0,
    idle_s: Annotated[
        float,
        typer.Option("--idle-s", show_default=False, help="How long the worlds wait for a program; 60 s unless given."),
    ] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of all chance in them.")] = 0,
    wait_s: Annotated[
        float, typer.Option("--wait-s", help="How long to wait for the worlds, in seconds; then the job is cancelled.")
    ] = 600.0,
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Submit a job that leaves worlds to a program elsewhere; return when they stand, with a ticket."""
    from palaestra import jobs
    from palaestra.cli.session import connect
    from palaestra.errors import PalaestraError

    if bool(task) == bool(motion):
        raise typer.BadParameter("name a --task or a --motion, one of them")
    job = jobs.serve(
        robot,
        task=task,
        motion=motion,
        worlds=worlds,
        sim_slots=sim_slots,
        duration_s=duration_s,
        idle_s=idle_s,
        seed=seed,
    )
    with connect(profile) as client:
        name = client.submit(job).name
        try:
            found = client.slots.ticket(name, start_timeout_s=wait_s)
        except BaseException as error:
            # Nobody has learnt its name: it would wait on, and then hold slots, for no one.
            with suppress(PalaestraError):
                client.cancel(name)
            if isinstance(error, TimeoutError):
                raise PalaestraError("SLOT_NOT_READY", f"{error}; it was cancelled") from None
            raise
        _print(name, found, as_json=as_json)


@slot.command()
def ticket(name: JobName, profile: Profile = None, as_json: Json = False) -> None:
    """Print where a job's worlds are, and a ticket that opens them for a minute."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _print(name, client.open_slot(name), as_json=as_json)


def _print(job: str, found: "SlotTicket", *, as_json: bool) -> None:
    from palaestra.cli.output import print_facts, print_json

    if as_json:
        print_json(found)
        return
    print_facts(
        [
            ("job", job),
            ("address", found.address),
            ("with TLS", found.tls_address or "none: from this venue's machine alone"),
            ("lease", found.lease),
            ("epoch", str(found.epoch)),
            ("ticket", found.token),
            ("good until", found.expire_time.ToJsonString()),
            ("lease ends by", found.end_by_time.ToJsonString()),
        ]
    )
