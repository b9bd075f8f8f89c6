"""What a consumer takes as files: unpacked whole, and nowhere else than where it was asked to be."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from palaestra.errors import PalaestraError, Unreachable
from palaestra.taking import Taking, unpack


def packed(path: Path, *entries: tuple[str, bytes], kind: int = stat.S_IFREG, how: int = zipfile.ZIP_STORED) -> Path:
    """Return an archive of these entries."""
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in entries:
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (kind | 0o600) << 16
            entry.compress_type = how
            archive.writestr(entry, content)
    return path


def test_an_export_is_unpacked_as_it_was(tmp_path: Path) -> None:
    archive = packed(tmp_path / "a.zip", ("manifest.json", b"{}"), ("data/one.parquet", b"one"))

    unpack(archive, tmp_path / "out")

    assert (tmp_path / "out/manifest.json").read_bytes() == b"{}"
    assert (tmp_path / "out/data/one.parquet").read_bytes() == b"one"


@pytest.mark.parametrize("name", ["../out", "/etc/x", "a/../../x", "..", "a\\..\\x", "folder/", "./../x"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    archive = packed(tmp_path / "a.zip", (name, b"" if name.endswith("/") else b"x"))

    with pytest.raises(Unreachable, match="no plain file"):
        unpack(archive, tmp_path / "in" / "out")
    assert not (tmp_path / "in").exists()


def test_links_and_packed_files_are_refused(tmp_path: Path) -> None:
    """A link leads elsewhere; a packed file may grow a thousandfold."""
    link = packed(tmp_path / "link.zip", ("link", b"/etc/passwd"), kind=stat.S_IFLNK)
    bomb = packed(tmp_path / "bomb.zip", ("bomb", bytes(1 << 20)), how=zipfile.ZIP_DEFLATED)
    for archive in (link, bomb):
        with pytest.raises(Unreachable, match="no plain file"):
            unpack(archive, tmp_path / "out")


def test_a_file_twice_or_as_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = packed(tmp_path / "twice.zip", ("a", b"1"), ("a", b"2"))
    folder = packed(tmp_path / "folder.zip", ("a", b"1"), ("a/b", b"2"))
    for number, archive in enumerate((twice, folder)):
        with pytest.raises(Unreachable, match="no archive"):
            unpack(archive, tmp_path / f"out{number}")


class Fetched:
    """An interface that gives one archive, or breaks off."""

    def __init__(self, archive: Path | None) -> None:
        self._archive = archive
        self.asked: dict[str, object] = {}

    def download(self, path: str, out: Path, **asked: object) -> int:
        self.asked = {"path": path, **asked}
        if self._archive is None:
            raise Unreachable("cut")
        return out.write_bytes(self._archive.read_bytes())


def taking(archive: Path | None) -> tuple[Taking, Fetched]:
    """Return the part of the client, over such an interface."""
    web = Fetched(archive)

    class Own(Taking):
        def _whole(self, collection: str, name: str, digits: int) -> str:
            return name

    own = Own()
    own._web = web  # type: ignore[assignment]
    return own, web


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for broken in (None, packed(tmp_path / "b.zip", ("a", b"1"), ("../b", b"2"))):
        with pytest.raises(Unreachable):
            taking(broken)[0].fetch("agreement", out)
        assert not out.exists()
    own, web = taking(packed(tmp_path / "a.zip", ("a", b"1")))

    assert own.fetch("agreement", out, form="mcap", purpose="research") == out

    assert (out / "a").read_bytes() == b"1"
    assert web.asked["headers"] == {"Palaestra-Purpose": "research"}
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    with pytest.raises(FileExistsError):
        own.fetch("agreement", out)


def test_what_is_no_zip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(io.BytesIO(b"<html>").getvalue())
    with pytest.raises(PalaestraError, match="no archive"):
        unpack(tmp_path / "a.zip", tmp_path / "out")
