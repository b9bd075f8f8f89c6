"""`python -m sim host`: a unit host whose units are emulated in MuJoCo."""

import argparse
import json
import logging
import os
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from controller.errors import ControllerError
from controller.host import run_host
from controller.settings import HostSettings
from controller.unit import HostedUnit
from sim import catalog
from sim.body import body_of
from sim.errors import MissingModel, SimError
from sim.unit import EmulatedUnit

log = logging.getLogger(__name__)


def main(arguments: Sequence[str]) -> int:
    """Serve the units of one [[host]] of a venue file until told to stop. Returns 2 if that cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m sim host", description=__doc__)
    parser.add_argument("--venue", type=Path, required=True, help="the venue file")
    parser.add_argument("--host", required=True, help="id of a [[host]] in it")
    parser.add_argument("--scheduler", required=True, help="address of the scheduler")
    parser.add_argument("--token-file", type=Path, required=True, help="token of role host")
    parser.add_argument("--state", type=Path, required=True, help="folder of the highest epochs; must outlive us")
    parser.add_argument("--listen", default="127.0.0.1:0", help="address to serve drives on")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    root = os.environ.get("MENAGERIE_ROOT")
    try:
        tables = tomllib.loads(given.venue.read_text())
        settings = HostSettings(
            host=given.host,
            scheduler=given.scheduler,
            token=given.token_file.read_text().strip(),
            state_folder=given.state,
            listen=given.listen,
        )
        units = emulated_units(tables, given.host, settings.period_s, Path(root) if root else None)

        def announce(address: str) -> None:
            path = given.state / f"{given.host}.address"
            temporary = path.with_suffix(".tmp")
            temporary.write_text(json.dumps({"address": address, "units": len(units)}))
            temporary.rename(path)

        run_host(settings, units, announce=announce)
    except (OSError, tomllib.TOMLDecodeError, KeyError, SimError, ControllerError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def emulated_units(
    tables: Mapping[str, Any], host: str, period_s: float, menagerie_root: Path | None
) -> list[HostedUnit]:
    """Return the units of one host of a parsed venue file, those whose models are on this machine.

    Raises:
        SimError: none of them is, or a robot id is unknown.
        KeyError: the file lacks a field.
    """
    venue = tables["venue"]["id"]
    wanted = [table for table in tables.get("unit", []) if table.get("host") == host]
    models: dict[str, EmulatedUnit] = {}
    units = []
    for table in wanted:
        entry = catalog.find(table["robot"], menagerie_root)
        serial = table.get("serial", f"emu-{venue}-{table['id']}")
        try:
            twin = models.get(entry.id)
            driver = EmulatedUnit(
                entry, serial, period_s=period_s, model=twin and twin.model, spec=twin and twin.spec
            )
        except MissingModel as error:
            log.warning("unit %s stays offline: %s", table["id"], error)
            continue
        models.setdefault(entry.id, driver)
        units.append(
            HostedUnit(
                name=f"venues/{venue}/units/{table['id']}",
                driver=driver,
                spec=driver.spec,
                home_rad=tuple(float(q) for q in body_of(driver.model, driver.spec).home_q),
                robot_class=entry.robot_class,
                maker=entry.maker,
                labels=table.get("labels", {}),
            )
        )
    if not units:
        missing = ", ".join(sorted({table["robot"] for table in wanted})) or "none configured"
        raise MissingModel(f"host {host}: no unit can be emulated here (robots: {missing})")
    return units


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
