"""Which units are driven without a lease for so long that it can be no message under way."""

from collections.abc import Iterable

from scheduler.strays import Strays


def listen(strays: Strays, driven: set[str], granted: set[str], times_s: Iterable[float]) -> list[str]:
    """Return what is found in beats at these times."""
    return [unit for time_s in times_s for unit in strays.seen(driven, granted, time_s)]


def test_a_unit_that_is_driven_without_a_lease_is_told_once_after_the_patience() -> None:
    strays = Strays(patience_s=2.0)

    assert listen(strays, {"a"}, set(), (0.0, 0.5, 1.0, 1.5, 2.0)) == []
    assert listen(strays, {"a"}, set(), (2.5, 3.0, 3.5)) == ["a"]


def test_a_unit_that_stopped_or_was_granted_in_between_is_looked_at_anew() -> None:
    strays = Strays(patience_s=2.0)

    for driven, granted in ((set[str](), set[str]()), ({"a"}, {"a"})):
        assert listen(strays, {"a"}, set(), (0.0, 0.7, 1.4)) == []
        assert strays.seen(driven, granted, 1.8) == []
        assert listen(strays, {"a"}, set(), (2.0, 2.7, 3.4)) == []
        strays = Strays(patience_s=2.0)
    assert listen(strays, {"a"}, set(), range(4)) == ["a"]
    strays.seen(set(), set(), 4.0)
    assert listen(strays, {"a"}, set(), range(5, 9)) == ["a"]


def test_what_is_heard_after_a_long_silence_counts_as_one_beat() -> None:
    """The scheduler was stopped for half a minute: the beats that it finds are from before its leases ended."""
    strays = Strays(patience_s=2.0)

    assert listen(strays, {"a"}, set(), (0.0, 30.0, 30.01, 30.02, 30.9)) == []


def test_what_could_not_be_stopped_is_found_again_with_the_next_beat() -> None:
    strays = Strays(patience_s=2.0)
    assert listen(strays, {"a"}, set(), range(4)) == ["a"]
    strays.again("a")

    assert strays.seen({"a"}, set(), 5.0) == ["a"]
    assert strays.seen({"a"}, set(), 6.0) == []
