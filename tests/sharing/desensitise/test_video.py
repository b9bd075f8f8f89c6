"""Video as it leaves: encoded anew, nothing of what lies under the covers or beside the pictures is in it."""

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.desensitise import cover
from sharing.desensitise.h264 import type_of, units, without_notes
from sharing.desensitise.sheet import FRAMES, Sheet
from sharing.desensitise.video import Faces, shown_rows
from sharing.errors import NotReleasable
from store.camera import decode
from store.errors import BrokenEpisode
from store.reader import CameraFrames
from tests.sharing.desensitise.pictures import CAMERA, FACE, HEIGHT, STREAM, WIDTH, Coloured, Planted, packets_of, scene

NAME = b"filmed by Jane Roe, hall north"
FRAMES_IN = 8


def filled(packets: list[bytes], detector: object = None) -> list[bytes]:
    """Return the packets as they would leave."""
    count = len(packets)
    recorded = CameraFrames(STREAM, np.arange(count), np.arange(count) / 20.0, packets)
    faces = Faces(detector or Planted(), random.Random(1))  # type: ignore[arg-type]
    return faces.filled(recorded, CAMERA, np.ones(count, bool))


def videos_of_two_people() -> list[list[bytes]]:
    """Return two recordings that differ in the face alone. Each frame stands alone, so that none tells of another."""
    noise = np.random.default_rng(1).integers(0, 255, (FACE[3] - FACE[1], FACE[2] - FACE[0], 3), np.uint8)
    return [packets_of([scene(n, face) for n in range(FRAMES_IN)]) for face in (noise, noise[::-1, ::-1])]


def far(packets: list[bytes], other: list[bytes]) -> np.ndarray:
    """Return by how much the frames of two videos differ at most, in each pixel."""
    pairs = zip(decode(STREAM, packets), decode(STREAM, other), strict=True)
    return np.max([np.abs(one.astype(int) - two).max(axis=2) for one, two in pairs], axis=0)


def test_under_a_cover_there_is_no_information(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another person's face: to the bit the same pixels there. The mutant, without painting, shows who it was."""
    (one, other), (left, top, right, bottom) = videos_of_two_people(), FACE
    assert far(one, other)[top:bottom, left:right].max() > 100

    inside = far(filled(one), filled(other))[top:bottom, left:right]

    assert inside.max() == 0
    monkeypatch.setattr(cover, "_painted", lambda frame, found, here, seen: frame)
    assert far(filled(one), filled(other))[top:bottom, left:right].max() > 100


def test_what_is_covered_before_encoding_gives_the_same_bytes() -> None:
    """Whatever was there: not in the residues, not in the choices of the encoder, not in a note of it."""

    class Raw:
        """What a camera recorded, without a codec in between that smears a face over its surroundings."""

        stream, rows, packets = STREAM, np.arange(FRAMES_IN), [b""] * FRAMES_IN

        def __init__(self, face: int) -> None:
            self._face = np.full(3, face, np.uint8)

        def frames(self):  # type: ignore[no-untyped-def]
            yield from (scene(n, self._face) for n in range(FRAMES_IN))

    def made(face: int) -> list[bytes]:
        faces = Faces(Planted(), random.Random(1))
        return faces.filled(Raw(face), CAMERA, np.ones(FRAMES_IN, bool))  # type: ignore[arg-type]

    assert made(40) == made(220)


def test_no_note_of_the_recording_or_the_encoder_leaves() -> None:
    """H.264 has room for notes in every packet; of those none is in what leaves, though the pictures are."""
    packets = packets_of([scene(n) for n in range(FRAMES_IN)])
    # An SEI of unregistered user data: type 5, size, 16 bytes of a UUID, the text (ITU-T H.264, D.1.7).
    text = bytes(16) + NAME
    note = b"\0\0\0\1\x06\x05" + bytes([len(text)]) + text + b"\x80"
    noted = [note + packet for packet in packets]
    assert NAME in b"".join(noted)

    out = b"".join(filled(noted))

    assert NAME not in out
    assert b"x264" in b"".join(packets)
    assert b"x264" not in out
    assert all(type_of(unit) in (1, 5, 7, 8) for unit in units(out))
    # The mutant: without that step the encoder's own note is there.
    assert without_notes(packets[0]) != packets[0]


@pytest.mark.parametrize(
    "packets",
    [
        [packets_of([scene()])[0][:60]],
        [b"\0\0\0\1\x67garbage", b"\xff" * 100],
        [b""],
        [b"\x89PNG\r\n\x1a\n" + bytes(100)],
        # The parameters of a video of H.265.
        [bytes.fromhex("0000000140010c01ffff01600000030090000003000003005dac0900000001420101")],
        [*packets_of([scene()]), b"\0\0\0\1\x09\xf0"],
    ],
    ids=["truncated", "garbage", "empty", "another format", "another codec", "a packet without a frame"],
)
def test_a_damaged_or_foreign_video_is_refused_and_not_guessed_at(packets: list[bytes]) -> None:
    """By name: the recording is broken."""
    with pytest.raises(BrokenEpisode):
        filled(packets)


def test_frames_of_another_size_than_the_header_says_are_refused() -> None:
    """Also in the middle of a video."""
    from store.camera import CameraStream

    larger = packets_of([np.zeros((256, 512, 3), np.uint8)], CameraStream(512, 256, 20.0))
    with pytest.raises(BrokenEpisode, match="512 x 256"):
        filled([*packets_of([scene()]), *larger])


def test_more_frames_than_there_may_be_are_refused_before_one_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sharing.desensitise.video.MAX_FRAMES", 3)
    with pytest.raises(NotReleasable, match="4 frames"):
        filled([b"none"] * 4)
    assert len(filled(packets_of([scene()] * 3))) == 3


@settings(deadline=None, max_examples=200)
@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 40)))
def test_a_row_that_leaves_has_the_last_frame_since_the_row_before(frames: set[int], rows: set[int]) -> None:
    """Never two, none before its time, and none twice."""
    frame_rows, kept_rows = np.array(sorted(frames), np.int64), np.array(sorted(rows), np.int64)

    kept, places = shown_rows(frame_rows, kept_rows)

    wanted = {}
    for place, row in enumerate(sorted(rows)):
        before = sorted(rows)[place - 1] if place else -1
        if since := [frame for frame in sorted(frames) if before < frame <= row]:
            wanted[place] = since[-1]
    assert dict(zip(places.tolist(), frame_rows[kept].tolist(), strict=True)) == wanted


def test_a_sheet_is_a_fair_sample_of_what_leaves(tmp_path: Path) -> None:
    """Each frame is as likely in it, by chi-squared; the picture says nothing but pixels; faces left are counted."""
    import io

    from PIL import Image

    counts = np.zeros(50)
    for seed in range(400):
        sheet = Sheet(random.Random(seed), frames=10)
        for _ in range(50):
            sheet.offer(np.zeros((2, 2, 3), np.uint8), lambda frame: 0)
        counts[sheet.places] += 1
        assert len(set(sheet.places)) == 10
    # 49 degrees of freedom, less for drawing without replacement; 99.99 % of such counts lie below 93.
    assert ((counts - 80) ** 2 / 80).sum() < 93

    sheet = Sheet(random.Random(1))
    for number in range(2 * FRAMES):
        sheet.offer(scene(number), lambda frame: len(Coloured().find(frame)))
    picture = sheet.picture()
    with Image.open(io.BytesIO(picture)) as opened:
        assert opened.format == "JPEG"
        assert opened.width == 6 * (WIDTH + 4)
        assert opened.height == FRAMES // 6 * (HEIGHT + 4)
        assert not opened.getexif()
    assert (sheet.offered, sheet.left) == (2 * FRAMES, FRAMES)
