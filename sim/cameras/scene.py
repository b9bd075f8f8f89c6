"""What cameras look at: the scene of a slot's work with all its visuals, and the cameras in it."""

from collections.abc import Sequence
from pathlib import Path

import mujoco

from sim import catalog
from sim.body import base_name, body_of
from sim.cameras.spec import Camera
from sim.errors import BadCamera
from sim.mjcf import compile_model, load_mjcf
from sim.motion import find_motion
from sim.picture import use_our_light
from sim.slot_process.work import ModelWork, ScenarioWork, TaskWork, Work
from sim.tasks import find_task
from sim.tasks.follow import Follow

CHASE_MIN_M = 1.3
CHASE_HEIGHTS = 3.4
"""A robot that walks is about 1.7 times as high as its base: it fits a view of 45 degrees at twice that."""


def scene_of(work: Work, cameras: Sequence[Camera]) -> mujoco.MjModel:
    """Return the model that is drawn: the worlds' own, where a pose means the same, with what is only to be seen.

    Raises:
        BadCamera: a camera's body, or the camera itself, is not there; or the worlds are of a scenario, whose scenes
            differ.
        UnknownRobot, UnknownTask, UnknownMotion, Misfit, MissingModel, BrokenModel: as for the worlds themselves.
    """
    if isinstance(work, ScenarioWork):
        raise BadCamera(
            f"scenario {work.scenario!r}: each of its worlds is another scene, which cameras do not draw yet"
        )
    return _task_scene(work, cameras) if isinstance(work, TaskWork) else _model_scene(work, cameras)


def _task_scene(work: TaskWork, cameras: Sequence[Camera]) -> mujoco.MjModel:
    entry = catalog.find(work.robot, Path(work.menagerie_root) if work.menagerie_root else None)
    task = Follow(find_motion(work.motion), work.horizon_s) if work.motion else find_task(work.task)
    task.check(entry)
    spec = entry.mjspec(visuals=True, actuators=work.actuators)
    task.furnish(spec, entry)
    use_our_light(spec)
    robot = entry.robot_spec()
    model = _furnished(spec, cameras, base_name(spec, robot.joint_names[0]), entry.id)
    body = body_of(model, robot)
    height_m = float(body.home_qpos[2]) if body.floating else 0.0
    for camera in cameras:
        camera.settle(model, max(CHASE_MIN_M, CHASE_HEIGHTS * height_m))
    return model


def _model_scene(work: ModelWork, cameras: Sequence[Camera]) -> mujoco.MjModel:
    spec = load_mjcf(Path(work.folder) / work.file, Path(work.folder))
    base = next(iter(spec.worldbody.bodies), spec.worldbody)
    if not base.name:
        base.name = "camera.base"
    model = _furnished(spec, cameras, str(base.name), work.file)
    for camera in cameras:
        camera.settle(model, max(CHASE_MIN_M, 1.2 * float(model.stat.extent)))
    return model


def _furnished(spec: mujoco.MjSpec, cameras: Sequence[Camera], base: str, label: str) -> mujoco.MjModel:
    for camera in cameras:
        camera.furnish(spec, base)
    return compile_model(spec, label=label)
