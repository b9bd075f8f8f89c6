"""REST of the review of pictures, `/sharing/v1/reviews/...`: for the provider; the house looks on, and may refuse."""

from typing import Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import Response

from sharing.body import fields_of, json_body, text_of
from sharing.errors import InvalidTerms, NotShared
from sharing.identity import Caller
from sharing.projection.projector import Projector
from sharing.review.desk import Desk, Making
from sharing.review.reviews import EVERYBODY, Decision, Review, Reviews
from sharing.room import Room
from sharing.terms import MAX_VERSION

PAGE_MAX = 200


def router(room: Room) -> APIRouter:
    """Return the routes; none where the room's projector makes no pictures."""
    found = APIRouter(prefix="/sharing/v1/reviews", tags=["reviews"])
    if not isinstance(room.projector, Projector):
        return found
    reviews = Reviews(room.database, room.witness, room.clock.now_s)
    desk = Desk(room.gate, room.register, room.projector, reviews)
    who, body = Depends(room.caller), Depends(json_body)

    @found.post("", summary="Have an agreement's pictures made for review; ask again until they are")
    def prepare(caller: Caller = who, given: object = body) -> dict[str, Any]:
        agreement, version = fields_of(given, "agreement", optional=("version",))
        if version is None:
            version = 0
        if type(version) is not int or not 0 <= version <= MAX_VERSION:
            raise InvalidTerms(f"version: must be a whole number from 0 to {MAX_VERSION}")
        return _making(desk.prepare(text_of("agreement", agreement)[:64], caller.decides(), version))

    @found.get("", summary="Reviews of the vendor's pictures; operators see all")
    def listed(
        caller: Caller = who, after: str = Query("", max_length=64), size: int = Query(50, ge=1, le=PAGE_MAX)
    ) -> dict[str, Any]:
        rows = reviews.list(_party(caller), after=after, size=size)
        page = {"reviews": [_told(one) for one in rows[:size]]}
        return page | ({"next": rows[size - 1].content} if len(rows) > size else {})

    @found.get("/{content}", summary="A review: what was covered in which camera's frames, and what was decided")
    def one(content: str, caller: Caller = who) -> dict[str, Any]:
        return _told(reviews.get(content, _party(caller)))

    @found.get("/{content}/sheets/{camera}", summary="A contact sheet of random frames as they would leave, a JPEG")
    def sheet(content: str, camera: str, caller: Caller = who) -> Response:
        return Response(desk.sheet(reviews.get(content, _party(caller)), camera), media_type="image/jpeg")

    @found.post("/{content}:approve", summary="Let these pictures leave; for good, while the agreement stands")
    def approve(content: str, caller: Caller = who) -> dict[str, Any]:
        provider = caller.decides()
        return _told(reviews.decide(content, provider, Decision.APPROVED, by=provider))

    @found.post("/{content}:refuse", summary="Let these pictures never leave")
    def refuse(content: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        (reason,) = fields_of(given, optional=("reason",))
        provider, by = (EVERYBODY, caller.role) if caller.role == "operator" else (caller.decides(),) * 2
        return _told(reviews.decide(content, provider, Decision.REFUSED, by=by, reason=text_of("reason", reason or "")))

    return found


def _party(caller: Caller) -> str:
    """Return whose reviews the caller may look at; `EVERYBODY` for operators."""
    if caller.role == "operator":
        return EVERYBODY
    if not caller.vendor:
        raise NotShared
    return caller.vendor


def _making(made: Making) -> dict[str, Any]:
    return {"state": made.state, "why": made.why, "review": None if made.review is None else _told(made.review)}


def _told(one: Review) -> dict[str, Any]:
    return {
        "review": one.content,
        "projection": one.projection,
        "agreement": one.agreement,
        "provider": one.provider,
        "consumer": one.consumer,
        "data_set": one.data_set,
        "version": one.version,
        "report": one.pictures["report"],
        "sheets": [{key: sheet[key] for key in ("camera", "sha256", "size_bytes")} for sheet in one.pictures["sheets"]],
        "made_s": one.made_s,
        "state": str(one.decision) if one.decision else "waiting",
        "decided_by": one.decided_by,
        "decided_s": one.decided_s,
        "reason": one.reason,
    }
