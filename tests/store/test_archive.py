"""Zip streams."""

import io
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from store import ExportRefused
from store.archive import CHUNK_BYTES, stream_zip


def test_a_folder_comes_back_out_of_its_zip(tmp_path: Path) -> None:
    """Names with folders, an empty file and any bytes."""
    content = {
        "meta/info.json": b"{}",
        "data/chunk-000/file-000.parquet": bytes(range(256)) * 9,
        "empty": b"",
    }
    for name, data in content.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)

    packed = b"".join(stream_zip(tmp_path, prefix="walk/"))

    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            f"walk/{name}": data for name, data in content.items()
        }
    assert b"".join(stream_zip(tmp_path, prefix="walk/")) == packed


def test_a_big_folder_needs_little_memory(tmp_path: Path) -> None:
    """40 chunks go through while less than 10 are held."""
    with open(tmp_path / "big", "wb") as file:
        file.truncate(40 * CHUNK_BYTES)
    tracemalloc.start()
    try:
        total = sum(len(chunk) for chunk in stream_zip(tmp_path))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert total > 40 * CHUNK_BYTES
    assert peak < 10 * CHUNK_BYTES


def test_a_link_is_refused_before_the_first_byte(tmp_path: Path) -> None:
    """Or a download would hand out what the link points to."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "secret")

    with pytest.raises(ExportRefused, match="link"):
        stream_zip(tmp_path / "folder")
