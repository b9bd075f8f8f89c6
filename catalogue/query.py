"""What to look for, and how: which way through the indices, decided before anything is read.

Conditions on what episodes are (vendor, model, maker, scenario, level, task, outcome, tenths of quality) choose
*kinds*, of which there are few. Then one of three ways leads to the page:

- a *label*, a *job* or a *unit* is looked up, and its episodes are gone through from the newest, each with all that has
  to fit in the index;
- else the vendor's episodes are gone through from the newest, `SCAN_ROWS` of them: where what is looked for is
  frequent, the page is full soon;
- else each kind's list is asked for its newest episode, and the page is made of the lists that are ahead: no list that
  is not among the first n can have one of the first n episodes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from catalogue import words

SCAN_ROWS = 20_000
"""So many rows of a covering index take a few milliseconds."""
QUALITY_BINS = 10
GONE_KIND = 0
"""What episodes are of which the scheduler knows nothing any more."""


class BadQuery(ValueError):
    """A condition that cannot be looked for; says which and why."""


@dataclass(frozen=True)
class Key:
    """Where a page ends: the last episode's start and number. The next one has older ones only."""

    start_ns: int
    id: int


@dataclass(frozen=True)
class Query:
    """All conditions hold together; what is empty or None always holds.

    Attributes:
        vendor: Whose; None: everybody's, for operators alone.
        text: Words that the task has, all of them; see `words.asked`.
        quality_min: 0 to 1; an episode without a score never meets it.
        start_ns, end_ns: Started at or after, and before.
        labels: (key, value), or (key, None) for any value.
    """

    vendor: str | None = None
    robot: str = ""
    robot_model: str = ""
    maker: str = ""
    scenario: str = ""
    level: int = 0
    text: str = ""
    outcome: int = 0
    quality_min: float | None = None
    start_ns: int | None = None
    end_ns: int | None = None
    job: str = ""
    labels: tuple[tuple[str, str | None], ...] = ()

    @property
    def chooses_kinds(self) -> bool:
        """Whether any condition is one on kinds, apart from the vendor."""
        facets = (self.robot_model, self.maker, self.scenario, self.level, self.text, self.outcome)
        return any(facets) or self.quality_min is not None


Sql = tuple[str, list[object]]


def quality_bin(quality: float | None) -> int:
    """Return the tenth that a quality belongs to, -1 for none."""
    return -1 if quality is None else min(int(quality * QUALITY_BINS), QUALITY_BINS - 1)


def kinds(query: Query, *, in_file: bool) -> Sql:
    """Return the query for the numbers of the kinds, in a file or in PostgreSQL, which have words in their own ways.

    Raises BadQuery if the text has no word in it.
    """
    conditions: list[str] = []
    values: list[object] = []
    for column, value in (
        ("vendor", query.vendor),
        ("robot_model", query.robot_model),
        ("maker", query.maker),
        ("scenario", query.scenario),
        ("level", query.level),
        ("outcome", query.outcome),
    ):
        if value:
            conditions.append(f"{column} = ?")
            values.append(value)
    if query.quality_min is not None:
        conditions.append("quality_bin >= ?")
        values.append(quality_bin(query.quality_min))
    if query.text:
        expression = words.asked(query.text)
        if not expression:
            raise BadQuery(f"text: {query.text[:80]!r} has no word to look for")
        matching = "task_word MATCH ?" if in_file else "text @@ CAST(? AS TSQUERY)"
        conditions.append(f"task IN (SELECT rowid FROM task_word WHERE {matching})")
        values.append(expression if in_file else words.sought(query.text))
    return f"SELECT id FROM kind WHERE {' AND '.join(conditions) or '1 = 1'}", values


def rows_of(query: Query, after: Key | None) -> Sql:
    """Return the conditions on an episode's own columns: vendor, time, quality, and what comes after the key."""
    conditions: list[str] = []
    values: list[object] = []
    if query.vendor is not None:
        conditions.append("e.vendor = ?")
        values.append(query.vendor)
    else:
        # They are nobody's.
        conditions.append(f"e.kind <> {GONE_KIND}")
    text, more = span(query, after)
    return " AND ".join([*conditions, *text]) or "1 = 1", [*values, *more]


def span(query: Query, after: Key | None) -> tuple[list[str], list[object]]:
    """Return the conditions on time and quality."""
    conditions: list[str] = []
    values: list[object] = []
    if after is not None:
        conditions.append("(e.start_ns, e.id) < (?, ?)")
        values += [after.start_ns, after.id]
    if query.start_ns is not None:
        conditions.append("e.start_ns >= ?")
        values.append(query.start_ns)
    if query.end_ns is not None:
        conditions.append("e.start_ns < ?")
        values.append(query.end_ns)
    if query.quality_min is not None:
        conditions.append("e.quality >= ?")
        values.append(query.quality_min)
    return conditions, values


def labelled(labels: Sequence[tuple[str, str | None]]) -> tuple[list[str], list[object]]:
    """Return the conditions that an episode has all these labels."""
    conditions: list[str] = []
    values: list[object] = []
    for key, value in labels:
        one = "EXISTS (SELECT 1 FROM label l WHERE l.episode = e.id AND l.key = ?"
        conditions.append(one + (")" if value is None else " AND l.value = ?)"))
        values += [key] if value is None else [key, value]
    return conditions, values
