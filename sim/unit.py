"""An emulated unit: one robot in a MuJoCo world of its own, behind the same interface as a real one.

Its time passes only in `write`. Without torque it hangs in its gantry: a robot that nobody powers is held
where it is, as the people of a venue do between two jobs, until `restart` puts it back to its home pose.
Encoders are a little noisy, as real ones are; so a joint under control always carries some torque, and
torques that are all exactly zero mean that nobody powers the robot. A robot with a battery drains it, and does nothing
more once it is empty.

A torque that is written is what the motors are asked for. With physical actuators it passes the same drives as in the
worlds of a slot (`sim.drives`): the motor gives what its curve and its heat allow, friction takes its part, and the
encoders sit on the motors' side of the gears. Hand work does not cool motors: they stay as warm as they are.
"""

import platform
import zlib
from collections.abc import Sequence
from dataclasses import replace

import mujoco
import numpy as np

from controller.driver import Capabilities, Identity, Vector
from controller.errors import DriverError
from controller.spec import RobotSpec
from sim import drives
from sim.battery import EmulatedBattery
from sim.body import body_of
from sim.catalog import ACTUATORS, Actuators, Entry
from sim.drives import Drives
from sim.model import fingerprint

BATTERY_EVERY = 10
"""Periods between two looks at the power that flows: 50 times a second, several times for each step of a robot."""

_NEVER_S = 1e6
_NO_TRIP = 1e6
"""The host's core stops a robot; the motors' own limits are physics and never do."""

ENCODER_NOISE_RAD = 1e-5
"""Deviation of a position reading; of the order of one step of a 19 bit encoder, 2 pi / 2**19 = 1.2e-5 rad."""


class EmulatedUnit:
    """A `controller.Driver` whose robot is simulated.

    The model carries no visuals and stands on a floor. Several units of one robot may share a compiled
    model (`model`), each has its own state.

    Attributes:
        actuators: "physical" or "ideal".
        winding_c: Temperatures of the windings [degrees Celsius], (J,); None with ideal actuators.
    """

    def __init__(
        self,
        entry: Entry,
        serial: str,
        *,
        period_s: float,
        model: mujoco.MjModel | None = None,
        spec: RobotSpec | None = None,
        battery: EmulatedBattery | None = None,
        actuators: Actuators = ACTUATORS[0],
        encoder_noise_rad: float = ENCODER_NOISE_RAD,
    ) -> None:
        """Place a robot at home, unpowered.

        Args:
            entry: Which robot.
            serial: Its serial number.
            period_s: Time per `write`; physics runs in equal substeps of at most the model's own step.
            model: The compiled model to use, from an earlier unit's `model` with the same `actuators`.
            spec: The robot's limits, from an earlier unit's `spec`.
            battery: What it lives on; None for mains.
            actuators: As of `SimSlot`.
            encoder_noise_rad: Deviation of a position reading.

        Raises:
            MissingModel, BrokenModel, BrokenCatalogue: as `Entry.mjspec`.
            DriverError: the period is not a positive number, or does not fit the shared model, or the model was
                made for other actuators.
        """
        if not (np.isfinite(period_s) and period_s > 0.0):
            raise DriverError(f"period_s = {period_s!r}: must be finite and above 0")
        self.entry = entry
        self.spec = spec if spec is not None else entry.robot_spec()
        if model is None:
            model = entry.model(actuators=actuators)
            self._substeps = max(1, int(np.ceil(period_s / model.opt.timestep - 1e-9)))
            model.opt.timestep = period_s / self._substeps
        else:
            self._substeps = max(1, round(period_s / model.opt.timestep))
            if abs(self._substeps * model.opt.timestep - period_s) > 1e-9:
                raise DriverError(f"period_s = {period_s!r} is no multiple of the shared model's step")
            if model.actuator_forcelimited.any() == (actuators == "physical"):
                raise DriverError(f"{serial}: the shared model was made for other than {actuators} actuators")
        self.model = model
        self.period_s = period_s
        self._body = body_of(model, self.spec)
        self._data = mujoco.MjData(model)
        self.actuators = actuators
        self._drives: Drives | None = None
        physics = entry.actuator_physics() if actuators == "physical" else None
        if physics is not None:
            free = replace(self.spec, watchdog_s=_NEVER_S, overspeed_ratio=_NO_TRIP)
            self._drives = Drives(free, 1, model.opt.timestep, physics=physics)
            d, body = self._data, self._body
            self._drive = self._drives.bind(d.qpos[None], d.qvel[None], d.ctrl[None], body.q, body.dq)
        model_sha256 = fingerprint(model)
        self._identity = Identity(
            robot_model=entry.id,
            serial=serial,
            firmware=f"mujoco {mujoco.__version__} model {model_sha256[:12]} {actuators} actuators",
            joints=self.spec.joint_names,
            provenance={
                "engine": "mujoco",
                "engine_version": mujoco.__version__,
                "architecture": platform.machine(),
                "model_sha256": model_sha256,
                # Its sensors are the model's, and true by it.
                "calibration": "model",
                "actuators": actuators,
                "drives_sha256": drives.fingerprint(self.spec, model.opt.timestep, physics),
            },
        )
        # Noise that belongs to the serial number: the same unit, the same run.
        self._chance = np.random.Generator(np.random.Philox(key=zlib.crc32(serial.encode())))
        self._encoder_noise_rad = encoder_noise_rad
        self._noise_rad = np.zeros(len(self.spec.joints))
        self._stuck: dict[int, float] = {}
        self._closed = False
        self._battery = battery
        self._periods = 0
        self._home()
        if self._drives is not None:
            self._drives.renew(np.array([0]), *self._joints())
            self._drives.cohort.kp[:] = 0.0
            self._drives.cohort.kd[:] = 0.0

    @property
    def winding_c(self) -> Vector | None:
        """See the class."""
        return None if self._drives is None else np.array(self._drives.cohort.winding_c[:, 0])

    @property
    def sensors(self) -> tuple[str, ...]:
        """What it can be asked for: no emulated unit has more than its joints and its base."""
        return ("joint_encoder", "base_pose") if self._body.floating else ("joint_encoder",)

    def identity(self) -> Identity:
        """Return robot model, serial number, engine version and model hash, joints."""
        return self._identity

    def capabilities(self) -> Capabilities:
        """Return the tick rate that the period stands for."""
        return Capabilities(rate_max_hz=1.0 / self.period_s, simulated=True)

    def read(self, q_out: Vector, dq_out: Vector) -> None:
        """Write joint positions [rad] and speeds [rad/s], shape (J,). Raises DriverError after `close`."""
        self._refuse_if_closed()
        q, _ = self._joints()
        q_out[:] = (q if self._drives is None else self._drives.motor_side(q))[0] + self._noise_rad
        dq_out[:] = self._data.qvel[self._body.dq]

    def write(self, tau: Vector) -> None:
        """Apply torques [N m], shape (J,), and advance by one period. All zeros means unpowered.

        Raises:
            DriverError: a torque is not finite (nothing happens), the unit is closed, the battery is empty, or the
                physics blew up (the robot is set back to its home pose).
        """
        self._refuse_if_closed()
        torque = np.asarray(tau, dtype=np.float64)
        if torque.shape != (len(self.spec.joints),) or not np.isfinite(torque).all():
            raise DriverError(f"{self._identity.serial}: torque is not {len(self.spec.joints)} finite numbers: {tau!r}")
        self._noise_rad[:] = self._encoder_noise_rad * self._chance.standard_normal(len(torque))
        data = self._data
        powered = bool(torque.any())
        self._spend(torque, powered)
        if not powered:
            self.safe_state()
            data.time += self.period_s
        for _ in range(self._substeps):
            if self._drives is None:
                data.ctrl[:] = torque
            else:
                self._drives.cohort.tau_ff[:, 0] = torque
                self._drives.cohort.submit()
                self._drive()
            if powered:
                mujoco.mj_step(self.model, data)
                self._hold_stuck()
        if not (np.isfinite(data.qpos).all() and np.isfinite(data.qvel).all()) or _blew_up(data):
            self._home()
            raise DriverError(f"{self._identity.serial}: the simulation became unstable; the robot was set back home")

    def _joints(self) -> tuple[Vector, Vector]:
        """Return true angles [rad] and speeds [rad/s] of the joints, (1, J)."""
        return self._data.qpos[None, self._body.q], self._data.qvel[None, self._body.dq]

    def charge_level(self) -> float | None:
        """Return the state of charge, 0 to 1; None on mains. Raises DriverError after `close`."""
        self._refuse_if_closed()
        return None if self._battery is None else self._battery.level

    def is_charging(self) -> bool:
        """Return whether it takes in energy now. Raises DriverError after `close`."""
        self._refuse_if_closed()
        return self._battery is not None and self._battery.charging

    def charge(self, on: bool) -> None:
        """Be put on a charger by the people of the venue, or be taken off. Raises DriverError without a battery."""
        self._refuse_if_closed()
        if self._battery is not None:
            self._battery.charging = on
        elif on:
            raise DriverError(f"{self._identity.serial} runs on mains")

    def _spend(self, torque: Vector, powered: bool) -> None:
        """Let the battery feel the last periods. Raises DriverError where it is empty and torque is asked for."""
        if self._battery is None:
            return
        if powered:
            self._battery.charging = False
            if self._battery.empty:
                self.safe_state()
                raise DriverError(f"{self._identity.serial}: the battery is empty")
        self._periods += 1
        if self._periods == BATTERY_EVERY:
            self._periods = 0
            mechanical_w = float(torque @ self._data.qvel[self._body.dq]) if powered else 0.0
            duration_s = BATTERY_EVERY * self.period_s
            self._battery.pass_time(duration_s, powered=powered, mechanical_w=mechanical_w)

    def safe_state(self) -> None:
        """Take the torque off; the gantry holds the robot until the next powered `write`."""
        self._data.qvel[:] = 0.0
        self._data.ctrl[:] = 0.0

    def restart(self) -> None:
        """Put the robot back home, at rest, without torque. Raises DriverError after `close`."""
        self._refuse_if_closed()
        self._home()

    def close(self) -> None:
        """Take the torque off and refuse further use."""
        self.safe_state()
        self._closed = True

    def base_pose(self, out: Vector) -> bool:
        """Write position [m] and orientation (w, x, y, z) of the base, shape (7,). False if it is bolted down."""
        self._refuse_if_closed()
        if not self._body.floating:
            return False
        out[:] = self._data.qpos[:7]
        return True

    def stick(self, joint: int, stuck: bool) -> None:
        """Jam the joint with this index where it is, or set it free."""
        if not 0 <= joint < len(self.spec.joints):
            raise DriverError(f"{self._identity.serial}: joint {joint} of {len(self.spec.joints)}")
        if stuck:
            self._stuck[joint] = float(self._data.joint(self.spec.joint_names[joint]).qpos[0])
        else:
            self._stuck.pop(joint, None)

    def _hold_stuck(self) -> None:
        for joint, angle in self._stuck.items():
            handle = self._data.joint(self.spec.joint_names[joint])
            handle.qpos[0], handle.qvel[0] = angle, 0.0

    def _home(self) -> None:
        time_s = self._data.time
        mujoco.mj_resetDataKeyframe(self.model, self._data, self.model.key("home").id)
        self._data.time = time_s
        self._hold_stuck()
        if self._drives is not None:
            self._drives.lay_hands_on()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise DriverError(f"{self._identity.serial} is closed")


def _blew_up(data: mujoco.MjData) -> bool:
    kinds: Sequence[mujoco.mjtWarning] = (
        mujoco.mjtWarning.mjWARN_BADQPOS,
        mujoco.mjtWarning.mjWARN_BADQVEL,
        mujoco.mjtWarning.mjWARN_BADQACC,
    )
    count = sum(int(data.warning[int(kind)].number) for kind in kinds)
    if count:
        for kind in kinds:
            data.warning[int(kind)].number = 0
    return count > 0
