"""The one decision, at each of its bounds, and the gate over the room's file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sharing import register
from sharing.audit.log import Log
from sharing.classes import ColumnClass
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import InvalidTerms, NotShared
from sharing.gate import Reason, Standing, decide
from sharing.grant import Ask
from sharing.server import latest_s
from sharing.terms import Channel, Purpose
from tests.sharing.stage import AURORA, BOREALIS, CYGNUS, DAY_S, NOW_S, Hand, Stage, agreed, stage, terms

PLAIN = agreed(terms())
GOOD = Standing(epoch=1, newest_version=2)


def ask(agreement: str = PLAIN.digest, **fields: object) -> Ask:
    values = {"consumer": BOREALIS, "agreement": agreement, "channel": Channel.DELTA, "purpose": Purpose.TRAINING}
    return Ask(**values | fields)  # type: ignore[arg-type]


def test_what_is_agreed_is_granted_with_the_terms_columns_and_the_newest_version() -> None:
    grant = decide(PLAIN, GOOD, ask(), NOW_S).grant
    assert grant is not None
    assert (grant.version, grant.columns, grant.epoch) == (2, ("action", "observation.state"), 1)
    assert (grant.consumer, grant.until_s) == (BOREALIS, NOW_S + DAY_S)


@pytest.mark.parametrize(
    ("reason", "standing", "asked", "now_s"),
    [
        (Reason.FOREIGN, GOOD, ask(consumer=CYGNUS), NOW_S),
        (Reason.FOREIGN, GOOD, ask("0" * 64), NOW_S),
        (Reason.REVOKED, Standing(2, revoked=True, newest_version=2), ask(), NOW_S),
        (Reason.SUSPENDED, Standing(2, suspended=True, newest_version=2), ask(), NOW_S),
        (Reason.EARLY, GOOD, ask(), NOW_S - 1),
        (Reason.EARLY, GOOD, ask(), NOW_S - 0.001),
        (Reason.OVER, GOOD, ask(), NOW_S + DAY_S),
        (Reason.CHANNEL, GOOD, ask(channel=Channel.AGGREGATE), NOW_S),
        (Reason.PURPOSE, GOOD, ask(purpose=Purpose.RESEARCH), NOW_S),
        (Reason.VERSION, GOOD, ask(version=3), NOW_S),
        (Reason.VERSION, GOOD, ask(version=-1), NOW_S),
        (Reason.VERSION, Standing(1), ask(), NOW_S),
        (Reason.COLUMN, GOOD, ask(columns=("observation.effort",)), NOW_S),
        (Reason.COLUMN, GOOD, ask(columns=("action", "observation.velocity")), NOW_S),
        (Reason.COLUMN, GOOD, ask(columns=("action",) * 1_001), NOW_S),
    ],
)
def test_one_thing_that_speaks_against_it_is_enough(
    reason: Reason, standing: Standing, asked: Ask, now_s: float
) -> None:
    decision = decide(PLAIN, standing, asked, now_s)
    assert (decision.grant, decision.reason) == (None, reason)


@given(st.integers(-3, 3), st.sampled_from([0.0, 0.25, 0.999]))
def test_an_embargo_ends_with_its_second(offset_s: int, part_s: float) -> None:
    embargoed = agreed(terms(embargo_until_s=NOW_S + 100))
    now_s = NOW_S + 100 + offset_s + part_s
    granted = decide(embargoed, GOOD, ask(embargoed.digest), now_s).grant is not None
    assert granted == (now_s >= NOW_S + 100)


@given(st.integers(1, 6), st.integers(0, 6), st.integers(0, 8), st.integers(0, 7))
def test_versions_outside_the_range_are_never_granted(first: int, last: int, newest: int, asked: int) -> None:
    if last and last < first:
        return
    ranged = agreed(terms(first_version=first, last_version=last))
    grant = decide(ranged, Standing(1, newest_version=newest), ask(ranged.digest, version=asked), NOW_S).grant
    if grant is not None:
        assert first <= grant.version <= min(last or newest, newest)
        assert not asked or grant.version == asked
    else:
        wanted = asked or min(newest, last or newest)
        assert not first <= wanted <= min(last or newest, newest)


def test_a_trade_secret_never_leaves_and_persons_only_desensitised() -> None:
    wanted = ("action", "observation.effort", "observation.images.front", "firmware")
    bare = agreed(terms(columns=wanted))
    grant = decide(bare, GOOD, ask(bare.digest), NOW_S).grant
    assert grant is not None
    assert grant.columns == ("action",)
    shown = agreed(terms(columns=wanted, transforms={"fill-faces": {}}))
    grant = decide(shown, GOOD, ask(shown.digest), NOW_S).grant
    assert grant is not None
    assert grant.columns == ("action", "observation.images.front")


def test_a_column_that_its_vendor_classed_more_strictly_does_not_leave() -> None:
    strict = Standing(1, newest_version=2, classes={"action": ColumnClass.TRADE_SECRET})
    grant = decide(PLAIN, strict, ask(), NOW_S).grant
    assert grant is not None
    assert grant.columns == ("observation.state",)
    assert decide(PLAIN, strict, ask(columns=("action",)), NOW_S).reason is Reason.COLUMN


def test_every_decision_is_noted_with_its_reason(staged: Stage) -> None:
    agreement = staged.agree()
    staged.room.gate.authorize(ask(agreement.digest, about="table joints"))
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement.digest, consumer=CYGNUS))
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask("f" * 64))
    found = [(note["allowed"], note["reason"], note["about"]) for note in staged.notes.of("decision")]
    assert found == [(1, "granted", "table joints"), (0, "another's agreement", ""), (0, "no such agreement", "")]


def test_a_grant_ends_at_once_when_either_side_revokes(staged: Stage) -> None:
    for party in (BOREALIS, "vendors/aurora"):
        agreement = staged.agree(note=party)
        grant = staged.room.gate.authorize(ask(agreement.digest))
        staged.room.gate.still(grant)
        staged.room.register.revoke(agreement.digest, party, "")
        with pytest.raises(NotShared):
            staged.room.gate.still(grant)
        with pytest.raises(NotShared):
            staged.room.gate.authorize(ask(agreement.digest))


def test_a_grant_ends_with_its_term_and_with_a_suspension_also_one_that_is_over(staged: Stage) -> None:
    agreement = staged.agree()
    grant = staged.room.gate.authorize(ask(agreement.digest))
    staged.room.register.suspend(BOREALIS, "unpaid", by="operator")
    with pytest.raises(NotShared):
        staged.room.gate.still(grant)
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement.digest))
    staged.room.register.resume(BOREALIS, by="operator")
    with pytest.raises(NotShared):
        staged.room.gate.still(grant)
    again = staged.room.gate.authorize(ask(agreement.digest))
    staged.room.gate.still(again)
    staged.hand.at_s = NOW_S + DAY_S
    with pytest.raises(NotShared):
        staged.room.gate.still(again)


def test_a_clock_that_is_set_back_does_not_bring_a_term_back(staged: Stage) -> None:
    agreement = staged.agree(valid_until_s=NOW_S + 10)
    staged.hand.at_s = NOW_S + 10
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement.digest))
    staged.hand.at_s = NOW_S
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement.digest))


def test_a_clock_that_is_set_back_over_a_restart_does_not_bring_back_a_term_whose_end_was_told(tmp_path: Path) -> None:
    first = stage(tmp_path, witness=None)
    agreement = first.agree(valid_until_s=NOW_S + 10)
    first.hand.at_s = NOW_S + 10
    with pytest.raises(NotShared):
        first.room.gate.authorize(ask(agreement.digest))
    assert isinstance(first.room.witness, Log)
    first.room.witness.close()
    first.close()

    database = Database(tmp_path / "sharing" / "sharing.db")
    known_s = latest_s(database)
    database.close()
    assert known_s == NOW_S + 10
    again = stage(tmp_path, clock=Clock(at_least_s=known_s, source=Hand()))
    with pytest.raises(NotShared):
        again.room.gate.authorize(ask(agreement.digest))
    again.close()


def test_what_was_agreed_lasts_over_a_restart(staged: Stage) -> None:
    agreement = staged.agree()
    again = stage(staged.settings.folder.parent)
    assert again.room.gate.authorize(ask(agreement.digest)).agreement == agreement.digest
    again.close()


def test_a_row_that_somebody_wrote_into_the_file_is_no_agreement(staged: Stage) -> None:
    agreement = staged.agree()
    widened = agreement.document().decode().replace('"action"', '"observation.velocity"')
    with staged.room.database.transaction() as db:
        db.execute("DROP TRIGGER agreement_stays")
        db.execute("UPDATE agreement SET document = ?", (widened,))
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement.digest))
    assert staged.notes.of("decision")[-1]["reason"] == "its signatures do not hold"


def test_who_has_classed_as_many_columns_as_may_be_can_still_class_them_more_strictly(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "CLASSES_MAX", 1)
    staged.room.register.classify(AURORA, "action", ColumnClass.SENSOR)
    staged.room.register.classify(AURORA, "action", ColumnClass.TRADE_SECRET)
    with pytest.raises(InvalidTerms, match="more strictly"):
        staged.room.register.classify(AURORA, "action", ColumnClass.SENSOR)
    with pytest.raises(InvalidTerms, match="at most 1"):
        staged.room.register.classify(AURORA, "observation.state", ColumnClass.TRADE_SECRET)
    assert staged.room.register.classes(AURORA) == {"action": ColumnClass.TRADE_SECRET}
