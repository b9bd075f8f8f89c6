"""An agreement: terms, and both sides' signatures over the same bytes. Whoever holds one can check it by itself."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

from sharing import signing
from sharing.document import BadDocument, parse
from sharing.errors import BadSignature, InvalidTerms
from sharing.terms import MAX_BYTES, Terms, canonical

MAX_DOCUMENT_BYTES = MAX_BYTES + 4_096


@dataclass(frozen=True)
class Signature:
    """One side's signature. Both in hexadecimal."""

    public_key: str
    signature: str


@dataclass(frozen=True)
class Agreement:
    """What both sides signed. It never changes; what may end it is beside it (`sharing.standing`).

    Made by `signed` or `from_json` alone, which check both signatures.
    """

    terms: Terms
    provider: Signature
    consumer: Signature

    @cached_property
    def digest(self) -> str:
        """The terms' digest, by which the agreement is known."""
        return self.terms.digest()

    @classmethod
    def signed(cls, terms: Terms, provider: Signature, consumer: Signature) -> Self:
        """Return the agreement if both signatures are over these terms. Raises BadSignature."""
        if provider.public_key == consumer.public_key:
            raise BadSignature("consumer: signs with the provider's key")
        message = terms.canonical()
        for side, one in (("provider", provider), ("consumer", consumer)):
            try:
                signing.verify(one.public_key, signing.AGREEMENT, message, one.signature)
            except BadSignature as error:
                raise BadSignature(f"{side}: {error}") from None
        return cls(terms, provider, consumer)

    def as_json(self) -> dict[str, Any]:
        """Return the agreement as plain values: what both sides keep."""
        sides = {"provider": self.provider, "consumer": self.consumer}
        return {
            "agreement": self.digest,
            "terms": self.terms.as_json(),
            "signatures": {
                side: {"public_key": one.public_key, "signature": one.signature} for side, one in sides.items()
            },
        }

    def document(self) -> bytes:
        """Return `as_json` in canonical form."""
        return canonical(self.as_json())

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        """Return the agreement of a document. Raises InvalidTerms, BadSignature."""
        try:
            plain = parse(text, max_bytes=MAX_DOCUMENT_BYTES)
        except BadDocument as error:
            raise InvalidTerms(f"agreement: {error}") from None
        if not isinstance(plain, dict) or set(plain) != {"agreement", "terms", "signatures"}:
            raise InvalidTerms("agreement: must have agreement, terms and signatures, and nothing else")
        terms = Terms.of(plain["terms"])
        if plain["agreement"] != terms.digest():
            raise BadSignature("agreement: is not the digest of these terms")
        sides = plain["signatures"]
        if not isinstance(sides, dict) or set(sides) != {"provider", "consumer"}:
            raise InvalidTerms("signatures: must be the provider's and the consumer's")
        return cls.signed(terms, signature_of(sides["provider"]), signature_of(sides["consumer"]))


def signature_of(plain: object) -> Signature:
    """Return a signature of plain values, not yet checked. Raises InvalidTerms."""
    if not isinstance(plain, dict) or set(plain) != {"public_key", "signature"}:
        raise InvalidTerms("signature: must have public_key and signature, and nothing else")
    if not all(isinstance(value, str) for value in plain.values()):
        raise InvalidTerms("signature: public_key and signature must be text")
    return Signature(plain["public_key"], plain["signature"])
