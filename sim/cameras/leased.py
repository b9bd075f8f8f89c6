"""The holder's end of the process that draws: starts it, asks for frames, counts those that came too late, ends it."""

import json
import os
import time
import weakref
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from sim import errors
from sim.cameras import segment
from sim.cameras.schedule import frame_at
from sim.cameras.segment import WORD, FrameSegment
from sim.cameras.spec import Camera, from_tables, to_tables
from sim.errors import BadCamera, CamerasDied, CamerasTimeout, SimError, SlotDied
from sim.slot_process import control
from sim.slot_process.leased import layers_of
from sim.slot_process.process import Process, closing, how_ended, readable
from sim.slot_process.work import Bounds, SlotSpec


@dataclass(frozen=True)
class Frames:
    """What cameras saw at one step.

    Attributes:
        tick: The step it belongs to, as it was asked for.
        images: By the camera's name, a copy: (N, height, width, 3) of uint8, or (N, height, width) of float32 [m].
    """

    tick: int
    images: Mapping[str, npt.NDArray[Any]]


class Cameras:
    """Cameras on worlds of a slot, in a process of their own. Not for several threads at once, except `kill`.

    Attributes:
        cameras: What was asked for.
        backend: What draws: "egl", "osmesa", or "rays".
        fovy_rad: Field of view of each camera from top to bottom, by its name.
        missed: Of each camera, frames that were due while the one before was still being drawn.
        pid: Of the process.
        layers: What the process gave up before it read its model, and what this machine did not let it give up.
    """

    def __init__(
        self, spec: SlotSpec, cameras: Sequence[Camera], *, worlds: int | None = None, bounds: Bounds | None = None
    ) -> None:
        """Start the process and wait until it can draw.

        Args:
            spec: The slot whose worlds are looked at. Software renders on as many threads as the slot has.
            cameras: At least one.
            worlds: How many worlds are drawn at a time; all of the slot's by default.
            bounds: What the process may use.

        Raises:
            BadCamera: a description that makes no sense, a camera or body that is not there, pictures too large.
            NoDisplay: a camera needs OpenGL, and there is none; "ray_depth" does without.
            CamerasDied, CamerasTimeout: the process did not get so far.
            SimError: as for the worlds themselves.
        """
        if not cameras:
            raise BadCamera("no cameras: at least one")
        self.cameras = from_tables(to_tables(cameras))
        self.bounds = bounds or Bounds()
        self.missed = dict.fromkeys((camera.name for camera in cameras), 0)
        self._pending: tuple[int, list[str]] | None = None
        self._what = "while it was started"
        worlds = spec.worlds if worlds is None else worlds
        seen = SlotSpec(spec.work, worlds=worlds, threads=spec.threads, seed=spec.seed)
        try:
            process = self._process = Process("cameras")
        except SlotDied as error:
            raise CamerasDied(f"no process could be started to draw: {error}") from error
        self.pid = process.pid
        self._finalizer = weakref.finalize(self, process.end)
        hello = {
            "spec": seen.to_json(),
            "cameras": to_tables(cameras),
            "bounds": asdict(self.bounds),
            "threads": spec.threads,
        }
        try:
            try:
                control.send(process.sock, hello)
                message, fds = self._hear()
            except (OSError, EOFError):
                raise self._died() from None
            with closing(fds):
                if "refused" in message:
                    raise _error(str(message["refused"]), str(message.get("message")))
                facts = json.loads(message["facts"])
                self.backend = str(facts["backend"])
                self.layers = layers_of(message.get("layers"))
                self.fovy_rad = {str(k): float(np.radians(v)) for k, v in facts["fovy_deg"].items()}
                self._shared = FrameSegment(fds[0], self.cameras, worlds, int(facts["positions"]))
                process.segment = self._shared
                fds.clear()
        except BaseException:
            self._finalizer()
            raise

    def draw(
        self,
        qpos: npt.ArrayLike,
        *,
        tick: int = 0,
        only: Iterable[str] | None = None,
        running: npt.ArrayLike | None = None,
    ) -> Frames:
        """Draw worlds and wait for it.

        Args:
            qpos: Their positions, (N, nq), as `positions` of a slot gives them.
            tick: The step they belong to; it comes back with the frames.
            only: Names of the cameras; all by default.
            running: Which worlds are drawn, (N,), all by default; the frames of the others are those of before.

        Raises:
            BadCamera: positions of another shape or not finite, or a camera that there is not.
            CamerasDied, CamerasTimeout: the process is gone; another can be started and draws the same.
        """
        if self._pending is not None:
            self._collect(self.bounds.step_s)
        self._ask(np.asarray(qpos, np.float64), tick, self.missed if only is None else only, running)
        found = self._collect(self.bounds.step_s)
        assert found is not None
        return found

    def offer(self, tick: int, qpos: npt.ArrayLike, *, period_s: float) -> Frames | None:
        """Start drawing what is due at a step, and return what has been drawn meanwhile; wait for neither.

        A frame that is due while an earlier one is still being drawn is not drawn: it counts in `missed`.

        Args:
            tick: Steps since the first frame, from 0; what is due follows from it alone (`frame_at`).
            qpos: Positions of the worlds, (N, nq).
            period_s: Time between steps.

        Raises:
            As `draw`.
        """
        done = self._collect(0.0) if self._pending is not None else None
        due = [c.name for c in self.cameras if frame_at(tick, period_s=period_s, rate_hz=c.rate_hz) is not None]
        if due and self._pending is not None:
            for name in due:
                self.missed[name] += 1
        elif due:
            self._ask(np.asarray(qpos, np.float64), tick, due)
        return done

    def finish(self) -> Frames | None:
        """Wait for what is still being drawn, and return it. Raises CamerasDied, CamerasTimeout."""
        return None if self._pending is None else self._collect(self.bounds.step_s)

    def kill(self) -> None:
        """End the process at once; whoever waits for it gets CamerasDied."""
        self._process.kill()

    def close(self) -> None:
        """End the process and let go of everything. Nothing happens the second time."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self,
        qpos: npt.NDArray[np.float64],
        tick: int,
        names: Iterable[str],
        running: npt.ArrayLike | None = None,
    ) -> None:
        if not self._finalizer.alive:
            raise CamerasDied("the cameras are closed")
        shared, wanted = self._shared, set(names)
        if unknown := sorted(wanted - set(self.missed)):
            raise BadCamera(f"no camera {unknown[0]!r}; there are {', '.join(self.missed)}")
        if qpos.shape != shared.qpos.shape:
            raise BadCamera(f"positions have shape {qpos.shape}, not {shared.qpos.shape}")
        if not np.isfinite(qpos).all():
            raise BadCamera(f"positions of world {int(np.argwhere(~np.isfinite(qpos))[0][0])} are not finite")
        self._what = f"while it drew step {tick}"
        shared.qpos[:] = qpos
        shared.chosen[:] = [camera.name in wanted for camera in self.cameras]
        shared.running[:] = True if running is None else running
        shared.words[WORD.request] += 1
        self._pending = (tick, [camera.name for camera in self.cameras if camera.name in wanted])
        os.eventfd_write(self._process.request_fd, 1)

    def _collect(self, patience_s: float) -> Frames | None:
        """Return the frames that are being drawn once they are there; None if they are not after `patience_s`."""
        assert self._pending is not None
        if not self._finalizer.alive:
            raise CamerasDied("the cameras are closed")
        process, shared, words = self._process, self._shared, self._shared.words
        until_s = time.monotonic() + patience_s
        while words[WORD.response] != words[WORD.request]:
            ready = readable((process.response_fd, process.pidfd), max(until_s - time.monotonic(), 0.0))
            if process.response_fd in ready:
                os.eventfd_read(process.response_fd)
            elif ready:
                raise self._died()
            elif patience_s:
                self.close()
                raise CamerasTimeout(f"the cameras took longer than {patience_s:g} s {self._what}; they were ended")
            else:
                return None
        (tick, names), self._pending = self._pending, None
        if words[WORD.status] != segment.OK:
            text = shared.get_text()
            self.close()
            raise CamerasDied(f"the cameras failed {self._what}: {text}")
        return Frames(tick, {name: shared.frames[name].copy() for name in names})

    def _hear(self) -> tuple[dict[str, Any], list[int]]:
        process = self._process
        ready = readable((process.sock.fileno(), process.pidfd), self.bounds.start_s)
        # It may have answered just before its end.
        if process.sock.fileno() in ready or readable((process.sock.fileno(),), 0.0):
            return control.receive(process.sock)
        if ready:
            raise self._died()
        self.close()
        raise CamerasTimeout(f"the cameras took longer than {self.bounds.start_s:g} s {self._what}; they were ended")

    def _died(self) -> CamerasDied:
        self._process.kill()
        code = self._process.code()
        self.close()
        return CamerasDied(f"the process that draws {how_ended(code, self.bounds)} {self._what}")


def _error(kind: str, message: str) -> SimError:
    found = getattr(errors, kind, None)
    return found(message) if isinstance(found, type) and issubclass(found, SimError) else BadCamera(message)
