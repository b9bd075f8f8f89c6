"""What a runner knows how to do, as it tells the scheduler, so that what is misspelt is refused at once."""

import math
from collections.abc import Sequence
from pathlib import Path

from palaestra.v1 import runner_service_pb2, worlds_pb2
from sim import catalog
from sim.errors import Misfit
from sim.motion import motions
from sim.randomisation import QUANTITIES
from sim.scenarios.scenario import scenario_ids
from sim.tasks import find_task, tasks


def repertoire(
    menagerie_root: Path | None, policy_servers: Sequence[str]
) -> runner_service_pb2.WatchAssignmentsRequest:
    """Return tasks, motions and robots, with the names that a job may use of them. Takes about half a second."""
    available = [entry for entry in catalog.robots(menagerie_root) if entry.available()]
    return runner_service_pb2.WatchAssignmentsRequest(
        tasks=sorted(tasks()),
        motions=sorted(motions()),
        robot_models=sorted(entry.id for entry in available),
        quantities=[
            worlds_pb2.QuantityRange(
                quantity=name,
                on=kind.on,
                least=kind.least if math.isfinite(kind.least) else None,
                actuators=kind.actuators,
            )
            for name, kind in QUANTITIES.items()
        ],
        robots=[_names(entry) for entry in available],
        policy_servers=policy_servers,
        scenarios=sorted(f"{path.parent.name}/{id_}" for id_, path in scenario_ids().items()),
    )


def _names(entry: catalog.Entry) -> worlds_pb2.RobotNames:
    """Return the names of a robot's parts, and of all that tasks add to its scene."""
    bare = entry.mjspec(visuals=False)
    scenes = [bare]
    for name in tasks():
        task = find_task(name)
        try:
            task.check(entry)
        except Misfit:
            continue
        scene = bare.copy()
        task.furnish(scene, entry)
        scenes.append(scene)
    return worlds_pb2.RobotNames(
        robot_model=entry.id,
        bodies=_all([body.name for scene in scenes for body in scene.bodies]),
        shapes=_all([geom.name for scene in scenes for geom in scene.geoms]),
        joints=entry.robot_spec().joint_names,
    )


def _all(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for name in names if name))
