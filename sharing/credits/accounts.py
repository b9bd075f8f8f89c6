"""Who earns and who pays: postings are made here, each noted in the audit before it stands in the book.

A provider earns when something of a version was first made for a consumer under an agreement: not by signing alone, so
that an agreement which is revoked before anything was given earns nothing. A recording earns once, ever, whoever
offers it. A consumer pays, where the terms name a price, before it has the first byte of a version.
"""

import io
import logging
import os
import re
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from palaestra.credits import GROUND, HOUR_MS, MILLION, Facts, scarcity_ppm, weigh
from palaestra.errors import PalaestraError
from palaestra.signing import digest
from sharing.clock import Clock
from sharing.credits.ledger import EARNED, GRANTED, PAID, Earning, Ledger, document_of
from sharing.credits.measure import Measured, measure
from sharing.credits.sketch import BIN_MS, novel_bins
from sharing.database import Database, NothingRecorded, looking
from sharing.errors import BudgetExhausted, InvalidTerms, NotNoted, NotShared, SharingError
from sharing.grant import Grant
from sharing.projection.sources import Readers, Source, sources_of
from sharing.witness import Witness
from store.objects import ObjectStore

MAX_EPISODES = 10_000
"""Recordings of one posting; with those beyond it something is earned by another agreement or version."""
IMPORTED_PPM = 100_000
"""What was not recorded here counts a tenth: nobody here has seen that it is a robot's, or whose."""
GRANT_MAX = 10**12
IMPORTED = "imported"
_SIZE_MAX = 1 << 30
_VENDOR = re.compile(r"vendors/[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
Measuring = Callable[[Sequence[Source], ObjectStore], Iterable[Measured]]
log = logging.getLogger(__name__)


class Sealing(Protocol):
    """Encrypts what lies on the disk; `sharing.vault.vault.Vault`."""

    def seal(self, owner: str, source: Path, target: Path) -> None:
        """Encrypt a file for its owner."""
        ...

    def read(self, owner: str, path: Path, begin: int, size_bytes: int) -> bytes:
        """Return a range of what was sealed."""
        ...


class Accounts:
    """The accounts of all vendors. Safe from any thread."""

    def __init__(
        self,
        database: Database,
        catalogue: Readers,
        objects: ObjectStore,
        vault: Sealing,
        witness: Witness,
        clock: Clock,
        folder: Path,
        key: Ed25519PrivateKey,
        *,
        measuring: Measuring = measure,
    ) -> None:
        """Take the folder, made if it has to be.

        Args:
            vault: Encrypts sketches of what was earned with, with their vendor's key.
            folder: Of the sketches.
            key: Signs statements.
            measuring: What finds out about recordings; in the place of a process of its own, for tests.
        """
        self.ledger = Ledger(database)
        self._database, self._catalogue, self._objects = database, catalogue, objects
        self._vault, self._witness, self._clock, self._folder = vault, witness, clock, folder
        self.key = key
        self._measure = measuring
        self._posting, self._earning = threading.Lock(), threading.Lock()
        self._prices: dict[str, int] = {}
        self._failed: set[tuple[str, int]] = set()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def settle(self, grant: Grant, version: int) -> None:
        """Have a consumer pay for a version if its agreement names a price; once, however often it is asked.

        Raises BudgetExhausted: it has not got that much.
        """
        price = self._price(grant.agreement)
        if not price or self.ledger.has(PAID, grant.agreement, version):
            return
        with self._posting:
            if self.ledger.has(PAID, grant.agreement, version):
                return
            if self.ledger.balance(grant.consumer) < price:
                raise BudgetExhausted(f"credits: version {version} costs {price / MILLION:g}, and there is less")
            parties = {"provider": grant.provider, "consumer": grant.consumer}
            self._post(PAID, grant.agreement, version, grant.consumer, grant.provider, price, parties)

    def grant(self, vendor: str, amount_microcredits: int, request: str) -> None:
        """Issue credits to a vendor, such as to begin with. For the house; one request again changes nothing.

        Raises InvalidTerms: a vendor, an amount or a request that breaks its rule.
        """
        if not _VENDOR.fullmatch(vendor):
            raise InvalidTerms("vendor: must be vendors/{vendor}, of small letters, digits and dashes")
        if not 0 < amount_microcredits <= GRANT_MAX:
            raise InvalidTerms(f"amount_microcredits: must be a whole number from 1 to {GRANT_MAX}")
        if not 8 <= len(request) <= 64 or not request.isascii() or not request.replace("-", "").isalnum():
            raise InvalidTerms("request: must be 8 to 64 letters, digits and dashes")
        with self._posting:
            if not self.ledger.has(GRANTED, request, 0):
                self._post(GRANTED, request, 0, GROUND, vendor, amount_microcredits, {"provider": vendor})

    def earn(self) -> int:
        """Post what providers have earned since; return how many postings that were.

        May take long: whatever is new is measured. Of what cannot be measured nothing is posted until the next start.

        Raises NotNoted, OSError, sqlite3.OperationalError: nothing can be written at present.
        """
        count = 0
        with self._earning:
            for row in self.ledger.due():
                one = (row["agreement"], row["version"])
                if one in self._failed:
                    continue
                try:
                    self._earned(row)
                    count += 1
                except (NotNoted, OSError, PalaestraError, sqlite3.OperationalError):
                    # A full disk, for one, or a catalogue that does not answer: tried again by the next call.
                    raise
                except Exception as error:
                    # What measures has read what a vendor wrote. Whatever came of it, the others earn.
                    self._failed.add(one)
                    log.warning("agreement %s, version %d: nothing can be earned with it: %r", *one, error)
        return count

    def _earned(self, row: sqlite3.Row) -> None:
        vendor = row["provider"]
        try:
            _, sources = sources_of(self._catalogue, row["data_set"], row["version"])
        except NotShared:
            sources = []
        fresh = [source for source in sources if not self.ledger.known(source.sha256)][:MAX_EPISODES]
        scores = self._scores(fresh)
        items: list[dict[str, Any]] = []
        earnings: list[Earning] = []
        added: dict[str, int] = {}
        paths = _Paths(self)
        for one in self._measure(fresh, self._objects):
            item, earning = self._weighed(one, vendor, scores.get(one.sha256), paths, added)
            items.append(item)
            earnings.append(earning)
            if earning.novel_ms and one.sketch is not None:
                paths.add(vendor, one.sha256, one.sketch.path)
        total = sum(item["amount_microcredits"] for item in items)
        with self._posting:
            if not self.ledger.has(EARNED, row["agreement"], row["version"]):
                parties = {"provider": vendor}
                self._post(EARNED, row["agreement"], row["version"], GROUND, vendor, total, parties, items, earnings)

    def _weighed(
        self, one: Measured, vendor: str, score_ppm: int | None, paths: "_Paths", added: dict[str, int]
    ) -> tuple[dict[str, Any], Earning]:
        """Return a recording with its factors, and what remains of it."""
        kind = IMPORTED if one.imported else f"{one.model}|{one.scenario}"
        joints = 0 if one.sketch is None else one.sketch.path.shape[1]
        novel_ms = 0
        if one.sketch is not None:
            novel_ms = min(one.duration_ms, BIN_MS * novel_bins(one.sketch, paths.of(joints)))
        others_ms, own_ms = self.ledger.pool_ms(kind, vendor)
        facts = Facts(
            duration_ms=one.duration_ms,
            novel_ms=novel_ms,
            # What the vendor wrote itself may be less, and is never believed to be more.
            quality_ppm=min(one.quality_ppm, MILLION if score_ppm is None else score_ppm),
            provenance_ppm=IMPORTED_PPM if one.imported else MILLION,
            # Others' to the whole hour: no single recording of a competitor shows in it.
            pool_ms=others_ms // HOUR_MS * HOUR_MS + own_ms + added.get(kind, 0),
        )
        added[kind] = added.get(kind, 0) + novel_ms
        item = {
            "sha256": one.sha256,
            "class": kind,
            "duration_ms": facts.duration_ms,
            "novel_ms": facts.novel_ms,
            "quality_ppm": facts.quality_ppm,
            "provenance_ppm": facts.provenance_ppm,
            "pool_ms": facts.pool_ms,
            "scarcity_ppm": scarcity_ppm(facts),
            "amount_microcredits": weigh(facts),
        }
        return item, Earning(one.sha256, kind, joints, novel_ms)

    def _scores(self, sources: Sequence[Source]) -> dict[str, int]:
        """Return the scores that stand in the catalogue, by hash, in millionths."""
        found = {}
        try:
            with looking():
                db = self._catalogue.reader()
                for source in sources:
                    row = db.execute("SELECT quality FROM episode WHERE uid = ?", (source.uid,)).fetchone()
                    if row is not None and row["quality"] is not None:
                        found[source.sha256] = min(MILLION, max(0, int(row["quality"] * MILLION)))
        except NothingRecorded:
            return {}
        return found

    def _post(
        self,
        kind: str,
        agreement: str,
        version: int,
        debit: str,
        credit: str,
        amount: int,
        parties: dict[str, str],
        items: Sequence[dict[str, Any]] = (),
        earnings: Sequence[Earning] = (),
    ) -> None:
        """Note a posting and write it down. With `_posting` held."""
        document = document_of(kind, agreement, version, debit, credit, amount, int(self._clock.now_s()), items)
        # First the audit: a leaf without its posting is an intention that came to nothing; the reverse would be a
        # posting that nobody can prove.
        leaf = self._witness.note(
            "credit",
            {
                **parties,
                "what": kind,
                "agreement": agreement,
                "version": version,
                "amount_microcredits": amount,
                "posting": digest(document),
            },
        )
        self.ledger.add(document, items, leaf, earnings)

    def _price(self, agreement: str) -> int:
        found = self._prices.get(agreement)
        if found is None:
            text = "SELECT json_extract(document, '$.terms.price_microcredits') FROM agreement WHERE digest = ?"
            row = self._database.reader().execute(text, (agreement,)).fetchone()
            # Terms never change.
            found = self._prices[agreement] = int(row[0] or 0) if row is not None else 0
        return found

    def keep(self, vendor: str, sha256: str, path: np.ndarray) -> None:
        """Keep the path of a recording, encrypted."""
        with tempfile.TemporaryDirectory(dir=self._folder) as folder:
            plain = Path(folder) / "plain"
            with open(os.open(plain, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                np.save(file, path, allow_pickle=False)
            self._vault.seal(vendor, plain, self._folder / f"{sha256}.sealed")

    def kept(self, vendor: str, sha256: str) -> np.ndarray | None:
        """Return the path of a recording; None if its vendor's key is destroyed."""
        try:
            data = self._vault.read(vendor, self._folder / f"{sha256}.sealed", 0, _SIZE_MAX)
        except (SharingError, OSError) as error:
            log.warning("the sketch of %s cannot be read: %s", sha256, error)
            return None
        found: np.ndarray = np.load(io.BytesIO(data), allow_pickle=False)
        return found


class _Paths:
    """The pool while a posting is made: what was earned with, and what is about to be."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._known: dict[int, list[np.ndarray]] = {}

    def of(self, joints: int) -> Sequence[np.ndarray]:
        """Return the paths with so many joints."""
        if joints not in self._known:
            ledger = self._accounts.ledger
            found = (self._accounts.kept(vendor, sha256) for vendor, sha256 in ledger.pool(joints))
            self._known[joints] = [path for path in found if path is not None]
        return self._known[joints]

    def add(self, vendor: str, sha256: str, path: np.ndarray) -> None:
        """Add one, on the disk before anything is posted."""
        self._accounts.keep(vendor, sha256, path)
        self._known[path.shape[1]].append(path)
