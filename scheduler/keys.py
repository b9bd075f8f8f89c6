"""API keys: secrets that are known by their hash alone.

A secret is "pal_" + the key's id + "_" + 256 random bits. The id finds the row, so that nothing has to be compared with
every key; the prefix makes a secret that leaked recognisable, also to scanners of repositories.

Kept is HMAC-SHA256 of the secret, with the id in it, under a key derived from the venue's own. A slow hash (scrypt,
Argon2) makes guessing dear where people choose what is guessed; 256 random bits cannot be guessed at any price, and a
slow hash would let anybody spend this process's time by sending wrong secrets. Keyed and bound to the id, so that a row
copied into another venue's database, or under another key's id, opens nothing.
"""

import hashlib
import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass

from palaestra.errors import PalaestraError
from scheduler import names
from scheduler.health import VENUE_VENDOR
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.sql import ERRORS, Connection, Row

log = logging.getLogger(__name__)
_SECRET = re.compile(r"pal_([0-9a-z]{26})_([A-Za-z0-9_-]{43})")


@dataclass(frozen=True)
class _Key:
    """A row as it is needed at every call."""

    digest: bytes
    former_digest: bytes
    former_expire_ns: int
    revoked: bool
    identity: Identity


def new_secret(key_id: str) -> str:
    """Return a new secret of the key."""
    return names.api_key_prefix(key_id) + secrets.token_urlsafe(32)


def digest(venue_secret: bytes, secret: str) -> bytes:
    """Return what is kept of a secret."""
    key = hmac.digest(venue_secret, b"api keys", hashlib.sha256)
    return hmac.digest(key, secret.encode(), hashlib.sha256)


class Keys:
    """The venue's keys in memory, as of the last `load` and `look`. For one thread."""

    def __init__(
        self,
        venue: str,
        vendors: Collection[str],
        venue_secret: bytes,
        db: Connection,
        now_ns: Callable[[], int],
    ) -> None:
        self._venue = venue
        self._vendors = frozenset(vendors)
        self._secret = venue_secret
        self._db = db
        self._now_ns = now_ns
        self._keys: dict[str, _Key] = {}
        self._used_ns: dict[str, int] = {}

    def load(self) -> None:
        """Take in what the database holds now."""
        rows = self._db.execute("SELECT * FROM api_key").fetchall()
        self._keys = {row["uid"]: self._key(row) for row in rows}

    def look(self, key_id: str) -> None:
        """Take in what the database holds of one key now, if it holds it: all of them may be very many."""
        row = self._db.execute("SELECT * FROM api_key WHERE uid = ?", (key_id,)).fetchone()
        if row is not None:
            self._keys[key_id] = self._key(row)
        else:
            self._keys.pop(key_id, None)

    def identify(self, secret: str) -> Identity | None:
        """Return whose secret it is, None if it is of no key.

        Raises KEY_REVOKED and KEY_EXPIRED, to nobody but who shows what was the secret once.
        """
        form = _SECRET.fullmatch(secret)
        key = self._keys.get(form[1]) if form else None
        if form is None or key is None:
            return None
        shown, now_ns, name = digest(self._secret, secret), self._now_ns(), key.identity.credential
        former = hmac.compare_digest(shown, key.former_digest)
        if not (hmac.compare_digest(shown, key.digest) or former):
            return None
        if key.revoked:
            raise PalaestraError("KEY_REVOKED", f"{name} was revoked")
        if former and now_ns >= key.former_expire_ns:
            raise PalaestraError("KEY_REVOKED", f"{name} was rotated; this is its former secret")
        if key.identity.expire_ns is not None and now_ns >= key.identity.expire_ns:
            raise PalaestraError("KEY_EXPIRED", f"{name} has expired")
        if key.identity.vendor and key.identity.vendor not in self._vendors:
            raise PalaestraError("KEY_REVOKED", f"{name}: vendor {key.identity.vendor} has left the venue")
        self._used_ns[form[1]] = now_ns
        return key.identity

    def identify_as_of_now(self, secret: str) -> Identity | None:
        """Return whose secret it is by what the database holds now, which another scheduler writes; None of no key.

        For a standby: it is asked seldom, and told of no change. None too if the database does not answer. Raises
        KEY_REVOKED and KEY_EXPIRED.
        """
        form = _SECRET.fullmatch(secret)
        if form is None:
            return None
        try:
            self.look(form[1])
        except ERRORS as error:
            log.warning("a key cannot be looked up: %s", error)
            return None
        return self.identify(secret)

    def take_used_ns(self) -> dict[str, int]:
        """Return when each key was last used since this was asked before."""
        used_ns, self._used_ns = self._used_ns, {}
        return used_ns

    def _key(self, row: Row) -> _Key:
        return _Key(
            row["digest"],
            row["former_digest"],
            row["former_expire_ns"],
            row["revoke_ns"] is not None,
            Identity(
                Role(row["role"]),
                "" if row["vendor"] == VENUE_VENDOR else row["vendor"],
                names.api_key(self._venue, row["vendor"], row["uid"]),
                frozenset(json.loads(row["methods"])),
                frozenset(json.loads(row["projects"])),
                row["expire_ns"],
            ),
        )


class KeysElsewhere:
    """The keys of a venue that another scheduler leads, for a standby; see `Keys`."""

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    def identify(self, secret: str) -> Identity | None:
        """Return whose secret it is, None if it is of no key. Raises KEY_REVOKED and KEY_EXPIRED."""
        return self._keys.identify_as_of_now(secret)
