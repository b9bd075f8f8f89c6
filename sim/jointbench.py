"""Puts a joint of the catalogue's robots on the control room's test bench."""

import argparse
from pathlib import Path

import mujoco
import numpy as np

from controller.errors import SpecError
from controller.jointbench.command import bench_joint
from sim.catalog import Entry, find


def bench(given: argparse.Namespace, menagerie_root: Path | None) -> int:
    """Run the tests that `python -m sim bench-joint` was given. Returns 1 if a figure contradicts the specification.

    Raises:
        UnknownRobot, MissingModel, BrokenModel, BrokenCatalogue: as `Entry.robot_spec`.
        SpecError: the robot has no such joint, or a given number is none.
        TraceError: the test cannot be run on this joint.
    """
    entry = find(given.robot, menagerie_root)
    spec = entry.robot_spec()
    if given.joint not in spec.joint_names:
        raise SpecError(f"{given.robot} has no joint {given.joint!r}: it has {', '.join(spec.joint_names)}")
    joint = spec.joints[spec.joint_names.index(given.joint)]
    return bench_joint(joint, given, inertia_kg_m2=joint_inertia_kg_m2(entry, given.joint))


def joint_inertia_kg_m2(entry: Entry, joint: str) -> float:
    """Return what the joint moves at the home pose, its rotor included: its place in the mass matrix's diagonal.

    Raises as `Entry.model`.
    """
    model = entry.model()
    data = mujoco.MjData(model)
    mujoco.mj_resetDataKeyframe(model, data, model.key("home").id)
    mujoco.mj_forward(model, data)
    column = np.zeros(model.nv)
    column[model.joint(joint).dofadr[0]] = 1.0
    moved = np.zeros(model.nv)
    mujoco.mj_mulM(model, data, moved, column)
    return float(moved @ column)
