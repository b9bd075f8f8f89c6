"""`python -m scheduler --venue FILE --data FOLDER`: run the scheduler of one venue.

`python -m scheduler replay TRACE` replays a log of jobs instead, `python -m scheduler fairness DATABASE` tells how
fairly the venue was shared, `python -m scheduler rebuild DATABASE` what it was at any event, `python -m scheduler
migrate --data FOLDER` brings a database to the newest revision of its schema, and `python -m scheduler move --data
FOLDER --to URL` from its file into PostgreSQL; see their --help.
"""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from palaestra.errors import PalaestraError
from palaestra.tls_files import NoCertificate
from scheduler import database
from scheduler.configuration import BadConfiguration, Settings
from scheduler.core import Core
from scheduler.database import DatabaseInUse, SchemaMismatch
from scheduler.fairness import command as fairness
from scheduler.identity import Credentials
from scheduler.rebuild import command as rebuild
from scheduler.replay import command as replay
from scheduler.server import NotLoopback, PortInUse, Server, write_address
from scheduler.sql import ERRORS

STOP_GRACE_S = 3.0
# Exit code when the disk failed; 2 means a refusal to start.
BROKEN = 1


def main() -> int:
    if sys.argv[1:2] == ["replay"]:
        return replay.main(sys.argv[2:])
    if sys.argv[1:2] == ["fairness"]:
        return fairness.main(sys.argv[2:])
    if sys.argv[1:2] == ["rebuild"]:
        return rebuild.main(sys.argv[2:])
    if sys.argv[1:2] == ["migrate"]:
        from scheduler.migrations import command as migrate  # alembic takes half a second to import

        return migrate.main(sys.argv[2:])
    if sys.argv[1:2] == ["move"]:
        from scheduler.postgres import command as moving  # psycopg is an extra

        return moving.main(sys.argv[2:])
    parser = argparse.ArgumentParser(prog="python -m scheduler", description=__doc__)
    parser.add_argument("--venue", type=Path, required=True, help="the venue file, such as configs/venues/demo.toml")
    parser.add_argument("--data", type=Path, required=True, help="folder of the database and the tokens")
    parser.add_argument("--listen", default="127.0.0.1:7400", help="loopback address and port; port 0 takes a free one")
    parser.add_argument(
        "--database",
        default="",
        metavar="URL",
        help="postgresql://... instead of a file in the folder; a password stands better in the environment, as "
        f"{database.ENVIRONMENT}, or in libpq's password file",
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        return asyncio.run(_serve(arguments.venue, arguments.data, arguments.listen, arguments.database))
    except (
        *(BadConfiguration, DatabaseInUse, PortInUse, SchemaMismatch, NotLoopback, NoCertificate),
        *(PalaestraError, OSError, *ERRORS),
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


async def _serve(venue: Path, data: Path, listen: str, url: str) -> int:
    settings = Settings.load(venue)
    loop = asyncio.get_running_loop()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    url = url or os.environ.get(database.ENVIRONMENT, "") or settings.database
    core = Core(settings, database.place(url) if url else data / database.FILE, loop)
    credentials = Credentials.open(data / "tokens", [vendor.id for vendor in settings.venue.vendors])
    server = Server(core, credentials, listen, settings.tls, data)
    await core.start()
    await server.start()
    # Before the address is known, for whoever waits for it may want to stop us at once.
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    write_address(data, server.address)
    logging.info("scheduler of venue %s listens on %s", core.venue, server.address)
    if server.tls_address:
        shown = "certificate" if settings.tls.client_certificates else "token"
        logging.info("and with TLS on %s, by %s", server.tls_address, shown)
    await stopping.wait()
    logging.info("stopping")
    await server.stop(STOP_GRACE_S)
    await core.stop()
    if core.broken:
        # At once: an orderly end of the interpreter would close the database, and so write to it.
        logging.shutdown()
        os._exit(BROKEN)
    return 0


if __name__ == "__main__":
    sys.exit(main())
