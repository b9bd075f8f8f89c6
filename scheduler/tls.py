"""TLS for those who come from elsewhere: a port of its own, beside the plain one on loopback.

Everything lies in one folder, made by `palaestra-venue ca` or by whoever runs the site's own authority: `server.crt`
with its chain and `server.key`; `ca.crt`, whose client certificates are taken; `revoked`, their serial numbers. The
files are looked at at every handshake, so that a renewed certificate needs no restart.
"""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from scheduler import toml

log = logging.getLogger(__name__)
FOLDER = "tls"


@dataclass(frozen=True)
class Tls:
    """The [tls] table of a venue file.

    Attributes:
        listen: Address and port for those from elsewhere; empty: there is none.
        folder: Where the files lie; relative to the folder of the venue's data.
        client_certificates: Whether who comes from elsewhere must show a certificate.
    """

    listen: str = ""
    folder: Path = Path(FOLDER)
    client_certificates: bool = False


class NoCertificate(Exception):
    """The port cannot be opened without a certificate; the message says how to make one."""


def tls_of(table: Mapping[str, Any], source: str) -> Tls:
    """Return the settings of a [tls] table. Raises BadConfiguration."""
    # api_listen is the supervisor's: it opens the console and REST.
    known = ("listen", "folder", "client_certificates", "api_listen")
    unknown = sorted(set(table) - set(known))
    if unknown:
        raise toml.BadConfiguration(f"{source}: [tls] has no {unknown[0]}; it has {', '.join(known)}")
    listen = toml.text(table, "listen", "", source, "[tls]")
    host, _, port = listen.rpartition(":")
    if listen and not (host and port.isdigit() and int(port) < 65536):
        raise toml.BadConfiguration(f"{source}: [tls] listen is {listen!r}, must be an address and a port")
    return Tls(
        listen,
        Path(toml.text(table, "folder", FOLDER, source, "[tls]")),
        toml.flag(table, "client_certificates", source, "[tls]"),
    )


class Files:
    """The files of a TLS folder, as of the last time they made sense together.

    Raises NoCertificate at the start if they do not.
    """

    def __init__(self, folder: Path, *, client_certificates: bool) -> None:
        self._folder = folder
        self._paths = [folder / "server.key", folder / "server.crt"]
        if client_certificates:
            self._paths.append(folder / "ca.crt")
        self._client_certificates = client_certificates
        self._stamps = self._look()
        self._contents = self._read()
        # gRPC asks from threads of its own.
        self._lock = threading.Lock()

    def credentials(self) -> grpc.ServerCredentials:
        """Return credentials that look at the files at every handshake."""
        return grpc.dynamic_ssl_server_credentials(self._configuration(), self._renewed, self._client_certificates)

    def _renewed(self) -> grpc.ServerCertificateConfiguration | None:
        """Return the configuration if the files have changed, None otherwise. Never raises."""
        with self._lock:
            try:
                stamps = self._look()
                if stamps == self._stamps:
                    return None
                self._contents = self._read()
                self._stamps = stamps
            except NoCertificate as problem:
                # Half of a pair that is being replaced: the next handshake looks again.
                log.warning("the certificate from before is kept: %s", problem)
                return None
            log.info("%s was renewed", self._paths[1])
            return self._configuration()

    def _configuration(self) -> grpc.ServerCertificateConfiguration:
        key, chain, *roots = self._contents
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots[0] if roots else None)

    def _look(self) -> list[tuple[int, int, int]]:
        try:
            states = [path.stat() for path in self._paths]
        except OSError as error:
            raise NoCertificate(
                f"{error.filename} is not there ({error.strerror}); `palaestra-venue ca init` and "
                "`palaestra-venue ca server` make what is needed, see docs/security.md"
            ) from None
        return [(state.st_ino, state.st_mtime_ns, state.st_size) for state in states]

    def _read(self) -> list[bytes]:
        # Here and not at the top: a venue that stays on its machine needs no such library.
        from cryptography import x509
        from cryptography.hazmat.primitives import serialization

        try:
            contents = [path.read_bytes() for path in self._paths]
            key = serialization.load_pem_private_key(contents[0], password=None)
            chain = x509.load_pem_x509_certificates(contents[1])
            if key.public_key() != chain[0].public_key():
                raise NoCertificate(f"{self._paths[1]} is not the certificate of {self._paths[0]}")
            for roots in contents[2:]:
                x509.load_pem_x509_certificates(roots)
        except (OSError, ValueError, TypeError) as error:
            raise NoCertificate(f"{self._folder} cannot be used: {error}") from None
        return contents
