"""REST of credits: `/sharing/v1/credits`, a vendor's own alone."""

from typing import Any

from fastapi import APIRouter, Depends, Query

from sharing.audit.log import Log
from sharing.body import fields_of, json_body, text_of
from sharing.credits.ledger import Posting
from sharing.credits.statement import statement
from sharing.errors import InvalidTerms
from sharing.identity import Caller
from sharing.room import Room

PAGE_MAX = 200
_NUMBER_MAX = 2**53


def router(room: Room) -> APIRouter:
    """Return the routes; without statements where the room's witness is not a log."""
    found = APIRouter(prefix="/sharing/v1/credits", tags=["credits"])
    who, body = Depends(room.caller), Depends(json_body)
    accounts, log = room.accounts, room.witness

    @found.get("", summary="The vendor's balance and postings, oldest first")
    def credits(
        caller: Caller = who,
        after: int = Query(0, ge=0, le=_NUMBER_MAX),
        size: int = Query(50, ge=1, le=PAGE_MAX),
    ) -> dict[str, Any]:
        vendor = caller.looks()
        rows = accounts.ledger.postings(vendor, after=after, size=size)
        page = {
            "balance_microcredits": accounts.ledger.balance(vendor),
            "postings": [_posting(row, vendor) for row in rows[:size]],
        }
        return page | ({"next": rows[size - 1].id} if len(rows) > size else {})

    if isinstance(log, Log):

        @found.get("/statement", summary="A signed statement, which the vendor can check offline")
        def signed(caller: Caller = who, after: int = Query(0, ge=0, le=_NUMBER_MAX)) -> dict[str, Any]:
            return statement(accounts, log, caller.looks(), int(room.clock.now_s()), after=after)

    @found.post("/{vendor}:grant", summary="Operators: issue credits to a vendor, such as to begin with")
    def grant(vendor: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        amount, request = fields_of(given, "amount_microcredits", "request")
        caller.keeps_house()
        if type(amount) is not int:
            raise InvalidTerms("amount_microcredits: must be a whole number")
        name = f"vendors/{vendor[:64]}"
        accounts.grant(name, amount, text_of("request", request, most=64))
        return {"vendor": name, "balance_microcredits": accounts.ledger.balance(name)}

    return found


def _posting(row: Posting, vendor: str) -> dict[str, Any]:
    named = ("kind", "agreement", "version", "posted_s")
    return {
        "number": row.id,
        **{name: row.document[name] for name in named},
        "amount_microcredits": row.amount_for(vendor),
        "recordings": len(row.items),
        "leaf": row.leaf,
    }
