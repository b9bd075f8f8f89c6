"""Short messages between a slot process and its holder: JSON, and file descriptors beside it, over a socket."""

import json
import os
import socket
from typing import Any

from sim.errors import BadSlot

MESSAGE_BYTES_MAX = 192 * 1024
_FDS_MAX = 3


def pair() -> tuple[socket.socket, socket.socket]:
    """Return the two ends of a socket that keeps messages apart, with room for the longest."""
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in ends:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MESSAGE_BYTES_MAX)
    return ends


def send(sock: socket.socket, message: dict[str, Any], *fds: int) -> None:
    """Send a message. Raises BadSlot where it is too long, OSError where nobody listens."""
    data = json.dumps(message).encode()
    if len(data) > MESSAGE_BYTES_MAX:
        raise BadSlot(f"{len(data)} bytes of names and descriptions, at most {MESSAGE_BYTES_MAX}")
    socket.send_fds(sock, [data], list(fds))


def receive(sock: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Return a message and the descriptors that came with it. Raises EOFError where the other side is gone."""
    data, fds, _, _ = socket.recv_fds(sock, MESSAGE_BYTES_MAX + 1, _FDS_MAX)
    if not data:
        raise EOFError
    try:
        message = json.loads(data)
        if not isinstance(message, dict):
            raise BadSlot(f"a message that is no object: {str(message)[:100]}")
    except ValueError as error:
        for fd in fds:
            os.close(fd)
        raise BadSlot(f"a message that is not JSON: {error}") from error
    return message, fds


def blob(data: bytes) -> int:
    """Return the descriptor of a nameless file with `data`; the caller closes it."""
    fd = os.memfd_create("palaestra-blob", os.MFD_CLOEXEC)
    with os.fdopen(os.dup(fd), "wb") as file:
        file.write(data)
    return fd


def unblob(fd: int, bytes_max: int) -> bytes:
    """Return what `blob` wrote, and close the descriptor. Raises BadSlot where it is longer than `bytes_max`."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise BadSlot(f"more than {bytes_max} bytes")
    return data
