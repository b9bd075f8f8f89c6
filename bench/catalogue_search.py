"""How long a search takes of a processor, and a page far behind the first, in a catalogue of generated episodes.

The episodes are made by SQL and not by recorders: 20 vendors, 1,000 units of 15 models, 2,000 tasks in words, four
outcomes, a third of them scored, one in a thousand labelled. They go into the catalogue's own tables, which its own
code then searches.
"""

import math
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from catalogue import Catalogue, Key, Query
from catalogue.catalogue import index_words
from catalogue.place import opening, readers
from database.address import Address, Place
from database.sql import Connection, Failed, is_absent, is_file
from palaestra.v1 import episode_pb2

VENDORS, MODELS, MAKERS, SCENARIOS, TASKS, UNITS = 20, 15, 7, 20, 2_000, 1_000
TASK_FIRST = 2
"""Its row; the one before it is the text of what is gone."""
VERBS = ("pick", "place", "open", "close", "push", "turn", "wipe", "pour", "carry", "stack")
THINGS = ("cube", "drawer", "valve", "door", "cup", "box", "towel", "bottle", "lid", "cable", "tray", "plate")
COLOURS = ("red", "green", "blue", "white", "black", "grey", "yellow", "brown")
PLACES = ("table", "shelf", "floor", "bench", "rack", "cart")
START_NS = 1_700_000_000_000_000_000
STEP_NS = 1_000_000_000
EPISODES, ROUNDS, PAGES = 200_000, 20, 150
BAR_P99_MS = 50.0
DATABASE = "PALAESTRA_BENCH_DATABASE"
"""Names an empty database in PostgreSQL."""


def task_of(number: int) -> str:
    """Return the text of a task; each has another."""
    verb, rest = VERBS[number % 10], number // 10
    thing, rest = THINGS[rest % 12], rest // 12
    return f"{verb} the {COLOURS[rest % 8]} {thing} near the {PLACES[rest // 8 % 6]} {number}"


def generate(place: Place, episodes: int) -> Catalogue:
    """Make a catalogue of so many episodes, the same each time, in a file or in PostgreSQL."""
    catalogue = Catalogue(place)
    body = episode_pb2.Episode(name="vendors/v0/episodes/e", robot_model="model_0", task=task_of(0)).SerializeToString()
    with catalogue.transaction() as db:
        for number in range(TASKS):
            row = number + TASK_FIRST
            db.execute("INSERT INTO task VALUES (?, ?)", (row, task_of(number)))
            index_words(db, row, task_of(number))
        indexes = [] if is_file(db) else _without_indexes(db)
        _fill(db, episodes, body)
        for statement in indexes:
            db.execute(statement)
    if not isinstance(place, Path):
        # A server does so by itself, a minute or so after many rows have come.
        with closing(opening(place).writer()) as db:
            db.execute("ANALYZE")
    return catalogue


def _without_indexes(db: Connection) -> list[str]:
    """Drop what would be kept up row by row; return what makes it again. Rows that fit need not be looked up either."""
    query = """
        SELECT indexname, indexdef FROM pg_indexes
        WHERE schemaname = current_schema() AND indexname LIKE 'episode_by%'
    """
    found = db.execute(query).fetchall()
    for name, _ in found:
        db.execute(f"DROP INDEX {name}")
    db.execute("SAVEPOINT keys")
    try:
        db.execute("SET LOCAL session_replication_role TO replica").fetchall()
    except Failed:
        # Only an administrator may; else it takes twice as long.
        db.execute("ROLLBACK TO keys")
    return [statement for _, statement in found]


def _fill(db: Connection, episodes: int, body: bytes) -> None:
    # A vendor has 100 of the tasks and 50 of the units; what belongs together follows from the task and the unit.
    db.execute(
        """
        CREATE TEMP TABLE made (id INTEGER PRIMARY KEY, v INTEGER, unit INTEGER, task INTEGER, outcome INTEGER,
          quality REAL, bin INTEGER, start_ns INTEGER)
        """
    )
    db.execute(
        f"""
        WITH RECURSIVE n(i) AS (SELECT CAST(1 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i < ?),
        drawn AS (SELECT i, (i * 2654435761) % 4294967296 AS a, (i * 40503 + 12345) % 1000003 AS b FROM n)
        INSERT INTO made SELECT i, a % {VENDORS}, a % {VENDORS} + {VENDORS} * (b % {UNITS // VENDORS}),
          {TASK_FIRST} + a % {VENDORS} + {VENDORS} * (b % {TASKS // VENDORS}),
          CASE WHEN b % 10 < 7 THEN 1 WHEN b % 10 < 9 THEN 2 WHEN b % 100 < 99 THEN 3 ELSE 4 END,
          CASE WHEN b % 3 = 0 THEN (b % 1000) / 1000.0 END, CASE WHEN b % 3 = 0 THEN b % 1000 / 100 ELSE -1 END,
          {START_NS} + i * {STEP_NS} FROM drawn
        """,
        (episodes,),
    ).fetchall()
    kind = f"""'v' || v AS vendor, 'model_' || (unit % {MODELS}) AS model,
      'maker ' || (unit % {MODELS} % {MAKERS}) AS maker,
      'scenario_' || (task % {SCENARIOS}) AS scenario, 1 + task % 4 AS level, task, outcome, bin"""
    db.execute(
        f"""
        INSERT INTO kind (id, vendor, robot_model, maker, scenario, level, task, outcome, quality_bin)
        SELECT row_number() OVER (ORDER BY vendor, model, task, outcome, bin), k.*
        FROM (SELECT DISTINCT {kind} FROM made) k
        """
    )
    db.execute("INSERT INTO session VALUES (1, 'v0', 's', 'j', 'm', '', '', 1, 0, 0, 0, 0)")
    join = "CROSS JOIN"
    if not is_file(db):
        # In a file the words say which of the two is gone through; here what is known of the rows.
        join = "JOIN"
        db.execute("ANALYZE made")
        db.execute("ANALYZE kind")
    db.execute(
        f"""
        INSERT INTO episode SELECT m.id, 'e-' || m.id, m.vendor, k.id, 'venues/v/units/u-' || m.unit,
          'vendors/' || m.vendor || '/jobs/j-' || (m.id / 2000), 1, m.start_ns, 10.0, 1000000,
          '{"0" * 48}' || (1000000000000000 + m.id), m.quality
        FROM (SELECT id, unit, quality, start_ns, {kind} FROM made) m {join} kind k ON k.vendor = m.vendor
          AND k.robot_model = m.model AND k.maker = m.maker AND k.scenario = m.scenario AND k.level = m.level
          AND k.task = m.task AND k.outcome = m.outcome AND k.quality_bin = m.bin ORDER BY m.id
        """
    )
    db.execute("INSERT INTO body SELECT id, ? FROM made", (body,))
    db.execute(
        "INSERT INTO label SELECT id, 'reviewed', 'anna', 'v' || v, start_ns, 0, '' FROM made WHERE id % 1000 = 7"
    )
    db.execute("DROP TABLE made")


def queries(chance: random.Random, episodes: int) -> list[Query]:
    """Return one query of each sort that people ask, with values drawn."""
    vendor = f"v{chance.randrange(VENDORS)}"
    number = int(vendor[1:]) + VENDORS * chance.randrange(UNITS // VENDORS)
    verb, thing = chance.choice(VERBS), chance.choice(THINGS)
    outcome, begin = chance.randrange(1, 5), START_NS + chance.randrange(episodes) * STEP_NS
    day_ns = 86_400 * 1_000_000_000
    own = Query(vendor=vendor)
    return [
        own,
        Query(),
        replace(own, robot_model=f"model_{chance.randrange(MODELS)}"),
        replace(own, maker=f"maker {chance.randrange(MAKERS)}", outcome=outcome),
        replace(own, scenario=f"scenario_{chance.randrange(SCENARIOS)}", level=chance.randrange(1, 5)),
        replace(own, text=f"{verb} {thing}"),
        replace(own, text=thing[:3] + "*", outcome=4),
        replace(own, text="nothing such"),
        replace(own, quality_min=chance.random()),
        replace(own, quality_min=0.95, outcome=2, text=verb),
        replace(own, robot=f"venues/v/units/u-{number}", outcome=outcome, text=thing),
        replace(own, job=f"vendors/{vendor}/jobs/j-{chance.randrange(max(1, episodes // 2000))}"),
        replace(own, start_ns=begin, end_ns=begin + day_ns, outcome=outcome),
        replace(own, labels=(("reviewed", "anna"),), outcome=outcome),
        Query(text=f"{verb} {thing}", outcome=outcome),
        Query(robot_model=f"model_{chance.randrange(MODELS)}", level=2, quality_min=0.9),
    ]


def times_ms(catalogue: Catalogue, asked: Sequence[Query], size: int = 50) -> list[float]:
    """Return what the first page of each takes of a processor [ms]."""
    return [_timed_ms(lambda query=query: catalogue.search(query, size=size)) for query in asked]  # type: ignore[misc]


def _timed_ms(act: Callable[[], object]) -> float:
    begin_s = time.thread_time()
    act()
    return (time.thread_time() - begin_s) * 1e3


def run(episodes: int = EPISODES, rounds: int = ROUNDS) -> dict[str, object]:
    """Measure, and where the environment names an empty database in PostgreSQL, measure there too."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "catalogue.db"
        catalogue, chance = generate(path, episodes), random.Random(1)
        asked = [query for _ in range(rounds) for query in queries(chance, episodes)]
        times_ms(catalogue, asked)
        taken = times_ms(catalogue, asked)
        early, late = pages_ms(catalogue, Query(vendor="v1"), pages=PAGES)
        found: dict[str, object] = {
            "episodes": episodes,
            "searches": len(taken),
            **_told(taken),
            "bar_p99_ms": BAR_P99_MS,
            "first_pages_ms": round(early, 2),
            "late_pages_ms": round(late, 2),
            "bytes_per_episode": path.stat().st_size // episodes,
        }
        if url := os.environ.get(DATABASE):
            found["beside"] = _beside(catalogue, Address(url), asked, episodes)
        catalogue.close()
        return found


def _beside(here: Catalogue, address: Address, asked: Sequence[Query], episodes: int) -> dict[str, object]:
    """Measure both as those who wait see it, one by turns with the other: a server's processor is not this thread's.

    Raises ValueError for a database that has a catalogue already.
    """
    with closing(readers(address)) as looking:
        try:
            looking.reader().execute("SELECT 1 FROM episode")
        except Failed as error:
            if not is_absent(error):
                raise
        else:
            raise ValueError(f"{address} has a catalogue already")
    there = generate(address, episodes)
    taken: dict[str, list[float]] = {"sqlite": [], "postgresql": []}
    for number, query in enumerate([*asked[:64], *asked]):
        for name, catalogue in (("sqlite", here), ("postgresql", there)):
            begin_s = time.perf_counter()
            catalogue.search(query)
            if number >= 64:
                taken[name].append((time.perf_counter() - begin_s) * 1e3)
    found: dict[str, object] = {name: _told(times) for name, times in taken.items()}
    for name, catalogue in (("sqlite", here), ("postgresql", there)):
        pages = pages_ms(catalogue, Query(vendor="v1"), pages=PAGES, clock=time.perf_counter)
        found[f"{name}_pages_ms"] = [round(one, 2) for one in pages]
    there.close()
    return found


def _told(taken_ms: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken_ms)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p99_ms": round(ordered[math.ceil(len(ordered) * 0.99) - 1], 2),
        "slowest_ms": round(ordered[-1], 2),
    }


def counted_ms(catalogue: Catalogue) -> float:
    """Return what going through every episode of the table once takes of a processor [ms]."""
    return _timed_ms(lambda: catalogue.reader.execute("SELECT sum(duration_s) FROM episode").fetchone())


def pages_ms(
    catalogue: Catalogue, query: Query, *, pages: int, size: int = 50, clock: Callable[[], float] = time.thread_time
) -> tuple[float, float]:
    """Return what the first and the last third of so many pages take, each by its median [ms]."""
    after: Key | None = None
    taken: list[float] = []
    for _ in range(pages):
        begin_s = clock()
        page = catalogue.search(query, after=after, size=size)
        taken.append((clock() - begin_s) * 1e3)
        if (after := page.next) is None:
            break
    third = max(1, len(taken) // 3)
    return statistics.median(taken[:third]), statistics.median(taken[-third:])
