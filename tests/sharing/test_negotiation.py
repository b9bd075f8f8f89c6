"""Negotiations: whatever two sides do, only what both signed is agreed, and each is told why a step is refused."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sharing.errors import BadStep, InvalidTerms, NotShared
from sharing.step import FOLLOWS, Kind, State, Who, follow
from tests.sharing.stage import AURORA, BOREALIS, CYGNUS, DATA_SET, DAY_S, NOW_S, Stage, begin, take, terms

ENDED = {State.AGREED, State.DECLINED, State.TERMINATED}


@given(st.lists(st.tuples(st.sampled_from(Kind), st.booleans()), max_size=12))
@settings(deadline=None)
def test_whatever_is_done_agreed_means_accepted_by_the_other_and_signed_by_both(
    steps: list[tuple[Kind, bool]],
) -> None:
    state, turn, signed, consent = State.OFFERED, BOREALIS, frozenset[str](), {AURORA}
    for kind, first in steps:
        by = AURORA if first else BOREALIS
        try:
            state = follow(state, kind, by, turn=turn, signed=signed)
        except BadStep:
            continue
        if kind is Kind.COUNTER:
            turn, consent = BOREALIS if first else AURORA, {by}
        if kind in (Kind.ACCEPT, Kind.SIGN):
            consent.add(by)
        if kind is Kind.SIGN:
            signed |= {by}
        if state is State.AGREED:
            assert signed == consent == {AURORA, BOREALIS}


def test_nothing_follows_what_has_ended() -> None:
    assert not [pair for pair in FOLLOWS if pair[0] in ENDED]
    for state in ENDED:
        for kind in Kind:
            with pytest.raises(BadStep, match=f"is {state}"):
                follow(state, kind, AURORA, turn=AURORA, signed=frozenset())
    assert {who for _, who in FOLLOWS.values()} == set(Who)


def test_who_proposed_does_not_answer_for_the_other_and_nobody_signs_twice(staged: Stage) -> None:
    offered = begin(staged, terms())
    for kind in ("accept", "decline"):
        with pytest.raises(BadStep, match="is for vendors/borealis"):
            take(staged, offered, kind, AURORA)
    with pytest.raises(BadStep, match="sign cannot follow"):
        take(staged, offered, "sign", BOREALIS)
    signed = take(staged, take(staged, offered, "accept", BOREALIS), "sign", AURORA)
    with pytest.raises(BadStep, match="has signed already"):
        take(staged, signed, "sign", AURORA)
    with pytest.raises(BadStep, match="counter cannot follow"):
        take(staged, signed, "counter", BOREALIS, terms(note="late"))
    with pytest.raises(NotShared):
        take(staged, signed, "sign", CYGNUS)
    assert take(staged, signed, "sign", BOREALIS).state is State.AGREED


def test_terms_are_countered_until_one_side_takes_them(staged: Stage) -> None:
    now = begin(staged, terms())
    for number in range(6):
        now = take(staged, now, "counter", (BOREALIS, AURORA)[number % 2], terms(note=str(number)))
    with pytest.raises(BadStep):
        take(staged, now, "accept", AURORA)
    accepted = take(staged, now, "accept", BOREALIS)
    assert (accepted.state, accepted.terms.note, accepted.sequence) == (State.ACCEPTED, "5", 8)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"columns": ["observation.effort"]}, "observation.effort is P4: is a trade secret"),
        ({"columns": ["firmware_version"]}, "firmware_version is P4"),
        ({"columns": ["observation.images.front"]}, "is P3: shows persons"),
        ({"transforms": {"make-it-nice": {}}}, "make-it-nice"),
        ({"valid_from_s": 1, "valid_until_s": 2}, "valid_until_s: has passed"),
        ({"data_set": f"{AURORA}/datasets/none"}, "has no version"),
    ],
)
def test_what_cannot_be_agreed_here_is_refused_when_it_is_offered(
    staged: Stage, fields: dict[str, Any], says: str
) -> None:
    with pytest.raises(InvalidTerms, match=says):
        begin(staged, terms(**fields))


def test_who_asks_for_data_is_not_told_whether_they_are_there(staged: Stage) -> None:
    answers = [
        begin(staged, terms(data_set=data_set), by=BOREALIS) for data_set in (DATA_SET, f"{AURORA}/datasets/none")
    ]
    assert [answer.state for answer in answers] == [State.OFFERED, State.OFFERED]
    assert {answer.turn for answer in answers} == {AURORA}


def test_a_counter_offer_is_about_the_same_data_between_the_same_two(staged: Stage) -> None:
    offered = begin(staged, terms())
    for other in (terms(data_set=f"{AURORA}/datasets/other"), terms(consumer=CYGNUS)):
        with pytest.raises(InvalidTerms):
            take(staged, offered, "counter", BOREALIS, other)


def test_terms_that_have_ended_are_neither_accepted_nor_signed(staged: Stage) -> None:
    offered = begin(staged, terms())
    accepted = take(staged, begin(staged, terms(), by=BOREALIS), "accept", AURORA)
    staged.hand.at_s = NOW_S + DAY_S
    late = {"at_s": NOW_S + DAY_S}
    with pytest.raises(BadStep, match="have ended"):
        take(staged, offered, "accept", BOREALIS, **late)
    with pytest.raises(BadStep, match="have ended"):
        take(staged, accepted, "sign", AURORA, **late)


def test_a_column_that_its_vendor_classed_more_strictly_cannot_be_offered_any_more(staged: Stage) -> None:
    client = staged.as_("aurora")
    assert client.put("/sharing/v1/classes/action", json={"class": "P4"}).status_code == 200
    with pytest.raises(InvalidTerms, match="action is P4"):
        begin(staged, terms())
    answer = client.put("/sharing/v1/classes/action", json={"class": "P0"})
    assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_FIELD")


def test_pages_hold_all_of_one_s_own_and_each_once(staged: Stage) -> None:
    made = {begin(staged, terms(note=str(number))).id for number in range(5)}
    client, found, after = staged.as_("borealis"), [], ""
    while True:
        page = client.get("/sharing/v1/negotiations", params={"after": after, "size": 2}).json()
        found += [one["negotiation"] for one in page["negotiations"]]
        after = page.get("next", "")
        if not after:
            break
    assert sorted(made) == found
