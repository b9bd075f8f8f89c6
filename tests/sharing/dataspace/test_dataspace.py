"""Another data space's connector: catalogue, negotiation and transfer, and the faults that such connectors had.

The faults are those of Eclipse EDC's issues 3867 (a transfer before FINALIZED), 5377 (expiry looked at once only),
4592 and 3422 (terminated, and the flow went on).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sharing.dataspace import routes
from sharing.dataspace.routes import CHUNK_BYTES
from sharing.dataspace.transfer import Transfers
from sharing.errors import NotNoted, NotShared
from sharing.export import routes as export
from sharing.gate import Gate
from sharing.grant import Ask, Grant
from sharing.odrl import from_odrl, to_odrl
from sharing.problem import NOT_SHARED
from sharing.projection.tables import ProjectedFile, Projection
from sharing.terms import Channel, Purpose, Terms
from tests.sharing.stage import AURORA, BOREALIS, DAY_S, NOW_S, Notes, Stage, begin, stage, step_of, take, terms

FILE = ProjectedFile(Path("x"), "joints-0.parquet", "0" * 64, 3 * CHUNK_BYTES + 5, 7)


class Ready:
    """A projector whose one file is there."""

    def project(self, grant: Grant) -> Projection:
        return Projection("k", grant.agreement, grant.version, {"joints": (FILE,)}, {})

    def read(self, file: ProjectedFile, begin: int, size_bytes: int) -> bytes:
        return b"x" * size_bytes

    def drop(self, agreement: str) -> int:
        return 0


@pytest.fixture
def space(tmp_path: Path, made_catalogue: Path) -> Iterator[Stage]:
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    made = stage(tmp_path, projector=Ready())
    yield made
    made.close()


def signed(kind: str, about: Terms, state: dict[str, Any] | None = None, by: str = BOREALIS) -> dict[str, Any]:
    """Return a message's signed step, after how the negotiation stands."""
    where = {}
    if state is not None:
        where = {
            "negotiation": state["providerPid"],
            "sequence": state["palaestra:sequence"] + 1,
            "previous": state["palaestra:last"],
        }
    step, key, signature = step_of(kind, by, about, **where)
    return {"step": step, "public_key": key, "signature": signature}


def request(space: Stage, about: Terms) -> dict[str, Any]:
    """Ask for data as borealis, and return how the negotiation stands."""
    message = {
        "@type": "ContractRequestMessage",
        "consumerPid": "urn:uuid:1",
        "callbackAddress": "http://192.0.2.1/",
        "offer": to_odrl(about),
        "palaestra:step": signed("offer", about),
    }
    answer = space.as_("borealis").post("/sharing/dsp/negotiations/request", json=message)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ask_for_transfer(space: Stage, digest: str, pid: str = "urn:uuid:t", **fields: Any) -> Any:
    message = {"@type": "TransferRequestMessage", "consumerPid": pid, "agreementId": digest, "format": "export"}
    return space.as_("borealis").post("/sharing/dsp/transfers/request", json=message | fields)


def finalized(space: Stage) -> str:
    return space.agree().digest


def test_a_consumer_asks_the_provider_signs_the_consumer_verifies_and_it_is_final(space: Stage) -> None:
    about = terms(note="by another data space")
    state = request(space, about)
    assert (state["state"], state["consumerPid"]) == ("REQUESTED", "urn:uuid:1")
    client, path = space.as_("borealis"), f"/sharing/dsp/negotiations/{state['providerPid']}"
    verification = {
        "@type": "ContractAgreementVerificationMessage",
        "palaestra:step": signed("sign", about, client.get(path).json()),
    }
    early = client.post(f"{path}/agreement/verification", json=verification)
    assert (early.status_code, early.json()["reason"]) == (400, "BAD_STEP")
    before = space.room.negotiations.get(state["providerPid"], AURORA)
    take(space, take(space, before, "accept", AURORA), "sign", AURORA)
    state = client.get(path).json()
    assert state["state"] == "AGREED"
    # Nothing flows before it is final, though the provider has signed.
    assert ask_for_transfer(space, about.digest()).content == NOT_SHARED
    verification["palaestra:step"] = signed("sign", about, state)
    state = client.post(f"{path}/agreement/verification", json=verification).json()
    assert (state["state"], state["palaestra:agreement"]) == ("FINALIZED", about.digest())
    assert from_odrl(client.get(f"/sharing/v1/agreements/{about.digest()}/odrl").json()) == about
    assert ask_for_transfer(space, about.digest()).status_code == 201


def test_an_offer_is_in_the_catalogue_of_whom_it_was_made_to_and_can_be_accepted(space: Stage) -> None:
    offered = begin(space, terms())
    client = space.as_("borealis")
    catalogue = client.post("/sharing/dsp/catalog/request", json={"@type": "CatalogRequestMessage"}).json()
    assert [one["@id"] for one in catalogue["dataset"]] == ["urn:palaestra:dataset:aurora:walks"]
    one = client.get("/sharing/dsp/catalog/datasets/urn:palaestra:dataset:aurora:walks").json()
    assert from_odrl(one["hasPolicy"][0]) == terms()
    path = f"/sharing/dsp/negotiations/{offered.id}"
    state = client.get(path).json()
    assert state["state"] == "OFFERED"
    message = {
        "@type": "ContractNegotiationEventMessage",
        "eventType": "ACCEPTED",
        "palaestra:step": signed("accept", terms(), state),
    }
    assert client.post(f"{path}/events", json=message | {"eventType": "FINALIZED"}).status_code == 400
    assert client.post(f"{path}/events", json=message).json()["state"] == "ACCEPTED"
    ended = {
        "@type": "ContractNegotiationTerminationMessage",
        "palaestra:step": signed("terminate", terms(), client.get(path).json()),
    }
    assert client.post(f"{path}/termination", json=ended).json()["state"] == "TERMINATED"


def test_a_message_that_carries_another_step_than_it_says_is_refused(space: Stage) -> None:
    offered = begin(space, terms())
    client, path = space.as_("borealis"), f"/sharing/dsp/negotiations/{offered.id}"
    state = client.get(path).json()
    hidden = {
        "@type": "ContractNegotiationTerminationMessage",
        "palaestra:step": signed("accept", terms(), state),
    }
    assert client.post(f"{path}/termination", json=hidden).json()["reason"] == "BAD_STEP"
    assert client.get(path).json()["state"] == "OFFERED"


def test_the_files_of_a_transfer_come_whole_and_are_counted(space: Stage) -> None:
    started = ask_for_transfer(space, f"urn:palaestra:terms:{finalized(space)}").json()
    assert started["state"] == "STARTED"
    path = started["dataAddress"]["endpoint"].removeprefix(space.room.address)
    client = space.as_("borealis")
    (file,) = client.get(path).json()["files"]
    assert len(client.get(f"{path}/{file['table']}/{file['name']}").content) == file["size_bytes"]
    assert [note["bytes"] for note in space.notes.of("bytes")] == [FILE.size_bytes]
    for other in ("joints/other.parquet", f"episodes/{FILE.name}", f"joints/..%2F{FILE.name}"):
        assert client.get(f"{path}/{other}").content == NOT_SHARED
    # The same request again is the same transfer.
    again = ask_for_transfer(space, space.notes.of("transfer")[0]["agreement"])  # type: ignore[arg-type]
    assert again.json()["providerPid"] == started["providerPid"]


def test_expiry_is_looked_at_with_each_request(space: Stage) -> None:
    digest = finalized(space)
    path = f"/sharing/dsp/transfers/{ask_for_transfer(space, digest).json()['providerPid']}/data"
    client = space.as_("borealis")
    assert client.get(path).status_code == 200
    space.hand.at_s = NOW_S + DAY_S
    for answer in (
        client.get(path),
        client.get(f"{path}/joints/{FILE.name}"),
        ask_for_transfer(space, digest, "urn:2"),
    ):
        assert answer.content == NOT_SHARED


@pytest.mark.parametrize("end", ["revoke", "termination", "suspension", "suspend", "term"])
def test_a_flow_that_is_under_way_stops_with_its_next_portion(space: Stage, end: str) -> None:
    digest = finalized(space)
    name = ask_for_transfer(space, digest).json()["providerPid"]
    grant = space.room.gate.authorize(Ask(BOREALIS, digest, Channel.EXPORT, Purpose.TRAINING))
    flow = routes._bytes(
        space.room, routes.Transfers(space.room.database, space.notes, space.room.clock), grant, name, FILE
    )
    assert len(next(flow)) == CHUNK_BYTES
    provider = space.as_("aurora")
    if end == "revoke":
        assert provider.post(f"/sharing/v1/agreements/{digest}:revoke", json={}).json()["state"] == "revoked"
    elif end == "suspend":
        answer = space.as_("operator").post("/sharing/v1/vendors/borealis:suspend", json={"reason": "audit"})
        assert answer.status_code == 200
    elif end == "term":
        space.hand.at_s = NOW_S + DAY_S
    else:
        kind = {"termination": "TransferTerminationMessage", "suspension": "TransferSuspensionMessage"}[end]
        assert provider.post(f"/sharing/dsp/transfers/{name}/{end}", json={"@type": kind}).status_code == 200
    with pytest.raises(NotShared):
        next(flow)
    assert space.notes.of("bytes")[-1]["bytes"] == CHUNK_BYTES
    assert space.as_("borealis").get(f"/sharing/dsp/transfers/{name}/data").content == NOT_SHARED


def test_without_asking_at_each_portion_the_flow_would_go_on(space: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant of the attack above."""
    digest = finalized(space)
    name = ask_for_transfer(space, digest).json()["providerPid"]
    grant = space.room.gate.authorize(Ask(BOREALIS, digest, Channel.EXPORT, Purpose.TRAINING))
    monkeypatch.setattr(Gate, "still", lambda self, grant: None)
    flow = routes._bytes(
        space.room, routes.Transfers(space.room.database, space.notes, space.room.clock), grant, name, FILE
    )
    next(flow)
    space.room.register.revoke(digest, AURORA, "")
    assert sum(map(len, flow)) == FILE.size_bytes - CHUNK_BYTES


def test_what_has_ended_does_not_begin_again_and_who_suspended_starts(space: Stage) -> None:
    name = ask_for_transfer(space, finalized(space)).json()["providerPid"]

    def say(who: str, what: str) -> Any:
        kind = f"Transfer{what.capitalize()}Message"
        return space.as_(who).post(f"/sharing/dsp/transfers/{name}/{what}", json={"@type": kind})

    assert say("aurora", "suspension").json()["state"] == "SUSPENDED"
    assert say("borealis", "start").json()["reason"] == "BAD_STEP"
    assert say("aurora", "start").json()["state"] == "STARTED"
    assert say("borealis", "completion").json()["state"] == "COMPLETED"
    for what in ("start", "suspension", "termination", "completion"):
        assert say("aurora", what).json()["reason"] == "BAD_STEP"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"@type": "TransferStartMessage"}, "@type"),
        ({"format": "HttpData-PULL"}, "format"),
        ({"consumerPid": ""}, "consumerPid"),
        ({"consumerPid": 7}, "consumerPid"),
        ({"agreementId": "x" * 300}, "agreementId"),
    ],
)
def test_a_message_of_another_form_is_refused_by_name(space: Stage, fields: dict[str, Any], field: str) -> None:
    answer = ask_for_transfer(space, "0" * 64, **fields)
    assert (answer.status_code, answer.json()["metadata"]["field"]) == (400, field)


class Full(Notes):
    """A witness whose disk has no room for what goes out."""

    def note(self, kind: str, fields: Mapping[str, str | int]) -> int:
        if kind == "bytes":
            raise NotNoted
        return super().note(kind, fields)


def test_bytes_that_cannot_be_noted_do_not_leave(space: Stage) -> None:
    """By no way that yields files; where they are noted afterwards, whoever is killed in between has noted nothing."""
    digest = finalized(space)
    grant = space.room.gate.authorize(Ask(BOREALIS, digest, Channel.EXPORT, Purpose.TRAINING))
    name = ask_for_transfer(space, digest).json()["providerPid"]
    full = replace(space.room, witness=Full())
    transfers = Transfers(space.room.database, space.room.witness, space.room.clock)
    for flow in (routes._bytes(full, transfers, grant, name, FILE), export._bytes(full, grant, FILE)):
        with pytest.raises(NotNoted):
            next(flow)
