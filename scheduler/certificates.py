"""Whom a client certificate names.

By one URI among its alternative names, in the form of a SPIFFE id (SPIFFE-ID standard, section 2): the trust domain is
the venue, the path says who: "spiffe://{venue}/vendors/{vendor}/{role}", "spiffe://{venue}/{role}" for the house, and
"spiffe://{venue}/{role}/{id}" for one of its unit hosts or runners, which then speaks as that one and as no other.
The TLS handshake has checked the chain and the dates; the dates are checked again, because a connection outlives them.
"""

import logging
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cryptography import x509

from palaestra.errors import PalaestraError
from scheduler.identity import Identity
from scheduler.roles import Role

log = logging.getLogger(__name__)
# Of whom there are several, each with things of its own.
BOUND = (Role.HOST, Role.RUNNER)
_ID = re.compile("[a-z0-9-]{1,64}")


@dataclass(frozen=True)
class _Certificate:
    uris: tuple[str, ...]
    serial: str
    expire_ns: int


class Certificates:
    """Reads certificates of one venue.

    Args:
        venue: Its id, the trust domain.
        vendors: Ids of its vendors.
        revoked: File with serial numbers in hexadecimal, the first word of each line, with colons and leading zeros
            or without; read again when it changes. None or a file that is not there: none are revoked.
        now_ns: The clock.
    """

    def __init__(self, venue: str, vendors: Collection[str], revoked: Path | None, now_ns: Callable[[], int]) -> None:
        self._domain = f"spiffe://{venue}/"
        self._vendors = frozenset(vendors)
        self._revoked_file = revoked
        self._revoked: frozenset[str] = frozenset()
        self._revoked_state: tuple[int, int, int] | None = None
        self._now_ns = now_ns

    def identify(self, pem: bytes) -> Identity:
        """Return who it is. Raises CERTIFICATE_REFUSED, KEY_EXPIRED, KEY_REVOKED."""
        certificate = _read(pem)
        identity = self._identity(certificate)
        if self._now_ns() >= certificate.expire_ns:
            raise PalaestraError("KEY_EXPIRED", f"certificate {certificate.serial} has expired")
        if certificate.serial in self._revoked_serials():
            raise PalaestraError("KEY_REVOKED", f"certificate {certificate.serial} was revoked")
        return identity

    def _identity(self, certificate: _Certificate) -> Identity:
        uris = [uri for uri in certificate.uris if uri.startswith(self._domain)]
        if len(uris) != 1 or len(certificate.uris) != 1:
            raise PalaestraError(
                "CERTIFICATE_REFUSED", f"the certificate names {', '.join(certificate.uris) or 'nobody'}"
            )
        words = uris[0].removeprefix(self._domain).split("/")
        vendor = words[1] if len(words) == 3 and words[0] == "vendors" else ""
        role = next((role for role in Role if role.value == (words[2] if vendor else words[0])), None)
        bound = role in BOUND
        if role is None or role.acts_for_vendor != bool(vendor) or len(words) != (3 if vendor else 1 + bound):
            missing = f"; one of a {role.value} ends in its id" if role is not None and bound else ""
            raise PalaestraError("CERTIFICATE_REFUSED", f"{uris[0]} is of nobody that this venue knows{missing}")
        if bound and not _ID.fullmatch(words[1]):
            raise PalaestraError("CERTIFICATE_REFUSED", f"{uris[0]}: {words[1]!r} is no id")
        if vendor and vendor not in self._vendors:
            raise PalaestraError("CERTIFICATE_REFUSED", f"{uris[0]}: this venue has no such vendor")
        process = words[1] if bound else ""
        return Identity(role, vendor, "certificate", expire_ns=certificate.expire_ns, process=process)

    def _revoked_serials(self) -> frozenset[str]:
        """Return the serial numbers in the file; those known before, if it cannot be read."""
        if self._revoked_file is not None:
            try:
                state = self._revoked_file.stat()
                stamp = (state.st_ino, state.st_mtime_ns, state.st_size)
                if stamp != self._revoked_state:
                    lines = self._revoked_file.read_text(encoding="utf-8").splitlines()
                    self._revoked = frozenset(_serial(line.split()[0]) for line in lines if line.split())
                    self._revoked_state = stamp
            except FileNotFoundError:
                self._revoked, self._revoked_state = frozenset(), None
            except (OSError, UnicodeDecodeError):
                pass
        return self._revoked


def _serial(word: str) -> str:
    """Return a serial number as `_Certificate` has it, however its authority's tools write it: 0A:1B, 0x0a1b, A1B."""
    try:
        return f"{int(word.replace(':', ''), 16):x}"
    except ValueError:
        log.warning("%r in the file of revoked certificates is no serial number, and revokes nothing", word)
        return word


@lru_cache(maxsize=4096)
def _read(pem: bytes) -> _Certificate:
    """Return what matters of a certificate. Raises CERTIFICATE_REFUSED."""
    try:
        found = x509.load_pem_x509_certificate(pem)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
        expire_ns = int(found.not_valid_after_utc.timestamp()) * 1_000_000_000
    except (ValueError, x509.ExtensionNotFound):
        raise PalaestraError("CERTIFICATE_REFUSED", "the certificate names nobody") from None
    return _Certificate(uris, f"{found.serial_number:x}", expire_ns)
