"""The contract of object stores, and what is special of the local one."""

import errno
import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from store import BrokenObject, InvalidDigest, LocalObjects, ObjectNotFound, ObjectStore, StoreFull

BAD_NAMES = [
    "",
    "abc",
    "A" * 64,
    "g" * 64,
    "../" * 21 + "x",
    "/etc/passwd",
    "a" * 63 + "/",
    "a" * 65,
    "a" * 64 + "\n",
]


class ObjectStoreContract:
    """What every object store does; a new one inherits these tests and gives the fixture `objects`."""

    def test_what_was_put_can_be_opened_verified_and_listed(self, objects: ObjectStore, tmp_path: Path) -> None:
        """One file in, the same bytes out, under their hash."""
        source = tmp_path / "source"
        source.write_bytes(b"bytes" * 1000)

        stored = objects.put_file(source)

        assert stored.sha256 == hashlib.sha256(b"bytes" * 1000).hexdigest()
        assert stored.size_bytes == 5000
        with objects.open(stored.sha256) as file:
            assert file.read() == b"bytes" * 1000
        assert objects.path_of(stored.sha256).read_bytes() == b"bytes" * 1000
        assert objects.verify(stored.sha256) == stored
        assert list(objects.digests()) == [stored.sha256]
        assert source.exists()

    def test_putting_twice_stores_once(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Equal bytes are one object, whatever their file was called."""
        for name in ("one", "two"):
            (tmp_path / name).write_bytes(b"same")

        first, second = objects.put_file(tmp_path / "one"), objects.put_file(tmp_path / "two", move=True)

        assert first == second
        assert list(objects.digests()) == [first.sha256]
        assert not (tmp_path / "two").exists()

    def test_an_empty_file_is_an_object(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Nothing has a hash, too."""
        (tmp_path / "empty").touch()

        assert objects.verify(objects.put_file(tmp_path / "empty").sha256).size_bytes == 0

    def test_digests_come_in_order(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Ascending, each once."""
        for number in range(40):
            (tmp_path / "source").write_text(str(number))
            objects.put_file(tmp_path / "source", move=True)

        digests = list(objects.digests())
        assert digests == sorted(set(digests))
        assert len(digests) == 40

    def test_a_missing_object_is_said_to_be_missing(self, objects: ObjectStore) -> None:
        """By every method that takes a name."""
        for method in (objects.open, objects.path_of, objects.verify, objects.delete):
            with pytest.raises(ObjectNotFound, match="0" * 64):
                method("0" * 64)
        with pytest.raises(ObjectNotFound, match="0" * 64):
            objects.read("0" * 64, 0, 1)

    @pytest.mark.parametrize("name", BAD_NAMES)
    def test_an_ill_formed_name_is_refused(self, objects: ObjectStore, name: str) -> None:
        """Traversal, absolute paths, other lengths and alphabets never reach the file system."""
        for method in (objects.open, objects.path_of, objects.verify, objects.delete):
            with pytest.raises(InvalidDigest):
                method(name)
        with pytest.raises(InvalidDigest):
            objects.read(name, 0, 1)

    def test_a_range_is_the_bytes_from_its_begin_on(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Fewer where the object ends; a range below zero is none."""
        (tmp_path / "source").write_bytes(bytes(range(100)))
        sha256 = objects.put_file(tmp_path / "source").sha256

        assert objects.read(sha256, 10, 5) == bytes(range(10, 15))
        assert objects.read(sha256, 95, 50) == bytes(range(95, 100))
        assert objects.read(sha256, 100, 5) == objects.read(sha256, 1000, 5) == objects.read(sha256, 3, 0) == b""
        for begin, size_bytes in ((-1, 5), (0, -5)):
            with pytest.raises(ValueError, match=sha256):
                objects.read(sha256, begin, size_bytes)

    def test_what_was_deleted_is_gone_and_can_come_again(self, objects: ObjectStore, tmp_path: Path) -> None:
        """The others stay."""
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
        one, two = (objects.put_file(tmp_path / name, move=name == "one").sha256 for name in ("one", "two"))

        objects.delete(one)

        assert list(objects.digests()) == [two]
        with pytest.raises(ObjectNotFound):
            objects.path_of(one)
        (tmp_path / "again").write_text("one")
        assert objects.put_file(tmp_path / "again").sha256 == one
        assert objects.verify(one).size_bytes == 3

    def test_what_was_put_after_a_time_is_not_removed_as_old(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Putting again makes it young; nobody else's object goes with it."""
        begin_ns = time.time_ns()
        for name in ("one", "two"):
            (tmp_path / name).write_text(name)
        # It lay in the spool for years before it became an object.
        os.utime(tmp_path / "one", (1.0, 1.0))
        one, two = (objects.put_file(tmp_path / name, move=True).sha256 for name in ("one", "two"))
        at_ns, size_bytes = objects.put_at(one)

        assert at_ns >= begin_ns - 2_000_000_000  # of services that tell whole seconds
        assert size_bytes == objects.where(one).stat().st_size
        assert objects.delete_if_put_before(one, begin_ns - 5_000_000_000) is None
        assert set(objects.digests()) == {one, two}
        assert objects.delete_if_put_before(one, at_ns + 60_000_000_000) == size_bytes
        assert objects.delete_if_put_before(one, at_ns + 60_000_000_000) is None
        assert list(objects.digests()) == [two]
        with pytest.raises(ObjectNotFound):
            objects.put_at(one)

    def test_a_hash_that_was_taken_on_the_way_is_believed(self, objects: ObjectStore, tmp_path: Path) -> None:
        """It is not read a second time; nor is a name taken that is none."""
        (tmp_path / "source").write_bytes(b"bytes")
        sha256 = hashlib.sha256(b"bytes").hexdigest()
        with pytest.raises(InvalidDigest):
            objects.put_file(tmp_path / "source", move=True, sha256="../x")
        assert objects.put_file(tmp_path / "source", move=True, sha256=sha256).sha256 == sha256
        assert objects.verify(sha256).size_bytes == 5

    @pytest.mark.parametrize("move", [False, True])
    def test_a_name_is_announced_before_anybody_can_see_it(
        self, objects: ObjectStore, tmp_path: Path, move: bool
    ) -> None:
        """And what the announcement raises stops the storing; the source is still there."""
        (tmp_path / "source").write_text("x")
        seen: list[tuple[str, list[str]]] = []

        def announce(sha256: str) -> None:
            seen.append((sha256, list(objects.digests())))
            if len(seen) == 1:
                raise RuntimeError("not now")

        with pytest.raises(RuntimeError, match="not now"):
            objects.put_file(tmp_path / "source", move=move, announce=announce)
        assert list(objects.digests()) == []
        stored = objects.put_file(tmp_path / "source", move=move, announce=announce)

        assert seen == [(stored.sha256, [])] * 2
        assert list(objects.digests()) == [stored.sha256]

    def test_many_may_put_and_read_the_same_at_a_time(self, objects: ObjectStore, tmp_path: Path) -> None:
        """Eight threads, three objects: each reads what it has put, whole."""

        def work(number: int) -> bytes:
            source = tmp_path / f"source-{number}"
            source.write_bytes(bytes([number % 3]) * 50_000)
            stored = objects.put_file(source, move=number % 2 == 0)
            return objects.path_of(stored.sha256).read_bytes()

        with ThreadPoolExecutor(8) as threads:
            read = list(threads.map(work, range(16)))

        assert read == [bytes([number % 3]) * 50_000 for number in range(16)]
        assert len(list(objects.digests())) == 3

    def test_a_source_that_is_missing_is_a_file_error(self, objects: ObjectStore, tmp_path: Path) -> None:
        """And stores nothing."""
        with pytest.raises(FileNotFoundError):
            objects.put_file(tmp_path / "none")
        assert list(objects.digests()) == []


class TestLocalObjects(ObjectStoreContract):
    """Objects in a folder."""

    @pytest.fixture
    def objects(self, tmp_path: Path) -> LocalObjects:
        """An empty store."""
        return LocalObjects(tmp_path / "objects")

    def test_nobody_else_can_look_into_it(self, objects: LocalObjects, tmp_path: Path) -> None:
        """Folders are 0700 and files 0600, even when the source was open to all."""
        (tmp_path / "source").write_bytes(b"x")
        (tmp_path / "source").chmod(0o666)
        objects.put_file(tmp_path / "source", move=True)

        paths = [tmp_path / "objects", *(tmp_path / "objects").rglob("*")]
        assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o700}
        assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o600}

    def test_altered_bytes_are_found_and_putting_again_heals(self, objects: LocalObjects, tmp_path: Path) -> None:
        """One byte differs: the object is broken, until the true bytes come again."""
        (tmp_path / "source").write_bytes(b"true bytes")
        stored = objects.put_file(tmp_path / "source")
        objects.path_of(stored.sha256).write_bytes(b"true bytez")

        with pytest.raises(BrokenObject, match=stored.sha256):
            objects.verify(stored.sha256)
        objects.put_file(tmp_path / "source")

        assert objects.verify(stored.sha256) == stored

    def test_bytes_are_flushed_before_they_get_their_name(
        self, objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """File, rename, folder: in this order, or a power cut could show half an object."""
        calls: list[str] = []
        fsync, rename = os.fsync, os.rename

        def seen_fsync(descriptor: int) -> None:
            calls.append("fsync folder" if os.path.isdir(f"/proc/self/fd/{descriptor}") else "fsync file")
            fsync(descriptor)

        def seen_rename(source: Any, target: Any) -> None:
            calls.append("rename")
            rename(source, target)

        monkeypatch.setattr(os, "fsync", seen_fsync)
        monkeypatch.setattr(os, "rename", seen_rename)
        (tmp_path / "source").write_bytes(b"x")
        objects.put_file(tmp_path / "source", move=True)

        assert calls == ["fsync file", "rename", "fsync folder"]

    def test_a_source_on_another_file_system_is_copied_first(self, objects: LocalObjects, tmp_path: Path) -> None:
        """The move ends the same way, and the working folder is empty afterwards."""
        other = Path("/dev/shm")
        if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is no second file system")
        folder = other / f"palaestra-test-{os.getpid()}"
        folder.mkdir()
        try:
            (folder / "source").write_bytes(b"far away")
            stored = objects.put_file(folder / "source", move=True)
            assert not (folder / "source").exists()
        finally:
            shutil.rmtree(folder)

        assert objects.verify(stored.sha256) == stored
        assert list(objects.incoming.iterdir()) == []

    @pytest.mark.parametrize("move", [False, True])
    def test_a_full_disk_is_said_clearly_and_shows_nothing(
        self, objects: LocalObjects, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: bool
    ) -> None:
        """The flush fails, as it does when space was promised but is not there."""

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        (tmp_path / "source").write_bytes(b"x")
        monkeypatch.setattr(os, "fsync", full)

        with pytest.raises(StoreFull, match="No space left"):
            objects.put_file(tmp_path / "source", move=move)

        assert list(objects.digests()) == []
        assert list(objects.incoming.iterdir()) == []
        assert (tmp_path / "source").exists()
