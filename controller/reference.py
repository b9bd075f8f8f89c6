r"""One tick of one cohort in NumPy: the specification that the compiled kernel must equal bit for bit.

Order of operations, fixed:

1. take over waiting commands: a joint's command that is not finite or has a negative gain is rejected, the
   last good one stays; a command with a rejected joint does not count as a sign of life;
2. judge the sensors: not finite, over-speed (of powered units), at rest;
3. per unit: command age and watchdog, stop requests, life cycle (`safety.NEXT`);
4. clamp `q_ref` to the position range and `dq_ref` to the speed limit;
5. law: $\tau = k_p (q_{ref} - q) + k_d (\dot q_{ref} - \dot q) + \tau_{ff}$, evaluated left to right; a
   braking unit has $k_p = \tau_{ff} = \dot q_{ref} = 0$ and its specified $k_d$;
6. rate limit against the torque of the last tick;
7. torque-speed envelope in four quadrants with the torque limit as its flat part. With
   $s = \tau_{max} / (v_{noload} - v_{knee})$ the torque lies between $s (-v_{noload} - \dot q)$ and
   $s (v_{noload} - \dot q)$, each clamped to $\pm\tau_{max}$. It comes after the rate limit, so that it wins
   where both cannot hold: it is the motor's physics, the rate limit is our wish;
8. directional block: outside the position range no torque that drives further out;
9. state: no torque unless the unit runs or brakes.

The envelope is that of a DC motor (Isaac Lab, `DCMotor`): full braking torque, falling driving torque, and
beyond the no-load speed braking only. Comparisons are written as `where(x > hi, hi, x)` and never as minimum
or maximum, whose treatment of NaN and of signed zeros differs between NumPy, C and instruction sets.
"""

import numpy as np
import numpy.typing as npt

from controller.block import PARAMETERS, Bits, Block, Real
from controller.safety import STOP_0_FAULTS, STOP_1_FAULTS, Event, Fault, State

Mask = npt.NDArray[np.bool_]

_FOREVER_TICKS = np.uint32(0xFFFFFFFF)


def step(block: Block) -> None:
    """Advance `block` by one tick: read commands and sensors, write torques, faults and states."""
    with np.errstate(all="ignore"):
        rejected = _take_commands(block)
        seen, moving = _judge_sensors(block)
        _advance_units(block, seen | rejected, moving)
        _law(block)


def _take_commands(b: Block) -> Bits:
    fresh = b.fresh != 0
    staged = (b.staged_q_ref, b.staged_dq_ref, b.staged_tau_ff, b.staged_kp, b.staged_kd)
    held = (b.held_q_ref, b.held_dq_ref, b.held_tau_ff, b.held_kp, b.held_kd)
    good = (b.staged_kp >= 0) & (b.staged_kd >= 0)
    for command in staged:
        good &= _finite(command)
    for command, target in zip(staged, held, strict=True):
        np.copyto(target, command, where=fresh & good)
    rejected = np.where(fresh & ~good, np.uint32(Fault.COMMAND_REJECTED), np.uint32(0))
    b.fault |= rejected
    return _any_bits(rejected)


def _judge_sensors(b: Block) -> tuple[Bits, Mask]:
    powered = (b.state == State.RUN) | (b.state == State.STOPPING)
    speed = np.abs(b.dq)
    finite = _finite(b.q) & _finite(b.dq)
    over = powered & (speed > _parameter(b, "dq_trip"))
    seen = np.where(finite, np.uint32(0), np.uint32(Fault.SENSOR_NOT_FINITE))
    seen |= np.where(over, np.uint32(Fault.OVER_SPEED), np.uint32(0))
    b.fault |= seen
    moving: Mask = (speed > _parameter(b, "dq_slow")).any(axis=0)
    return _any_bits(seen), moving


def _advance_units(b: Block, seen: Bits, moving: Mask) -> None:
    complete = (b.fresh != 0) & ((seen & np.uint32(Fault.COMMAND_REJECTED)) == 0)
    state = np.where(complete, b.next_state[b.state, Event.COMMAND], b.state)
    b.age[:] = np.where(complete, np.uint32(0), b.age + (b.age < _FOREVER_TICKS))

    late = (state == State.RUN) & (b.age > b.watchdog_ticks)
    b.unit_fault |= seen
    b.unit_fault |= np.where(late, np.uint32(Fault.WATCHDOG), np.uint32(0))
    b.unit_fault |= np.where(b.stop_request != 0, np.uint32(Fault.STOP_REQUESTED), np.uint32(0))
    stop_1 = ((b.unit_fault & np.uint32(STOP_1_FAULTS)) | (b.stop_request & 2)) != 0
    stop_0 = ((b.unit_fault & np.uint32(STOP_0_FAULTS)) | (b.stop_request & 1)) != 0
    state = np.where(stop_1, b.next_state[state, Event.STOP_1], state)
    state = np.where(stop_0, b.next_state[state, Event.STOP_0], state)

    stopping = state == State.STOPPING
    b.stop_ticks[:] = np.where(stopping, b.stop_ticks + np.uint32(1), np.uint32(0))
    b.slow_ticks[:] = np.where(stopping & ~moving, b.slow_ticks + np.uint32(1), np.uint32(0))
    halt = stopping & ((b.slow_ticks >= b.dwell_ticks) | (b.stop_ticks > b.timeout_ticks))
    b.state[:] = np.where(halt, b.next_state[state, Event.HALT], state)
    b.fresh[:] = 0
    b.stop_request[:] = 0


def _law(b: Block) -> None:
    run = b.state == State.RUN
    powered = run | (b.state == State.STOPPING)
    zero = b.dtype.type(0)
    q_min, q_max = _parameter(b, "q_min"), _parameter(b, "q_max")
    dq_max, tau_max, tau_step = _parameter(b, "dq_max"), _parameter(b, "tau_max"), _parameter(b, "tau_step")
    slope, v_noload = _parameter(b, "tau_slope"), _parameter(b, "v_noload")

    q_ref = _clamp(b.held_q_ref, q_min, q_max)
    dq_ref = np.where(run, _clamp(b.held_dq_ref, -dq_max, dq_max), zero)
    kp = np.where(run, b.held_kp, zero)
    kd = np.where(run, b.held_kd, _parameter(b, "kd_stop"))
    tau_ff = np.where(run, b.held_tau_ff, zero)

    tau = kp * (q_ref - b.q) + kd * (dq_ref - b.dq) + tau_ff
    overflow = powered & np.isnan(tau)
    tau = np.where(overflow, zero, tau)

    tau = _clamp(tau, b.tau - tau_step, b.tau + tau_step)
    upper = _clamp(slope * (v_noload - b.dq), -tau_max, tau_max)
    lower = _clamp(slope * (-v_noload - b.dq), -tau_max, tau_max)
    tau = _clamp(tau, lower, upper)

    above, below = b.q > q_max, b.q < q_min
    tau = np.where(above & (tau > 0), zero, tau)
    tau = np.where(below & (tau < 0), zero, tau)
    b.tau[:] = np.where(powered & ~overflow, tau, zero)

    outside = np.where(powered & (above | below), np.uint32(Fault.POSITION_LIMIT), np.uint32(0))
    outside |= np.where(overflow, np.uint32(Fault.TORQUE_NOT_FINITE), np.uint32(0))
    b.fault |= outside
    b.unit_fault |= _any_bits(outside)


def _clamp(x: Real, lower: Real, upper: Real) -> Real:
    x = np.where(x > upper, upper, x)
    return np.where(x < lower, lower, x)


def _finite(x: Real) -> Mask:
    finite: Mask = np.abs(x) <= np.finfo(x.dtype).max
    return finite


def _any_bits(fault: Bits) -> Bits:
    bits: Bits = np.bitwise_or.reduce(fault, axis=0)
    return bits


def _parameter(b: Block, name: str) -> Real:
    return b.parameters[:, PARAMETERS.index(name), None]
