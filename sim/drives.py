r"""The drives of simulated robots: what stands between a command and the torque that moves a joint.

Worlds of a slot and emulated units go through this one file, substep by substep, with the control core of the real
robots. With *ideal* actuators the core's torque moves the joint. With *physical* ones it is the motor's, and the core
adds what `controller.ActuatorPhysics` knows: friction, play, heat, delay.

Friction needs the load, which no real controller measures and MuJoCo tells only one step late and in pieces. It is
observed instead: in a substep of length T, a rotor of reflected inertia J that went from $\dot q'$ to $\dot q$ while
the drive gave $\tau'$ has felt
$$\tau_e = J (\dot q - \dot q') / T - \tau'.$$
With J the joint's armature this is what passes through the gear: weight, contact, and the inertia of the links. The
friction that the core then takes, $J\dot q/T + \tau + \tau_e$ clipped to its budget, holds a joint at rest under load
and cannot push it: with D the diagonal of the armatures, $v_{k+1} = 2(1 - r) v_k - (1 - r) v_{k-1}$ for every
eigenvalue r of $M^{-1} D$; $D \preceq M$ puts r into (0, 1], and there the roots have modulus $\sqrt{1 - r} < 1$.
What it costs: the load is a substep old. At an impact friction may act on last substep's load for 2 ms.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass

import numpy as np
import numpy.typing as npt

from controller import ActuatorPhysics, Cohort, RobotSpec, State
from controller.block import Real
from controller.cohort import Backend
from sim import substep
from sim.body import Array, Index

_HALTED = np.uint32(min(State.STOPPING, State.STOPPED))
"""They are the last states of the life cycle."""
assert max(State) == max(State.STOPPING, State.STOPPED) == _HALTED + 1


class Drives:
    """The drives of N robots of one model. A robot's result does not depend on the others.

    Attributes:
        cohort: The control core; its command arrays are the caller's to write and to submit.
        sha256: `fingerprint` of the drives.
        torque: What moves the joints since the last `step` [N m], (N, J), read-only.
    """

    def __init__(
        self,
        robot: RobotSpec,
        robots: int,
        period_s: float,
        *,
        physics: ActuatorPhysics | None,
        backend: Backend | None = None,
    ) -> None:
        """Build the drives; `renew` puts robots at them.

        Args:
            robot: Limits and gains.
            robots: Number of robots N.
            period_s: Length of a substep.
            physics: What the actuators are made of; None for ideal ones.
            backend: Of the control core; None takes the compiled kernel where there is one.

        Raises:
            SpecError, CommandError, KernelUnavailableError: as `Cohort`.
        """
        self.cohort = Cohort(robot, robots, period_s, dtype=np.float64, backend=backend, physics=physics)
        self.torque: Real = self.cohort.tau_joint.T
        self.sha256 = fingerprint(robot, period_s, physics)
        self._inertia_rate: Real | None = None
        if self.cohort.block.physics is not None:
            self._inertia_rate = self.cohort.block.physics.column("inertia_rate")

    def renew(self, ids: npt.NDArray[np.intp], q: Real, dq: Real) -> None:
        """Put newly built robots in the place of `ids`: `q` [rad] and `dq` [rad/s], (len(ids), J)."""
        self.cohort.renew(ids, q.T, dq.T)

    def bind(self, qpos: Array, qvel: Array, out: Array, q: Index, dq: Index) -> Callable[[], None]:
        """Return a call without arguments that is `step` on a simulator's arrays, compiled where it can be.

        Args:
            qpos, qvel: Live states of the robots, one row each.
            out: Where the torques go [N m], (N, J).
            q, dq: Where the joints are in a row of `qpos` and of `qvel`.
        """
        compiled = substep.bind(
            self.cohort,
            qpos=qpos,
            qvel=qvel,
            out=out,
            q_index=np.arange(qpos.shape[1])[q],
            dq_index=np.arange(qvel.shape[1])[dq],
            inertia_rate=None if self._inertia_rate is None else self._inertia_rate[:, 0],
        )
        if compiled is not None:
            return compiled

        def plain() -> None:
            out[:] = self.step(qpos[:, q], qvel[:, dq])

        return plain

    def step(self, q: Real, dq: Real) -> Real:
        """Advance all drives by a substep and return `torque`, (N, J).

        Args:
            q, dq: Angles [rad] and speeds [rad/s] of the joints, (N, J).
        """
        cohort = self.cohort
        if self._inertia_rate is not None:
            # A world that diverges may overflow here: the core takes what is not finite for no load.
            with np.errstate(all="ignore"):
                # What the core holds are still the speeds of the last substep.
                np.subtract(dq.T, cohort.dq, out=cohort.tau_external)
                np.multiply(cohort.tau_external, self._inertia_rate, out=cohort.tau_external)
                np.subtract(cohort.tau_external, cohort.tau_joint, out=cohort.tau_external)
        cohort.q[:] = q.T
        cohort.dq[:] = dq.T
        cohort.step()
        return self.torque

    def motor_side(self, q: Real) -> Real:
        """Return where the motors stand [rad] while the joints stand at `q` [rad], (N, J): what encoders read."""
        physics = self.cohort.block.physics
        if physics is None:
            return q
        half = physics.column("half_backlash").T
        motor = physics.q_motor[:, : self.cohort.units].T
        return np.clip(motor, q - half, q + half)

    def lay_hands_on(self) -> None:
        """Forget loads and speeds: somebody has moved the robots, all of them are at rest. Motors stay warm."""
        self.cohort.dq[:] = 0.0
        if self.cohort.block.physics is not None:
            self.cohort.block.physics.tau_joint[:] = 0.0

    def halted(self) -> npt.NDArray[np.bool_]:
        """Return which robots the core has stopped or is stopping, (N,)."""
        halted: npt.NDArray[np.bool_] = self.cohort.state >= _HALTED
        return halted

    def any_halted(self) -> bool:
        """Return whether the core has stopped or is stopping any robot."""
        return bool(self.cohort.state.max() >= _HALTED)

    def memory(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return all arrays that make the drives' state, live, by name."""
        return self.cohort.block.memory()


def fingerprint(robot: RobotSpec, period_s: float, physics: ActuatorPhysics | None) -> str:
    """Return the SHA-256 [hex] of the joints' limits, gains and actuators. Where a number comes from does not count."""

    def numbers(thing: object) -> object:
        if is_dataclass(thing) and not isinstance(thing, type):
            return [(f.name, numbers(getattr(thing, f.name))) for f in fields(thing) if f.name != "sources"]
        if isinstance(thing, Mapping):
            return sorted((str(key), numbers(value)) for key, value in thing.items())
        return [numbers(each) for each in thing] if isinstance(thing, tuple) else thing

    return hashlib.sha256(repr((numbers(robot.joints), period_s, numbers(physics))).encode()).hexdigest()
