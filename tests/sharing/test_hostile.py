"""Requests of anything: an answer of ours, never a defect, and never one that a client would send again."""

import json
import threading
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sharing.errors import NotShared
from sharing.grant import Ask
from sharing.terms import Channel, Purpose
from tests.sharing.attacks.test_1_foreign_names import ROWS
from tests.sharing.stage import AURORA, BOREALIS, CYGNUS, Stage, step_of, terms

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(["step", "terms", "public_key", "signature", "@type", "offer", "x"]), inner),
    ),
    max_leaves=8,
)
segments = st.one_of(
    st.sampled_from(["-", "..%2F..", "%00", "a'--", "0" * 64, "%F0%9F%A4%96", "*"]),
    st.text("abc%/'\\\0é\ud7ff", min_size=1, max_size=6).map(lambda text: "".join(f"%{b:02X}" for b in text.encode())),
)


bodies = st.one_of(st.binary(max_size=60), plain.map(lambda value: json.dumps(value).encode()))


@given(st.sampled_from(sorted(ROWS)), bodies, st.lists(segments, min_size=3, max_size=3))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_sent_is_answered_with_a_reason(
    staged: Stage, route: tuple[str, str], body: bytes, parts: list[str]
) -> None:
    verb, path = route
    filled = iter(parts)
    while "{" in path:
        head, _, tail = path.partition("{")
        path = head + next(filled) + tail.partition("}")[2]
    answer = client_of(staged).request(verb, path, content=body)
    assert answer.status_code < 500, (answer.text, path, body)
    assert answer.status_code != 429
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"


@given(plain, st.sampled_from(["step", "terms", "public_key", "signature"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_one_odd_field_of_a_good_offer_is_refused_by_name(staged: Stage, odd: Any, field: str) -> None:
    step, key, signature = step_of("offer", AURORA, terms())
    body: dict[str, Any] = {"step": step, "public_key": key, "signature": signature, "terms": terms().as_json()}
    text = json.dumps(body | {field: odd}).encode()
    answer = client_of(staged).post("/sharing/v1/negotiations", content=text)
    assert answer.status_code == 400, answer.text
    assert answer.json()["reason"] in ("INVALID_FIELD", "BAD_SIGNATURE")


@pytest.mark.parametrize("odd", [[], {}, ["offer"], 7, None], ids=str)
def test_a_list_where_one_of_a_few_words_stands_is_refused_like_another_word(staged: Stage, odd: Any) -> None:
    """Lists and objects cannot be looked up in a set: that was a defect of ours to whoever sent them."""
    client, (step, key, signature) = staged.as_("aurora"), step_of("offer", AURORA, terms())
    offer = {"step": step | {"kind": odd}, "public_key": key, "signature": signature, "terms": terms().as_json()}
    credential = {"agreements": ["0" * 64], "purpose": odd or [odd]}
    for verb, path, body in (
        ("POST", "/sharing/v1/negotiations", offer),
        ("PUT", "/sharing/v1/classes/action", {"class": odd}),
        ("POST", "/sharing/v1/credentials", credential),
    ):
        answer = client.request(verb, path, json=body)
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_FIELD"), path


def test_readers_look_and_take_nothing(staged: Stage) -> None:
    """By no channel, however good the agreement is."""
    digest = staged.agree(channels=("export", "aggregate", "compute", "delta-share"), privacy_millionths=10**6).digest
    reader = staged.as_("borealis-reader")
    transfer = {"@type": "TransferRequestMessage", "consumerPid": "1", "agreementId": digest, "format": "export"}
    for verb, path, body in (
        ("GET", f"/sharing/v1/exports/{digest}?format=parquet", None),
        ("POST", "/sharing/dsp/transfers/request", transfer),
        ("POST", "/sharing/v1/aggregates", {"agreement": digest, "question": {"measures": [{"of": "count"}]}}),
        ("POST", "/sharing/v1/jobs", {"agreement": digest, "algorithm": "0" * 64}),
        ("POST", "/sharing/v1/credentials", {"agreements": [digest]}),
    ):
        answer = reader.request(verb, path, json=body)
        assert (answer.status_code, answer.json()["reason"]) == (403, "ROLE_DENIED"), path


def client_of(staged: Stage) -> Any:
    """Return one client for all examples of a case."""
    return staged.clients[0] if staged.clients else staged.as_("aurora")


def test_bodies_that_are_too_long_or_too_deep_are_refused_before_they_are_read(staged: Stage) -> None:
    client = staged.as_("aurora")
    long = client.post("/sharing/v1/negotiations", content=b"x" * (1 << 20 | 1))
    assert (long.status_code, long.json()["reason"]) == (413, "MESSAGE_TOO_LARGE")
    deep = client.post("/sharing/v1/negotiations", content=b"[" * 100_000)
    assert (deep.status_code, deep.json()["reason"]) == (400, "INVALID_FIELD")
    lying = client.post("/sharing/v1/negotiations", content=b"{}", headers={"Content-Length": "9" * 30})
    assert lying.status_code == 413


def test_another_s_agreement_costs_the_file_as_little_as_one_that_is_not_there(staged: Stage) -> None:
    """What a clock could tell apart: the statements that are run, and whether anything is parsed or verified."""
    digest = staged.agree().digest
    statements: list[str] = []
    reader = staged.room.database.reader()
    runs = []
    for asked in (digest, "0" * 64):
        statements.clear()
        reader.set_trace_callback(statements.append)
        try:
            staged.room.gate.authorize(Ask(CYGNUS, asked, Channel.DELTA, Purpose.TRAINING))
        except NotShared:
            runs.append([text.replace(asked, "?") for text in statements])
        reader.set_trace_callback(None)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 1
    assert not staged.room.gate._agreements


def test_nothing_is_granted_after_a_revocation_has_returned_whoever_asks_meanwhile(staged: Stage) -> None:
    digest = staged.agree().digest
    revoked, late, stop = threading.Event(), list[str](), threading.Event()

    def keep_asking() -> None:
        while not stop.is_set():
            # Looked at before asking: what began before the end may still be granted.
            was = revoked.is_set()
            try:
                staged.room.gate.authorize(Ask(BOREALIS, digest, Channel.DELTA, Purpose.TRAINING))
            except NotShared:
                if was:
                    return
                continue
            if was:
                late.append(digest)

    threads = [threading.Thread(target=keep_asking) for _ in range(4)]
    for thread in threads:
        thread.start()
    staged.room.register.revoke(digest, AURORA, "")
    revoked.set()
    for thread in threads:
        thread.join(60.0)
    stop.set()
    assert not any(thread.is_alive() for thread in threads)
    assert not late
