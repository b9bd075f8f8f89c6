"""Random windows: what they hold, at the ends of episodes too, and in what order they come."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import ACTION, BASE_POSE, EFFORT, STATE, VELOCITY, Outcome, Status, WindowsRefused, read_episode
from store.camera import CameraStream
from store.stream import CONTACT, IMU, SUBTASK, Stream
from store.windows import View, Windows, build_cache
from tests.store.pictures import seal_with_cameras

ROWS = (40, 25, 7)


def sealed(house: Any, make_header: Any, **changes: Any) -> list[str]:
    return [
        house.seal(make_header(name=f"vendors/acme/episodes/e-{n}", **changes), rows=rows, seed=n).sha256
        for n, rows in enumerate(ROWS)
    ]


@pytest.fixture
def cache(house: Any, make_header: Any, tmp_path: Path) -> Any:
    """Three episodes of different lengths, as recorded."""
    return build_cache(house.objects, sealed(house, make_header), tmp_path / "cache")


def slow_window(episodes: list[Any], episode: int, step: int, signal: str, offset: int) -> tuple[np.ndarray, bool]:
    """One row of a window, as it is meant."""
    values = episodes[episode].signals[signal]
    return values[min(max(step + offset, 0), len(values) - 1)], not 0 <= step + offset < len(values)


@pytest.mark.parametrize("offsets", [range(-5, 6), range(64), [0], [-30, -3, 0, 8], [5, 4, 3], range(-90, -70)])
def test_a_window_holds_the_rows_around_its_anchor_and_none_of_another_episode(
    house: Any, make_header: Any, tmp_path: Path, offsets: Any
) -> None:
    """Every window of every episode, runs and scattered offsets, against a loop over single rows."""
    digests = sealed(house, make_header)
    episodes = [read_episode(house.objects.path_of(digest)) for digest in digests]
    windows = Windows(build_cache(house.objects, digests, tmp_path / "cache"), {ACTION: offsets, STATE: [0]})

    batch = windows.take(np.arange(len(windows)))

    assert len(windows) == sum(ROWS)
    for row, (episode, step) in enumerate(zip(batch["episode_index"], batch["step_index"], strict=True)):
        assert batch["time_s"][row] == episodes[episode].time_s[step]
        for place, offset in enumerate(offsets):
            value, outside = slow_window(episodes, episode, step, ACTION, offset)
            assert np.array_equal(batch[ACTION][row, place], value)
            assert batch[f"{ACTION}_is_pad"][row, place] == outside
    assert np.array_equal(windows[-1][ACTION], batch[ACTION][-1])


def test_whole_windows_are_all_those_without_padding(cache: Any) -> None:
    """And no other; an episode that is too short has none."""
    horizon = {ACTION: range(-3, 5), STATE: [-6]}
    every, whole = Windows(cache, horizon), Windows(cache, horizon, whole=True)
    batch = every.take(np.arange(len(every)))
    inside = ~(batch[f"{ACTION}_is_pad"].any(axis=1) | batch[f"{STATE}_is_pad"].any(axis=1))

    taken = whole.take(np.arange(len(whole)))

    assert np.array_equal(taken["episode_index"], batch["episode_index"][inside])
    assert np.array_equal(taken["step_index"], batch["step_index"][inside])
    assert len(whole) == (40 - 10) + (25 - 10)
    with pytest.raises(WindowsRefused, match="no episode is as long"):
        Windows(cache, {ACTION: range(64)}, whole=True)


def test_no_batch_for_a_rank_is_refused_before_training_ends_without_a_step(small: Any) -> None:
    """Also where the only batch is left out, since it is not full."""
    with pytest.raises(WindowsRefused, match="fewer batches than ranks"):
        Windows(small, {ACTION: [0]}, batch_size=10_000).shard(1, 2)
    with pytest.raises(WindowsRefused, match="the last one being left out"):
        Windows(small, {ACTION: [0]}, batch_size=10_000, drop_last=True)


@settings(max_examples=40, deadline=None)
@given(
    batch_size=st.integers(1, 30),
    ranks=st.integers(1, 4),
    workers=st.integers(1, 4),
    seed=st.integers(0, 2**63 - 1),
    epoch=st.integers(0, 5),
)
def test_who_reads_the_batches_changes_none_of_them(
    small: Any, batch_size: int, ranks: int, workers: int, seed: int, epoch: int
) -> None:
    """Ranks and workers together give the batches of one reader; ranks get equally many."""
    alone = Windows(small, {ACTION: [0]}, batch_size=batch_size, seed=seed)
    wanted = [batch[ACTION] for batch in alone.batches(epoch)]

    if len(wanted) < ranks:
        # An epoch without a batch would end at once, and nobody would learn why.
        with pytest.raises(WindowsRefused, match=f"for {ranks} ranks: fewer batches than ranks"):
            alone.shard(0, ranks)
        return
    parts = [alone.shard(rank, ranks) for rank in range(ranks)]

    assert {part.batch_count for part in parts} == {len(wanted) // ranks}
    for rank, part in enumerate(parts):
        walks = [list(part.batches(epoch, worker=worker, workers=workers)) for worker in range(workers)]
        for number in range(part.batch_count):
            batch = walks[number % workers][number // workers]
            assert np.array_equal(batch[ACTION], wanted[number * ranks + rank])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A cache for tests that take many examples."""
    from store import LocalObjects
    from tests.store.conftest import House, build_header

    root = tmp_path_factory.mktemp("small")
    house = House(root, LocalObjects(root / "objects"), root / "spool")
    return build_cache(house.objects, sealed(house, build_header), root / "cache")


def test_an_epoch_has_each_window_once_and_the_next_another_order(cache: Any) -> None:
    windows = Windows(cache, {ACTION: [0]}, batch_size=10, seed=3)

    walks = [
        [
            (int(e), int(s))
            for b in windows.batches(epoch)
            for e, s in zip(b["episode_index"], b["step_index"], strict=True)
        ]
        for epoch in (0, 1)
    ]

    assert sorted(walks[0]) == sorted(walks[1]) == [(e, s) for e, rows in enumerate(ROWS) for s in range(rows)]
    assert walks[0] != walks[1]
    assert [len(b["time_s"]) for b in windows.batches()] == [10] * 7 + [2]
    assert Windows(cache, {ACTION: [0]}, batch_size=10, drop_last=True).batch_count == 7


def test_a_walk_goes_on_from_a_number_of_a_batch(cache: Any) -> None:
    """As after a checkpoint, also in another process."""
    windows = Windows(cache, {ACTION: range(4)}, batch_size=9, seed=3)
    walk = [batch[ACTION] for batch in windows.batches(2)]

    again = pickle.loads(pickle.dumps(windows))

    for one, other in zip(walk[3:], again.batches(2, start=3), strict=True):
        assert np.array_equal(one, other[ACTION])


def test_a_batch_that_is_kept_does_not_change(cache: Any) -> None:
    """Memory is used again only when nobody holds it, be it by a part."""
    windows = Windows(cache, {ACTION: range(8)}, batch_size=6, seed=1)
    kept = [batch[ACTION][2:4] for batch in windows.batches()]
    copies = [part.copy() for part in kept]

    for _ in windows.batches(1):
        pass

    assert all(np.array_equal(part, copy) for part, copy in zip(kept, copies, strict=True))


def streams_of(house: Any, make_header: Any, *, imu_rows: int = 30) -> str:
    """An episode of 10 rows at 100 Hz with an IMU at 500 Hz from 10 ms on, contacts when they come, and words."""
    streams = {
        IMU: Stream("m/s^2, rad/s", "imu", 2, rate_hz=500.0),
        CONTACT: Stream("1", "foot", 1, kind="int64"),
        SUBTASK: Stream("text", "episode", kind="text"),
    }
    header = make_header(streams=streams)
    with house.recorder(header) as recorder:
        rows = np.arange(30.0, dtype=np.float32).reshape(10, 3)
        recorder.extend(np.arange(10) / 100, dict.fromkeys((STATE, VELOCITY, EFFORT, ACTION), rows))
        at_s = 0.01 + np.arange(imu_rows) / 500
        recorder.add(IMU, at_s, np.stack([at_s, -at_s], axis=1))
        recorder.add(CONTACT, [0.025, 0.061], np.array([[3], [4]]))
        recorder.add(SUBTASK, [0.0], ["stand"])
        return str(recorder.seal(Outcome(Status.SUCCESS)).sha256)


def test_raw_streams_keep_their_rows_and_count_from_the_last_one_at_the_anchor(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """Before its first row and behind its last one a stream is padded, and says so."""
    cache = build_cache(house.objects, [streams_of(house, make_header)], tmp_path / "cache")
    assert cache.methods == {}
    windows = Windows(cache, {IMU: range(-2, 1), CONTACT: [0], STATE: [0]})

    batch = windows.take(np.arange(10))

    imu_s = 0.01 + np.arange(30) / 500
    for row in range(10):
        last = int(np.searchsorted(imu_s, row / 100 + 1e-9, side="right")) - 1
        for place, number in enumerate(range(last - 2, last + 1)):
            assert batch[f"{IMU}_is_pad"][row, place] == (number < 0)
            assert batch[IMU][row, place, 0] == np.float32(imu_s[max(number, 0)])
    assert batch[CONTACT].dtype == np.int64
    assert batch[CONTACT][:, 0, 0].tolist() == [3, 3, 3, 3, 3, 3, 3, 4, 4, 4]
    assert batch[f"{CONTACT}_is_pad"][:, 0].tolist() == [True] * 3 + [False] * 7


def test_whole_windows_have_all_the_rows_that_they_ask_of_a_stream(
    house: Any, make_header: Any, tmp_path: Path
) -> None:
    """A stream's rows are not the joints': how many of them there are before an anchor is another matter."""
    digests = [
        streams_of(house, make_header),
        streams_of(house, make_header, imu_rows=0),
        streams_of(house, make_header),
    ]
    cache = build_cache(house.objects, digests, tmp_path / "cache")
    for horizon in ({IMU: range(-7, 3), STATE: [0, 1]}, {IMU: [0], CONTACT: [-1, 0]}, {IMU: [3], ACTION: [-2]}):
        every, whole = Windows(cache, horizon), Windows(cache, horizon, whole=True)
        batch, taken = every.take(np.arange(len(every))), whole.take(np.arange(len(whole)))
        inside = ~np.any([batch[f"{name}_is_pad"].any(axis=1) for name in horizon], axis=0)
        assert 0 < inside.sum() < len(inside)
        assert np.array_equal(taken["episode_index"], batch["episode_index"][inside])
        assert np.array_equal(taken["step_index"], batch["step_index"][inside])
    with pytest.raises(WindowsRefused, match="from -40 to 0: no episode is as long"):
        Windows(cache, {IMU: [-40]}, whole=True)


def test_even_steps_are_resampled_by_a_recorded_method(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Numbers are linear between samples, whole numbers held; steps of which a stream knows nothing are masked."""
    view = View((STATE, ACTION, IMU, CONTACT), rate_hz=200.0)
    cache = build_cache(house.objects, [streams_of(house, make_header)], tmp_path / "cache", view)
    windows = Windows(cache, delta_timestamps={STATE: [0.0], ACTION: [0.0], IMU: [0.0, 0.005], CONTACT: [0.0]})

    batch = windows.take(np.arange(len(windows)))

    at_s = np.arange(19) / 200
    assert cache.methods == {STATE: "linear", ACTION: "hold", IMU: "linear", CONTACT: "hold"}
    assert np.allclose(batch["time_s"], at_s)
    assert np.allclose(batch[STATE][:, 0, 0], 300 * at_s, atol=1e-4)
    assert np.array_equal(batch[ACTION][:, 0, 0], 3.0 * (np.arange(19) // 2))
    known = (at_s >= 0.01 - 1e-12) & (at_s <= 0.068)
    assert np.array_equal(batch[f"{IMU}_is_pad"][:, 0], ~known)
    assert np.allclose(batch[IMU][known, 0, 0], at_s[known], atol=1e-6)
    assert batch[f"{IMU}_is_pad"][-1].all()
    assert batch[CONTACT][-1].tolist() == [[4]]
    assert np.array_equal(batch[f"{CONTACT}_is_pad"][:, 0], at_s < 0.025 - 1e-9)


def test_an_episode_whose_stream_is_empty_has_zeros_and_a_mask(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Beside one that has rows: nothing of the neighbour comes in, whichever stands first."""
    full, empty = streams_of(house, make_header), streams_of(house, make_header, imu_rows=0)
    for digests in ([full, empty], [empty, full], [empty]):
        cache = build_cache(house.objects, digests, tmp_path / "cache")
        windows = Windows(cache, {IMU: range(-3, 4)})
        batch = windows.take(np.arange(len(windows)))
        of_empty = batch["episode_index"] == digests.index(empty)
        assert batch[f"{IMU}_is_pad"][of_empty].all()
        assert not batch[IMU][of_empty].any()
        assert of_empty.all() or not batch[f"{IMU}_is_pad"][~of_empty].all()


def test_frames_are_those_at_or_before_each_step(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Colours come within what the encoder loses, depths exact; each row's own, and none from before the episode."""
    pytest.importorskip("av")
    from store.camera import DEPTH_MM
    from store.reader import read_camera

    cameras = {"front": CameraStream(32, 32, 25.0), "depth": CameraStream(32, 32, 25.0, codec=DEPTH_MM)}
    # The first has 30 frames, of which some need none before them.
    both = [seal_with_cameras(house, make_header(name=f"e-{rows}", cameras=cameras), rows) for rows in (120, 30)]
    view = View((STATE,), None, ("front", "depth"))
    cache = build_cache(house.objects, [one.sha256 for one in both], tmp_path / "cache", view)
    alone = np.unique(cache.column("observation.images.front.key"))
    assert {0, 30} < set(alone.tolist()) and len(alone) < 30
    windows = Windows(cache, {"front": [-1, 0], "depth": [0], STATE: [0]})

    batch = windows.take(np.arange(150)[::-7])

    for camera, places in (("front", (-1, 0)), ("depth", (0,))):
        reads = [read_camera(one.path, camera) for one in both]
        frames = [list(read.frames()) for read in reads]
        for row, (episode, step) in enumerate(zip(batch["episode_index"], batch["step_index"], strict=True)):
            at = int(np.searchsorted(reads[episode].rows, step, side="right")) - 1
            for place, offset in enumerate(places):
                frame, pad = batch[f"observation.images.{camera}"][row, place], at + offset < 0
                assert batch[f"observation.images.{camera}_is_pad"][row, place] == pad
                assert np.array_equal(frame, frames[episode][max(0, at + offset)])


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({}, "exactly one"),
        ({"horizon": {}}, "a mapping"),
        ({"horizon": {"nothing": [0]}}, "'nothing' is not in the cache; there are observation.state"),
        ({"horizon": {ACTION: []}}, "action.*1 to 65536 offsets"),
        ({"horizon": {ACTION: [0.5]}}, "action.*whole numbers"),
        ({"horizon": {ACTION: 5}}, "action: 5"),
        ({"delta_timestamps": {ACTION: [0.0]}}, "raw rows: give a rate_hz"),
        ({"horizon": {ACTION: [0]}, "batch_size": 0}, "batch_size: 0"),
        ({"horizon": {ACTION: [0]}, "seed": -1}, "seed: -1"),
        ({"horizon": {ACTION: [0]}, "rank": 2, "ranks": 2}, "rank: 2"),
    ],
)
def test_a_shape_that_cannot_be_is_refused_by_name(cache: Any, options: dict[str, Any], match: str) -> None:
    with pytest.raises(WindowsRefused, match=match):
        Windows(cache, **options)


def test_a_time_between_two_steps_is_refused(house: Any, make_header: Any, tmp_path: Path) -> None:
    cache = build_cache(house.objects, sealed(house, make_header), tmp_path / "cache", View((ACTION,), 50.0))

    with pytest.raises(WindowsRefused, match=r"action: 0.013 s is no whole number of steps of 50 Hz"):
        Windows(cache, delta_timestamps={ACTION: [0.0, 0.013]})


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"joint_names": ("a", "b", "c")}, "e-9 has other joints than the first: a, b, c more"),
        ({"units": {"time_s": "s", STATE: "deg", VELOCITY: "rad/s", EFFORT: "N m", ACTION: "rad"}}, "e-9.*deg"),
    ],
)
def test_an_episode_that_does_not_fit_the_first_is_named(
    house: Any, make_header: Any, tmp_path: Path, changes: dict[str, Any], match: str
) -> None:
    digests = sealed(house, make_header)
    digests.append(house.seal(make_header(name="vendors/acme/episodes/e-9", **changes)).sha256)

    with pytest.raises(WindowsRefused, match=match):
        build_cache(house.objects, digests, tmp_path / "cache")
    with pytest.raises(WindowsRefused, match=f"no {BASE_POSE}"):
        build_cache(house.objects, digests[:1], tmp_path / "cache", View((BASE_POSE,)))
    with pytest.raises(WindowsRefused, match="no camera front; it has none"):
        build_cache(house.objects, digests[:1], tmp_path / "cache", View((), None, ("front",)))


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_torch_gets_the_same_batches_whatever_its_workers(cache: Any) -> None:
    """A real DataLoader with none and with three processes, and windows by number for its own samplers."""
    torch = pytest.importorskip("torch")
    windows = Windows(cache, {ACTION: range(4), STATE: [0]}, batch_size=8, seed=3)
    wanted = list(windows.batches(1))

    for workers in (0, 3):
        loader = torch.utils.data.DataLoader(windows.stream(epoch=1), batch_size=None, num_workers=workers)
        for batch, mine in zip(loader, wanted, strict=True):
            assert batch.keys() == mine.keys()
            assert all(np.array_equal(batch[name].numpy(), mine[name]) for name in mine)
    by_number = torch.utils.data.DataLoader(windows.by_number(), batch_size=5)
    first = next(iter(by_number))
    assert np.array_equal(first[ACTION].numpy(), windows.take(np.arange(5))[ACTION])


def test_what_is_not_installed_is_said(cache: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch and Ray Data are asked for by those who want them alone."""
    import sys

    for name in ("torch", "torch.utils.data", "ray.data", "store.windows.loader"):
        monkeypatch.setitem(sys.modules, name, None)
    windows = Windows(cache, {ACTION: [0]})

    with pytest.raises(WindowsRefused, match="torch is not installed"):
        windows.stream()
    with pytest.raises(WindowsRefused, match=r"Ray Data is not installed.*ray\[data\]"):
        windows.ray()
