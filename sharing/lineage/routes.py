"""REST of lineage: `/sharing/v1/lineage/...`, to each side its own."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Depends, Query

from sharing.audit.log import LEAVES_MAX, Log
from sharing.identity import Caller
from sharing.lineage.events import events_of
from sharing.lineage.rows import origin_of
from sharing.projection.projector import SECRET
from sharing.projection.secret import load_secret
from sharing.room import Room

_INDEX_MAX = 2**53


def router(room: Room) -> APIRouter:
    """Return the routes; no events where the room's witness is not a log."""
    found = APIRouter(prefix="/sharing/v1/lineage", tags=["lineage"])
    who, log = Depends(room.caller), room.witness

    @found.get("/episodes/{episode}", summary="Where an episode in a shared table comes from")
    def episode(episode: str, caller: Caller = who) -> dict[str, Any]:
        party, secret = caller.looks(), load_secret(room.folder / SECRET)
        return asdict(origin_of(episode, party, ledger=room.database, catalogue=room.catalogue, secret=secret))

    if isinstance(log, Log):

        @found.get("/events", summary="The vendor's runs as OpenLineage events, oldest first")
        def events(
            caller: Caller = who,
            after: int = Query(-1, ge=-1, le=_INDEX_MAX),
            size: int = Query(LEAVES_MAX, ge=1, le=LEAVES_MAX),
        ) -> dict[str, Any]:
            leaves = log.leaves(caller.looks(), after, size)
            told = [event for leaf in leaves[:size] for event in events_of(leaf.body, log.origin)]
            return {"events": told} | ({"next": leaves[size - 1].index} if len(leaves) > size else {})

    return found
