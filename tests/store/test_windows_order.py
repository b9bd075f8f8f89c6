"""The order of windows: a permutation without memory."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.windows.order import places


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1), epoch=st.integers(0, 1000))
def test_each_thing_comes_once_an_epoch(count: int, seed: int, epoch: int) -> None:
    order = places(count, np.arange(count), seed=seed, epoch=epoch)

    assert np.array_equal(np.sort(order), np.arange(count))


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 2**62 - 1), seed=st.integers(0, 100), share=st.floats(0, 1))
def test_a_place_alone_tells_what_comes_there(count: int, seed: int, share: float) -> None:
    """One by one or together, also of counts that no memory would hold."""
    at = np.unique([0, int(share * (count - 1)), count - 1])

    together = places(count, at, seed=seed)
    one_by_one = [int(places(count, [place], seed=seed)[0]) for place in at]

    assert together.tolist() == one_by_one
    assert len(set(one_by_one)) == len(at)
    assert 0 <= together.min() <= together.max() < count


@pytest.mark.parametrize("other", [{"seed": 1}, {"seed": 0, "epoch": 1}])
def test_another_seed_or_epoch_is_another_order(other: dict[str, int]) -> None:
    at = np.arange(2000)

    assert (places(2000, at, seed=0) == places(2000, at, **other)).mean() < 0.02


def test_no_thing_prefers_a_place() -> None:
    """Over 400 seeds each of 8 things comes first about 50 times: chi square with 7 degrees of freedom, p = 1e-6."""
    first = [int(places(8, [0], seed=seed)[0]) for seed in range(400)]
    counts = np.bincount(first, minlength=8)

    assert ((counts - 50.0) ** 2 / 50.0).sum() < 40.5


def test_neighbours_of_an_order_are_strangers() -> None:
    order = places(10_000, np.arange(10_000), seed=5)

    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) < 0.06
    assert abs(np.corrcoef(order, np.arange(10_000))[0, 1]) < 0.06
