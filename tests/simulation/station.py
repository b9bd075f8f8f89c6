"""Robots, and what stands in for the control loop of a unit host: as `controller.station.Station`, without dynamics.

The host around it, its grants, its epochs on disk and its drive streams are the real ones.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Protocol

import numpy as np

from controller.driver import Capabilities, Identity
from controller.dry_robot import dry_robot
from controller.errors import LatchedError, NoAuthorityError, NotReadyError
from controller.recorder import Recorder
from controller.safety import Fault, State
from controller.unit import Authority, Charge, HostedUnit, Status, Target

TICK_S = 0.1
WATCHDOG_S = 0.8
# A robot whose host is silent lets go by itself.
DEVICE_WATCHDOG_S = 0.25
SPEC = dry_robot(1)


class Witness(Protocol):
    """Sees every robot move."""

    def moves(self, unit: str, epoch: int) -> None:
        """Note that a robot moves now under an epoch."""
        ...

    def rests(self, unit: str) -> None:
        """Note that a robot has come to rest."""
        ...


class DryDriver:
    """A line to a robot that does not exist."""

    def __init__(self, serial: str) -> None:
        self._identity = Identity(SPEC.robot_model, serial, "1", SPEC.joint_names)

    def identity(self) -> Identity:
        return self._identity

    def capabilities(self) -> Capabilities:
        return Capabilities(rate_max_hz=500.0, simulated=True)


def hosted(venue: str, unit: str) -> HostedUnit:
    """Return a unit as a host is given it."""
    driver: Any = DryDriver(f"serial-{unit}")
    return HostedUnit(f"venues/{venue}/units/{unit}", driver, SPEC, robot_class="arm", maker="Own")


@dataclass
class _Seat:
    hosted: HostedUnit
    status: Status = field(default_factory=Status)
    authority: Authority | None = None
    over_epoch: int = 0
    driving_epoch: int = 0
    # Under which epoch it still moves while it brakes.
    braking_epoch: int = 0
    target_s: float = 0.0
    rest_s: float = 0.0
    fault: str = ""


class SimStation:
    """The units of one host. `witness` and `chance` are set for all of them by the venue."""

    witness: Witness
    chance: Random
    # Whether epochs and deadlines mean anything; a planted defect says no.
    fenced = True

    def __init__(
        self,
        units: Sequence[HostedUnit],
        *,
        period_s: float,
        clock: Any,
        on_change: Callable[[], None] = lambda: None,
        on_death: Callable[[BaseException], None] = lambda error: None,
        **_: Any,
    ) -> None:
        self.period_s = period_s
        self.backend = "dry"
        self.missed_ticks = 0
        self._clock = clock
        self._on_change = on_change
        self._seats = {unit.name: _Seat(unit) for unit in units}
        self._ticking: asyncio.Task[None] | None = None
        self._ticked_s = 0.0

    @property
    def units(self) -> Mapping[str, HostedUnit]:
        return {name: seat.hosted for name, seat in self._seats.items()}

    def start(self) -> None:
        # The first thing that a loop writes is no torque.
        for name in self._seats:
            self.witness.rests(name)

    def stop(self) -> None:
        for name in self._seats:
            self.revoke(name, self._seats[name].over_epoch)

    def authorise(self, unit: str, authority: Authority) -> None:
        self._seats[unit].authority = authority

    def revoke(self, unit: str, over_epoch: int) -> None:
        seat = self._seats[unit]
        seat.over_epoch = max(seat.over_epoch, over_epoch)
        if seat.authority is not None and seat.authority.epoch <= seat.over_epoch:
            seat.authority = None
        self._wake()

    def send(self, unit: str, target: Target) -> None:
        seat = self._seats[unit]
        if seat.driving_epoch and target.epoch == seat.driving_epoch:
            seat.target_s = self._clock.now_s()
            if seat.status.state is State.ARMED:
                self._become(seat, State.RUN)

    def status(self, unit: str) -> Status:
        return self._seats[unit].status

    def base_pose(self, unit: str) -> None:
        return None

    def charge(self, unit: str) -> Charge:
        return Charge()

    def open(self, unit: str, *, epoch: int, every_ticks: int) -> "Future[Any]":
        return _answer(lambda: self._open(self._seats[unit], epoch, every_ticks))

    def close(self, unit: str) -> "Future[None]":
        return _answer(lambda: self._let_go(self._seats[unit]))

    def protect(self, unit: str) -> "Future[None]":
        return _answer(lambda: self.break_down(unit, "protective stop"))

    def reset(self, unit: str) -> "Future[None]":
        return _answer(lambda: self._reset(self._seats[unit]))

    def plug(self, unit: str) -> "Future[None]":
        return _answer(lambda: None)

    def break_down(self, unit: str, fault: str) -> None:
        """Latch a fault: the unit brakes, and only a reset lets it move again."""
        seat = self._seats[unit]
        seat.fault = fault
        self._let_go(seat)
        if seat.status.state is not State.STOPPING:
            self._become(seat, State.STOPPED)

    def _open(self, seat: _Seat, epoch: int, every_ticks: int) -> tuple[Any, Recorder]:
        authority = seat.authority
        if self.fenced and (authority is None or authority.epoch != epoch or epoch <= seat.over_epoch):
            raise NoAuthorityError(f"{seat.hosted.name}: epoch {epoch} does not drive it")
        if seat.fault:
            raise LatchedError(f"{seat.hosted.name}: {seat.fault}")
        if seat.status.state in (State.ARMED, State.RUN):
            self._let_go(seat)
        if seat.status.state is State.STOPPING:
            raise NotReadyError(f"{seat.hosted.name} is still stopping")
        seat.driving_epoch = epoch
        seat.target_s = self._clock.now_s()
        self._become(seat, State.ARMED)
        self._wake()
        return np.zeros(1), Recorder(every_ticks=every_ticks, rows=10, start_tick=0, start_missed=0)

    def _let_go(self, seat: _Seat) -> None:
        if seat.status.state is State.RUN:
            seat.braking_epoch = seat.driving_epoch
            seat.rest_s = self._clock.now_s() + self.chance.uniform(0.05, 0.4)
            self._become(seat, State.STOPPING)
        elif seat.status.state is State.ARMED:
            self._become(seat, State.STOPPED)
        seat.driving_epoch = 0
        self._wake()

    def _reset(self, seat: _Seat) -> None:
        # Of one that moves there is nothing to reset.
        if seat.status.state is State.STOPPED:
            seat.fault = ""
            self._become(seat, State.INIT)

    def _become(self, seat: _Seat, state: State) -> None:
        latched = bool(seat.fault) and state in (State.STOPPING, State.STOPPED)
        seat.status = replace(
            seat.status,
            state=state,
            faults=Fault.JOINT_STUCK if latched else Fault.NONE,
            fault_text=seat.fault if latched else "",
            latched=latched,
        )
        self._on_change()

    def _wake(self) -> None:
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.get_running_loop().create_task(self._tick_while_needed())

    async def _tick_while_needed(self) -> None:
        while self._tick():
            await asyncio.sleep(TICK_S)

    def _tick(self) -> bool:
        """Do what the loop does each tick; return whether there is anything to do in the next."""
        now_s = self._clock.now_s()
        # After a gap, such as the process being stopped, robots have let go by themselves and stand still.
        still = now_s - self._ticked_s > DEVICE_WATCHDOG_S
        self._ticked_s = now_s
        busy = False
        for name, seat in self._seats.items():
            # Taken before authority is judged, as the real loop does.
            over_epoch = seat.over_epoch
            authority = seat.authority
            allowed = (
                authority is not None
                and authority.epoch == seat.driving_epoch
                and authority.epoch > seat.over_epoch
                and now_s < authority.deadline_s
            )
            if seat.driving_epoch and not allowed and self.fenced:
                self._let_go(seat)
            if seat.status.state is State.RUN and now_s - seat.target_s > WATCHDOG_S:
                self._let_go(seat)
            if seat.status.state is State.STOPPING and (now_s >= seat.rest_s or still):
                seat.braking_epoch = 0
                self.witness.rests(name)
                self._become(seat, State.STOPPED)
            moving = {State.RUN: seat.driving_epoch, State.STOPPING: seat.braking_epoch}.get(seat.status.state, 0)
            if moving:
                self.witness.moves(name, moving)
            elif seat.status.safe_epoch < over_epoch:
                seat.status = replace(seat.status, safe_epoch=over_epoch)
                self._on_change()
            busy = busy or bool(seat.driving_epoch or moving or seat.status.safe_epoch < seat.over_epoch)
        return busy


def _answer(call: Callable[[], Any]) -> "Future[Any]":
    future: Future[Any] = Future()
    try:
        future.set_result(call())
    except Exception as error:
        future.set_exception(error)
    return future
