"""The one decision: whether something may leave. Every path that serves a byte, or an answer, comes by here."""

import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

from sharing.agreement import Agreement
from sharing.classes import ColumnClass, class_of, stricter
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import BadSignature, InvalidTerms, NotShared
from sharing.grant import Ask, Grant
from sharing.terms import MAX_COLUMNS, Terms
from sharing.witness import Witness

DESENSITISING = frozenset({"fill-faces"})
"""Transforms after which a column of persons may leave; without any of them in the terms it never does."""
DIGEST_DIGITS = 64
ABOUT_CHARACTERS = 256
KEPT_AGREEMENTS = 1_024


class Reason(StrEnum):
    """Why it was decided so: for the audit alone. Who asks is told nothing of it."""

    GRANTED = "granted"
    MISSING = "no such agreement"
    FORGED = "its signatures do not hold"
    FOREIGN = "another's agreement"
    REVOKED = "revoked"
    SUSPENDED = "a side is suspended"
    EARLY = "before the term"
    OVER = "after the term"
    EMBARGO = "under embargo"
    CHANNEL = "not by this channel"
    PURPOSE = "not for this purpose"
    VERSION = "not this version"
    COLUMN = "not these columns"
    STALE = "granted before the standing changed"


@dataclass(frozen=True)
class Standing:
    """What may change beside an agreement.

    Attributes:
        epoch: Grows with each change of the rest.
        revoked: By one of its sides, for good.
        suspended: One of its sides gets, and gives, nothing at present.
        newest_version: Number of the data set's newest version, 0 while it has none.
        classes: Columns that the provider classed more strictly than this room does.
    """

    epoch: int
    revoked: bool = False
    suspended: bool = False
    newest_version: int = 0
    classes: Mapping[str, ColumnClass] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Decision:
    """What was decided, and why. `grant` is None for a refusal."""

    reason: Reason
    grant: Grant | None = None


def permitted(terms: Terms, classes: Mapping[str, ColumnClass] = MappingProxyType({})) -> tuple[str, ...]:
    """Return those columns of terms that may leave: no trade secret, and of persons only what is desensitised."""
    shown = bool(DESENSITISING & set(terms.transforms))
    found = []
    for column in terms.columns:
        kind = stricter(class_of(column), classes.get(column, ColumnClass.PUBLIC))
        if kind < ColumnClass.PERSON or (kind == ColumnClass.PERSON and shown):
            found.append(column)
    return tuple(found)


def decide(agreement: Agreement | None, standing: Standing, ask: Ask, now_s: float) -> Decision:
    """Decide on an ask: a pure function.

    Args:
        agreement: The one that is asked for; None if there is none.
        now_s: Seconds since 1970, by the room's clock. The term begins with its first second and ends before its last
            bound; an embargo ends with its second.
    """
    if agreement is None:
        return Decision(Reason.MISSING)
    terms = agreement.terms
    version = ask.version
    if not version:
        version = min(standing.newest_version, terms.last_version or standing.newest_version)
    columns = permitted(terms, standing.classes)
    refusals = (
        (Reason.FOREIGN, terms.consumer != ask.consumer or agreement.digest != ask.agreement),
        (Reason.REVOKED, standing.revoked),
        (Reason.SUSPENDED, standing.suspended),
        (Reason.EARLY, now_s < terms.valid_from_s),
        (Reason.OVER, now_s >= terms.valid_until_s),
        (Reason.EMBARGO, now_s < terms.embargo_until_s),
        (Reason.CHANNEL, ask.channel not in terms.channels),
        (Reason.PURPOSE, ask.purpose not in terms.purposes),
        (Reason.VERSION, not terms.first_version <= version <= (terms.last_version or version)),
        (Reason.VERSION, version > standing.newest_version),
        (Reason.COLUMN, not columns or len(ask.columns) > MAX_COLUMNS or not set(ask.columns) <= set(columns)),
    )
    for reason, holds in refusals:
        if holds:
            return Decision(reason)
    wanted = set(ask.columns)
    grant = Grant(
        agreement=agreement.digest,
        provider=terms.provider,
        consumer=terms.consumer,
        data_set=terms.data_set,
        version=version,
        columns=tuple(column for column in columns if not wanted or column in wanted),
        transforms=terms.transforms,
        channel=ask.channel,
        purpose=ask.purpose,
        privacy_millionths=terms.privacy_millionths,
        until_s=terms.valid_until_s,
        epoch=standing.epoch,
    )
    return Decision(Reason.GRANTED, grant)


class Gate:
    """Decides by the room's file as it is now, and has each decision noted. Safe from any thread."""

    def __init__(
        self, database: Database, newest_version: Callable[[str], int], witness: Witness, clock: Clock | None = None
    ) -> None:
        """newest_version: Of a data set by its name, 0 while it has none; asked of the catalogue."""
        self._database = database
        self._newest_version = newest_version
        self._witness = witness
        self._clock = clock or Clock()
        # Agreements never change, so that checking their signatures once is enough.
        self._agreements: OrderedDict[str, Agreement] = OrderedDict()
        self._lock = threading.Lock()

    def authorize(self, ask: Ask) -> Grant:
        """Return the grant. Raises NotShared, always the same one, for whatever speaks against it."""
        decision, provider = self._decide(ask)
        self._note(ask, decision, provider)
        if decision.grant is None:
            raise NotShared
        return decision.grant

    def still(self, grant: Grant) -> None:
        """Return if a grant is still good now. Raises NotShared.

        Asks the file each time, one row by its key, so that what was revoked ends with the next range of bytes.
        """
        row = self._database.reader().execute(_STANDING, (grant.agreement,)).fetchone()
        if row is None or row["revoked_s"] is not None or row["suspended"]:
            reason = Reason.REVOKED
        elif row["epoch"] != grant.epoch:
            reason = Reason.STALE
        elif self._clock.now_s() >= grant.until_s:
            reason = Reason.OVER
        else:
            return
        ask = Ask(grant.consumer, grant.agreement, grant.channel, grant.purpose, grant.version, about="still")
        self._note(ask, Decision(reason), grant.provider)
        raise NotShared

    def _decide(self, ask: Ask) -> tuple[Decision, str]:
        """Return the decision, and the provider for the audit."""
        db = self._database.reader()
        # What is not the asker's is not even read, so that it takes as long as what is not there.
        row = db.execute(_STANDING, (ask.agreement,)).fetchone() if _is_digest(ask.agreement) else None
        if row is None:
            return Decision(Reason.MISSING), ""
        if row["consumer"] != ask.consumer:
            return Decision(Reason.FOREIGN), row["provider"]
        try:
            agreement = self._agreement(db, ask.agreement)
        except (InvalidTerms, BadSignature):
            return Decision(Reason.FORGED), row["provider"]
        return decide(agreement, self._standing(db, row), ask, self._clock.now_s()), row["provider"]

    def _standing(self, db: sqlite3.Connection, row: sqlite3.Row) -> Standing:
        classes = db.execute("SELECT name, class FROM column_class WHERE vendor = ?", (row["provider"],)).fetchall()
        return Standing(
            epoch=row["epoch"],
            revoked=row["revoked_s"] is not None,
            suspended=bool(row["suspended"]),
            newest_version=self._newest_version(row["data_set"]),
            classes={one["name"]: ColumnClass(one["class"]) for one in classes},
        )

    def _agreement(self, db: sqlite3.Connection, digest: str) -> Agreement:
        with self._lock:
            found = self._agreements.get(digest)
            if found is not None:
                self._agreements.move_to_end(digest)
                return found
        document = db.execute("SELECT document FROM agreement WHERE digest = ?", (digest,)).fetchone()[0]
        # Checks both signatures: a row that somebody wrote into the file is no agreement.
        found = Agreement.from_json(document)
        with self._lock:
            self._agreements[digest] = found
            while len(self._agreements) > KEPT_AGREEMENTS:
                self._agreements.popitem(last=False)
        return found

    def _note(self, ask: Ask, decision: Decision, provider: str) -> None:
        granted = decision.grant
        self._witness.note(
            "decision",
            {
                "provider": provider,
                "consumer": ask.consumer,
                "agreement": _plain(ask.agreement, DIGEST_DIGITS),
                "channel": str(ask.channel),
                "purpose": str(ask.purpose),
                "version": granted.version if granted else ask.version,
                "allowed": int(granted is not None),
                "reason": str(decision.reason),
                "about": _plain(ask.about, ABOUT_CHARACTERS),
            },
        )


_STANDING = """
SELECT provider, consumer, data_set, epoch, revoked_s,
  EXISTS (SELECT 1 FROM suspension s WHERE s.vendor IN (a.consumer, a.provider)) AS suspended
FROM agreement a WHERE digest = ?
"""


def _is_digest(text: str) -> bool:
    return len(text) == DIGEST_DIGITS and all(letter in "0123456789abcdef" for letter in text)


def _plain(text: str, most: int) -> str:
    """Return text that can be written down, whatever somebody sent."""
    return text[:most].encode("utf-8", "replace").decode()
