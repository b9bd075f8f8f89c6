"""What is painted over: all of each face that was found, in the frames around it, and nothing that tells of it."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.desensitise import cover
from sharing.desensitise.cover import COLOUR, GRID_PX, HOLD_FRAMES, MAX_BOXES, Seen, covered, covers_of
from tests.sharing.desensitise.pictures import FACE, HEIGHT, WIDTH, Planted, scene

SIDE = st.floats(-50, 200, allow_nan=False, width=32)


@settings(deadline=None, max_examples=100)
@given(SIDE, SIDE, st.floats(0, 120, width=32), st.floats(0, 120, width=32), st.integers(0, HOLD_FRAMES))
def test_a_cover_is_larger_than_its_box_on_the_grid_and_in_the_frame(
    left: float, top: float, wide: float, tall: float, distance: int
) -> None:
    """By the margin on every side, as far as the frame goes; larger with each frame of distance."""
    boxes = np.array([[left, top, left + wide, top + tall]], np.float32)

    ((x, y, x2, y2),) = covers_of(boxes, distance, HEIGHT, WIDTH)

    assert 0 <= x <= x2 <= WIDTH
    assert 0 <= y <= y2 <= HEIGHT
    margin = cover.MARGIN + cover.GROWTH * distance
    assert x <= max(0.0, left - 0.99 * margin * wide)
    assert x2 >= min(WIDTH, left + wide + 0.99 * margin * wide) or x2 == 0
    assert y <= max(0.0, top - 0.99 * margin * tall)
    assert y2 >= min(HEIGHT, top + tall + 0.99 * margin * tall) or y2 == 0
    assert {side % GRID_PX for side in (x, y)} | {x2 % GRID_PX, y2 % GRID_PX} <= {0, WIDTH % GRID_PX, HEIGHT % GRID_PX}


@pytest.mark.parametrize("boxes", [np.zeros((MAX_BOXES + 1, 4)), np.full((1, 4), np.nan), np.full((1, 4), np.inf)])
def test_a_frame_made_to_confuse_is_covered_whole(boxes: np.ndarray) -> None:
    """More boxes than any picture has faces, or none that are numbers."""
    assert covers_of(boxes.astype(np.float32), 0, HEIGHT, WIDTH) == {(0, 0, WIDTH, HEIGHT)}


def test_a_face_found_once_is_covered_in_the_frames_around_it() -> None:
    """So many before and after, and in no others."""
    seen = Seen()
    left, top, right, bottom = FACE

    out = list(covered((scene(n) for n in range(30)), Planted(frozenset({12})), seen))

    hidden = [n for n, frame in enumerate(out) if (frame[top:bottom, left:right] == COLOUR).all()]
    assert hidden == list(range(12 - HOLD_FRAMES, 12 + HOLD_FRAMES + 1))
    assert (seen.frames, seen.frames_with_faces, seen.frames_covered) == (30, 1, 2 * HOLD_FRAMES + 1)
    assert seen.covered_px == sum(int((frame == COLOUR).all(axis=2).sum()) for frame in out)
    assert seen.all_px == 30 * WIDTH * HEIGHT


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 25), st.sets(st.integers(0, 24)))
def test_as_many_frames_come_out_as_went_in_in_their_order(count: int, faces: set[int]) -> None:
    """And each is the one that went in, but for what is covered; few are in memory at a time."""
    ahead = 0

    def frames() -> Iterator[np.ndarray]:
        nonlocal ahead
        for number in range(count):
            ahead += 1
            yield np.full((8, 8, 3), 10 + number, np.uint8)

    done = 0
    for number, frame in enumerate(covered(frames(), Planted(frozenset(faces), box=(0, 0, 2, 2)), Seen())):
        done += 1
        assert ahead - done <= HOLD_FRAMES
        near = any(abs(number - face) <= HOLD_FRAMES for face in faces if face < count)
        assert set(np.unique(frame)) <= ({COLOUR, 10 + number} if near else {10 + number})
        assert (frame[0, 0] == COLOUR).all() == near
    assert done == count
