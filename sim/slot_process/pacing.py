"""When a slot's next step is due, and how late it was: pure arithmetic on times."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from sim.slot_process.segment import LATENESS_EDGES_S
from sim.slot_process.work import Pace


@dataclass(frozen=True)
class Schedule:
    """An absolute schedule: step k is due at `start_s + k * interval_s`; lateness never adds up unseen.

    Attributes:
        start_s: The clock's time of step 0.
        interval_s: Real time per step; 0 for "as fast as possible".
        done: Steps made so far.
    """

    start_s: float
    interval_s: float
    done: int = 0

    @property
    def due_s(self) -> float:
        """When the coming step is due."""
        return self.start_s + (self.done + 1) * self.interval_s


def schedule_of(pace: Pace, period_s: float, now_s: float) -> Schedule:
    """Return the schedule that begins now."""
    return Schedule(now_s, 0.0 if pace.mode == "asap" else period_s / pace.rate)


def after_step(schedule: Schedule, pace: Pace, now_s: float) -> tuple[Schedule, float]:
    """Return the schedule after a step that was complete at `now_s`, and how late that was [s], not negative.

    In lockstep time waits for the controller: a late step moves the schedule. In real time it does not: what was lost
    is made up for, by steps that follow each other without a pause.
    """
    late_s = max(now_s - schedule.due_s, 0.0) if schedule.interval_s else 0.0
    start_s = schedule.start_s + (late_s if pace.mode == "lockstep" else 0.0)
    return Schedule(start_s, schedule.interval_s, schedule.done + 1), late_s


def bucket(late_s: float, edges_s: Sequence[float] = LATENESS_EDGES_S) -> int:
    """Return where in the histogram a lateness counts: 0 is on time, the last is beyond all edges."""
    return bisect_left(edges_s, late_s)
