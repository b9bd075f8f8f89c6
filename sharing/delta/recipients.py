"""Credentials of Delta Sharing clients: a secret in a profile file, whose hash alone is kept here.

A credential is its consumer's, for one purpose, and opens a few agreements under names that the consumer chose. Whether
an agreement still grants anything is asked of the gate each time; a credential never opens what the gate does not.
"""

import hashlib
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sharing.act import Act, act
from sharing.clock import Clock
from sharing.database import Database
from sharing.delta.names import folded, is_share_name, schema_name, share_name
from sharing.errors import InvalidTerms, NotShared
from sharing.gate import Gate
from sharing.grant import Ask
from sharing.terms import Channel, Purpose
from sharing.witness import Witness

PREFIX = "pds_"
"""Begins every secret, so that one that lies about is known for what it is."""
LIVE_MAX, AGREEMENTS_MAX = 100, 64
LIFETIME_S, LIFETIME_MAX_S = 30 * 86_400, 366 * 86_400
OVERLAP_MAX_S = 86_400


@dataclass(frozen=True)
class Recipient:
    """A credential, without its secret. Times in seconds since 1970; revoked_s: 0 while it is not.

    opens: Agreement by share and schema, both in small letters.
    """

    id: str
    consumer: str
    purpose: Purpose
    issued_s: int
    expires_s: int
    revoked_s: int
    opens: Mapping[tuple[str, str], str]

    def is_good(self, now_s: float) -> bool:
        """Whether it opens anything at all."""
        return not self.revoked_s and now_s < self.expires_s


class Recipients:
    """The room's book of credentials. Safe from any thread."""

    def __init__(self, database: Database, gate: Gate, witness: Witness, clock: Clock) -> None:
        self._database, self._gate, self._witness, self._clock = database, gate, witness, clock

    def issue(
        self,
        consumer: str,
        purpose: Purpose,
        agreements: Sequence[str],
        *,
        shares: Mapping[str, str] | None = None,
        lifetime_s: int = LIFETIME_S,
    ) -> tuple[Recipient, str]:
        """Make a credential; return it and its secret, which is told this once.

        Args:
            agreements: Digests; each has to grant something for this purpose now.
            shares: What the consumer calls the share of an agreement; else as its provider.

        Raises:
            NotShared: An agreement is missing, another's, or grants nothing.
            InvalidTerms: A name, a number or a time out of its bounds, or two data sets of one name in one share.
        """
        if not 1 <= len(agreements) <= AGREEMENTS_MAX or len(set(agreements)) < len(agreements):
            raise InvalidTerms(f"agreements: must be 1 to {AGREEMENTS_MAX}, each once")
        if not 60 <= lifetime_s <= LIFETIME_MAX_S:
            raise InvalidTerms(f"lifetime_s: must be from 60 to {LIFETIME_MAX_S}")
        shares = shares or {}
        if not set(shares) <= set(agreements):
            raise InvalidTerms("shares: names an agreement that is not among the agreements")
        opens: dict[tuple[str, str], str] = {}
        until_s = 0
        for digest in agreements:
            grant = self._gate.authorize(Ask(consumer, digest, Channel.DELTA, purpose, about="credential"))
            share = shares.get(digest, share_name(grant.provider))
            if not is_share_name(share):
                raise InvalidTerms("shares: a name has letters, digits, dashes and underscores, 63 at most")
            key = folded(share), folded(schema_name(grant.data_set))
            if key in opens:
                raise InvalidTerms(f"shares: two agreements would be {key[0]}.{key[1]}; give one's share another name")
            opens[key] = digest
            until_s = max(until_s, grant.until_s)
        now_s = int(self._clock.now_s())
        # It would open nothing after the last agreement's end.
        made = Recipient(secrets.token_hex(8), consumer, purpose, now_s, min(now_s + lifetime_s, until_s), 0, opens)
        return made, self._enter(made, follows=None)

    def rotate(self, consumer: str, recipient: str, *, overlap_s: int = 0) -> tuple[Recipient, str]:
        """Give a credential another secret, and so another id; the old one ends after `overlap_s`.

        The new one opens the same and ends when the old one would have. Raises NotShared, InvalidTerms.
        """
        if not 0 <= overlap_s <= OVERLAP_MAX_S:
            raise InvalidTerms(f"overlap_s: must be from 0 to {OVERLAP_MAX_S}")
        old, now_s = self.get(consumer, recipient), int(self._clock.now_s())
        if not old.is_good(now_s):
            raise NotShared
        made = Recipient(secrets.token_hex(8), consumer, old.purpose, now_s, old.expires_s, 0, old.opens)
        secret = self._enter(made, follows=old.id, overlap_s=overlap_s)
        return made, secret

    def revoke(self, consumer: str, recipient: str) -> Recipient:
        """End a credential with the next range of bytes; twice is the same as once. Raises NotShared."""
        with act(self._database, self._witness) as one:
            changed = one.db.execute(
                "UPDATE recipient SET revoked_s = ? WHERE id = ? AND consumer = ? AND revoked_s IS NULL",
                (int(self._clock.now_s()), recipient, consumer),
            ).rowcount
            if changed:
                _note(one, "revoked", _get(one.db, consumer, recipient))
        return self.get(consumer, recipient)

    def get(self, consumer: str, recipient: str) -> Recipient:
        """Return a consumer's credential by its id. Raises NotShared."""
        return _get(self._database.reader(), consumer, recipient)

    def list(self, consumer: str) -> list[Recipient]:
        """Return a consumer's credentials that have not ended, newest first."""
        db, now_s = self._database.reader(), self._clock.now_s()
        text = f"SELECT * FROM recipient WHERE consumer = ? AND {_LIVE} ORDER BY issued_s DESC, id"
        return [_recipient(db, row) for row in db.execute(text, (consumer, now_s)).fetchall()]

    def of_secret(self, secret: str) -> Recipient | None:
        """Return whose a secret is, also if it has ended; None for nobody's."""
        db = self._database.reader()
        row = db.execute("SELECT * FROM recipient WHERE sha256 = ?", (_hashed(secret),)).fetchone()
        return None if row is None else _recipient(db, row)

    def standing(self, recipient: str) -> Recipient:
        """Return a credential by its id if it is good now. Raises NotShared. Asks the file each time."""
        db = self._database.reader()
        row = db.execute("SELECT * FROM recipient WHERE id = ?", (recipient,)).fetchone()
        found = None if row is None else _recipient(db, row)
        if found is None or not found.is_good(self._clock.now_s()):
            raise NotShared
        return found

    def still(self, recipient: str) -> None:
        """Return if a credential is good now. Raises NotShared. One row by its key, for each range of bytes."""
        text = f"SELECT 1 FROM recipient WHERE id = ? AND {_LIVE}"
        if self._database.reader().execute(text, (recipient, self._clock.now_s())).fetchone() is None:
            raise NotShared

    def _enter(self, made: Recipient, *, follows: str | None, overlap_s: int = 0) -> str:
        secret = PREFIX + secrets.token_urlsafe(32)
        values = (made.id, _hashed(secret), made.consumer, str(made.purpose), made.issued_s, made.expires_s, follows)
        with act(self._database, self._witness) as one:
            db = one.db
            text = f"SELECT count(*) FROM recipient WHERE consumer = ? AND {_LIVE}"
            if db.execute(text, (made.consumer, made.issued_s)).fetchone()[0] >= LIVE_MAX:
                raise InvalidTerms(f"agreements: a vendor has at most {LIVE_MAX} credentials; revoke one first")
            db.execute(
                "INSERT INTO recipient (id, sha256, consumer, purpose, issued_s, expires_s, follows) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            db.executemany(
                "INSERT INTO recipient_schema (recipient, share, schema, agreement) VALUES (?, ?, ?, ?)",
                [(made.id, share, schema, agreement) for (share, schema), agreement in made.opens.items()],
            )
            if follows is not None:
                ending = (made.issued_s + overlap_s, follows)
                db.execute("UPDATE recipient SET expires_s = min(expires_s, ?) WHERE id = ?", ending)
            _note(one, "issued", made)
        return secret


def _get(db: sqlite3.Connection, consumer: str, recipient: str) -> Recipient:
    """Return a consumer's credential. Raises NotShared."""
    row = db.execute("SELECT * FROM recipient WHERE id = ? AND consumer = ?", (recipient, consumer)).fetchone()
    if row is None:
        raise NotShared
    return _recipient(db, row)


def _note(one: Act, what: str, of: Recipient) -> None:
    fields: dict[str, str | int] = {
        "what": what,
        "consumer": of.consumer,
        "recipient": of.id,
        "purpose": str(of.purpose),
        "expires_s": of.expires_s,
        "agreements": ",".join(sorted(of.opens.values())),
    }
    one.note("credential", fields)


_LIVE = "revoked_s IS NULL AND expires_s > ?"


def profile(address: str, secret: str, expires_s: int) -> dict[str, Any]:
    """Return what a profile file of Delta Sharing holds (PROTOCOL.md, "Profile File Format").

    address: The server's root, such as `http://127.0.0.1:7490`.
    """
    return {
        "shareCredentialsVersion": 1,
        "endpoint": f"{address}/delta-sharing",
        "bearerToken": secret,
        "expirationTime": datetime.fromtimestamp(expires_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.0Z"),
    }


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _recipient(db: sqlite3.Connection, row: sqlite3.Row) -> Recipient:
    text = "SELECT share, schema, agreement FROM recipient_schema WHERE recipient = ? ORDER BY share, schema"
    opens = {(one["share"], one["schema"]): one["agreement"] for one in db.execute(text, (row["id"],))}
    purpose, revoked_s = Purpose(row["purpose"]), row["revoked_s"] or 0
    return Recipient(row["id"], row["consumer"], purpose, row["issued_s"], row["expires_s"], revoked_s, opens)
