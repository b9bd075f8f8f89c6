"""What is kept of reviews: which pictures, who said what of them, and when. Decided once, it stays."""

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sharing.act import Act, act
from sharing.database import Database
from sharing.errors import BadStep, InvalidTerms, NotShared
from sharing.grant import Grant
from sharing.witness import Witness

REASON_CHARACTERS = 500
EVERYBODY = ""


class Decision(StrEnum):
    """What may be said of pictures."""

    APPROVED = "approved"
    REFUSED = "refused"


@dataclass(frozen=True)
class Review:
    """Pictures of one projection, and what was said of them.

    Attributes:
        content: Hash of all files, sheets and the report: its name. Who approves it approves just these.
        projection: Key of the projection.
        pictures: `sheets` and `report`, as they were made.
        decision: None: nobody has said anything yet, and nothing leaves.
        decided_by: The provider, or `operator`.
    """

    content: str
    projection: str
    agreement: str
    provider: str
    consumer: str
    data_set: str
    version: int
    pictures: Mapping[str, Any]
    made_s: int
    decision: Decision | None
    decided_by: str
    decided_s: int
    reason: str


class Reviews:
    """Reviews in the room's file. Safe from any thread."""

    def __init__(self, database: Database, witness: Witness, now_s: Callable[[], float]) -> None:
        self._database, self._witness, self._now_s = database, witness, now_s

    def approved(self, key: str) -> frozenset[str]:
        """Return the contents that were approved of a projection: more than one where it was made anew otherwise."""
        text = "SELECT content FROM picture_review WHERE projection = ? AND decision = 'approved'"
        return frozenset(str(row["content"]) for row in self._database.reader().execute(text, (key,)))

    def enter(self, grant: Grant, key: str, version: int, pictures: Mapping[str, Any]) -> Review:
        """Enter pictures that were made, to be decided on; those that are there already stay as they are."""
        content = str(pictures["content"])
        row = (content, key, grant.agreement, grant.provider, grant.consumer, grant.data_set, version)
        cameras = pictures["report"]["cameras"].values()
        frames = sum(camera["released_frames"] for camera in cameras)
        with act(self._database, self._witness) as one:
            if one.db.execute(_ENTER, (*row, json.dumps(pictures), int(self._now_s()))).rowcount:
                _note(one, grant.provider, grant.consumer, grant.agreement, content, "made", {"frames": frames})
        return self.get(content, grant.provider)

    def get(self, content: str, provider: str) -> Review:
        """Return a review to its provider, or to the house (`EVERYBODY`). Raises NotShared."""
        row = self._database.reader().execute("SELECT * FROM picture_review WHERE content = ?", (content,)).fetchone()
        if row is None or (provider != EVERYBODY and row["provider"] != provider):
            raise NotShared
        return _review(row)

    def list(self, provider: str, *, after: str = "", size: int = 50) -> Sequence[Review]:
        """Return up to `size` + 1 reviews of a provider, or all for the house, by content, after one."""
        text = (
            "SELECT * FROM picture_review WHERE (provider = ?1 OR ?1 = '') AND content > ?2 ORDER BY content LIMIT ?3"
        )
        return [_review(row) for row in self._database.reader().execute(text, (provider, after, size + 1))]

    def decide(self, content: str, provider: str, decision: Decision, *, by: str, reason: str = "") -> Review:
        """Decide on pictures, for good; the same again is no error.

        Args:
            provider: Whose they are; `EVERYBODY` for the house.

        Raises:
            NotShared, InvalidTerms: No such review of this provider; a reason that is no short line.
            BadStep: Something else was decided before. What was approved ends with the agreement.
        """
        if len(reason) > REASON_CHARACTERS or not reason.isprintable():
            raise InvalidTerms(f"reason: must be printable text of at most {REASON_CHARACTERS} characters")
        found = self.get(content, provider)
        more = {"by": by, "reason": reason}
        with act(self._database, self._witness) as one:
            done = one.db.execute(_DECIDE, (str(decision), by, int(self._now_s()), reason, content)).rowcount
            if done:
                _note(one, found.provider, found.consumer, found.agreement, content, str(decision), more)
        if not done:
            said = self.get(content, provider)
            if said.decision is not decision:
                raise BadStep(f"review: was {said.decision} before, which stays; revoke the agreement to end it")
            return said
        return self.get(content, provider)


def _note(
    one: Act, provider: str, consumer: str, agreement: str, content: str, what: str, more: Mapping[str, str | int]
) -> None:
    about = {"provider": provider, "agreement": agreement, "review": content, "what": what}
    # Not under `consumer`: what its provider says of pictures that have not left is not shown to it.
    one.note("review", {**about, "recipient": consumer, **more})


_ENTER = """
INSERT OR IGNORE INTO picture_review
  (content, projection, agreement, provider, consumer, data_set, version, pictures, made_s)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_DECIDE = """
UPDATE picture_review SET decision = ?, decided_by = ?, decided_s = ?, reason = ?
WHERE content = ? AND decision IS NULL
"""


def _review(row: sqlite3.Row) -> Review:
    return Review(
        content=row["content"],
        projection=row["projection"],
        agreement=row["agreement"],
        provider=row["provider"],
        consumer=row["consumer"],
        data_set=row["data_set"],
        version=row["version"],
        pictures=json.loads(row["pictures"]),
        made_s=row["made_s"],
        decision=Decision(row["decision"]) if row["decision"] else None,
        decided_by=row["decided_by"] or "",
        decided_s=row["decided_s"] or 0,
        reason=row["reason"] or "",
    )
