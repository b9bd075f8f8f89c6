"""What vendors let each other have: `client.sharing` negotiates, signs and revokes agreements.

```
key = Signer.load(path)
offer = client.sharing.offer(terms(data_set="walks", consumer="borealis", columns=["action"], ...), key)
client.sharing.accept(offer["negotiation"], key)      # the other side
client.sharing.sign(offer["negotiation"], key)        # both sides
```
"""

import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from palaestra.asking import PATIENCE_S, Asking
from palaestra.credentials import Credentials
from palaestra.errors import PalaestraError
from palaestra.reviews import Reviews
from palaestra.signing import AGREEMENT, KEY, STEP, Signer, canonical, digest, verify
from palaestra.taking import Taking
from palaestra.v1.venue_service_pb2 import GetIdentityResponse
from palaestra.web import Web, quoted

_ROOT = "/sharing/v1"
DAY_S = 86_400
_DEFAULTS: dict[str, Any] = {
    "first_version": 1,
    "last_version": 0,
    "transforms": {},
    "duties": [],
    "embargo_until_s": 0,
    "privacy_millionths": 0,
    "note": "",
    "version": 1,
}


def terms(
    data_set: str,
    consumer: str,
    columns: Sequence[str],
    *,
    purposes: Sequence[str] = ("training",),
    channels: Sequence[str] = ("delta-share",),
    valid_from_s: int | None = None,
    valid_until_s: int | None = None,
    first_version: int = 1,
    last_version: int = 0,
    transforms: Mapping[str, Mapping[str, str]] | None = None,
    duties: Sequence[str] = ("delete-at-end", "no-redistribution"),
    embargo_until_s: int = 0,
    privacy_millionths: int = 0,
    price_microcredits: int = 0,
    note: str = "",
) -> dict[str, Any]:
    """Return terms as they are proposed; the venue checks them.

    Args:
        data_set: `vendors/{vendor}/datasets/{name}`; of one's own the last part is enough.
        consumer: `vendors/{vendor}`, or its last part.
        columns: Signals as the store names them, such as "observation.state"; nothing else leaves.
        purposes: training, evaluation, research, safety.
        channels: delta-share, export, aggregate, compute.
        valid_from_s, valid_until_s: Seconds since 1970, from the first on and before the second; now, and 90 days.
        first_version, last_version: Of the data set; last 0: also all that are yet to be made.
        transforms: What is done on the way, name to parameters, such as `{"coarsen-time": {"step_ms": "10"}}`.
        duties: delete-at-end, report-use, no-redistribution, attribute.
        embargo_until_s: Before this nothing leaves.
        privacy_millionths: Budget of epsilon for aggregates, in millionths.
        price_microcredits: What the consumer pays for each version that it gets, once.
    """
    begin_s = int(time.time()) if valid_from_s is None else valid_from_s
    return {
        "provider": "/".join(data_set.split("/")[:2]) if "/" in data_set else "",
        "consumer": _vendor(consumer),
        "data_set": data_set,
        "columns": sorted(columns),
        "purposes": sorted(purposes),
        "channels": sorted(channels),
        "valid_from_s": begin_s,
        "valid_until_s": begin_s + 90 * DAY_S if valid_until_s is None else valid_until_s,
        "first_version": first_version,
        "last_version": last_version,
        "transforms": {name: dict(values) for name, values in (transforms or {}).items()},
        "duties": sorted(duties),
        "embargo_until_s": embargo_until_s,
        "privacy_millionths": privacy_millionths,
        "note": note,
        "version": 1,
        **({"price_microcredits": price_microcredits} if price_microcredits else {}),
    }


class Sharing(Asking, Taking):
    """Negotiates and ends agreements, for a vendor. Raises PalaestraError as every method of a client.

    Answers are plain dictionaries, as the venue sends them. What is signed is signed here: the venue gets signatures,
    never a key.
    """

    def __init__(self, web: Web, identity: Callable[[], GetIdentityResponse]) -> None:
        self._web = web
        self._identity = identity
        self.credentials = Credentials(web)
        self.reviews = Reviews(web)

    def identity(self) -> dict[str, Any]:
        """Return whom the venue takes the caller for, its clock `now_s`, and the address of what is shared."""
        return self._web.call("GET", f"{_ROOT}/identity")

    # Keys.

    def keys(self) -> list[dict[str, Any]]:
        """Return the vendor's public keys, oldest first."""
        return list(self._web.call("GET", f"{_ROOT}/keys")["keys"])

    def register_key(self, signer: Signer) -> dict[str, Any]:
        """Let a key sign for the vendor. Needs the vendor's own token."""
        proof = signer.sign(KEY, {"public_key": signer.public_key, "vendor": self._identity().vendor})
        return self._web.call("POST", f"{_ROOT}/keys", {"public_key": signer.public_key, "proof": proof})

    def retire_key(self, public_key: str) -> dict[str, Any]:
        """Let a key sign nothing new; what it has signed stands."""
        return self._web.call("POST", f"{_ROOT}/keys/{quoted(public_key)}:retire")

    # Leaks.

    def trace(self, path: Path) -> dict[str, Any]:
        """Return whose copy of the vendor's data a Parquet file is: `suspects`, the most suspect first.

        Each has `agreement`, `consumer`, `z` and `found`. The file goes to the venue, which has what it takes to tell.
        """
        return self._web.upload(f"{_ROOT}/trace", path)

    # Credits.

    def credits(self) -> dict[str, Any]:
        """Return `balance_microcredits` and all `postings` of the vendor, oldest first; what it spent is negative."""
        found: dict[str, Any] = {"postings": []}
        after: int | None = 0
        while after is not None:
            page = self._web.call("GET", f"{_ROOT}/credits", query={"after": after, "size": 200})
            found["balance_microcredits"] = page["balance_microcredits"]
            found["postings"] += page["postings"]
            after = page.get("next")
        return found

    def credit_statement(self, after: int = 0) -> dict[str, Any]:
        """Return a statement that the venue has signed, with the proof of each posting after a number.

        `palaestra.credits.verify_statement` checks it, also years later. `next` is there if there are more postings.
        """
        return self._web.call("GET", f"{_ROOT}/credits/statement", query={"after": after}, timeout_s=PATIENCE_S)

    def grant_credits(self, vendor: str, amount_microcredits: int, request: str) -> dict[str, Any]:
        """Issue credits to a vendor; for operators. The same request again changes nothing."""
        body = {"amount_microcredits": amount_microcredits, "request": request}
        name = vendor.rpartition("/")[2]
        return self._web.call("POST", f"{_ROOT}/credits/{quoted(name)}:grant", body)

    # Lineage.

    def lineage(self, episode: str) -> dict[str, Any]:
        """Return where an episode in a shared table or export comes from: agreement, data set, versions, transforms.

        Its provider is told of the recording, too.

        Args:
            episode: Its name there, such as `episode-0a1b...`, or a name that ends with it.
        """
        return self._web.call("GET", f"{_ROOT}/lineage/episodes/{quoted(episode.rpartition('/')[2])}")

    def lineage_events(self, after: int = -1) -> Iterator[dict[str, Any]]:
        """Yield what was made of the vendor's data, and for it, as OpenLineage run events, oldest first."""
        at: int | None = after
        while at is not None:
            page = self._web.call("GET", f"{_ROOT}/lineage/events", query={"after": at})
            yield from page["events"]
            at = page.get("next")

    # Audit.

    def audit(self, path: str, query: Mapping[str, int]) -> dict[str, Any]:
        """Return what the log says: `head`, `consistency`, `hashes`, `leaves`, `inclusion`.

        It is what `palaestra.witness.Witness.check` asks with: `Witness(folder).check(client.sharing.audit)`.
        """
        return self._web.call("GET", f"{_ROOT}/audit/{quoted(path)}", query=query)

    # Negotiations.

    def negotiations(self) -> Iterator[dict[str, Any]]:
        """Yield the vendor's negotiations."""
        return self._pages("negotiations")

    def negotiation(self, name: str) -> dict[str, Any]:
        """Return a negotiation with its terms and every step. The first digits of its name are enough."""
        return self._web.call("GET", f"{_ROOT}/negotiations/{quoted(self._whole('negotiations', name, 32))}")

    def offer(self, wanted: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
        """Propose terms: one's own data to another vendor, or, as consumer, to get another's. See `terms`."""
        proposed = self._complete(wanted)
        step = self._step("offer", proposed, nonce=secrets.token_hex(16))
        return self._web.call("POST", f"{_ROOT}/negotiations", self._signed(step, signer) | {"terms": proposed})

    def counter(self, name: str, wanted: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
        """Propose other terms instead of those that lie there."""
        proposed = self._complete(wanted)
        return self._next("counter", self.negotiation(name), proposed, signer, send=proposed)

    def accept(self, name: str, signer: Signer, *, expected: str = "") -> dict[str, Any]:
        """Accept the terms that lie there. `expected`: only if their digest is this one."""
        found = self.negotiation(name)
        _check_digest(found, expected)
        return self._next("accept", found, found["terms"], signer)

    def sign(self, name: str, signer: Signer) -> dict[str, Any]:
        """Sign the terms that were accepted. When both sides have, they are an agreement, with the terms' digest.

        Only terms that this key proposed or accepted before are signed: a venue that put others there gets nothing.
        """
        found = self.negotiation(name)
        _check_digest(found, "")
        if not any(_is_consent(one, found["digest"], signer.public_key) for one in found["steps"]):
            raise PalaestraError(
                "BAD_STEP", "these terms were neither proposed nor accepted with this key: accept them"
            )
        return self._next("sign", found, found["terms"], signer, terms_signature=signer.sign(AGREEMENT, found["terms"]))

    def decline(self, name: str, signer: Signer) -> dict[str, Any]:
        """Refuse the terms that lie there; it ends the negotiation."""
        found = self.negotiation(name)
        return self._next("decline", found, found["terms"], signer)

    def terminate(self, name: str, signer: Signer) -> dict[str, Any]:
        """End a negotiation that has not come to an agreement."""
        found = self.negotiation(name)
        return self._next("terminate", found, found["terms"], signer)

    # Agreements.

    def agreements(self) -> Iterator[dict[str, Any]]:
        """Yield the agreements that the vendor is a side of, with how they stand."""
        return self._pages("agreements")

    def agreement(self, name: str) -> dict[str, Any]:
        """Return an agreement, its signatures checked here. The first digits of its digest are enough."""
        found = self._web.call("GET", f"{_ROOT}/agreements/{quoted(self._whole('agreements', name, 64))}")
        check(found)
        return found

    def odrl(self, name: str) -> dict[str, Any]:
        """Return an agreement as an ODRL policy, for other data spaces."""
        return self._web.call("GET", f"{_ROOT}/agreements/{quoted(self._whole('agreements', name, 64))}/odrl")

    def revoke(self, name: str, reason: str = "") -> dict[str, Any]:
        """End an agreement for good, by either side: no byte of it leaves any more."""
        whole = self._whole("agreements", name, 64)
        return self._web.call("POST", f"{_ROOT}/agreements/{quoted(whole)}:revoke", {"reason": reason})

    def _pages(self, collection: str) -> Iterator[dict[str, Any]]:
        after = ""
        while True:
            page = self._web.call("GET", f"{_ROOT}/{collection}", query={"after": after, "size": 200})
            yield from page[collection]
            after = page.get("next", "")
            if not after:
                return

    def _whole(self, collection: str, name: str, digits: int) -> str:
        """Return the whole name of what begins so."""
        if len(name) >= digits:
            return name
        key = collection.removesuffix("s")
        found = [one[key] for one in self._pages(collection) if name and one[key].startswith(name)]
        if len(found) > 1:
            raise PalaestraError("INVALID_FIELD", f"{name}: {len(found)} {collection} begin so; give more digits")
        # What is not there is asked for nevertheless: it looks as it would to anybody else.
        return found[0] if found else name

    def _complete(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Return terms with whole names: what has none is the caller's own."""
        proposed = _DEFAULTS | dict(wanted)
        for name in ("columns", "purposes", "channels", "duties"):
            if isinstance(proposed.get(name), list | tuple):
                # They are sets: the venue keeps them in this order, and the digest goes by it.
                proposed[name] = sorted(proposed[name], key=str)
        own = self._identity().vendor
        if "/" not in str(proposed.setdefault("data_set", "")):
            proposed["data_set"] = f"{own}/datasets/{proposed['data_set']}"
        proposed["provider"] = "/".join(str(proposed["data_set"]).split("/")[:2])
        if not proposed.get("consumer"):
            proposed["consumer"] = own
        return proposed

    def _step(self, kind: str, about: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
        values: dict[str, Any] = {"negotiation": "", "sequence": 1, "previous": "", "nonce": "", "terms_signature": ""}
        # By the venue's clock where it can be had, which is the one that counts.
        now_s = int(self.identity()["now_s"])
        return {"kind": kind, "by": self._identity().vendor, "terms": digest(about), "at_s": now_s} | values | fields

    def _signed(self, step: Mapping[str, Any], signer: Signer) -> dict[str, Any]:
        return {"step": step, "public_key": signer.public_key, "signature": signer.sign(STEP, step)}

    def _next(
        self,
        kind: str,
        found: Mapping[str, Any],
        about: Mapping[str, Any],
        signer: Signer,
        *,
        send: Mapping[str, Any] | None = None,
        terms_signature: str = "",
    ) -> dict[str, Any]:
        step = self._step(
            kind,
            about,
            negotiation=found["negotiation"],
            sequence=found["sequence"] + 1,
            previous=found["last"],
            terms_signature=terms_signature,
        )
        body = self._signed(step, signer) | ({"terms": send} if send is not None else {})
        return self._web.call("POST", f"{_ROOT}/negotiations/{quoted(found['negotiation'])}/steps", body)


def check(agreement: Mapping[str, Any]) -> None:
    """Return if both signatures of an agreement hold, whoever handed it over. Raises PalaestraError, BAD_SIGNATURE."""
    try:
        said, sides = agreement["terms"], agreement["signatures"]
        if digest(said) != agreement["agreement"]:
            raise PalaestraError("BAD_SIGNATURE", "the agreement's name is not the digest of its terms")
        for side in ("provider", "consumer"):
            verify(sides[side]["public_key"], AGREEMENT, said, sides[side]["signature"])
    except (KeyError, TypeError):
        raise PalaestraError("BAD_SIGNATURE", "this is no agreement with two signatures") from None


def _check_digest(found: Mapping[str, Any], expected: str) -> None:
    """Raise unless a negotiation's terms are what their digest says, and the expected ones."""
    if digest(found["terms"]) != found["digest"]:
        raise PalaestraError(
            "BAD_SIGNATURE", "the venue's digest is not that of the terms it shows; nothing was signed"
        )
    if expected and not (len(expected) >= 8 and found["digest"].startswith(expected)):
        raise PalaestraError("BAD_STEP", f"other terms lie there now: {found['digest'][:12]}")


def _is_consent(taken: Mapping[str, Any], about: str, public_key: str) -> bool:
    """Whether a step is an offer, counter-offer or acceptance of these terms by this very key."""
    step = taken["step"]
    if step["kind"] not in ("offer", "counter", "accept") or step["terms"] != about:
        return False
    if taken["public_key"] != public_key:
        return False
    try:
        verify(public_key, STEP, step, taken["signature"])
    except PalaestraError:
        return False
    return True


def _vendor(name: str) -> str:
    return name if not name or "/" in name else f"vendors/{name}"


__all__ = ["Sharing", "canonical", "check", "terms"]
