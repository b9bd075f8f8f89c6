"""A real unit host of many emulated units that writes down what reaches their joints.

Each command carries the epoch of who sent it in its first joint's target, so that what is written down does not depend
on the checks that are to be proved: it is taken where the control core gets its targets, and where the robot gets its
torques.
"""

import json
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from controller import drive
from controller.driver import Vector
from controller.dry_robot import dry_robot
from controller.host import run_host
from controller.plant import PlantDriver
from controller.settings import HostSettings
from controller.station import Station
from controller.unit import Authority, HostedUnit
from palaestra.tls_files import TlsFiles
from palaestra.v1 import unit_host_service_pb2 as pb
from tests.leases.records import Records

PERIOD_S = 0.02
# A tick that is later than that, because the machine did something else, is worth a line.
STALL_S = 0.1
# A target of so many radians for each epoch: thousands of epochs stay within the joint's range.
EPOCH_RAD = 1e-4


class _Witness:
    """Stands for a cohort and writes down the targets that it gets."""

    def __init__(self, cohort: Any, units: list[str], records: Records) -> None:
        self._cohort, self._units, self._records = cohort, units, records

    def set_target(self, column: int, *, q_ref: Any, **others: Any) -> None:
        self._records.write("command", unit=self._units[column], epoch=round(q_ref[0] / EPOCH_RAD))
        self._cohort.set_target(column, q_ref=q_ref, **others)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cohort, name)


class WitnessedStation(Station):
    """A station whose commands are written down before they count."""

    records: Records

    def __init__(self, units: Any, **settings: Any) -> None:
        super().__init__(units, **settings)
        self._over: dict[str, int] = {}
        self._told_s = time.monotonic()
        names = [hosted.name for hosted in units]
        for seat in self._seats.values():
            seat.cohort = _Witness(seat.cohort, names, self.records)  # type: ignore[assignment]

    def _tell(self, seat: Any, over_epoch: int) -> bool:
        # In the loop's own thread, and of what was over as its tick began: later commands come later in the record.
        unit, now_s = seat.hosted.name, time.monotonic()
        if now_s - self._told_s > STALL_S:
            self.records.write("stall", duration_s=now_s - self._told_s)
        self._told_s = now_s
        if over_epoch > self._over.get(unit, 0):
            self._over[unit] = over_epoch
            self.records.write("over", unit=unit, epoch=over_epoch)
        return super()._tell(seat, over_epoch)


class HeedlessStation(WitnessedStation):
    """The defect to be found: whoever opens a unit drives it, whatever has become of his epoch."""

    def _open(self, seat: Any, epoch: int, every_ticks: int) -> Any:
        with _heedless(seat, epoch):
            return super()._open(seat, epoch, every_ticks)

    def _obey(self, seat: Any, now_s: float) -> None:
        with _heedless(seat, seat.driving_epoch):
            super()._obey(seat, now_s)


@contextmanager
def _heedless(seat: Any, epoch: int) -> Iterator[None]:
    """Have a seat believe that an epoch may drive it. What it tells the scheduler stays as it is."""
    over_epoch, authority = seat.over_epoch, seat.authority
    seat.authority, seat.over_epoch = Authority(epoch, math.inf), 0
    try:
        yield
    finally:
        seat.authority, seat.over_epoch = authority, over_epoch


def _plant_defect() -> None:
    """Have this process's host ask nobody for epochs."""
    drive_module: Any = drive
    host_module: Any = sys.modules["controller.host"]
    drive_module.permit = lambda *_, **__: None
    drive_module.DriveService._ending = lambda self, request, reading: pb.DriveEnded() if reading.done() else None
    host_module.Station = HeedlessStation


class WitnessedPlant(PlantDriver):
    """A plant that writes down when torque comes on and goes off."""

    def __init__(self, *arguments: Any, unit: str, records: Records, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self._unit, self._records, self._powered = unit, records, False

    def write(self, tau: Vector) -> None:
        super().write(tau)
        self._note(bool(np.any(tau)))

    def safe_state(self) -> None:
        super().safe_state()
        self._note(False)

    def _note(self, powered: bool) -> None:
        if powered is not self._powered:
            self._powered = powered
            self._records.write("torque", unit=self._unit, on=powered)


def main() -> int:
    """Serve until told to stop. The settings come as JSON in the first argument."""
    given = json.loads(sys.argv[1])
    records = Records(Path(given["folder"]) / f"host-{os.getpid()}.records")
    WitnessedStation.records = records
    host_module: Any = sys.modules["controller.host"]
    host_module.Station = WitnessedStation
    if given["heedless"]:
        _plant_defect()
    spec = replace(dry_robot(1), stop_dwell_s=0.02, stop_timeout_s=0.5, watchdog_s=given["watchdog_s"])
    units = [
        HostedUnit(
            name=unit,
            driver=WitnessedPlant(spec, period_s=PERIOD_S, serial=unit[-8:], unit=unit, records=records),
            spec=spec,
            robot_class="arm",
            maker="none",
        )
        for unit in given["units"]
    ]
    settings = HostSettings(
        host="farm",
        scheduler=given["scheduler"],
        token=given["token"],
        state_folder=Path(given["folder"]),
        tls=TlsFiles(*(Path(path) for path in given["tls"])),
        listen=given["listen"],
        period_s=PERIOD_S,
        silence_s=given["silence_s"],
        reconnect_max_s=0.5,
        dtype="float64",
    )
    records.write("host")
    run_host(settings, units)
    return 0


if __name__ == "__main__":
    sys.exit(main())
