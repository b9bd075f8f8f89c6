"""Robots of our own: primitive shapes only, generated from tables of our own rounded numbers."""

from collections.abc import Callable

import mujoco

from sim.own.arm import arm
from sim.own.gripper import gripper
from sim.own.humanoid import humanoid
from sim.own.mobile_base import mobile_base
from sim.own.quadruped import quadruped
from sim.own.torso import torso

BUILDERS: dict[str, Callable[[], mujoco.MjSpec]] = {
    "humanoid": humanoid,
    "quadruped": quadruped,
    "arm": arm,
    "torso": torso,
    "mobile_base": mobile_base,
    "gripper": gripper,
}

__all__ = ["BUILDERS", "arm", "gripper", "humanoid", "mobile_base", "quadruped", "torso"]
