"""The SQL of a question: our text, with columns by their numbers and values bound. No text of the asker's is in it.

All episodes are in one table `facts`, one row for each: `f0`, `f1` and so on are the question's fields in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sharing.aggregate.field import Field
from sharing.aggregate.number import STEPS, Bounds, decimal
from sharing.aggregate.question import Condition, Measure, Question

Value = str | float | int


@dataclass(frozen=True)
class Statement:
    """SQL and what is bound to it. Rows are the groups' texts, then `value`, and for a histogram the bin before it."""

    text: str
    values: tuple[Value, ...]


def columns_of(question: Question) -> dict[Field, str]:
    """Return the column of each field."""
    return {field: f"f{number}" for number, field in enumerate(question.fields)}


def count_of(question: Question) -> Statement:
    """Return the statement that counts the episodes of each group."""
    return _grouped(question, "count(*)", (), ())


def statement_of(question: Question, measure: Measure, bounds: Bounds | None) -> Statement:
    """Return the statement of a measure; its values are whole steps of the bounds' width, see `steps`."""
    if measure.kind == "count" or bounds is None:
        return count_of(question)
    column = columns_of(question)[measure.field]
    least, most = float(bounds.least), float(bounds.most)
    clipped = f"least(greatest({column}, ?), ?)"
    present = (f"{column} IS NOT NULL",)
    if measure.kind == "histogram":
        # The upper bound itself belongs to the last bin.
        text = f"least(CAST(floor(({clipped} - ?) / ?) AS BIGINT), ?)"
        edges = (least, most, least, float(bounds.width) / measure.bins, measure.bins - 1)
        return _grouped(question, "count(*)", (), present, more=(text, edges))
    origin = float(origin_of(measure, bounds))
    step = float(bounds.reach if measure.kind == "sum" else bounds.width) / STEPS
    text, values = f"CAST(round(({clipped} - ?) / ?) AS BIGINT)", (least, most, origin, step)
    made = {"sum": f"CAST(sum({text}) AS BIGINT)", "mean": f"CAST(sum({text}) AS BIGINT)", "quantile": f"list({text})"}
    return _grouped(question, made[measure.kind], values, present)


def present_of(question: Question, measure: Measure) -> Statement:
    """Return the statement that counts the episodes of each group that have the measure's field."""
    return _grouped(question, "count(*)", (), (f"{columns_of(question)[measure.field]} IS NOT NULL",))


def origin_of(measure: Measure, bounds: Bounds) -> Any:
    """Return from where steps are counted: a mean's from the middle, a quantile's from below, a sum's from zero."""
    if measure.kind == "mean":
        return (bounds.least + bounds.most) / 2
    return bounds.least if measure.kind == "quantile" else bounds.least * 0


def _grouped(
    question: Question,
    value: str,
    values: Sequence[Value],
    present: Sequence[str],
    *,
    more: tuple[str, Sequence[Value]] | None = None,
) -> Statement:
    columns = columns_of(question)
    groups = [columns[field] for field in question.by]
    chosen = [*groups, *([more[0]] if more else []), value]
    bound: list[Value] = [*(more[1] if more else ()), *values]
    conditions = [*present, *(f"{group} IS NOT NULL" for group in groups)]
    for condition in question.where:
        text, some = _condition(condition, columns)
        conditions.append(text)
        bound += some
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    by = [str(number) for number in range(1, len(chosen))]
    return Statement(
        f"SELECT {', '.join(chosen)} FROM facts{where}{' GROUP BY ' + ', '.join(by) if by else ''}", tuple(bound)
    )


def _condition(condition: Condition, columns: Mapping[Field, str]) -> tuple[str, list[Value]]:
    column = columns[condition.field]
    if condition.values:
        return f"{column} IN ({', '.join('?' * len(condition.values))})", list(condition.values)
    parts, values = [], []
    for bound, sign in ((condition.begin, ">="), (condition.end, "<")):
        if bound:
            parts.append(f"{column} {sign} ?")
            values.append(float(decimal(bound)))
    return " AND ".join(parts), [*values]
