"""The loop's side of a unit host: units, cohorts and drivers, owned by one thread, ticking on time.

Everything that touches a joint happens in `Station.tick`. Other threads never touch a cohort: they replace
small immutable values (the authority over a unit, its newest target), or post a call that the next tick
carries out. What they read back are immutable snapshots. So no lock is held across a tick, nothing queues up
behind a slow caller, and a caller that hangs cannot keep a unit alive: the deadline of its authority is
checked here, in the tick, on the monotonic clock.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from controller.approach import Approach
from controller.cohort import Cohort, Floor
from controller.errors import (
    CommandError,
    DriverError,
    LatchedError,
    NoAuthorityError,
    NotReadyError,
    StopHeldError,
)
from controller.injection import InjectableDriver, InjectedFault
from controller.loop import Clock, Loop
from controller.plausibility import Plausibility
from controller.recorder import Recorder, Row
from controller.safety import STOP_0_FAULTS, STOP_1_FAULTS, Fault, State
from controller.spec import RobotSpec
from controller.unit import Authority, Charge, HostedUnit, Status, Target

log = logging.getLogger(__name__)

HARMLESS = Fault.WATCHDOG | Fault.STOP_REQUESTED | Fault.COMMAND_REJECTED | Fault.POSITION_LIMIT
"""Faults after which the next holder of a lease may drive without an operator: the unit itself is sound."""

RECORDER_S = 4.0
"""How much a recorder keeps for a reader that is behind; older samples give way."""

POSE_EVERY_TICKS = 50
"""The base pose for the floor plan is for people: ten times a second is plenty."""

RESET_PATIENCE_S = 1.0
"""How long after the braking a reset waits for the cause to go away."""

CALLS_MAX = 1000


class _Seat:
    """A unit's place in its cohort, and what the threads tell each other about it."""

    def __init__(self, hosted: HostedUnit, cohort: Cohort, column: int, driver: InjectableDriver) -> None:
        self.hosted = hosted
        self.cohort = cohort
        self.column = column
        self.driver = driver
        self.q, self.dq = cohort.q[:, column], cohort.dq[:, column]
        self.tau = cohort.tau[:, column]
        self.q_ref = cohort.block.held_q_ref[:, column]
        # Written by other threads, read by the tick. Each is one reference, replaced whole.
        self.authority: Authority | None = None
        self.target: Target | None = None
        self.over_epoch = 0
        # The tick's own.
        self.approach: Approach | None = None
        self.driving_epoch = 0
        self.opened_epoch = 0
        self.first_torque_unix_ns = 0
        self.protective = False
        self.reset_until_s: float | None = None
        self.driver_error = ""
        self.recorder: Recorder | None = None
        self.status = Status()
        self.base_pose: npt.NDArray[np.float64] | None = None
        self.charge = Charge()


class Station:
    """All units of one host and the thread that drives them."""

    def __init__(
        self,
        units: Sequence[HostedUnit],
        *,
        period_s: float,
        clock: Clock,
        dtype: npt.DTypeLike = np.float32,
        backend: Literal["compiled", "numpy"] | None = None,
        ddq_max_rad_s2: float | None = None,
        on_change: Callable[[], None] = lambda: None,
        on_death: Callable[[BaseException], None] = lambda error: None,
    ) -> None:
        """Seat the units, in one cohort per model. `ddq_max_rad_s2` limits targets; None leaves them as they come.

        `on_change` and `on_death` are called in the loop's thread: when some unit's `Status` has changed, and
        when the loop ended by an error (all units are in their safe state by then).

        Raises:
            CommandError: two units share a name, a driver is not the model it is said to be, two units
                of one model have different specifications, or `home_rad` has another number of joints.
        """
        self.period_s = period_s
        self._clock = clock
        self._on_change = on_change
        self._on_death = on_death
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._tick_now = 0
        _refuse_unfit(units)
        models: dict[str, list[HostedUnit]] = {}
        for hosted in units:
            models.setdefault(hosted.spec.robot_model, []).append(hosted)
        self._seats: dict[str, _Seat] = {}
        cohorts = []
        for members in models.values():
            cohort = Cohort(
                members[0].spec, len(members), period_s, dtype=dtype, backend=backend, plausibility=Plausibility()
            )
            cohorts.append(cohort)
            for column, hosted in enumerate(members):
                driver = InjectableDriver(hosted.driver)
                seat = self._seats[hosted.name] = _Seat(hosted, cohort, column, driver)
                if ddq_max_rad_s2 is not None:
                    seat.approach = Approach(cohort, column, ddq_max_rad_s2)
        self._floor = Floor(cohorts)
        self.backend = cohorts[0].backend
        self._loop = Loop(period_s, self.tick, clock)
        self._thread: threading.Thread | None = None

    @property
    def units(self) -> Mapping[str, HostedUnit]:
        """The units by name."""
        return {name: seat.hosted for name, seat in self._seats.items()}

    @property
    def missed_ticks(self) -> int:
        """Ticks that the loop had to skip so far."""
        return self._loop.report.missed

    def start(self) -> None:
        """Start the loop in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="control-loop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Brake all units, wait until their torque is off, end the loop and close the drivers."""
        for name, seat in self._seats.items():
            self.revoke(name, seat.authority.epoch if seat.authority else seat.over_epoch)
        patience_s = 0.2 + max(seat.hosted.spec.stop_timeout_s for seat in self._seats.values())
        give_up_s = time.monotonic() + patience_s
        while self._alive() and time.monotonic() < give_up_s and not self._all_off():
            time.sleep(self.period_s)
        self._loop.stop()
        if self._thread is not None:
            self._thread.join(timeout=5.0)
        for seat in self._seats.values():
            seat.driver.close()

    def authorise(self, unit: str, authority: Authority) -> None:
        """Let an epoch drive the unit from now on, or for longer."""
        self._seats[unit].authority = authority

    def revoke(self, unit: str, over_epoch: int) -> None:
        """End every epoch up to `over_epoch` for good. A unit driven by one brakes in the next tick."""
        seat = self._seats[unit]
        seat.over_epoch = max(seat.over_epoch, over_epoch)
        if seat.authority is not None and seat.authority.epoch <= seat.over_epoch:
            seat.authority = None

    def send(self, unit: str, target: Target) -> None:
        """Leave a target for the next tick; a newer one replaces it. Shapes must be right: see `Cohort`."""
        self._seats[unit].target = target

    def status(self, unit: str) -> Status:
        """Return the unit as of the last tick."""
        return self._seats[unit].status

    def base_pose(self, unit: str) -> npt.NDArray[np.float64] | None:
        """Return the base's position and quaternion (w, x, y, z), a few times a second; None if fixed."""
        return self._seats[unit].base_pose

    def charge(self, unit: str) -> Charge:
        """Return the unit's battery as of lately."""
        return self._seats[unit].charge

    def plug(self, unit: str) -> "Future[None]":
        """Send the unit to a charger. The future raises CommandError where it has no battery, NotReadyError in use."""
        return self._post(lambda: self._plug(self._seats[unit]))

    def open(self, unit: str, *, epoch: int, every_ticks: int) -> "Future[tuple[npt.NDArray[Any], Recorder]]":
        """Make the unit ready for targets of `epoch`: reset it if its last stop was harmless, and arm it.

        An emulation that can is put back to where it started when an epoch opens it for the first time.

        The future gives the measured position [rad], (J,), and a recorder of every nth tick; or raises
        NoAuthorityError, LatchedError, or NotReadyError (ask again: it is still braking).
        """
        return self._post(lambda: self._open(self._seats[unit], epoch, every_ticks))

    def close(self, unit: str) -> "Future[None]":
        """Brake the unit and forget its recorder. Its grant stays: it may be opened again."""
        return self._post(lambda: self._close(self._seats[unit]))

    def protect(self, unit: str) -> "Future[None]":
        """Brake the unit and latch it until `reset`."""
        return self._post(lambda: self._protect(self._seats[unit]))

    def inject(self, unit: str, fault: InjectedFault, joint: str) -> "Future[None]":
        """Break the unit. The future raises CommandError where that cannot be done."""
        return self._post(lambda: self._seats[unit].driver.inject(fault, joint))

    def reset(self, unit: str) -> "Future[None]":
        """Mend what was injected and reset the unit as soon as the cause of its stop is gone."""
        return self._post(lambda: self._want_reset(self._seats[unit]))

    def tick(self, k: int) -> None:
        """Carry out tick k: read, obey, step, write, tell."""
        self._tick_now = k
        now_s = self._clock.now_s()
        seats = self._seats.values()
        # Taken before authority is judged: what was over by now is certain to be obeyed in this tick.
        over = [seat.over_epoch for seat in seats]
        for seat in seats:
            self._read(seat)
        answers = [self._answer(*self._calls.popleft()) for _ in range(len(self._calls))]
        for seat in seats:
            self._obey(seat, now_s)
        self._floor.step()
        for seat in seats:
            self._write(seat)
        changed = False
        for seat, over_epoch in zip(seats, over, strict=True):
            changed |= self._tell(seat, over_epoch)
        # Only now: who gets an answer must find the status that goes with it.
        for answer in answers:
            answer()
        if changed:
            self._on_change()

    def _answer(self, call: Callable[[], Any], answer: "Future[Any]") -> Callable[[], None]:
        """Carry out a call and return what tells its caller."""
        if not answer.set_running_or_notify_cancel():
            return lambda: None
        try:
            result = call()
        except Exception as error:
            return partial(answer.set_exception, error)
        return partial(answer.set_result, result)

    def _run(self) -> None:
        try:
            self._loop.run()
        except BaseException as error:
            log.exception("the control loop died")
            for seat in self._seats.values():
                seat.driver.safe_state()
            self._on_death(error)

    def _alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _all_off(self) -> bool:
        return all(seat.status.state not in (State.RUN, State.STOPPING) for seat in self._seats.values())

    def _post(self, call: Callable[[], Any]) -> "Future[Any]":
        answer: Future[Any] = Future()
        if len(self._calls) >= CALLS_MAX:
            answer.set_exception(NotReadyError(f"{CALLS_MAX} calls are waiting for the loop"))
        else:
            self._calls.append((call, answer))
        return answer

    def _read(self, seat: _Seat) -> None:
        try:
            seat.driver.read(seat.q, seat.dq)
        except DriverError as error:
            # A robot that does not answer is a robot that measures nothing: the core stops it.
            seat.q[:] = seat.dq[:] = np.nan
            seat.driver_error = str(error)

    def _obey(self, seat: _Seat, now_s: float) -> None:
        state = seat.cohort.unit_state(seat.column)
        if seat.reset_until_s is not None:
            self._reset(seat, state, now_s, seat.reset_until_s)
        if seat.driving_epoch:
            authority = seat.authority
            allowed = (
                authority is not None
                and authority.epoch == seat.driving_epoch
                and authority.epoch > seat.over_epoch
                and now_s < authority.deadline_s
            )
            if not allowed:
                self._let_go(seat)
        target, seat.target = seat.target, None
        if target is not None and seat.driving_epoch and target.epoch == seat.driving_epoch:
            spec = seat.hosted.spec
            if seat.approach is not None:
                target = seat.approach.limited(target)
            kp, kd = target.kp_nm_rad, target.kd_nms_rad
            seat.cohort.set_target(
                seat.column,
                q_ref=target.q_ref_rad,
                dq_ref=target.dq_ref_rad_s,
                tau_ff=target.tau_ff_nm,
                kp=[joint.kp_nm_rad for joint in spec.joints] if kp is None else kp,
                kd=[joint.kd_nms_rad for joint in spec.joints] if kd is None else kd,
            )
        elif seat.approach is not None and seat.driving_epoch and state is State.RUN:
            seat.approach.move_on()

    def _reset(self, seat: _Seat, state: State, now_s: float, until_s: float) -> None:
        # Where there is nothing to reset, or it cannot be done soon, the wish lapses: it must not clear a
        # fault that comes later.
        nothing_to_do = state not in (State.STOPPING, State.STOPPED) and not seat.protective
        if nothing_to_do or now_s >= until_s:
            seat.reset_until_s = None
        elif state is State.STOPPED:
            try:
                seat.cohort.reset(seat.column)
            except StopHeldError:
                return
            seat.reset_until_s = None
            seat.protective = False
            seat.driver_error = ""

    def _write(self, seat: _Seat) -> None:
        try:
            seat.driver.write(seat.tau)
        except DriverError as error:
            seat.driver_error = str(error)
            seat.driver.safe_state()
            seat.cohort.request_stop(seat.column, 0)
            seat.protective = True

    def _tell(self, seat: _Seat, over_epoch: int) -> bool:
        k, state = self._tick_now, seat.cohort.unit_state(seat.column)
        powered = state in (State.RUN, State.STOPPING)
        if not seat.first_torque_unix_ns and state is State.RUN and seat.tau.any():
            seat.first_torque_unix_ns = time.time_ns()
        if k % POSE_EVERY_TICKS == 0:
            seat.base_pose = self._pose(seat)
            seat.charge = self._charge(seat)
        recorder = seat.recorder
        if recorder is not None and recorder.is_due(k):
            pose = self._pose(seat)
            recorder.put(
                Row(
                    (k - recorder.start_tick) * self.period_s,
                    seat.q.astype(np.float32),
                    seat.dq.astype(np.float32),
                    seat.tau.astype(np.float32),
                    seat.q_ref.astype(np.float32),
                    None if pose is None else pose.astype(np.float32),
                )
            )
        before = seat.status
        safe_epoch = before.safe_epoch if powered else max(before.safe_epoch, over_epoch)
        faults = seat.cohort.unit_faults(seat.column)
        harmful = bool(faults & ~HARMLESS)
        latched = state in (State.STOPPING, State.STOPPED) and (harmful or seat.protective)
        if (
            state is before.state
            and latched == before.latched
            and faults == before.faults
            and safe_epoch == before.safe_epoch
            and seat.first_torque_unix_ns == before.first_torque_unix_ns
        ):
            return False
        seat.status = Status(
            state=state,
            faults=faults,
            fault_text=_fault_text(seat) if harmful or seat.protective or Fault.WATCHDOG in faults else "",
            latched=latched,
            safe_epoch=safe_epoch,
            first_torque_unix_ns=seat.first_torque_unix_ns,
        )
        return True

    def _pose(self, seat: _Seat) -> npt.NDArray[np.float64] | None:
        pose = np.empty(7)
        try:
            return pose if seat.driver.base_pose(pose) else None
        except DriverError:
            return None

    def _charge(self, seat: _Seat) -> Charge:
        try:
            return Charge(seat.driver.charge_level(), seat.driver.is_charging())
        except DriverError:
            return Charge()

    def _plug(self, seat: _Seat) -> None:
        if seat.cohort.unit_state(seat.column) in (State.ARMED, State.RUN, State.STOPPING):
            raise NotReadyError(f"{seat.hosted.name} is being driven")
        seat.driver.charge(True)
        seat.charge = self._charge(seat)

    def _open(self, seat: _Seat, epoch: int, every_ticks: int) -> tuple[npt.NDArray[Any], Recorder]:
        authority = seat.authority
        if authority is None or authority.epoch != epoch or epoch <= seat.over_epoch:
            raise NoAuthorityError(f"{seat.hosted.name}: epoch {epoch} does not drive it")
        cohort, column = seat.cohort, seat.column
        state, faults = cohort.unit_state(column), cohort.unit_faults(column)
        if seat.protective or faults & ~HARMLESS:
            raise LatchedError(f"{seat.hosted.name}: {_fault_text(seat)}")
        if state in (State.ARMED, State.RUN):
            self._let_go(seat)
        if state not in (State.INIT, State.STOPPED):
            raise NotReadyError(f"{seat.hosted.name} is still {state.name}")
        try:
            # Nobody drives off with the cable in.
            seat.driver.charge(False)
            if state is State.STOPPED:
                cohort.reset(column)
            if epoch != seat.opened_epoch:
                seat.driver.restart()
                seat.driver.read(seat.q, seat.dq)
            cohort.arm(column)
        except (StopHeldError, DriverError) as error:
            raise NotReadyError(f"{seat.hosted.name}: {error}") from error
        if epoch != seat.opened_epoch:
            seat.first_torque_unix_ns = 0
        if seat.approach is not None:
            seat.approach.begin(seat.q)
        seat.driving_epoch = seat.opened_epoch = epoch
        seat.target = None
        rate_hz = 1.0 / (self.period_s * every_ticks)
        seat.recorder = Recorder(
            every_ticks=every_ticks,
            rows=max(10, round(RECORDER_S * rate_hz)),
            start_tick=self._tick_now,
            start_missed=self.missed_ticks,
        )
        return seat.q.copy(), seat.recorder

    def _close(self, seat: _Seat) -> None:
        self._let_go(seat)
        seat.recorder = None

    def _let_go(self, seat: _Seat) -> None:
        if seat.cohort.unit_state(seat.column) in (State.ARMED, State.RUN):
            seat.cohort.request_stop(seat.column, 1)
        seat.driving_epoch = 0

    def _protect(self, seat: _Seat) -> None:
        seat.protective = True
        seat.cohort.request_stop(seat.column, 1)

    def _want_reset(self, seat: _Seat) -> None:
        seat.driver.mend()
        seat.reset_until_s = self._clock.now_s() + seat.hosted.spec.stop_timeout_s + RESET_PATIENCE_S


def _fault_text(seat: _Seat) -> str:
    """Return what is wrong, for people: "SENSOR_NOT_FINITE at left_knee"."""
    stops = STOP_0_FAULTS | STOP_1_FAULTS
    parts = [
        f"{bit.name} at {joint}"
        for joint, bits in seat.cohort.joint_faults(seat.column).items()
        for bit in bits & stops
    ]
    faults = seat.cohort.unit_faults(seat.column)
    if Fault.WATCHDOG in faults:
        parts.append(f"WATCHDOG: no complete target for {seat.hosted.spec.watchdog_s} s")
    if seat.driver_error:
        parts.append(f"driver: {seat.driver_error}")
    if seat.protective and not parts:
        parts.append("protective stop")
    return "; ".join(parts)[:500]


def _refuse_unfit(units: Sequence[HostedUnit]) -> None:
    if not units:
        raise CommandError("a host serves at least one unit")
    seen: dict[str, RobotSpec] = {}
    names: set[str] = set()
    for hosted in units:
        if hosted.name in names:
            raise CommandError(f"two units are named {hosted.name!r}")
        names.add(hosted.name)
        identity, spec = hosted.driver.identity(), hosted.spec
        if identity.robot_model != spec.robot_model or identity.joints != spec.joint_names:
            raise CommandError(
                f"{hosted.name}: the driver is a {identity.robot_model} with joints {identity.joints}, "
                f"the specification a {spec.robot_model} with joints {spec.joint_names}"
            )
        if hosted.home_rad is not None and len(hosted.home_rad) != len(spec.joints):
            raise CommandError(f"{hosted.name}: home_rad = {hosted.home_rad}: {len(spec.joints)} joints")
        if seen.setdefault(spec.robot_model, spec) != spec:
            raise CommandError(f"{hosted.name}: another unit of model {spec.robot_model} has other limits")
