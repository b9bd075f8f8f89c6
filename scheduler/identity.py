"""Who is calling: known from the credential alone.

Tokens are 256 random bits, so a plain SHA-256 of them is enough to keep; the token itself stands in a file of its
owner, mode 0600, made at the first start.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from palaestra.errors import PalaestraError


class Role(Enum):
    VENDOR = "vendor"
    OPERATOR = "operator"
    HOST = "host"
    RUNNER = "runner"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller. `vendor` is its id for role VENDOR, empty otherwise."""

    role: Role
    vendor: str = ""

    def sees_vendor(self, vendor: str) -> bool:
        """Whether what belongs to `vendor` is visible."""
        return self.role is Role.OPERATOR or (self.role is Role.VENDOR and self.vendor == vendor)


class Credentials:
    """The venue's tokens, one file each in a folder only its owner can enter."""

    def __init__(self, identities: dict[bytes, Identity]) -> None:
        self._identities = identities

    @classmethod
    def open(cls, folder: Path, vendors: Iterable[str]) -> "Credentials":
        """Read the folder's tokens; mint those that are missing, one for each vendor and each other role."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        wanted = {role.value: Identity(role) for role in Role if role is not Role.VENDOR}
        wanted |= {f"vendor-{vendor}": Identity(Role.VENDOR, vendor) for vendor in vendors}
        return cls({_digest(_read_or_mint(folder / f"{name}.token")): who for name, who in wanted.items()})

    def identify(self, authorization: str | None) -> Identity:
        """Return who holds the token of an `authorization: Bearer ...` header. Raises BAD_TOKEN."""
        scheme, _, token = (authorization or "").partition(" ")
        identity = self._identities.get(_digest(token)) if scheme.lower() == "bearer" and token else None
        if identity is None:
            raise PalaestraError("BAD_TOKEN", "no valid token came with the call")
        return identity


def _read_or_mint(path: Path) -> str:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        token = path.read_text().strip()
        if token:
            return token
        # Left empty by a crash between creation and writing.
        file = os.open(path, os.O_WRONLY | os.O_TRUNC)
    token = secrets.token_urlsafe(32)
    os.write(file, f"{token}\n".encode())
    os.fsync(file)
    os.close(file)
    return token


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
