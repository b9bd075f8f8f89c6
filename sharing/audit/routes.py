"""REST of the audit, `/sharing/v1/audit/...`: heads, proofs, everybody's hashes, and to each its own leaves."""

import base64
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, Depends, Query

from palaestra.errors import PalaestraError
from sharing.audit.log import LEAVES_MAX, PAGE_MAX, Log
from sharing.identity import Caller
from sharing.room import Room

_INDEX_MAX = 2**53


def router(room: Room) -> APIRouter:
    """Return the routes; none where the room's witness is not a log."""
    found = APIRouter(prefix="/sharing/v1/audit", tags=["audit"])
    who, log = Depends(room.caller), room.witness
    if not isinstance(log, Log):
        return found

    @found.get("/head", summary="A signed head over everything noted so far")
    def head(caller: Caller = who) -> dict[str, Any]:
        _party(caller)
        return {"head": log.head(), "public_key": log.public_key.hex()}

    @found.get("/heads", summary="Signed heads, of the smallest trees first")
    def heads(
        caller: Caller = who, after: int = Query(0, ge=0, le=_INDEX_MAX), size: int = Query(100, ge=1, le=200)
    ) -> dict[str, Any]:
        _party(caller)
        return {"heads": list(log.heads(after, size))}

    @found.get("/inclusion", summary="The proof that a leaf is in a tree")
    def inclusion(
        index: int = Query(ge=0, le=_INDEX_MAX), size: int = Query(ge=0, le=_INDEX_MAX), caller: Caller = who
    ) -> dict[str, Any]:
        _party(caller)
        return {"proof": _proof(lambda: log.inclusion(index, size))}

    @found.get("/consistency", summary="The proof that one tree begins with another")
    def consistency(
        first: int = Query(ge=0, le=_INDEX_MAX), second: int = Query(ge=0, le=_INDEX_MAX), caller: Caller = who
    ) -> dict[str, Any]:
        _party(caller)
        return {"proof": _proof(lambda: log.consistency(first, second))}

    @found.get("/hashes", summary="The hashes of all leaves, base64 of 32 bytes each")
    def hashes(
        begin: int = Query(0, ge=0, le=_INDEX_MAX), size: int = Query(PAGE_MAX, ge=1, le=PAGE_MAX), caller: Caller = who
    ) -> dict[str, Any]:
        _party(caller)
        return {"begin": begin, "hashes": base64.b64encode(log.hashes(begin, size)).decode()}

    @found.get("/leaves", summary="The caller's own leaves, oldest first")
    def leaves(
        after: int = Query(-1, ge=-1, le=_INDEX_MAX),
        size: int = Query(LEAVES_MAX, ge=1, le=LEAVES_MAX),
        caller: Caller = who,
    ) -> dict[str, Any]:
        rows = log.leaves(_party(caller), after, size)
        told = [
            {
                "index": one.index,
                "body": one.body,
                "openings": {
                    name: {"salt": salt.hex(), "value": value} for name, (salt, value) in one.openings.items()
                },
            }
            for one in rows[:size]
        ]
        return {"leaves": told} | ({"next": rows[size - 1].index} if len(rows) > size else {})

    return found


def _party(caller: Caller) -> str:
    """Return whose leaves a caller may read: its vendor's, and an operator the house's. Raises ROLE_DENIED."""
    if not caller.vendor:
        caller.keeps_house()
    return caller.vendor


def _proof(proving: Callable[[], Sequence[bytes]]) -> list[str]:
    try:
        return [one.hex() for one in proving()]
    except ValueError as error:
        raise PalaestraError("INVALID_FIELD", f"size: {error}", metadata={"field": "size"}) from None
