"""Signals at rates of their own."""

import threading
from typing import Any

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store import InvalidEpisode, Outcome, Status, Stream, read_episode, read_summary
from store.recorder import FLUSH_PERIOD_S
from store.stream import DEPTH, FAULT, IMU, SUBTASK, WRENCH

SUCCESS = Outcome(Status.SUCCESS)
STREAMS = {
    IMU: Stream("m/s^2, rad/s", "imu_link", 6, rate_hz=1000.0),
    WRENCH: Stream("N, N m", "tool", 6, "float64", 200.0),
    DEPTH: Stream("mm", "camera", 12, "uint16", 10.0),
    SUBTASK: Stream("text", "episode", kind="text"),
    FAULT: Stream("1", "episode", kind="int64"),
}


def block(name: str, rows: int, start_s: float, seed: int) -> tuple[np.ndarray, Any]:
    """Return rows of a stream."""
    stream, rng = STREAMS[name], np.random.default_rng(seed)
    time_s = start_s + np.arange(rows) / 1000.0
    if stream.kind == "text":
        return time_s, [f"步 {number}" for number in range(rows)]
    shape = (rows, stream.width)
    if stream.kind in ("uint16", "int64"):
        return time_s, rng.integers(0, 60_000, shape)
    return time_s, rng.standard_normal(shape).astype(stream.kind)


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from([*STREAMS, "joints"]), st.integers(0, 40), st.booleans()), max_size=20),
    st.integers(1, 3000),
)
def test_every_rate_comes_back_as_it_came(
    house: Any, make_header: Any, make_rows: Any, script: list[tuple[str, int, bool]], block_bytes: int
) -> None:
    """Blocks of any sizes in any order, flushed now and then: each track holds exactly its rows."""
    now_s = [0.0]
    header = make_header(streams=STREAMS)
    recorder = house.recorder(header, block_bytes=block_bytes, clock=lambda: now_s[0])
    given_rows: dict[str, list[Any]] = {name: [] for name in [*STREAMS, "joints"]}
    starts = dict.fromkeys(given_rows, 0.0)
    for number, (name, rows, flush) in enumerate([("joints", 1, False), *script]):
        if flush:
            now_s[0] += FLUSH_PERIOD_S
        if name == "joints":
            time_s, signals = make_rows(header, rows, seed=number)
            recorder.extend(time_s + starts[name], signals)
            given_rows[name].append((time_s + starts[name], signals["action"]))
        else:
            time_s, values = block(name, rows, starts[name], number)
            recorder.add(name, time_s, values)
            given_rows[name].append((time_s, values))
        starts[name] += 1.0

    sealed = recorder.seal(SUCCESS)

    episode = read_episode(sealed.path, sha256=sealed.sha256)
    for name, blocks in given_rows.items():
        times = np.concatenate([time_s for time_s, _ in blocks] or [np.empty(0)])
        found = episode.streams[name] if name in STREAMS else None
        assert np.array_equal(episode.time_s if found is None else found.time_s, times)
        values = episode.signals["action"] if found is None else found.values
        if isinstance(values, list):
            assert values == [text for _, texts in blocks for text in texts]
        elif blocks:
            assert np.array_equal(values, np.concatenate([rows for _, rows in blocks]))
    summary = read_summary(sealed.path)
    assert summary.rows == sealed.rows == len(episode.time_s)
    assert summary.duration_s == pytest.approx(sealed.duration_s)
    assert pq.ParquetFile(sealed.path).metadata.num_row_groups == 1
    assert house.leftovers() == []


def test_floats_are_split_by_byte_and_a_missing_row_takes_no_room(house: Any, make_header: Any) -> None:
    """A minute of IMU beside ten rows of joints and a single depth image costs what the IMU costs."""
    header = make_header(streams=STREAMS)
    recorder = house.recorder(header)
    zeros = np.zeros((10, 3))
    recorder.extend(np.arange(10) / 10, dict.fromkeys(header.signals, zeros))
    recorder.add(IMU, np.arange(60_000) / 1000, np.random.default_rng(0).standard_normal((60_000, 6)))
    recorder.add(DEPTH, [0.5], np.ones((1, 12), np.uint16))
    sealed = recorder.seal(SUCCESS)

    group = pq.ParquetFile(sealed.path).metadata.row_group(0)
    columns = {group.column(i).path_in_schema: group.column(i) for i in range(group.num_columns)}
    assert "BYTE_STREAM_SPLIT" in columns["observation.imu.list.element"].encodings
    assert columns["observation.depth.list.element"].total_uncompressed_size < 1000
    assert sealed.size_bytes < 60_000 * (6 * 4 + 8)


@pytest.mark.parametrize(
    ("name", "time_s", "values", "said"),
    [
        (IMU, [0.0], [[0.0] * 5], r"observation\.imu: shape \(1, 5\) instead of \(1, 6\)"),
        (IMU, [0.0, 0.1], [[0.0] * 6, [0.0, np.nan, 0.0, 0.0, 0.0, 0.0]], r"observation\.imu: row 3: value 1 is nan"),
        (IMU, [0.0], [[1e300] * 6], r"observation\.imu: row 2: value 0 is 1e\+300, no finite float32"),
        (IMU, [-0.1], [[0.0] * 6], r"observation\.imu: row 2: -0\.1 s comes before 0\.0 s"),
        (IMU, [np.nan], [[0.0] * 6], r"observation\.imu: row 2: time nan is not finite"),
        (IMU, 0.0, [[0.0] * 6], r"observation\.imu: time of shape \(\): a vector"),
        (DEPTH, [0.0], [[70_000] * 12], r"observation\.depth: row 0: value 0 is 70000, no finite uint16"),
        (DEPTH, [0.0], [[-1] * 12], r"observation\.depth: row 0: value 0 is -1, no finite uint16"),
        (FAULT, [0.0], [[0.5]], r"event\.fault: row 0: value 0 is 0\.5, no finite int64"),
        (SUBTASK, [0.0], "ab", r"language\.subtask: 2 texts instead of 1"),
        (SUBTASK, [0.0], [7], r"language\.subtask: row 0: '7': text"),
        (WRENCH, [0.0], [["a"] * 6], r"observation\.wrench: values of type <U1: numbers"),
        ("observation.smell", [0.0], [[0.0]], r"observation\.smell: \['event\.fault'.*: a stream of the header"),
    ],
)
def test_bad_rows_are_refused_by_name_and_nothing_of_the_episode_stays(
    house: Any, make_header: Any, name: str, time_s: Any, values: Any, said: str
) -> None:
    recorder = house.recorder(make_header(streams=STREAMS))
    recorder.add(IMU, [0.0, 0.0], np.zeros((2, 6)))

    with pytest.raises(InvalidEpisode, match=said):
        recorder.add(name, time_s, values)

    assert house.leftovers() == []
    assert list(house.objects.digests()) == []


@pytest.mark.parametrize(
    ("streams", "said"),
    [
        ({"imu": Stream("1", "b")}, r"streams\[imu\]: small letters"),
        ({"observation.state": Stream("1", "b")}, r"streams\[observation\.state\]: this name"),
        ({"observation.sensor.a": Stream("1", "b")}, "this name is one of the joints"),
        ({"observation.images.front": Stream("1", "b")}, "this name is one of the joints"),
        ({IMU: Stream("", "b")}, r"streams\[observation\.imu\]\.unit"),
        ({IMU: Stream("1", "")}, r"streams\[observation\.imu\]\.frame"),
        ({IMU: Stream("1", "b", 0)}, r"\.width: 0"),
        ({IMU: Stream("1", "b", 2, "text")}, r"\.width: 2"),
        ({IMU: Stream("1", "b", 1, "pickle")}, r"\.kind: 'pickle'"),
        ({IMU: Stream("1", "b", rate_hz=float("nan"))}, r"\.rate_hz: nan"),
        ({IMU: {"unit": "1", "frame": "b", "smell": 1}}, r"\['smell'\]: unit and frame"),
        ([], "a mapping"),
    ],
)
def test_a_broken_stream_is_named(make_header: Any, streams: Any, said: str) -> None:
    with pytest.raises(InvalidEpisode, match=said):
        make_header(streams=streams)


@pytest.mark.parametrize(
    "fields",
    [("frames",), ("calibration",), ("model_sha256",), ("engine_version", "clock_source"), ("units", "calibration")],
)
def test_what_is_mandatory_and_missing_is_said_all_at_once(make_header: Any, fields: tuple[str, ...]) -> None:
    with pytest.raises(InvalidEpisode, match="mandatory and missing") as refused:
        make_header(**dict.fromkeys(fields))

    assert all(field in str(refused.value) for field in fields)


def test_an_earlier_header_is_read_and_not_written(house: Any, make_header: Any) -> None:
    """Version 1 knew neither frames nor calibration."""
    header = make_header(frames=None, calibration=None, schema_version=1)

    assert type(header).from_json(header.to_json()) == header
    with pytest.raises(InvalidEpisode, match="version 2 is written"):
        house.recorder(header)


def test_recorders_of_many_threads_flush_side_by_side(house: Any, make_header: Any) -> None:
    """Four threads, each with a recorder that flushes with every block; all are whole."""
    header = make_header(streams=STREAMS)
    sealed: list[Any] = []

    def record(number: int) -> None:
        ticks = iter(np.arange(0, 1e6, FLUSH_PERIOD_S))
        recorder = house.recorder(header, clock=lambda: float(next(ticks)))
        for part in range(8):
            time_s = part + np.arange(10) / 10
            recorder.extend(time_s, dict.fromkeys(header.signals, np.full((10, 3), number)))
            recorder.add(IMU, time_s, np.full((10, 6), number))
        sealed.append((number, recorder.seal(SUCCESS)))

    threads = [threading.Thread(target=record, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for number, one in sealed:
        episode = read_episode(one.path, sha256=one.sha256)
        assert (episode.streams[IMU].values == number).all()
        assert episode.streams[IMU].values.shape == (80, 6)
    assert len(sealed) == 4
