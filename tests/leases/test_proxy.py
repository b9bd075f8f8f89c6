"""What the fault proxy does to a connection."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.leases.proxy import Fault, Proxy

WAIT_S = 0.2


@contextmanager
def echo() -> Iterator[Proxy]:
    """A proxy before a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer(peer: socket.socket) -> None:
            with peer:
                try:
                    while data := peer.recv(1000):
                        peer.sendall(data)
                except OSError:
                    return

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=answer, args=(peer,), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        with Proxy(f"127.0.0.1:{server.getsockname()[1]}") as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)


def connect(proxy: Proxy) -> socket.socket:
    host, _, port = proxy.address.rpartition(":")
    found = socket.create_connection((host, int(port)), timeout=10.0)
    try:
        found.sendall(b"a")
        answer = found.recv(10)
    except OSError:
        answer = b""
    if answer != b"a":
        found.close()
        raise ConnectionResetError
    return found


@pytest.mark.parametrize("fault", [Fault.HOLD, Fault.DEAF])
def test_what_is_held_back_arrives_once_the_line_is_mended(fault: Fault) -> None:
    with echo() as proxy, connect(proxy) as line:
        proxy.set(fault)
        line.sendall(b"b")
        line.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            line.recv(10)
        proxy.set(Fault.NONE)
        line.settimeout(10.0)
        assert line.recv(10) == b"b"


def test_what_is_dropped_costs_the_connection_once_the_line_is_mended() -> None:
    with echo() as proxy, connect(proxy) as line:
        proxy.set(Fault.DROP)
        line.sendall(b"b")
        line.settimeout(WAIT_S)
        with pytest.raises(TimeoutError):
            line.recv(10)
        proxy.set(Fault.NONE)
        line.settimeout(10.0)
        with pytest.raises(ConnectionResetError):
            line.recv(10)
        connect(proxy).close()


def test_a_reset_breaks_connections_off_old_and_new() -> None:
    with echo() as proxy, connect(proxy) as line:
        proxy.set(Fault.RESET)
        with pytest.raises(ConnectionResetError):
            line.recv(10)
        with pytest.raises(ConnectionResetError):
            connect(proxy)
        proxy.set(Fault.NONE, delay_s=0.01)
        connect(proxy).close()
