"""API keys are made, get new secrets, and are taken back."""

import json
from collections.abc import Collection, Mapping

from palaestra.errors import PalaestraError
from palaestra.v1 import api_key_pb2
from scheduler import audit, events, keys, names, resources
from scheduler.identity import Identity
from scheduler.roles import VENDORS, Role, unknown_scope
from scheduler.sql import Connection, Row
from scheduler.writer import Command, Transaction

# Of one owner, besides those that have ended. More are a program that forgets what it makes.
KEYS_MAX = 1_000
# Of those that have ended, the latest of each owner stay to be told of; older ones go, some with each that is made.
ENDED_KEPT = 1_000
FORGET_MAX = 100


def check(spec: api_key_pb2.ApiKey, vendor: str, maker: Identity, projects: Collection[str], now_ns: int) -> Role:
    """Return the role of a key that `maker` may make.

    vendor: "" for a key of the house. projects: Those that the vendor has.
    Raises INVALID_FIELD for a role or scope that is none, SCOPE_DENIED for more than the maker has itself.
    """
    if maker.narrowed:
        raise PalaestraError("SCOPE_DENIED", f"{maker.credential} is narrower than its role and makes no keys")
    roles = {role.value: role for role in Role if role.acts_for_vendor == bool(vendor)}
    if spec.role not in roles:
        raise _invalid("api_key.role", f"is {spec.role!r}, must be {', '.join(sorted(roles))}")
    role = roles[spec.role]
    wrong = unknown_scope(spec.methods, role)
    if wrong is not None:
        raise _invalid("api_key.methods", f"{wrong!r} is no method that a key of role {role.value} could call")
    if spec.projects and role not in VENDORS:
        raise _invalid("api_key.projects", "are a vendor's; a key of the house has none")
    for project in spec.projects:
        if project not in projects:
            raise _invalid("api_key.projects", f"the vendor has no project {project!r}")
    expire_ns = spec.expire_time.ToNanoseconds() if spec.HasField("expire_time") else None
    if expire_ns is not None and expire_ns <= now_ns:
        raise _invalid("api_key.expire_time", "is over already")
    if _outlives(expire_ns, maker):
        raise _invalid("api_key.expire_time", "must not be later than that of the credential that makes it")
    return role


def create(
    uid: str, spec: api_key_pb2.ApiKey, role: Role, owner: str, maker: Identity, venue_secret: bytes
) -> Command[tuple[api_key_pb2.ApiKey, str, list[str]]]:
    """Return the command that makes a key, and tells its secret and the ids of ended ones that it removed.

    uid: its id, a new one. owner: its vendor, or the venue's own.
    Raises OVER_QUOTA.
    """
    secret = keys.new_secret(uid)

    def command(tx: Transaction) -> tuple[api_key_pb2.ApiKey, str, list[str]]:
        held = tx.db.execute(
            "SELECT count(*) FROM api_key WHERE vendor = ? AND revoke_ns IS NULL AND coalesce(expire_ns, ?) >= ?",
            (owner, tx.now_ns, tx.now_ns),
        ).fetchone()[0]
        if held >= KEYS_MAX:
            raise PalaestraError("OVER_QUOTA", f"there are {held} keys already, at most {KEYS_MAX}")
        expire_ns = spec.expire_time.ToNanoseconds() if spec.HasField("expire_time") else None
        tx.db.execute(
            """
            INSERT INTO api_key
              (uid, vendor, role, display_name, methods, projects, creator, digest, create_ns, expire_ns)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
            """,
            (
                *(uid, owner, role.value, spec.display_name),
                *(json.dumps(sorted(set(spec.methods))), json.dumps(sorted(set(spec.projects))), str(maker)),
                *(keys.digest(venue_secret, secret), tx.now_ns, expire_ns),
            ),
        )
        return _changed(tx, uid, "key.created", maker), secret, _forget_ended(tx, owner)

    return command


def _forget_ended(tx: Transaction, owner: str) -> list[str]:
    """Remove an owner's oldest ended keys beyond those that are kept; return their ids."""
    rows = tx.db.execute(
        """
        SELECT uid FROM api_key WHERE vendor = ? AND (revoke_ns IS NOT NULL OR expire_ns <= ?)
        ORDER BY id DESC LIMIT ? OFFSET ?
        """,
        (owner, tx.now_ns, FORGET_MAX, ENDED_KEPT),
    ).fetchall()
    venue = resources.venue_id(tx.db)
    for row in rows:
        tx.db.execute("DELETE FROM api_key WHERE uid = ?", (row["uid"],))
        told = f"it had ended, and {ENDED_KEPT} that ended later are kept"
        audit.write(tx, [owner], "scheduler", "", "forget", names.api_key(venue, owner, row["uid"]), told)
    return [row["uid"] for row in rows]


def rotate(
    uid: str, overlap_ns: int, etag: str, maker: Identity, venue_secret: bytes
) -> Command[tuple[api_key_pb2.ApiKey, str]]:
    """Return the command that gives a key a new secret; the former one opens for `overlap_ns` more.

    Raises ETAG_MISMATCH, SCOPE_DENIED, KEY_ENDED.
    """
    if maker.narrowed:
        raise PalaestraError("SCOPE_DENIED", f"{maker.credential} is narrower than its role and rotates no keys")
    secret = keys.new_secret(uid)

    def command(tx: Transaction) -> tuple[api_key_pb2.ApiKey, str]:
        row = _row(tx.db, uid)
        _match(row, etag)
        # Not KEY_REVOKED, which is about the key of who asks.
        if row["revoke_ns"] is not None:
            raise PalaestraError("KEY_ENDED", "the key was revoked")
        if row["expire_ns"] is not None and row["expire_ns"] <= tx.now_ns:
            raise PalaestraError("KEY_ENDED", "the key has expired")
        if _outlives(row["expire_ns"], maker):
            raise PalaestraError("SCOPE_DENIED", f"{maker.credential} ends before the key does")
        tx.db.execute(
            """
            UPDATE api_key SET digest = ?, former_digest = digest, former_expire_ns = ?, rotate_ns = ? WHERE uid = ?
            """,
            (keys.digest(venue_secret, secret), tx.now_ns + overlap_ns, tx.now_ns, uid),
        )
        return _changed(tx, uid, "key.rotated", maker), secret

    return command


def revoke(uid: str, etag: str, maker: Identity) -> Command[api_key_pb2.ApiKey]:
    """Return the command that takes a key back. A repeat changes nothing. Raises ETAG_MISMATCH."""

    def command(tx: Transaction) -> api_key_pb2.ApiKey:
        if _row(tx.db, uid)["revoke_ns"] is not None:
            # Also with the etag of before, which a caller repeats whose answer was lost.
            tx.repeated = True
            return resources.api_key(resources.venue_id(tx.db), _row(tx.db, uid))
        _match(_row(tx.db, uid), etag)
        tx.db.execute("UPDATE api_key SET revoke_ns = ? WHERE uid = ?", (tx.now_ns, uid))
        return _changed(tx, uid, "key.revoked", maker)

    return command


def used(when_ns: Mapping[str, int]) -> Command[None]:
    """Return the command that writes down when keys were last used, by id."""

    def command(tx: Transaction) -> None:
        tx.db.executemany("UPDATE api_key SET use_ns = ? WHERE uid = ?", [(at, uid) for uid, at in when_ns.items()])

    return command


def _outlives(expire_ns: int | None, maker: Identity) -> bool:
    """Whether what ends then, None for never, would open the venue when what its maker showed does no more."""
    return maker.expire_ns is not None and (expire_ns is None or expire_ns > maker.expire_ns)


def _changed(tx: Transaction, uid: str, kind: str, maker: Identity) -> api_key_pb2.ApiKey:
    row = _row(tx.db, uid)
    message = resources.api_key(resources.venue_id(tx.db), row)
    events.api_key_changed(tx, message, row["vendor"], kind, f"by {maker}")
    return message


def _match(row: Row, etag: str) -> None:
    found = resources.api_key_etag(row)
    if etag and etag != found:
        raise PalaestraError("ETAG_MISMATCH", f"the key has etag {found}, not {etag}")


def _row(db: Connection, uid: str) -> Row:
    row: Row = db.execute("SELECT * FROM api_key WHERE uid = ?", (uid,)).fetchone()
    return row


def _invalid(field: str, problem: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {problem}", metadata={"field": field, "rule": problem})
