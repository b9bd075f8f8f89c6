"""No episode stands alone by what is told of it."""

from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.projection.anonymity import ORDER, generalised, smallest_class

ROWS = st.lists(
    st.fixed_dictionaries({name: st.sampled_from((None, "a", "b", "c")) for name in ORDER} | {"task": st.just("walk")}),
    max_size=40,
)


@settings(deadline=None, max_examples=200)
@given(ROWS, st.integers(2, 8))
def test_every_class_has_k_rows_and_nothing_is_made_up(rows: list[dict[str, str | None]], k: int) -> None:
    """Where there are k in all; a value stays or goes."""
    out = generalised(rows, k)

    assert smallest_class(out) >= k or (len(rows) < k and smallest_class(out) == len(rows))
    for before, after in zip(rows, out, strict=True):
        assert after["task"] == "walk"
        assert all(after[name] in (before[name], None) for name in ORDER)


def test_what_is_alike_with_enough_others_is_told_in_full() -> None:
    """Nothing is suppressed that need not be."""
    rows = [dict.fromkeys(ORDER, "a")] * 5 + [dict.fromkeys(ORDER, "b")] * 6

    assert generalised(rows, 5) == rows
