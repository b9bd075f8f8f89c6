"""All units of one robot model, and the floor that steps any mix of them in one call.

    cohort = Cohort(spec, units=4, period_s=0.002)
    cohort.arm(0)
    cohort.set_target(0, q_ref={"left_knee": 0.4}, kp=60.0)
    driver.read(cohort.q[:, 0], cohort.dq[:, 0])
    cohort.step()
    driver.write(cohort.tau[:, 0])

A cohort belongs to one thread. What happens in a step is specified in `controller/reference.py`.
"""

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from controller import kernel, reference
from controller.actuator import ActuatorPhysics
from controller.block import Bits, Block, Real
from controller.errors import CommandError, KernelUnavailableError, StopHeldError
from controller.plausibility import Plausibility
from controller.safety import Event, Fault, State, advance
from controller.spec import RobotSpec

Backend = Literal["compiled", "numpy"]
Units = int | slice | Sequence[int] | npt.NDArray[Any]
Target = float | Sequence[float] | npt.NDArray[Any] | Mapping[str, float]
"""One number for all joints, J numbers in joint order, or numbers by joint name."""

_ALL = slice(None)


class Cohort:
    """All units of one robot model.

    Attributes:
        q_ref, dq_ref, tau_ff, kp, kd: Commands [rad, rad/s, N m, N m/rad, N m s/rad], shape (J, N), yours
            to write. A step sees them after `submit`, all at once, never half written.
        q, dq: Measurements [rad, rad/s], shape (J, N), yours to write before each step.
        tau: Torques [N m] of the last step, shape (J, N), read-only.
        fault: Sticky `Fault` bits per joint, shape (J, N), read-only.
        unit_fault: Sticky `Fault` bits per unit, its joints' included, shape (N,), read-only.
        age_ticks: Ticks since the last complete command, shape (N,), read-only.
        state: `State` per unit, shape (N,), read-only.
        backend: "compiled" or "numpy".
        tau_joint: Motor torque less friction [N m], shape (J, N), read-only; `tau` without physics.
        tau_external: Load on the joints [N m], shape (J, N), yours to write; only with physics.
        supply: Supply voltage over the nominal one, shape (N,), yours to write; only with physics.
        winding_c: Temperature of the windings [degrees Celsius], shape (J, N); only with physics.
        delay_key: What tells the units' random delays apart, shape (N,), 0 to N - 1, yours to write; only with
            physics.
    """

    def __init__(
        self,
        spec: RobotSpec,
        units: int,
        period_s: float,
        *,
        dtype: npt.DTypeLike = np.float32,
        backend: Backend | None = None,
        physics: ActuatorPhysics | None = None,
        plausibility: Plausibility | None = None,
    ) -> None:
        """Make a cohort in which every unit is in INIT, with the default gains and zero everything else.

        Args:
            spec: The robot model.
            units: Number of units, at least 1.
            period_s: Time between two steps, > 0. It does not change.
            dtype: float32 or float64.
            backend: None takes the compiled kernel where there is one.
            physics: Friction, play, heat and delay of the actuators; None for ideal ones.
            plausibility: When joints of running units are taken for frozen or stuck; None never does.

        Raises:
            SpecError: `physics` names a joint that the model does not have, or bristles too stiff for the period.
            CommandError: `units`, `period_s` or `dtype` is none of these.
            KernelUnavailableError: the compiled kernel was asked for and cannot be used.
        """
        if not isinstance(units, int | np.integer) or units < 1:
            raise CommandError(f"units = {units!r}: a cohort has a whole number of them, at least one")
        if not (math.isfinite(period_s) and period_s > 0.0):
            raise CommandError(f"period_s = {period_s!r}: must be finite and above 0")
        if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.float64)):
            raise CommandError(f"dtype = {np.dtype(dtype)}: must be float32 or float64")
        self.spec = spec
        self.units = int(units)
        self.period_s = period_s
        self.backend: Backend = backend if backend is not None else kernel.backend()
        self.block = block = Block(spec, units, period_s, dtype, physics, plausibility)
        self._kp = np.array([[joint.kp_nm_rad] for joint in spec.joints])
        self._kd = np.array([[joint.kd_nms_rad] for joint in spec.joints])
        self.q_ref, self.dq_ref = self._view(block.staged_q_ref), self._view(block.staged_dq_ref)
        self.tau_ff = self._view(block.staged_tau_ff)
        self.kp, self.kd = self._view(block.staged_kp), self._view(block.staged_kd)
        self.q, self.dq = self._view(block.q), self._view(block.dq)
        self.tau: Real = self._view(block.tau, writeable=False)
        self.tau_joint: Real = self.tau
        if block.physics is not None:
            self.tau_joint = self._view(block.physics.tau_joint, writeable=False)
            self.tau_external: Real = self._view(block.physics.tau_external)
            self.supply: Real = self._view(block.physics.supply)
            self.winding_c: Real = self._view(block.physics.winding)
            self.delay_key: Bits = self._view(block.physics.key)
        self.fault: Bits = self._view(block.fault, writeable=False)
        self.unit_fault: Bits = self._view(block.unit_fault, writeable=False)
        self.age_ticks: Bits = self._view(block.age, writeable=False)
        self.state: Bits = self._view(block.state, writeable=False)
        self._joint = {name: index for index, name in enumerate(spec.joint_names)}
        self._commands = {
            "q_ref": self.q_ref, "dq_ref": self.dq_ref, "tau_ff": self.tau_ff, "kp": self.kp, "kd": self.kd,
        }  # fmt: skip
        self.step: Callable[[], None] = stepper([block], self.backend)
        """Advance all units by one tick."""

    def joint(self, name: str) -> int:
        """Return the row of the joint `name`. Raises CommandError where the model has none."""
        index = self._joint.get(name)
        if index is None:
            known = ", ".join(self._joint)
            raise CommandError(f"{self.spec.robot_model} has no joint {name!r}: it has {known}")
        return index

    def set_target(
        self,
        unit: int,
        *,
        q_ref: Target | None = None,
        dq_ref: Target | None = None,
        tau_ff: Target | None = None,
        kp: Target | None = None,
        kd: Target | None = None,
    ) -> None:
        """Write and submit the command of one unit. What is not named keeps its last value.

        Values are judged in the next step, joint by joint: one that is not finite, or a negative gain,
        sets `Fault.COMMAND_REJECTED` and the joint keeps its last good command.

        Raises:
            CommandError: no such unit or joint, or not J values. Nothing was written.
        """
        column = self._column(unit)
        given = {"q_ref": q_ref, "dq_ref": dq_ref, "tau_ff": tau_ff, "kp": kp, "kd": kd}
        rows = [(name, *self._rows(name, value)) for name, value in given.items() if value is not None]
        for name, joints, values in rows:
            self._commands[name][joints, column] = values
        self.block.fresh[column] = 1

    def submit(self, units: Units = _ALL) -> None:
        """Have the next step take over what was written to the command arrays of `units` (default: all)."""
        self.block.fresh[: self.units][units] = 1

    def arm(self, unit: int) -> None:
        """INIT to ARMED: the next complete command starts motion. Clears the record of sticky faults.

        The command arrays of the unit are set to its measured position, no speed, no feed-forward and the
        default gains, so that a command that names few joints leaves the others where they are.

        Raises:
            StateError: the unit is not in INIT.
            StopHeldError: a stop is waiting, or a sensor is not finite.
        """
        column = self._column(unit)
        after = advance(self.unit_state(unit), Event.ARM)
        self._refuse_while_held(column)
        block = self.block
        block.staged_q_ref[:, column] = block.q[:, column]
        block.staged_dq_ref[:, column] = 0
        block.staged_tau_ff[:, column] = 0
        block.staged_kp[:, column], block.staged_kd[:, column] = self._kp[:, 0], self._kd[:, 0]
        block.fault[:, column] = 0
        block.unit_fault[column] = 0
        block.fresh[column] = 0
        block.age[column] = 0
        if block.inspection is not None:
            block.inspection.still[:, column] = 0
        block.state[column] = after

    def request_stop(self, unit: int, category: int) -> None:
        """Ask for a stop of category 0 (torque off) or 1 (brake, then off): it happens in the next step.

        May be asked for in any state and any number of times; a 0 overrides a 1.

        Raises:
            CommandError: no such unit or category.
        """
        if category not in (0, 1):
            raise CommandError(f"stop category {category!r}: must be 0 or 1")
        self.block.stop_request[self._column(unit)] |= np.uint32(1 << category)

    def reset(self, unit: int) -> None:
        """STOPPED to INIT. Clears the unit's faults. Never moves anything: that takes `arm` and a command.

        Raises:
            StateError: the unit is not in STOPPED.
            StopHeldError: the cause still holds: a stop is waiting, a sensor is not finite, or a joint
                is still faster than its trip speed.
        """
        column = self._column(unit)
        after = advance(self.unit_state(unit), Event.RESET)
        self._refuse_while_held(column)
        self.block.fault[:, column] = 0
        self.block.unit_fault[column] = 0
        self.block.fresh[column] = 0
        self.block.state[column] = after

    def renew(self, units: Sequence[int] | npt.NDArray[Any], q: Real, dq: Real) -> None:
        """Put newly built robots in the place of `units`, armed: for simulators alone.

        They know no torques, commands or faults, their actuators are new, and they hold where they are. It is no
        safety reset: `reset` and `arm` lead a robot that exists out of a stop. Here the robot itself is new.

        Args:
            units: n of the cohort's units.
            q, dq: Their positions [rad] and speeds [rad/s], (J, n).

        Raises:
            CommandError: no such unit.
        """
        self.block.renew(_side_by_side(self._columns(units)), q, dq)

    def unit_state(self, unit: int) -> State:
        """Return where the unit is in its life cycle."""
        return State(int(self.block.state[self._column(unit)]))

    def unit_faults(self, unit: int) -> Fault:
        """Return the sticky faults of the unit, its joints' included."""
        return Fault(int(self.block.unit_fault[self._column(unit)]))

    def joint_faults(self, unit: int) -> dict[str, Fault]:
        """Return the sticky faults of the unit's joints, by name, of those that have any."""
        bits = self.block.fault[:, self._column(unit)]
        return {name: Fault(int(bits[row])) for name, row in self._joint.items() if bits[row]}

    def _refuse_while_held(self, column: int) -> None:
        block = self.block
        if block.stop_request[column]:
            raise StopHeldError(f"unit {column}: a stop request is waiting")
        for name, row in self._joint.items():
            q_rad, dq_rad_s = float(block.q[row, column]), float(block.dq[row, column])
            if not (math.isfinite(q_rad) and math.isfinite(dq_rad_s)):
                raise StopHeldError(f"unit {column}: {name} measures {q_rad} rad, {dq_rad_s} rad/s")
            trip_rad_s = self.spec.joints[row].dq_max_rad_s * self.spec.overspeed_ratio
            if abs(dq_rad_s) > trip_rad_s:
                raise StopHeldError(f"unit {column}: {name} moves at {dq_rad_s} rad/s, trip is {trip_rad_s}")

    def _rows(self, quantity: str, value: Target) -> tuple[Any, npt.NDArray[Any]]:
        if isinstance(value, Mapping):
            return [self.joint(name) for name in value], np.array(
                [_real(f"{quantity} of {name}", number) for name, number in value.items()]
            )
        try:
            values = np.asarray(value, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise CommandError(f"{quantity} = {value!r}: must be one or {len(self._joint)} numbers") from error
        if values.shape not in ((), (len(self._joint),)):
            raise CommandError(f"{quantity}: {values.shape} values for {len(self._joint)} joints")
        return _ALL, values

    def _columns(self, units: Sequence[int] | npt.NDArray[Any]) -> npt.NDArray[np.intp]:
        """Return columns of units. Raises CommandError for one that there is not."""
        columns = np.asarray(units)
        if columns.size and not (columns.dtype.kind in "iu" and columns.min() >= 0 and columns.max() < self.units):
            columns = np.array([self._column(unit) for unit in units])
        return columns.astype(np.intp)

    def _column(self, unit: int) -> int:
        column = operator.index(unit)
        if not 0 <= column < self.units:
            raise CommandError(f"unit {unit!r}: the cohort has {self.units}")
        return column

    def _view(self, array: npt.NDArray[Any], *, writeable: bool = True) -> npt.NDArray[Any]:
        view = array[..., : self.units]
        view.flags.writeable = writeable
        return view


def _side_by_side(lanes: npt.NDArray[np.intp]) -> npt.NDArray[np.intp] | slice:
    """Return lanes as a slice where they are neighbours in order: that reads and writes several times faster."""
    first, count = (int(lanes[0]), len(lanes)) if len(lanes) else (0, 0)
    neighbours = count < 2 or bool((lanes == np.arange(first, first + count)).all())
    return slice(first, first + count) if neighbours else lanes


class Floor:
    """Any mix of robots, stepped by one call."""

    def __init__(self, cohorts: Sequence[Cohort]) -> None:
        """Bind the cohorts. They may differ in model, size, element type and backend.

        Raises:
            CommandError: two cohorts differ in their period.
        """
        self.cohorts = tuple(cohorts)
        periods_s = {cohort.period_s for cohort in self.cohorts}
        if len(periods_s) > 1:
            raise CommandError(f"cohorts of one floor share one period: got {sorted(periods_s)}")
        compiled = [cohort.block for cohort in self.cohorts if cohort.backend == "compiled"]
        plain = [cohort.block for cohort in self.cohorts if cohort.backend == "numpy"]
        parts = [stepper(blocks, b) for blocks, b in ((compiled, "compiled"), (plain, "numpy")) if blocks]

        def step() -> None:
            for part in parts:
                part()

        self.step: Callable[[], None] = parts[0] if len(parts) == 1 else step
        """Advance all units of all cohorts by one tick."""


def _real(name: str, value: float) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise CommandError(f"{name} = {value!r}: must be a number") from error


def stepper(blocks: Sequence[Block], backend: str) -> Callable[[], None]:
    """Return the call that advances all `blocks` by one tick.

    Raises:
        KernelUnavailableError: `backend` is "compiled" and the kernel cannot be used.
        CommandError: there is no such backend.
    """
    if backend == "compiled":
        if kernel.backend() != "compiled":
            raise KernelUnavailableError(f"the compiled kernel cannot be used: {kernel.backend_reason()}")
        return kernel.bind(blocks)
    if backend != "numpy":
        raise CommandError(f"backend {backend!r}: must be 'compiled' or 'numpy'")

    def step() -> None:
        for block in blocks:
            reference.step(block)

    return step
