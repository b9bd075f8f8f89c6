"""All that the process is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from palaestra.channel import is_loopback
from palaestra.tls_files import NoCertificate, TlsFiles, check_pair


@dataclass(frozen=True)
class Settings:
    """Settings of one sharing process.

    Attributes:
        host, port: Where it listens.
        scheduler: Who is asked whose a token is.
        folder: What this room keeps: its database, projections, keys.
        catalogue: The catalogue's file; only looked into.
        objects, objects_at: The store's folder of objects, and where they are if not there.
        address: How consumers reach it; empty: where it listens.
        upstream_tls: Towards the scheduler.
        cert, key: What callers are shown; None: no TLS.
    """

    host: str
    port: int
    scheduler: str
    folder: Path
    catalogue: Path
    objects: Path
    objects_at: str = ""
    address: str = ""
    allow_remote: bool = False
    upstream_tls: TlsFiles = field(default_factory=TlsFiles)
    cert: Path | None = None
    key: Path | None = None
    call_timeout_s: float = 5.0
    # A client that takes nothing for so long is dropped.
    stall_s: float = 30.0

    @property
    def loopback_only(self) -> bool:
        """Whether nobody from elsewhere is to be served."""
        return not self.allow_remote and is_loopback(f"{self.host}:{self.port}")

    @property
    def url(self) -> str:
        """The base of its addresses."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.address or f"{'https' if self.cert else 'http'}://{host}:{self.port}"


class Refused(Exception):
    """The command line asks for something that this process does not do."""


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line.

    Raises Refused for an address beyond loopback without TLS or --allow-remote, SystemExit for a malformed line.
    """
    parser = argparse.ArgumentParser(prog="python -m sharing", description="agreements between vendors, and what flows")
    parser.add_argument("--listen", default="127.0.0.1:7490", metavar="HOST:PORT")
    parser.add_argument("--scheduler", default="127.0.0.1:7400", metavar="HOST:PORT")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="what this room keeps")
    parser.add_argument("--catalogue", type=Path, required=True, metavar="FILE", help="the catalogue, to look into")
    parser.add_argument("--objects", type=Path, required=True, metavar="DIR", help="the store's folder of objects")
    parser.add_argument(
        "--objects-at", default="", metavar="ADDRESS", help="where they are if not there, s3://bucket/prefix"
    )
    parser.add_argument("--address", default="", metavar="URL", help="how consumers reach it, if behind a proxy")
    parser.add_argument("--cert", type=Path, metavar="FILE", help="serve https with this certificate")
    parser.add_argument("--key", type=Path, metavar="FILE", help="its private key")
    parser.add_argument("--allow-remote", action="store_true", help="listen beyond loopback also without TLS")
    TlsFiles.add_options(parser, prefix="scheduler-")
    given = parser.parse_args(arguments)
    host, _, port = given.listen.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdigit() or int(port) > 65535:
        raise Refused(f"--listen {given.listen!r} is not HOST:PORT")
    if given.address and not given.address.startswith(("http://", "https://")):
        raise Refused(f"--address {given.address!r} is no address of HTTP")
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
    return Settings(
        host=host,
        port=int(port),
        scheduler=given.scheduler,
        folder=given.folder,
        catalogue=given.catalogue,
        objects=given.objects,
        objects_at=given.objects_at,
        address=given.address.rstrip("/"),
        allow_remote=given.allow_remote,
        upstream_tls=upstream_tls,
        cert=given.cert,
        key=given.key,
    )
