"""Which jobs the demo submits, given the robots that are online: a pure function."""

from collections.abc import Iterable
from dataclasses import dataclass

from palaestra import jobs
from palaestra.v1 import job_pb2, venue_pb2


@dataclass(frozen=True)
class DemoJob:
    """One job of the demo.

    Attributes:
        key: Short name in tables.
        vendor: Who submits it.
        job: What is submitted.
        after: Key of the training job whose policy it needs; it is submitted when that has succeeded.
        gets_fault: One of its units breaks on the way.
        gets_cancelled: Its vendor changes its mind.
    """

    key: str
    vendor: str
    job: job_pb2.Job
    after: str = ""
    gets_fault: bool = False
    gets_cancelled: bool = False


# Real models that the demo's tasks are known to be learnt with.
WALKERS = frozenset({"unitree_go1"})
REACHERS = frozenset({"franka_panda"})


class NotEnoughRobots(Exception):
    """The venue has not the robots that the demo needs."""


def plan(units: Iterable[venue_pb2.Unit], vendors: tuple[str, ...]) -> list[DemoJob]:
    """Return the demo's jobs. Raises NotEnoughRobots unless there are two robots of each class.

    Real models are taken where they are online, our own otherwise.
    """
    online = [unit for unit in units if unit.state == venue_pb2.UNIT_STATE_IDLE]
    for kind, wanted in (("humanoid", 2), ("quadruped", 2), ("arm", 2)):
        count = sum(unit.robot_class == kind for unit in online)
        if count < wanted:
            raise NotEnoughRobots(f"the demo needs {wanted} units of class {kind}, {count} are idle")
    one, two, three = (vendors * 3)[:3]
    pair = _model_with(online, "humanoid", 2)
    dogs = _model_with(online, "quadruped", 2)
    arm = _model_with(online, "arm", 1)
    walker = dogs if dogs in WALKERS else "own_quadruped"
    reacher = arm if arm in REACHERS else "own_arm"
    lone = _other_model(online, "humanoid", pair)
    simulated = _other_model(online, "humanoid", pair, lone)
    real_dogs = {"model": "real"} if dogs in WALKERS else {}
    bench = jobs.cell(scenario="bench-assembly")
    return [
        DemoJob(
            "pair-wave",
            one,
            jobs.collect(
                display_name="two humanoids wave at the bench",
                motion="wave",
                episodes=2,
                episode_s=4.0,
                cell=bench,
                units=[jobs.unit(robot_model=pair, count=2)],
                task="wave to a colleague",
                duration_s=120,
            ),
        ),
        DemoJob(
            "arm-reach",
            two,
            jobs.collect(
                display_name="an arm reaches round the bench",
                motion="reach_around",
                episodes=2,
                episode_s=4.0,
                cell=bench,
                units=[jobs.unit(robot_model=arm)],
                task="reach around the bench",
                duration_s=120,
            ),
        ),
        DemoJob(
            "dogs-trot",
            three,
            jobs.collect(
                display_name="two quadrupeds trot",
                motion="trot_in_place",
                episodes=3,
                episode_s=4.0,
                # By class and label: when one of them breaks, another of any maker takes its place.
                units=[jobs.unit(robot_class="quadruped", labels=real_dogs, count=2)],
                task="trot in place",
                duration_s=120,
            ),
            gets_fault=True,
        ),
        DemoJob(
            "walk",
            three,
            jobs.train(
                "walk", walker, sim_slots=1, iterations=10, directions=16, display_name="learn to walk", duration_s=300
            ),
        ),
        DemoJob(
            "reach",
            two,
            jobs.train(
                "reach",
                reacher,
                sim_slots=1,
                iterations=10,
                directions=16,
                display_name="learn to reach",
                duration_s=300,
            ),
        ),
        DemoJob(
            "squat",
            two,
            jobs.collect(
                display_name="a humanoid of the same model squats",
                motion="squat",
                episodes=2,
                episode_s=4.0,
                units=[jobs.unit(robot_model=pair)],
                task="squat",
                duration_s=120,
            ),
        ),
        DemoJob(
            "long-sway",
            three,
            jobs.collect(
                display_name="a long recording, cancelled on the way",
                motion="sway",
                episodes=20,
                episode_s=10.0,
                units=[jobs.unit(robot_model=lone)],
                task="sway",
                duration_s=300,
            ),
            gets_cancelled=True,
        ),
        DemoJob(
            "worlds",
            one,
            jobs.collect(
                display_name="four simulated humanoids sway",
                motion="sway",
                episodes=2,
                episode_s=4.0,
                sim_slots=1,
                robot_model=simulated,
                worlds=4,
                task="sway",
                duration_s=120,
            ),
        ),
        DemoJob(
            "walk-eval",
            three,
            jobs.evaluate(
                "walk", walker, sim_slots=1, episodes=32, display_name="does it walk?", duration_s=120, seed=7
            ),
            after="walk",
        ),
        DemoJob(
            "reach-eval",
            two,
            jobs.evaluate(
                "reach", reacher, sim_slots=1, episodes=32, display_name="does it reach?", duration_s=120, seed=7
            ),
            after="reach",
        ),
    ]


def _other_model(units: list[venue_pb2.Unit], robot_class: str, *taken: str) -> str:
    """Return a model of a class besides those taken, a real one if there is; a taken one if there is no other."""
    models = {unit.robot_model for unit in units if unit.robot_class == robot_class}
    return min(models - set(taken) or models, key=lambda model: (model.startswith("own_"), model))


def _model_with(units: list[venue_pb2.Unit], robot_class: str, count: int) -> str:
    """Return the robot model of a class of which there are at least `count`, a real one if there is."""
    found: dict[str, int] = {}
    for unit in units:
        if unit.robot_class == robot_class:
            found[unit.robot_model] = found.get(unit.robot_model, 0) + 1
    enough = sorted(
        (model for model, number in found.items() if number >= count), key=lambda m: (m.startswith("own_"), m)
    )
    if not enough:
        raise NotEnoughRobots(f"the demo needs {count} units of one {robot_class} model; there are {found}")
    return enough[0]
