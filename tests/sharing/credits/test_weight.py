"""The weight of a recording: a pure function in whole numbers."""

from decimal import ROUND_UP, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.credits import HALF_MS, HOUR_MS, MILLION, Facts, scarcity_ppm, weigh

_PPM = st.integers(0, MILLION)
_POOL = st.integers(0, 10_000 * HOUR_MS)


def test_an_hour_of_what_was_not_there_before_is_worth_nearly_a_credit_and_half_of_it_when_the_pool_is_full() -> None:
    hour = Facts(HOUR_MS, HOUR_MS, MILLION, MILLION, 0)
    # 10 ln(11 / 10) hours, by hand.
    assert weigh(hour) == 953_101
    assert scarcity_ppm(hour) == 953_101
    assert 480_000 < weigh(Facts(HOUR_MS, HOUR_MS, MILLION, MILLION, HALF_MS)) < 500_000


def test_what_the_thread_thinks_of_decimals_changes_no_weight() -> None:
    facts = Facts(7 * HOUR_MS + 1, 7 * HOUR_MS, 987_654, MILLION, 12_345_678)
    plain = weigh(facts)
    with localcontext() as context:
        context.prec, context.rounding = 3, ROUND_UP
        assert weigh(facts) == plain


@given(st.lists(st.integers(0, 24 * HOUR_MS), min_size=1, max_size=6), _PPM, _PPM, _POOL)
def test_pieces_one_after_the_other_never_earn_more_than_the_whole(
    pieces: list[int], quality: int, provenance: int, pool: int
) -> None:
    whole = weigh(Facts(sum(pieces), sum(pieces), quality, provenance, pool))
    earned = 0
    for piece in pieces:
        earned += weigh(Facts(piece, piece, quality, provenance, pool))
        pool += piece
    assert whole - len(pieces) <= earned <= whole


@given(st.integers(0, 24 * HOUR_MS), _PPM, _PPM, _POOL)
def test_no_factor_is_worth_more_than_one(novel: int, quality: int, provenance: int, pool: int) -> None:
    facts = Facts(novel, novel, quality, provenance, pool)
    assert 0 <= weigh(facts) <= novel * MILLION // HOUR_MS
    assert (
        weigh(facts)
        <= weigh(Facts(novel, novel, MILLION, MILLION, pool))
        <= weigh(Facts(novel, novel, MILLION, MILLION, 0))
    )
    assert 0 <= scarcity_ppm(facts) <= MILLION


@pytest.mark.parametrize(
    "facts", [(1, 2, 0, 0, 0), (1, 1, MILLION + 1, 0, 0), (-1, 0, 0, 0, 0), (1.0, 1, 0, 0, 0), (1, True, 0, 0, 0)]
)
def test_facts_out_of_their_bounds_are_refused(facts: tuple[int, int, int, int, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|more than|at most"):
        Facts(*facts)
