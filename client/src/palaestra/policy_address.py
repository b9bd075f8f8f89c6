"""Addresses of served policies, and which of them a venue's runner calls.

The runner sits inside the venue's network, a vendor does not: whom it calls for a vendor is the venue's to say.
"""

from collections.abc import Iterable
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1:*", "[::1]:*", "localhost:*")
"""The runner's own machine, in all its names. A venue that writes these lets every vendor have the runner call any port
there, of other vendors' programs and of the house; by itself the runner calls nowhere."""


def end_of(address: str) -> str:
    """Return "host:port" of "ws://host:port" or "wss://host:port", in small letters. Raises ValueError."""
    parts = urlsplit(address)
    if parts.scheme not in ("ws", "wss") or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(f"{address!r} is not of the form ws://host:port or wss://host:port")
    if parts.username is not None or not parts.hostname or parts.port is None:
        raise ValueError(f"{address!r} is not of the form ws://host:port or wss://host:port")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{host}:{parts.port}"


def is_allowed(address: str, allowed: Iterable[str]) -> bool:
    """Return whether one of "host:port" or "host:*" is where an address leads. Raises ValueError as `end_of`."""
    host, _, port = end_of(address).rpartition(":")
    return any(rule.lower() in (f"{host}:{port}", f"{host}:*") for rule in allowed)


def check_rule(rule: str) -> str:
    """Return a "host:port" or "host:*" as it is. Raises ValueError."""
    host, _, port = rule.rpartition(":")
    if not host or not (port == "*" or (port.isascii() and port.isdigit() and 0 < int(port) < 65536)):
        raise ValueError(f"{rule!r} is not of the form host:port or host:*")
    if port != "*" and end_of(f"ws://{rule}") != rule.lower():
        raise ValueError(f"{rule!r} is not of the form host:port or host:*")
    return rule
