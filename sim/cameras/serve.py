"""What the process that draws runs: it builds the scene, opens OpenGL, and draws what it is asked for."""

import json
import os
import select
import signal
import socket
from dataclasses import asdict
from typing import Any

import numpy as np

from sim import sandbox
from sim.cameras import segment
from sim.cameras.segment import WORD, FrameSegment
from sim.cameras.spec import Camera, from_tables
from sim.errors import SimError
from sim.slot_process import confine, control
from sim.slot_process.work import Bounds, SlotSpec


def serve(sock: socket.socket, request_fd: int, response_fd: int) -> int:
    """Build what the first message asks for and draw until the holder is gone. Returns the exit code."""
    try:
        message, _ = control.receive(sock)
    except EOFError:
        return 0
    bounds = Bounds(**message["bounds"])
    signal.setitimer(signal.ITIMER_REAL, bounds.start_s)
    confine.bound(bounds)
    # Of Mesa's software renderer: as many threads as were leased, and nothing left on the disk.
    os.environ["LP_NUM_THREADS"] = str(int(message["threads"]))
    os.environ["MESA_SHADER_CACHE_DISABLE"] = "true"
    try:
        spec = SlotSpec.from_json(message["spec"])
        cameras = from_tables(message["cameras"])
        # Before a model is read or a driver loaded, while there is one thread.
        more, devices = sandbox.graphics()
        layers = sandbox.enter([*sandbox.readable(spec.folder), *more], devices)
        # Mesa is loaded here, and never in the nursery.
        from sim.cameras.draw import Painter
        from sim.cameras.scene import scene_of

        model = scene_of(spec.work, cameras)
        shared = segment.create(cameras, spec.worlds, int(model.nq))
        painter = Painter(model, cameras)
        confine.give_back_memory()
        sizes = {camera.name: float(model.camera(camera.in_model).fovy[0]) for camera in cameras}
        facts = {"backend": painter.backend, "positions": int(model.nq), "fovy_deg": sizes}
        told = {"facts": json.dumps(facts), "layers": [asdict(layer) for layer in layers]}
        control.send(sock, told, shared.fd)
    except SimError as error:
        control.send(sock, {"refused": type(error).__name__, "message": str(error)[:4000]})
        return 0
    except MemoryError:
        text = f"the scene needs more than the {bounds.memory_bytes / 2**20:.0f} MiB that its cameras may use"
        control.send(sock, {"refused": "BadCamera", "message": text})
        return 0
    except Exception as error:
        control.send(sock, {"refused": "BadCamera", "message": f"{type(error).__name__}: {error}"[:4000]})
        return 0
    confine.started()
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    watched: list[Any] = [sock, request_fd]
    while True:
        if sock in select.select(watched, (), ())[0]:
            return 0
        os.eventfd_read(request_fd)
        _answer(shared, painter, cameras)
        os.eventfd_write(response_fd, 1)


def _answer(shared: FrameSegment, painter: Any, cameras: tuple[Camera, ...]) -> None:
    words = shared.words
    asked = int(words[WORD.request])
    words[WORD.status] = segment.OK
    try:
        for world in np.flatnonzero(shared.running):
            painter.pose(shared.qpos[world])
            for camera, chosen in zip(cameras, shared.chosen, strict=True):
                if chosen:
                    painter.draw(camera, shared.frames[camera.name][world])
    except Exception as error:
        words[WORD.status] = segment.FAILED
        shared.put_text(f"{type(error).__name__}: {error}")
    words[WORD.response] = asked
