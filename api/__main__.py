"""python -m api: serve one venue's REST and console until SIGTERM."""

import logging
import socket
import sys
from collections.abc import Sequence

from fastapi import FastAPI

from api.app import create_app
from api.settings import Settings, parse
from web.listening import Refused, listen
from web.server import Server, config

log = logging.getLogger("api")


class Streaming(Server):
    """Stops in bounded time although live streams never end by themselves."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the streams go, then wait for the requests under way."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.fanout.stop()
        await super().shutdown(sockets)


def server(settings: Settings) -> Streaming:
    """Return a server, not yet running, of the application with these settings."""
    return Streaming(config(create_app(settings), settings))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until a signal. Returns 2 for settings it refuses, 1 if the port is taken."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
    except (Refused, OSError) as refused:
        print(f"api: {refused}", file=sys.stderr)
        return 2
    try:
        listening = listen(settings)
    except OSError as error:
        print(f"api: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    if settings.in_clear:
        log.warning("listening beyond loopback without TLS: tokens cross the network in clear")
    server(settings).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
