"""Ranges of bytes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing.delta.ranges import Unsatisfiable, range_of


@given(st.binary(min_size=1, max_size=40), st.integers(0, 50), st.integers(0, 50))
def test_a_range_is_the_bytes_that_python_would_give(data: bytes, first: int, last: int) -> None:
    try:
        found = range_of(f"bytes={first}-{last}", len(data))
    except Unsatisfiable:
        assert first >= len(data)
        return
    if last < first:
        assert found is None
    else:
        assert found is not None
        assert data[found[0] :][: found[1]] == data[first : last + 1]


@given(st.binary(min_size=1, max_size=40), st.integers(1, 50))
def test_a_range_from_the_end_or_to_it(data: bytes, number: int) -> None:
    assert range_of(f"bytes=-{number}", len(data)) == (max(0, len(data) - number), min(number, len(data)))
    assert range_of("bytes=0-", len(data)) == (0, len(data))


@pytest.mark.parametrize(
    "header", [None, "", "bytes=", "bytes=-", "bytes=1-2,4-5", "lines=1-2", "bytes=x-", "bytes=٣-٤"]
)
def test_what_is_no_range_of_ours_means_the_whole(header: str | None) -> None:
    assert range_of(header, 10) is None


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=10-12", "bytes=-0"])
def test_bytes_that_are_not_there_are_none(header: str) -> None:
    with pytest.raises(Unsatisfiable):
        range_of(header, 10)
