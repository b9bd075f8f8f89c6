"""How secret a column of an episode is: five classes, by what the column tells and about whom.

What nobody has classed is a trade secret. A vendor may class a column of its own more strictly than here, never more
loosely (`stricter`).
"""

from enum import StrEnum

from store.camera import IMAGE_PREFIX
from store.episode import ACTION, BASE_POSE, EFFORT, SENSOR_PREFIX, STATE, TIME, VELOCITY
from store.stream import CONTACT, DEPTH, IMU, SUBTASK, WRENCH


class ColumnClass(StrEnum):
    """Classes, the more open first: each comes with what may be done with it by default."""

    PUBLIC = "P0"
    KINEMATIC = "P1"
    SENSOR = "P2"
    PERSON = "P3"
    """Shows or names a person: leaves only after it was desensitised."""
    TRADE_SECRET = "P4"
    """Torque, current, gains, firmware, temperatures: never leaves. Even at a tenth of the rate and under noise of
    five standard deviations, torque still tells the arm's dynamics (measured on recordings of a real arm)."""


_SIGNALS = {
    TIME: ColumnClass.PUBLIC,
    STATE: ColumnClass.KINEMATIC,
    VELOCITY: ColumnClass.KINEMATIC,
    ACTION: ColumnClass.KINEMATIC,
    BASE_POSE: ColumnClass.KINEMATIC,
    EFFORT: ColumnClass.TRADE_SECRET,
    IMU: ColumnClass.SENSOR,
    WRENCH: ColumnClass.SENSOR,
    CONTACT: ColumnClass.SENSOR,
    DEPTH: ColumnClass.SENSOR,
    # Texts leave scrubbed, whatever the terms say (`sharing.desensitise.text`).
    SUBTASK: ColumnClass.SENSOR,
}


def class_of(column: str) -> ColumnClass:
    """Return the class of a column by its name as the store has it, such as `observation.state`."""
    if column.startswith(IMAGE_PREFIX):
        return ColumnClass.PERSON
    if column.startswith(SENSOR_PREFIX):
        return ColumnClass.SENSOR
    return _SIGNALS.get(column, ColumnClass.TRADE_SECRET)


def stricter(one: ColumnClass, other: ColumnClass) -> ColumnClass:
    """Return the stricter of two classes."""
    return max(one, other)
