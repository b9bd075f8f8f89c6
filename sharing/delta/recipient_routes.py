"""REST of credentials: `/sharing/v1/credentials`, by the vendor's own token. Secrets are told once, in a profile."""

from typing import Any

from fastapi import APIRouter, Depends

from sharing.body import fields_of, json_body
from sharing.delta.recipients import LIFETIME_S, Recipient, Recipients, profile
from sharing.errors import InvalidTerms
from sharing.identity import Caller
from sharing.room import Room
from sharing.terms import Purpose


def router(room: Room, recipients: Recipients) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/sharing/v1/credentials", tags=["credentials"])
    who, body = Depends(room.caller), Depends(json_body)

    @found.post("", summary="Make a credential for Delta Sharing clients, and its profile file")
    def issue(caller: Caller = who, given: object = body) -> dict[str, Any]:
        agreements, shares, purpose, lifetime_s = fields_of(
            given, "agreements", optional=("shares", "purpose", "lifetime_s")
        )
        consumer = caller.takes()
        if purpose is not None and not (isinstance(purpose, str) and purpose in set(Purpose)):
            raise InvalidTerms(f"purpose: must be one of {', '.join(Purpose)}")
        made, secret = recipients.issue(
            consumer,
            caller.purpose if purpose is None else Purpose(str(purpose)),
            _texts("agreements", agreements),
            shares=_names(shares),
            lifetime_s=_seconds("lifetime_s", LIFETIME_S if lifetime_s is None else lifetime_s),
        )
        return _plain(made, room) | {"profile": profile(room.address, secret, made.expires_s)}

    @found.get("", summary="The vendor's credentials that have not ended")
    def credentials(caller: Caller = who) -> dict[str, Any]:
        return {"credentials": [_plain(one, room) for one in recipients.list(caller.looks())]}

    @found.post("/{recipient}:rotate", summary="Give a credential another secret")
    def rotate(recipient: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        (overlap_s,) = fields_of(given, optional=("overlap_s",))
        consumer = caller.takes()
        made, secret = recipients.rotate(consumer, recipient, overlap_s=_seconds("overlap_s", overlap_s or 0))
        return _plain(made, room) | {"profile": profile(room.address, secret, made.expires_s)}

    @found.post("/{recipient}:revoke", summary="End a credential")
    def revoke(recipient: str, caller: Caller = who) -> dict[str, Any]:
        return _plain(recipients.revoke(caller.takes(), recipient), room)

    return found


def _plain(of: Recipient, room: Room) -> dict[str, Any]:
    state = "good"
    if of.revoked_s:
        state = "revoked"
    elif not of.is_good(room.clock.now_s()):
        state = "expired"
    return {
        "credential": of.id,
        "purpose": str(of.purpose),
        "issued_s": of.issued_s,
        "expires_s": of.expires_s,
        "state": state,
        "opens": [
            {"share": share, "schema": schema, "agreement": agreement}
            for (share, schema), agreement in of.opens.items()
        ],
    }


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidTerms(f"{name}: must be a list of texts")
    return value


def _names(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(one, str) for one in value.values()):
        raise InvalidTerms("shares: must be an object of agreements and names")
    return value


def _seconds(name: str, value: object) -> int:
    if type(value) is not int:
        raise InvalidTerms(f"{name}: must be a whole number of seconds")
    return value
