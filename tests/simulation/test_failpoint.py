"""Failpoints: named once, told of in the documentation, and off."""

import re
from pathlib import Path

import pytest

import store.sweep  # noqa: F401 - a failpoint that no simulation reaches
import tests.simulation.venue  # noqa: F401 - with it come all rooms that have any
from palaestra.failpoint import Failpoint

ROOT = Path(__file__).parents[2]
ROOMS = ("client/src", "scheduler", "runner", "store", "controller", "sim", "api", "venue")


def test_a_failpoint_does_what_a_test_says_and_nothing_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    point = Failpoint("test.point.passed", "nothing")
    passed: list[str] = []
    try:
        point()
        monkeypatch.setattr(Failpoint, "hook", lambda each: passed.append(each.name))
        point()
        monkeypatch.undo()
        point()
    finally:
        del Failpoint.known["test.point.passed"]

    assert passed == ["test.point.passed"]


def test_two_failpoints_of_one_name_are_refused() -> None:
    name = next(iter(Failpoint.known))
    with pytest.raises(AssertionError, match=name):
        Failpoint(name, "another")


def test_nothing_but_a_test_can_set_the_hook() -> None:
    sources = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    setting = [str(path) for path in sources if re.search(r"\bhook\s*=[^=]", path.read_text())]

    assert len(sources) > 100
    assert setting == []
    assert Failpoint.hook is None


def test_every_failpoint_stands_in_the_documentation_with_its_meaning() -> None:
    page = (ROOT / "docs" / "simulation-testing.md").read_text()
    told = dict(re.findall(r"^\| `([a-z]+\.[a-z]+\.[a-z]+)` \| (.*) \|$", page, re.MULTILINE))

    assert told == {name: point.meaning for name, point in Failpoint.known.items()}
