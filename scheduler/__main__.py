"""`python -m scheduler --venue FILE --data FOLDER`: run the scheduler of one venue.

`python -m scheduler replay TRACE` replays a log of jobs instead, `python -m scheduler fairness DATABASE` tells how
fairly the venue was shared, `python -m scheduler rebuild DATABASE` what it was at any event, `python -m scheduler
migrate --data FOLDER` brings a database to the newest revision of its schema, and `python -m scheduler move --data
FOLDER --to URL` from its file into PostgreSQL, `python -m scheduler named --data FOLDER` tells which objects it names;
see their --help.
"""

import argparse
import asyncio
import gc
import logging
import os
import signal
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from catalogue.place import HELP as CATALOGUE_HELP
from catalogue.place import place as catalogue_place
from database.address import NoPlace, Place
from palaestra.errors import PalaestraError
from palaestra.tls_files import NoCertificate
from scheduler import database, named, seat, shelf
from scheduler.configuration import BadConfiguration, Settings
from scheduler.core import Core
from scheduler.database import DatabaseInUse, HasMoved, SchemaMismatch
from scheduler.door import Door, NotLoopback, PortInUse
from scheduler.fairness import command as fairness
from scheduler.identity import Credentials, Identification
from scheduler.keys import Keys, KeysElsewhere
from scheduler.leadership import Candidate, Leadership, Seat
from scheduler.rebuild import command as rebuild
from scheduler.replay import command as replay
from scheduler.server import Server, certifier_of, write_address
from scheduler.sql import ERRORS

STOP_GRACE_S = 3.0
# Exit codes when the disk failed, and when a standby took over; 2 means a refusal to start.
BROKEN = 1
OVERTAKEN = 3
# An overtaken scheduler has nothing to finish: this is for its callers to hear why.
FAREWELL_S = 0.5
# How long one whose database failed asks it whether that was another scheduler's doing.
LOOK_PATIENCE_S = 5.0
# A fifth of what Python takes by itself. Shorter turns would cost more than they bring: each is a wake-up of a thread.
SWITCH_S = 0.001


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
        from scheduler.postgres import command as moving

        return moving.main(sys.argv[2:])
    if sys.argv[1:2] == ["named"]:
        return named.main(sys.argv[2:])
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
    parser.add_argument("--tls-listen", help="instead of [tls] listen in the venue file")
    parser.add_argument(
        "--catalogue", type=catalogue_place, metavar="PLACE", help=f"{CATALOGUE_HELP}; default: a file in DATA"
    )
    parser.add_argument(
        "--standby", action="store_true", help="if another scheduler leads on this database, wait and take over from it"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings, data = _settings(arguments), arguments.data
        serving = _serve(
            settings,
            data,
            _place(arguments, settings),
            arguments.listen,
            standby=arguments.standby,
            catalogue=arguments.catalogue or data / shelf.FILE,
        )
        with asyncio.Runner(loop_factory=_new_loop) as runner:
            return runner.run(serving)
    except (
        *(BadConfiguration, DatabaseInUse, HasMoved, NoPlace, PortInUse, SchemaMismatch, NotLoopback, NoCertificate),
        *(PalaestraError, OSError, *ERRORS),
    ) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _new_loop() -> asyncio.AbstractEventLoop:
    """Return uvloop's loop where it is installed: a call then costs about a tenth less."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


def _settings(arguments: argparse.Namespace) -> Settings:
    settings = Settings.load(arguments.venue)
    if arguments.tls_listen:
        settings = replace(settings, tls=replace(settings.tls, listen=arguments.tls_listen))
    return settings


def _place(arguments: argparse.Namespace, settings: Settings) -> Place:
    """Return where the database is."""
    url = arguments.database or os.environ.get(database.ENVIRONMENT, "") or settings.database
    return database.place(url) if url else arguments.data / database.FILE


async def _serve(settings: Settings, data: Path, place: Place, listen: str, *, standby: bool, catalogue: Place) -> int:
    loop = asyncio.get_running_loop()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    door = Door(listen, settings.tls, data)
    # Before the address is known, for whoever waits for it may want to stop us at once.
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    if standby:
        own = seat.open_seat(place)
        leadership = await _stand_by(settings, data, place, door, stopping, own)
        if leadership is None:
            own.leave()
            return 0
    else:
        leadership = seat.lead(place, door.address, ttl_s=settings.leader_ttl_s)
    credentials = Credentials.open(data / "tokens", [vendor.id for vendor in settings.venue.vendors])
    core = Core(settings, place, loop, leadership=leadership)
    leadership.keep(loop, core.overtaken)
    server = Server(core, credentials, listen, settings.tls, data, door=door, catalogue=catalogue)
    try:
        await core.start()
        await server.start()
    except Exception:
        # Its session may have been ended before it was told why.
        if await _is_overtaken(leadership):
            return _end(OVERTAKEN)
        raise
    _calm()
    write_address(data, server.address)
    logging.info("scheduler of venue %s leads in epoch %d, on %s", core.venue, leadership.epoch, server.address)
    if server.tls_address:
        shown = "certificate" if settings.tls.client_certificates else "token"
        logging.info("and with TLS on %s, by %s", server.tls_address, shown)
    await stopping.wait()
    logging.info("stopping")
    # Whoever takes over in PostgreSQL ends the sessions of who led before, whose writer may hear of that first.
    if leadership.lost is not None or (core.broken and await _is_overtaken(leadership)):
        await server.stop(FAREWELL_S)
        return _end(OVERTAKEN)
    await server.stop(STOP_GRACE_S)
    await core.stop()
    if leadership.lost is not None:
        return _end(OVERTAKEN)
    if core.broken:
        return _end(BROKEN)
    return 0


async def _is_overtaken(leadership: Leadership) -> bool:
    """Whether another scheduler leads; of a database that does not answer nobody knows that it does."""
    asking = asyncio.create_task(asyncio.to_thread(leadership.is_over))
    await asyncio.wait([asking], timeout=LOOK_PATIENCE_S)
    return asking.done() and asking.result()


def _calm() -> None:
    """Keep the interpreter from holding up calls for long, now that what stays for good is there."""
    # A full pass of the garbage collector over modules and descriptors would stop both threads, for tens of
    # milliseconds and again and again, and find nothing.
    gc.collect()
    gc.freeze()
    # Whoever of loop and writer comes back from a system call may have to wait so long for the other.
    sys.setswitchinterval(SWITCH_S)


async def _stand_by(
    settings: Settings, data: Path, place: Place, door: Door, stopping: asyncio.Event, own: Seat
) -> Leadership | None:
    """Wait for the leadership behind a door that says so; None if we are to stop before."""
    candidate = Candidate(own, door.address, settings.leader_ttl_s)
    leadership = candidate.attempt()
    if leadership is not None:
        return leadership
    door.tell(candidate.sight.mark)
    vendors = [vendor.id for vendor in settings.venue.vendors]
    tokens = Credentials.read(data / "tokens", vendors)
    with closing(database.open_reader(place)) as db:
        keys = KeysElsewhere(Keys(settings.venue.id, vendors, database.secret(db), db, time.time_ns))
        door.recognise(Identification((tokens, keys), certifier_of(settings, door, settings.tls, time.time_ns)))
        try:
            return await _wait_behind(door, candidate, place, stopping)
        finally:
            # Until the server knows them itself.
            door.recognise(Identification((tokens,), certifier_of(settings, door, settings.tls, time.time_ns)))


async def _wait_behind(door: Door, candidate: Candidate, place: Place, stopping: asyncio.Event) -> Leadership | None:
    await door.open()
    logging.info("standby on %s; %s", door.address, seat.in_use(place, candidate.sight))
    waiting = asyncio.create_task(candidate.wait(door.tell))
    ending = asyncio.create_task(stopping.wait())
    await asyncio.wait([waiting, ending], return_when=asyncio.FIRST_COMPLETED)
    ending.cancel()
    if waiting.done():
        return waiting.result()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await door.close(0)
    return None


def _end(code: int) -> int:
    # At once: an orderly end of the interpreter would close the database, and so write to it.
    logging.shutdown()
    os._exit(code)


if __name__ == "__main__":
    sys.exit(main())
