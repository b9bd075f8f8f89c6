"""A small websocket server that speaks openpi's protocol, on this machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.sync.server import ServerConnection, serve

from sim.env.wire import pack, unpack

ABOUT = {"policy": "test"}


@contextmanager
def server(handler: Callable[[ServerConnection], None]) -> Iterator[str]:
    """A websocket server on a free port of this machine; gives its address."""
    with serve(handler, "127.0.0.1", 0, compression=None, max_size=None) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{running.socket.getsockname()[1]}"
        finally:
            running.shutdown()
            thread.join()


def answering(policy: Callable[[dict[str, Any]], Any], *, seen: list[Any] | None = None) -> Any:
    """What a server does: tell about itself, then answer each observation."""

    def handler(socket: ServerConnection) -> None:
        if seen is not None:
            seen.append(socket.request.headers.get("Authorization"))
        socket.send(pack(ABOUT))
        for message in socket:
            socket.send(policy(unpack(message)))

    return handler
