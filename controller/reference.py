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

A cohort with `ActuatorPhysics` (formulas in `controller/physics.py`) also does this: before 4 it delays the
commands and drags the motor side of the gear, whose position the law then reads; in 7 the torque limit is
derated by temperature and $v_{noload}$ scaled with the supply voltage at an unchanged slope, as a DC motor's
is; after 9 friction is taken off what moves the joint, and the losses heat winding and case. A joint with a
learned actuator takes the network's torque for its feed-forward torque, without gains (`controller/network.py`).

10. With `Plausibility`, some rows of joints are asked whether they are frozen or stuck
   (`controller/plausibility.py`); what is found acts in the next tick.

The envelope is that of a DC motor (Isaac Lab, `DCMotor`): full braking torque, falling driving torque, and
beyond the no-load speed braking only. Comparisons are written as `where(x > hi, hi, x)` and never as minimum
or maximum, whose treatment of NaN and of signed zeros differs between NumPy, C and instruction sets.
"""

import numpy as np
import numpy.typing as npt

from controller.block import PARAMETERS, Bits, Block, Real
from controller.delay import delay
from controller.network import learn
from controller.physics import derating, drag_motor_side, heat, rub, usable_supply
from controller.plausibility import inspect
from controller.safety import NEXT_STATE, STOP_0_FAULTS, STOP_1_FAULTS, Event, Fault, State

Mask = npt.NDArray[np.bool_]

# Plain array scalars: arithmetic on enum members would cost more than the arrays of one robot.
_NO_BITS = np.uint32(0)
_ONE = np.uint32(1)
_FOREVER_TICKS = np.uint32(0xFFFFFFFF)
_COMMAND_REJECTED = np.uint32(Fault.COMMAND_REJECTED)
_SENSOR_NOT_FINITE = np.uint32(Fault.SENSOR_NOT_FINITE)
_OVER_SPEED = np.uint32(Fault.OVER_SPEED)
_TORQUE_NOT_FINITE = np.uint32(Fault.TORQUE_NOT_FINITE)
_POSITION_LIMIT = np.uint32(Fault.POSITION_LIMIT)
_WATCHDOG = np.uint32(Fault.WATCHDOG)
_STOP_REQUESTED = np.uint32(Fault.STOP_REQUESTED)
_STOP_0_FAULTS = np.uint32(STOP_0_FAULTS)
_STOP_1_FAULTS = np.uint32(STOP_1_FAULTS)
_AFTER_COMMAND, _AFTER_HALT = NEXT_STATE[:, Event.COMMAND].copy(), NEXT_STATE[:, Event.HALT].copy()
_AFTER_STOP_1, _AFTER_STOP_0 = NEXT_STATE[:, Event.STOP_1].copy(), NEXT_STATE[:, Event.STOP_0].copy()
_RUN, _STOPPING = np.uint32(State.RUN), np.uint32(State.STOPPING)


def step(block: Block) -> None:
    """Advance `block` by one tick: read commands and sensors, write torques, faults and states."""
    with np.errstate(all="ignore"):
        rejected = _take_commands(block)
        seen, moving = _judge_sensors(block)
        _advance_units(block, seen | rejected, moving)
        _law(block)
        if block.physics is not None:
            rub(block.physics, block.tau, block.dq)
            heat(block.physics, block.tau)
            block.physics.tick += _ONE
        if block.inspection is not None:
            inspect(block, block.inspection)


def _take_commands(b: Block) -> Bits:
    fresh = b.fresh != 0
    if not fresh.any():
        return np.zeros_like(b.fresh)
    staged = (b.staged_q_ref, b.staged_dq_ref, b.staged_tau_ff, b.staged_kp, b.staged_kd)
    held = (b.held_q_ref, b.held_dq_ref, b.held_tau_ff, b.held_kp, b.held_kd)
    good = (b.staged_kp >= 0) & (b.staged_kd >= 0)
    for command in staged:
        good &= _finite(command)
    for command, target in zip(staged, held, strict=True):
        np.copyto(target, command, where=fresh & good)
    rejected = np.where(fresh & ~good, _COMMAND_REJECTED, _NO_BITS)
    b.fault |= rejected
    return _any_bits(rejected)


def _judge_sensors(b: Block) -> tuple[Bits, Mask]:
    powered = (b.state == _RUN) | (b.state == _STOPPING)
    speed = np.abs(b.dq)
    finite = _finite(b.q) & _finite(b.dq)
    over = powered & (speed > _parameter(b, "dq_trip"))
    seen = np.where(finite, _NO_BITS, _SENSOR_NOT_FINITE)
    seen |= np.where(over, _OVER_SPEED, _NO_BITS)
    b.fault |= seen
    moving: Mask = (speed > _parameter(b, "dq_slow")).any(axis=0)
    return _any_bits(seen), moving


def _advance_units(b: Block, seen: Bits, moving: Mask) -> None:
    complete = (b.fresh != 0) & ((seen & _COMMAND_REJECTED) == 0)
    state = np.where(complete, _AFTER_COMMAND[b.state], b.state)
    b.age[:] = np.where(complete, _NO_BITS, b.age + (b.age < _FOREVER_TICKS))

    late = (state == _RUN) & (b.age > b.watchdog_ticks)
    b.unit_fault |= seen
    b.unit_fault |= np.where(late, _WATCHDOG, _NO_BITS)
    b.unit_fault |= np.where(b.stop_request != 0, _STOP_REQUESTED, _NO_BITS)
    stop_1 = ((b.unit_fault & _STOP_1_FAULTS) | (b.stop_request & 2)) != 0
    stop_0 = ((b.unit_fault & _STOP_0_FAULTS) | (b.stop_request & 1)) != 0
    state = np.where(stop_1, _AFTER_STOP_1[state], state)
    state = np.where(stop_0, _AFTER_STOP_0[state], state)

    stopping = state == _STOPPING
    b.stop_ticks[:] = np.where(stopping, b.stop_ticks + _ONE, _NO_BITS)
    b.slow_ticks[:] = np.where(stopping & ~moving, b.slow_ticks + _ONE, _NO_BITS)
    halt = stopping & ((b.slow_ticks >= b.dwell_ticks) | (b.stop_ticks > b.timeout_ticks))
    b.state[:] = np.where(halt, _AFTER_HALT[state], state)
    b.fresh[:] = 0
    b.stop_request[:] = 0


def _law(b: Block) -> None:
    run = b.state == _RUN
    powered = run | (b.state == _STOPPING)
    zero = b.dtype.type(0)
    q_min, q_max = _parameter(b, "q_min"), _parameter(b, "q_max")
    dq_max, tau_max, tau_step = _parameter(b, "dq_max"), _parameter(b, "tau_max"), _parameter(b, "tau_step")
    slope, v_noload = _parameter(b, "tau_slope"), _parameter(b, "v_noload")
    command: tuple[Real, ...] = (b.held_q_ref, b.held_dq_ref, b.held_tau_ff, b.held_kp, b.held_kd)
    q = b.q
    if b.physics is not None:
        command = delay(b.physics, command, run)
        if b.physics.networks:
            command = learn(b.physics, command, (q_min, q_max), b.q, b.dq, run)
        q = drag_motor_side(b.physics, b.q)
        tau_max = tau_max * derating(b.physics)
        v_noload = v_noload * usable_supply(b.physics)

    q_ref = _clamp(command[0], q_min, q_max)
    dq_ref = np.where(run, _clamp(command[1], -dq_max, dq_max), zero)
    tau_ff = np.where(run, command[2], zero)
    kp = np.where(run, command[3], zero)
    kd = np.where(run, command[4], _parameter(b, "kd_stop"))

    tau = kp * (q_ref - q) + kd * (dq_ref - b.dq) + tau_ff
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

    outside = np.where(powered & (above | below), _POSITION_LIMIT, _NO_BITS)
    outside |= np.where(overflow, _TORQUE_NOT_FINITE, _NO_BITS)
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
