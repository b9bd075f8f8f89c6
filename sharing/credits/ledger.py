"""The book of credits in the room's file: postings that only come, balances that follow from them."""

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharing.database import Database
from sharing.errors import BudgetExhausted
from sharing.terms import canonical

EARNED, PAID, GRANTED = "earned", "paid", "granted"


@dataclass(frozen=True)
class Posting:
    """A posting, as it was told to the audit.

    Attributes:
        document: What the audit has the hash of: plain values.
        items: An earned posting's recordings, each with its factors.
        leaf: Where in the audit.
    """

    id: int
    document: Mapping[str, Any]
    items: Sequence[Mapping[str, Any]]
    leaf: int

    def amount_for(self, account: str) -> int:
        """Return what an account has more by it, in microcredits."""
        amount = int(self.document["amount_microcredits"])
        return amount if self.document["credit"] == account else -amount


@dataclass(frozen=True)
class Earning:
    """A recording that something is earned with: what remains of it, so that nothing is with it again."""

    sha256: str
    kind: str
    joints: int
    novel_ms: int


def document_of(
    kind: str, agreement: str, version: int, debit: str, credit: str, amount: int, at_s: int, items: Sequence[Any]
) -> dict[str, Any]:
    """Return a posting as plain values."""
    return {
        "v": 1,
        "kind": kind,
        "agreement": agreement,
        "version": version,
        "debit": debit,
        "credit": credit,
        "amount_microcredits": amount,
        "items_sha256": hashlib.sha256(canonical(list(items))).hexdigest(),
        "posted_s": at_s,
    }


class Ledger:
    """Reads and appends. Safe from any thread."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def has(self, kind: str, agreement: str, version: int) -> bool:
        """Return whether there is such a posting."""
        text = "SELECT 1 FROM credit_posting WHERE kind = ? AND agreement = ? AND version = ?"
        return self._database.reader().execute(text, (kind, agreement, version)).fetchone() is not None

    def add(
        self, document: Mapping[str, Any], items: Sequence[Any], leaf: int, earnings: Sequence[Earning] = ()
    ) -> None:
        """Write a posting down, and what was earned with, all or nothing; one that is there already stays as it is.

        Raises BudgetExhausted: the account that gives has not got it.
        """
        fields = ("kind", "agreement", "version", "debit", "credit", "amount_microcredits")
        values = (*(document[name] for name in fields), canonical(document).decode(), canonical(list(items)).decode())
        try:
            with self._database.transaction() as db:
                found = db.execute(
                    f"INSERT INTO credit_posting ({', '.join(fields)}, document, items, leaf, posted_s) "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
                    "ON CONFLICT (kind, agreement, version) DO NOTHING RETURNING id",
                    (*values, leaf, document["posted_s"]),
                ).fetchone()
                if found is None:
                    return
                db.executemany(
                    "INSERT INTO credit_recording VALUES (?, ?, ?, ?, ?, ?)",
                    [
                        (one.sha256, found[0], document["credit"], one.kind, one.joints, one.novel_ms)
                        for one in earnings
                    ],
                )
        except sqlite3.IntegrityError as error:
            if "overdrawn" in str(error):
                raise BudgetExhausted("credits: the balance does not cover the price") from None
            raise

    def balance(self, account: str) -> int:
        """Return what an account has, in microcredits; of the ground it is what it has issued, negative."""
        text = """
            SELECT (SELECT coalesce(sum(amount_microcredits), 0) FROM credit_posting WHERE credit = ?1)
              - (SELECT coalesce(sum(amount_microcredits), 0) FROM credit_posting WHERE debit = ?1)
        """
        return int(self._database.reader().execute(text, (account,)).fetchone()[0])

    def opening(self, account: str, after: int) -> int:
        """Return what an account had after a posting, by its number, and all before it."""
        text = "SELECT coalesce(sum(amount_microcredits), 0) FROM credit_line WHERE account = ? AND posting <= ?"
        return int(self._database.reader().execute(text, (account, after)).fetchone()[0])

    def postings(self, account: str, *, after: int = 0, size: int = 50) -> Sequence[Posting]:
        """Return up to `size` + 1 postings of an account after a number, oldest first."""
        text = "SELECT * FROM credit_posting WHERE (debit = ?1 OR credit = ?1) AND id > ?2 ORDER BY id LIMIT ?3"
        rows = self._database.reader().execute(text, (account, after, size + 1)).fetchall()
        return [Posting(row["id"], json.loads(row["document"]), json.loads(row["items"]), row["leaf"]) for row in rows]

    def known(self, sha256: str) -> bool:
        """Return whether a recording was earned with."""
        text = "SELECT 1 FROM credit_recording WHERE sha256 = ?"
        return self._database.reader().execute(text, (sha256,)).fetchone() is not None

    def pool(self, joints: int) -> Sequence[tuple[str, str]]:
        """Return (vendor, hash) of all recordings with so many joints that were earned with."""
        text = "SELECT vendor, sha256 FROM credit_recording WHERE joints = ? AND novel_ms > 0 ORDER BY rowid"
        return [(row[0], row[1]) for row in self._database.reader().execute(text, (joints,))]

    def pool_ms(self, kind: str, vendor: str) -> tuple[int, int]:
        """Return how much of a kind was earned with (by others, by this vendor) [ms]."""
        text = """
            SELECT coalesce(sum(CASE WHEN vendor <> ?2 THEN novel_ms END), 0),
              coalesce(sum(CASE WHEN vendor = ?2 THEN novel_ms END), 0) FROM credit_recording WHERE class = ?1
        """
        row = self._database.reader().execute(text, (kind, vendor)).fetchone()
        return int(row[0]), int(row[1])

    def due(self) -> Sequence[sqlite3.Row]:
        """Return versions that were made for a consumer, and paid for, and not yet earned with, the oldest first."""
        return self._database.reader().execute(_DUE, (EARNED, PAID)).fetchall()


_DUE = """
SELECT p.agreement, p.version, p.provider, p.data_set, min(p.made_s) AS made_s
FROM projection p JOIN agreement a ON a.digest = p.agreement
WHERE NOT EXISTS (SELECT 1 FROM credit_posting c WHERE c.kind = ? AND c.agreement = p.agreement
  AND c.version = p.version)
AND (coalesce(json_extract(a.document, '$.terms.price_microcredits'), 0) = 0
  OR EXISTS (SELECT 1 FROM credit_posting c WHERE c.kind = ? AND c.agreement = p.agreement AND c.version = p.version))
GROUP BY p.agreement, p.version ORDER BY made_s, p.agreement, p.version
"""
