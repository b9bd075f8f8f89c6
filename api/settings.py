"""All that the process is told at its start."""

import argparse
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palaestra.tls_files import NoCertificate, TlsFiles, check_pair


@dataclass(frozen=True)
class Settings:
    """Settings of one api process. Times in seconds, sizes in bytes."""

    host: str
    port: int
    scheduler: str
    objects: Path
    console: Path
    # Where the objects are if not in that folder, which then holds copies.
    objects_at: str = ""
    # Proves in /readyz that the scheduler's database answers, not only its port. Never lent to a caller.
    probe_token: str = ""
    allow_remote: bool = False
    # Towards the scheduler.
    upstream_tls: TlsFiles = field(default_factory=TlsFiles)
    # What browsers are shown; None: no TLS.
    cert: Path | None = None
    key: Path | None = None
    call_timeout_s: float = 10.0
    session_s: float = 12 * 3600.0
    body_bytes: int = 1 << 20
    # What a client may lag behind the live events before it is told to read everything again.
    ring_events: int = 4096
    ring_bytes: int = 8 << 20
    heartbeat_s: float = 10.0
    # A client that takes nothing for so long is dropped.
    stall_s: float = 30.0
    streams: int = 256

    @property
    def loopback_only(self) -> bool:
        """Whether nobody from elsewhere is to be served."""
        return not self.allow_remote and is_loopback(self.host)

    @property
    def cookie(self) -> str:
        """Name of the session cookie. Browsers share cookies between ports, so the port is part of it."""
        return f"palaestra_session_{self.port}"


class Refused(Exception):
    """The command line asks for something that this process does not do."""


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line.

    Raises Refused for an address beyond loopback without --allow-remote, SystemExit for a malformed line.
    """
    parser = argparse.ArgumentParser(prog="python -m api", description="REST, live events and console of a venue")
    parser.add_argument("--listen", default="127.0.0.1:8080", metavar="HOST:PORT")
    parser.add_argument("--scheduler", default="127.0.0.1:7000", metavar="HOST:PORT")
    parser.add_argument("--objects", type=Path, required=True, metavar="DIR", help="the store's folder of objects")
    parser.add_argument(
        "--objects-at",
        default="",
        metavar="ADDRESS",
        help="where they are if not there, s3://bucket/prefix",
    )
    parser.add_argument("--console", type=Path, default=Path(__file__).parent / "static" / "console", metavar="DIR")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="token of the gateway, for /readyz alone")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="serve https with this certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond loopback also without TLS")
    TlsFiles.add_options(parser, prefix="scheduler-")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or int(port) > 65535:
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
    if given.cert is None and not given.allow_remote and not is_loopback(host):
        raise Refused(
            f"--listen {given.listen!r} is not a loopback address. Tokens would cross the network in clear text: "
            "give it --cert and --key, or put a TLS proxy in front and add --allow-remote"
        )
    return Settings(
        host=host,
        port=int(port),
        scheduler=given.scheduler,
        objects=given.objects,
        objects_at=given.objects_at,
        console=given.console,
        probe_token=given.token_file.read_text().strip() if given.token_file else "",
        allow_remote=given.allow_remote,
        upstream_tls=upstream_tls,
        cert=given.cert,
        key=given.key,
    )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address stays on this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
