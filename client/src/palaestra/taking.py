"""What a consumer takes under an agreement as files: `client.sharing.fetch`."""

import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from palaestra.asking import purpose_header
from palaestra.errors import Unreachable
from palaestra.web import Web, quoted

_ROOT = "/sharing/v1"
_COPY_BYTES = 1 << 20
MAX_FILES = 1_000_000


class Taking:
    """Part of `palaestra.sharing.Sharing`."""

    _web: Web

    def _whole(self, collection: str, name: str, digits: int) -> str:
        raise NotImplementedError

    def fetch(
        self,
        agreement: str,
        out: str | Path,
        *,
        form: str = "lerobot",
        version: int = 0,
        fps: int = 0,
        purpose: str = "",
        show: bool = False,
    ) -> Path:
        """Fetch what an agreement grants by its channel `export` into a folder that does not exist; return it.

        It is there whole or not at all. `manifest.json` in it is signed by the venue and names every file's hash.

        Args:
            agreement: Its digest, or the first digits of it.
            out: The folder. Where it is to be there is room for twice its size.
            form: "lerobot" (v3.0), "parquet" or "mcap".
            version: Of the data set; 0: the newest that is granted.
            fps: Steps per second of LeRobot's even view; 0: as recorded.
            purpose: What for; empty: training.
            show: Draw a progress bar on stderr, if that is a terminal.

        Raises:
            PalaestraError: NOT_FOUND for whatever is not granted; the venue's reason otherwise.
            Unreachable: The venue does not answer, or what came is not a whole export.
            OSError: The folder cannot be written, or exists.
        """
        target = Path(out)
        if target.exists():
            raise FileExistsError(17, "exists already", str(target))
        whole = self._whole("agreements", agreement, 64)
        query = {"format": form, "version": version or "", "fps": fps or ""}
        with tempfile.TemporaryDirectory(dir=target.absolute().parent, prefix=f".{target.name}.") as folder:
            archive = Path(folder) / f"{form}.zip"
            path = f"{_ROOT}/exports/{quoted(whole)}"
            self._web.download(path, archive, query=query, headers=purpose_header(purpose), show=show)
            unpack(archive, Path(folder) / "export")
            (Path(folder) / "export").rename(target)
        return target


def unpack(archive: Path, folder: Path) -> None:
    """Unpack an archive whose files are stored as they are into a new folder. Raises Unreachable for any other."""
    try:
        with zipfile.ZipFile(archive) as packed:
            entries = packed.infolist()
            if len(entries) > MAX_FILES:
                raise Unreachable(f"the export names {len(entries)} files")
            for entry in entries:
                # Stored: what comes out is never more than what came.
                name = PurePosixPath(entry.filename)
                kind = stat.S_IFMT(entry.external_attr >> 16)
                if (
                    entry.compress_type != zipfile.ZIP_STORED
                    or entry.flag_bits & 1
                    or kind not in (0, stat.S_IFREG)
                    or name.is_absolute()
                    or not name.parts
                    or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in name.parts)
                    or entry.is_dir()
                ):
                    raise Unreachable(f"the export has an entry {entry.filename[:100]!r}, which is no plain file in it")
                path = folder.joinpath(*name.parts)
                path.parent.mkdir(parents=True, exist_ok=True)
                with packed.open(entry) as source, path.open("xb") as target:
                    shutil.copyfileobj(source, target, _COPY_BYTES)
    except (zipfile.BadZipFile, FileExistsError, NotADirectoryError) as error:
        raise Unreachable(f"the export is no archive: {error}") from None
