"""Frames in episodes: what goes in comes out, in the rows it belongs to, and a damaged file is named."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import BrokenEpisode, EpisodeClosed, InvalidEpisode, Outcome, SealedEpisode, Status, Stream, read_episode
from store.camera import DEPTH_MAX_M, DEPTH_MM, CameraStream, FrameEncoder, decode
from store.errors import CameraNotFound, VideoUnavailable
from store.reader import read_camera
from store.recorder import EpisodeRecorder
from store.stream import IMU
from tests.store.conftest import House, build_header, build_rows
from tests.store.pictures import ROWS, colours, seal_with_cameras

FRONT = CameraStream(64, 48, 25.0)
DEEP = CameraStream(16, 16, 50.0, DEPTH_MM)


@pytest.fixture
def sealed(house: House) -> SealedEpisode:
    return seal_with_cameras(house, build_header(cameras={"deep": DEEP}))


@given(depths=st.lists(st.floats(width=32), min_size=4, max_size=4))
@settings(max_examples=50, deadline=None)
def test_depths_come_back_to_the_half_millimetre_and_what_is_none_as_nought(depths: list[float]) -> None:
    frame = np.tile(np.array(depths, np.float32), 64).reshape(16, 16)
    (back,) = decode(DEEP, [FrameEncoder(DEEP).encode(frame)])

    known = np.isfinite(frame) & (frame > 0) & (frame <= DEPTH_MAX_M)
    assert np.all(back[~known] == 0.0)
    assert np.all(np.abs(back[known].astype(np.float64) - frame[known]) <= 0.000505)


def test_colours_come_back_one_frame_for_each_packet(house: House) -> None:
    """A picture that moves: each decoded frame is nearer to its own than to the one before."""
    pytest.importorskip("av", reason="the extra `video` is not installed")
    sealed = seal_with_cameras(house, build_header(cameras={"front": FRONT}), block_bytes=3000)

    recorded = read_camera(sealed.path, "front")
    frames = list(recorded.frames())
    assert recorded.rows.tolist() == list(range(0, ROWS, 4))
    assert np.array_equal(recorded.time_s, recorded.rows / 100.0)
    for number, frame in enumerate(frames):
        apart = [np.abs(frame.astype(int) - colours(4 * other, FRONT)).mean() for other in range(len(frames))]
        assert int(np.argmin(apart)) == number
        assert apart[number] < 8.0


def test_reading_an_episode_does_not_decode_its_frames(sealed: SealedEpisode) -> None:
    episode = read_episode(sealed.path, sha256=sealed.sha256)

    assert episode.header.cameras == {"deep": DEEP}
    assert set(episode.signals) == set(episode.header.signals)


def test_a_camera_that_was_not_there_is_named_with_those_that_were(sealed: SealedEpisode) -> None:
    with pytest.raises(CameraNotFound, match="no camera 'front'; it has deep"):
        read_camera(sealed.path, "front")


def test_packets_of_an_undeclared_camera_end_the_recording(house: House) -> None:
    recorder = house.recorder(build_header(cameras={"deep": DEEP}))
    row = np.zeros(3)
    with pytest.raises(InvalidEpisode, match="'side'"):
        recorder.append(0.0, row, row, row, row, packets={"side": b"x"})
    with pytest.raises(EpisodeClosed):
        recorder.append(0.1, row, row, row, row)
    assert not house.leftovers()


@pytest.mark.parametrize("frame", [np.zeros((16, 16), np.float64), np.zeros((16, 8), np.float32)])
def test_a_frame_of_another_shape_or_type_is_refused(frame: np.ndarray) -> None:
    with pytest.raises(InvalidEpisode, match="frame: "):
        FrameEncoder(DEEP).encode(frame)


@pytest.mark.parametrize(
    "table",
    [
        {"width_px": 15, "height_px": 16, "rate_hz": 25.0},
        {"width_px": 16, "height_px": 16, "rate_hz": 0.0},
        {"width_px": 16, "height_px": 16, "rate_hz": 25.0, "codec": "av2"},
        {"width_px": 16, "height_px": 16, "rate_hz": 25.0, "lens": "wide"},
    ],
)
def test_a_camera_that_makes_no_sense_is_no_header(make_header: Callable[..., Any], table: dict[str, Any]) -> None:
    with pytest.raises(InvalidEpisode, match="cameras: "):
        make_header(cameras={"front": table})


def rewritten(path: Path, folder: Path, change: Callable[[list[bytes | None]], list[bytes | None]], **how: Any) -> Path:
    """The same episode with other packets, in a file that is well-formed Parquet."""
    table = pq.read_table(path)
    name = "observation.images.deep"
    place = table.schema.get_field_index(name)
    column = pa.array(change(table.column(name).to_pylist()), pa.binary())
    out = folder / "other.parquet"
    table = table.set_column(place, table.schema.field(name), column)
    pq.write_table(table, out, row_group_size=table.num_rows, compression=how.get("compression", "NONE"))
    return out


def test_a_damaged_packet_is_named_by_its_frame(sealed: SealedEpisode, tmp_path: Path) -> None:
    def spoil(packets: list[bytes | None]) -> list[bytes | None]:
        return [packets[0], packets[1], b"none", *packets[3:]]

    recorded = read_camera(rewritten(sealed.path, tmp_path, spoil), "deep")
    with pytest.raises(BrokenEpisode, match="frame 1"):
        list(recorded.frames())


def test_a_frame_behind_the_joints_last_row_is_refused(house: House, tmp_path: Path) -> None:
    """A stream may have more rows than the joints; a frame belongs to one of theirs."""
    header = build_header(cameras={"deep": DEEP}, streams={IMU: Stream("1", "b")})
    row = np.zeros(len(header.joint_names))
    with house.recorder(header) as recorder:
        recorder.append(0.0, row, row, row, row, packets={"deep": b"x"})
        recorder.add(IMU, [0.0, 0.1], np.zeros((2, 1)))
        sealed = recorder.seal(Outcome(Status.SUCCESS))

    with pytest.raises(BrokenEpisode, match="deep: a frame in row 1, and the joints have 1"):
        read_camera(rewritten(sealed.path, tmp_path, lambda packets: packets[::-1]), "deep")


def test_packets_that_claim_to_unpack_into_more_are_refused_before_they_are_read(
    sealed: SealedEpisode, tmp_path: Path
) -> None:
    """A small file whose column would decode into a gigabyte."""
    path = rewritten(sealed.path, tmp_path, lambda packets: [b"\0" * 100_000] * len(packets), compression="zstd")
    with pytest.raises(BrokenEpisode, match="not compressed again"):
        read_camera(path, "deep")


def test_without_an_encoder_colours_are_refused_and_depths_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "av", None)

    with pytest.raises(VideoUnavailable, match="the extra `video`"):
        FrameEncoder(FRONT)
    assert FrameEncoder(DEEP).encode(np.ones((16, 16), np.float32))


def test_an_episode_without_cameras_reads_as_before(house: House) -> None:
    sealed = house.seal()

    assert read_episode(sealed.path).header.cameras == {}
    assert "observation.images" not in str(pq.read_schema(sealed.path))
    assert Outcome(Status.SUCCESS, episode_return=1.5) == read_episode(sealed.path).outcome


def test_rows_with_frames_come_in_blocks_as_well(house: House) -> None:
    """Each frame stays in its row, over the borders of blocks; without any the rows are refused as before."""
    stream = CameraStream(16, 16, 10.0, codec=DEPTH_MM)
    header = build_header(2, cameras={"front": stream})
    time_s, signals = build_rows(header, 50, seed=1)
    packets = {row: bytes([row]) * 40 for row in (0, 7, 49)}

    with EpisodeRecorder(header, house.spool, house.objects, block_bytes=600) as recorder:
        recorder.extend(time_s[:30], {name: values[:30] for name, values in signals.items()}, {"front": packets})
        later = {row - 30: packet for row, packet in packets.items() if row >= 30}
        recorder.extend(time_s[30:], {name: values[30:] for name, values in signals.items()}, {"front": later})
        sealed = recorder.seal(Outcome(Status.SUCCESS))

    found = read_camera(sealed.path, "front")
    assert dict(zip(found.rows.tolist(), found.packets, strict=True)) == packets
    for wrong in (None, {"back": {0: b"x"}}):
        with (
            EpisodeRecorder(header, house.spool, house.objects) as recorder,
            pytest.raises(InvalidEpisode, match=r"one by one|back"),
        ):
            recorder.extend(time_s, signals, wrong)
