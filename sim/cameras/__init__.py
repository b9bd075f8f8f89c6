"""Cameras on the worlds of a slot, drawn by a process of their own: whatever OpenGL does, the slot goes on.

`Cameras` starts the process and asks for frames, `sim.cameras.serve` is what runs in it.
"""

from sim.cameras.leased import Cameras, Frames
from sim.cameras.schedule import frame_at
from sim.cameras.spec import Camera, from_tables, to_tables

__all__ = ["Camera", "Cameras", "Frames", "frame_at", "from_tables", "to_tables"]
