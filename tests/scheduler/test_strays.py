"""Which units are driven without a lease for so long that it can be no message under way."""

from scheduler.strays import Strays


def test_a_unit_that_is_driven_without_a_lease_is_told_once_after_the_patience() -> None:
    strays = Strays(patience_s=2.0)

    assert strays.seen({"a"}, set(), 0.0) == []
    assert strays.seen({"a"}, set(), 1.9) == []
    assert strays.seen({"a"}, set(), 2.1) == ["a"]
    assert strays.seen({"a"}, set(), 3.0) == []


def test_a_unit_that_stopped_or_was_granted_in_between_is_looked_at_anew() -> None:
    strays = Strays(patience_s=2.0)

    for gap in (strays.seen(set(), set(), 1.0), strays.seen({"a"}, {"a"}, 4.0)):
        assert gap == []
    strays.seen({"a"}, set(), 5.0)
    strays.seen(set(), set(), 6.0)
    assert strays.seen({"a"}, set(), 7.5) == []
    assert strays.seen({"a"}, set(), 9.6) == ["a"]
    strays.seen(set(), set(), 10.0)
    strays.seen({"a"}, set(), 11.0)
    assert strays.seen({"a"}, set(), 14.0) == ["a"]
