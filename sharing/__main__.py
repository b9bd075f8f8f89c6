"""python -m sharing: serve agreements and what flows under them until SIGTERM."""

import logging
import socket
import sys
from collections.abc import Sequence

import uvicorn

from catalogue.database import SchemaMismatch
from sharing.audit.key import ExposedKey
from sharing.audit.log import AuditBroken
from sharing.identity import Scheduler
from sharing.server import create_app, open_room
from sharing.settings import Refused, Settings, parse

STOP_S = 3


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
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = parse(sys.argv[1:] if arguments is None else arguments)
    except (Refused, OSError) as refused:
        print(f"sharing: {refused}", file=sys.stderr)
        return 2
    try:
        listening = listen(settings)
    except OSError as error:
        print(f"sharing: cannot listen on {settings.host}:{settings.port}: {error.strerror}", file=sys.stderr)
        return 1
    if settings.allow_remote and settings.cert is None:
        logging.getLogger("sharing").warning("listening beyond loopback without TLS: tokens cross the network in clear")
    scheduler = Scheduler(settings.scheduler, tls=settings.upstream_tls, timeout_s=settings.call_timeout_s)
    try:
        room = open_room(settings, scheduler.identity)
    except (OSError, SchemaMismatch, AuditBroken, ExposedKey) as error:
        print(f"sharing: {settings.folder} cannot be used: {error}", file=sys.stderr)
        return 1
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
    uvicorn.Server(config).run(sockets=[listening])
    scheduler.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
