"""python -m sharing: serve agreements and what flows under them until SIGTERM; python -m sharing trace: see there."""

import logging
import sys
from collections.abc import Sequence

from database.file import SchemaMismatch
from sharing.audit.key import ExposedKey
from sharing.audit.log import AuditBroken
from sharing.identity import Scheduler
from sharing.projection import tracing
from sharing.room import Room
from sharing.server import create_app, open_room
from sharing.settings import Settings, parse
from web.listening import Refused, listen
from web.server import Server, config

log = logging.getLogger("sharing")


def server(room: Room, settings: Settings) -> Server:
    """Return a server, not yet running, of a room."""
    return Server(config(create_app(room, settings), settings))


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
    if settings.in_clear:
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
