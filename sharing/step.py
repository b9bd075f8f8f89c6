"""One step of a negotiation, as its side signs it, and the table of what may follow what."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

from sharing import signing
from sharing.errors import BadStep, InvalidTerms
from sharing.terms import canonical

SKEW_S = 300
"""How far a side's clock may be off the room's."""
_DIGITS = frozenset("0123456789abcdef")


class State(StrEnum):
    """How a negotiation stands."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    SIGNED = "signed"
    AGREED = "agreed"
    DECLINED = "declined"
    TERMINATED = "terminated"


class Kind(StrEnum):
    """What a side does."""

    OFFER = "offer"
    COUNTER = "counter"
    ACCEPT = "accept"
    SIGN = "sign"
    DECLINE = "decline"
    TERMINATE = "terminate"


class Who(StrEnum):
    """Which side may do it."""

    ANY = "either side"
    TURN = "the side that did not propose the terms"
    UNSIGNED = "a side that has not signed"


FOLLOWS: Mapping[tuple[State | None, Kind], tuple[State, Who]] = {
    (None, Kind.OFFER): (State.OFFERED, Who.ANY),
    (State.OFFERED, Kind.COUNTER): (State.OFFERED, Who.TURN),
    (State.OFFERED, Kind.ACCEPT): (State.ACCEPTED, Who.TURN),
    (State.OFFERED, Kind.DECLINE): (State.DECLINED, Who.TURN),
    (State.OFFERED, Kind.TERMINATE): (State.TERMINATED, Who.ANY),
    (State.ACCEPTED, Kind.SIGN): (State.SIGNED, Who.UNSIGNED),
    (State.ACCEPTED, Kind.TERMINATE): (State.TERMINATED, Who.ANY),
    (State.SIGNED, Kind.SIGN): (State.AGREED, Who.UNSIGNED),
    (State.SIGNED, Kind.TERMINATE): (State.TERMINATED, Who.ANY),
}
"""What is not here is refused. An agreement is not terminated but revoked."""


@dataclass(frozen=True)
class Step:
    """A step before it is signed.

    Attributes:
        by: Who takes it, `vendors/{vendor}`.
        negotiation: Which one; "" with an offer, which begins one and gives it its name.
        sequence: 1 for the offer, then one more each time.
        previous: Digest of the step before, "" for an offer: no step fits anywhere else, or twice.
        terms: Digest of the terms that the step is about.
        at_s: By the side's own clock, seconds since 1970.
        nonce: With an offer, something that its side has not said before; otherwise "".
        terms_signature: With `sign`, the signature over the terms themselves; otherwise "".
    """

    kind: Kind
    by: str
    terms: str
    at_s: int
    negotiation: str = ""
    sequence: int = 1
    previous: str = ""
    nonce: str = ""
    terms_signature: str = ""

    def canonical(self) -> bytes:
        """Return the bytes that are signed, without the domain's prefix."""
        return canonical(asdict(self))

    def digest(self) -> str:
        """Return the step's SHA-256, hexadecimal."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def check_signature(self, public_key: str, signature: str) -> None:
        """Raise BadSignature unless the step is signed with this key."""
        signing.verify(public_key, signing.STEP, self.canonical(), signature)

    @classmethod
    def of(cls, plain: object) -> Self:
        """Return a step of plain values. Raises InvalidTerms, which names the field."""
        names = tuple(cls.__dataclass_fields__)
        if not isinstance(plain, dict):
            raise InvalidTerms("step: must be a JSON object")
        if set(plain) != set(names):
            odd = sorted(set(plain) ^ set(names))[0]
            raise InvalidTerms(f"step.{str(odd)[:100]}: is {'not known' if odd in plain else 'missing'}")
        if not isinstance(plain["kind"], str) or plain["kind"] not in set(Kind):
            raise InvalidTerms(f"step.kind: must be one of {', '.join(Kind)}")
        for name in names:
            value = plain[name]
            if name in ("sequence", "at_s"):
                if type(value) is not int or not 0 < value < 2**40:
                    raise InvalidTerms(f"step.{name}: must be a whole number above 0")
            elif not isinstance(value, str) or len(value) > 200 or not value.isascii() or not value.isprintable():
                raise InvalidTerms(f"step.{name}: must be plain text of at most 200 characters")
        first = plain["kind"] == Kind.OFFER
        if first and (plain["sequence"] != 1 or plain["negotiation"] or plain["previous"]):
            raise InvalidTerms("step: an offer is the first, sequence 1, of no negotiation and after nothing")
        if first and not (len(plain["nonce"]) >= 16 and set(plain["nonce"]) <= _DIGITS):
            raise InvalidTerms("step.nonce: an offer needs at least 16 small hexadecimal digits by chance")
        if bool(plain["terms_signature"]) != (plain["kind"] == Kind.SIGN) or (plain["nonce"] and not first):
            raise InvalidTerms("step: terms_signature goes with sign, nonce with offer")
        return cls(**{**plain, "kind": Kind(plain["kind"])})


def follow(state: State | None, kind: Kind, by: str, *, turn: str, signed: frozenset[str]) -> State:
    """Return the state after a step: a pure function over `FOLLOWS`.

    Args:
        turn: Who has to answer the terms that lie there.
        signed: Who has signed them.

    Raises:
        BadStep: It may not follow, or not by this side; the message says how the negotiation stands.
    """
    found = FOLLOWS.get((state, kind))
    if found is None:
        raise BadStep(f"the negotiation is {state or 'not begun'}: {kind} cannot follow")
    following, who = found
    if who is Who.TURN and by != turn:
        raise BadStep(f"{kind} is for {turn}, to whom the terms were proposed")
    if who is Who.UNSIGNED and by in signed:
        raise BadStep(f"{by} has signed already; it is for the other side now")
    return following
