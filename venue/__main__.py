"""`palaestra-venue up | demo | ca | migrate | store`: run a venue on this machine, and open it to its network."""

import argparse
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from venue import ca, keep
from venue.keep import KeepingError
from venue.profile import BadProfile, Profile
from venue.supervisor import Supervisor, VenueError

DEMO = Path(__file__).resolve().parent.parent / "configs" / "venues" / "demo.toml"


def main() -> int:
    parser = argparse.ArgumentParser(prog="palaestra-venue", description="Run a training ground on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--venue", type=Path, default=DEMO, help="the venue file (default: the demo hall)")
    shared.add_argument("--data", type=Path, help="folder for everything it keeps (default: .palaestra/<venue>)")
    commands.add_parser("up", parents=[shared], help="start the venue and keep it running until Ctrl-C")
    demo = commands.add_parser(
        "demo", parents=[shared], help="three competing vendors' jobs share one venue, in under three minutes"
    )
    ca.add_parser(commands, shared)
    keep.add_parser(commands, shared)
    migrate = commands.add_parser(
        "migrate",
        parents=[shared],
        help="bring a stopped venue's database to this version, after a backup; with --to, move it into PostgreSQL",
    )
    migrate.add_argument(
        "--to", metavar="URL", help='postgresql://...; "-": $PALAESTRA_DATABASE, or $PALAESTRA_CATALOGUE'
    )
    migrate.add_argument(
        "--back", action="store_true", help="let the file go on after a move: without all that happened since"
    )
    migrate.add_argument(
        "--catalogue", action="store_true", help="with --to or --back: the catalogue of what was recorded instead"
    )
    demo.add_argument("--report", type=Path, default=Path("report"), help="folder of the written report")
    demo.add_argument("--keep", action="store_true", help="leave the venue running afterwards, until Ctrl-C")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        profile = Profile.load(arguments.venue)
        data = arguments.data or Path(".palaestra") / profile.venue
        if arguments.command == "demo":
            from venue.demo import run

            return run(profile, data, arguments.report, keep=arguments.keep)
        if arguments.command == "ca":
            return _certify(arguments, profile, data)
        if arguments.command == "migrate" and arguments.catalogue:
            return _move_catalogue(data, arguments.to, back=arguments.back)
        if arguments.command == "migrate":
            if arguments.back:
                return _migrate(data, "-", ["--back"])
            return _migrate(data, arguments.to, ["--venue", str(arguments.venue)] if arguments.to is None else [])
        if arguments.command == "store":
            return keep.run(arguments, profile, data)
        return _up(profile, data)
    except (BadProfile, VenueError, KeepingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _migrate(data: Path, to: str | None, more: Sequence[str]) -> int:
    words = ["migrate"] if to is None else ["move", "--to", "-"]
    # In the environment, since every user of the machine may read arguments.
    named = {"PALAESTRA_DATABASE": to} if to not in (None, "-") else {}
    command = [sys.executable, "-m", "scheduler", *words, "--data", str(data), *more]
    return subprocess.call(command, env={**os.environ, **named})


def _move_catalogue(data: Path, to: str | None, *, back: bool) -> int:
    if to is None and not back:
        raise VenueError(
            "--catalogue needs --to or --back; a scheduler that starts brings the catalogue forward itself"
        )
    named = {"PALAESTRA_CATALOGUE": to} if to not in (None, "-") else {}
    file = str(data / "store" / "catalogue.db")
    command = [sys.executable, "-m", "catalogue", *(["back", file] if back else ["move", file, "-"])]
    return subprocess.call(command, env={**os.environ, **named})


def _certify(arguments: argparse.Namespace, profile: Profile, data: Path) -> int:
    from venue.authority import AuthorityError

    try:
        return ca.run(arguments, profile, data)
    except (AuthorityError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _up(profile: Profile, data: Path) -> int:
    """Run until a signal comes."""
    stop = threading.Event()
    supervisor = Supervisor(profile, data, say=lambda text: print(f"  {text}", flush=True), interrupt=stop)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        print(f"{profile.name}", flush=True)
        supervisor.start()
        print(welcome(supervisor), flush=True)
        stop.wait()
        print("stopping", flush=True)
    finally:
        supervisor.stop()
    return 0


def welcome(supervisor: Supervisor) -> str:
    """Say where everything is."""
    logins = supervisor.data / "logins"
    vendor = supervisor.profile.vendors[0]
    return (
        f"\n  console    {supervisor.api_url}\n"
        f"  scheduler  {supervisor.scheduler_address}\n"
        f"  log in     palaestra login {logins / (vendor + '.toml')}\n"
        f"  tokens     {supervisor.data / 'tokens'} (for the console: paste one)\n"
    )


if __name__ == "__main__":
    sys.exit(main())
