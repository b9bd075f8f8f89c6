"""Negotiations as the room keeps them: each step checked, signed by its side, written down and noted."""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sharing import signing
from sharing.act import Act, act
from sharing.agreement import Agreement, Signature
from sharing.classes import ColumnClass, class_of, stricter
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import BadSignature, BadStep, InvalidTerms, NotShared
from sharing.gate import permitted
from sharing.register import Register, check_key, enter
from sharing.step import SKEW_S, Kind, State, Step, follow
from sharing.terms import Terms
from sharing.witness import Witness

OPEN_MAX = 500
STEPS_MAX = 100
ID_DIGITS = 32


@dataclass(frozen=True)
class Negotiation:
    """How a negotiation stands.

    Attributes:
        turn: Who has to answer; "" when either side may act, or nobody.
        last: Digest of the last step, which the next one has to name.
    """

    id: str
    state: State
    terms: Terms
    turn: str
    sequence: int
    last: str
    provider: Signature | None
    consumer: Signature | None
    created_s: int
    changed_s: int

    @property
    def signed(self) -> frozenset[str]:
        """Who has signed the terms."""
        sides = ((self.terms.provider, self.provider), (self.terms.consumer, self.consumer))
        return frozenset(vendor for vendor, signature in sides if signature is not None)


@dataclass(frozen=True)
class Taken:
    """A step that was taken, with its signature: evidence for both sides."""

    step: Step
    public_key: str
    signature: str


class Negotiations:
    """All negotiations. Safe from any thread."""

    def __init__(
        self,
        database: Database,
        register: Register,
        newest_version: Callable[[str], int],
        witness: Witness,
        clock: Clock,
        check_transforms: Callable[[Terms], object] = lambda terms: None,
    ) -> None:
        """check_transforms: Raises InvalidTerms for transforms that this room does not know."""
        self._database = database
        self._register = register
        self._newest_version = newest_version
        self._witness = witness
        self._clock = clock
        self._check_transforms = check_transforms

    def get(self, name: str, party: str) -> Negotiation:
        """Return a negotiation to one of its sides. Raises NotShared."""
        return _negotiation(_row(self._database.reader(), name, party))

    def steps(self, name: str, party: str) -> Sequence[Taken]:
        """Return the steps of a negotiation in order. Raises NotShared."""
        db = self._database.reader()
        _row(db, name, party)
        rows = db.execute("SELECT * FROM step WHERE negotiation = ? ORDER BY sequence", (name,)).fetchall()
        return [Taken(_step(row["document"]), row["public_key"], row["signature"]) for row in rows]

    def list(self, party: str, *, after: str = "", size: int = 50) -> Sequence[Negotiation]:
        """Return up to `size` + 1 negotiations of a side by id, after an id."""
        text = "SELECT * FROM negotiation WHERE (provider = ?1 OR consumer = ?1) AND id > ?2 ORDER BY id LIMIT ?3"
        return [_negotiation(row) for row in self._database.reader().execute(text, (party, after, size + 1))]

    def offered(self, party: str, *, size: int = 1_000) -> Sequence[Negotiation]:
        """Return what lies before a side to answer, newest first."""
        text = "SELECT * FROM negotiation WHERE state = 'offered' AND turn = ? ORDER BY changed_s DESC, id LIMIT ?"
        return [_negotiation(row) for row in self._database.reader().execute(text, (party, size))]

    def take(self, party: str, step: Step, public_key: str, signature: str, terms: Terms | None = None) -> Negotiation:
        """Take a step for a side and return how the negotiation stands then. The last one again changes nothing.

        Args:
            party: From the credential; the step has to say the same.
            terms: With an offer or a counter-offer, what is proposed.

        Raises:
            NotShared: There is no such negotiation of this side.
            BadSignature: The step's, or the terms', is not by a key of this side.
            BadStep: It does not follow, or its clock is off.
            InvalidTerms: What is proposed cannot be agreed here.
        """
        if step.by != party:
            raise BadSignature("step.by: is not who sends it")
        step.check_signature(public_key, signature)
        now_s = self._clock.now_s()
        proposes = step.kind in (Kind.OFFER, Kind.COUNTER)
        if (terms is None) == proposes:
            raise InvalidTerms("terms: go with an offer and a counter-offer, and with no other step")
        if terms is not None:
            self._check_terms(terms, party, now_s)
            if terms.digest() != step.terms:
                raise BadSignature("step.terms: is not the digest of the terms that come with it")
        with act(self._database, self._witness) as one:
            db = one.db
            check_key(db, "step", party, public_key)
            if step.kind is Kind.OFFER:
                assert terms is not None
                before, after = None, _begun(step, terms, int(now_s))
                again = db.execute("SELECT 1 FROM negotiation WHERE id = ?", (after.id,)).fetchone() is not None
            else:
                before = _negotiation(_row(db, step.negotiation, party))
                again = step.digest() == before.last
            if again:
                return _negotiation(_row(db, step.negotiation or _id_of(step), party))
            if abs(step.at_s - now_s) > SKEW_S:
                raise BadStep(f"step.at_s: is {step.at_s - int(now_s)} s off this room's clock; {SKEW_S} s are allowed")
            if before is None:
                self._check_room(db, party)
                _insert(db, after)
            else:
                after = _advanced(before, step, public_key, terms, int(now_s))
                _update(db, after)
            db.execute(
                "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(after.id, step.sequence, step.digest(), step.canonical().decode()),
                    *(public_key, signature, int(now_s)),
                ),
            )
            _note(one, after, step)
            if after.state is State.AGREED:
                assert after.provider is not None and after.consumer is not None
                enter(one, Agreement.signed(after.terms, after.provider, after.consumer), after.id, int(now_s))
        return after

    def _check_terms(self, terms: Terms, party: str, now_s: float) -> None:
        """Raise InvalidTerms for what cannot be agreed here. A consumer learns nothing of the provider's by it."""
        if party not in (terms.provider, terms.consumer):
            raise InvalidTerms("consumer: who proposes is neither the provider nor the consumer")
        if now_s >= terms.valid_until_s:
            raise InvalidTerms("valid_until_s: has passed")
        provides = party == terms.provider
        classes = self._register.classes(party) if provides else {}
        if missing := sorted(set(terms.columns) - set(permitted(terms, classes))):
            column = missing[0]
            kind = stricter(class_of(column), classes.get(column, ColumnClass.PUBLIC))
            why = "shows persons, and the terms name no transform that covers them (fill-faces)"
            if kind is ColumnClass.TRADE_SECRET:
                why = "is a trade secret, which never leaves"
            raise InvalidTerms(f"columns: {column} is {kind}: {why}")
        self._check_transforms(terms)
        if provides and not self._newest_version(terms.data_set):
            raise InvalidTerms(f"data_set: {terms.data_set} has no version; `palaestra data dataset freeze` makes one")

    def _check_room(self, db: sqlite3.Connection, party: str) -> None:
        text = """
            SELECT count(*) FROM step s JOIN negotiation n ON n.id = s.negotiation
            WHERE s.sequence = 1 AND n.state IN ('offered', 'accepted', 'signed')
            AND json_extract(s.document, '$.by') = ?
        """
        if db.execute(text, (party,)).fetchone()[0] >= OPEN_MAX:
            raise BadStep(f"{party} has begun {OPEN_MAX} negotiations that are open; terminate some")


def _note(one: Act, after: Negotiation, step: Step) -> None:
    one.note(
        "negotiation",
        {
            "what": str(step.kind),
            "negotiation": after.id,
            "sequence": step.sequence,
            "step": step.digest(),
            "terms": step.terms,
            "provider": after.terms.provider,
            "consumer": after.terms.consumer,
            "by": step.by,
        },
    )


def _id_of(offer: Step) -> str:
    """Return a negotiation's id: of its offer, so that two sides' offers never have one id."""
    return hashlib.sha256(b"negotiation\n" + offer.canonical()).hexdigest()[:ID_DIGITS]


def _begun(step: Step, terms: Terms, now_s: int) -> Negotiation:
    follow(None, step.kind, step.by, turn="", signed=frozenset())
    other = terms.consumer if step.by == terms.provider else terms.provider
    return Negotiation(_id_of(step), State.OFFERED, terms, other, 1, step.digest(), None, None, now_s, now_s)


def _advanced(before: Negotiation, step: Step, public_key: str, terms: Terms | None, now_s: int) -> Negotiation:
    """Return a negotiation after a step: a pure function. Raises BadStep, BadSignature, InvalidTerms."""
    if step.sequence != before.sequence + 1 or step.previous != before.last:
        raise BadStep(
            f"the negotiation has gone on: the next step is number {before.sequence + 1}, after {before.last}"
        )
    state = follow(before.state, step.kind, step.by, turn=before.turn, signed=before.signed)
    if step.sequence > STEPS_MAX:
        raise BadStep(f"a negotiation has at most {STEPS_MAX} steps; begin another one")
    sides = (before.terms.provider, before.terms.consumer)
    other = sides[1] if step.by == sides[0] else sides[0]
    after = replace(
        before, state=state, sequence=step.sequence, last=step.digest(), changed_s=max(now_s, before.changed_s), turn=""
    )
    if step.kind is Kind.COUNTER:
        assert terms is not None
        if (terms.provider, terms.consumer) != sides or terms.data_set != before.terms.data_set:
            raise InvalidTerms("data_set: a counter-offer is about the same data set between the same two sides")
        return replace(after, terms=terms, turn=other)
    if step.terms != before.terms.digest():
        raise BadStep("step.terms: other terms lie there now")
    if step.kind in (Kind.ACCEPT, Kind.SIGN) and now_s >= before.terms.valid_until_s:
        raise BadStep("the terms have ended; make a counter-offer, or begin anew")
    if step.kind is Kind.SIGN:
        signing.verify(public_key, signing.AGREEMENT, before.terms.canonical(), step.terms_signature)
        mine = Signature(public_key, step.terms_signature)
        after = replace(after, turn=other if state is State.SIGNED else "")
        return replace(after, provider=mine) if step.by == sides[0] else replace(after, consumer=mine)
    return after


def _row(db: sqlite3.Connection, name: str, party: str) -> sqlite3.Row:
    row: sqlite3.Row | None = db.execute("SELECT * FROM negotiation WHERE id = ?", (name,)).fetchone()
    if row is None or party not in (row["provider"], row["consumer"]):
        raise NotShared
    return row


def _negotiation(row: sqlite3.Row) -> Negotiation:
    provider, consumer = (
        Signature(row[f"{side}_key"], row[f"{side}_signature"]) if row[f"{side}_key"] else None
        for side in ("provider", "consumer")
    )
    return Negotiation(
        row["id"],
        State(row["state"]),
        Terms.from_json(row["terms"]),
        row["turn"],
        row["sequence"],
        row["last"],
        provider,
        consumer,
        row["created_s"],
        row["changed_s"],
    )


def _values(one: Negotiation) -> dict[str, str | int | None]:
    return {
        "id": one.id,
        "provider": one.terms.provider,
        "consumer": one.terms.consumer,
        "state": str(one.state),
        "turn": one.turn,
        "sequence": one.sequence,
        "last": one.last,
        "terms": one.terms.canonical().decode(),
        "digest": one.terms.digest(),
        "provider_key": one.provider.public_key if one.provider else None,
        "provider_signature": one.provider.signature if one.provider else None,
        "consumer_key": one.consumer.public_key if one.consumer else None,
        "consumer_signature": one.consumer.signature if one.consumer else None,
        "created_s": one.created_s,
        "changed_s": one.changed_s,
    }


def _insert(db: sqlite3.Connection, one: Negotiation) -> None:
    values = _values(one)
    names = ", ".join(values)
    db.execute(f"INSERT INTO negotiation ({names}) VALUES ({', '.join(f':{name}' for name in values)})", values)


def _update(db: sqlite3.Connection, one: Negotiation) -> None:
    values = _values(one)
    db.execute(f"UPDATE negotiation SET {', '.join(f'{name} = :{name}' for name in values)} WHERE id = :id", values)


def _step(document: str) -> Step:
    return Step.of(json.loads(document))
