"""A parcel on its way through another program's memory."""

import os
from pathlib import Path

import numpy as np
import pytest

from sharing.confined import sealed as module
from sharing.confined.sealed import TAG_BYTES, new_key, opened, seal
from sharing.errors import WorkEnded

FILES = {"table": [("one.parquet", 0, 10)]}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have pieces of sixteen bytes."""
    monkeypatch.setattr(module, "PIECE_BYTES", 16)
    monkeypatch.setattr(module, "_WHOLE", 16 + TAG_BYTES)


def sealed_of(folder: Path, content: bytes, key: bytes) -> np.ndarray:
    """Return the content sealed."""
    path = folder / "content"
    path.write_bytes(content)
    with path.open("rb") as file:
        return seal(file.fileno(), len(content), key)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 64])
def test_what_was_sealed_opens_as_it_was(tmp_path: Path, size: int) -> None:
    content, key = os.urandom(size), new_key()

    with opened(sealed_of(tmp_path, content, key), key, FILES) as parcel:
        assert os.pread(parcel.descriptor, size + 1, 0) == content
        assert (parcel.size_bytes, parcel.files) == (size, FILES)
        with pytest.raises(PermissionError):
            os.pwrite(parcel.descriptor, b"x", 0)


def test_nothing_of_it_can_be_read_in_the_sealed_form(tmp_path: Path) -> None:
    content = b"the torque of the wrist" * 10

    assert b"torque" not in sealed_of(tmp_path, content, new_key()).tobytes()


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found[:-32],
        lambda found: np.concatenate([found[32:64], found[:32], found[64:]]),
        lambda found: np.concatenate([found[:40], found[40:41] ^ 1, found[41:]]),
        lambda found: found[:70],
    ],
    ids=["truncated", "reordered", "altered", "cut within"],
)
def test_what_was_changed_on_its_way_is_not_opened(tmp_path: Path, change: object) -> None:
    key = new_key()
    assert callable(change)
    found = change(sealed_of(tmp_path, os.urandom(64), key))

    with pytest.raises(WorkEnded, match="changed on its way"), opened(found, key, FILES):
        pass


def test_another_key_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(WorkEnded), opened(sealed_of(tmp_path, b"content", new_key()), new_key(), FILES):
        pass
