"""Recordings with a camera, and detectors for tests: planted faces, and photographs that a package carries."""

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharing.projection import worker
from sharing.projection.transforms import read
from store import EpisodeRecorder, Outcome, Status
from store.camera import CameraStream, FrameEncoder
from tests.sharing.projection.ground import Ground
from tests.store.conftest import build_header, build_rows

CAMERA = "observation.images.front"
WIDTH, HEIGHT = 96, 64
STREAM = CameraStream(WIDTH, HEIGHT, 20.0)
FACE = (32, 16, 48, 40)
"""Where a face is planted: left, top, right, bottom [px]."""


@dataclass
class Planted:
    """A detector that knows where faces are: the same box in each of some frames."""

    frames: frozenset[int] | None = None
    box: tuple[int, int, int, int] = FACE
    name: str = "planted"
    sha256: str = "0" * 64
    threshold: float = 0.5
    seen: int = field(default=0)

    def find(self, frame: np.ndarray) -> np.ndarray:
        """Return the box, or none."""
        here, self.seen = self.seen, self.seen + 1
        if self.frames is not None and here not in self.frames:
            return np.zeros((0, 4), np.float32)
        return np.array([self.box], np.float32)


@dataclass
class Coloured:
    """A detector to which all that is magenta is a face."""

    name: str = "magenta"
    sha256: str = "1" * 64
    threshold: float = 0.5

    def find(self, frame: np.ndarray) -> np.ndarray:
        """Return the box around all of it."""
        parts = frame.astype(int)
        rows, columns = np.nonzero((parts[..., 0] > 140) & (parts[..., 2] > 140) & (parts[..., 1] < 110))
        if not len(rows):
            return np.zeros((0, 4), np.float32)
        return np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float32)


def scene(number: int = 0, face: np.ndarray | None = None) -> np.ndarray:
    """Return a frame, a gradient that moves, with something where a face is planted; magenta if not said."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    frame = np.stack([rows + 60, columns + 60, (rows + columns + 5 * number) % 80 + 60], axis=2).astype(np.uint8)
    left, top, right, bottom = FACE
    frame[top:bottom, left:right] = (230, 30, 230) if face is None else face
    return frame


def packets_of(frames: Sequence[np.ndarray], stream: CameraStream = STREAM) -> list[bytes]:
    """Return the frames as a camera's packets."""
    encoder = FrameEncoder(stream)
    return [encoder.encode(frame) for frame in frames]


def record(
    ground: Ground, number: int, packets: Sequence[bytes], stream: CameraStream = STREAM, *, every: int = 5
) -> None:
    """Record an episode with a camera `front`, a frame every so many rows, and enter it."""
    name = f"vendors/{ground.vendor}"
    header = build_header(
        3,
        name=f"{name}/episodes/e-{number}",
        vendor=name,
        job=f"{name}/jobs/j-1",
        unit="venues/north/units/arm-00017",
        world=None,
        cameras={"front": stream},
    )
    time_s, signals = build_rows(header, every * len(packets), seed=number, rate_hz=100.0)
    recorder = EpisodeRecorder(header, ground.root / "spool", ground.objects)
    recorder.extend(time_s, signals, {"front": {every * index: packet for index, packet in enumerate(packets)}})
    ground.enter(number, recorder.seal(Outcome(Status.SUCCESS)), header)


def in_process(detector: Callable[[], Any]) -> Callable[..., dict[str, Any]]:
    """Return what stands for `projection.process.run`: the same work in this process, with another detector.

    What a confined process does more is tested where the real detector is installed.
    """
    import random

    from sharing.desensitise.video import Faces

    def run(told: dict[str, Any], limits: object, **_: object) -> dict[str, Any]:
        transforms = read(told["transforms"])
        shown = transforms.faces and any(column == CAMERA for column in told["columns"])
        faces = Faces(detector(), random.Random(told["secrets"]["sheets"])) if shown else None
        return worker.make(told, transforms, Path(told["out"]), faces)

    return run


FILLED: Mapping[str, Mapping[str, str]] = {"fill-faces": {}}


def photograph(name: str) -> np.ndarray:
    """Return a photograph that scikit-image carries, (height, width, 3); skips where it is not installed.

    `astronaut` is NASA's of Eileen Collins, in the public domain. The package is not imported: its libraries need not
    be there.
    """
    found = importlib.util.find_spec("skimage")
    if found is None or found.origin is None:
        pytest.skip("needs scikit-image, which carries photographs")
    (path,) = (Path(found.origin).parent / "data").glob(f"{name}.*")
    return np.asarray(Image.open(path).convert("RGB"))
