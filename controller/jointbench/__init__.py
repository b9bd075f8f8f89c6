"""The joint test bench: procedures on a simulated rig, and the same evaluations for recordings of a real joint."""

from controller.jointbench.figure import EVALUATIONS, Figure, evaluate, friction_samples, thermal_samples
from controller.jointbench.procedure import PROCEDURES, Joint, run
from controller.jointbench.rig import Rig
from controller.jointbench.trace import Noise, Trace, read_trace

__all__ = [
    "EVALUATIONS",
    "PROCEDURES",
    "Figure",
    "Joint",
    "Noise",
    "Rig",
    "Trace",
    "evaluate",
    "friction_samples",
    "read_trace",
    "run",
    "thermal_samples",
]
