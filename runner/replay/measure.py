"""`python -m runner.replay.measure FILE...`: what scoring takes of a replay, as a line of JSON for each file.

Of a unit `{"file", "engine", "rms_rad": [...]}`, the usual residual of each joint [rad]; of a world `{"file",
"engine", "same"}`; of what cannot be compared here `{"file", "refused"}`. Where the model is known, `lower_rad` and
`upper_rad` are the joints' limits [rad], comparable or not. One file that cannot be read ends nothing.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from runner.replay.errors import NotComparable
from runner.replay.twin import residual
from runner.replay.world import verify
from sim import catalog
from sim.errors import SimError
from store import Episode, read_episode
from store.errors import StoreError

LONGEST_S = 600.0
"""A longer episode is not replayed: it would take minutes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure every file and return 0."""
    parser = argparse.ArgumentParser(prog="python -m runner.replay.measure", description=__doc__)
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE", help="sealed episodes")
    root = os.environ.get("MENAGERIE_ROOT")
    for file in parser.parse_args(arguments).files:
        print(json.dumps({"file": str(file), **_told(file, Path(root) if root else None)}), flush=True)
    return 0


def _told(file: Path, menagerie_root: Path | None) -> dict[str, Any]:
    try:
        episode = read_episode(file)
    except (StoreError, OSError) as error:
        return {"refused": str(error)}
    limits = joint_limits(episode, menagerie_root)
    try:
        return {**limits, **measure(episode, menagerie_root=menagerie_root)}
    except (NotComparable, SimError) as error:
        return {**limits, "refused": str(error)}


def measure(episode: Episode, *, menagerie_root: Path | None = None) -> dict[str, Any]:
    """Return what a replay leaves: `engine`, and `rms_rad` of a unit or `same` of a world. Raises NotComparable."""
    length_s = float(np.ptp(episode.time_s))
    if length_s > LONGEST_S:
        raise NotComparable(f"{length_s:.0f} s long, and {LONGEST_S:.0f} s are replayed at most")
    engine = f"mujoco {mujoco.__version__}"
    if episode.header.world is not None:
        return {"engine": engine, "same": verify(episode, menagerie_root=menagerie_root).same}
    left = residual(episode, menagerie_root=menagerie_root)
    # The median of the stretches: a target that jumps, which the core slews to, or a push is no other robot.
    return {"engine": engine, "rms_rad": [float(rms) for rms in np.median(left.windows_rad, axis=0)]}


def joint_limits(episode: Episode, menagerie_root: Path | None = None) -> dict[str, Any]:
    """Return `lower_rad` and `upper_rad` of the episode's joints; nothing where its model is not known here."""
    try:
        robot = catalog.find(episode.header.robot_model, menagerie_root).robot_spec()
    except SimError:
        return {}
    if tuple(robot.joint_names) != tuple(episode.header.joint_names):
        return {}
    return {
        "lower_rad": [joint.q_min_rad for joint in robot.joints],
        "upper_rad": [joint.q_max_rad for joint in robot.joints],
    }


if __name__ == "__main__":
    sys.exit(main())
