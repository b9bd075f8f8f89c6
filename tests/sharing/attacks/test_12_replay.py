"""D6, 12: replayed and forged steps and agreements, clocks that differ, tokens that end, embargoes at the second.

Beside each attack stands what it looks like without its guard.
"""

from dataclasses import replace
from typing import Any

import pytest

from palaestra.v1 import venue_service_pb2
from sharing import gate, negotiation, register, signing
from sharing.agreement import Agreement, Signature
from sharing.errors import BadSignature, BadStep, InvalidTerms, NotShared
from sharing.grant import Ask
from sharing.identity import KEPT_S, Callers
from sharing.step import SKEW_S, Step
from sharing.terms import Channel, Purpose, Terms
from tests.sharing.stage import (
    AURORA,
    BOREALIS,
    CYGNUS,
    NOW_S,
    Stage,
    agreed,
    begin,
    key_of,
    sign,
    step_of,
    take,
    terms,
)


def ask(agreement: Agreement, **fields: Any) -> Ask:
    values: dict[str, Any] = {"channel": Channel.DELTA, "purpose": Purpose.TRAINING}
    return Ask(BOREALIS, agreement.digest, **values | fields)


def test_an_old_step_again_changes_nothing(staged: Stage) -> None:
    offered = begin(staged, terms())
    countered = take(staged, offered, "counter", BOREALIS, terms(note="dearer"))
    accepted = take(staged, countered, "accept", AURORA)
    assert begin(staged, terms()) == staged.room.negotiations.get(offered.id, AURORA) == accepted
    for before, kind, by, about in (
        (offered, "counter", BOREALIS, terms(note="dearer")),
        (offered, "accept", BOREALIS, None),
    ):
        with pytest.raises(BadStep, match="gone on"):
            take(staged, before, kind, by, about)
    assert take(staged, countered, "accept", AURORA) == accepted
    assert len(staged.room.negotiations.steps(offered.id, AURORA)) == 3


def test_without_its_place_an_acceptance_would_fit_the_terms_that_came_later(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: a step need not name the one before, so that an acceptance fits what was proposed after it."""
    offered = begin(staged, terms())
    countered = take(staged, offered, "counter", BOREALIS, terms(note="dearer"))
    again = take(staged, countered, "counter", AURORA, terms())
    stale = {"negotiation": offered.id, "sequence": 4, "previous": offered.last}
    plain, key, signature = step_of("accept", BOREALIS, terms(), **stale)
    with pytest.raises(BadStep):
        staged.room.negotiations.take(BOREALIS, Step.of(plain), key, signature)
    honest = negotiation._advanced

    def unplaced(before: Any, step: Any, *rest: Any) -> Any:
        return honest(before, replace(step, sequence=before.sequence + 1, previous=before.last), *rest)

    monkeypatch.setattr(negotiation, "_advanced", unplaced)
    assert again.state == "offered"
    assert staged.room.negotiations.take(BOREALIS, Step.of(plain), key, signature).state == "accepted"


@pytest.mark.parametrize(
    "fields",
    [
        {"by": AURORA},
        {"negotiation": "f" * 32},
        {"sequence": 3},
        {"previous": "0" * 64},
        {"terms": "0" * 64},
        {"at_s": NOW_S + SKEW_S + 1},
        {"at_s": NOW_S - SKEW_S - 1},
    ],
    ids=str,
)
def test_a_step_that_says_something_else_than_how_it_stands_is_refused(staged: Stage, fields: dict[str, Any]) -> None:
    offered = begin(staged, terms())
    about = {"negotiation": offered.id, "sequence": 2, "previous": offered.last}
    plain, key, signature = step_of("accept", BOREALIS, terms(), **about | fields)
    with pytest.raises((BadStep, BadSignature, NotShared)):
        staged.room.negotiations.take(BOREALIS, Step.of(plain), key, signature)
    assert staged.room.negotiations.get(offered.id, AURORA).state == "offered"


def test_another_s_signature_or_one_for_something_else_is_no_step(staged: Stage) -> None:
    offered = begin(staged, terms())
    about = {"negotiation": offered.id, "sequence": 2, "previous": offered.last}
    plain, key, signature = step_of("accept", BOREALIS, terms(), **about)
    step = Step.of(plain)
    _, foreign_key, foreign = step_of("accept", CYGNUS, terms(), **about)
    wrong_domain = signing.sign(key_of(BOREALIS), signing.AGREEMENT, step.canonical())
    for public, signed in ((key, foreign), (foreign_key, foreign), (key, wrong_domain), (key, "0" * 128), (key, "")):
        with pytest.raises(BadSignature):
            staged.room.negotiations.take(BOREALIS, step, public, signed)
    # A foreign key over exactly this step: a good signature, of somebody else.
    ours = signing.sign(key_of(CYGNUS), signing.STEP, step.canonical())
    with pytest.raises(BadSignature, match="has not registered"):
        staged.room.negotiations.take(BOREALIS, step, foreign_key, ours)
    with pytest.raises(BadSignature, match="not who sends it"):
        staged.room.negotiations.take(AURORA, step, key, signature)


def test_without_the_look_at_who_registered_a_key_anybody_s_would_do(
    staged: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant of the attack above."""
    offered = begin(staged, terms())
    monkeypatch.setattr(negotiation, "check_key", lambda *_: None)
    plain, _, _ = step_of("accept", BOREALIS, terms(), negotiation=offered.id, sequence=2, previous=offered.last)
    step = Step.of(plain)
    public = signing.public_key_of(key_of(CYGNUS))
    signed = signing.sign(key_of(CYGNUS), signing.STEP, step.canonical())
    assert staged.room.negotiations.take(BOREALIS, step, public, signed).state == "accepted"


def test_an_agreement_that_was_revoked_does_not_come_back_by_signing_it_again(staged: Stage) -> None:
    agreement = staged.agree()
    staged.room.register.revoke(agreement.digest, AURORA, "")
    with pytest.raises(InvalidTerms, match="agreed before"):
        staged.agree()
    signed = take(staged, take(staged, begin(staged, terms()), "accept", BOREALIS), "sign", BOREALIS)
    with pytest.raises(InvalidTerms, match="agreed before"):
        take(staged, signed, "sign", AURORA)
    with pytest.raises(NotShared):
        staged.room.gate.authorize(ask(agreement))


def test_terms_that_were_altered_after_signing_are_no_agreement() -> None:
    honest = terms()
    for field, value in (("valid_until_s", NOW_S + 10**6), ("columns", ("action", "observation.velocity"))):
        altered = Terms.of(honest.as_json() | {field: value})
        with pytest.raises(BadSignature, match="provider: signature"):
            Agreement.signed(altered, sign(honest, AURORA), sign(honest, BOREALIS))
    with pytest.raises(BadSignature, match="consumer: signature"):
        Agreement.signed(honest, sign(honest, AURORA), sign(terms(note="x"), BOREALIS))
    with pytest.raises(BadSignature, match="provider's key"):
        Agreement.signed(honest, sign(honest, AURORA), sign(honest, AURORA))


def test_a_foreign_agreement_whose_keys_nobody_registered_here_is_refused(staged: Stage) -> None:
    about = terms(consumer="vendors/delphin")
    with pytest.raises(BadSignature, match="has not registered"):
        staged.room.register.add(agreed(about))
    staged.room.register.retire_key(BOREALIS, signing.public_key_of(key_of(BOREALIS)))
    with pytest.raises(BadSignature, match="has retired"):
        staged.agree()


@pytest.mark.parametrize("encoding", sorted(signing._SMALL_ORDER), ids=lambda value: value.hex()[:8])
def test_a_key_that_anybody_can_sign_for_is_refused(encoding: bytes) -> None:
    for top in (0, 0x80):
        public = bytearray(encoding)
        public[31] |= top
        with pytest.raises(BadSignature, match="small order"):
            signing.check_public_key(public.hex())


def test_without_that_refusal_one_signature_would_fit_every_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: under the neutral element as key, R = B and s = 1 satisfy sB = R + kA for every message."""
    public = "01" + "00" * 31
    base_point = "58" + "66" * 31
    signature = base_point + "01" + "00" * 31
    with pytest.raises(BadSignature):
        signing.verify(public, signing.AGREEMENT, b"anything", signature)
    monkeypatch.setattr(signing, "_SMALL_ORDER", frozenset())
    for message in (b"anything", b"something else"):
        signing.verify(public, signing.AGREEMENT, message, signature)


def test_an_embargo_and_a_term_are_held_at_their_second_by_the_room_s_clock(staged: Stage) -> None:
    agreement = staged.agree(embargo_until_s=NOW_S + 100, valid_until_s=NOW_S + 200)
    granted = []
    for offset_s in (0, 99, 99.999, 100, 199.999, 200):
        staged.hand.at_s = NOW_S + offset_s
        try:
            staged.room.gate.authorize(ask(agreement))
            granted.append(offset_s)
        except NotShared:
            continue
    assert granted == [100, 199.999]


def test_a_second_less_of_embargo_would_be_seen(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the attack above: a decision that compares with the second after."""
    agreement = staged.agree(embargo_until_s=NOW_S + 100)
    honest = gate.decide
    monkeypatch.setattr(gate, "decide", lambda one, standing, ask, now_s: honest(one, standing, ask, now_s + 1))
    staged.hand.at_s = NOW_S + 99
    assert staged.room.gate.authorize(ask(agreement)).agreement == agreement.digest


def test_a_token_that_expires_or_is_taken_back_opens_nothing_any_more(staged: Stage) -> None:
    agreement = staged.agree()
    path = f"/sharing/v1/agreements/{agreement.digest}"
    client = staged.as_("borealis")
    staged.known["borealis"].expire_time.FromSeconds(NOW_S + 1)
    assert client.get(path).status_code == 200
    staged.hand.at_s = NOW_S + 1
    assert (client.get(path).status_code, client.get(path).json()["reason"]) == (401, "BAD_TOKEN")


def test_what_is_known_of_a_token_is_asked_again_after_two_seconds() -> None:
    asked: list[str] = []
    now_s = [100.0]

    def ask_scheduler(token: str) -> venue_service_pb2.GetIdentityResponse:
        asked.append(token)
        return venue_service_pb2.GetIdentityResponse(role="vendor", vendor=BOREALIS)

    callers = Callers(ask_scheduler, clock_s=lambda: now_s[0])
    for at_s in (100.0, 101.0, 100.0 + KEPT_S - 0.01, 100.0 + KEPT_S, 103.9):
        now_s[0] = at_s
        callers._identity("t")
    assert len(asked) == 2
    assert KEPT_S <= 2.0


def test_a_key_of_narrow_scope_opens_nothing(staged: Stage) -> None:
    staged.known["scoped"] = venue_service_pb2.GetIdentityResponse(
        role="vendor", vendor=BOREALIS, methods=["JobService/SubmitJob"]
    )
    answer = staged.as_("scoped").get("/sharing/v1/agreements")
    assert (answer.status_code, answer.json()["reason"]) == (403, "ROLE_DENIED")


def test_engineers_and_readers_cannot_bind_their_vendor(staged: Stage) -> None:
    digest = staged.agree().digest
    for role in ("engineer", "reader"):
        client = staged.as_(f"borealis-{role}")
        assert client.get(f"/sharing/v1/agreements/{digest}").status_code == 200
        assert client.post(f"/sharing/v1/agreements/{digest}:revoke", json={}).status_code == 403
        assert client.post("/sharing/v1/keys", json={"public_key": "", "proof": ""}).status_code == 403


def test_a_signature_of_terms_is_none_of_a_key_s_proof() -> None:
    about = terms()
    with pytest.raises(BadSignature):
        signing.verify(
            signing.public_key_of(key_of(AURORA)), signing.KEY, about.canonical(), sign(about, AURORA).signature
        )
    assert isinstance(sign(about, AURORA), Signature)
    assert register.proof_message(AURORA, "k") != register.proof_message(BOREALIS, "k")
