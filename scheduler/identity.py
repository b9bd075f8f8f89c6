"""Who is calling: known from the credential alone.

A call shows a bearer token, a client certificate, or both. A token is one of the venue's own, in files, or the secret
of an API key (`scheduler.keys`). What was shown is looked at again as long as a stream lasts.
"""

import hashlib
import os
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from palaestra.errors import PalaestraError
from scheduler.roles import Role

__all__ = ["Credentials", "Identification", "Identity", "Role", "Shown"]

# Those that stand in files. Others are made as keys or certificates, each for its user.
_IN_FILES = (Role.OPERATOR, Role.HOST, Role.RUNNER, Role.GATEWAY)


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller.

    Attributes:
        vendor: Its id for who acts for a vendor, empty otherwise.
        credential: "token", "certificate", or the name of an API key.
        methods: Methods that it is restricted to, as "Service/Method" or "Service/*"; none: no restriction.
        projects: Projects of the vendor that it is restricted to; none: no restriction.
        expire_ns: When the credential ends, wall clock.
        process: Id of the one unit host or runner that it is good for; empty: for any of its role.
    """

    role: Role
    vendor: str = ""
    credential: str = "token"
    methods: frozenset[str] = field(default=frozenset())
    projects: frozenset[str] = field(default=frozenset())
    expire_ns: int | None = None
    process: str = ""

    def sees_vendor(self, vendor: str) -> bool:
        """Whether what belongs to `vendor` is visible."""
        return self.role.sees_everybody or (self.role.acts_for_vendor and self.vendor == vendor)

    @property
    def narrowed(self) -> bool:
        """Whether scopes leave less than its role may do."""
        return bool(self.methods or self.projects)

    def check_process(self, process: str) -> None:
        """Raise CERTIFICATE_REFUSED for who speaks as another host or runner than its certificate is of."""
        if self.process and process != self.process:
            raise PalaestraError(
                "CERTIFICATE_REFUSED", f"the certificate is of {self.role.value} {self.process}, not of {process}"
            )

    def __str__(self) -> str:
        who = f"{self.role.value} {self.vendor}" if self.vendor else self.role.value
        return f"{who} by {self.credential}"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a call brought along: the values of its authorization headers, and its certificate as PEM."""

    authorization: tuple[str | bytes, ...]
    certificate: bytes = b""


class Opener(Protocol):
    """Knows some of the secrets that open the venue."""

    def identify(self, secret: str) -> Identity | None:
        """Return whose secret it is, None if it is not one of these. Raises PalaestraError for one that was."""
        ...


class Certifier(Protocol):
    """Knows whom a certificate names that the TLS handshake has verified."""

    def identify(self, pem: bytes) -> Identity:
        """Return who it is. Raises CERTIFICATE_REFUSED, KEY_EXPIRED, KEY_REVOKED."""
        ...


class Credentials:
    """The venue's own tokens, one file each in a folder only its owner can enter.

    They are 256 random bits, so a plain SHA-256 of them is enough to keep; the token itself stands in the file, mode
    0600, made at the first start.
    """

    def __init__(self, identities: dict[bytes, Identity]) -> None:
        self._identities = identities

    @classmethod
    def open(cls, folder: Path, vendors: Iterable[str]) -> "Credentials":
        """Read the folder's tokens; mint those that are missing, one for each vendor and each role of the house."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        names = _wanted(vendors).items()
        return cls({_digest(_read_or_mint(folder / f"{name}.token")): who for name, who in names})

    @classmethod
    def read(cls, folder: Path, vendors: Iterable[str]) -> "Credentials":
        """Read the tokens that are there and mint none, which is for the scheduler that leads."""
        found: dict[bytes, Identity] = {}
        for name, who in _wanted(vendors).items():
            with suppress(OSError):
                token = (folder / f"{name}.token").read_text().strip()
                found |= {_digest(token): who} if token else {}
        return cls(found)

    def identify(self, secret: str) -> Identity | None:
        """Return who holds a token, None if it is none of these."""
        return self._identities.get(_digest(secret))


class Identification:
    """Tells who calls, from all that a call shows."""

    def __init__(self, openers: Iterable[Opener], certifier: Certifier | None = None) -> None:
        self._openers = tuple(openers)
        self._certifier = certifier

    @property
    def reads_certificates(self) -> bool:
        """Whether certificates mean anything here."""
        return self._certifier is not None

    def identify(self, shown: Shown) -> Identity:
        """Return who it is.

        A certificate alone is enough. Where a token comes too, the token says who it is, and the certificate must be of
        the same vendor or role, or of the gateway, which carries others' tokens.

        Raises BAD_TOKEN, KEY_EXPIRED, KEY_REVOKED, CERTIFICATE_REFUSED.
        """
        certified = None
        if shown.certificate and self._certifier is not None:
            certified = self._certifier.identify(shown.certificate)
        if certified is not None and not shown.authorization:
            return certified
        found = self._by_token(shown.authorization)
        if certified is not None and certified.role is not Role.GATEWAY and not _together(certified, found):
            raise PalaestraError(
                "CERTIFICATE_REFUSED", f"the certificate is of {_who(certified)}, the token of {_who(found)}"
            )
        # A token of a role is good for any of its processes, also where it comes with one's certificate.
        return found if certified is None or not certified.process else replace(found, process=certified.process)

    def _by_token(self, headers: tuple[str | bytes, ...]) -> Identity:
        if len(headers) > 1:
            # Which of them counts is no question to leave open to proxies and attackers.
            raise PalaestraError("BAD_TOKEN", f"the authorization header came {len(headers)} times")
        header = headers[0] if headers else ""
        scheme, _, secret = header.partition(" ") if isinstance(header, str) else ("", "", "")
        if scheme.lower() == "bearer" and secret:
            for opener in self._openers:
                found = opener.identify(secret)
                if found is not None:
                    return found
        raise PalaestraError("BAD_TOKEN", "no valid token came with the call")


def _wanted(vendors: Iterable[str]) -> dict[str, Identity]:
    """Return whose each of the venue's own tokens is, by its name."""
    found = {role.value: Identity(role) for role in _IN_FILES}
    return found | {f"vendor-{vendor}": Identity(Role.VENDOR, vendor) for vendor in vendors}


def _together(certified: Identity, found: Identity) -> bool:
    return certified.vendor == found.vendor and (bool(found.vendor) or certified.role is found.role)


def _who(identity: Identity) -> str:
    return f"vendor {identity.vendor}" if identity.vendor else f"role {identity.role.value}"


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
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
