r"""A simulated test bench: N copies of one joint, each with a flywheel, a brake and a dyno, driven by the real core.

The core computes the torques (`Cohort` with `ActuatorPhysics`, compiled where there is a kernel); the rig is what they
act on, $J \ddot q = \tau_{joint} + \tau_{load}$, by semi-implicit Euler at the core's period. Where the dyno imposes a
speed, the joint has it, whatever the torques.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from controller.actuator import ActuatorPhysics, JointPhysics
from controller.cohort import Backend, Cohort
from controller.errors import TraceError
from controller.jointbench.trace import Trace
from controller.safety import State
from controller.spec import JointSpec, RobotSpec

Real = npt.NDArray[np.float64]
Values = float | npt.NDArray[np.float64]


class Rig:
    """N copies of one joint, side by side.

    Attributes:
        cohort: The control core.
        inertia_kg_m2: What the torques move: actuator and flywheel.
        q_rad, dq_rad_s: Positions and speeds, (N,).
        t_s: Time of the next step.
    """

    def __init__(
        self,
        joint: JointSpec,
        actuator: JointPhysics,
        *,
        rigs: int = 1,
        period_s: float = 0.001,
        flywheel_kg_m2: float = 0.0,
        command_delay_s: float = 0.0,
        backend: Backend | None = None,
    ) -> None:
        """Mount the joint at rest in the middle of its range, armed. Raises CommandError as `Cohort`."""
        self.inertia_kg_m2 = actuator.inertia_kg_m2 + flywheel_kg_m2
        # Friction stops what moves, the flywheel included.
        mounted = replace(actuator, inertia_kg_m2=self.inertia_kg_m2)
        self.cohort = Cohort(
            RobotSpec(robot_model="bench", joints=(joint,)),
            rigs,
            period_s,
            dtype=np.float64,
            backend=backend,
            physics=ActuatorPhysics(default=mounted, command_delay_s=command_delay_s),
        )
        self.q_rad = np.full(rigs, 0.5 * (joint.q_min_rad + joint.q_max_rad))
        self.dq_rad_s = np.zeros(rigs)
        self.t_s = 0.0
        self._warms = actuator.thermal is not None
        self._zeros = np.zeros(rigs)
        self._winding_c = np.array(self.cohort.winding_c[0])
        self._tau_load_nm = self._zeros
        self._seen: tuple[float, Real, Real, Values] = (0.0, self.q_rad, self.dq_rad_s, 0.0)
        for rig in range(rigs):
            self.cohort.arm(rig)

    def step(
        self,
        *,
        q_ref_rad: Values = 0.0,
        dq_ref_rad_s: Values = 0.0,
        tau_ff_nm: Values = 0.0,
        kp_nm_rad: float = 0.0,
        kd_nms_rad: float = 0.0,
        tau_load_nm: Values = 0.0,
        dq_imposed_rad_s: Values | None = None,
    ) -> None:
        """Advance by one period.

        Args:
            q_ref_rad, dq_ref_rad_s, tau_ff_nm, kp_nm_rad, kd_nms_rad: The command, as `Cohort` takes it.
            tau_load_nm: Torque of brake or weight on the joint.
            dq_imposed_rad_s: Speed at which a dyno turns the joint, however much torque that takes (reported as the
                load of the step). None leaves the joint to the torques.

        Raises:
            TraceError: the core has stopped the joint; the message says which fault it saw.
        """
        cohort = self.cohort
        if dq_imposed_rad_s is not None:
            self.dq_rad_s = self._zeros + dq_imposed_rad_s
        else:
            self._tau_load_nm = self._zeros + tau_load_nm
        cohort.q[0], cohort.dq[0] = self.q_rad, self.dq_rad_s
        cohort.q_ref[0], cohort.dq_ref[0], cohort.tau_ff[0] = q_ref_rad, dq_ref_rad_s, tau_ff_nm
        cohort.kp[0], cohort.kd[0] = kp_nm_rad, kd_nms_rad
        cohort.tau_external[0] = self._tau_load_nm
        cohort.submit()
        self._winding_c = np.array(cohort.winding_c[0])
        cohort.step()
        stopped = cohort.state >= State.STOPPING
        if stopped.any():
            rig = int(np.argmax(stopped))
            fault = cohort.unit_faults(rig)
            raise TraceError(f"the core stopped rig {rig} at {self.t_s:.3f} s: {fault.name or fault}")
        if dq_imposed_rad_s is not None:
            self._tau_load_nm = -np.array(cohort.tau_joint[0])
        self._seen = (self.t_s, self.q_rad, self.dq_rad_s, q_ref_rad)
        if dq_imposed_rad_s is None:
            acceleration = (cohort.tau_joint[0] + self._tau_load_nm) / self.inertia_kg_m2
            self.dq_rad_s = self.dq_rad_s + cohort.period_s * acceleration
        self.q_rad = self.q_rad + cohort.period_s * self.dq_rad_s
        self.t_s += cohort.period_s

    def seen(self) -> Trace:
        """Return what the last step measured at its begin, and the torques it led to: one sample of each rig."""
        t_s, q_rad, dq_rad_s, q_ref_rad = self._seen
        rigs = len(q_rad)
        return Trace(
            run=np.arange(rigs),
            t_s=np.full(rigs, t_s),
            q_rad=q_rad,
            dq_rad_s=dq_rad_s,
            q_ref_rad=self._zeros + q_ref_rad,
            tau_nm=np.array(self.cohort.tau[0]),
            tau_external_nm=self._tau_load_nm.copy(),
            winding_c=self._winding_c if self._warms else np.full(rigs, np.nan),
            inertia_kg_m2=np.full(rigs, self.inertia_kg_m2),
        )
