"""Robots of our own: primitive shapes only, generated from tables of our own rounded numbers."""

from collections.abc import Callable

import mujoco

from sim.own.arm import arm
from sim.own.humanoid import humanoid
from sim.own.quadruped import quadruped

BUILDERS: dict[str, Callable[[], mujoco.MjSpec]] = {"humanoid": humanoid, "quadruped": quadruped, "arm": arm}

__all__ = ["BUILDERS", "arm", "humanoid", "quadruped"]
