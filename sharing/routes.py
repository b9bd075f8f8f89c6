"""REST of agreements, keys and standing: `/sharing/v1/...`. Names are the caller's own, or nothing is there."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Query

from sharing.body import fields_of, json_body, text_of
from sharing.classes import ColumnClass
from sharing.errors import BadStep, InvalidTerms
from sharing.identity import Caller
from sharing.negotiation import Negotiation
from sharing.odrl import to_odrl
from sharing.register import Entry, Key
from sharing.room import Room
from sharing.step import Step
from sharing.terms import MAX_NAME, Terms

PAGE_MAX = 200


def router(room: Room) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/sharing/v1", tags=["agreements"])
    who = Depends(room.caller)
    body = Depends(json_body)

    @found.get("/identity", summary="Who the room takes the caller for, its clock, and how it is reached")
    def identity(caller: Caller = who) -> dict[str, Any]:
        return {
            "vendor": caller.vendor,
            "role": caller.role,
            "purpose": str(caller.purpose),
            "address": room.address,
            "now_s": int(room.clock.now_s()),
        }

    @found.get("/keys", summary="The vendor's public keys")
    def keys(caller: Caller = who) -> dict[str, Any]:
        return {"keys": [_key(key) for key in room.register.keys(caller.looks())]}

    @found.post("/keys", summary="Register a public key, which signs for the vendor from now on")
    def add_key(caller: Caller = who, given: object = body) -> dict[str, Any]:
        public_key, proof = (text_of(*pair) for pair in zip(_KEY, fields_of(given, *_KEY), strict=True))
        return _key(room.register.add_key(caller.decides(), public_key, proof))

    @found.post("/keys/{public_key}:retire", summary="Let a key sign nothing new")
    def retire_key(public_key: str, caller: Caller = who) -> dict[str, Any]:
        return _key(room.register.retire_key(caller.decides(), public_key))

    @found.get("/agreements", summary="Agreements that the vendor is a side of")
    def agreements(
        caller: Caller = who, after: str = Query("", max_length=64), size: int = Query(50, ge=1, le=PAGE_MAX)
    ) -> dict[str, Any]:
        rows = room.register.list(caller.looks(), after=after, size=size)
        page = {"agreements": [_agreement(entry, room) for entry in rows[:size]]}
        return page | ({"next": rows[size - 1].agreement.digest} if len(rows) > size else {})

    @found.get("/agreements/{digest}", summary="An agreement with both signatures, and how it stands")
    def agreement(digest: str, caller: Caller = who) -> dict[str, Any]:
        return _agreement(room.register.get(digest, caller.looks()), room)

    @found.get("/agreements/{digest}/odrl", summary="An agreement as an ODRL policy")
    def policy(digest: str, caller: Caller = who) -> dict[str, Any]:
        return to_odrl(room.register.get(digest, caller.looks()).agreement.terms, "Agreement")

    @found.post("/agreements/{digest}:revoke", summary="End an agreement for good, by either side")
    def revoke(digest: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        (reason,) = fields_of(given, optional=("reason",))
        party = caller.decides()
        return _agreement(room.register.revoke(digest, party, text_of("reason", reason or "")), room)

    @found.get("/negotiations", summary="Negotiations that the vendor is a side of")
    def negotiations(
        caller: Caller = who, after: str = Query("", max_length=64), size: int = Query(50, ge=1, le=PAGE_MAX)
    ) -> dict[str, Any]:
        rows = room.negotiations.list(caller.looks(), after=after, size=size)
        page = {"negotiations": [_negotiation(one) for one in rows[:size]]}
        return page | ({"next": rows[size - 1].id} if len(rows) > size else {})

    @found.post("/negotiations", summary="Begin a negotiation: a signed offer, or a consumer's request")
    def offer(caller: Caller = who, given: object = body) -> dict[str, Any]:
        step, key, signature, terms = fields_of(given, *_STEP, "terms")
        return _take(room, caller, Step.of(step), key, signature, terms)

    @found.get("/negotiations/{name}", summary="A negotiation, its terms, and every step as it was signed")
    def negotiation(name: str, caller: Caller = who) -> dict[str, Any]:
        party = caller.looks()
        taken = [
            {"step": asdict(one.step), "public_key": one.public_key, "signature": one.signature}
            for one in room.negotiations.steps(name, party)
        ]
        return _negotiation(room.negotiations.get(name, party)) | {"steps": taken}

    @found.post("/negotiations/{name}/steps", summary="Take the next step: counter, accept, sign, decline, terminate")
    def next_step(name: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        plain, key, signature, terms = fields_of(given, *_STEP, optional=("terms",))
        step = Step.of(plain)
        if step.negotiation != name:
            # Also for an offer, which names none.
            raise BadStep("step.negotiation: is another one than the address says")
        return _take(room, caller, step, key, signature, terms)

    @found.get("/classes", summary="Columns that the vendor classed itself")
    def classes(caller: Caller = who) -> dict[str, Any]:
        return {"classes": {name: str(kind) for name, kind in room.register.classes(caller.looks()).items()}}

    @found.put("/classes/{column}", summary="Class a column of the vendor's data more strictly")
    def classify(column: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        (kind,) = fields_of(given, "class")
        if not isinstance(kind, str) or kind not in set(ColumnClass) or len(column) > MAX_NAME:
            raise InvalidTerms(f"class: must be one of {', '.join(ColumnClass)}")
        room.register.classify(caller.decides(), column, ColumnClass(kind))
        return {"name": column, "class": kind}

    @found.post("/vendors/{vendor}:suspend", summary="Operators: have a vendor give and get nothing for now")
    def suspend(vendor: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        (reason,) = fields_of(given, "reason")
        room.register.suspend(f"vendors/{vendor[:64]}", text_of("reason", reason), by=caller.keeps_house())
        return {}

    @found.post("/vendors/{vendor}:resume", summary="Operators: end a vendor's suspension")
    def resume(vendor: str, caller: Caller = who) -> dict[str, Any]:
        room.register.resume(f"vendors/{vendor[:64]}", by=caller.keeps_house())
        return {}

    return found


_KEY = ("public_key", "proof")


_STEP = ("step", "public_key", "signature")


def _take(room: Room, caller: Caller, step: Step, key: object, signature: object, terms: object) -> dict[str, Any]:
    public_key, signed = text_of("public_key", key), text_of("signature", signature)
    proposed = None if terms is None else Terms.of(terms)
    return _negotiation(room.negotiations.take(caller.decides(), step, public_key, signed, proposed))


def _negotiation(one: Negotiation) -> dict[str, Any]:
    return {
        "negotiation": one.id,
        "state": str(one.state),
        "turn": one.turn,
        "signed": sorted(one.signed),
        "sequence": one.sequence,
        "last": one.last,
        "digest": one.terms.digest(),
        "terms": one.terms.as_json(),
        "created_s": one.created_s,
        "changed_s": one.changed_s,
    }


def _key(key: Key) -> dict[str, Any]:
    return {"public_key": key.public_key, "registered_s": key.registered_s, "retired_s": key.retired_s}


def _agreement(entry: Entry, room: Room) -> dict[str, Any]:
    """Return an agreement as it is told to its sides. The state is of now."""
    terms, now_s = entry.agreement.terms, room.clock.now_s()
    state = "in force"
    if entry.revoked_s:
        state = "revoked"
    elif now_s >= terms.valid_until_s:
        state = "over"
    elif now_s < max(terms.valid_from_s, terms.embargo_until_s):
        state = "not yet"
    return {
        **entry.agreement.as_json(),
        "state": state,
        "agreed_s": entry.agreed_s,
        "negotiation": entry.negotiation,
        "revoked_s": entry.revoked_s,
        "revoked_by": entry.revoked_by,
        "reason": entry.reason,
    }
