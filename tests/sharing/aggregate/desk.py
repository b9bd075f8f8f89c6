"""A desk whose questions are answered in this process: for tests of everything around the process that answers."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from sharing.aggregate.desk import Desk
from sharing.aggregate.engine import Engine
from sharing.aggregate.field import Field, field_of
from sharing.aggregate.ledger import Ledger
from sharing.aggregate.number import Bounds
from sharing.aggregate.question import Question
from sharing.aggregate.release import Known, released
from sharing.grant import Grant
from sharing.projection.tables import Projection
from tests.sharing.given import Shelf, projection
from tests.sharing.stage import Stage, stage

BOUNDS = {"aggregate-bounds": {"duration_s": "0..60"}}
SUM = {"measures": [{"of": "sum", "field": "duration_s"}]}


def engine_of(question: Question, facts: Mapping[str, Sequence[Any]]) -> Engine:
    """Return an engine that holds what a question looks at."""
    count = len(next(iter(facts.values())))
    columns = {f"f{number}": facts[field.name] for number, field in enumerate(question.fields)}
    return Engine(pa.table({**columns, "one": [1] * count}))


def exact_sum(facts: Mapping[str, Sequence[Any]], question: Question) -> int:
    """Return what a sum is before its noise, in steps."""
    from sharing.aggregate.statement import statement_of

    engine = engine_of(question, facts)
    return int(engine.rows(statement_of(question, question.measures[0], Bounds.parse("0..60")))[0][-1])


class Here(Desk):
    """Answers in this process; counts how often it had to."""

    facts: Mapping[str, Sequence[Any]]
    engines: dict[tuple[Field, ...], Engine]
    computed = 0

    def _answered(self, question: Question, grant: Grant, projection: Projection, known: Known) -> str:
        self.computed += 1
        engine = self.engines.get(question.fields)
        if engine is None:
            engine = self.engines[question.fields] = engine_of(question, self.facts)
        return json.dumps(released(question, known, engine.rows))


def desk_of(folder: Path, facts: Mapping[str, Sequence[Any]], **terms: Any) -> tuple[Here, str, Stage]:
    """Return a desk behind a real gate, the digest of the agreement, and the stage."""
    shelf = Shelf(projection(folder / "projection", facts))
    staged = stage(folder, projector=shelf)
    fields = {"channels": ("aggregate",), "privacy_millionths": 3_000_000, "transforms": BOUNDS}
    agreement = staged.agree(**fields | terms).digest
    room = staged.room
    desk = Here(room.gate, shelf, room.witness, Ledger(room.database, room.witness, room.clock.now_s))
    desk.facts, desk.engines = facts, {}
    return desk, agreement, staged


def known(question: Question, bounds: str = "0..60", values: Mapping[str, tuple[str, ...]] = {}) -> Known:
    """Return what is declared: the same bounds for all numbers, and values by field."""
    numbers = {field: Bounds.parse(bounds) for field in question.fields if not field.is_text}
    return Known(numbers, {field_of(name): texts for name, texts in values.items()})
