"""The review queue: what rules doubt and people look at, one person at a time, and what they have said.

In the queue is what has the label review = open: scoring sets it, and so may anybody who labels. Who takes an episode
out of the queue holds it until the claim ends or an answer with a verdict is there. Answers are never changed; of each
field the latest counts.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from catalogue.opinion import (
    FAULT,
    RULE,
    Agreement,
    Annotation,
    Answer,
    Opinion,
    agreement,
    informative,
    kinds_in,
    labels_of,
    packed,
    standing,
    unpacked,
)
from database.sql import Connection, Row
from palaestra.errors import PalaestraError

REVIEW, OPEN = "review", "open"
ORDERS = ("worst", "informative", "oldest")
VENUE = "venue"
"""Who has set the labels of the rules."""
ANSWERS_MAX = 1_000
"""Most answers to one episode."""

Change = Callable[[Connection, Row, Mapping[str, str], Sequence[str], str, int], None]


@dataclass(frozen=True)
class Filter:
    """Which episodes of the queue; what is empty or None always holds.

    Attributes:
        vendor: Whose; None: everybody's, for operators alone.
        robot: A unit's full name.
        fault: A kind that a rule has found.
        quality_min, quality_max: 0 to 1; an episode without a score meets neither.
    """

    vendor: str | None = None
    robot: str = ""
    robot_model: str = ""
    maker: str = ""
    scenario: str = ""
    fault: str = ""
    quality_min: float | None = None
    quality_max: float | None = None


@dataclass(frozen=True)
class Place:
    """Where an episode stands in the queue, and who looks at it. Holder "" and end 0: nobody."""

    id: int
    uid: str
    vendor: str
    rank: float
    holder: str
    end_ns: int


@dataclass(frozen=True)
class Known:
    """All that is said of an episode. `annotations`: what counts, rules first; `answers`: newest first."""

    place: Place
    is_open: bool
    annotations: Sequence[Annotation]
    answers: Sequence[Answer]


class Reviews:
    """The review queue of a catalogue."""

    def __init__(
        self,
        reader: Callable[[], Connection],
        transaction: Callable[[], AbstractContextManager[Connection]],
        change: Change,
    ) -> None:
        """change: Sets and removes labels of an episode in a transaction: (db, row, set, remove, by, now_ns)."""
        self._reader = reader
        self._transaction = transaction
        self._change = change

    def places(
        self,
        wanted: Filter,
        *,
        order: str = "worst",
        after: tuple[float, int] | None = None,
        size: int = 50,
        now_ns: int,
    ) -> Sequence[Place]:
        """Return up to `size` + 1 places of the queue after (rank, id), those that are being looked at too.

        order: `worst` (lowest score first; what has none, as a person put it there, before them), `informative` (what
            tells most about the rules, see `opinion.informative`) or `oldest`. Where answers come in between, the
            ranks of `informative` shift, and a page may repeat or miss an episode.
        """
        db = self._reader()
        return _places(db, wanted, self._rank(db, wanted.vendor, order), after, size + 1, now_ns)

    def claim(
        self, wanted: Filter, holder: str, *, order: str = "worst", another: bool = False, end_ns: int, now_ns: int
    ) -> Place | None:
        """Take the first of the queue that nobody else looks at, until `end_ns`; None where there is none.

        another: Passes over what the holder has taken already; else that is the first to come back, its end moved.
        """
        assert wanted.vendor is not None
        rank = self._rank(self._reader(), wanted.vendor, order)
        with self._transaction() as db:
            found = [] if another else _places(db, wanted, rank, None, 1, now_ns, holder=holder)
            found = found or _places(db, wanted, rank, None, 1, now_ns, holder="")
            if not found:
                return None
            (place,) = found
            db.execute(
                """
                INSERT INTO review_claim (episode, vendor, holder, end_ns) VALUES (?, ?, ?, ?)
                ON CONFLICT (episode) DO UPDATE SET holder = excluded.holder, end_ns = excluded.end_ns
                """,
                (place.id, place.vendor, holder, end_ns),
            )
        return Place(place.id, place.uid, place.vendor, place.rank, holder, end_ns)

    def release(self, vendor: str, uid: str, holder: str) -> None:
        """Give an episode back to the queue; nothing happens if somebody else holds it. Raises NOT_FOUND."""
        with self._transaction() as db:
            row = _own(db, vendor, uid)
            db.execute("DELETE FROM review_claim WHERE episode = ? AND holder = ?", (row["id"], holder))

    def answer(self, vendor: str, uid: str, opinion: Opinion, *, holder: str, author: str, now_ns: int) -> Answer:
        """Keep what a person says. The author's last words said again are not kept twice.

        Raises:
            NOT_FOUND: The episode is missing or another's.
            INVALID_FIELD: See `Opinion.check`, or there are `ANSWERS_MAX` already.
            REVIEW_CLAIMED: Somebody else is looking at it.
        """
        with self._transaction() as db:
            row = _own(db, vendor, uid)
            opinion.check(row["duration_s"])
            claim = db.execute("SELECT * FROM review_claim WHERE episode = ?", (row["id"],)).fetchone()
            if claim is not None and claim["holder"] != holder and claim["end_ns"] > now_ns:
                raise PalaestraError("REVIEW_CLAIMED", f"vendors/{vendor}/episodes/{uid}: somebody else looks at it")
            known = _answers(db, row["id"])
            if known and known[0].author == author and known[0].opinion == opinion and not _is_open(db, row["id"]):
                return known[0]
            if len(known) >= ANSWERS_MAX:
                raise PalaestraError("INVALID_FIELD", f"answer: the episode has {ANSWERS_MAX} already")
            kept = _keep(db, row, opinion, author, now_ns)
            removed = ["failure_cause"] if opinion.outcome == "success" else []
            self._change(db, row, labels_of(opinion), removed, author, now_ns)
            if opinion.verdict is not None:
                db.execute("DELETE FROM review_claim WHERE episode = ?", (row["id"],))
        return kept

    def known(self, vendor: str, uid: str, *, now_ns: int) -> Known:
        """Return all that rules and people say of an episode. Raises NOT_FOUND."""
        db = self._reader()
        row = _own(db, vendor, uid)
        claim = db.execute(
            "SELECT holder, end_ns FROM review_claim WHERE episode = ? AND end_ns > ?", (row["id"], now_ns)
        ).fetchone()
        holder, end_ns = (claim["holder"], claim["end_ns"]) if claim is not None else ("", 0)
        place = Place(row["id"], uid, vendor, 0.0, holder, end_ns)
        answers = _answers(db, row["id"])
        return Known(place, _is_open(db, row["id"]), [*_ruled(db, row), *standing(answers)], answers)

    def figures(self, vendor: str | None) -> Sequence[Agreement]:
        """Return how the rules agree with people, by method and kind: the latest answer to each episode that names
        the faults, against what the rules said when it was given."""
        return _figures(self._reader(), vendor)

    def counts(self, vendor: str | None, *, now_ns: int) -> dict[str, int]:
        """Return how many episodes are `open`, how many of them `claimed`, and how many `accepted` and `rejected`."""
        db, found = self._reader(), {}
        scope, values = _scope(vendor, "l")
        for value in (OPEN, "accepted", "rejected"):
            text = f"SELECT count(*) FROM label l WHERE l.key = ? AND l.value = ? AND {scope}"
            found[value] = int(db.execute(text, (REVIEW, value, *values)).fetchone()[0])
        scope, values = _scope(vendor, "c")
        text = f"SELECT count(*) FROM review_claim c WHERE c.end_ns > ? AND {scope}"
        return {**found, "claimed": int(db.execute(text, (now_ns, *values)).fetchone()[0])}

    def _rank(self, db: Connection, vendor: str | None, order: str) -> tuple[str, list[Any]]:
        """Return the expression that puts the queue in order, lowest first, and its values."""
        if order == "worst":
            return "COALESCE(e.quality, -1.0)", []
        if order == "oldest":
            return "e.start_ns / 1e9", []
        if order != "informative":
            raise PalaestraError("INVALID_FIELD", f"order: {order!r} is none of {', '.join(ORDERS)}")
        weights, unknown = informative(_figures(db, vendor))
        cases = " ".join("WHEN ? THEN ?" for _ in weights)
        case = f"CASE f.key {cases} ELSE ? END" if weights else "?"
        text = f"""
            -COALESCE((SELECT SUM({case}) FROM label f WHERE f.episode = e.id AND f.key > ? AND f.key < ?), 0.0)
        """
        pairs = [value for kind, weight in weights.items() for value in (f"{FAULT}{kind}", weight)]
        # '/' follows '.', so that all keys between begin with "fault.".
        return text, [*pairs, unknown, FAULT, FAULT[:-1] + "/"]


def _places(
    db: Connection,
    wanted: Filter,
    rank: tuple[str, Sequence[Any]],
    after: tuple[float, int] | None,
    limit: int,
    now_ns: int,
    *,
    holder: str | None = None,
) -> Sequence[Place]:
    """holder: None for all, "" for those that nobody holds, else for that one's own."""
    expression, expression_values = rank
    conditions, values = _scope(wanted.vendor, "l")
    conditions = f"l.key = ? AND l.value = ? AND e.vendor = l.vendor AND {conditions}"
    values = [REVIEW, OPEN, *values]
    for column, value in (
        ("e.unit", wanted.robot),
        ("k.robot_model", wanted.robot_model),
        ("k.maker", wanted.maker),
        ("k.scenario", wanted.scenario),
    ):
        if value:
            conditions += f" AND {column} = ?"
            values.append(value)
    for sign, bound in ((">=", wanted.quality_min), ("<=", wanted.quality_max)):
        if bound is not None:
            conditions += f" AND e.quality {sign} ?"
            values.append(bound)
    if wanted.fault:
        conditions += " AND EXISTS (SELECT 1 FROM label g WHERE g.episode = e.id AND g.key = ?)"
        values.append(f"{FAULT}{wanted.fault}")
    if holder == "":
        conditions += " AND c.episode IS NULL"
    elif holder is not None:
        conditions += " AND c.holder = ?"
        values.append(holder)
    beyond, beyond_values = "", []
    if after is not None:
        beyond, beyond_values = "WHERE (q.place, q.id) > (?, ?)", [*after]
    text = f"""
        SELECT * FROM (
          SELECT e.id AS id, e.uid AS uid, e.vendor AS vendor, {expression} AS place,
            COALESCE(c.holder, '') AS holder, COALESCE(c.end_ns, 0) AS end_ns
          FROM label l JOIN episode e ON e.id = l.episode JOIN kind k ON k.id = e.kind
          LEFT JOIN review_claim c ON c.episode = e.id AND c.end_ns > ?
          WHERE {conditions}
        ) q {beyond} ORDER BY q.place, q.id LIMIT ?
    """
    rows = db.execute(text, [*expression_values, now_ns, *values, *beyond_values, limit]).fetchall()
    return [Place(*(row[key] for key in ("id", "uid", "vendor", "place", "holder", "end_ns"))) for row in rows]


def _scope(vendor: str | None, table: str) -> tuple[str, list[Any]]:
    """Return the condition on whose; of everybody's each vendor's own list is gone through, not all labels."""
    if vendor is not None:
        return f"{table}.vendor = ?", [vendor]
    return f"{table}.vendor IN (SELECT DISTINCT vendor FROM kind)", []


def _own(db: Connection, vendor: str, uid: str) -> Row:
    row: Row | None = db.execute("SELECT * FROM episode WHERE uid = ? AND vendor = ?", (uid, vendor)).fetchone()
    if row is None:
        raise PalaestraError("NOT_FOUND", f"vendors/{vendor}/episodes/{uid} not found")
    return row


def _is_open(db: Connection, episode: int) -> bool:
    row = db.execute("SELECT value FROM label WHERE episode = ? AND key = ?", (episode, REVIEW)).fetchone()
    return row is not None and row["value"] == OPEN


def _keep(db: Connection, row: Row, opinion: Opinion, author: str, now_ns: int) -> Answer:
    score = db.execute("SELECT method FROM score WHERE episode = ?", (row["id"],)).fetchone()
    method = score["method"] if score is not None else ""
    ruled = _rule_labels(db, row["id"])
    number = db.execute(
        """
        INSERT INTO review_answer (episode, vendor, author, reviewer, set_ns, verdict, outcome, failure_cause, grade,
          faults, subtasks, note, rule_method, rule_faults) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        RETURNING id
        """,
        (
            *(row["id"], row["vendor"], author, opinion.reviewer, now_ns),
            *(opinion.verdict, opinion.outcome, opinion.failure_cause, opinion.grade),
            None if opinion.faults is None else json.dumps(sorted(set(opinion.faults))),
            None if opinion.subtasks is None else packed(opinion.subtasks),
            *(opinion.note, method, json.dumps(kinds_in(ruled))),
        ),
    ).fetchone()[0]
    return Answer(int(number), author, now_ns, opinion, method, tuple(kinds_in(ruled)))


def _rule_labels(db: Connection, episode: int) -> dict[str, str]:
    text = "SELECT key, value FROM label WHERE episode = ? AND set_by = ?"
    return {row["key"]: row["value"] for row in db.execute(text, (episode, VENUE))}


def _answers(db: Connection, episode: int) -> list[Answer]:
    """Return the answers to an episode, newest first."""
    text = "SELECT * FROM review_answer WHERE episode = ? ORDER BY id DESC LIMIT ?"
    return [_answer(row) for row in db.execute(text, (episode, ANSWERS_MAX))]


def _answer(row: Row) -> Answer:
    opinion = Opinion(
        row["verdict"],
        row["outcome"],
        row["failure_cause"],
        row["grade"],
        None if row["faults"] is None else tuple(json.loads(row["faults"])),
        None if row["subtasks"] is None else unpacked(row["subtasks"]),
        row["note"],
        row["reviewer"],
    )
    ruled = tuple(json.loads(row["rule_faults"]))
    return Answer(row["id"], row["author"], row["set_ns"], opinion, row["rule_method"], ruled)


def _ruled(db: Connection, row: Row) -> list[Annotation]:
    """Return what the rules say now: the score and how many faults of each kind."""
    score = db.execute("SELECT * FROM score WHERE episode = ?", (row["id"],)).fetchone()
    if score is None:
        return []
    author, _, version = score["method"].rpartition("/")
    said = {"quality": f"{row['quality']:.3g}", **_rule_labels(db, row["id"])}
    said.pop(REVIEW, None)
    return [Annotation(key, said[key], author or version, RULE, version, score["set_ns"]) for key in sorted(said)]


def _figures(db: Connection, vendor: str | None) -> list[Agreement]:
    scope, values = _scope(vendor, "a")
    text = f"""
        SELECT a.rule_method, a.rule_faults, a.faults FROM review_answer a
        WHERE a.faults IS NOT NULL AND {scope} AND NOT EXISTS (
          SELECT 1 FROM review_answer b WHERE b.episode = a.episode AND b.id > a.id AND b.faults IS NOT NULL)
    """
    rows = db.execute(text, values)
    return agreement((row["rule_method"], json.loads(row["rule_faults"]), json.loads(row["faults"])) for row in rows)
