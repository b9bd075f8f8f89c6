"""What a realtime loop moves: where measurements come from and where torques go, without Python in between.

Each plant is there twice, in NumPy here and in `controller/realtime_plants.c`, over the same arrays: the
compiled loop calls its `port`, the Python loop its `read` and `write`. Both give the same bits.

- `JointPlant`: one free mass per joint, to try things with.
- `SteppedPlant`: a simulator that is one C call per step, such as `mj_step`.
- `SharedPlant` (`controller/shared_plant.py`): arrays in memory, for another thread or process.
- `DriverPlant`: a Python `Driver`. It has no compiled form, for calling Python takes the GIL.

Simulations take the torque at the joint, `Cohort.tau_joint`: where the cohort has actuator physics, friction is
already off it. A robot has friction of its own and takes the motors' torque, `Cohort.tau`.
"""

import ctypes
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from controller.block import Real
from controller.cohort import Cohort
from controller.driver import Driver
from controller.errors import CommandError, DriverError

Reals = npt.NDArray[np.float64]

PLANT_ERRORS = (
    "",
    "a torque is not finite",
    "nothing new was measured for too long",
    "measurements came so fast that none could be read",
    "the simulation is no longer finite",
)
"""What went wrong, by the number that a compiled plant returns; a negative one is a plant's own."""

TORQUE, STALE, TORN, UNSTABLE = range(1, 5)


class PlantError(DriverError):
    """A plant did not answer or refused; `number` is its index in `PLANT_ERRORS`."""

    def __init__(self, number: int) -> None:
        super().__init__(PLANT_ERRORS[number])
        self.number = number


class Port(ctypes.Structure):
    """A plant as the compiled loop calls it: mirror of `struct port` in realtime.h.

    `keep` holds what the addresses point into; the loop fills in `member`, `first` and `units`.
    """

    _fields_ = (
        ("read", ctypes.c_void_p),
        ("write", ctypes.c_void_p),
        ("rest", ctypes.c_void_p),
        ("self", ctypes.c_void_p),
        ("member", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
        ("units", ctypes.c_uint32),
    )
    keep: object


class Plant(Protocol):
    """One way to the robots of `cohort` from `first` on, `units` of them."""

    cohort: Cohort
    first: int
    units: int

    def read(self, tick: int, now_ns: int) -> None:
        """Write measurements into the cohort's arrays. Raises DriverError."""
        ...

    def write(self, tick: int, now_ns: int) -> None:
        """Take the torques from the cohort's array. Raises DriverError."""
        ...

    def rest(self) -> None:
        """Take the torque off, whatever happened. Never raises."""
        ...

    def port(self, library: ctypes.CDLL) -> Port | None:
        """Return the compiled form; None where there is none."""
        ...


class Lanes(ctypes.Structure):
    """Mirror of `struct lanes` in realtime.h."""

    _fields_ = (
        ("q", ctypes.c_void_p),
        ("dq", ctypes.c_void_p),
        ("tau", ctypes.c_void_p),
        ("is_double", ctypes.c_uint32),
        ("joints", ctypes.c_uint32),
        ("lanes", ctypes.c_uint32),
        ("first", ctypes.c_uint32),
        ("units", ctypes.c_uint32),
    )


class _JointPlant(ctypes.Structure):
    _fields_ = (
        ("to", Lanes),
        *((name, ctypes.c_void_p) for name in ("q", "dq", "tau", "inertia", "damping")),
        ("period_s", ctypes.c_double),
    )


class _SteppedPlant(ctypes.Structure):
    _fields_ = (
        ("to", Lanes),
        *((name, ctypes.c_void_p) for name in ("position", "velocity", "control")),
        *((name, ctypes.c_void_p) for name in ("position_at", "velocity_at", "control_at")),
        *((name, ctypes.c_void_p) for name in ("step", "model", "data")),
        ("substeps", ctypes.c_uint32),
    )


class JointPlant:
    r"""All units of a cohort as joints that obey $J \ddot q = \tau - d \dot q$, without stops or gravity.

    Each `write` advances the time by a period with semi-implicit Euler: `controller/plant.py`, many at once.

    Attributes:
        q_rad, dq_rad_s, tau_nm: Positions, speeds and torques, shape (J, N).
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        inertia_kg_m2: float | Sequence[float] = 0.05,
        damping_nms_rad: float | Sequence[float] = 0.0,
        q_start_rad: float | Sequence[float] | None = None,
    ) -> None:
        """Put all joints at rest.

        Args:
            cohort: Whose units they are.
            inertia_kg_m2: Inertia of each joint, > 0: one for all, or J values.
            damping_nms_rad: Viscous damping of each joint, >= 0: one for all, or J values.
            q_start_rad: Start position; default is the middle of each joint's range.

        Raises:
            CommandError: a value is not finite, of the wrong sign, or there are not J of them.
        """
        self.cohort, self.first, self.units = cohort, 0, cohort.units
        if q_start_rad is None:
            q_start_rad = [0.5 * (joint.q_min_rad + joint.q_max_rad) for joint in cohort.spec.joints]
        self._inertia_kg_m2 = _per_joint(cohort, "inertia_kg_m2", inertia_kg_m2)
        self._damping_nms_rad = _per_joint(cohort, "damping_nms_rad", damping_nms_rad)
        if not (self._inertia_kg_m2 > 0.0).all():
            raise CommandError(f"inertia_kg_m2 = {inertia_kg_m2!r}: must be above 0")
        if not (self._damping_nms_rad >= 0.0).all():
            raise CommandError(f"damping_nms_rad = {damping_nms_rad!r}: must be at least 0")
        start_rad = _per_joint(cohort, "q_start_rad", q_start_rad)
        self.q_rad: Reals = np.repeat(start_rad[:, None], cohort.units, axis=1)
        self.dq_rad_s: Reals = np.zeros_like(self.q_rad)
        self.tau_nm: Reals = np.zeros_like(self.q_rad)

    def read(self, tick: int, now_ns: int) -> None:
        """Write positions and speeds."""
        self.cohort.q[:], self.cohort.dq[:] = self.q_rad, self.dq_rad_s

    def write(self, tick: int, now_ns: int) -> None:
        """Apply the torques for one period. Raises PlantError if one is not finite."""
        if not np.isfinite(self.cohort.tau_joint).all():
            raise PlantError(TORQUE)
        self.tau_nm[:] = self.cohort.tau_joint
        acceleration_rad_s2 = (self.tau_nm - self._damping_nms_rad[:, None] * self.dq_rad_s) / self._inertia_kg_m2[
            :, None
        ]
        self.dq_rad_s += acceleration_rad_s2 * self.cohort.period_s
        self.q_rad += self.dq_rad_s * self.cohort.period_s

    def rest(self) -> None:
        """Take the torque off."""
        self.tau_nm[:] = 0.0

    def port(self, library: ctypes.CDLL) -> Port:
        """Return the compiled form."""
        own = _JointPlant(lanes_of(self, self.cohort.tau_joint), *addresses(self.q_rad, self.dq_rad_s, self.tau_nm))
        own.inertia, own.damping = addresses(self._inertia_kg_m2, self._damping_nms_rad)
        own.period_s = self.cohort.period_s
        return port_of(library, "joint", own, self)


class SteppedPlant:
    """One unit in a simulator that is one C call per step and keeps its state in arrays of doubles.

    For MuJoCo: `step` is `mj_step` of its library, `model` and `data` the `_address` of `MjModel` and
    `MjData`, and the arrays `data.qpos`, `data.qvel` and `data.ctrl`. The simulation then runs in the loop's
    thread without Python; nobody else may touch its data meanwhile.
    """

    def __init__(
        self,
        cohort: Cohort,
        unit: int,
        *,
        position: Reals,
        velocity: Reals,
        control: Reals,
        position_at: Sequence[int],
        velocity_at: Sequence[int],
        control_at: Sequence[int],
        step: Any,
        model: int,
        data: int,
        substeps: int = 1,
        keep: object = None,
    ) -> None:
        """Bind one unit.

        Args:
            cohort, unit: Whose measurements and torques these are.
            position, velocity, control: State and input of the simulator, contiguous arrays of doubles that
                it never moves.
            position_at, velocity_at, control_at: Where in them each joint is, J indices each.
            step: A ctypes function `void step(const void *model, void *data)`.
            model, data: Its arguments, as addresses.
            substeps: Calls per tick, at least 1.
            keep: What owns all that; held as long as the plant.

        Raises:
            CommandError: no such unit, an index outside its array, an array that is not of contiguous
                doubles, or no substeps.
        """
        self.cohort, self.first = cohort, unit
        self.units = units_of(cohort, unit, 1)
        arrays = {"position": position, "velocity": velocity, "control": control}
        at = {"position": position_at, "velocity": velocity_at, "control": control_at}
        self._at: dict[str, npt.NDArray[np.int32]] = {}
        for name, array in arrays.items():
            if array.dtype != np.float64 or not array.flags.c_contiguous or array.ndim != 1:
                raise CommandError(f"{name}: must be a contiguous row of doubles")
            indices = np.asarray(at[name])
            if indices.shape != (len(cohort.spec.joints),) or not ((indices >= 0) & (indices < array.size)).all():
                raise CommandError(f"{name}_at = {at[name]!r}: must be {len(cohort.spec.joints)} indices of {name}")
            self._at[name] = indices.astype(np.int32)
        if substeps < 1:
            raise CommandError(f"substeps = {substeps!r}: must be at least 1")
        self._arrays, self._step, self._model, self._data = arrays, step, model, data
        self._substeps, self._keep = substeps, keep

    def read(self, tick: int, now_ns: int) -> None:
        """Write positions and speeds."""
        self.cohort.q[:, self.first] = self._arrays["position"][self._at["position"]]
        self.cohort.dq[:, self.first] = self._arrays["velocity"][self._at["velocity"]]

    def write(self, tick: int, now_ns: int) -> None:
        """Apply the torques and step. Raises PlantError if a torque or what comes of it is not finite."""
        tau = self.cohort.tau_joint[:, self.first]
        if not np.isfinite(tau).all():
            raise PlantError(TORQUE)
        self._arrays["control"][self._at["control"]] = tau
        for _ in range(self._substeps):
            self._step(ctypes.c_void_p(self._model), ctypes.c_void_p(self._data))
        for name in ("position", "velocity"):
            if not np.isfinite(self._arrays[name][self._at[name]]).all():
                raise PlantError(UNSTABLE)

    def rest(self) -> None:
        """Take the torque off."""
        self._arrays["control"][self._at["control"]] = 0.0

    def port(self, library: ctypes.CDLL) -> Port:
        """Return the compiled form."""
        own = _SteppedPlant(
            lanes_of(self, self.cohort.tau_joint),
            *addresses(*self._arrays.values(), *self._at.values()),
            ctypes.cast(self._step, ctypes.c_void_p).value,
            self._model,
            self._data,
            self._substeps,
        )
        return port_of(library, "stepped", own, self)


class DriverPlant:
    """A Python `Driver`, for the Python loop."""

    def __init__(self, cohort: Cohort, unit: int, driver: Driver) -> None:
        """Bind one unit. Raises CommandError: no such unit, or the driver is another robot."""
        self.cohort, self.first = cohort, unit
        self.units = units_of(cohort, unit, 1)
        identity = driver.identity()
        if identity.joints != cohort.spec.joint_names or identity.robot_model != cohort.spec.robot_model:
            raise CommandError(f"{identity.serial} is a {identity.robot_model}, the cohort a {cohort.spec.robot_model}")
        self._driver = driver

    def read(self, tick: int, now_ns: int) -> None:
        """As the driver's."""
        self._driver.read(self.cohort.q[:, self.first], self.cohort.dq[:, self.first])

    def write(self, tick: int, now_ns: int) -> None:
        """As the driver's."""
        self._driver.write(self.cohort.tau[:, self.first])

    def rest(self) -> None:
        """Go to the driver's safe state."""
        self._driver.safe_state()

    def port(self, library: ctypes.CDLL) -> None:
        """Return None: Python code has no compiled form."""


def _per_joint(cohort: Cohort, name: str, value: float | Sequence[float]) -> Reals:
    values = np.asarray(value, np.float64)
    joints = len(cohort.spec.joints)
    if values.shape not in ((), (joints,)) or not np.isfinite(values).all():
        raise CommandError(f"{name} = {value!r}: must be one or {joints} finite numbers")
    return np.broadcast_to(values, (joints,)).copy()


def units_of(cohort: Cohort, first: int, units: int | None) -> int:
    """Return how many units a plant has, None for all from the first on. Raises CommandError: no such units."""
    count = cohort.units - first if units is None else units
    if not (first >= 0 and count >= 1 and first + count <= cohort.units):
        raise CommandError(f"units {first} to {first + count - 1}: the cohort has {cohort.units}")
    return count


def lanes_of(plant: Plant, tau: Real) -> Lanes:
    """Return where the rows of the plant's units are; `tau` is the cohort's torque of motors or at joints."""
    block = plant.cohort.block
    return Lanes(
        *addresses(block.q, block.dq, tau),
        int(block.dtype == np.float64), block.joints, block.lanes, plant.first, plant.units,
    )  # fmt: skip


def addresses(*arrays: npt.NDArray[Any]) -> list[int]:
    """Return where the arrays begin."""
    return [array.ctypes.data for array in arrays]


def port_of(library: ctypes.CDLL, kind: str, own: ctypes.Structure, plant: object) -> Port:
    """Return the port of a plant of realtime_plants.c; `own` is its structure there."""
    calls = [
        ctypes.cast(getattr(library, f"palaestra_{kind}_{call}"), ctypes.c_void_p).value
        for call in ("read", "write", "rest")
    ]
    port = Port(*calls, ctypes.addressof(own))
    port.keep = (own, plant)
    return port
