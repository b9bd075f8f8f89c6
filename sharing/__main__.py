"""python -m sharing: serve agreements and what flows under them until SIGTERM; python -m sharing trace: see there."""

import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from catalogue.database import SchemaMismatch
from palaestra.tls_files import NoCertificate, TlsFiles, check_pair
from sharing.audit.key import ExposedKey
from sharing.audit.log import AuditBroken
from sharing.identity import Scheduler
from sharing.projection import tracing
from sharing.room import Room
from sharing.server import create_app, open_room
from sharing.settings import Refused, Settings, parse

STOP_S = 3
_LOOK_TICKS = 10
log = logging.getLogger("sharing")


class Server(uvicorn.Server):
    """Follows its certificate's files, so that who renews them need not start it anew."""

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
                log.warning("the certificate from before is kept: %s", problem)
                return
            self._stamp = stamp
            log.info("%s was renewed", files.cert)


def server(room: Room, settings: Settings) -> Server:
    """Return a server, not yet running, of a room."""
    config = uvicorn.Config(
        create_app(room, settings),
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
    # Every connection inherits it: the kernel cuts a peer that takes nothing for so long.
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
    """Run until a signal. Returns 2 for settings it refuses, 1 if port or folder cannot be used."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["trace"]:
        return tracing.main(arguments[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = parse(arguments)
    except (Refused, OSError) as refused:
        print(f"sharing: {refused}", file=sys.stderr)
        return 2
    try:
        listening = listen(settings)
    except OSError as error:
        print(f"sharing: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    if settings.allow_remote and settings.cert is None:
        log.warning("listening beyond loopback without TLS: tokens cross the network in clear")
    scheduler = Scheduler(settings.scheduler, tls=settings.upstream_tls, timeout_s=settings.call_timeout_s)
    try:
        room = open_room(settings, scheduler.identity)
    except (OSError, SchemaMismatch, AuditBroken, ExposedKey) as error:
        print(f"sharing: {settings.folder} cannot be used: {error}", file=sys.stderr)
        return 1
    server(room, settings).run(sockets=[listening])
    scheduler.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
