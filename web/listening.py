"""Where a process of HTTP listens, whom it asks, and which of both it refuses to do in clear text."""

import argparse
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from palaestra.channel import is_loopback
from palaestra.tls_files import NoCertificate, TlsFiles, check_pair


class Refused(Exception):
    """The command line asks for something that the process does not do."""


@dataclass(frozen=True, kw_only=True)
class Listening:
    """What all processes of HTTP are told at their start.

    Attributes:
        host, port: Where it listens.
        scheduler: Who is asked whose a token is.
        allow_remote: Whether it listens beyond loopback also without TLS, behind a proxy.
        upstream_tls: Towards the scheduler.
        cert, key: What callers are shown; None: no TLS.
        stall_s: A client that takes nothing for so long is dropped.
    """

    host: str
    port: int
    scheduler: str
    allow_remote: bool = False
    upstream_tls: TlsFiles = field(default_factory=TlsFiles)
    cert: Path | None = None
    key: Path | None = None
    stall_s: float = 30.0

    @property
    def loopback_only(self) -> bool:
        """Whether nobody from elsewhere is to be served."""
        return not self.allow_remote and is_loopback(f"{self.host}:{self.port}")

    @property
    def in_clear(self) -> bool:
        """Whether tokens cross a network for everybody to read, unless a proxy in front sees to it."""
        return self.allow_remote and self.cert is None


def add_options(parser: argparse.ArgumentParser, *, listen: str, scheduler: str) -> None:
    """Add what `listening_of` reads, with these defaults, HOST:PORT."""
    parser.add_argument("--listen", default=listen, metavar="HOST:PORT")
    parser.add_argument("--scheduler", default=scheduler, metavar="HOST:PORT")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="serve https with this certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond loopback also without TLS")
    TlsFiles.add_options(parser, prefix="scheduler-")


def listening_of(given: argparse.Namespace) -> dict[str, Any]:
    """Return the fields of `Listening` that a command line gives.

    Raises Refused for what is no address, half a certificate, and an address beyond loopback without TLS or
    --allow-remote.
    """
    host, _, port = given.listen.rpartition(":")
    host = host.strip("[]")
    if not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise Refused(f"--listen {given.listen!r} is not HOST:PORT")
    try:
        upstream_tls = TlsFiles.of(given, prefix="scheduler-")
        upstream_tls.check_private(given.scheduler)
        if given.cert is not None and given.key is not None:
            check_pair(given.cert, given.key)
        elif given.cert is not None or given.key is not None:
            raise NoCertificate("--cert and --key come together")
    except NoCertificate as problem:
        raise Refused(str(problem)) from None
    if given.cert is None and not given.allow_remote and not is_loopback(f"{host}:{port}"):
        raise Refused(
            f"--listen {given.listen!r} is not a loopback address. Tokens would cross the network in clear text: "
            "give it --cert and --key, or put a TLS proxy in front and add --allow-remote"
        )
    return {
        "host": host,
        "port": int(port),
        "scheduler": given.scheduler,
        "allow_remote": given.allow_remote,
        "upstream_tls": upstream_tls,
        "cert": given.cert,
        "key": given.key,
    }


def listen(settings: Listening) -> socket.socket:
    """Return the listening socket. Raises OSError if another process has the port."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # Every connection inherits it: the kernel cuts a peer that takes nothing for so long, also one whose window
    # is closed.
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.stall_s * 1000))
    try:
        found.bind((settings.host, settings.port))
        found.listen(1024)
    except OSError:
        found.close()
        raise
    found.set_inheritable(True)
    return found
