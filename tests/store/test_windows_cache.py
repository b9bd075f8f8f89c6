"""The cache of windows: made once, whole or not at all, and believed only where it is what it was sealed as."""

import errno
import hashlib
import json
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import store.windows.build
from store import (
    ACTION,
    EFFORT,
    STATE,
    VELOCITY,
    BrokenCache,
    BrokenEpisode,
    ObjectNotFound,
    Outcome,
    Status,
    StoreFull,
    WindowsRefused,
)
from store.stream import Stream
from store.windows import View, Windows, build_cache, open_cache
from store.windows.buffers import Buffers


@pytest.fixture
def digests(house: Any, make_header: Any) -> list[str]:
    """Six episodes."""
    return [house.seal(make_header(name=f"e-{n}"), rows=20 + n, seed=n).sha256 for n in range(6)]


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_same_episodes_give_the_same_bytes_and_another_view_another_cache(
    house: Any, digests: list[str], tmp_path: Path
) -> None:
    """Content is named by what it is made of: episodes in order, signals, rate."""
    one = build_cache(house.objects, digests, tmp_path / "one")
    other = build_cache(house.objects, digests, tmp_path / "other")

    assert one.key == other.key == one.path.name
    assert bytes_of(one.path) == bytes_of(other.path)
    views = [View((STATE,)), View((STATE,), 50.0), View((STATE,), 25.0)]
    keys = {build_cache(house.objects, digests, tmp_path / "one", view).key for view in views}
    keys |= {one.key, build_cache(house.objects, digests[::-1], tmp_path / "one").key}
    assert len(keys) == 5


def test_a_column_is_a_file_that_numpy_opens(house: Any, digests: list[str], tmp_path: Path) -> None:
    """Without this program, rows of all episodes one behind the other; the header says where each begins."""
    cache = build_cache(house.objects, digests, tmp_path)

    values = np.load(cache.path / f"{ACTION}.npy", mmap_mode="r", allow_pickle=False)

    assert values.shape == (sum(20 + n for n in range(6)), 3)
    assert np.array_equal(values, cache.column(ACTION))
    assert np.array_equal(np.load(cache.path / "bounds.npy")[:, 0], np.cumsum([0, 20, 21, 22, 23, 24, 25]))
    assert [episode["name"] for episode in cache.episodes] == [f"e-{n}" for n in range(6)]
    assert open_cache(cache.path, verify=True).steps == len(values)


class Stop(BaseException):
    """A death at a place of the test's choice."""


def test_a_build_that_died_goes_on_and_gives_the_same_bytes(
    house: Any, digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed at every episode, with torn files behind what was flushed; what was written down is not read again."""
    whole = bytes_of(build_cache(house.objects, digests, tmp_path / "whole").path)
    read: list[str] = []
    true = store.windows.build.read_episode

    def seen(path: Path, **options: Any) -> Any:
        read.append(path.name)
        return true(path, **options)

    monkeypatch.setattr(store.windows.build, "read_episode", seen)

    def die(done: int, total: int) -> None:
        if done in deaths:
            deaths.remove(done)
            raise Stop

    deaths = [1, 2, 4, 6]
    while deaths:
        with pytest.raises(Stop):
            build_cache(house.objects, digests, tmp_path / "killed", progress=die, sync_bytes=1)
        (partial,) = (tmp_path / "killed").glob(".*.partial")
        for path in partial.glob("*.npy"):
            with open(path, "ab") as file:
                file.write(b"torn")
        assert not list((tmp_path / "killed").glob("[0-9a-f]*"))
    cache = build_cache(house.objects, digests, tmp_path / "killed")

    assert bytes_of(cache.path) == whole
    assert read == digests
    assert not list((tmp_path / "killed").glob(".*.partial"))


def test_a_partial_build_that_lost_bytes_begins_anew(house: Any, digests: list[str], tmp_path: Path) -> None:
    """The disk has less than was written down: nothing of it is believed."""

    def die(done: int, total: int) -> None:
        if done == 3:
            raise Stop

    whole = bytes_of(build_cache(house.objects, digests, tmp_path / "whole").path)
    with pytest.raises(Stop):
        build_cache(house.objects, digests, tmp_path / "cut", progress=die, sync_bytes=1)
    (partial,) = (tmp_path / "cut").glob(".*.partial")
    os.truncate(partial / f"{STATE}.npy", 200)

    assert bytes_of(build_cache(house.objects, digests, tmp_path / "cut").path) == whole


@pytest.mark.parametrize("said", [b"{}", b"[]", b"7", b"null", b'{"episodes": -1}', b'{"episodes": "6"}', b"[" * 10**5])
def test_a_partial_build_that_says_nonsense_begins_anew(
    house: Any, digests: list[str], tmp_path: Path, said: bytes
) -> None:
    """Torn, or of another program: it never comes in the way of who builds."""
    whole = build_cache(house.objects, digests, tmp_path / "whole")

    def die(done: int, _total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_cache(house.objects, digests, tmp_path / "cut", progress=die, sync_bytes=1)
    (partial,) = (tmp_path / "cut").glob(".*.partial")
    (partial / store.windows.build.PROGRESS).write_bytes(said)

    assert bytes_of(build_cache(house.objects, digests, tmp_path / "cut").path) == bytes_of(whole.path)


def test_of_many_builders_at_a_time_all_get_one_whole_cache(house: Any, digests: list[str], tmp_path: Path) -> None:
    """Four begin together; the lock is of a file each opens for itself, so processes wait for each other alike."""
    together, read = threading.Barrier(4), []

    def build(number: int) -> Any:
        together.wait(60)
        return build_cache(house.objects, digests, tmp_path / "cache", progress=lambda done, _: read.append(done))

    with ThreadPoolExecutor(4) as builders:
        caches = list(builders.map(build, range(4)))

    assert len({cache.path for cache in caches}) == 1
    assert read == [1, 2, 3, 4, 5, 6]
    caches[0].verify()


def test_a_full_disk_is_named_and_nothing_of_the_cache_stays(
    house: Any, digests: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreFull, match=r"no room to write cache .*No space left"):
            build_cache(house.objects, digests, tmp_path / "cache")

    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]
    assert build_cache(house.objects, digests, tmp_path / "cache").steps == 135


def _resealed(path: Path, **changes: Any) -> None:
    """Change the header and give it the hash of what it says now."""
    said = json.loads(path.read_bytes())
    said.pop("sha256")
    said |= changes
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    path.write_text(json.dumps(said | {"sha256": hashlib.sha256(text).hexdigest()}))


@pytest.mark.parametrize("name", [f"{STATE}.npy", "bounds.npy", "time_s.npy", "cache.json"])
@pytest.mark.parametrize("keep", [0, 60, -1])
def test_a_truncated_file_is_refused_by_name(
    house: Any, digests: list[str], tmp_path: Path, name: str, keep: int
) -> None:
    path = build_cache(house.objects, digests, tmp_path).path
    size_bytes = (path / name).stat().st_size
    os.truncate(path / name, keep if keep >= 0 else size_bytes - 1)

    with pytest.raises(BrokenCache, match=name.replace(".", r"\.")):
        build_cache(house.objects, digests, tmp_path)


def test_a_missing_column_is_refused_by_name(house: Any, digests: list[str], tmp_path: Path) -> None:
    path = build_cache(house.objects, digests, tmp_path).path
    (path / f"{ACTION}.npy").unlink()

    with pytest.raises(BrokenCache, match=r"action\.npy"):
        open_cache(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"version": 99},
        {"format": "other"},
        {"episodes": []},
        {"tracks": ["steps", "more"]},
        {"columns": {}},
        {"view": {"signals": ["../../etc"], "rate_hz": None, "cameras": []}},
        {"body": 7},
        {"key": None, "view": None},
    ],
)
def test_a_header_that_lies_is_refused(house: Any, digests: list[str], tmp_path: Path, changes: dict[str, Any]) -> None:
    """Also where its own hash is right."""
    path = build_cache(house.objects, digests, tmp_path).path
    _resealed(path / "cache.json", **changes)

    with pytest.raises(BrokenCache, match=r"cache\.json"):
        open_cache(path)


def places(value: Any, path: "tuple[Any, ...]" = ()) -> "list[tuple[Any, ...]]":
    """Return the way to everything in a table."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, part in parts for place in places(part, (*path, key)))]


@pytest.mark.parametrize("other", [None, True, -1, 2**70, 1.5, "x", [], [[]], {}, {"x": {}}], ids=repr)
def test_a_header_with_a_value_of_another_kind_is_refused_as_such(
    house: Any, digests: list[str], tmp_path: Path, other: Any
) -> None:
    """Wherever it stands, and though its hash is right; what says the same in another way may be read."""
    cache = build_cache(house.objects, digests[:1], tmp_path)
    header = json.loads((cache.path / "cache.json").read_bytes())
    del header["sha256"]
    for *way, last in places(header)[1:]:
        said = json.loads(json.dumps(header))
        part = said
        for key in way:
            part = part[key]
        was, part[last] = part[last], other
        text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        said["sha256"] = hashlib.sha256(text).hexdigest()
        (cache.path / "cache.json").write_text(json.dumps(said))
        same_kind = type(other) is type(was) or other == was or last == "cameras"
        try:
            opened = open_cache(cache.path)
        except BrokenCache:
            continue
        assert same_kind and opened.steps == cache.steps, (*way, last)


def test_a_header_that_was_edited_is_refused(house: Any, digests: list[str], tmp_path: Path) -> None:
    path = build_cache(house.objects, digests, tmp_path).path
    text = (path / "cache.json").read_text()
    (path / "cache.json").write_text(text.replace('"e-3"', '"e-4"'))

    with pytest.raises(BrokenCache, match="its hash differs"):
        open_cache(path)


@pytest.mark.parametrize("row", [0, 2, 6])
def test_an_index_that_points_elsewhere_is_refused(house: Any, digests: list[str], tmp_path: Path, row: int) -> None:
    path = build_cache(house.objects, digests, tmp_path).path
    bounds = np.load(path / "bounds.npy", mmap_mode="r+")
    bounds[row] = bounds[row] + 1_000_000
    bounds.flush()

    with pytest.raises(BrokenCache, match=r"bounds\.npy"):
        open_cache(path)


def test_one_altered_byte_is_found_by_who_verifies(house: Any, digests: list[str], tmp_path: Path) -> None:
    path = build_cache(house.objects, digests, tmp_path).path
    with open(path / f"{ACTION}.npy", "r+b") as file:
        file.seek(1000)
        file.write(bytes([file.read(1)[0] ^ 1]))

    open_cache(path)
    with pytest.raises(BrokenCache, match=r"action\.npy has the hash"):
        open_cache(path, verify=True)


def test_episodes_that_are_missing_damaged_or_none_leave_no_cache(
    house: Any, digests: list[str], tmp_path: Path
) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(WindowsRefused, match="none"):
        build_cache(house.objects, [], folder)
    with pytest.raises(ObjectNotFound):
        build_cache(house.objects, [*digests, "0" * 64], folder)
    path = house.objects.path_of(digests[2])
    path.write_bytes(path.read_bytes()[:-400] + bytes(400))
    with pytest.raises(BrokenEpisode):
        build_cache(house.objects, digests, folder)
    assert not list(folder.glob("[0-9a-f]*"))


def test_episodes_that_do_not_fit_leave_nothing_that_takes_room(
    house: Any, make_header: Any, digests: list[str], tmp_path: Path
) -> None:
    """Nobody comes back for a cache that can never be."""
    other = house.seal(make_header(name="other", joint_names=("x", "y", "z"))).sha256

    with pytest.raises(WindowsRefused, match="other joints"):
        build_cache(house.objects, [*digests, other], tmp_path / "cache")

    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_stream_named_as_what_is_kept_beside_another_is_refused(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Two columns in one file would make a cache that nobody can open."""
    streams = {name: Stream("1", "foot", 1) for name in ("foot.left", "foot.left.valid")}
    with house.recorder(make_header(streams=streams)) as recorder:
        recorder.extend(np.arange(3) / 100, dict.fromkeys((STATE, VELOCITY, EFFORT, ACTION), np.zeros((3, 3))))
        digest = recorder.seal(Outcome(Status.SUCCESS)).sha256

    with pytest.raises(WindowsRefused, match=r"foot\.left\.valid"):
        build_cache(house.objects, [digest], tmp_path / "cache", View(rate_hz=50.0))
    assert build_cache(house.objects, [digest], tmp_path / "cache", View(("foot.left",), 50.0)).steps == 2


def test_an_array_that_somebody_holds_is_not_given_again_however_python_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python 3.14 no longer counts the references that a function's own variables are."""
    true = sys.getrefcount
    monkeypatch.setattr(sys, "getrefcount", lambda asked: true(asked) - 3)
    buffers = Buffers()

    held = buffers.take((3,), np.dtype(np.float32))
    place = held.ctypes.data

    assert buffers.take((3,), held.dtype) is not held
    del held
    assert buffers.take((3,), np.dtype(np.float32)).ctypes.data == place


def test_an_opened_cache_cannot_be_written(house: Any, digests: list[str], tmp_path: Path) -> None:
    """A batch is the caller's, the cache is not."""
    cache = build_cache(house.objects, digests, tmp_path)
    batch = Windows(cache, {ACTION: [0]}).batch(0)

    batch[ACTION][:] = 0
    with pytest.raises(ValueError, match="read-only"):
        cache.column(ACTION)[0] = 1
