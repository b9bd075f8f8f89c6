"""What is agreed and how it stands: agreements, vendors' public keys, suspensions, columns classed more strictly.

Whatever makes somebody have less from now on grows the epoch of every agreement that it touches, in its own
transaction: what was granted before is then no longer served (`sharing.gate.Gate.still`).
"""

import logging
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from sharing import signing
from sharing.act import Act, act
from sharing.agreement import Agreement
from sharing.classes import ColumnClass, class_of, stricter
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import BadSignature, InvalidTerms, NotShared
from sharing.terms import canonical
from sharing.witness import Witness

log = logging.getLogger(__name__)

KEYS_MAX = 16
CLASSES_MAX = 1_000
REASON_CHARACTERS = 500


@dataclass(frozen=True)
class Entry:
    """An agreement, and how it stands. Times in seconds since 1970; 0: not."""

    agreement: Agreement
    agreed_s: int
    negotiation: str
    epoch: int
    revoked_s: int
    revoked_by: str
    reason: str


@dataclass(frozen=True)
class Key:
    """A public key of a vendor. retired_s: 0 while it is good."""

    public_key: str
    registered_s: int
    retired_s: int


def proof_message(vendor: str, public_key: str) -> bytes:
    """Return what a key signs to be registered, under `signing.KEY`: nobody registers a key that is another's."""
    return canonical({"public_key": public_key, "vendor": vendor})


class Register:
    """The room's book of what holds. Safe from any thread."""

    def __init__(self, database: Database, witness: Witness, clock: Clock) -> None:
        self._database = database
        self._witness = witness
        self._clock = clock

    # Agreements.

    def get(self, digest: str, party: str) -> Entry:
        """Return an agreement to one of its sides. Raises NotShared."""
        row = self._database.reader().execute("SELECT * FROM agreement WHERE digest = ?", (digest,)).fetchone()
        if row is None or party not in (row["provider"], row["consumer"]):
            raise NotShared
        return _entry(row)

    def list(self, party: str, *, after: str = "", size: int = 50) -> Sequence[Entry]:
        """Return up to `size` + 1 agreements of one of their sides by digest, after a digest."""
        text = "SELECT * FROM agreement WHERE (provider = ?1 OR consumer = ?1) AND digest > ?2 ORDER BY digest LIMIT ?3"
        rows = self._database.reader().execute(text, (party, after, size + 1))
        return [_entry(row) for row in rows]

    def add(self, agreement: Agreement, negotiation: str = "") -> Entry:
        """Enter an agreement that was signed elsewhere than by a negotiation here. Raises as `enter`."""
        with act(self._database, self._witness) as one:
            enter(one, agreement, negotiation, int(self._clock.now_s()))
        return self.get(agreement.digest, agreement.terms.provider)

    def revoke(self, digest: str, party: str, reason: str) -> Entry:
        """End an agreement for good, by one of its sides; done twice it is the same. Raises NotShared, InvalidTerms.

        When it returns, no further byte is granted and what is on its way ends with its next range.
        """
        if len(reason) > REASON_CHARACTERS or not reason.isprintable():
            raise InvalidTerms(f"reason: must be printable text of at most {REASON_CHARACTERS} characters")
        found = self.get(digest, party)
        if found.revoked_s:
            return found
        terms = found.agreement.terms
        with act(self._database, self._witness) as one:
            done = one.db.execute(
                "UPDATE agreement SET revoked_s = ?, revoked_by = ?, reason = ?, epoch = epoch + 1 "
                "WHERE digest = ? AND revoked_s IS NULL",
                (int(self._clock.now_s()), party, reason, digest),
            ).rowcount
            if done:
                one.note(
                    "agreement",
                    {
                        "what": "revoked",
                        "agreement": digest,
                        "provider": terms.provider,
                        "consumer": terms.consumer,
                        "by": party,
                        "reason": reason,
                    },
                )
        return self.get(digest, party)

    def ended(self, *, size: int = 100) -> Sequence[Entry]:
        """Return agreements that are over or revoked, and whose copies have not been collected."""
        text = """
            SELECT * FROM agreement WHERE collected_s IS NULL
            AND (revoked_s IS NOT NULL OR json_extract(document, '$.terms.valid_until_s') <= ?) LIMIT ?
        """
        found = []
        for row in self._database.reader().execute(text, (self._clock.now_s(), size)).fetchall():
            try:
                found.append(_entry(row))
            except Exception:
                # Somebody wrote into the file: the others' copies go all the same.
                log.exception("agreement %s cannot be read, so what was made for it stays", row["digest"])
        return found

    def collected(self, agreement: Agreement) -> None:
        """Remember that nothing is left of what was made for an agreement."""
        digest, terms = agreement.digest, agreement.terms
        with act(self._database, self._witness) as one:
            one.db.execute("UPDATE agreement SET collected_s = ? WHERE digest = ?", (int(self._clock.now_s()), digest))
            sides = {"provider": terms.provider, "consumer": terms.consumer}
            one.note("agreement", {"what": "collected", "agreement": digest, **sides})

    # Keys.

    def keys(self, vendor: str) -> Sequence[Key]:
        """Return a vendor's keys, oldest first."""
        text = "SELECT * FROM vendor_key WHERE vendor = ? ORDER BY registered_s, public_key"
        rows = self._database.reader().execute(text, (vendor,))
        return [Key(row["public_key"], row["registered_s"], row["retired_s"] or 0) for row in rows]

    def add_key(self, vendor: str, public_key: str, proof: str) -> Key:
        """Register a vendor's key; twice is the same as once. Raises BadSignature, InvalidTerms.

        proof: The key's own signature over `proof_message`, so that nobody registers another's.
        """
        signing.verify(public_key, signing.KEY, proof_message(vendor, public_key), proof)
        now_s = int(self._clock.now_s())
        with act(self._database, self._witness) as one:
            db = one.db
            row = db.execute("SELECT * FROM vendor_key WHERE public_key = ?", (public_key,)).fetchone()
            if row is not None:
                if row["vendor"] != vendor or row["retired_s"] is not None:
                    # Whoever can prove it holds the key; it is told no more than that it needs another.
                    raise BadSignature("public_key: cannot be registered; make a new one")
                return Key(public_key, row["registered_s"], 0)
            count = db.execute("SELECT count(*) FROM vendor_key WHERE vendor = ?", (vendor,)).fetchone()[0]
            if count >= KEYS_MAX:
                raise InvalidTerms(f"public_key: a vendor has at most {KEYS_MAX}, retired ones included")
            db.execute("INSERT INTO vendor_key VALUES (?, ?, ?, NULL)", (public_key, vendor, now_s))
            one.note("key", {"what": "registered", "provider": vendor, "public_key": public_key})
        return Key(public_key, now_s, 0)

    def retire_key(self, vendor: str, public_key: str) -> Key:
        """Let a key sign nothing new. What it has signed stands. Raises NotShared."""
        with act(self._database, self._witness) as one:
            changed = one.db.execute(
                "UPDATE vendor_key SET retired_s = coalesce(retired_s, ?) WHERE public_key = ? AND vendor = ?",
                (int(self._clock.now_s()), public_key, vendor),
            ).rowcount
            if not changed:
                raise NotShared
            one.note("key", {"what": "retired", "provider": vendor, "public_key": public_key})
        return next(key for key in self.keys(vendor) if key.public_key == public_key)

    # Standing.

    def suspend(self, vendor: str, reason: str, *, by: str) -> None:
        """Have a vendor give and get nothing until `resume`. For the house."""
        if len(reason) > REASON_CHARACTERS or not reason.isprintable():
            raise InvalidTerms(f"reason: must be printable text of at most {REASON_CHARACTERS} characters")
        with act(self._database, self._witness) as one:
            row = (vendor, int(self._clock.now_s()), by, reason)
            one.db.execute("INSERT INTO suspension VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING", row)
            _grow(one.db, vendor)
            one.note("agreement", {"what": "suspended", "consumer": vendor, "by": by, "reason": reason})

    def resume(self, vendor: str, *, by: str) -> None:
        """End a suspension; what was granted before it is not good again. Raises NotShared if there is none."""
        with act(self._database, self._witness) as one:
            if not one.db.execute("DELETE FROM suspension WHERE vendor = ?", (vendor,)).rowcount:
                raise NotShared
            _grow(one.db, vendor)
            one.note("agreement", {"what": "resumed", "consumer": vendor, "by": by})

    def classes(self, vendor: str) -> dict[str, ColumnClass]:
        """Return the columns that a vendor classed itself."""
        rows = self._database.reader().execute("SELECT name, class FROM column_class WHERE vendor = ?", (vendor,))
        return {row["name"]: ColumnClass(row["class"]) for row in rows}

    def classify(self, vendor: str, column: str, kind: ColumnClass) -> None:
        """Class a column of one's own more strictly. Raises InvalidTerms for a class that is looser than it was."""
        with act(self._database, self._witness) as one:
            db = one.db
            text = "SELECT class FROM column_class WHERE vendor = ? AND name = ?"
            before = db.execute(text, (vendor, column)).fetchone()
            least = class_of(column) if before is None else stricter(class_of(column), ColumnClass(before["class"]))
            if kind < least:
                raise InvalidTerms(f"class: {column[:128]} is {least}, and can be classed more strictly alone")
            count = db.execute("SELECT count(*) FROM column_class WHERE vendor = ?", (vendor,)).fetchone()[0]
            if before is None and count >= CLASSES_MAX:
                raise InvalidTerms(f"class: a vendor classes at most {CLASSES_MAX} columns")
            row = (vendor, column, str(kind), int(self._clock.now_s()))
            db.execute("INSERT OR REPLACE INTO column_class VALUES (?, ?, ?, ?)", row)
            db.execute("UPDATE agreement SET epoch = epoch + 1 WHERE provider = ?", (vendor,))
            one.note("class", {"provider": vendor, "column": column, "class": str(kind)})


def enter(one: Act, agreement: Agreement, negotiation: str, now_s: int) -> None:
    """Write an agreement down, and have it noted, in somebody's transaction.

    Raises:
        BadSignature: A key is not registered for its side, or is retired.
        InvalidTerms: There is an agreement on exactly these terms: also a revoked one, which nothing brings back.
    """
    db, terms = one.db, agreement.terms
    for side, vendor, signature in (
        ("provider", terms.provider, agreement.provider),
        ("consumer", terms.consumer, agreement.consumer),
    ):
        check_key(db, side, vendor, signature.public_key)
    if db.execute("SELECT 1 FROM agreement WHERE digest = ?", (agreement.digest,)).fetchone():
        raise InvalidTerms("terms: exactly these were agreed before; say something else in the note")
    db.execute(
        "INSERT INTO agreement (digest, provider, consumer, data_set, document, agreed_s, negotiation) "
        "VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            *(agreement.digest, terms.provider, terms.consumer, terms.data_set),
            *(agreement.document().decode(), now_s, negotiation),
        ),
    )
    one.note(
        "agreement",
        {
            "what": "agreed",
            "agreement": agreement.digest,
            "provider": terms.provider,
            "consumer": terms.consumer,
            "data_set": terms.data_set,
            "negotiation": negotiation,
        },
    )


def check_key(db: sqlite3.Connection, side: str, vendor: str, public_key: str) -> None:
    """Raise BadSignature unless a key is registered for a vendor and good."""
    text = "SELECT retired_s FROM vendor_key WHERE public_key = ? AND vendor = ?"
    row = db.execute(text, (public_key, vendor)).fetchone()
    if row is None:
        raise BadSignature(f"{side}: signs with a key that {vendor} has not registered")
    if row["retired_s"] is not None:
        raise BadSignature(f"{side}: signs with a key that {vendor} has retired")


def _grow(db: sqlite3.Connection, vendor: str) -> None:
    db.execute("UPDATE agreement SET epoch = epoch + 1 WHERE provider = ?1 OR consumer = ?1", (vendor,))


def _entry(row: sqlite3.Row) -> Entry:
    return Entry(
        Agreement.from_json(row["document"]),
        row["agreed_s"],
        row["negotiation"],
        row["epoch"],
        row["revoked_s"] or 0,
        row["revoked_by"] or "",
        row["reason"] or "",
    )
