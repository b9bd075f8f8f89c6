"""`python -m runner.preview JOB.toml OUT.png [--at-s T]`: what the cameras of a collecting job would see.

A world of the job's robot goes along the job's motion, without a venue and without a lease, and is drawn after T
seconds; where a policy would drive it rests. One row of pictures, in the order of the job's cameras; depths as greys.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from palaestra.errors import PalaestraError
from palaestra.jobfile import job_from_toml
from palaestra.v1 import job_pb2
from runner.film import camera_of
from runner.replay.frames import visible
from runner.slots import ACTUATORS
from sim.cameras import Cameras
from sim.cameras.spec import check_names
from sim.errors import BadCamera, SimError
from sim.picture import Image, write_png
from sim.slot_process import LeasedSlot, SlotSpec, TaskWork

REST = "sway"
"""What a robot does here whose job names no motion."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code: 0, or 2 where there is nothing to see, and why."""
    parser = argparse.ArgumentParser(prog="python -m runner.preview", description="What a job's cameras would see.")
    parser.add_argument("job", type=Path, help="a job file with [collect] and [[collect.cameras]]")
    parser.add_argument("out", type=Path, help="PNG")
    parser.add_argument("--at-s", type=float, default=1.0, help="seconds into the episode (1)")
    given = parser.parse_args(arguments)
    root = os.environ.get("MENAGERIE_ROOT", "")
    try:
        write_png(preview(job_from_toml(given.job).collect, given.at_s, menagerie_root=root), given.out)
    except (SimError, PalaestraError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def preview(spec: job_pb2.CollectSpec, at_s: float, *, menagerie_root: str = "") -> Image:
    """Return the pictures of a job's cameras side by side. Raises SimError."""
    cameras = check_names(tuple(camera_of(each) for each in spec.cameras))
    if not cameras:
        raise BadCamera("the job has no cameras: [[collect.cameras]] describes one")
    work = TaskWork(
        spec.robot_model,
        motion=spec.motion or REST,
        horizon_s=max(at_s, 0.0) + 1.0,
        actuators=ACTUATORS[spec.actuators],
        menagerie_root=menagerie_root,
    )
    slot_spec = SlotSpec(work, worlds=1, threads=os.cpu_count() or 1, seed=spec.seed)
    with LeasedSlot(slot_spec) as slot, Cameras(slot_spec, cameras) as drawing:
        slot.record(positions=True)
        slot.reset()
        for _ in range(round(max(at_s, 0.0) / slot.facts.period_s)):
            slot.step(np.zeros((1, slot.action_size)))
        images = drawing.draw(slot.positions()).images
    pictures = [visible(images[camera.name][0]) for camera in cameras]
    sheet = np.full((max(len(p) for p in pictures), sum(p.shape[1] for p in pictures), 3), 255, np.uint8)
    left_px = 0
    for picture in pictures:
        sheet[: picture.shape[0], left_px : left_px + picture.shape[1]] = picture
        left_px += picture.shape[1]
    return sheet


if __name__ == "__main__":
    sys.exit(main())
