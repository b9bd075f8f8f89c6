"""A vendor's own key: made, kept and used on the vendor's machine. The venue never sees the private part.

Signatures are Ed25519 (RFC 8032) over a domain's prefix and canonical JSON (RFC 8785). The standard library has no
such signatures, so that this one needs `cryptography`: `pip install 'palaestra[share]'`.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra import login
from palaestra.errors import PalaestraError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

AGREEMENT, STEP, KEY = b"palaestra.agreement.v1\n", b"palaestra.step.v1\n", b"palaestra.key.v1\n"


def canonical(value: object) -> bytes:
    """Return canonical JSON of texts, whole numbers, lists and tables."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def digest(value: object) -> str:
    """Return the SHA-256 of the canonical JSON, hexadecimal."""
    return hashlib.sha256(canonical(value)).hexdigest()


class Signer:
    """A private key, to sign with."""

    def __init__(self, key: "Ed25519PrivateKey") -> None:
        self._key = key
        self.public_key: str = key.public_key().public_bytes_raw().hex()

    @classmethod
    def create(cls, path: Path) -> "Signer":
        """Make a key in a new file, which its owner alone can read. Raises FileExistsError."""
        serialization, ed25519 = _cryptography()
        key = ed25519.Ed25519PrivateKey.generate()
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(text)
        return cls(key)

    @classmethod
    def load(cls, path: Path) -> "Signer":
        """Return the key of a file. Raises PalaestraError, INVALID_FIELD, for any other content or no file."""
        serialization, ed25519 = _cryptography()
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), None)
        except FileNotFoundError:
            raise _invalid(f"{path} is not there: `palaestra share keys create` makes it") from None
        except (ValueError, TypeError) as error:
            raise _invalid(f"{path} holds no private key: {error}") from None
        if not isinstance(key, ed25519.Ed25519PrivateKey):
            raise _invalid(f"{path} holds no Ed25519 key")
        return cls(key)

    def sign(self, domain: bytes, value: object) -> str:
        """Return the signature over a domain and canonical JSON, hexadecimal."""
        return self._key.sign(domain + canonical(value)).hex()


def verify(public_key: str, domain: bytes, value: object, signature: str) -> None:
    """Return if the signature is the key's over exactly this. Raises PalaestraError, BAD_SIGNATURE."""
    _, ed25519 = _cryptography()
    from cryptography.exceptions import InvalidSignature

    try:
        key = ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
        key.verify(bytes.fromhex(signature), domain + canonical(value))
    except (InvalidSignature, ValueError, TypeError):
        raise PalaestraError("BAD_SIGNATURE", "the signature is not this key's over exactly this") from None


def key_path(environ: Mapping[str, str], profile: str | None = None) -> Path:
    """Return where the key of a login is: PALAESTRA_SHARE_KEY, or a file beside the logins."""
    named = environ.get("PALAESTRA_SHARE_KEY", "")
    if named and profile is None:
        return Path(named)
    stored = login.path_of(environ, profile or login.current(environ))
    return stored.parent.parent / "keys" / f"{stored.stem}.pem"


def _cryptography() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise _invalid("signing needs one more package: pip install 'palaestra[share]'") from None
    return serialization, ed25519


def _invalid(message: str) -> PalaestraError:
    return PalaestraError("INVALID_FIELD", message)
