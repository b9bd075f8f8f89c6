"""Statistics of features."""

import numpy as np
import pytest

from store.featurestats import QUANTILES, FeatureStats


def test_pooled_statistics_are_those_of_all_rows_together() -> None:
    """Parts of different length and place against numpy over their concatenation."""
    rng = np.random.default_rng(0)
    parts = [rng.normal(place, 2.0, (rows, 3)) for place, rows in ((0.0, 5), (100.0, 300), (-3.0, 1))]
    together = np.concatenate(parts)

    pooled = FeatureStats.pooled([FeatureStats.of(part) for part in parts])

    assert pooled.count == 306
    assert np.array_equal(pooled.low, together.min(axis=0))
    assert np.array_equal(pooled.high, together.max(axis=0))
    assert np.allclose(pooled.mean, together.mean(axis=0), rtol=1e-12)
    assert np.allclose(pooled.std, together.std(axis=0), rtol=1e-12)


def test_quantiles_of_a_data_set_are_weighted_by_the_length_of_its_episodes() -> None:
    """One value 0 and three values 8: the weighted median is 6, as the format's own writer has it."""
    pooled = FeatureStats.pooled([FeatureStats.of(np.zeros((1, 1))), FeatureStats.of(np.full((3, 1), 8.0))])

    assert pooled.quantiles["q50"].tolist() == [6.0]


def test_one_episode_has_the_quantiles_of_numpy() -> None:
    """Every level, every dimension."""
    values = np.random.default_rng(1).standard_normal((101, 2))

    lists = FeatureStats.of(values).as_lists()

    for name, level in QUANTILES.items():
        assert lists[name] == pytest.approx(np.quantile(values, level, axis=0).tolist())
    assert list(lists) == ["min", "max", "mean", "std", "count", "q01", "q10", "q50", "q90", "q99"]
