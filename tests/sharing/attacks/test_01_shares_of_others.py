"""D6.1: every endpoint, with every name of another's: as if there were no such thing, and never a word more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import httpx
import pytest

from sharing.delta import offers
from sharing.delta.recipients import Recipient
from sharing.delta.secret import Secret
from sharing.delta.shares import Shares
from sharing.errors import InvalidTerms
from sharing.grant import Ask, Grant
from sharing.problem import NOT_SHARED
from tests.sharing.delta.ground import ROOT, Delta, delta, lines_of
from tests.sharing.stage import CYGNUS, agreed, terms


@pytest.fixture
def opened(tmp_path: Path, made_catalogue: Path) -> Iterator[Delta]:
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    made = delta(tmp_path)
    yield made
    made.stage.close()


def of_cygnus(opened: Delta) -> dict[str, Any]:
    """Let cygnus have the same data set under a share of its own name; return its credential."""
    theirs = opened.stage.room.register.add(agreed(terms(consumer=CYGNUS, columns=("observation.velocity",)))).agreement
    return opened.credential("cygnus", theirs.digest, shares={theirs.digest: "theirs"})


def calls(client: httpx.Client, share: str, schema: str, table: str) -> Iterator[httpx.Response]:
    """Ask every endpoint that takes names."""
    at = f"{ROOT}/shares/{share}"
    yield client.get(at)
    yield client.get(f"{at}/schemas")
    yield client.get(f"{at}/all-tables")
    yield client.get(f"{at}/schemas/{schema}/tables")
    one = f"{at}/schemas/{schema}/tables/{table}"
    yield client.get(f"{one}/version")
    yield client.get(f"{one}/metadata")
    yield client.get(f"{one}/metadata", params={"version": 1})
    yield client.post(f"{one}/query", json={})
    yield client.post(f"{one}/query", json={"version": 1})
    yield client.post(f"{one}/query", json={"startingVersion": 1})
    yield client.get(f"{one}/changes", params={"startingVersion": 1})
    yield client.post(f"{one}/temporary-table-credentials", json={})


def answer_of(response: httpx.Response) -> tuple[int, bytes, list[tuple[str, str]]]:
    return response.status_code, response.content, sorted(response.headers.items())


def test_anothers_and_missing_are_answered_alike_to_the_byte(opened: Delta) -> None:
    of_cygnus(opened)
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    anothers = [answer_of(one) for one in calls(mine, "theirs", "walks", "joints")]
    missing = [answer_of(one) for one in calls(mine, "nobody", "nothing", "none")]
    assert anothers == missing
    assert {(status, body) for status, body, _ in anothers} == {(404, NOT_SHARED)}


def test_what_cannot_be_had_any_more_looks_as_if_it_had_never_been(opened: Delta) -> None:
    agreement = opened.stage.agree()
    mine = opened.client(opened.credential("borealis", agreement.digest))
    opened.stage.room.register.revoke(agreement.digest, "vendors/aurora", "")
    assert mine.get(f"{ROOT}/shares").json() == {"items": []}
    gone = [answer_of(one) for one in calls(mine, "aurora", "walks", "joints")]
    assert gone == [answer_of(one) for one in calls(mine, "nobody", "nothing", "none")]


def test_refusals_cost_the_same_questions_of_the_file(opened: Delta, monkeypatch: pytest.MonkeyPatch) -> None:
    """Time is not measured, but what takes it: one decision, one note, nothing projected, nothing of another's read."""
    of_cygnus(opened)
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    costs = []
    for share in ("theirs", "nobody"):
        statements: list[str] = []
        reader = opened.stage.room.database.reader
        monkeypatch.setattr(opened.stage.room.database, "reader", lambda s=statements, r=reader: _told(r(), s))
        notes, projected = len(opened.stage.notes.notes), len(opened.tables.projected)
        mine.post(f"{ROOT}/shares/{share}/schemas/walks/tables/joints/query", json={})
        monkeypatch.undo()
        costs.append((statements, len(opened.stage.notes.notes) - notes, len(opened.tables.projected) - projected))
    assert costs[0] == costs[1]
    assert costs[0][0] and costs[0][1:] == (1, 0)


class _told:
    """A connection that remembers what is asked of it."""

    def __init__(self, db: Any, statements: list[str]) -> None:
        self._db, self._statements = db, statements

    def execute(self, text: str, *values: Any) -> Any:
        self._statements.append(text)
        return self._db.execute(text, *values)


def test_nothing_of_another_consumer_stands_in_any_answer(opened: Delta) -> None:
    theirs = of_cygnus(opened)
    agreement = opened.stage.agree()
    mine = opened.client(opened.credential("borealis", agreement.digest))
    said = b""
    for one in [mine.get(f"{ROOT}/shares"), *calls(mine, "aurora", "walks", "joints")]:
        said += one.content + repr(sorted(one.headers.items())).encode()
    for secret in ("theirs", "cygnus", "velocity", theirs["credential"], theirs["opens"][0]["agreement"]):
        assert secret.encode() not in said.lower()
    assert b"joints" in said


@pytest.mark.parametrize("mutant", ["names", "gate"])
def test_without_either_guard_anothers_table_is_served(
    opened: Delta, monkeypatch: pytest.MonkeyPatch, mutant: str
) -> None:
    """Either of the two is enough; only with both gone does the attack succeed."""
    theirs = of_cygnus(opened)
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    digest = theirs["opens"][0]["agreement"]

    def anybodys_names(self: Shares, of: Recipient, place: Any, version: int) -> Grant:
        return self._grant(of, digest, version, "")

    def anybodys_agreement(self: Shares, of: Recipient, agreement: str, version: int, about: str) -> Grant:
        consumer = CYGNUS if agreement == digest else of.consumer
        return self._room.gate.authorize(Ask(consumer, agreement, "delta-share", of.purpose, version=version))  # type: ignore[arg-type]

    url = f"{ROOT}/shares/theirs/schemas/walks/tables/joints/query"
    guards = {"names": ("_grant_at", anybodys_names), "gate": ("_grant", anybodys_agreement)}
    monkeypatch.setattr(Shares, *guards[mutant])
    assert mine.post(url, json={}).status_code == 404
    for guard in guards.values():
        monkeypatch.setattr(Shares, *guard)
    assert len(lines_of(mine.post(url, json={}))) == 4


def test_a_page_token_of_another_or_of_another_listing_is_refused(opened: Delta) -> None:
    theirs = opened.client(of_cygnus(opened))
    agreement = opened.stage.agree()
    mine = opened.client(opened.credential("borealis", agreement.digest))
    listing = f"{ROOT}/shares/aurora/schemas/walks/tables"
    other = f"{ROOT}/shares/theirs/schemas/walks/tables"
    foreign = theirs.get(other, params={"maxResults": 1}).json()["nextPageToken"]
    token = mine.get(listing, params={"maxResults": 1}).json()["nextPageToken"]
    forged = token[:-1] + ("0" if token[-1] != "0" else "1")
    for bad in (foreign, forged, "x", ".", token.partition(".")[0], "e30." + "0" * 64):
        answer = mine.get(listing, params={"pageToken": bad})
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_FIELD")
    wrong = mine.get(f"{ROOT}/shares/aurora/all-tables", params={"pageToken": token})
    assert wrong.status_code == 400
    pages = mine.post(f"{listing}/joints/query", json={"maxFiles": 1})
    files = lines_of(pages)[-1]["endStreamAction"]["nextPageToken"]
    assert mine.post(f"{listing}/episodes/query", json={"pageToken": files}).status_code == 400
    assert mine.post(f"{listing}/joints/query", json={"pageToken": files}).status_code == 200


def test_without_the_code_a_page_token_of_another_is_taken(opened: Delta, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = opened.client(of_cygnus(opened))
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    foreign = theirs.get(f"{ROOT}/shares/theirs/schemas/walks/tables", params={"maxResults": 1}).json()["nextPageToken"]
    monkeypatch.setattr(Secret, "holds", lambda *_: True)
    answer = mine.get(f"{ROOT}/shares/aurora/schemas/walks/tables", params={"pageToken": foreign})
    assert answer.status_code == 200


def test_credentials_of_another_cannot_be_seen_rotated_or_revoked(opened: Delta) -> None:
    theirs = of_cygnus(opened)
    borealis = opened.stage.as_("borealis")
    assert borealis.get("/sharing/v1/credentials").json() == {"credentials": []}
    for verb in ("rotate", "revoke"):
        anothers = borealis.post(f"/sharing/v1/credentials/{theirs['credential']}:{verb}", json={})
        missing = borealis.post(f"/sharing/v1/credentials/{'0' * 16}:{verb}", json={})
        assert answer_of(anothers) == answer_of(missing)
        assert (anothers.status_code, anothers.content) == (404, NOT_SHARED)
    stolen = {"agreements": [theirs["opens"][0]["agreement"]]}
    missing = {"agreements": ["0" * 64]}
    answers = [borealis.post("/sharing/v1/credentials", json=body) for body in (stolen, missing)]
    assert answer_of(answers[0]) == answer_of(answers[1])
    assert answers[0].status_code == 404
    assert opened.client(theirs).get(f"{ROOT}/shares").json()["items"]


@pytest.mark.parametrize("token", ["borealis-reader", "operator"])
def test_who_may_not_have_data_gets_no_credential(opened: Delta, token: str) -> None:
    body = {"agreements": [opened.stage.agree().digest]}
    assert opened.stage.as_(token).post("/sharing/v1/credentials", json=body).status_code == 403


HOSTILE_NAMES: list[Any] = [
    "..",
    "%2e%2e",
    "a%00b",
    "x" * 5_000,
    "'; DROP TABLE recipient --",
    "ａｕｒｏｒａ",
    "aurora%2Fschemas",
    "*",
    "AURORA\u0130",
]


def test_hostile_names_are_names_of_nothing(opened: Delta) -> None:
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    for name in HOSTILE_NAMES:
        for path in (
            f"{name}/schemas",
            f"aurora/schemas/{name}/tables",
            f"aurora/schemas/walks/tables/{name}/metadata",
        ):
            answer = mine.get(f"{ROOT}/shares/{path}")
            assert (answer.status_code, answer.content) == (404, NOT_SHARED)


HOSTILE_BODIES: list[Any] = [
    b"[" * 100_000,
    b'{"version": 1e400}',
    b'{"version": 9999999999999999999999}',
    b'{"version": 9007199254740993}',
    b'{"version": 1, "version": 2}',
    b'{"timestamp": "' + b"9" * 5_000 + b'"}',
    b'{"timestamp": "99999-01-01"}',
    b'{"pageToken": "' + b"A" * 5_000 + b'"}',
    b"\xff\xfe",
]


def test_hostile_bodies_are_refused_in_one_form(opened: Delta) -> None:
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    for body in HOSTILE_BODIES:
        url = f"{ROOT}/shares/aurora/schemas/walks/tables/joints/query"
        answer = mine.post(url, content=body)
        assert (answer.status_code, answer.json()["reason"]) == (400, "INVALID_FIELD")
        assert len(answer.content) < 2_000


def test_a_huge_body_is_not_read_and_a_huge_version_is_none(opened: Delta) -> None:
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    url = f"{ROOT}/shares/aurora/schemas/walks/tables/joints/query"
    assert mine.post(url, content=b" " * (2 << 20)).status_code == 413
    assert mine.post(url, json={"version": 2**53}).content == NOT_SHARED
    assert mine.post(url, json={"version": 0}).content == NOT_SHARED


def test_hostile_hints_are_passed_over(opened: Delta) -> None:
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    url = f"{ROOT}/shares/aurora/schemas/walks/tables/joints/query"
    plain = len(lines_of(mine.post(url, json={})))
    deep = '{"op":"not","children":[' * 400 + "]}" * 400
    for body in (
        {"jsonPredicateHints": deep},
        {"jsonPredicateHints": "[" * 60_000},
        {"jsonPredicateHints": 7},
        {"predicateHints": "time_s > 1e9"},
        {"predicateHints": ["time_s > 1e9; DROP TABLE x", "a" * 100_000, None, {"time_s": 3}]},
        {"predicateHints": ["time_s > 'x' OR 1=1", "`" * 1_000, "time_s > " + "9" * 900]},
    ):
        assert len(lines_of(mine.post(url, json=body))) == plain
    # Masked columns are like none: hints are no oracle.
    masked, missing = (
        mine.post(url, json={"predicateHints": [f"{name} > 1e9"]}) for name in ("observation.effort", "nothing.here")
    )
    assert len(lines_of(masked)) == len(lines_of(missing)) == plain


def test_what_the_provider_cannot_release_is_not_explained_to_consumers(
    opened: Delta, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> NoReturn:
        raise InvalidTerms("observation.torso_current: a secret of the provider's")

    monkeypatch.setattr(offers, "tables_of", refused)
    mine = opened.client(opened.credential("borealis", opened.stage.agree().digest))
    answer = mine.post(f"{ROOT}/shares/aurora/schemas/walks/tables/joints/query", json={})
    assert (answer.status_code, answer.content) == (404, NOT_SHARED)
