"""Canaries planted in texts are all found; what is no canary stays."""

import re
import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.desensitise import text as module
from sharing.desensitise.text import Scrubber, plain

PEOPLE = ("Jane Roe", "Müller-Lüdenscheidt", "张伟")
WORDS = (*PEOPLE, "acme labs", "arm-00017", "hall north")
CANARIES = {
    "path": ("/home/jane/run.bag", r"C:\data\run 7", "s3://bucket/key", "~/x/y", "../up/there", "walk_3.mcap", "./a/b",
        "runs/7/left"),
    "address": ("k.lee@labor.example", "jane.roe@acme.example", "00:1B:44:11:3A:B7", "192.168.7.21",
        "fe80::1ff:fe23:4567:890a"),
    "place": ("31.2304, 121.4737", "48.858370 N", "48°51′29″N", "lat 31.23", "-33.86785; 151.20732"),
    "time": ("2026-11-23T04:40:00Z", "2026/11/23", "23.11.2026", "Nov 23, 2026", "23rd November 2026", "14:05",
        "14:05:33", "2026年11月23日"),
    "number": ("SN: 7F3K2291", "serial no 4711", "AB12-34CD-9921", "+86 21 5555 1234", "1750000000", "d41d8cd98f00b204",
        "badge 42"),
    "person": ("operator: Kim", "recorded by A. Smith"),
    "name": ("jane roe", "JANE-ROE", "Acme_Labs", "arm 00017", "Müller-Lüdenscheidt", "张伟", "Ｊａｎｅ　Ｒｏｅ"),
}  # fmt: skip
ALL = [canary for canaries in CANARIES.values() for canary in canaries]
HARMLESS = st.lists(
    st.sampled_from(
        ("pick", "the red cube", "walk 3 m", "then", "抓取", "twice", "at 0.25 m/s", "open the drawer,", "ok")
    ),
    max_size=5,
).map(" ".join)


@settings(deadline=None, max_examples=150)
@given(
    HARMLESS,
    st.lists(st.sampled_from(ALL), min_size=1, max_size=3),
    HARMLESS,
    st.sampled_from((" ", "\n", "\t", " \u200b")),
)
def test_every_planted_canary_is_found(before: str, canaries: list[str], after: str, gap: str) -> None:
    """Wherever it stands, beside whatever, in any width of characters."""
    text = gap.join([before, *canaries, after])

    out = Scrubber(WORDS).scrub(text).text

    for canary in canaries:
        assert plain(canary).lower() not in out.lower()


@pytest.mark.parametrize(
    "text",
    ["pick the red cube", "walk 3 m, then turn 90 degrees", "抓取红色方块", "open drawer 2 of 5", "hold 0.25 m/s"],
)
def test_plain_words_stay(text: str) -> None:
    """Or nobody would have any use of what is left."""
    assert Scrubber(WORDS).scrub(text).text == text


def test_without_a_rule_its_canaries_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: each kind of rule is needed by a canary of its own."""
    rules = module._COMPILED
    for kind, canaries in CANARIES.items():
        if kind == "name":
            left = Scrubber()
        else:
            monkeypatch.setattr(module, "_COMPILED", [rule for rule in rules if rule[0] != kind])
            left = Scrubber(WORDS)
        assert any(plain(canary).lower() in left.scrub(canary).text.lower() for canary in canaries), kind
        monkeypatch.setattr(module, "_COMPILED", rules)


@pytest.mark.parametrize(
    ("text", "left"),
    [("mac 00:1B:44:11:3A:B7 up", "mac [address] up"), ("on 23.11.2026 it", "on [time] it"), ("a-1-b2-", "[number]")],
)
def test_nothing_is_left_of_what_two_rules_could_take(text: str, left: str) -> None:
    """The rule that takes all of it comes first."""
    assert Scrubber().scrub(text).text == left


def test_a_run_that_holds_several_addresses_loses_each() -> None:
    """Also where one begins with what another ended with."""
    assert "@" not in Scrubber().scrub("a@b.c+d@e x.y@c.d").text


def test_a_text_made_to_take_long_takes_no_longer() -> None:
    """Eight times the text takes about eight times the processor's time; the mutant, rules tried anew from each
    character of a run, takes near to sixty-four."""
    scrubber, long, short = Scrubber(WORDS), module.MAX_CHARACTERS, module.MAX_CHARACTERS // 8

    def ratio(rule: Callable[[str], object], piece: str) -> float:
        taken = {long: [0.0] * 3, short: [0.0] * 3}
        for turn in range(3):
            for size, times in taken.items():
                text = (piece * size)[:size]
                begin_s = time.process_time()
                for _ in range(long // size):
                    rule(text)
                times[turn] = (time.process_time() - begin_s) / (long // size)
        return float(np.median(taken[long]) / np.median(taken[short]))

    for piece in ("a", "1-", "1.", "-", "sn-", "jane-"):
        assert ratio(scrubber.scrub, piece) < 24, piece
    assert ratio(_backtracking, "a") > 24


def _backtracking(text: str) -> object:
    return re.compile(r"[\w.+%-]+\s?@").search(text)


def test_a_text_is_cut_before_anything_looks_at_it() -> None:
    """Whatever its length, in whatever script."""
    for text in ("a" * 100_000, "ﷺ" * 100_000, "a" + "\u0301\u0316" * 50_000):
        assert len(Scrubber(WORDS).scrub(text).text) <= module.MAX_CHARACTERS
