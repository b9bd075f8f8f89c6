"""Where questions are asked: granted, checked, charged, answered once, and noted."""

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from sharing.aggregate.field import NUMBERS, TEXTS, Field, bounds_of, check_granted, values_of
from sharing.aggregate.ledger import Balance, Charge, Ledger
from sharing.aggregate.question import Question
from sharing.aggregate.release import DELTA_TRILLIONTHS, MAX_GROUPS, Known, possible, selects
from sharing.confined import process
from sharing.confined.data import VALUE, is_signal
from sharing.confined.fence import Limits
from sharing.confined.parcel import Reading, packed
from sharing.errors import BudgetExhausted, InvalidQuestion
from sharing.grant import Ask, Grant
from sharing.projection.tables import EPISODES, JOINTS, Projection
from sharing.terms import Channel, Purpose
from sharing.witness import Witness

WORKER = "sharing.aggregate.worker"
LIMITS = Limits(memory_bytes=2 << 30, cpu_s=60, time_s=120.0, answer_bytes=1 << 20)
AT_ONCE = 2
WAITING_MOST, WAITING_EACH = 12, 3
"""Questions under way, of all and of one consumer: more are refused, so that nobody's threads are all taken."""


class Deciding(Protocol):
    """The one decision, see `sharing.gate.Gate`."""

    def authorize(self, ask: Ask) -> Grant:
        """Return the grant. Raises NotShared."""
        ...

    def still(self, grant: Grant) -> None:
        """Raise NotShared as soon as the grant is over."""
        ...


class Projecting(Reading, Protocol):
    """Makes projections, see `sharing.projection.projector.Projector`."""

    def project(self, grant: Grant) -> Projection:
        """Return the projection of a grant."""
        ...


class TooManyQuestions(Exception):
    """So many questions are under way that this one is not even looked at."""


@dataclass(frozen=True)
class Answer:
    """An answer, with how the budget stands now."""

    body: Mapping[str, Any]
    balance: Balance

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**self.body, "left_millionths": self.balance.left_millionths}


class Desk:
    """Answers questions. Safe from any thread; a few at a time, the others wait."""

    def __init__(self, gate: Deciding, projector: Projecting, witness: Witness, ledger: Ledger) -> None:
        self._gate = gate
        self._projector = projector
        self._witness = witness
        self._ledger = ledger
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._under_way: Counter[str] = Counter()
        self._counting = threading.Lock()

    def ask(self, consumer: str, agreement: str, purpose: Purpose, question: Question) -> Answer:
        """Return the answer to a question under an agreement.

        Raises:
            NotShared: There is nothing here for this consumer.
            InvalidQuestion: It asks about what was not granted, or has no bounds.
            BudgetExhausted: The budget does not cover it.
            TooManyQuestions: So many are under way; nothing was charged.
            WorkEnded: It could not be answered. What it cost stays paid, and asking again is free.
        """
        digest = question.digest()
        grant = self._gate.authorize(
            Ask(consumer, agreement, Channel.AGGREGATE, purpose, question.version, about=f"question {digest}")
        )
        with self._place(consumer):
            return self._asked(grant, question, digest)

    @contextmanager
    def _place(self, consumer: str) -> Iterator[None]:
        with self._counting:
            if self._under_way.total() >= WAITING_MOST or self._under_way[consumer] >= WAITING_EACH:
                raise TooManyQuestions
            self._under_way[consumer] += 1
        try:
            yield
        finally:
            with self._counting:
                self._under_way -= Counter({consumer: 1})

    def _asked(self, grant: Grant, question: Question, digest: str) -> Answer:
        projection = self._projector.project(grant)
        known = known_of(question, grant, projection)
        delta = DELTA_TRILLIONTHS if selects(question, known) else 0
        charge = self._charged(grant, projection.version, question, digest, delta)
        body = charge.answer
        if body is None:
            body = self._ledger.answer(charge.id, self._answered(question, grant, projection, known))
        # Between the decision and here it may have been revoked.
        self._gate.still(grant)
        self._witness.note(
            "bytes", {**grant.parties(), "channel": str(Channel.AGGREGATE), "about": digest, "size_bytes": len(body)}
        )
        head = {
            "agreement": grant.agreement,
            "data_set": grant.data_set,
            "version": projection.version,
            "question": digest,
            "epsilon_millionths": question.epsilon_millionths,
            "delta": delta / 1e12,
        }
        return Answer({**head, **json.loads(body)}, self._ledger.balance(grant))

    def balance(self, consumer: str, agreement: str, purpose: Purpose) -> Balance:
        """Return how a consumer's budget stands. Raises NotShared."""
        ask = Ask(consumer, agreement, Channel.AGGREGATE, purpose, about="budget")
        return self._ledger.balance(self._gate.authorize(ask))

    def _charged(self, grant: Grant, version: int, question: Question, digest: str, delta: int) -> Charge:
        try:
            return self._ledger.charge(grant, version, digest, question.epsilon_millionths, delta)
        except BudgetExhausted:
            fields: dict[str, str | int] = {
                "question": digest,
                "epsilon_millionths": question.epsilon_millionths,
                "allowed": 0,
            }
            self._witness.note("budget", {**grant.parties(), **fields})
            raise

    def _answered(self, question: Question, grant: Grant, projection: Projection, known: Known) -> str:
        """Return the noisy answer, computed by a fresh process that holds what was granted and nothing else."""

        def still() -> None:
            self._gate.still(grant)

        signals = any(field.signal for field in question.fields)
        contents = {name: files for name, files in projection.tables.items() if signals or name == EPISODES}
        told = {
            "question": question.as_json(),
            "bounds": {field.name: str(bounds) for field, bounds in known.bounds.items()},
            "values": {field.name: list(values) for field, values in known.values.items()},
        }
        with self._turns, packed(contents, self._projector, still) as parcel:
            answer = process.run(WORKER, told, parcel, LIMITS, still)
        return json.dumps(json.loads(answer), sort_keys=True, separators=(",", ":"))


def known_of(question: Question, grant: Grant, projection: Projection) -> Known:
    """Return what is declared about a question's fields. Raises InvalidQuestion for what is not granted."""
    names = set(projection.schemas[EPISODES].names)
    check_granted(question.fields, names & {*TEXTS, *NUMBERS}, signals_of(projection))
    bounds = {one.field: bounds_of(one.field, grant.transforms) for one in question.measures if one.kind != "count"}
    values: dict[Field, tuple[str, ...]] = {field: values_of(field, grant.transforms) for field in question.by}
    known = Known(bounds, values)
    if possible(question, known) > MAX_GROUPS:
        raise InvalidQuestion(f"by: more than {MAX_GROUPS} groups")
    return known


def signals_of(projection: Projection) -> set[str]:
    """Return the signals that a projection has: columns of the joints, and each other table of numbers."""
    found = {name for name in projection.schemas[JOINTS].names if is_signal(projection.schemas[JOINTS], name)}
    others = set(projection.schemas) - {EPISODES, JOINTS}
    return found | {table for table in others if is_signal(projection.schemas[table], VALUE)}
