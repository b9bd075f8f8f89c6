"""Time of one tick of one 29-joint robot through the public API, against the NumPy form.

The call measured is `Cohort.step()`: commands, sensors, life cycle, law and limits of one robot.
"""

from bench.control_kernel import JOINTS, running
from bench.turns import take_turns
from controller import backend


def run() -> dict[str, object]:
    """Measure, and return the figures."""
    calls = {"numpy": running(1, backend="numpy").step}
    if backend() == "compiled":
        calls = {"compiled": running(1).step, "compiled_f64": running(1, dtype="float64").step, **calls}
    times_us = {name: round(seconds * 1e6, 3) for name, seconds in take_turns(calls, rounds=301).items()}
    return {"backend": backend(), "joints": JOINTS, "tick_us": times_us[backend()], "by_form": times_us}
