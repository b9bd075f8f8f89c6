"""Attack 9, by video: recordings whose frames are too large, too many, of distances, or of changing sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sharing.errors import NotReleasable
from sharing.projection import plan, projector
from store.camera import DEPTH_MM, CameraStream, FrameEncoder
from store.episode import STATE
from tests.sharing.desensitise.pictures import CAMERA, FILLED, Planted, in_process, packets_of, record, scene
from tests.sharing.projection.ground import Ground, grant

SHOWN = grant(columns=(STATE, CAMERA), transforms=FILLED)


def refusal(ground: Ground, numbers: list[int]) -> str:
    """Freeze a version of these episodes and return why it cannot leave."""
    version = ground.freeze(numbers)
    with pytest.raises(NotReleasable) as refused:
        ground.projector().prepare(replace(SHOWN, version=version))
    assert not list((ground.root / "projections").rglob("*.parquet"))
    return str(refused.value)


def test_cameras_through_which_nobody_could_look_are_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a frame is decoded, and the message names the camera."""
    monkeypatch.setattr(projector, "run", _as_a_process)
    ground = Ground(tmp_path)
    record(ground, 1, packets_of([scene()] * 2))
    record(ground, 2, [b"never decoded"] * 2, CameraStream(4096, 4096, 20.0))
    depth = CameraStream(64, 64, 20.0, codec=DEPTH_MM)
    record(ground, 3, [FrameEncoder(depth).encode(np.ones((64, 64), np.float32))] * 2, depth)
    smaller = CameraStream(64, 64, 20.0)
    record(ground, 4, packets_of([np.zeros((64, 64, 3), np.uint8)] * 2, smaller), smaller)

    assert CAMERA in refusal(ground, [2])
    assert "4096 x 4096" in refusal(ground, [1, 2])
    assert "distances" in refusal(ground, [3])
    assert "different sizes" in refusal(ground, [1, 4])
    # The mutant: without that bound its frames would be decoded.
    monkeypatch.setattr(plan, "MAX_FRAME_PX", 1 << 30)
    assert "frame 0" in refusal(ground, [2])


def test_a_recording_that_begins_well_and_ends_broken_gives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole or not at all, also where a second camera's frames or a later episode's are damaged."""
    monkeypatch.setattr(projector, "run", _as_a_process)
    ground = Ground(tmp_path)
    record(ground, 1, packets_of([scene()] * 2))
    record(ground, 2, [*packets_of([scene()] * 2), b"\0\0\0\1\x65cut"])
    assert "frame" in refusal(ground, [1, 2])


def _as_a_process(told: dict[str, object], limits: object, **_: object) -> dict[str, object]:
    """As `projection.process.run`: what the recordings are to blame for is a refusal."""
    from store.errors import StoreError

    try:
        return in_process(Planted)(told, limits)
    except StoreError as error:
        raise NotReleasable(str(error)) from None
