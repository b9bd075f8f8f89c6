"""All that the process is told at its start."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from web.bounds import BODY_BYTES
from web.listening import Listening, add_options, listening_of


@dataclass(frozen=True, kw_only=True)
class Settings(Listening):
    """Settings of one api process. Times in seconds, sizes in bytes."""

    objects: Path
    console: Path
    # Where the objects are if not in that folder, which then holds copies.
    objects_at: str = ""
    # Proves in /readyz that the scheduler's database answers, not only its port. Never lent to a caller.
    probe_token: str = ""
    call_timeout_s: float = 10.0
    session_s: float = 12 * 3600.0
    body_bytes: int = BODY_BYTES
    # What a client may lag behind the live events before it is told to read everything again.
    ring_events: int = 4096
    ring_bytes: int = 8 << 20
    heartbeat_s: float = 10.0
    streams: int = 256

    @property
    def cookie(self) -> str:
        """Name of the session cookie. Browsers share cookies between ports, so the port is part of it."""
        return f"palaestra_session_{self.port}"


def parse(arguments: Sequence[str]) -> Settings:
    """Return the settings of a command line.

    Raises web.listening.Refused for an address beyond loopback without --allow-remote, SystemExit for a malformed line.
    """
    parser = argparse.ArgumentParser(prog="python -m api", description="REST, live events and console of a venue")
    add_options(parser, listen="127.0.0.1:8080", scheduler="127.0.0.1:7000")
    parser.add_argument("--objects", type=Path, required=True, metavar="DIR", help="the store's folder of objects")
    parser.add_argument(
        "--objects-at",
        default="",
        metavar="ADDRESS",
        help="where they are if not there, s3://bucket/prefix",
    )
    parser.add_argument("--console", type=Path, default=Path(__file__).parent / "static" / "console", metavar="DIR")
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="token of the gateway, for /readyz alone")
    given = parser.parse_args(arguments)
    return Settings(
        **listening_of(given),
        objects=given.objects,
        objects_at=given.objects_at,
        console=given.console,
        probe_token=given.token_file.read_text().strip() if given.token_file else "",
    )
