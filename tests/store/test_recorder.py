"""Recording and sealing."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

import store.recorder
from store import (
    ACTION,
    BASE_POSE,
    EFFORT,
    STATE,
    TIME,
    VELOCITY,
    EpisodeClosed,
    InvalidEpisode,
    LocalObjects,
    Outcome,
    Status,
    StoredObject,
    StoreFull,
    read_episode,
)

SUCCESS = Outcome(Status.SUCCESS)


@pytest.mark.parametrize("base_pose", [False, True])
@pytest.mark.parametrize("block_bytes", [1, 1000, 1 << 20])
def test_what_was_recorded_is_what_is_read(
    house: Any, make_header: Any, make_rows: Any, base_pose: bool, block_bytes: int
) -> None:
    """Single rows and blocks, through the spool or not: every value comes back exactly."""
    header = make_header(base_pose=base_pose)
    time_s, signals = make_rows(header, 157)
    recorder = house.recorder(header, block_bytes=block_bytes)
    for row in range(57):
        pose = signals[BASE_POSE][row] if base_pose else None
        joints = [signals[s][row] for s in (STATE, VELOCITY, EFFORT, ACTION)]
        recorder.append(time_s[row], *joints, pose)
    recorder.extend(time_s[57:], {s: values[57:] for s, values in signals.items()})

    sealed = recorder.seal(Outcome(Status.FAILURE, "fell", -1.0))

    episode = read_episode(sealed.path, sha256=sealed.sha256)
    assert episode.header == header
    assert episode.outcome == Outcome(Status.FAILURE, "fell", -1.0)
    assert np.array_equal(episode.time_s, time_s)
    assert list(episode.signals) == list(signals)
    for signal, values in signals.items():
        assert episode.signals[signal].dtype == np.float32
        assert np.array_equal(episode.signals[signal], values)
    assert (sealed.rows, sealed.duration_s) == (157, time_s[-1] - time_s[0])
    assert sealed.size_bytes == sealed.path.stat().st_size
    assert house.leftovers() == []


def test_the_file_is_one_row_group_of_split_and_packed_floats_with_statistics(house: Any) -> None:
    """The layout that readers count on, seen in the footer."""
    sealed = house.seal(rows=1000)

    metadata = pq.ParquetFile(sealed.path).metadata
    assert metadata.num_row_groups == 1
    for index in range(metadata.num_columns):
        column = metadata.row_group(0).column(index)
        assert column.compression == "ZSTD"
        assert "BYTE_STREAM_SPLIT" in column.encodings
        assert column.statistics.has_min_max
    assert not pq.read_schema(sealed.path).field(STATE).nullable


def test_the_same_rows_give_the_same_object(house: Any) -> None:
    """Sealing twice stores once: the file has nothing of the moment in it."""
    assert house.seal(seed=3).sha256 == house.seal(seed=3).sha256
    assert len(list(house.objects.digests())) == 1
    assert house.seal(seed=4).sha256 != house.seal(seed=3).sha256


def test_rows_leave_the_memory_for_the_spool(house: Any, make_header: Any, make_rows: Any) -> None:
    """After many blocks all rows but the last block lie in the spool file, and nothing is visible yet."""
    header = make_header()
    time_s, signals = make_rows(header, 5000)
    recorder = house.recorder(header, block_bytes=10_000)

    recorder.extend(time_s, signals)

    (spool,) = house.spool.iterdir()
    assert spool.stat().st_size > 0.9 * sum(values.nbytes for values in signals.values())
    assert spool.stat().st_mode & 0o777 == 0o600
    assert list(house.objects.digests()) == []
    recorder.abort()


def breaking(signals: dict[str, np.ndarray], signal: str, row: int, column: int, value: float) -> Any:
    """Return a copy of the signals with one value replaced."""
    broken = {name: values.copy() for name, values in signals.items()}
    broken[signal][row, column] = value
    return broken


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("signal", [STATE, VELOCITY, EFFORT, ACTION, BASE_POSE])
def test_a_value_that_is_not_finite_is_named_by_place(
    house: Any, make_header: Any, make_rows: Any, signal: str, value: float
) -> None:
    """Signal, row and joint are in the message; the episode is gone."""
    header = make_header(base_pose=True)
    time_s, signals = make_rows(header, 90)
    recorder = house.recorder(header, block_bytes=1000)
    name = "z" if signal == BASE_POSE else "joint_2"

    with pytest.raises(InvalidEpisode, match=f"^{signal}: row 71: {name} is {value}"):
        recorder.extend(time_s, breaking(signals, signal, 71, 2, value))
        recorder.seal(SUCCESS)

    with pytest.raises(EpisodeClosed, match="row 71"):
        recorder.seal(SUCCESS)
    assert house.leftovers() == []
    assert list(house.objects.digests()) == []


def test_a_number_too_big_for_the_file_is_refused(house: Any, make_header: Any, make_rows: Any) -> None:
    """1e39 would silently become infinite in float32."""
    header = make_header()
    time_s, signals = make_rows(header, 10)
    wide = {name: values.astype(np.float64) for name, values in signals.items()}
    recorder = house.recorder(header)

    with pytest.raises(InvalidEpisode, match="row 4"):
        recorder.extend(time_s, breaking(wide, STATE, 4, 0, 1e39))
        recorder.seal(SUCCESS)


@pytest.mark.parametrize("block_bytes", [1000, 1 << 20])
@pytest.mark.parametrize(("row", "value"), [(50, 0.49), (51, 0.5), (51, 0.2), (50, -1.0), (18, np.nan), (0, np.inf)])
def test_a_clock_that_does_not_run_forward_is_refused(
    house: Any, make_header: Any, make_rows: Any, block_bytes: int, row: int, value: float
) -> None:
    """Standing still, going back and not being a number; in blocks of 17 rows, row 51 begins one."""
    header = make_header()
    time_s, signals = make_rows(header, 90)
    time_s[row] = value
    recorder = house.recorder(header, block_bytes=block_bytes)

    with pytest.raises(InvalidEpisode, match=rf"^{TIME}: row {row}"):
        recorder.extend(time_s, signals)
        recorder.seal(SUCCESS)


@pytest.mark.parametrize("wrong", [1.0, [1.0], [1.0, 2.0], [[1.0, 2.0, 3.0]], [1.0] * 4])
def test_a_row_of_the_wrong_shape_is_refused_at_once(house: Any, wrong: Any) -> None:
    """numpy would spread a single number over all joints: not here."""
    right = [0.0, 0.0, 0.0]
    recorder = house.recorder()

    with pytest.raises(InvalidEpisode, match=r"^observation\.effort: shape"):
        recorder.append(0.0, right, right, wrong, right)


def test_a_block_of_the_wrong_shape_is_refused(house: Any, make_header: Any, make_rows: Any) -> None:
    """A signal too short, a signal missing, a signal too many."""
    header = make_header()
    time_s, signals = make_rows(header, 10)
    missing = {s: values for s, values in signals.items() if s != ACTION}
    for broken in (
        {**signals, STATE: signals[STATE][:9]},
        missing,
        {**signals, BASE_POSE: np.zeros((10, 7))},
    ):
        with pytest.raises(InvalidEpisode):
            house.recorder(header).extend(time_s, broken)
    assert house.leftovers() == []


@pytest.mark.parametrize("base_pose", [False, True])
def test_a_base_pose_is_given_exactly_when_the_header_declares_it(
    house: Any, make_header: Any, base_pose: bool
) -> None:
    """Declared but missing, and given but not declared."""
    right = [0.0, 0.0, 0.0]
    recorder = house.recorder(make_header(base_pose=base_pose))

    with pytest.raises(InvalidEpisode, match=r"^observation\.base_pose"):
        recorder.append(0.0, right, right, right, right, None if base_pose else [0.0] * 7)


def test_an_episode_without_rows_is_refused(house: Any) -> None:
    """There is nothing to keep."""
    with pytest.raises(InvalidEpisode, match="no row"):
        house.recorder().seal(SUCCESS)
    assert house.leftovers() == []


def test_an_episode_stops_where_readers_stop(
    house: Any, make_header: Any, make_rows: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bound of the reader is the bound of the recorder."""
    header = make_header()
    monkeypatch.setattr(store.recorder, "MAX_VALUES", 50 * header.row_values)

    for rows, block_bytes in ((50, 1 << 20), (50, 500)):
        recorder = house.recorder(header, block_bytes=block_bytes)
        recorder.extend(*make_rows(header, rows))
        assert recorder.seal(SUCCESS).rows == 50
        recorder = house.recorder(header, block_bytes=block_bytes)
        with pytest.raises(InvalidEpisode, match="at most 50 rows"):
            recorder.extend(*make_rows(header, rows + 1))
            recorder.seal(SUCCESS)


def test_leaving_without_sealing_aborts(house: Any) -> None:
    """Nothing stays, and the recorder takes no more."""
    zeros = [0.0, 0.0, 0.0]
    with house.recorder(block_bytes=1) as recorder:
        for row in range(10):
            recorder.append(row, zeros, zeros, zeros, zeros)

    assert house.leftovers() == []
    with pytest.raises(EpisodeClosed, match="aborted"):
        recorder.append(11, zeros, zeros, zeros, zeros)
    with pytest.raises(EpisodeClosed):
        recorder.extend([12.0], {})


def test_a_sealed_recorder_takes_no_more(house: Any) -> None:
    """A second seal, a row and an abort after the seal change nothing."""
    zeros = [0.0, 0.0, 0.0]
    recorder = house.recorder()
    recorder.append(0.0, zeros, zeros, zeros, zeros)
    sealed = recorder.seal(SUCCESS)

    recorder.abort()

    with pytest.raises(EpisodeClosed, match="sealed"):
        recorder.seal(SUCCESS)
    with pytest.raises(EpisodeClosed, match="sealed"):
        recorder.append(1.0, zeros, zeros, zeros, zeros)
    assert house.objects.verify(sealed.sha256).size_bytes == sealed.size_bytes


class FailingObjects(LocalObjects):
    """A store whose disk fails at the last moment."""

    def __init__(self, root: Path, code: int) -> None:
        super().__init__(root)
        self.code = code

    def put_file(self, path: Path, *, move: bool = False, announce: Any = None, sha256: Any = None) -> StoredObject:
        """Fail as the kernel would."""
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_disk_that_fills_up_while_sealing_says_so(house: Any, code: int) -> None:
    """StoreFull names the episode; no working file stays."""
    house.objects = FailingObjects(house.root / "objects", code)

    with pytest.raises(StoreFull, match=r"vendors/acme/episodes/e-1.*"):
        house.seal()

    assert house.leftovers() == []


def test_other_failures_of_the_disk_keep_their_name(house: Any) -> None:
    """An input/output error is not a full disk; still nothing stays behind."""
    house.objects = FailingObjects(house.root / "objects", errno.EIO)

    with pytest.raises(OSError, match="Input/output error"):
        house.seal()

    assert house.leftovers() == []
