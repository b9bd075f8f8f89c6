"""The catalogue with very many episodes. Times are a processor's, and bounds are between searches of one run."""

import random
import statistics
from pathlib import Path
from typing import Any

import pytest

from bench import catalogue_search
from catalogue import Catalogue, Query


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("episodes", [200_000, pytest.param(5_000_000, marks=pytest.mark.long)])
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
