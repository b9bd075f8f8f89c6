"""Makes an export of a grant: the archive of a signed folder, kept, encrypted and dropped as the projection is."""

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from palaestra.errors import PalaestraError
from sharing.errors import InvalidTerms
from sharing.export.worker import FORMATS
from sharing.grant import Grant
from sharing.projection.process import run
from sharing.projection.projector import Projector
from sharing.projection.tables import ProjectedFile, Projection
from store.archive import stream_zip
from store.exports.manifest import load_key, new_key, sign_folder
from store.imports.confine import Limits

ARCHIVE = "archive"
MOST_ARCHIVES = 100
"""Archives that are kept of an agreement: each is a copy of all that it grants."""
LIMITS = Limits(memory_bytes=6 << 30, cpu_s=3600, time_s=7200.0, file_bytes=16 << 30)
_COPY_BYTES = 8 << 20


def venue_key(path: Path) -> Ed25519PrivateKey:
    """Return the key that signs exports, made at the first use."""
    if not path.exists():
        try:
            new_key(path)
        except FileExistsError:
            pass
    return load_key(path)


def export(projector: Projector, grant: Grant, form: str, key: Ed25519PrivateKey, *, fps: int = 0) -> ProjectedFile:
    """Return the archive of a grant in a format, made if it is not there yet; `projector.read` reads it.

    Args:
        form: One of `FORMATS`: LeRobot v3.0, MCAP, plain Parquet, each with Croissant and a signed manifest that names
            the agreement.
        fps: Steps per second of LeRobot's even view; 0: the rate at which it was recorded.

    Raises:
        InvalidTerms: An unknown format, a bad rate.
        PalaestraError: OVER_QUOTA, so many archives of the agreement are kept.
        NotShared, NotReleasable: As `Projector.project`; also what the format cannot hold.
    """
    if form not in FORMATS:
        raise InvalidTerms(f"format: {form[:40]!r}: one of {', '.join(FORMATS)}")
    if not 0 <= fps <= 1_000 or (fps and form != "lerobot"):
        raise InvalidTerms("fps: from 1 to 1000, of the format lerobot")

    def fill(base: Projection, said: dict[str, Any], folder: Path) -> dict[str, Any]:
        if len(list(folder.parent.glob(f"*/{ARCHIVE}"))) >= MOST_ARCHIVES:
            raise PalaestraError("OVER_QUOTA", f"{MOST_ARCHIVES} archives of this agreement are kept already")
        work = folder / "work"
        _copy(projector, base, work / "tables")
        out = work / "out"
        told = {
            "work": str(work),
            "out": str(out),
            "format": form,
            "fps": fps,
            "provider": grant.provider,
            "agreement": grant.agreement,
            "key": base.key,
            "words": said["words"],
            "limits": asdict(LIMITS),
        }
        made = run(told, LIMITS, module="sharing.export.worker")
        sign_folder(out, key, _about(grant, base, form, made["episodes"]))
        archive = folder / ARCHIVE
        archive.mkdir(mode=0o700)
        name = f"{form}-{grant.agreement[:16]}-{base.version}.zip"
        digest, size_bytes = hashlib.sha256(), 0
        with open(archive / name, "wb") as file:
            for chunk in stream_zip(out):
                digest.update(chunk)
                size_bytes += file.write(chunk)
        shutil.rmtree(work)
        row = {"name": name, "sha256": digest.hexdigest(), "size_bytes": size_bytes, "rows": 0, "stats": {}}
        return {"tables": {ARCHIVE: [row]}, "schemas": {}}

    made = projector.derived(grant, {"format": form, "fps": str(fps)}, fill)
    return made.tables[ARCHIVE][0]


def _copy(projector: Projector, base: Projection, tables: Path) -> None:
    for table, files in base.tables.items():
        (tables / table).mkdir(mode=0o700, parents=True)
        for file in files:
            with open(tables / table / file.name, "wb") as target:
                for begin in range(0, file.size_bytes, _COPY_BYTES):
                    target.write(projector.read(file, begin, _COPY_BYTES))


def _about(grant: Grant, base: Projection, form: str, episodes: int) -> dict[str, Any]:
    return {
        "agreement": grant.agreement,
        "provider": grant.provider,
        "consumer": grant.consumer,
        "data_set": grant.data_set,
        "version": base.version,
        "columns": list(grant.columns),
        "purpose": str(grant.purpose),
        "projection": base.key,
        "format": form,
        "episodes": episodes,
    }
