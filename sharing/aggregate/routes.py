"""REST of aggregates: `/sharing/v1/aggregates` and `/sharing/v1/budgets`."""

import re
from typing import Any

from fastapi import APIRouter, Depends

from palaestra.errors import PalaestraError
from sharing.aggregate.desk import Desk, TooManyQuestions
from sharing.aggregate.ledger import Ledger
from sharing.aggregate.question import Question
from sharing.body import fields_of, json_body, text_of
from sharing.errors import InvalidQuestion, WorkEnded
from sharing.identity import Caller
from sharing.room import Room

_DIGEST = re.compile("[0-9a-f]{64}")


def router(room: Room) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/sharing/v1", tags=["aggregates"])
    ledger = Ledger(room.database, room.witness, room.clock.now_s)
    desk = Desk(room.gate, room.projector, room.witness, ledger)
    who = Depends(room.caller)
    body = Depends(json_body)

    @found.post("/aggregates", summary="Ask a question under an agreement; the answer has noise and costs budget")
    def ask(caller: Caller = who, given: object = body) -> dict[str, Any]:
        digest, spec = fields_of(given, "agreement", "question")
        try:
            question = Question.of(spec)
            return desk.ask(caller.takes(), digest_of(digest), caller.purpose, question).as_json()
        except InvalidQuestion as error:
            raise PalaestraError("INVALID_FIELD", str(error), metadata={"field": "question"}) from None
        except TooManyQuestions:
            raise PalaestraError("OVER_QUOTA", "so many questions are under way; ask when one is answered") from None
        except WorkEnded:
            raise PalaestraError("WORK_FAILED", "the question could not be answered; asking it again is free") from None

    @found.get("/budgets/{agreement}", summary="What is left of an agreement's privacy budget, to its consumer")
    def budget(agreement: str, caller: Caller = who) -> dict[str, Any]:
        balance = desk.balance(caller.takes(), agreement, caller.purpose)
        return {
            "budget_millionths": balance.budget_millionths,
            "spent_millionths": balance.spent_millionths,
            "left_millionths": balance.left_millionths,
            "spent_delta": balance.spent_delta_trillionths / 1e12,
        }

    @found.get("/budgets", summary="What was spent by the vendor, and by others of the vendor's data sets")
    def budgets(caller: Caller = who) -> dict[str, Any]:
        return {"spent": [dict(row) for row in ledger.spent(caller.looks())]}

    return found


def digest_of(value: object) -> str:
    """Return an agreement's digest as it was given; what is none is asked for all the same, and not found."""
    text = text_of("agreement", value, most=200)
    return text if _DIGEST.fullmatch(text) else ""
