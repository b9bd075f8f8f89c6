"""`palaestra units`, and for operators `palaestra unit stop|reset|fault`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile, UnitName

if TYPE_CHECKING:
    from palaestra.v1.venue_pb2 import Unit

_FAULTS = ("encoder_dropout", "encoder_frozen", "joint_stuck")

unit = typer.Typer(help="Operators: stop, reset or fault a unit.", rich_markup_mode=None, no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command("units")(list_units)
    app.add_typer(unit, name="unit")


def list_units(profile: Profile = None, as_json: Json = False) -> None:
    """List the venue's units."""
    from palaestra.cli.output import listing, print_json, print_table
    from palaestra.cli.session import connect
    from palaestra.names import last

    with connect(profile) as client:
        units = list(client.units())
    if as_json:
        print_json(listing("units", units))
        return
    print_table(
        ("UNIT", "CLASS", "MAKER", "MODEL", "JOINTS", "STATE", "BATTERY", "LABELS", "FAULT"),
        (
            (
                last(unit.name),
                unit.robot_class,
                unit.maker,
                unit.robot_model,
                str(unit.joint_count or ""),
                f"{_state(unit)}{' (yours)' if unit.lease else ''}",
                f"{unit.battery:.0%}" if unit.HasField("battery") else "",
                ", ".join(f"{key}={unit.labels[key]}" for key in sorted(unit.labels)),
                unit.fault,
            )
            for unit in units
        ),
        empty="no units",
    )


@unit.command()
def stop(name: UnitName, profile: Profile = None, as_json: Json = False) -> None:
    """Ask a unit for a protective stop. This is not a safety-rated emergency stop."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.stop_unit(name), as_json=as_json)


@unit.command()
def reset(name: UnitName, profile: Profile = None, as_json: Json = False) -> None:
    """Clear a unit's latched fault once its cause is gone. Never starts motion."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.reset_unit(name), as_json=as_json)


@unit.command()
def fault(
    name: UnitName,
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {', '.join(_FAULTS)}.")],
    joint: Annotated[str, typer.Option(help="Joint that fails; without it the first.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Put a fault into an emulated unit, to see what the venue does."""
    from palaestra.cli.session import connect
    from palaestra.v1.venue_service_pb2 import FaultKind

    if kind not in _FAULTS:
        raise typer.BadParameter(f"{kind!r} is none of {', '.join(_FAULTS)}")
    with connect(profile) as client:
        known: FaultKind = getattr(FaultKind, f"FAULT_KIND_{kind.upper()}")
        _report(client.inject_fault(name, known, joint), as_json=as_json)


def _report(unit: "Unit", *, as_json: bool) -> None:
    from palaestra.cli.output import print_json, print_line

    if as_json:
        print_json(unit)
    else:
        print_line(f"{unit.name}: {_state(unit)}{f' ({unit.fault})' if unit.fault else ''}")


def _state(unit: "Unit") -> str:
    from palaestra.v1.venue_pb2 import UnitState

    return UnitState.Name(unit.state).removeprefix("UNIT_STATE_").lower()
