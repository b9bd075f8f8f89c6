"""Orders of the scheduler, reported as carried out."""

from dataclasses import replace
from pathlib import Path

from controller.plant import PlantDriver
from controller.unit import Battery
from palaestra.v1 import host_service_pb2 as up
from tests.controller.fake_scheduler import eventually
from tests.controller.scene import A, Scene, hosted, play


def test_beats_report_an_order_as_done_for_as_long_as_it_is_listed(tmp_path: Path) -> None:
    """The report that got lost with a cut stream is made again, because the scheduler lists the order again."""

    async def act(here: Scene) -> None:
        await eventually("heard of", lambda: bool(here.scheduler.beats))
        assert list(here.scheduler.beats[-1].orders_done) == []
        here.scheduler.order(A, protective_stop=up.ProtectiveStop())
        await eventually("reported", lambda: list(here.scheduler.beats[-1].orders_done) == [1])
        latched = here.scheduler.status(A).motion == up.MOTION_STATE_LATCHED
        assert latched, "done is said with the beat that shows the effect, or later"
        here.scheduler.orders.clear()
        await eventually("no longer reported", lambda: list(here.scheduler.beats[-1].orders_done) == [])

    play(tmp_path, act)


def test_an_epoch_that_ended_before_it_was_heard_of_is_confirmed_and_never_obeyed(tmp_path: Path) -> None:
    """The grant got lost on the way; were it to arrive late, it would have to be refused."""

    async def act(here: Scene) -> None:
        here.scheduler.ended = [up.EndedEpoch(unit=A, epoch=7)]
        await eventually("confirmed", lambda: here.scheduler.status(A).safe_epoch >= 7)
        here.scheduler.grant(A, 7)
        await eventually("seen again", lambda: len(here.scheduler.beats) > 2)
        assert here.host.highest(A) == 7
        assert here.host.grant(A) is None
        here.scheduler.ended = []
        here.scheduler.grant(A, 8)
        await eventually("the next one holds", lambda: here.host.grant(A) is not None)

    play(tmp_path, act)


class ChargingDriver(PlantDriver):
    """A robot on a battery."""

    charging = False

    def charge_level(self) -> float | None:
        return 0.25

    def is_charging(self) -> bool:
        return self.charging

    def charge(self, on: bool) -> None:
        self.charging = on


def test_a_host_tells_what_its_units_are_and_sends_them_to_a_charger(tmp_path: Path) -> None:
    async def act(here: Scene) -> None:
        declared = here.scheduler.hellos[-1].units[0].body
        assert (declared.payload_kg, list(declared.sensors), declared.battery.capacity_wh) == (3.0, ["imu"], 100.0)
        assert declared.firmware
        await eventually("its charge", lambda: here.scheduler.status(A).battery == 0.25)
        assert not here.scheduler.status(A).charging
        here.scheduler.order(A, charge=up.Charge())
        await eventually("reported", lambda: list(here.scheduler.beats[-1].orders_done) == [1])
        assert here.scheduler.status(A).charging, "done is said with the beat that shows the effect, or later"

    battery = Battery(capacity_wh=100.0, work_power_w=4.0, idle_power_w=3.0, rest_power_w=2.0, charge_power_w=5.0)
    units = [replace(u, payload_kg=3.0, sensors=("imu",), battery=battery) for u in hosted(driver=ChargingDriver)]
    play(tmp_path, act, units=units)
