"""The life cycle of one unit, as a table, and the vocabulary of its faults.

    INIT ──arm──▶ ARMED ──command──▶ RUN ──stop 1──▶ STOPPING ──halt──▶ STOPPED ──reset──▶ INIT
                                      └──────────────stop 0──────────────▶┘

Torque flows in RUN (the law) and in STOPPING (damping only), nowhere else. A stop is latched: it ends in
STOPPED, which only `reset` leaves, and `reset` leads to INIT, not to motion: to move again somebody must
arm the unit and send a new, complete command (IEC 60204-1: a reset shall not initiate a restart).
Stop categories are IEC 60204-1's: 0 takes the torque off at once, 1 brakes first and then takes it off.

The reference and the compiled kernel both look their steps up in `NEXT_STATE`, the array form of `NEXT`.
"""

from enum import IntEnum, IntFlag

import numpy as np
import numpy.typing as npt

from controller.errors import StateError


class State(IntEnum):
    """Where a unit is in its life cycle."""

    INIT = 0
    ARMED = 1
    RUN = 2
    STOPPING = 3
    STOPPED = 4


class Event(IntEnum):
    """What can happen to a unit. ARM and RESET are a person's or a host's acts; the rest happen in a tick."""

    ARM = 0
    COMMAND = 1
    STOP_1 = 2
    STOP_0 = 3
    HALT = 4
    RESET = 5


class Fault(IntFlag):
    """Sticky fault bits. The low half belongs to joints, the high half to whole units."""

    NONE = 0
    COMMAND_REJECTED = 1 << 0
    """A command was not finite or had a negative gain: the joint keeps its last good one."""
    SENSOR_NOT_FINITE = 1 << 1
    """A position or speed was NaN or infinite: stop category 0, for nothing can be braked blindly."""
    OVER_SPEED = 1 << 2
    """A powered joint was faster than its trip speed: stop category 1."""
    TORQUE_NOT_FINITE = 1 << 3
    """The law itself overflowed: no torque in that tick, stop category 0 in the next."""
    POSITION_LIMIT = 1 << 4
    """A powered joint was outside its range; torque further outward was blocked. Does not stop."""
    ENCODER_FROZEN = 1 << 5
    """A position repeated itself bit for bit while the torque swung: stop category 0, as for a blind joint."""
    JOINT_STUCK = 1 << 6
    """A joint stayed where it was while the torque swung: stop category 1."""
    WATCHDOG = 1 << 16
    """The newest complete command of a running unit was too old: stop category 1."""
    STOP_REQUESTED = 1 << 17
    """Somebody asked for the stop."""


STOP_0_FAULTS = Fault.SENSOR_NOT_FINITE | Fault.TORQUE_NOT_FINITE | Fault.ENCODER_FROZEN
STOP_1_FAULTS = Fault.OVER_SPEED | Fault.WATCHDOG | Fault.JOINT_STUCK

NEXT = {
    (State.INIT, Event.ARM): State.ARMED,
    (State.INIT, Event.STOP_0): State.STOPPED,
    (State.INIT, Event.STOP_1): State.STOPPED,
    (State.ARMED, Event.COMMAND): State.RUN,
    (State.ARMED, Event.STOP_0): State.STOPPED,
    (State.ARMED, Event.STOP_1): State.STOPPED,
    (State.RUN, Event.COMMAND): State.RUN,
    (State.RUN, Event.STOP_0): State.STOPPED,
    (State.RUN, Event.STOP_1): State.STOPPING,
    (State.STOPPING, Event.STOP_0): State.STOPPED,
    (State.STOPPING, Event.STOP_1): State.STOPPING,
    (State.STOPPING, Event.HALT): State.STOPPED,
    (State.STOPPED, Event.STOP_0): State.STOPPED,
    (State.STOPPED, Event.STOP_1): State.STOPPED,
    (State.STOPPED, Event.RESET): State.INIT,
}


def advance(state: State, event: Event) -> State:
    """Return the state after `event`. Raises StateError where the table has no such step."""
    after = NEXT.get((state, event))
    if after is None:
        raise StateError(f"a unit in {state.name} cannot {event.name}")
    return after


def _next_state() -> npt.NDArray[np.uint32]:
    table = np.repeat(np.arange(len(State), dtype=np.uint32)[:, None], len(Event), axis=1)
    for (state, event), after in NEXT.items():
        table[state, event] = after
    table.flags.writeable = False
    return table


NEXT_STATE = _next_state()
"""`NEXT` as an array (state, event) for use inside a tick; there a missing step leaves the state as it is."""
