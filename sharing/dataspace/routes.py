"""The Dataspace Protocol over HTTP, below `/sharing/dsp`.

Palaestra is the provider's connector for each of its vendors. It calls nobody: instead of messages to a callback
address, a consumer asks how its negotiation or transfer stands. Steps are signed as everywhere, in `palaestra:step`.
"""

from collections.abc import Iterator
from typing import Any

from fastapi import APIRouter, Depends
from fastapi.responses import Response, StreamingResponse

from palaestra.errors import PalaestraError
from sharing.body import fields_of, json_body, text_of
from sharing.dataspace import messages
from sharing.dataspace.transfer import MESSAGES, State, Transfer, Transfers
from sharing.errors import BadStep, NotShared, SharingError
from sharing.grant import Ask, Grant
from sharing.identity import Caller
from sharing.negotiation import Negotiation
from sharing.odrl import from_odrl
from sharing.places import Places
from sharing.projection.tables import ProjectedFile
from sharing.room import Room
from sharing.step import Kind, Step
from sharing.step import State as Negotiating
from sharing.terms import Channel, Purpose, Terms

CHUNK_BYTES = 1 << 18


def router(room: Room) -> APIRouter:
    """Return the routes."""
    found = APIRouter(prefix="/sharing/dsp", tags=["agreements", "data spaces"])
    transfers = Transfers(room.database, room.witness, room.clock)
    places = Places()
    who, body = Depends(room.caller), Depends(json_body)

    @found.post("/catalog/request", summary="What was offered to the caller")
    def catalogue(caller: Caller = who, given: object = body) -> dict[str, Any]:
        if messages.read(given, "CatalogRequestMessage").get("filter"):
            raise PalaestraError("INVALID_FIELD", "filter: no filter is understood", metadata={"field": "filter"})
        return messages.catalogue(_offers(room, caller.looks()), caller.vendor, room.address)

    @found.get("/catalog/datasets/{name}", summary="One data set of the catalogue")
    def data_set(name: str, caller: Caller = who) -> dict[str, Any]:
        for which, offers in _offers(room, caller.looks()).items():
            if messages.data_set_id(which) == name:
                return {"@context": messages.CONTEXT} | messages.data_set(which, offers, room.address)
        raise NotShared

    @found.post("/negotiations/request", status_code=201, summary="A consumer asks for data on terms")
    def request(caller: Caller = who, given: object = body) -> dict[str, Any]:
        message = messages.read(given, "ContractRequestMessage", "consumerPid", "offer", "palaestra:step")
        terms = from_odrl(message["offer"])
        if terms.consumer != caller.decides():
            raise PalaestraError("INVALID_FIELD", "offer.assignee: is not who asks", metadata={"field": "offer"})
        begun = _take(room, caller, message, (Kind.OFFER,), "", terms)
        with room.database.transaction() as db:
            text = "UPDATE negotiation SET consumer_pid = ? WHERE id = ? AND consumer_pid = ''"
            db.execute(text, (message["consumerPid"], begun.id))
        return _told(room, begun, caller)

    @found.get("/negotiations/{name}", summary="How a negotiation stands")
    def negotiation(name: str, caller: Caller = who) -> dict[str, Any]:
        return _told(room, room.negotiations.get(name, caller.looks()), caller)

    @found.post("/negotiations/{name}/request", summary="The consumer's other terms")
    def counter(name: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        _known(room, name, caller)
        message = messages.read(given, "ContractRequestMessage", "palaestra:step")
        terms = from_odrl(message.get("offer"))
        return _told(room, _take(room, caller, message, (Kind.COUNTER,), name, terms), caller)

    @found.post("/negotiations/{name}/events", summary="The consumer accepts")
    def event(name: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        _known(room, name, caller)
        message = messages.read(given, "ContractNegotiationEventMessage", "eventType", "palaestra:step")
        if message["eventType"] != "ACCEPTED":
            raise BadStep("eventType: a consumer says ACCEPTED; FINALIZED is the provider's")
        return _told(room, _take(room, caller, message, (Kind.ACCEPT,), name), caller)

    @found.post("/negotiations/{name}/agreement/verification", summary="The consumer signs what the provider signed")
    def verification(name: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        before = _known(room, name, caller)
        message = messages.read(given, "ContractAgreementVerificationMessage", "palaestra:step")
        if before.state is not Negotiating.AGREED and before.provider is None:
            raise BadStep("there is no agreement to verify yet: the provider has not signed")
        return _told(room, _take(room, caller, message, (Kind.SIGN,), name), caller)

    @found.post("/negotiations/{name}/termination", summary="Either side ends the negotiation")
    def termination(name: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        _known(room, name, caller)
        message = messages.read(given, "ContractNegotiationTerminationMessage", "palaestra:step")
        return _told(room, _take(room, caller, message, (Kind.TERMINATE, Kind.DECLINE), name), caller)

    @found.post("/transfers/request", status_code=201, summary="Ask for a flow under an agreement in force")
    def transfer(caller: Caller = who, given: object = body) -> dict[str, Any]:
        message = messages.read(given, "TransferRequestMessage", "consumerPid", "agreementId", "format")
        if message["format"] != Channel.EXPORT:
            raise PalaestraError("INVALID_FIELD", "format: export alone flows here", metadata={"field": "format"})
        agreement = message["agreementId"].removeprefix("urn:palaestra:terms:")
        grant = _authorize(room, agreement, caller.takes(), caller.purpose, "transfer")
        return _transfer(transfers.begin(grant, message["consumerPid"]), room)

    @found.get("/transfers/{name}", summary="How a transfer stands")
    def standing(name: str, caller: Caller = who) -> dict[str, Any]:
        return _transfer(transfers.get(name, caller.looks()), room)

    @found.get("/transfers/{name}/data", summary="The files of a transfer that has started")
    def data(name: str, caller: Caller = who) -> dict[str, Any]:
        _, tables = _flow(room, transfers, places, name, caller, "files")
        files = [
            {"table": table, "name": file.name, "sha256": file.sha256, "size_bytes": file.size_bytes, "rows": file.rows}
            for table, several in tables.items()
            for file in several
        ]
        return {"files": files}

    @found.get("/transfers/{name}/data/{table}/{file}", summary="One file's bytes")
    def content(name: str, table: str, file: str, caller: Caller = who) -> Response:
        grant, tables = _flow(room, transfers, places, name, caller, file)
        for one in tables.get(table, ()):
            if one.name == file:
                stream = _bytes(room, transfers, grant, name, one)
                headers = {"Content-Length": str(one.size_bytes)}
                return StreamingResponse(stream, headers=headers, media_type="application/vnd.apache.parquet")
        raise NotShared

    # Last: its second part would take `data`, which is no change.
    @found.post("/transfers/{name}/{what}", summary="Start again, suspend, complete or terminate a transfer")
    def change(name: str, what: str, caller: Caller = who, given: object = body) -> dict[str, Any]:
        transfers.get(name, caller.takes())
        if what not in MESSAGES:
            raise NotShared
        messages.read(given, MESSAGES[what])
        return _transfer(transfers.change(name, what, caller.takes()), room)

    return found


def _offers(room: Room, party: str) -> dict[str, list[Terms]]:
    """Return the offers that lie before a consumer, by data set."""
    found: dict[str, list[Terms]] = {}
    for one in room.negotiations.offered(party):
        if one.terms.consumer == party:
            found.setdefault(one.terms.data_set, []).append(one.terms)
    return found


def _known(room: Room, name: str, caller: Caller) -> Negotiation:
    """Return a negotiation before anything of the message is looked at, so that no answer tells of another's."""
    return room.negotiations.get(name, caller.decides())


def _take(
    room: Room, caller: Caller, message: Any, kinds: tuple[Kind, ...], name: str, terms: Terms | None = None
) -> Negotiation:
    """Take the step that a message carries, if it is of the kind that the message is."""
    plain, key, signature = fields_of(message["palaestra:step"], "step", "public_key", "signature")
    step = Step.of(plain)
    if step.kind not in kinds or step.negotiation != name:
        raise BadStep(f"palaestra:step: must be {' or '.join(kinds)} of this negotiation")
    public_key, signed = text_of("public_key", key), text_of("signature", signature)
    return room.negotiations.take(caller.decides(), step, public_key, signed, terms)


def _told(room: Room, one: Negotiation, caller: Caller) -> dict[str, Any]:
    last = room.negotiations.steps(one.id, caller.looks())[-1].step
    text = "SELECT consumer_pid FROM negotiation WHERE id = ?"
    consumer_pid = room.database.reader().execute(text, (one.id,)).fetchone()[0]
    return messages.negotiation(one, last.kind, last.by, consumer_pid)


def _authorize(room: Room, agreement: str, consumer: str, purpose: Purpose, about: str) -> Grant:
    return room.gate.authorize(Ask(consumer, agreement, Channel.EXPORT, purpose, about=about))


def _transfer(one: Transfer, room: Room) -> dict[str, Any]:
    found: dict[str, Any] = {
        "@context": messages.CONTEXT,
        "@type": "TransferProcess",
        "providerPid": one.id,
        "consumerPid": one.consumer_pid,
        "state": str(one.state),
    }
    if one.state is State.STARTED:
        endpoint = f"{room.address}/sharing/dsp/transfers/{one.id}/data"
        found["dataAddress"] = {"@type": "DataAddress", "endpointType": "HTTP", "endpoint": endpoint}
    return found


def _flow(
    room: Room, transfers: Transfers, places: Places, name: str, caller: Caller, about: str
) -> tuple[Grant, dict[str, tuple[ProjectedFile, ...]]]:
    """Return what flows in a transfer that has started. Raises NotShared, also for the provider: it has its data."""
    one = transfers.get(name, caller.takes())
    if one.state is not State.STARTED:
        raise NotShared
    grant = _authorize(room, one.agreement, caller.takes(), Purpose(one.purpose), f"transfer {name} {about}")
    try:
        with places.one(grant.consumer):
            return grant, dict(room.projector.project(grant).tables)
    except SharingError:
        # Why something cannot be made is for its provider, and is noted for it.
        raise NotShared from None


def _bytes(room: Room, transfers: Transfers, grant: Grant, name: str, file: ProjectedFile) -> Iterator[bytes]:
    """Yield a file's bytes. Each portion asks again, so that what ends in between is cut off, not completed."""
    fields = {**grant.parties(), "file": file.name}
    # Before the first byte, so that none goes unnoted.
    room.witness.note("bytes", {**fields, "bytes": file.size_bytes})
    sent = 0
    try:
        while sent < file.size_bytes:
            room.gate.still(grant)
            if transfers.get(name, grant.consumer).state is not State.STARTED:
                raise NotShared
            portion = room.projector.read(file, sent, min(CHUNK_BYTES, file.size_bytes - sent))
            if not portion:
                # Dropped under way, or its file is shorter than was told.
                raise NotShared
            sent += len(portion)
            yield portion
    finally:
        if sent < file.size_bytes:
            room.witness.note("bytes", {**fields, "what": "cut off", "bytes": sent})
