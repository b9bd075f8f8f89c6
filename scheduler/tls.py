"""TLS for those who come from elsewhere: a port of its own, beside the plain one on loopback.

Everything lies in one folder, made by `palaestra-venue ca` or by whoever runs the site's own authority: `server.crt`
with its chain and `server.key`; `ca.crt`, whose client certificates are taken; `revoked`, their serial numbers. The
files are looked at at every handshake, so that a renewed certificate needs no restart.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.tls_files import NoCertificate, ServerFiles
from scheduler import toml

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


def tls_of(table: Mapping[str, Any], source: str) -> Tls:
    """Return the settings of a [tls] table. Raises BadConfiguration."""
    # The last four are the supervisor's: it opens the console, REST and what is shared, and starts a standby.
    own = ("listen", "folder", "client_certificates")
    known = (*own, "api_listen", "sharing_listen", "standby_listen", "slots_listen")
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


def files_of(folder: Path, *, client_certificates: bool) -> ServerFiles:
    """Return the files of a TLS folder. Raises NoCertificate, saying how to make what is missing."""
    try:
        return ServerFiles(
            folder / "server.crt", folder / "server.key", folder / "ca.crt" if client_certificates else None
        )
    except NoCertificate as problem:
        raise NoCertificate(
            f"[tls] listen needs a certificate: {problem}. `palaestra-venue ca init` and `palaestra-venue ca server` "
            "make one; docs/security.md has the steps"
        ) from None
