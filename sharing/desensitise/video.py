"""Video with faces covered, encoded from scratch: of what was recorded no packet and no note is left."""

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.desensitise.cover import COLOUR, GRID_PX, GROWTH, HOLD_FRAMES, MARGIN, Seen, covered
from sharing.desensitise.detector import CenterFace, Detector
from sharing.desensitise.h264 import without_notes
from sharing.desensitise.sheet import Sheet
from sharing.errors import NotReleasable
from store.camera import FrameEncoder, decode, pyav
from store.errors import VideoUnavailable
from store.reader import CameraFrames

MAX_FRAMES = 200_000
"""Of one camera in one episode: nearly two hours at 30 Hz."""


@dataclass
class Faces:
    """Covers faces in the video of one projection, and keeps what proves it.

    Attributes:
        detector: What looks for faces.
        chance: From which the frames of the sheets are drawn.
        seen: What was found, by camera.
        sheets: Frames as they leave, drawn at random, by camera.
    """

    detector: Detector
    chance: random.Random
    seen: dict[str, Seen] = field(default_factory=dict)
    sheets: dict[str, Sheet] = field(default_factory=dict)

    @classmethod
    def default(cls, seed: str) -> "Faces":
        """Return it with the detector that is installed. Raises NotReleasable where none is, or no PyAV."""
        try:
            pyav()
        except VideoUnavailable as error:
            raise NotReleasable(f"fill-faces: {error}") from None
        return cls(CenterFace(), random.Random(seed))

    def filled(self, recorded: CameraFrames, camera: str, kept: np.ndarray) -> list[bytes]:
        """Return the packets of a camera's frames of one episode, those that are kept, faces covered.

        Args:
            recorded: What the camera recorded.
            camera: Its column.
            kept: Of each frame, whether it leaves; bool of shape (frames,). Also in the others faces are looked for.

        Raises:
            NotReleasable: Too many frames.
            BrokenEpisode: The packets are damaged.
        """
        stream, count = recorded.stream, len(recorded.packets)
        if count > MAX_FRAMES:
            raise NotReleasable(f"{camera}: {count} frames in an episode; at most {MAX_FRAMES}")
        seen, sheet = self.seen.setdefault(camera, Seen()), self.sheets.setdefault(camera, Sheet(self.chance))
        encoder, packets = FrameEncoder(stream), []
        frames = covered(recorded.frames(), self.detector, seen)
        for frame, stays in zip(frames, kept.tolist(), strict=True):
            if stays:
                packets.append(without_notes(encoder.encode(frame)))
        # What is shown to whoever reviews is what leaves, not what was meant to leave.
        for frame in decode(stream, packets):
            sheet.offer(frame, lambda shown: len(self.detector.find(shown)))
        return packets

    def table_of(
        self, recorded: CameraFrames, camera: str, name: str, schema: Any, rows: np.ndarray, told_s: np.ndarray
    ) -> Any:
        """Return the table of a camera: a row for each frame that leaves, with its packet.

        Args:
            name: The episode's pseudonym.
            schema: Of the table: episode, time, packet.
            rows, told_s: Rows of joints that leave, and their times as they are told [s].
        """
        kept, places = shown_rows(recorded.rows, rows)
        packets = self.filled(recorded, camera, kept)
        columns = [pa.array([name] * len(packets), pa.string()), pa.array(told_s[places])]
        return pa.table([*columns, pa.array(packets, pa.binary())], schema=schema)

    def report(self) -> dict[str, Any]:
        """Return what was done, in whole numbers and texts, as it is kept with the projection and hashed."""
        return {
            "detector": self.detector.name,
            "weights_sha256": self.detector.sha256,
            "threshold": f"{self.detector.threshold:g}",
            "margin": f"{MARGIN:g}",
            "growth_per_frame": f"{GROWTH:g}",
            "hold_frames": HOLD_FRAMES,
            "grid_px": GRID_PX,
            "fill": f"colour {COLOUR}",
            "cameras": {camera: self._told(camera) for camera in sorted(self.seen)},
        }

    def _told(self, camera: str) -> dict[str, int]:
        seen, sheet = self.seen[camera], self.sheets[camera]
        return {
            "frames": seen.frames,
            "frames_with_faces": seen.frames_with_faces,
            "frames_covered": seen.frames_covered,
            "detections": seen.detections,
            "covered_millionths": 1_000_000 * seen.covered_px // max(1, seen.all_px),
            "released_frames": sheet.offered,
            "sampled_frames": len(sheet.places),
            "sampled_with_faces_left": sheet.left,
        }


def shown_rows(frame_rows: np.ndarray, kept_rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (which frames leave, bool of shape (frames,); for each of these the index of its row among the kept ones).

    Of the frames since the kept row before, a kept row has the last: never two, and none that is not yet there.

    Args:
        frame_rows: Row of each frame, rising, int64 (frames,).
        kept_rows: Rows of joints that leave, rising, int64 (kept,).
    """
    places = np.searchsorted(kept_rows, frame_rows)
    last = np.append(np.diff(places) > 0, True)[: len(places)]
    kept = last & (places < len(kept_rows))
    return kept, places[kept]
