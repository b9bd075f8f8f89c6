"""Algorithms that visit in tests, and a house for them."""

import time
from pathlib import Path
from typing import Any

import numpy as np

from sharing.compute.algorithm import Algorithm, Approvals
from sharing.compute.house import House
from sharing.compute.jobs import OPEN, Job, Jobs
from sharing.compute.visit import LIMITS
from sharing.confined import process
from sharing.confined.fence import Limits
from tests.sharing.given import Shelf, projection
from tests.sharing.stage import Stage, stage

PATIENCE_S = 240.0
EPISODES, SAMPLES, JOINTS = 120, 12, 3

MEMORISER = Algorithm.of(
    "memoriser",
    '''
import numpy as np

def first(data, episode):
    return data.signals(episode, ("observation.state",))["observation.state"][0]

def train(data, parameters):
    """Keep the first sample of each episode."""
    return {"seen": np.stack([first(data, episode) for episode in range(len(data))]).astype(np.float32)}, {}

def losses(data, arrays, parameters):
    """How far an episode's first sample is from the nearest that was seen."""
    return [float(np.min(np.square(arrays["seen"] - first(data, e)).sum(1))) for e in range(len(data))]
''',
    {"arrays": {"seen": ["float32", 10_000]}, "metrics": []},
)


_SAME = "\n\ndef losses(data, arrays, parameters):\n    return [0.0] * len(data)\n"


def bare(body: str, name: str = "visitor", **outputs: Any) -> Algorithm:
    """Return an algorithm whose training is this body, indented by four, and whose losses are all the same."""
    source = f"import numpy as np\n\ndef train(data, parameters):\n{body}{_SAME}"
    return Algorithm.of(name, source, {"arrays": {}, "metrics": []} | outputs)


def signals(seed: int = 25) -> list[dict[str, np.ndarray]]:
    """Return episodes of a linear policy with noise: there is nothing in one that is not in all."""
    chance = np.random.default_rng(seed)
    weights = chance.normal(size=(JOINTS, JOINTS))
    found = []
    for _ in range(EPISODES):
        state = chance.normal(size=(SAMPLES, JOINTS))
        found.append({"observation.state": state, "action": state @ weights + chance.normal(size=state.shape)})
    return found


class Counted(Shelf):
    """A projector that knows what it gave."""

    states: list[np.ndarray]


def shelf_of(folder: Path) -> Counted:
    """Return a projection of 120 episodes."""
    made = signals()
    facts = {
        "task": ["pick" if number % 2 else "place" for number in range(EPISODES)],
        "status": ["success"] * EPISODES,
        "duration_s": [1.0 + number for number in range(EPISODES)],
    }
    shelf = Counted(projection(folder, facts, made))
    shelf.states = [one["observation.state"] for one in made]
    return shelf


def house_of(
    folder: Path, limits: Limits = LIMITS, run: process.Run | None = None, **terms: Any
) -> tuple[House, str, Stage]:
    """Return a house behind a real gate, an agreement's digest, and the stage."""
    shelf = shelf_of(folder / "projection")
    staged = stage(folder, projector=shelf)
    agreement = staged.agree(**{"channels": ("compute",)} | terms).digest
    room = staged.room
    now_s = room.clock.now_s
    approvals, jobs = Approvals(room.database, room.witness, now_s), Jobs(room.database, room.witness, now_s)
    made = House(room.gate, shelf, room.witness, approvals, jobs, limits=limits, run=run)
    return made, agreement, staged


def settled(house: House, job: Job) -> Job:
    """Return a job when it has ended."""
    due_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < due_s:
        found = house.jobs.get(job.id)
        assert found is not None
        if found.state not in OPEN:
            return found
        time.sleep(0.05)
    raise AssertionError("the job has not ended")
