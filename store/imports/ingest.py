"""One import from a path to episodes of a store: hashed, read by a confined process, mapped, recorded, all or nothing.

Episodes are sealed in a folder of the import's own and become objects when the last one is through; then the import's
receipt, which names them all, is renamed into place. The same content by the same mapping is the same import: it is
recognised by its receipt and read no second time, and its episodes have the same names and bytes.
"""

import hashlib
import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from store.episode import EpisodeHeader, Outcome
from store.errors import BrokenObject, ImportRefused, InvalidEpisode, ObjectNotFound
from store.imports import formats, sandbox
from store.imports.confine import Limits
from store.imports.mapping import MappedEpisode, Mapping, apply, choose_robot, header_of, suggestion
from store.objects import LocalObjects, hash_of, open_objects, room_for, sync_folder
from store.recorder import EpisodeRecorder

VERSION = "1"
"""Of what an import makes of the same bytes; part of an import's name."""
MAX_FILES = 100_000
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"

Progress = Callable[[int, str], None]


@dataclass(frozen=True)
class SourceFile:
    """One file of a source: its path within it, its hash and its size."""

    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class ImportedEpisode:
    """One episode of an import."""

    name: str
    place: str
    sha256: str
    size_bytes: int
    rows: int
    duration_s: float
    left_out: tuple[str, ...]
    dropped_rows: int
    header: dict[str, Any]
    outcome: dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """What an import came to. `again`: its content was in the store before. Of a dry run nothing was kept."""

    id: str
    format: str
    sha256: str
    mapping_sha256: str
    files: tuple[SourceFile, ...]
    episodes: tuple[ImportedEpisode, ...]
    again: bool = False
    dry_run: bool = False


def import_path(
    path: Path,
    root: Path | None,
    *,
    vendor: str,
    form: str = "",
    robot: str = "",
    mapping: Mapping | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Import a file or folder.

    Args:
        path: The source; links and devices in it are refused.
        root: The store's folder, with `objects/` and `imports/`; None for a dry run, which keeps nothing.
        vendor: The owner, `vendors/NAME`.
        form: One of `formats.NAMES`; empty to find out.
        robot: A robot of the vocabulary; before what the mapping and the source say.
        mapping: How raw signals become an episode's; None for what the format itself knows.
        limits: Bounds of the process that reads.
        progress: Called with (episodes done, what is being done).

    Raises:
        ImportRefused: Names the place; nothing of the import is visible.
        StoreFull: No room; nothing either.
    """
    if not re.fullmatch("vendors/[a-z0-9-]{1,63}", vendor):
        raise ImportRefused(f"vendor {vendor[:80]!r}: vendors/ and small letters, digits and dashes")
    mapping, limits = mapping or Mapping(), limits or Limits()
    tell = progress or (lambda _done, _text: None)
    files = hash_source(path, tell)
    found = formats.find(form) if form else formats.sniff(path)
    source_sha = _hash([[file.path, file.sha256] for file in files])
    # A file's name is part of what it is where it is one of many, and nothing where it is alone.
    if path.is_file():
        source_sha = files[0].sha256
    made_of = [VERSION, found.NAME, source_sha, mapping.sha256, robot, vendor]
    import_id = _hash(made_of)
    if root is not None and (before := _receipt(root, import_id)) is not None:
        return before
    source = {"format": found.NAME, "file": path.name[:255] or "source", "sha256": source_sha}
    source["mapping_sha256"] = mapping.sha256
    if root is None:
        staging = Path(tempfile.mkdtemp(prefix="palaestra-import-"))
    else:
        _sweep(root / "imports")
        staging = root / "imports" / f".{import_id}.{os.getpid()}.partial"
    episodes: list[ImportedEpisode] = []
    try:
        for raw in sandbox.read(path, found.NAME, mapping.options, limits):
            tell(len(episodes), raw.place)
            mapped = apply(raw, mapping)
            name = f"{vendor}/episodes/{_uid(import_id, len(episodes))}"
            body = choose_robot(mapping, robot, raw.robot)
            placed = {**source, "place": raw.place[:255]}
            header, outcome = header_of(raw, mapped, mapping, body, name=name, source=placed)
            episodes.append(_record(header, outcome, mapped, raw.place, staging))
        if not episodes:
            raise ImportRefused(f"{path.name}: no episodes")
        if hash_source(path, tell) != files:
            raise ImportRefused(f"{path.name}: changed while it was read")
        done = Imported(import_id, found.NAME, source_sha, mapping.sha256, files, tuple(episodes), dry_run=root is None)
        if root is not None:
            _publish(root, staging, done)
        return done
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def suggest(
    path: Path, *, form: str = "", mapping: Mapping | None = None, robot: str = "", limits: Limits | None = None
) -> str:
    """Return a mapping file to fill in for a source. Raises ImportRefused."""
    hash_source(path, lambda _done, _text: None)
    found = formats.find(form) if form else formats.sniff(path)
    options = (mapping or Mapping()).options
    described = sandbox.describe(path, found.NAME, options, limits or Limits())
    return suggestion(described[0]["signals"], robot or described[0]["robot"]) if described else ""


def hash_source(path: Path, tell: Progress) -> tuple[SourceFile, ...]:
    """Return every file of a source with its hash, in order. Raises ImportRefused for what is no plain file."""
    if path.is_symlink():
        raise ImportRefused(f"{path.name}: a link; give what it leads to")
    if not path.is_dir():
        return (_hashed(path, path.name),)
    found = []
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            relative = os.path.relpath(os.path.join(folder, name), path)
            found.append(_hashed(Path(folder) / name, relative))
            if len(found) > MAX_FILES:
                raise ImportRefused(f"{path.name}: more than {MAX_FILES} files")
            tell(0, f"reading {relative}")
        for name in folders:
            if (Path(folder) / name).is_symlink():
                raise ImportRefused(f"{os.path.relpath(os.path.join(folder, name), path)}: a link")
    return tuple(sorted(found, key=lambda file: file.path))


def _hashed(path: Path, relative: str) -> SourceFile:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        what = "a link" if path.is_symlink() else error.strerror
        raise ImportRefused(f"{relative[:200]}: {what}") from error
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ImportRefused(f"{relative[:200]}: no plain file")
        return SourceFile(relative, hash_of(file), file.tell())


def _record(
    header: EpisodeHeader, outcome: Outcome, mapped: MappedEpisode, place: str, staging: Path
) -> ImportedEpisode:
    """Seal an episode in the import's own folder."""
    try:
        with EpisodeRecorder(header, staging / "spool", LocalObjects(staging)) as recorder:
            for name, track in mapped.streams.items():
                recorder.add(name, track.time_s, track.values)
            recorder.extend(mapped.time_s, mapped.signals)
            sealed = recorder.seal(outcome)
    except InvalidEpisode as error:
        raise ImportRefused(f"{place}: {error}") from error
    return ImportedEpisode(
        header.name,
        place,
        sealed.sha256,
        sealed.size_bytes,
        sealed.rows,
        sealed.duration_s,
        mapped.left_out,
        mapped.dropped_rows,
        json.loads(header.to_json()),
        asdict(outcome),
    )


def _publish(root: Path, staging: Path, done: Imported) -> None:
    """Make the episodes objects, then say so in the receipt: what has no receipt is in nobody's list."""
    objects, staged = open_objects(str(root / "objects"), root / "objects"), LocalObjects(staging)
    for episode in done.episodes:
        objects.of(episode.header["vendor"]).put_file(staged.path_of(episode.sha256), move=True)
    with room_for(f"import {done.id}"):
        path = staging / "receipt.json"
        with open(path, "w", encoding="utf-8") as file:
            json.dump(asdict(done), file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(path, _receipt_path(root, done.id))
        sync_folder(root / "imports")


def _sweep(folder: Path) -> None:
    """Remove what imports that were killed have left."""
    for path in folder.glob(".*.partial"):
        try:
            os.kill(int(path.name.split(".")[-2]), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except (ValueError, PermissionError):
            continue


def _receipt_path(root: Path, import_id: str) -> Path:
    return root / "imports" / f"{import_id}.json"


def _receipt(root: Path, import_id: str) -> Imported | None:
    """Return an import of before, if its episodes are still whole."""
    try:
        said = json.loads(_receipt_path(root, import_id).read_text("utf-8"))
    except FileNotFoundError:
        return None
    objects = open_objects(str(root / "objects"), root / "objects")
    assert isinstance(objects, LocalObjects), "an import goes into a folder"
    try:
        for episode in said["episodes"]:
            # It may be about to go, for nothing names it: whoever imports it again will.
            objects.renew(episode["sha256"])
            objects.verify(episode["sha256"])
    except (ObjectNotFound, BrokenObject):
        return None
    episodes: Sequence[Any] = [
        ImportedEpisode(**{**row, "left_out": tuple(row["left_out"])}) for row in said.pop("episodes")
    ]
    files = tuple(SourceFile(**row) for row in said.pop("files"))
    return Imported(**{**said, "files": files, "episodes": tuple(episodes), "again": True})


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, separators=(",", ":")).encode()).hexdigest()


def _uid(import_id: str, number: int) -> str:
    """Return the last part of an episode's name: 26 characters like every id, made of what it is."""
    digest = int.from_bytes(hashlib.sha256(f"{import_id}/{number}".encode()).digest()[:16], "big")
    return "".join(_ALPHABET[(digest >> shift) & 31] for shift in range(125, -1, -5))
