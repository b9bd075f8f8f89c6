"""The control room: turns targets into safe joint torques every tick.

A robot model is a `RobotSpec`; all units of one model are a `Cohort`; any mix of cohorts is a `Floor`. What a
tick does is specified in `controller/reference.py` (NumPy) and runs as `controller/kernel.c`, which equals
it bit for bit. `controller/loop.py` calls it on time and `controller/realtime.py` does so without Python, so that
Python cannot hold it up; `controller/driver.py` is the line to the robot.
"""

from controller.actuator import (
    ActuatorPhysics,
    Friction,
    JointPhysics,
    LuGre,
    Thermal,
    load_actuator,
    reflected_inertia_kg_m2,
)
from controller.cohort import Cohort, Floor
from controller.driver import Capabilities, Driver, Identity, Restarting, Sticking
from controller.errors import (
    CommandError,
    ControllerError,
    DriverError,
    KernelUnavailableError,
    NotExcitedError,
    SpecError,
    StateError,
    StopHeldError,
    TraceError,
)
from controller.jerk import JerkLimiter
from controller.kernel import backend, backend_reason
from controller.learned import LearnedActuator
from controller.limiter import TargetLimiter
from controller.plausibility import Plausibility
from controller.safety import Event, Fault, State
from controller.spec import JointSpec, RobotSpec
from controller.transmission import LeadScrew

__all__ = [
    "ActuatorPhysics",
    "Capabilities",
    "Cohort",
    "CommandError",
    "ControllerError",
    "Driver",
    "DriverError",
    "Event",
    "Fault",
    "Floor",
    "Friction",
    "Identity",
    "JerkLimiter",
    "JointPhysics",
    "JointSpec",
    "KernelUnavailableError",
    "LeadScrew",
    "LearnedActuator",
    "LuGre",
    "NotExcitedError",
    "Plausibility",
    "Restarting",
    "RobotSpec",
    "SpecError",
    "State",
    "StateError",
    "Sticking",
    "StopHeldError",
    "TargetLimiter",
    "Thermal",
    "TraceError",
    "backend",
    "backend_reason",
    "load_actuator",
    "reflected_inertia_kg_m2",
]
