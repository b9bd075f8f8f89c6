"""Canaries planted in texts are all found; what is no canary stays."""

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


def test_a_text_made_to_take_long_takes_no_longer() -> None:
    """Counted in matches, not seconds: each rule sees at most so many characters."""
    for text in ("a" * 100_000, "1-" * 50_000, "/" * 100_000, "x@" * 50_000, "1." * 50_000, "[" * 100_000):
        assert len(Scrubber(WORDS).scrub(text).text) <= 8 * module.MAX_CHARACTERS
