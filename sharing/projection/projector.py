"""Makes what a consumer gets, once for each agreement, version and choice of columns, and reads it out.

    folder/AGREEMENT/KEY/TABLE/NAME.parquet    the files, or their encrypted form
    folder/AGREEMENT/KEY/projection.json       what they are; written before the folder has its name

A projection is made by a confined process in a folder that nobody knows; its last act is one rename. What is half made
when anything dies has no name, and goes at the next start.
"""

import base64
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Set
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from weakref import WeakValueDictionary

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.errors import InvalidTerms, NotReleasable, NotShared
from sharing.grant import Grant
from sharing.projection.pictures import content_of, files_of, for_channel, shows
from sharing.projection.process import run
from sharing.projection.pseudonym import agreement_key
from sharing.projection.secret import load_secret
from sharing.projection.sources import Readers, Source, sources_of, told_of
from sharing.projection.tables import SHEETS, ProjectedFile, Projection
from sharing.projection.transforms import read as read_transforms
from sharing.terms import Channel, canonical
from sharing.witness import Witness
from store.episode import MAX_VALUES
from store.errors import InvalidDigest, StoreError
from store.folder import new_folder
from store.imports.confine import Limits
from store.objects import ObjectStore, check_digest

CODE_VERSION = 4
"""Grows whenever the same recordings would be written otherwise: then all are made anew."""
LIMITS = Limits(memory_bytes=6 << 30, cpu_s=3600, time_s=7200.0, file_bytes=16 << 30)
PICTURE_LIMITS = replace(LIMITS, cpu_s=48 * 3600, time_s=96 * 3600.0)
"""A detector looks at every frame, which may take days. A provider alone can begin that."""
CONTENTS, SECRET = "projection.json", "projection.secret"
_PARTIAL, _DROPPED = ".partial", ".dropped"


Fill = Callable[[Projection, dict[str, Any], Path], dict[str, Any]]


class Sealing(Protocol):
    """Encrypts what lies on the disk; `sharing.vault.vault.Vault`."""

    def seal(self, owner: str, source: Path, target: Path) -> None:
        """Encrypt a file for its owner."""
        ...

    def read(self, owner: str, path: Path, begin: int, size_bytes: int) -> bytes:
        """Return a range of what was sealed."""
        ...


class Ledger(Protocol):
    """The room's file; `sharing.database.Database`."""

    def reader(self) -> sqlite3.Connection:
        """Return a connection to look."""
        ...

    def transaction(self) -> AbstractContextManager[sqlite3.Connection]:
        """Change all or nothing."""
        ...


class Releasing(Protocol):
    """Knows which pictures may leave; `sharing.review.reviews.Reviews`."""

    def approved(self, key: str) -> Set[str]:
        """Return the hashes of what was approved of a projection, see `content_of`."""
        ...


@dataclass(frozen=True)
class Bounds:
    """What making one projection may take.

    Attributes:
        limits: Of the process that makes it.
        picture_limits: The same, where it has pictures.
        max_values: Most float32 values of one recording that are decoded, whatever its footer says.
        max_episodes: Of one version.
    """

    limits: Limits = LIMITS
    picture_limits: Limits = PICTURE_LIMITS
    max_values: int = MAX_VALUES
    max_episodes: int = 100_000


class Projector:
    """Projections in a folder. Safe from any thread; one process at a time has the folder."""

    def __init__(
        self,
        folder: Path,
        catalogue: Readers,
        objects: ObjectStore,
        secret: bytes,
        *,
        vault: Sealing | None = None,
        ledger: Ledger | None = None,
        witness: Witness | None = None,
        reviews: Releasing | None = None,
        bounds: Bounds | None = None,
        settle: Callable[[Grant, int], None] | None = None,
        words: Iterable[str] = (),
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Take the folder, made if it has to be, and clear away what was left half made.

        Args:
            catalogue: Connections to look into the catalogue's file.
            secret: The venue's, 32 bytes or more: names and marks follow from it and from nothing else.
            vault: Encrypts the files under the agreement's digest; None: they lie there as they are.
            ledger: Where it is written down who got what, for the tracing of leaks.
            witness: Is told why something cannot leave; that is for the provider alone.
            reviews: Whose pictures were approved; None: none were, and no pictures leave.
            settle: Called with a grant and a version before the consumer gets a projection of it; raises what refuses.
            words: Names of people, places and things that must not stand in any text.
        """
        self._folder, self._catalogue, self._objects, self._secret = folder, catalogue, objects, secret
        self._vault, self._ledger, self._witness, self._reviews = vault, ledger, witness, reviews
        self._bounds, self._now_s, self._settle = bounds or Bounds(), now_s, settle
        self._words = sorted(set(words))
        self._naming = threading.Lock()
        # For as long as somebody makes it or waits for it.
        self._making: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._drops: dict[str, int] = {}
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for left in (*folder.glob(f"*{_DROPPED}"), *folder.glob(f"*/.*{_PARTIAL}")):
            shutil.rmtree(left, ignore_errors=True)

    def project(self, grant: Grant) -> Projection:
        """Return the projection of a grant, made if it is not there yet; one with pictures once these were approved.

        Raises:
            NotShared: No such data set or version; or the agreement was dropped while it was made.
            InvalidTerms, NotReleasable: What the terms say cannot be done with these recordings; or it has pictures
                which their provider has not approved.
            BudgetExhausted: The terms name a price, and the consumer has not got it.
        """
        made = self._project(grant, self._released)
        # Paid once it is there, so that nobody pays for what cannot be made; and before anybody has a byte of it.
        if self._settle is not None:
            self._settle(grant, made.version)
        return made

    def prepare(self, grant: Grant) -> tuple[Projection, dict[str, Any]]:
        """Make the projection of a grant for its provider to review: it may not leave yet. Raises as `project`.

        Returns:
            The projection, and its pictures: `report`, `sheets` and `content`, which is what is approved.
        """
        made = self._project(grant, None)
        return made, self._contents(made)["pictures"] or {}

    def sheet(self, projection: str, agreement: str, camera: str) -> bytes:
        """Return the contact sheet of a camera, a JPEG, for those who review it. Raises NotShared."""
        try:
            folder = self._folder / check_digest(agreement) / check_digest(projection)
            pictures = json.loads((folder / CONTENTS).read_text("utf-8"))["pictures"] or {"sheets": []}
        except (InvalidDigest, FileNotFoundError):
            raise NotShared from None
        for one in pictures["sheets"]:
            if one["camera"] == camera:
                path = folder / SHEETS / one["name"]
                return self.read(
                    ProjectedFile(path, one["name"], one["sha256"], one["size_bytes"], 0), 0, one["size_bytes"]
                )
        raise NotShared

    def _released(self, key: str) -> Set[str]:
        approved = self._reviews.approved(key) if self._reviews is not None else frozenset()
        if not approved:
            raise NotReleasable("pictures: leave after their provider has looked at a sample and approved it")
        return approved

    def _project(self, grant: Grant, released: Callable[[str], Set[str]] | None) -> Projection:
        try:
            return self._granted(for_channel(grant), released)
        except (NotReleasable, InvalidTerms) as error:
            if self._witness is not None:
                fields = {"provider": grant.provider, "agreement": grant.agreement, "refused": str(error)[:500]}
                self._witness.note("projection", fields)
            raise

    def _granted(self, grant: Grant, released: Callable[[str], Set[str]] | None) -> Projection:
        try:
            check_digest(grant.agreement)
        except InvalidDigest:
            raise NotShared from None
        version, sources = sources_of(self._catalogue, grant.data_set, grant.version)
        if len(sources) > self._bounds.max_episodes:
            raise NotReleasable(f"{grant.data_set}: more than {self._bounds.max_episodes} episodes in a version")
        read_transforms(grant.transforms)
        key, shown = key_of(grant, version, sources), shows(grant)
        if shown and released is not None:
            return self._approved(grant, key, released(key))
        limits = self._bounds.picture_limits if shown else self._bounds.limits
        drops = self._drops.get(grant.agreement, 0)

        def fill(folder: Path) -> dict[str, Any]:
            ask = self._ask(grant, sources, folder, limits)
            # A detector may be busy with one recording for hours: a revocation ends it as well.
            return run(ask, limits, given_up=lambda: self._drops.get(grant.agreement, 0) != drops)

        return self._kept(grant, version, key, fill)

    def _approved(self, grant: Grant, key: str, approved: Set[str]) -> Projection:
        """Return a projection with pictures as it lies there: no consumer has the venue's processors busy for days."""
        found = self._load(self._folder / grant.agreement / key, key, grant.agreement)
        if found is None:
            raise NotReleasable("pictures: are to be made again: their provider can do that")
        if self._contents(found)["pictures"]["content"] not in approved:
            raise NotReleasable("pictures: are not those that were approved")
        return found

    def _contents(self, made: Projection) -> dict[str, Any]:
        try:
            said: dict[str, Any] = json.loads((self._folder / made.agreement / made.key / CONTENTS).read_text("utf-8"))
        except FileNotFoundError:
            raise NotShared from None
        return said

    def derived(self, grant: Grant, what: Mapping[str, str], fill: Fill) -> Projection:
        """Return something that is made of a grant's projection, such as an export; kept and dropped with it.

        Args:
            what: Its kind and parameters: part of its identity.
            fill: Called with the projection, what was noted beside it, and an empty folder; fills the folder, and
                returns what is in it, as the process that makes projections does.
        """
        base = self.project(grant)
        said = self._contents(base)
        key = hashlib.sha256(canonical({"of": base.key, "what": dict(what), "code": CODE_VERSION})).hexdigest()
        return self._kept(grant, base.version, key, lambda folder: fill(base, said, folder))

    def _kept(self, grant: Grant, version: int, key: str, fill: Callable[[Path], dict[str, Any]]) -> Projection:
        target = self._folder / grant.agreement / key
        found = self._load(target, key, grant.agreement)
        if found is not None:
            return found
        with self._naming:
            making, drops = self._making.setdefault(key, threading.Lock()), self._drops.get(grant.agreement, 0)
        with making:
            found = self._load(target, key, grant.agreement)
            if found is None:
                try:
                    self._make(grant, version, key, target, drops, fill)
                except (OSError, NotReleasable, StoreError):
                    # What is dropped goes at once, also from under whoever is making it.
                    if self._drops.get(grant.agreement, 0) != drops:
                        raise NotShared from None
                    raise
                found = self._load(target, key, grant.agreement)
        if found is None:
            raise NotShared
        return found

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        """Return bytes of a file as its consumer gets it, fewer where it ends. Raises NotShared once it was dropped."""
        if begin < 0 or size_bytes < 0:
            raise ValueError(f"{file.name}: {size_bytes} bytes from {begin} on")
        place = file.path.relative_to(self._folder)
        if ".." in place.parts or begin >= file.size_bytes:
            return b""
        size_bytes = min(size_bytes, file.size_bytes - begin)
        try:
            if self._vault is not None:
                return self._vault.read(place.parts[0], file.path, begin, size_bytes)
            with open(file.path, "rb") as opened:
                opened.seek(begin)
                return opened.read(size_bytes)
        except FileNotFoundError:
            raise NotShared from None

    def drop(self, agreement: str) -> int:
        """Remove all projections of an agreement; return how many. What is being made of it will not appear."""
        try:
            target = self._folder / check_digest(agreement)
        except InvalidDigest:
            return 0
        gone = self._folder / f"{agreement}.{secrets.token_hex(8)}{_DROPPED}"
        with self._naming:
            self._drops[agreement] = self._drops.get(agreement, 0) + 1
            count = len(list(target.glob(f"*/{CONTENTS}")))
            try:
                os.rename(target, gone)
            except FileNotFoundError:
                count = 0
        shutil.rmtree(gone, ignore_errors=True)
        if self._ledger is not None and count:
            with self._ledger.transaction() as db:
                text = "UPDATE projection SET dropped_s = ? WHERE agreement = ? AND dropped_s IS NULL"
                db.execute(text, (int(self._now_s()), agreement))
        return count

    def _make(
        self,
        grant: Grant,
        version: int,
        key: str,
        target: Path,
        drops: int,
        fill: Callable[[Path], dict[str, Any]],
    ) -> None:
        with ExitStack() as named, new_folder(target) as folder:
            made = fill(folder)
            self._check(made, folder)
            if self._vault is not None:
                self._seal(grant.agreement, made, folder)
            if pictures := made.get("pictures"):
                pictures["content"] = content_of(key, made)
            said = {"agreement": grant.agreement, "version": version, "columns": list(grant.columns), **made}
            (folder / CONTENTS).write_text(json.dumps(said), "utf-8")
            # Before anybody can have a byte of it, it is on the disk who that would be.
            self._remember(grant, version, key)
            self._note(grant, version, key)
            named.enter_context(self._naming)
            if self._drops.get(grant.agreement, 0) != drops:
                raise NotShared

    def _ask(self, grant: Grant, sources: list[Source], folder: Path, limits: Limits) -> dict[str, Any]:
        try:
            episodes = [told_of(self._objects, source.sha256) for source in sources]
        except StoreError as error:
            raise NotReleasable(str(error)) from None
        return {
            "episodes": episodes,
            "out": str(folder),
            "columns": list(grant.columns),
            "transforms": {name: dict(parameters) for name, parameters in grant.transforms.items()},
            "secrets": {
                "names": agreement_key(self._secret, grant.agreement, "names").hex(),
                "marks": agreement_key(self._secret, grant.agreement, "marks").hex(),
                "times": agreement_key(self._secret, grant.agreement, "times").hex(),
                # Nobody can tell beforehand which frames will be looked at.
                "sheets": agreement_key(self._secret, grant.agreement, "sheets").hex(),
            },
            "words": self._words,
            "generalise": generalises(grant),
            "max_values": self._bounds.max_values,
            "limits": asdict(limits),
        }

    def _check(self, made: dict[str, Any], folder: Path) -> None:
        """Believe nothing of a process that read foreign files: what it says is there, is there, and nothing else."""
        said = {f"{table}/{file['name']}": file["size_bytes"] for table, file in files_of(made)}
        found = {
            path.relative_to(folder).as_posix(): path.lstat().st_size
            for path in folder.rglob("*")
            if path.is_symlink() or not path.is_dir()
        }
        if said != found or any((folder / name).is_symlink() for name in said):
            raise NotReleasable("the process that makes projections said other than it did")

    def _seal(self, agreement: str, made: dict[str, Any], folder: Path) -> None:
        assert self._vault is not None
        for table, file in files_of(made):
            path = folder / table / file["name"]
            sealed = path.with_suffix(".sealed")
            self._vault.seal(agreement, path, sealed)
            os.replace(sealed, path)

    def _note(self, grant: Grant, version: int, key: str) -> None:
        if self._witness is not None:
            fields: dict[str, str | int] = {
                "provider": grant.provider,
                "consumer": grant.consumer,
                "agreement": grant.agreement,
                "data_set": grant.data_set,
                "version": version,
                "channel": str(grant.channel),
                "made": key,
            }
            self._witness.note("projection", fields)

    def _remember(self, grant: Grant, version: int, key: str) -> None:
        if self._ledger is None:
            return
        with self._ledger.transaction() as db:
            db.execute(
                """
                INSERT OR REPLACE INTO projection
                  (key, agreement, provider, consumer, data_set, version, made_s, dropped_s)
                VALUES (?, ?, ?, ?, ?, ?, ?, NULL)
                """,
                (key, grant.agreement, grant.provider, grant.consumer, grant.data_set, version, int(self._now_s())),
            )

    def _load(self, target: Path, key: str, agreement: str) -> Projection | None:
        try:
            said = json.loads((target / CONTENTS).read_text("utf-8"))
        except FileNotFoundError:
            return None
        tables = {
            table: tuple(
                ProjectedFile(
                    target / table / file["name"],
                    file["name"],
                    file["sha256"],
                    file["size_bytes"],
                    file["rows"],
                    {name: (pair[0], pair[1]) for name, pair in file["stats"].items()},
                )
                for file in files
            )
            for table, files in said["tables"].items()
        }
        schemas = {
            table: pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))) for table, text in said["schemas"].items()
        }
        return Projection(key, agreement, said["version"], tables, schemas)


def open_projector(
    folder: Path,
    catalogue: Readers,
    objects: ObjectStore,
    *,
    vault: Sealing | None = None,
    ledger: Ledger | None = None,
    witness: Witness | None = None,
    reviews: Releasing | None = None,
    settle: Callable[[Grant, int], None] | None = None,
) -> Projector:
    """Return the projector of the room's folder.

    Beside `projections/` lie `projection.secret`, made at the first start, and `words.txt` if the venue wrote one: a
    name of a person, place or thing on each line, which must not stand in any text.
    """
    names = folder / "words.txt"
    words = [line.strip() for line in names.read_text("utf-8").splitlines()] if names.is_file() else []
    secret = load_secret(folder / SECRET)
    return Projector(
        folder / "projections",
        catalogue,
        objects,
        secret,
        vault=vault,
        ledger=ledger,
        witness=witness,
        reviews=reviews,
        settle=settle,
        words=filter(None, words),
    )


def key_of(grant: Grant, version: int, sources: list[Source]) -> str:
    """Return a projection's identity: what it is made of, and how."""
    return hashlib.sha256(
        canonical(
            {
                "code": CODE_VERSION,
                "agreement": grant.agreement,
                "data_set": grant.data_set,
                "version": version,
                "episodes": [source.sha256 for source in sources],
                "columns": sorted(grant.columns),
                "transforms": {name: dict(parameters) for name, parameters in grant.transforms.items()},
                **({} if generalises(grant) else {"generalise": False}),
            }
        )
    ).hexdigest()


def generalises(grant: Grant) -> bool:
    """Whether what is told of an episode depends on the others, see `anonymity`.

    Not for aggregates: there one episode must change its own row alone, or the noise would have to cover all those that
    its coming or going generalises. Rows are not shown by that channel.
    """
    return grant.channel is not Channel.AGGREGATE
