"""Ed25519 signatures (RFC 8032), each over a domain's prefix first, so that none is good for anything else.

Private keys stay with the vendors; this room knows public ones. Key files are PEM, as those of signed exports
(`store.exports.manifest`).
"""

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from sharing.errors import BadSignature

AGREEMENT = b"palaestra.agreement.v1\n"
STEP = b"palaestra.step.v1\n"
KEY = b"palaestra.key.v1\n"

_PUBLIC, _SIGNATURE = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{128}")
# Encodings of the points of small order, without the sign bit, also those that are not canonical (the list that
# libsodium refuses). Under such a key one signature fits many messages, and the verification of RFC 8032 allows it.
_SMALL_ORDER = frozenset(
    bytes.fromhex(text)
    for text in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    )
)


def public_key_of(key: Ed25519PrivateKey) -> str:
    """Return the public key in hexadecimal, 64 digits."""
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()


def sign(key: Ed25519PrivateKey, domain: bytes, message: bytes) -> str:
    """Return the signature over domain and message in hexadecimal, 128 digits."""
    return key.sign(domain + message).hex()


def check_public_key(public_key: str) -> None:
    """Raise BadSignature for a text that is no public key that anybody can hold the private one of."""
    if not isinstance(public_key, str) or not _PUBLIC.fullmatch(public_key):
        raise BadSignature("public_key: must be 64 small hexadecimal digits")
    data = bytearray.fromhex(public_key)
    data[31] &= 0x7F
    if bytes(data) in _SMALL_ORDER:
        raise BadSignature("public_key: is a point of small order, which anybody can sign for")


def verify(public_key: str, domain: bytes, message: bytes, signature: str) -> None:
    """Return if the signature is this key's over domain and message. Raises BadSignature."""
    check_public_key(public_key)
    if not isinstance(signature, str) or not _SIGNATURE.fullmatch(signature):
        raise BadSignature("signature: must be 128 small hexadecimal digits")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), domain + message)
    except (InvalidSignature, ValueError):
        raise BadSignature("signature: is not this key's over exactly this") from None
