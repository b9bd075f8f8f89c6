"""What a slot process is asked to be, and what it says of itself: plain values that cross as JSON."""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from sim.catalog import ACTUATORS, Actuators
from sim.errors import BadSlot

MIB = 2**20
WORLDS_MAX = 65_536
THREADS_MAX = 1_024


@dataclass(frozen=True)
class TaskWork:
    """Worlds of a robot of the catalogue at a task, with the control core in the loop (`sim.slot.SimSlot`).

    Attributes:
        robot: Id in the catalogue.
        task: Name of a task; empty if a motion is followed instead.
        motion: Name of a motion; empty for a task.
        horizon_s: Length of an episode that follows a motion.
        actuators: "physical" or "ideal".
        sensors: Description of the sensors, as `sim.sensors` reads it; empty for none.
        randomisation: What differs from episode to episode, as `sim.randomisation` reads it; empty for nothing.
        menagerie_root: A MuJoCo Menagerie checkout, or empty.
    """

    robot: str
    task: str = ""
    motion: str = ""
    horizon_s: float = 0.0
    actuators: Actuators = ACTUATORS[0]
    sensors: tuple[dict[str, Any], ...] = ()
    randomisation: tuple[dict[str, Any], ...] = ()
    menagerie_root: str = ""


@dataclass(frozen=True)
class ModelWork:
    """Worlds of somebody's own MJCF model, which nobody but the slot process ever loads. Actions are its controls.

    Attributes:
        folder: What the model may read from.
        file: The model's XML file, inside the folder.
        period_s: Time per step; physics runs in whole substeps of the model's own length.
    """

    folder: str
    file: str
    period_s: float = 0.02


@dataclass(frozen=True)
class ScenarioWork:
    """Worlds of a scenario (`sim.slot_process.scenario_slot`).

    Attributes:
        robot: Id in the catalogue.
        scenario: Its id, or sector and id; one of those that are shipped.
        level: 1 to 4.
        script: The scripted policy that drives, "pass", "fail" or "idle"; empty: the actions alone.
        menagerie_root: A MuJoCo Menagerie checkout, or empty.
    """

    robot: str
    scenario: str
    level: int = 1
    script: str = ""
    menagerie_root: str = ""


Work = TaskWork | ModelWork | ScenarioWork
_KINDS: dict[str, type[TaskWork | ModelWork | ScenarioWork]] = {
    "task": TaskWork,
    "model": ModelWork,
    "scenario": ScenarioWork,
}


@dataclass(frozen=True)
class Pace:
    """How the slot's time goes along with the clock's.

    Attributes:
        mode: "asap": each step when it is asked for, as fast as possible.
            "lockstep": when it is asked for, but not faster than `rate`; time waits for the controller.
            "real_time": at `rate`, whether or not an action has come; the last one is held where none has.
        rate: Simulated over real time.
    """

    mode: Literal["asap", "lockstep", "real_time"] = "asap"
    rate: float = 1.0


@dataclass(frozen=True)
class SlotSpec:
    """A slot: its work, its size, its chance, its pace.

    Attributes:
        worlds: Number of worlds N.
        threads: Threads that step them: the leased cores.
        seed: The job's seed.
        first_world: Number of the first world.
    """

    work: Work
    worlds: int
    threads: int = 1
    seed: int = 0
    first_world: int = 0
    pace: Pace = field(default_factory=Pace)

    def __post_init__(self) -> None:
        for name, value, most in (("worlds", self.worlds, WORLDS_MAX), ("threads", self.threads, THREADS_MAX)):
            if not 1 <= value <= most:
                raise BadSlot(f"{name} = {value}: from 1 to {most}")
        if self.pace.mode not in ("asap", "lockstep", "real_time"):
            raise BadSlot(f"pace {self.pace.mode!r}: asap, lockstep or real_time")
        if not (math.isfinite(self.pace.rate) and 0.0 < self.pace.rate <= 1e4):
            raise BadSlot(f"rate = {self.pace.rate!r}: above 0 and up to 1e4")
        if isinstance(self.work, ModelWork) and not (math.isfinite(self.work.period_s) and 0 < self.work.period_s <= 1):
            raise BadSlot(f"period_s = {self.work.period_s!r}: above 0 and up to 1")
        if isinstance(self.work, TaskWork) and bool(self.work.task) == bool(self.work.motion):
            raise BadSlot(f"task {self.work.task!r} and motion {self.work.motion!r}: exactly one of them")

    @property
    def folder(self) -> str:
        """Where the model may be, beside the packages of robots; empty for nowhere else."""
        return self.work.folder if isinstance(self.work, ModelWork) else self.work.menagerie_root

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        kind = next(kind for kind, each in _KINDS.items() if isinstance(self.work, each))
        return json.dumps({**asdict(self), "kind": kind})

    @classmethod
    def from_json(cls, text: str) -> "SlotSpec":
        """Read what `to_json` wrote. Raises BadSlot."""
        try:
            table = json.loads(text)
            kind, work, pace = table.pop("kind"), table.pop("work"), Pace(**table.pop("pace"))
            if kind == "task":
                work |= {name: tuple(work[name]) for name in ("sensors", "randomisation")}
            return cls(work=_KINDS[kind](**work), pace=pace, **table)
        except (ValueError, KeyError, TypeError) as error:
            raise BadSlot(f"not a slot's description: {error}") from error


@dataclass(frozen=True)
class Bounds:
    """What a slot process may use at most; what breaks a bound ends that process and nothing else.

    Attributes:
        memory_bytes: Private memory beyond what an idle slot process has (RLIMIT_DATA).
        start_s: From the start of the process until its worlds are ready.
        compile_cpu_s: Processor time until then (RLIMIT_CPU).
        step_s: For one step, reset or checkpoint.
        niceness: At least; the starter's where that is more.
    """

    memory_bytes: int = 4096 * MIB
    start_s: float = 60.0
    compile_cpu_s: float = 40.0
    step_s: float = 60.0
    niceness: int = 0


@dataclass(frozen=True)
class SlotFacts:
    """What a slot is, once it stands.

    Attributes:
        obs_names: What the columns of observations are.
        action_size: Width of actions.
        joint_names: What the columns of the recorded signals are; empty for a model of somebody's own.
        horizon_steps: Steps of an episode that does not end early; 0 if none ever ends by its length.
        period_s, substep_s: Length of a step and of a physics step.
        provenance: Engine, versions, hashes: what must be equal for results to be.
        readings: Width of each sensor's reading, by name.
        positions: Number of generalised positions, which are all that a picture of a world needs.
    """

    robot_model: str
    maker: str
    title: str
    scenario: str
    obs_names: tuple[str, ...]
    action_size: int
    joint_names: tuple[str, ...]
    horizon_steps: int
    period_s: float
    substep_s: float
    model_sha256: str
    provenance: dict[str, str]
    readings: dict[str, int] = field(default_factory=dict)
    reading_units: dict[str, str] = field(default_factory=dict)
    positions: int = 0

    def to_json(self) -> str:
        """Return what `from_json` reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "SlotFacts":
        """Read what `to_json` wrote. Raises BadSlot."""
        try:
            table = json.loads(text)
            values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
            return cls(**values)
        except (ValueError, TypeError, AttributeError) as error:
            raise BadSlot(f"not a slot's facts: {error}") from error
