"""Objects under their vendor's key: the contract of all objects, and that nobody reads them without the key."""

import io
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import (
    LocalObjects,
    ObjectStore,
    StoreError,
    open_objects,
    read_episode,
    read_summary,
    recover_spool,
)
from store.__main__ import main
from store.encrypted import OPEN_FILES, EncryptedObjects, begin_encryption, source_at
from store.errors import BrokenObject, ExposedKeys, KeyDestroyed, ObjectNotFound
from store.exports.parquet import write_parquet
from store.frames import FRAME_BYTES, TAG_BYTES, SealedFile, SealedSource, header_of, seal
from store.keys import open_keys
from tests.store.test_objects import ObjectStoreContract
from tests.store.test_recovery import die, opened

ACME, BOLT = "vendors/acme", "vendors/bolt"
DATA = os.urandom(2 * FRAME_BYTES + 1_000)


def encrypted(root: Path, owner: str = ACME) -> EncryptedObjects:
    """Return the encrypted objects of a folder, as this vendor puts them."""
    return begin_encryption(root / "objects", root / "keys").of(owner)


def put(objects: ObjectStore, folder: Path, data: bytes) -> str:
    """Return the name of an object of these bytes."""
    (folder / "source").write_bytes(data)
    return objects.put_file(folder / "source", move=True).sha256


class TestEncryptedObjects(ObjectStoreContract):
    """All that holds of objects holds of encrypted ones."""

    @pytest.fixture
    def objects(self, tmp_path: Path) -> EncryptedObjects:
        """An empty store."""
        return encrypted(tmp_path)


SIZES = (0, 1, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 2 * FRAME_BYTES, len(DATA))


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> tuple[EncryptedObjects, dict[int, str]]:
    """Objects of all sizes that are at an edge, by their size."""
    folder = tmp_path_factory.mktemp("encrypted")
    objects = encrypted(folder)
    return objects, {size: put(objects, folder, DATA[:size]) for size in SIZES}


@settings(max_examples=25, deadline=None)
@given(
    size=st.sampled_from(SIZES),
    begin=st.integers(0, len(DATA) + 5),
    count=st.integers(0, len(DATA) + 5),
)
def test_every_range_is_that_of_the_plain_bytes(
    sized: tuple[EncryptedObjects, dict[int, str]], size: int, begin: int, count: int
) -> None:
    """Also across frames, at their edges, beyond the end, and of nothing; as a file, too."""
    objects, names = sized
    assert objects.read(names[size], begin, count) == DATA[:size][begin : begin + count]
    with objects.open(names[size]) as file:
        file.seek(begin)
        assert file.read(count) == DATA[:size][begin : begin + count]
    assert size < 64 or DATA[:64] not in objects.where(names[size]).read_bytes()


def test_every_change_of_a_sealed_file_is_found(tmp_path: Path) -> None:
    """A bit anywhere, a cut at any frame, bytes more, frames that changed places, or of another file."""
    objects = encrypted(tmp_path)
    one, two = put(objects, tmp_path, DATA), put(objects, tmp_path, DATA[::-1])
    path = objects.where(one)
    whole, foreign = path.read_bytes(), objects.where(two).read_bytes()
    with open(path, "rb") as file:
        body = header_of(file, "x").body
    step = FRAME_BYTES + TAG_BYTES
    first, second = whole[body : body + step], whole[body + step : body + 2 * step]
    broken = [
        whole[:-1],
        whole[: body + step],
        whole[:body],
        whole + b"x",
        whole[:body] + second + first + whole[body + 2 * step :],
        whole[:body] + foreign[body : body + step] + whole[body + step :],
        foreign[:body] + whole[body:],
        # Another whole file of the same vendor: its name is not its hash.
        foreign,
    ]
    places = (0, 25, 30, body - 70, body - 1, body, body + step, len(whole) - 1)
    broken += [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in places]
    for data in broken:
        path.write_bytes(data)
        with pytest.raises((BrokenObject, KeyDestroyed)):
            objects.verify(one)
    path.write_bytes(whole)
    assert objects.verify(one).size_bytes == len(DATA)


def test_each_vendor_has_a_key_of_its_own(tmp_path: Path) -> None:
    """The end of one is not that of the other; nor of what the vendor left that another put anew."""
    objects = encrypted(tmp_path)
    mine, other = put(objects, tmp_path, b"mine"), put(objects.of(BOLT), tmp_path, b"other")
    assert (objects.owner_of(mine), objects.owner_of(other)) == (ACME, BOLT)

    objects.shred(ACME)

    for look in (objects.read, lambda *_: objects.open(mine), lambda *_: objects.path_of(mine)):
        with pytest.raises(
            KeyDestroyed, match=rf"{mine} cannot be read: vendors/acme: its key was destroyed on \d{{4}}"
        ):
            look(mine, 0, 4)
    assert objects.read(other, 0, 9) == b"other"
    with pytest.raises(KeyDestroyed, match="gets no other"):
        put(objects, tmp_path, b"more")
    assert list(objects.digests()) == sorted((mine, other))


def test_another_process_sees_at_once_that_a_key_is_gone(tmp_path: Path) -> None:
    """Also one that has used it before, and has the object decrypted in memory."""
    objects = encrypted(tmp_path)
    sha256 = put(objects, tmp_path, b"mine")
    other = open_objects(str(tmp_path / "objects"), tmp_path)
    assert other.path_of(sha256).read_bytes() == b"mine"

    objects.shred(ACME)

    for look in (other.path_of, other.open, other.verify, other.opened):
        with pytest.raises(KeyDestroyed):
            look(sha256)


def test_a_path_is_of_memory_and_no_disk_has_its_bytes(tmp_path: Path) -> None:
    """It cannot be written to, and many can be open; the oldest are let go beyond what memory is for them."""
    objects = encrypted(tmp_path)
    names = [put(objects, tmp_path, b"secret %d" % number) for number in range(OPEN_FILES + 4)]
    paths = [objects.path_of(name) for name in names]

    assert [path.read_bytes() for path in paths] == [b"secret %d" % number for number in range(len(paths))]
    with pytest.raises(OSError, match="not permitted"), open(paths[0], "r+b", buffering=0) as file:
        file.write(b"x")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_the_paths_of_many_large_objects_do_not_all_stay_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight are there for whoever was just told of them."""
    monkeypatch.setattr("store.encrypted.OPEN_BYTES", 1_000)
    objects = encrypted(tmp_path)
    for number in range(OPEN_FILES + 4):
        path = objects.path_of(put(objects, tmp_path, b"x" * (500 + number)))
        assert path.stat().st_size == 500 + number
    assert len(objects._open) == OPEN_FILES


def test_folders_of_encrypted_objects_are_not_opened_as_others(tmp_path: Path) -> None:
    """Nothing can be put there plain by who does not know; keys that others can read are refused."""
    encrypted(tmp_path)
    with pytest.raises(StoreError, match="encrypted"):
        LocalObjects(tmp_path / "objects")
    with pytest.raises(StoreError, match="other keys"):
        begin_encryption(tmp_path / "objects", tmp_path / "others")
    assert isinstance(open_objects(str(tmp_path / "objects"), tmp_path), EncryptedObjects)
    (tmp_path / "keys").chmod(0o755)
    with pytest.raises(ExposedKeys, match="chmod 700"):
        open_objects(str(tmp_path / "objects"), tmp_path)
    (tmp_path / "objects" / "encryption.json").write_text("{}")
    with pytest.raises(StoreError, match=r"encryption\.json"):
        open_objects(str(tmp_path / "objects"), tmp_path)


def test_keys_that_lost_their_other_halves_are_not_made_anew_over_them(tmp_path: Path) -> None:
    """The file is asked for; and where an older one is put in its place, what it does not know of is put aside."""
    objects = encrypted(tmp_path)
    shutil.copy(tmp_path / "keys.db", tmp_path / "older.db")
    sha256 = put(objects, tmp_path, b"mine")
    os.rename(tmp_path / "keys.db", tmp_path / "newer.db")
    with pytest.raises(StoreError, match=r"keys\.db is missing"):
        encrypted(tmp_path)

    shutil.copy(tmp_path / "older.db", tmp_path / "keys.db")
    put(encrypted(tmp_path), tmp_path, b"more")
    with pytest.raises(BrokenObject):
        encrypted(tmp_path).read(sha256, 0, 4)
    (lost,) = (tmp_path / "keys").glob("*.lost")
    os.rename(lost, lost.with_name(lost.name.partition(".")[0] + ".half"))
    os.replace(tmp_path / "newer.db", tmp_path / "keys.db")
    assert encrypted(tmp_path).read(sha256, 0, 4) == b"mine"


def test_many_who_need_a_vendors_first_key_get_the_same(tmp_path: Path) -> None:
    """Each with connections of its own, as processes have them."""
    found: list[bytes] = []
    all_keys = [open_keys(tmp_path / "keys") for _ in range(8)]
    threads = [
        threading.Thread(target=lambda keys=keys: found.append(keys.of(ACME, make=True)))  # type: ignore[misc]
        for keys in all_keys
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
    assert open_keys(tmp_path / "keys").of(ACME) == found[0] != open_keys(tmp_path / "keys").of(BOLT, make=True)


def test_a_file_opens_with_its_own_key_and_with_no_other(tmp_path: Path) -> None:
    """What a confined process is given of one recording is good for that recording."""
    objects = encrypted(tmp_path)
    one, two = put(objects, tmp_path, DATA), put(objects, tmp_path, b"other")
    (place, own), (other, _) = objects.opened(one), objects.opened(two)
    assert own is not None
    with SealedSource(place, own).open() as file:
        assert file.read() == DATA
    with pytest.raises(BrokenObject), SealedSource(other, own).open() as file:
        file.read()
    with pytest.raises(BrokenObject), SealedFile(place, lambda _: bytes(32)):
        pass


def test_what_is_recorded_lies_encrypted_and_is_read_as_ever(house: Any, make_header: Any, tmp_path: Path) -> None:
    """Recorded, recovered, summed up, exported: and what lies there is no Parquet file."""
    house.objects = begin_encryption(house.root / "objects", house.root / "keys")
    recorder = house.recorder()
    recorder.extend(np.arange(30) / 100, dict.fromkeys(recorder.header.signals, np.ones((30, 3))))
    sealed = recorder.seal(_success())
    die(opened(house, make_header))
    (found,) = recover_spool(house.spool, house.objects)
    found.settled()

    vendor = recorder.header.vendor
    assert house.objects.owner_of(sealed.sha256) == house.objects.owner_of(found.sealed.sha256) == vendor
    for one in (sealed, found.sealed):
        assert b"PAR1" not in one.path.read_bytes()
        assert len(read_episode(house.objects.path_of(one.sha256), sha256=one.sha256).time_s) == one.rows == 30
        assert read_summary(source_at(one.path)).header.vendor == vendor
    place, own = house.objects.opened(sealed.sha256)
    assert read_episode(SealedSource(place, own), sha256=sealed.sha256).header == recorder.header
    write_parquet(house.objects, [sealed.sha256], tmp_path / "export")
    assert list((tmp_path / "export").rglob("*.parquet"))


def _success() -> Any:
    from store import Outcome, Status

    return Outcome(Status.SUCCESS)


def test_a_store_is_encrypted_where_it_lies_and_what_was_done_is_not_done_again(
    house: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped in the midst it is taken up again; until then what is plain is read as it is."""
    recorder = house.recorder()
    recorder.extend(np.arange(30) / 100, dict.fromkeys(recorder.header.signals, np.ones((30, 3))))
    sealed = recorder.seal(_success())
    root = house.root / "objects"
    artifact = put(house.objects, tmp_path, b"weights")
    names = sorted((sealed.sha256, artifact))
    objects = begin_encryption(root, house.root / "keys")
    assert {objects.verify(name).sha256 for name in names} == set(names)
    assert objects.owner_of(artifact) is None
    steps = objects.encrypt(lambda _: ACME)
    assert next(steps)
    del steps

    assert main(["encrypt", str(root), "--keys", str(house.root / "keys")]) == 0
    assert capsys.readouterr().out.startswith("1 objects encrypted")
    assert main(["encrypt", str(root), "--keys", str(house.root / "keys")]) == 0
    assert capsys.readouterr().out.startswith("0 objects encrypted")

    assert list(objects.digests()) == names
    assert all(objects.verify(name).sha256 == name for name in names)
    assert not [path for path in root.rglob("*") if path.is_file() and b"PAR1" in path.read_bytes()]


def test_an_operator_destroys_a_key_only_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked first, told what it means, and told when it was, if it was; a store that is not encrypted has no keys."""
    objects = encrypted(tmp_path)
    sha256, root = put(objects, tmp_path, b"mine"), str(tmp_path / "objects")
    monkeypatch.setattr("builtins.input", lambda _: "vendors/other")
    assert main(["shred", root, ACME]) == 1
    assert "1 objects of vendors/acme will never be read again" in capsys.readouterr().out
    assert objects.read(sha256, 0, 4) == b"mine"
    monkeypatch.setattr("builtins.input", lambda _: ACME)
    assert main(["shred", root, ACME]) == 0
    assert main(["shred", root, ACME, "--yes"]) == 0
    assert capsys.readouterr().out.count("was destroyed on") == 2
    assert main(["verify", root]) == 1
    assert "its key was destroyed" in capsys.readouterr().out
    assert main(["shred", root, "acme", "--yes"]) == 1
    LocalObjects(tmp_path / "plain")
    assert main(["shred", str(tmp_path / "plain"), ACME, "--yes"]) == 1
    assert "not encrypted" in capsys.readouterr().err


def test_a_file_that_grows_while_it_is_sealed_is_refused(tmp_path: Path) -> None:
    """What was hashed is what lies there."""
    (tmp_path / "source").write_bytes(b"four")
    target = io.BytesIO()
    with open(tmp_path / "source", "rb") as source, pytest.raises(BrokenObject, match="3 that they were said to be"):
        seal(ACME, bytes(32), source, 3, target)


def test_nobody_elses_object_is_missing_as_its_own_would_be(tmp_path: Path) -> None:
    """A destroyed key is a kind of missing object to all who ask for objects."""
    objects = encrypted(tmp_path)
    sha256 = put(objects, tmp_path, b"mine")
    objects.shred(ACME)
    with pytest.raises(ObjectNotFound):
        objects.read(sha256, 0, 1)
