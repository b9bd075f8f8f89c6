"""python -m api: serve one venue's REST and console until SIGTERM."""

import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from api.app import create_app
from api.settings import Refused, Settings, parse
from palaestra.tls_files import NoCertificate, TlsFiles, check_pair

STOP_S = 3
_LOOK_TICKS = 10


class Server(uvicorn.Server):
    """Stops in bounded time although live streams never end by themselves; follows its certificate's files."""

    _stamp: object = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Remember the certificate's files as they are loaded."""
        await super().startup(sockets)
        if self.config.ssl is not None:
            self._stamp = self._pair().stamp()

    async def on_tick(self, counter: int) -> bool:
        """Take a renewed certificate in, for connections from now on. Called ten times a second."""
        if counter % _LOOK_TICKS == 0 and self.config.ssl is not None:
            self._follow(self.config.ssl)
        return await super().on_tick(counter)

    def _pair(self) -> TlsFiles:
        return TlsFiles(cert=Path(str(self.config.ssl_certfile)), key=Path(str(self.config.ssl_keyfile)))

    def _follow(self, context: ssl.SSLContext) -> None:
        files = self._pair()
        stamp = files.stamp()
        if stamp != self._stamp and files.cert is not None and files.key is not None:
            try:
                check_pair(files.cert, files.key)
                context.load_cert_chain(files.cert, files.key)
            except (NoCertificate, OSError) as problem:
                # Half of a pair that is being replaced: the next tick looks again.
                logging.getLogger("api").warning("the certificate from before is kept: %s", problem)
                return
            self._stamp = stamp
            logging.getLogger("api").info("%s was renewed", files.cert)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the streams go, then wait for the requests under way."""
        app = self.config.app
        assert isinstance(app, FastAPI)
        app.state.fanout.stop()
        await super().shutdown(sockets)


def server(settings: Settings) -> Server:
    """Return a server, not yet running, of the application with these settings."""
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_keep_alive=15,
        timeout_graceful_shutdown=STOP_S,
        limit_concurrency=1024,
        h11_max_incomplete_event_size=64 << 10,
        ssl_certfile=settings.cert,
        ssl_keyfile=settings.key,
    )
    return Server(config)


def listen(settings: Settings) -> socket.socket:
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
    if settings.allow_remote and settings.cert is None:
        logging.getLogger("api").warning("listening beyond loopback without TLS: tokens cross the network in clear")
    server(settings).run(sockets=[listening])
    return 0


if __name__ == "__main__":
    sys.exit(main())
