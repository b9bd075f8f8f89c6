"""`palaestra units`, and for operators `palaestra unit stop|reset|fault|health|calibrate|quarantine`."""

from typing import TYPE_CHECKING, Annotated

import typer

from palaestra.cli.options import Json, Profile, Reason, UnitName

if TYPE_CHECKING:
    from palaestra.v1.venue_pb2 import Unit

_ORDERED = ("maintenance", "retired", "bad", "suspect", "good")
_FAULTS = ("encoder_dropout", "encoder_frozen", "joint_stuck")

unit = typer.Typer(
    help="Operators: stop, reset, fault or care for a unit.", rich_markup_mode=None, no_args_is_help=True
)


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
        ("UNIT", "CLASS", "MAKER", "MODEL", "JOINTS", "STATE", "HEALTH", "BATTERY", "LABELS", "FAULT"),
        (
            (
                last(unit.name),
                unit.robot_class,
                unit.maker,
                unit.robot_model,
                str(unit.joint_count or ""),
                f"{_state(unit)}{' (yours)' if unit.lease else ''}",
                _health(unit),
                _battery(unit),
                ", ".join(f"{key}={unit.labels[key]}" for key in sorted(unit.labels)),
                unit.fault,
            )
            for unit in units
        ),
        empty="no units",
    )


@unit.command()
def stop(name: UnitName, reason: Reason = "", profile: Profile = None, as_json: Json = False) -> None:
    """Ask a unit for a protective stop. This is not a safety-rated emergency stop."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.stop_unit(name, reason=reason), as_json=as_json)


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


@unit.command()
def health(
    name: UnitName,
    state: Annotated[str, typer.Argument(metavar="HEALTH", help=f"One of {', '.join(_ORDERED)}.")],
    cause: Annotated[str, typer.Option(help="Why, for the log.")] = "",
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Take a unit out of service, or bring it back: "suspect" has it checked first, "good" vouches for it."""
    from palaestra.cli.session import connect
    from palaestra.v1.venue_pb2 import UnitHealth

    if state not in _ORDERED:
        raise typer.BadParameter(f"{state!r} is none of {', '.join(_ORDERED)}")
    with connect(profile) as client:
        wanted: UnitHealth = getattr(UnitHealth, f"UNIT_HEALTH_{state.upper()}")
        _report(client.set_unit_health(name, wanted, cause=cause), as_json=as_json)


@unit.command()
def quarantine(name: UnitName, reason: Reason = "", profile: Profile = None, as_json: Json = False) -> None:
    """Give a unit up as bad; `palaestra release --unit` brings it back, to be checked first."""
    from palaestra.cli.session import connect

    with connect(profile) as client:
        _report(client.operations.quarantine(name, reason=reason), as_json=as_json)


@unit.command()
def calibrate(
    name: UnitName,
    days: Annotated[float, typer.Option(min=0.0, help="Days from now that the calibration is good for; 0 for ever.")],
    profile: Profile = None,
    as_json: Json = False,
) -> None:
    """Write down until when a unit's calibration is good."""
    import time

    from palaestra.cli.session import connect

    with connect(profile) as client:
        expire_s = time.time() + days * 86_400.0 if days else None
        _report(client.calibrate_unit(name, expire_s), as_json=as_json)


def _report(unit: "Unit", *, as_json: bool) -> None:
    from palaestra.cli.output import print_json, print_line

    if as_json:
        print_json(unit)
    else:
        words = ", ".join(filter(None, (_state(unit), _health(unit))))
        print_line(f"{unit.name}: {words}{f' ({unit.fault})' if unit.fault else ''}")


def _state(unit: "Unit") -> str:
    from palaestra.v1.venue_pb2 import UnitState

    return UnitState.Name(unit.state).removeprefix("UNIT_STATE_").lower()


def _health(unit: "Unit") -> str:
    from palaestra.v1.venue_pb2 import UnitHealth

    return UnitHealth.Name(unit.health).removeprefix("UNIT_HEALTH_").lower() if unit.health else ""


def _battery(unit: "Unit") -> str:
    level = f"{unit.battery:.0%}" if unit.HasField("battery") else ""
    return f"{level} charging".strip() if unit.body_state.charging else level
