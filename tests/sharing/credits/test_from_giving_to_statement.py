"""Through everything that is real: given for a price, paid, measured, earned, stated, verified; and followed back."""

import copy
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import credits
from palaestra.cli import run
from palaestra.credits import STATEMENT, verify_statement
from palaestra.errors import PalaestraError
from palaestra.signing import canonical, digest
from sharing.audit.log import Log
from sharing.errors import BudgetExhausted
from sharing.grant import Ask, Grant
from sharing.problem import NOT_SHARED
from sharing.projection.tables import JOINTS
from sharing.signing import sign
from sharing.terms import Channel, Purpose, Terms
from store.episode import ACTION, EFFORT, STATE, VELOCITY
from tests.sharing.credits.mill import RATE_HZ, movement
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import Stage, serving, stage

PRICE = 250_000
PAGE = Path(__file__).parents[3] / "docs" / "credits.md"


@dataclass
class Given:
    """A stage on which aurora gave two recordings to borealis, for a price that borealis was first without."""

    staged: Stage
    about: Terms
    refused: str
    joints: Path
    episode: str

    def statement(self, vendor: str) -> dict[str, Any]:
        """Return a vendor's statement, over HTTP."""
        found: dict[str, Any] = self.staged.as_(vendor).get("/sharing/v1/credits/statement").json()
        return found


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    folder = tmp_path_factory.mktemp("given")
    ground = Ground(folder, vendor="aurora")
    for number in (1, 2):
        path = movement(number, 5)
        velocity = np.gradient(path, 1 / RATE_HZ, axis=0).astype(np.float32)
        signals = {STATE: path, VELOCITY: velocity, ACTION: path, EFFORT: 0.1 * velocity}
        ground.record(number, rows=len(path), rate_hz=RATE_HZ, sample_rate_hz=RATE_HZ, signals=signals)
    ground.freeze([1, 2])
    staged = stage(folder, witness=None)
    about = staged.agree(price_microcredits=PRICE).terms
    with pytest.raises(BudgetExhausted) as refused:
        staged.room.projector.project(_granted(staged, about))
    assert staged.room.accounts.earn() == 0
    body = {"amount_microcredits": 1_000_000, "request": "to-begin-with"}
    for _ in range(2):
        assert staged.as_("operator").post("/sharing/v1/credits/borealis:grant", json=body).status_code == 200
    for _ in range(2):
        made = staged.room.projector.project(_granted(staged, about))
    file = made.tables[JOINTS][0]
    joints = folder / "joints.parquet"
    joints.write_bytes(staged.room.projector.read(file, 0, file.size_bytes))
    assert (staged.room.accounts.earn(), staged.room.accounts.earn()) == (1, 0)
    yield Given(staged, about, str(refused.value), joints, file.name.removesuffix(".parquet"))
    staged.close()


@contextmanager
def listening() -> Iterator[tuple[str, list[bytes]]]:
    """Serve a server of the vendor's own that takes events; yields its address, and what was sent.

    It refuses whoever shows it a token: the venue's is nobody else's.
    """
    taken: list[bytes] = []

    class Takes(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(403 if self.headers["Authorization"] else 201)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Takes)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", taken
    finally:
        server.shutdown()
        thread.join(60.0)
        server.server_close()


def _granted(staged: Stage, about: Terms) -> Grant:
    return staged.room.gate.authorize(Ask(about.consumer, about.digest(), Channel.EXPORT, Purpose.TRAINING))


def test_who_pays_has_less_and_who_gives_has_more_once(given: Given) -> None:
    assert "0.25" in given.refused
    aurora, borealis = (given.staged.as_(name).get("/sharing/v1/credits").json() for name in ("aurora", "borealis"))
    assert borealis["balance_microcredits"] == 1_000_000 - PRICE
    assert [one["kind"] for one in borealis["postings"]] == ["granted", "paid"]
    assert [one["kind"] for one in aurora["postings"]] == ["paid", "earned"]
    # Two times five seconds, all new.
    earned = aurora["postings"][1]["amount_microcredits"]
    assert 2_000 < earned <= 2 * 5e6 / 3600
    assert aurora["balance_microcredits"] == PRICE + earned
    assert given.staged.as_("cygnus").get("/sharing/v1/credits").json() == {"balance_microcredits": 0, "postings": []}


def test_a_statement_verifies_offline_and_shows_nobody_else_s(given: Given) -> None:
    for vendor in ("aurora", "borealis"):
        signed = given.statement(vendor)
        held = verify_statement(signed, signed["public_key"])
        assert (held.vendor, held.postings) == (f"vendors/{vendor}", 2)
    recordings = [item["sha256"] for item in given.statement("aurora")["statement"]["postings"][1]["items"]]
    assert len(recordings) == 2
    consumers = json.dumps(given.statement("borealis"))
    assert not any(sha256 in consumers for sha256 in recordings)
    assert given.statement("cygnus")["statement"]["postings"] == []


def _set(path: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(signed: dict[str, Any]) -> None:
        place: Any = signed
        *way, last = path.split("/")
        for step in way:
            place = place[int(step) if step.isdigit() else step]
        place[int(last) if last.isdigit() else last] = value

    return change


CHANGES = {
    "balance": _set("statement/balance_microcredits", 10**9),
    "vendor": _set("statement/vendor", "vendors/borealis"),
    "amount": _set("statement/postings/1/posting/amount_microcredits", 10**9),
    "factor": _set("statement/postings/1/items/0/quality_ppm", 0),
    "leaf": _set("statement/postings/0/leaf", 0),
    "signature": _set("signature", "0" * 128),
    "key": _set("public_key", "0" * 64),
    "head": _set("statement/head", "x"),
    "posting left out": lambda signed: signed["statement"]["postings"].pop(0),
    "no postings": lambda signed: signed["statement"].pop("postings"),
    "not a table": _set("statement", []),
}


@pytest.mark.parametrize("what", CHANGES)
def test_an_altered_statement_does_not_verify(given: Given, what: str) -> None:
    signed = given.statement("aurora")
    CHANGES[what](signed)
    with pytest.raises(PalaestraError) as error:
        verify_statement(signed)
    assert error.value.reason == "BAD_SIGNATURE"


# What a ground could sign that is not so: the signature holds, and what it is over does not.
LIES = {
    "an amount that the factors do not give": (CHANGES["amount"], "audit"),
    "a factor": (CHANGES["factor"], "its recordings"),
    "a sum": (CHANGES["balance"], "sum"),
    "a posting that the audit does not have": (_set("statement/postings/0/posting/version", 7), "audit"),
    "another's posting": (CHANGES["vendor"], "not a posting of"),
    "another leaf": (_set("statement/postings/1/leaf", 10**6), r"postings\[1\]"),
}


@pytest.mark.parametrize("what", LIES)
def test_a_ground_that_signs_what_is_not_so_is_found_out(given: Given, what: str) -> None:
    signed = given.statement("aurora")
    change, why = LIES[what]
    change(signed)
    signed["signature"] = sign(given.staged.room.accounts.key, STATEMENT, canonical(signed["statement"]))
    with pytest.raises(PalaestraError, match=why):
        verify_statement(signed)


def test_factors_that_were_signed_with_another_amount_do_not_verify(given: Given) -> None:
    """The hash of the recordings is right, and so is the leaf; the sum is not done as it must be."""
    posting = copy.deepcopy(given.statement("aurora")["statement"]["postings"][1])
    items, document = posting["items"], posting["posting"]
    items[0]["amount_microcredits"] += 1
    document["items_sha256"] = digest(items)
    with pytest.raises(PalaestraError, match="its factors give"):
        credits._check_amount("x", document, items)


def test_an_episode_is_followed_back_by_both_of_its_sides_and_by_nobody_else(given: Given) -> None:
    path = f"/sharing/v1/lineage/episodes/{given.episode}"
    consumer, provider = (given.staged.as_(name).get(path).json() for name in ("borealis-reader", "aurora"))
    assert (consumer["agreement"], consumer["versions"]) == (given.about.digest(), [1])
    assert consumer["recording"] == {}
    assert "episodes/e-" not in json.dumps(consumer)
    assert provider["recording"]["episode"] in ("vendors/aurora/episodes/e-1", "vendors/aurora/episodes/e-2")
    assert provider["recording"]["job"] == "vendors/aurora/jobs/j-1"
    missing = "/sharing/v1/lineage/episodes/"
    for name, episode in (("cygnus", given.episode), ("borealis", "episode-" + "0" * 20), ("aurora", "x' OR 1=1--")):
        answer = given.staged.as_(name).get(missing + episode)
        assert (answer.status_code, answer.content) == (404, NOT_SHARED)


def test_events_are_open_lineage_s_and_each_vendor_s_own(given: Given) -> None:
    found = {}
    for vendor in ("aurora", "borealis", "cygnus"):
        found[vendor] = given.staged.as_(vendor).get("/sharing/v1/lineage/events").json()["events"]
    assert found["cygnus"] == []
    for events in (found["aurora"], found["borealis"]):
        assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
        start, end = events
        assert start["run"]["runId"] == end["run"]["runId"]
        assert start["inputs"][0]["name"] == f"{given.about.data_set}/versions/1"
        assert end["outputs"][0]["name"].startswith(f"agreements/{given.about.digest()}/projections/")
    log = given.staged.room.witness
    assert isinstance(log, Log)
    assert found["aurora"][0]["job"] == {"namespace": log.origin, "name": "sharing.projection"}


def test_the_page_s_commands_run_as_they_are_written(
    given: Given, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = re.findall(r"^(aurora|borealis)\$ palaestra (share (?:credits|lineage).*)$", PAGE.read_text(), re.MULTILINE)
    assert len(lines) == 7
    log = given.staged.room.witness
    assert isinstance(log, Log)
    names = {"KEY": log.public_key.hex(), "joints.parquet": str(given.joints)}
    monkeypatch.chdir(tmp_path)
    told: list[str] = []

    def ran(who: str, words: list[str], code: int = 0) -> None:
        monkeypatch.setenv("PALAESTRA_TOKEN", who)
        words = [given.episode if word.startswith("episode-") else names.get(word, word) for word in words]
        assert run(words) == code, capsys.readouterr().err
        said = capsys.readouterr()
        told.append(said.err if code else said.out)

    with serving(given.staged) as environment:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        for who, line in lines:
            ran(who, line.split())
        with listening() as (url, taken):
            ran("borealis", ["share", "lineage", "events", "--to", url])
    assert "paid" in told[0]
    assert "earned" in told[1]
    assert given.about.digest() in told[4]
    assert "7 of the episode's rows here" in told[4]
    assert "vendors/aurora/episodes/e-" not in told[4]
    assert "vendors/aurora/episodes/e-" in told[5]
    assert {json.loads(line)["eventType"] for line in Path("lineage.jsonl").read_text().splitlines()} == {
        "START",
        "COMPLETE",
    }
    kept = [json.loads(line) for line in Path("lineage.jsonl").read_text().splitlines()]
    assert kept
    assert [event["run"]["runId"] for event in kept] == [json.loads(text)["run"]["runId"] for text in taken]
    # The venue is gone; the statement is not.
    ran("nobody", ["share", "credits", "verify", "november.json"])
    assert "vendors/aurora" in told[-1]
    statement = Path("november.json")
    statement.write_text(statement.read_text().replace('"quality_ppm": 1000000', '"quality_ppm": 999999', 1))
    ran("nobody", ["share", "credits", "verify", "november.json"], code=1)
    assert "signature" in told[-1]


@pytest.mark.parametrize(
    ("who", "body", "reason"),
    [
        ("aurora", {"amount_microcredits": 5, "request": "12345678"}, "ROLE_DENIED"),
        ("operator", {"amount_microcredits": 0, "request": "12345678"}, "INVALID_FIELD"),
        ("operator", {"amount_microcredits": True, "request": "12345678"}, "INVALID_FIELD"),
        ("operator", {"amount_microcredits": 10**15, "request": "12345678"}, "INVALID_FIELD"),
        ("operator", {"amount_microcredits": 5, "request": "'; DROP TABLE credit_posting;--"}, "INVALID_FIELD"),
        ("operator", {"amount_microcredits": 5}, "INVALID_FIELD"),
    ],
)
def test_credits_are_issued_by_operators_alone_and_within_bounds(
    given: Given, who: str, body: dict[str, Any], reason: str
) -> None:
    answer = given.staged.as_(who).post("/sharing/v1/credits/cygnus:grant", json=body)
    assert answer.json()["reason"] == reason
