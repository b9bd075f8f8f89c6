"""The catalogue with very many episodes. Times are a processor's, and bounds are between searches of one run."""

import json
import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from bench import catalogue_search
from catalogue import Catalogue, Key, Query
from catalogue.search import search
from database.sql import Connection
from tests.cluster import Cluster


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("episodes", [100_000, pytest.param(5_000_000, marks=pytest.mark.long)])
def test_searches_stay_short_and_a_late_page_costs_what_the_first_one_does(tmp_path: Path, episodes: int) -> None:
    catalogue = catalogue_search.generate(tmp_path / "catalogue.db", episodes)
    chance = random.Random(1)
    rounds = 4
    asked = [query for _ in range(rounds) for query in catalogue_search.queries(chance, episodes)]
    catalogue_search.times_ms(catalogue, asked[:16])

    times_ms = sorted(catalogue_search.times_ms(catalogue, asked))

    plain_ms = statistics.median(catalogue_search.times_ms(catalogue, [Query(vendor="v1")] * 9))
    counted_ms = catalogue_search.counted_ms(catalogue)
    # Going through all of them once is what a search without a way would do.
    assert times_ms[len(times_ms) * 99 // 100 - 1] < max(counted_ms, 20 * plain_ms)
    early, late = catalogue_search.pages_ms(catalogue, Query(vendor="v1"), pages=60)
    assert late < 5 * early + 1.0
    catalogue.close()


class Counting:
    """A connection to PostgreSQL that adds up how many pages of the database its statements have looked at."""

    def __init__(self, db: Connection) -> None:
        self._db = db
        self.pages = 0

    def execute(self, sql: str, values: Any = ()) -> Any:
        (told,) = self._db.execute(f"EXPLAIN (ANALYZE, BUFFERS, TIMING off, FORMAT json) {sql}", values).fetchone()
        plan = (json.loads(told) if isinstance(told, str) else told)[0]["Plan"]
        self.pages += plan["Shared Hit Blocks"] + plan["Shared Read Blocks"]
        return self._db.execute(sql, values)


def pages_of(catalogue: Catalogue, query: Query, after: Key | None = None) -> tuple[int, Any]:
    """Return how many pages of the database one page of episodes takes, and the episodes."""
    counting = Counting(catalogue.reader)
    found = search(counting, query, after, 50)  # type: ignore[arg-type]
    return counting.pages, found


@pytest.fixture(scope="module", params=[30_000, pytest.param(1_000_000, marks=pytest.mark.long)])
def large(request: pytest.FixtureRequest, cluster: Cluster) -> Any:
    """A catalogue in PostgreSQL."""
    made = catalogue_search.generate(cluster.fresh(empty=True), request.param)
    yield made, request.param
    made.close()


@pytest.mark.timeout(3600)
def test_no_search_in_postgresql_goes_through_the_table_and_a_late_page_takes_what_the_first_one_does(
    large: tuple[Catalogue, int],
) -> None:
    """By what the server says it has looked at, which no busy machine changes."""
    catalogue, episodes = large
    (table,) = catalogue.reader.execute("SELECT pg_relation_size('episode') / 8192").fetchone()
    chance = random.Random(1)
    worst = max(pages_of(catalogue, query)[0] for _ in range(4) for query in catalogue_search.queries(chance, episodes))
    assert worst < table

    query, after = Query(vendor="v1"), None
    taken = []
    for _ in range(28):
        pages, found = pages_of(catalogue, query, after)
        taken.append(pages)
        after = Key(*found[49])
    assert max(taken[-9:]) <= 2 * max(taken[:9])


@pytest.mark.timeout(3600)
def test_what_others_did_on_a_unit_costs_a_vendor_nothing_in_postgresql_either(large: tuple[Catalogue, int]) -> None:
    """A fiftieth of the vendor's on one unit; all the others' there are on none of the pages that are looked at."""
    catalogue, _ = large
    unit = "venues/v/units/u-4"
    alone, found = pages_of(catalogue, Query(vendor="v4", robot=unit))
    with catalogue.transaction() as db:
        db.execute(
            """
            UPDATE episode SET unit = ? WHERE vendor <> 'v4' AND id IN (SELECT id FROM episode ORDER BY id LIMIT 3000)
            """,
            (unit,),
        )

    pages, again = pages_of(catalogue, Query(vendor="v4", robot=unit))
    assert again == found
    assert pages <= alone + 5


def test_every_page_of_a_search_together_has_every_episode_once(tmp_path: Path) -> None:
    catalogue: Any = catalogue_search.generate(tmp_path / "catalogue.db", 20_000)
    query, seen, after = Query(vendor="v3", outcome=1), [], None
    while True:
        page = catalogue.search(query, after=after, size=97)
        seen += [record.id for record in page.rows]
        after = page.next
        if after is None:
            break

    counted = catalogue.reader.execute(
        "SELECT count(*) FROM episode e JOIN kind k ON k.id = e.kind WHERE e.vendor = 'v3' AND k.outcome = 1"
    ).fetchone()[0]
    assert len(seen) == len(set(seen)) == counted > 300
    assert isinstance(catalogue, Catalogue)
    catalogue.close()
