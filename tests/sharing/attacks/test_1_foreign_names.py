"""D6, 1: every route, with another vendor's names. Made from the routes themselves, so that a new one needs a row."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from sharing import register, routes
from sharing.dataspace import routes as dataspace
from sharing.problem import NOT_SHARED
from tests.sharing.stage import CYGNUS, Stage, begin, key_of, step_of, terms

# What a route says to a third vendor, who names what belongs to the other two: `hidden`, as if it were not there;
# `own`, its own affairs alone; `house`, that it is for operators; `self`, that it acts for the caller whatever it says.
ROWS = {
    ("GET", "/sharing/v1/identity"): "own",
    ("GET", "/sharing/v1/keys"): "own",
    ("POST", "/sharing/v1/keys"): "self",
    ("POST", "/sharing/v1/keys/{public_key}:retire"): "hidden",
    ("GET", "/sharing/v1/agreements"): "own",
    ("GET", "/sharing/v1/agreements/{digest}"): "hidden",
    ("GET", "/sharing/v1/agreements/{digest}/odrl"): "hidden",
    ("POST", "/sharing/v1/agreements/{digest}:revoke"): "hidden",
    ("GET", "/sharing/v1/negotiations"): "own",
    ("POST", "/sharing/v1/negotiations"): "self",
    ("GET", "/sharing/v1/negotiations/{name}"): "hidden",
    ("POST", "/sharing/v1/negotiations/{name}/steps"): "hidden",
    ("GET", "/sharing/v1/classes"): "own",
    ("PUT", "/sharing/v1/classes/{column}"): "self",
    ("POST", "/sharing/v1/vendors/{vendor}:suspend"): "house",
    ("POST", "/sharing/v1/vendors/{vendor}:resume"): "house",
    ("POST", "/sharing/dsp/catalog/request"): "own",
    ("GET", "/sharing/dsp/catalog/datasets/{name}"): "hidden",
    ("POST", "/sharing/dsp/negotiations/request"): "self",
    ("GET", "/sharing/dsp/negotiations/{name}"): "hidden",
    ("POST", "/sharing/dsp/negotiations/{name}/request"): "hidden",
    ("POST", "/sharing/dsp/negotiations/{name}/events"): "hidden",
    ("POST", "/sharing/dsp/negotiations/{name}/agreement/verification"): "hidden",
    ("POST", "/sharing/dsp/negotiations/{name}/termination"): "hidden",
    ("POST", "/sharing/dsp/transfers/request"): "hidden",
    ("GET", "/sharing/dsp/transfers/{name}"): "hidden",
    ("POST", "/sharing/dsp/transfers/{name}/{what}"): "hidden",
    ("GET", "/sharing/dsp/transfers/{name}/data"): "hidden",
    ("GET", "/sharing/dsp/transfers/{name}/data/{table}/{file}"): "hidden",
}


def routes_of(staged: Stage) -> Iterator[tuple[str, str]]:
    """Yield (verb, path) of the routes that this file answers for; the other parts have suites of their own."""
    for router in (routes.router, dataspace.router):
        for route in router(staged.room).routes:
            assert isinstance(route, APIRoute)
            yield from ((verb, route.path) for verb in route.methods)


def test_every_route_has_a_row_and_no_other_is_open(staged: Stage) -> None:
    assert set(routes_of(staged)) == set(ROWS)
    plain = [route.path for route in staged.app.routes if hasattr(route, "path")]
    assert plain == ["/healthz"]


def requests(staged: Stage, names: dict[str, str]) -> Iterator[tuple[tuple[str, str], Any]]:
    """Yield (route, what to send) with names for the paths' parameters."""
    step, key, signature = step_of("accept", CYGNUS, terms(), negotiation=names["negotiation"], sequence=2)
    taken = {"step": step, "public_key": key, "signature": signature}
    dsp = {"consumerPid": "urn:uuid:1", "providerPid": names["name"], "palaestra:step": taken}
    bodies = {
        "/sharing/v1/negotiations/{name}/steps": taken,
        "/sharing/dsp/transfers/request": {
            "@type": "TransferRequestMessage",
            "consumerPid": "urn:uuid:1",
            "agreementId": names["digest"],
            "format": "export",
        },
        "/sharing/dsp/negotiations/{name}/request": {"@type": "ContractRequestMessage", **dsp},
        "/sharing/dsp/negotiations/{name}/events": {
            "@type": "ContractNegotiationEventMessage",
            "eventType": "ACCEPTED",
            **dsp,
        },
        "/sharing/dsp/negotiations/{name}/agreement/verification": {
            "@type": "ContractAgreementVerificationMessage",
            **dsp,
        },
        "/sharing/dsp/negotiations/{name}/termination": {"@type": "ContractNegotiationTerminationMessage", **dsp},
        "/sharing/dsp/transfers/{name}/{what}": {"@type": "TransferTerminationMessage", "consumerPid": "urn:uuid:1"},
    }
    for (verb, path), what in ROWS.items():
        if what == "hidden":
            filled = re.sub(r"{(\w+)}", lambda match: names[match[1]], path)
            yield (verb, path), (verb, filled, bodies.get(path, {} if verb == "POST" else None))


def names_of(staged: Stage) -> dict[str, str]:
    """Return names of what belongs to aurora and borealis."""
    agreement = staged.agree()
    begun = begin(staged, terms(note="another"))
    public = step_of("accept", "vendors/aurora", terms())[1]
    return {
        "digest": agreement.digest,
        "name": begun.id,
        "negotiation": begun.id,
        "public_key": public,
        "file": "joints-0.parquet",
        "table": "joints",
        "what": "termination",
    }


def send(client: httpx.Client, request: Any) -> httpx.Response:
    verb, path, body = request
    return client.request(verb, path, json=body)


def test_anothers_name_is_answered_as_one_that_is_nobodys(staged: Stage) -> None:
    others = names_of(staged)
    nobodys = others | {"digest": "0" * 64, "name": "0" * 32, "negotiation": "0" * 32, "public_key": "0" * 64}
    client = staged.as_("cygnus")
    real, missing = dict(requests(staged, others)), dict(requests(staged, nobodys))
    assert len(real) == sum(what == "hidden" for what in ROWS.values())
    for route in real:
        answers = [send(client, which[route]) for which in (real, missing)]
        assert [answer.status_code for answer in answers] == [404, 404], route
        assert answers[0].content == answers[1].content == NOT_SHARED, route
        assert dict(answers[0].headers) == dict(answers[1].headers), route


def test_lists_tell_a_third_vendor_nothing_and_the_house_has_no_way_in(staged: Stage) -> None:
    names = names_of(staged)
    third, operator = staged.as_("cygnus"), staged.as_("operator")
    for (verb, path), what in ROWS.items():
        filled = re.sub(r"{(\w+)}", lambda match: names.get(match[1], "aurora"), path)
        body = None if verb == "GET" else {"@type": "CatalogRequestMessage"}
        if what == "own":
            text = third.request(verb, filled, json=body).text
            assert "aurora" not in text
            assert "borealis" not in text
        if what == "house":
            assert third.request(verb, filled, json={"reason": "r"}).status_code == 403
        elif what == "hidden" or (what == "own" and path != "/sharing/v1/identity"):
            assert operator.request(verb, filled, json=body).status_code in (400, 403), path


def test_nobody_without_a_good_token_learns_which_routes_there_are(staged: Stage) -> None:
    names = names_of(staged)
    client = staged.as_("stolen")
    for verb, path in ROWS:
        filled = re.sub(r"{(\w+)}", lambda match: names.get(match[1], "aurora"), path)
        body = None if verb == "GET" else {}
        assert client.request(verb, filled, json=body).status_code == 401, (verb, path)


def test_without_the_guard_the_attack_would_succeed(staged: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: a register that does not look whose an agreement is."""
    digest = names_of(staged)["digest"]
    client = staged.as_("cygnus")
    honest = register.Register.get
    monkeypatch.setattr(register.Register, "get", lambda self, digest, party: honest(self, digest, "vendors/aurora"))
    assert client.get(f"/sharing/v1/agreements/{digest}").json()["agreement"] == digest


def test_an_unknown_address_looks_as_what_is_not_shared(staged: Stage) -> None:
    assert staged.as_("cygnus").get("/sharing/v2/anything").content == NOT_SHARED


def test_a_vendor_cannot_register_a_key_that_it_does_not_hold(staged: Stage) -> None:
    public = key_of("vendors/aurora").public_key().public_bytes_raw().hex()
    for proof in ("0" * 128, step_of("accept", "vendors/aurora", terms())[2]):
        answer = staged.as_("cygnus").post("/sharing/v1/keys", json={"public_key": public, "proof": proof})
        assert (answer.status_code, answer.json()["reason"]) == (400, "BAD_SIGNATURE")
