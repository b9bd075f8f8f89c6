"""Copies of what is elsewhere stay within a bound, and nothing goes that is nowhere else."""

import os
from pathlib import Path
from typing import Any

import pytest

from store import Cached, LocalObjects, ObjectNotFound
from store.copies import IDLE_S, used
from store.remote import RemoteObjects

NOW_S = 2_000_000_000.0
MANY = 10**9


@pytest.fixture
def objects(tmp_path: Path) -> Any:
    """An empty store in memory, with copies here."""
    pytest.importorskip("obstore")
    from obstore.store import MemoryStore

    return RemoteObjects(MemoryStore(), tmp_path / "copies", name="memory")


def put(objects: Any, folder: Path, content: str, used_s: float) -> str:
    """Put, and say when the copy was last used."""
    (folder / "source").write_text(content)
    sha256: str = objects.put_file(folder / "source", move=True).sha256
    os.utime(LocalObjects(folder / "copies").path_of(sha256), (used_s, used_s))
    return sha256


def copies(folder: Path) -> set[str]:
    return set(LocalObjects(folder / "copies").digests())


def test_the_copy_that_was_not_used_for_longest_goes_first(objects: Any, tmp_path: Path) -> None:
    old, older, new = (
        put(objects, tmp_path, 4 * word, NOW_S - age_s) for word, age_s in (("a", 5e4), ("b", 9e4), ("c", 4e4))
    )

    assert objects.evict(12, now_s=NOW_S) == 0
    assert objects.evict(8, now_s=NOW_S) == 4
    assert copies(tmp_path) == {old, new}
    assert objects.evict(0, now_s=NOW_S) == 8

    # Who reads one has it again.
    assert objects.path_of(older).read_text() == "bbbb"
    assert copies(tmp_path) == {older}


def test_what_is_in_use_stays_beyond_the_bound(objects: Any, tmp_path: Path) -> None:
    one = put(objects, tmp_path, "in use", NOW_S - IDLE_S / 2)
    assert objects.evict(0, now_s=NOW_S) == 0
    assert objects.evict(0, now_s=NOW_S + IDLE_S) == 6
    assert one not in copies(tmp_path)


def test_reading_a_copy_is_using_it(objects: Any, tmp_path: Path) -> None:
    read, other = put(objects, tmp_path, "read", 1.0), put(objects, tmp_path, "other", 2.0)

    assert objects.path_of(read).stat().st_mtime > 1e9
    objects.evict(4)
    assert copies(tmp_path) == {read}
    assert used(tmp_path / "gone") == tmp_path / "gone"
    assert other not in copies(tmp_path)


@pytest.mark.parametrize("there", ["nowhere", "half of it"])
def test_what_the_service_has_not_whole_is_never_evicted(objects: Any, tmp_path: Path, there: str) -> None:
    """As of a venue that has moved to a service, and whose folder is not uploaded yet."""
    import obstore

    (tmp_path / "source").write_text("only here")
    sha256 = LocalObjects(tmp_path / "copies").put_file(tmp_path / "source", move=True).sha256
    os.utime(LocalObjects(tmp_path / "copies").path_of(sha256), (1.0, 1.0))
    if there == "half of it":
        obstore.put(objects._store, f"sha256/{sha256[:2]}/{sha256}", b"only")

    assert objects.evict(0, now_s=NOW_S) == 0
    assert objects.path_of(sha256).read_text() == "only here"


def test_what_is_on_this_machine_alone_is_no_copy(tmp_path: Path) -> None:
    assert not isinstance(LocalObjects(tmp_path), Cached)


def test_a_copy_that_goes_meanwhile_is_passed_over(
    objects: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = put(objects, tmp_path, "1111", 1.0), put(objects, tmp_path, "2222", 2.0)
    asked = objects._kept_bytes

    def kept_bytes(sha256: str) -> Any:
        if sha256 == one:
            LocalObjects(tmp_path / "copies").delete(one)
        return asked(sha256)

    monkeypatch.setattr(objects, "_kept_bytes", kept_bytes)
    objects.evict(0, now_s=NOW_S)
    assert copies(tmp_path) == set()
    with pytest.raises(ObjectNotFound):
        LocalObjects(tmp_path / "copies").path_of(two)
