"""Messages of the Dataspace Protocol, as far as they are understood and sent here."""

from collections.abc import Mapping
from typing import Any

from palaestra.errors import PalaestraError
from sharing.negotiation import Negotiation
from sharing.odrl import to_odrl
from sharing.step import Kind, State
from sharing.terms import Terms

CONTEXT = ["https://w3id.org/dspace/2025/1/context.jsonld"]
MAX_PID = 200


def read(body: object, kind: str, *needed: str) -> Mapping[str, Any]:
    """Return a message of a kind with these fields. What else it has is left alone, as the protocol wants.

    Raises INVALID_FIELD.
    """
    if not isinstance(body, Mapping):
        raise _invalid("body", "must be a JSON object")
    if body.get("@type") != kind:
        raise _invalid("@type", f"must be {kind}")
    for name in needed:
        if name not in body:
            raise _invalid(name, "is missing")
        pid = name.endswith("Pid") or name in ("agreementId", "format")
        if pid and not (isinstance(body[name], str) and 0 < len(body[name]) <= MAX_PID):
            raise _invalid(name, f"must be text of at most {MAX_PID}")
    return body


def data_set_id(data_set: str) -> str:
    """Return a data set's id in a catalogue, of one part: `vendors/v/datasets/d` is `urn:palaestra:dataset:v:d`."""
    _, vendor, _, name = data_set.split("/")
    return f"urn:palaestra:dataset:{vendor}:{name}"


def catalogue(data_sets: Mapping[str, list[Terms]], participant: str, address: str) -> dict[str, Any]:
    """Return a catalogue of what was offered to somebody."""
    return {
        "@context": CONTEXT,
        "@id": f"urn:palaestra:catalog:{participant}",
        "@type": "Catalog",
        "participantId": participant,
        "dataset": [data_set(name, offers, address) for name, offers in sorted(data_sets.items())],
        "service": [{"@id": "urn:palaestra:service", "@type": "DataService", "endpointURL": f"{address}/sharing/dsp"}],
    }


def data_set(name: str, offers: list[Terms], address: str) -> dict[str, Any]:
    """Return one data set with its offers."""
    return {
        "@id": data_set_id(name),
        "@type": "Dataset",
        "hasPolicy": [to_odrl(terms) for terms in offers],
        "distribution": [
            {"@type": "Distribution", "format": str(channel), "accessService": "urn:palaestra:service"}
            for channel in sorted({channel for terms in offers for channel in terms.channels})
        ],
    }


def state_of(one: Negotiation, last: Kind, by: str) -> str:
    """Return a negotiation's state in the protocol's words. VERIFIED is never seen: it is FINALIZED at once."""
    if one.state is State.AGREED:
        return "FINALIZED"
    if one.state in (State.DECLINED, State.TERMINATED):
        return "TERMINATED"
    if one.state is State.OFFERED:
        return "OFFERED" if by == one.terms.provider else "REQUESTED"
    return "AGREED" if one.provider is not None else "ACCEPTED"


def negotiation(one: Negotiation, last: Kind, by: str, consumer_pid: str) -> dict[str, Any]:
    """Return how a negotiation stands, with what its next step has to name."""
    found: dict[str, Any] = {
        "@context": CONTEXT,
        "@type": "ContractNegotiation",
        "providerPid": one.id,
        "consumerPid": consumer_pid,
        "state": state_of(one, last, by),
        "palaestra:sequence": one.sequence,
        "palaestra:last": one.last,
        "palaestra:offer": to_odrl(one.terms),
    }
    if one.state is State.AGREED:
        found["palaestra:agreement"] = one.terms.digest()
    return found


def _invalid(field: str, why: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", f"{field}: {why}", metadata={"field": field})
