"""A certificate authority for one venue, in one folder: for development, and for halls that have none of their own.

ECDSA on P-256 with SHA-256. Certificates are shaped by RFC 5280, section 4.2: constraints and key usage are critical,
leaves name what they are for (server or client), and clients are named by one URI in the form of a SPIFFE id, as
`scheduler/certificates.py` reads it. The authority's key never leaves the folder.
"""

import ipaddress
import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from palaestra.roles import HOUSE_ROLES, VENDOR_ROLES

AUTHORITY_DAYS = 3650
# Clocks differ; who gets a certificate uses it at once.
SKEW = timedelta(minutes=5)
# RFC 1123, section 2.1, in lower case.
_LABEL = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
_ID = re.compile("[a-z0-9-]{1,64}")
# A certificate of these is good for one process of the role, and names it.
BOUND = ("host", "runner")
_HOST = re.compile(rf"{_LABEL}(\.{_LABEL})*")


class AuthorityError(Exception):
    """It cannot be done; the message says why and what to do."""


@dataclass(frozen=True)
class Issued:
    """A line of the book of what was signed."""

    serial: str
    name: str
    until: str


class Authority:
    """The authority in a folder. Raises AuthorityError if there is none, or it has expired."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        try:
            key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
            self._certificate = x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())
        except FileNotFoundError as error:
            raise AuthorityError(
                f"{error.filename} is not there; `palaestra-venue ca init` makes an authority"
            ) from None
        except (OSError, ValueError) as error:
            raise AuthorityError(f"{folder}: {error}") from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != self._certificate.public_key():
            raise AuthorityError(f"{folder / 'ca.key'} is not the key of {folder / 'ca.crt'}")
        self._key = key
        self._now = datetime.now(UTC)
        if self._certificate.not_valid_after_utc <= self._now:
            raise AuthorityError(f"{folder / 'ca.crt'} has expired; move the folder away and begin with `ca init`")

    @classmethod
    def create(cls, folder: Path, venue: str, *, days: int = AUTHORITY_DAYS) -> "Authority":
        """Make the authority of a venue. Raises AuthorityError if there is one."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("ca.key", "ca.crt"):
            if (folder / name).exists():
                raise AuthorityError(f"{folder / name} is there already; everything that it signed would be void")
        key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Palaestra venue {venue}")])
        certificate = (
            _builder(subject, subject, key.public_key(), now, now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        write_private(folder / "ca.key", _key_pem(key))
        write_public(folder / "ca.crt", certificate.public_bytes(serialization.Encoding.PEM))
        return cls(folder)

    @property
    def root(self) -> bytes:
        """The authority's certificate as PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def sign_server(self, names: Sequence[str], *, days: float) -> None:
        """Write `server.crt` and `server.key` for host names and IP addresses. A running venue takes them in."""
        if not names:
            raise AuthorityError("a server's certificate needs a name or an IP address by which others know it")
        alternatives = [_server_name(name) for name in names]
        certificate, key = self._sign(
            alternatives, f"server {' '.join(names)}", days, [ExtendedKeyUsageOID.SERVER_AUTH]
        )
        write_private(self._folder / "server.key", key)
        write_public(self._folder / "server.crt", certificate)

    def sign_client(self, uri: str, *, days: float, names: Sequence[str] = ()) -> tuple[bytes, bytes]:
        """Return a client's certificate and key as PEM. names: under which it serves others, too."""
        alternatives = [x509.UniformResourceIdentifier(uri), *(_server_name(name) for name in names)]
        purposes = [ExtendedKeyUsageOID.CLIENT_AUTH, *([ExtendedKeyUsageOID.SERVER_AUTH] if names else [])]
        return self._sign(alternatives, uri, days, purposes)

    def server_names(self) -> list[str]:
        """Return the names in `server.crt`, in order; none if there is none yet."""
        return certified_names(self._folder / "server.crt")

    def issued(self) -> list[Issued]:
        """Return what was signed, oldest first."""
        path = self._folder / "issued.jsonl"
        if not path.exists():
            return []
        return [line for line in map(_line, path.read_text(encoding="utf-8", errors="replace").splitlines()) if line]

    def revoke(self, what: str) -> Issued:
        """Take a certificate back, by serial number or by its file. The scheduler looks at each call."""
        path = Path(what)
        serial = what.lower()
        if path.is_file():
            try:
                serial = f"{x509.load_pem_x509_certificate(path.read_bytes()).serial_number:x}"
            except ValueError as error:
                raise AuthorityError(f"{path}: {error}") from None
        found = next((line for line in self.issued() if line.serial == serial), None)
        if found is None:
            raise AuthorityError(f"{what} is no serial number that this authority signed; `ca list` shows them")
        if serial not in self.revoked():
            lines = [*self._revoked_lines(), f"{serial} {found.name} {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"]
            write_public(self._folder / "revoked", "".join(f"{line}\n" for line in lines).encode())
        return found

    def revoked(self) -> set[str]:
        """Return the serial numbers that were taken back."""
        return {line.split()[0] for line in self._revoked_lines()}

    def _revoked_lines(self) -> list[str]:
        path = self._folder / "revoked"
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()] if path.exists() else []

    def _sign(
        self, names: Sequence[x509.GeneralName], told: str, days: float, purposes: Sequence[x509.ObjectIdentifier]
    ) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        until = min(self._now + timedelta(days=days), self._certificate.not_valid_after_utc)
        certificate = (
            _builder(x509.Name([]), self._certificate.subject, key.public_key(), self._now, until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
            # Critical, because the subject is empty (RFC 5280, section 4.2.1.6).
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        line = Issued(f"{certificate.serial_number:x}", told, f"{until:%Y-%m-%dT%H:%M:%SZ}")
        _append(self._folder / "issued.jsonl", json.dumps(asdict(line)))
        return certificate.public_bytes(serialization.Encoding.PEM), _key_pem(key)


def _line(text: str) -> Issued | None:
    """Return a line of the book; None for one that a crash or a full disk has torn, whose certificate nobody got."""
    try:
        return Issued(**json.loads(text))
    except (ValueError, TypeError):
        return None


def _append(path: Path, text: str) -> None:
    """Add a line that is on the disk when this returns; after a torn one, on a line of its own."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        size = os.fstat(file).st_size
        torn = size > 0 and os.pread(file, 1, size - 1) != b"\n"
        os.write(file, f"{chr(10) if torn else ''}{text}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)


def certified_names(path: Path) -> list[str]:
    """Return the host names and IP addresses in a certificate's file, in order; none if it cannot be read."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return []
    return [str(name.value) for name in names]


def client_uri(venue: str, role: str, vendor: str, process: str = "") -> str:
    """Return what names a client.

    process: Of a unit host or a runner, which of them.
    Raises AuthorityError for a role that is none, or not of a vendor or the house; for an id that is missing, or none.
    """
    roles = VENDOR_ROLES if vendor else HOUSE_ROLES
    if role not in roles:
        whose = f"of vendor {vendor}" if vendor else "of the house (for a vendor's, add --vendor)"
        raise AuthorityError(f"{role!r} is no role {whose}; there are {', '.join(roles)}")
    if (role in BOUND) != bool(process):
        what = "needs --id: which of them it is" if role in BOUND else f"has no --id; those of {' and '.join(BOUND)} do"
        raise AuthorityError(f"a certificate of role {role} {what}")
    if process and not _ID.fullmatch(process):
        raise AuthorityError(f"{process!r} is no id of a {role}: lower case letters, digits and hyphens")
    if vendor:
        return f"spiffe://{venue}/vendors/{vendor}/{role}"
    return f"spiffe://{venue}/{role}/{process}" if process else f"spiffe://{venue}/{role}"


def write_private(path: Path, data: bytes) -> None:
    """Replace a file that was never readable by others and is never half written."""
    _write(path, data, 0o600)


def write_public(path: Path, data: bytes) -> None:
    """Replace a file that is never half written."""
    _write(path, data, 0o644)


def _write(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    try:
        os.write(file, data)
        os.fsync(file)
    finally:
        os.close(file)
    draft.replace(path)


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if len(name) > 253 or not _HOST.fullmatch(name):
        raise AuthorityError(f"{name!r} is neither a host name nor an IP address")
    return x509.DNSName(name)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key)
    return builder.serial_number(x509.random_serial_number()).not_valid_before(now - SKEW).not_valid_after(until)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
