"""All that the process is told at its start."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from catalogue.place import HELP, place
from database.address import Place
from sharing.compute.cluster import OpenCluster, check_private
from web.listening import Listening, Refused, add_options, listening_of


@dataclass(frozen=True, kw_only=True)
class Settings(Listening):
    """Settings of one sharing process.

    Attributes:
        folder: What this room keeps: its database, projections, keys.
        catalogue: Where the catalogue is; only looked into.
        objects, objects_at: The store's folder of objects, and where they are if not there.
        address: How consumers reach it; empty: where it listens.
        cluster: The head of the Ray cluster on whose nodes compute jobs run; empty: here.
    """

    folder: Path
    catalogue: Place
    objects: Path
    objects_at: str = ""
    address: str = ""
    cluster: str = ""
    call_timeout_s: float = 5.0

    @property
    def url(self) -> str:
        """The base of its addresses."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.address or f"{'https' if self.cert else 'http'}://{host}:{self.port}"


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line.

    Raises Refused for an address beyond loopback without TLS or --allow-remote, a cluster that talks in clear text;
    SystemExit for a malformed line.
    """
    parser = argparse.ArgumentParser(prog="python -m sharing", description="agreements between vendors, and what flows")
    add_options(parser, listen="127.0.0.1:7490", scheduler="127.0.0.1:7400")
    parser.add_argument("--folder", type=Path, required=True, metavar="DIR", help="what this room keeps")
    parser.add_argument("--catalogue", type=place, required=True, metavar="PLACE", help=HELP)
    parser.add_argument("--objects", type=Path, required=True, metavar="DIR", help="the store's folder of objects")
    parser.add_argument(
        "--objects-at", default="", metavar="ADDRESS", help="where they are if not there, s3://bucket/prefix"
    )
    parser.add_argument("--address", default="", metavar="URL", help="how consumers reach it, if behind a proxy")
    parser.add_argument(
        "--cluster", default="", metavar="HOST:PORT", help="run compute jobs on this Ray cluster, not on this machine"
    )
    given = parser.parse_args(arguments)
    if given.address and not given.address.startswith(("http://", "https://")):
        raise Refused(f"--address {given.address!r} is no address of HTTP")
    if given.cluster:
        try:
            check_private(given.cluster, os.environ)
        except OpenCluster as problem:
            raise Refused(f"--cluster: {problem}") from None
    return Settings(
        **listening_of(given),
        folder=given.folder,
        catalogue=given.catalogue,
        objects=given.objects,
        objects_at=given.objects_at,
        address=given.address.rstrip("/"),
        cluster=given.cluster,
    )
