"""`python -m sim.host`: a unit host whose robots are emulated, as a venue file lists them.

The host itself, its loop, its leases and its epochs are the control room's; this composes it with
`EmulatedUnit`s. Robots whose models are not on this machine stay offline; the others come up without them.
"""

import argparse
import json
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import mujoco

from controller.errors import ControllerError
from controller.spec import RobotSpec
from controller.unit import Battery
from sim.battery import EmulatedBattery
from sim.body import body_of
from sim.catalog import ACTUATORS, Actuators, find
from sim.errors import BrokenVenue, MissingModel, SimError
from sim.unit import EmulatedUnit
from sim.venue import UnitTwin, VenueTwin, load_venue

if TYPE_CHECKING:
    from palaestra.tls_files import TlsFiles

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Config:
    """Settings of one host process.

    Attributes:
        venue: Venue file.
        host: Which of its hosts this is.
        scheduler: Address of the scheduler.
        token_file: File with the host role's token.
        state: Folder that outlives the process; `<host>.address` tells there, as JSON, what is served where.
        listen: Address to serve drives on; port 0 takes a free one.
        period_s: Control period.
        watchdog_s: A driven unit that hears no target for this long stops; None keeps what its robot model says.
        tls: Certificates towards the scheduler, and for drives beyond loopback.
        battery_lapse: Batteries empty and fill that many times as fast as real ones.
        actuators: Of its robots, as of `EmulatedUnit`.
        menagerie_root: A MuJoCo Menagerie checkout, if there is one.
    """

    venue: Path
    host: str
    scheduler: str
    token_file: Path
    state: Path
    listen: str
    period_s: float
    watchdog_s: float | None
    battery_lapse: float
    actuators: Actuators
    tls: "TlsFiles"
    menagerie_root: Path | None


def emulated_units(
    twins: Sequence[UnitTwin],
    *,
    period_s: float,
    menagerie_root: Path | None = None,
    battery_lapse: float = 1.0,
    actuators: Actuators = ACTUATORS[0],
) -> list[tuple[UnitTwin, EmulatedUnit]]:
    """Bring up the units whose models are on this machine; units of one robot share its compiled model.

    Raises UnknownRobot, BrokenModel, BrokenCatalogue. A missing model is logged and left out.
    """
    shared: dict[str, tuple[mujoco.MjModel, RobotSpec]] = {}
    out = []
    for twin in twins:
        entry = find(twin.robot, menagerie_root)
        model, spec = shared.get(twin.robot, (None, None))
        try:
            battery = None if entry.battery is None else EmulatedBattery(entry.battery, lapse=battery_lapse)
            unit = EmulatedUnit(
                entry, twin.id, period_s=period_s, model=model, spec=spec, battery=battery, actuators=actuators
            )
        except MissingModel as error:
            log.warning("unit %s stays offline: %s", twin.id, error)
            continue
        shared[twin.robot] = (unit.model, unit.spec)
        out.append((twin, unit))
    return out


def units_of(venue: VenueTwin, host: str) -> list[UnitTwin]:
    """Return the units that a host of the venue serves. Raises BrokenVenue if there are none."""
    twins = [unit for unit in venue.units if unit.host == host]
    if not twins:
        hosts = sorted({unit.host for unit in venue.units if unit.host})
        raise BrokenVenue(f"no unit of venue {venue.id!r} is on host {host!r}; hosts are {', '.join(hosts) or 'none'}")
    return twins


def serve(config: Config) -> None:
    """Serve until SIGTERM or SIGINT. Raises SimError, ControllerError, OSError."""
    # gRPC takes a moment to load; a wrong argument is answered before.
    from controller.host import run_host
    from controller.settings import HostSettings
    from controller.unit import HostedUnit

    config.state.mkdir(parents=True, exist_ok=True)
    venue = load_venue(config.venue)
    twins = units_of(venue, config.host)
    settings = HostSettings(
        host=config.host,
        scheduler=config.scheduler,
        token=config.token_file.read_text(encoding="utf-8").strip(),
        state_folder=config.state,
        tls=config.tls,
        listen=config.listen,
        period_s=config.period_s,
        watchdog_s=config.watchdog_s,
    )
    emulated = emulated_units(
        twins,
        period_s=config.period_s,
        menagerie_root=config.menagerie_root,
        battery_lapse=config.battery_lapse,
        actuators=config.actuators,
    )
    units = [
        HostedUnit(
            name=f"venues/{venue.id}/units/{twin.id}",
            driver=unit,
            spec=unit.spec,
            home_rad=tuple(float(q) for q in body_of(unit.model, unit.spec).home_q),
            robot_class=unit.entry.robot_class,
            maker=unit.entry.maker,
            payload_kg=unit.entry.payload_kg,
            sensors=unit.sensors,
            battery=_as_seen(unit.entry.battery, config.battery_lapse),
        )
        for twin, unit in emulated
    ]
    if not units:
        raise BrokenVenue(f"none of the models of host {config.host!r} is on this machine")
    address_file = config.state / f"{config.host}.address"

    def announce(address: str) -> None:
        # Whole or not at all: somebody waits for this file to appear and reads it at once.
        partial = address_file.with_suffix(".address.part")
        partial.write_text(json.dumps({"address": address, "units": len(units)}), encoding="utf-8")
        partial.replace(address_file)
        log.info("serving %d units on %s", len(units), address)

    run_host(settings, units, announce=announce)


def _above_zero(text: str) -> float:
    value = float(text)
    if not 0.0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _as_seen(battery: Battery | None, lapse: float) -> Battery | None:
    """Return the battery that the lapse makes of a real one: as if it were that much smaller."""
    return battery and replace(battery, capacity_wh=battery.capacity_wh / lapse)


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 after a clean stop, 1 if serving failed, 2 if it could not begin because of what was given."""
    parser = argparse.ArgumentParser(
        prog="python -m sim.host", description="Serve the emulated units of a venue's host."
    )
    parser.add_argument("--venue", type=Path, required=True, help="venue file")
    parser.add_argument("--host", required=True, help="which host of the venue")
    parser.add_argument("--scheduler", required=True, help="address of the scheduler")
    parser.add_argument("--token-file", type=Path, required=True, help="file with the host role's token")
    parser.add_argument("--state", type=Path, required=True, help="folder that outlives the process")
    parser.add_argument("--listen", default="127.0.0.1:0", help="address to serve drives on (a free port)")
    parser.add_argument("--period-s", type=float, default=0.002, help="control period (0.002)")
    parser.add_argument("--watchdog-s", type=float, help="a unit without targets for this long stops (its model's own)")
    parser.add_argument(
        "--battery-lapse", type=_above_zero, default=1.0, help="batteries empty and fill so much faster"
    )
    parser.add_argument(
        "--actuators", choices=ACTUATORS, default=ACTUATORS[0], help=f"what drives the robots' joints ({ACTUATORS[0]})"
    )
    for name, meaning in (("ca", "certificates to trust; without: no TLS"), ("cert", "to show"), ("key", "of --cert")):
        parser.add_argument(f"--{name}", type=Path, help=meaning)
    given = parser.parse_args(arguments)
    root = os.environ.get("MENAGERIE_ROOT")
    from palaestra.tls_files import NoCertificate, TlsFiles

    try:
        tls = TlsFiles.of(given)
        tls.check_private(given.scheduler)
    except NoCertificate as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 2
    others = {name: value for name, value in vars(given).items() if name not in ("ca", "cert", "key")}
    config = Config(**others, tls=tls, menagerie_root=Path(root) if root else None)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        serve(config)
    except SimError as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 2
    except (ControllerError, OSError) as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
