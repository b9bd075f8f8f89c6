"""`python -m controller info | build | rt-check | host --dry-run | evaluate-joint | identify | admit-bus`."""

import argparse
import json
import logging
import subprocess
import sys
from pathlib import Path

from controller import kernel, realtime_library
from controller.dry_robot import dry_robot
from controller.errors import CommandError, ControllerError
from controller.plant import PlantDriver
from controller.tools import TOOLS, add_tools, run_tool


def info() -> int:
    """Print which forms of the step and of the timed loop run here, and why."""
    print(f"{kernel.backend()}: {kernel.backend_reason()}")
    loop = realtime_library.loaded()
    print(f"timed loop in {'Python' if loop.handle is None else 'C'}: {loop.reason}")
    return 0


def build() -> int:
    """Build the kernel beside its sources and say whether it can be used. Returns 1 if it cannot."""
    root = Path(kernel.__file__).parents[1]
    if not (root / "setup.py").is_file():
        print("cannot build: this installation has no setup.py; build from a checkout", file=sys.stderr)
        return 1
    folder = Path(kernel.__file__).parent
    # Compiling takes a minute: what is of these sources is left, unless it turns out to be of no use.
    for more in ([], ["--force"]):
        command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", *more]
        finished = subprocess.run(command, cwd=root, check=False)
        built, loop = kernel.load(folder), realtime_library.load(folder)
        if built.handle is not None and loop.handle is not None:
            break
    print(f"{'numpy' if built.handle is None else 'compiled'}: {built.reason}")
    # A system without clock_nanosleep has the law compiled and its loop in Python: no failure.
    print(f"timed loop in {'Python' if loop.handle is None else 'C'}: {loop.reason}")
    return 1 if finished.returncode or built.handle is None else 0


def rt_check(given: argparse.Namespace) -> int:
    """Measure and say what this machine can promise. Returns 1 if not the rate asked for, 2 if it cannot be told."""
    from controller import rtcheck

    try:
        # Told now, and not after all the measuring.
        if given.picture is not None and given.picture.suffix.lower() != ".png":
            raise CommandError(f"--picture {given.picture}: must end in .png")
        check = rtcheck.check(
            rate_hz=given.rate, seconds=given.seconds, priority=None if given.no_fifo else rtcheck.PRIORITY
        )
        if given.picture is not None:
            rtcheck.draw([check], given.picture)
    except (ControllerError, OSError) as error:
        print(f"cannot check: {error}", file=sys.stderr)
        return 2
    print(json.dumps(check.as_json()) if given.json else rtcheck.table(check))
    return 0 if check.holds() else 1


def host(given: argparse.Namespace) -> int:
    """Serve dry units until told to stop. Returns 1 if that cannot be done."""
    # gRPC takes a moment to load, which `info` need not wait for.
    from controller.host import run_host
    from controller.settings import HostSettings
    from controller.unit import HostedUnit
    from palaestra.tls_files import NoCertificate, TlsFiles

    try:
        settings = HostSettings(
            host="dry-run",
            scheduler=given.scheduler,
            token=given.token_file.read_text(encoding="utf-8").strip(),
            state_folder=given.state_folder,
            tls=TlsFiles.of(given),
            listen=given.listen,
            ddq_max_rad_s2=given.ddq_max_rad_s2,
        )
        spec = dry_robot(given.joints)
        units = [
            HostedUnit(
                name=f"venues/{given.venue}/units/dry-{number}",
                driver=PlantDriver(spec, period_s=settings.period_s, serial=f"dry-{number}"),
                spec=spec,
                robot_class="arm",
                maker="none",
            )
            for number in range(1, given.units + 1)
        ]
        run_host(settings, units, announce=lambda address: print(f"serving on {address}", flush=True))
    except (ControllerError, NoCertificate, OSError) as error:
        print(f"cannot serve: {error}", file=sys.stderr)
        return 1
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="say which form of the control step and of its loop run here, and why")
    commands.add_parser("build", help="build the compiled kernel and loop in place")
    timing = commands.add_parser(
        "rt-check",
        help="measure what this machine can promise a control loop",
        description="Run the compiled and the Python loop in turns, alone and beside busy Python, and say which control"
        " rates this machine holds. Exit code 0 if the rate asked for is held at p99, 1 if not, 2 if it could not be"
        " measured.",
    )
    timing.add_argument("--seconds", type=float, default=10.0, metavar="S", help="how long in all (default 10)")
    timing.add_argument("--rate", type=float, default=500.0, metavar="HZ", help="ticks per second (default 500)")
    timing.add_argument("--no-fifo", action="store_true", help="do not ask for SCHED_FIFO")
    timing.add_argument("--json", action="store_true", help="one JSON object instead of text")
    timing.add_argument("--picture", type=Path, metavar="PNG", help="draw the histograms into this file")
    serve = commands.add_parser("host", help="serve units of the analytic plant, to try a scheduler against")
    serve.add_argument("--dry-run", action="store_true", required=True, help="no robot and no MuJoCo")
    serve.add_argument("--scheduler", required=True, metavar="HOST:PORT")
    serve.add_argument("--token-file", required=True, type=Path, help="file with the host role's token")
    serve.add_argument("--state-folder", required=True, type=Path, help="keeps the highest epochs")
    serve.add_argument("--venue", default="dry", help="name of the venue")
    serve.add_argument("--units", type=int, default=1, metavar="N", help="how many units")
    serve.add_argument("--joints", type=int, default=6, metavar="J", help="joints of each")
    serve.add_argument("--listen", default="127.0.0.1:0", metavar="HOST:PORT")
    serve.add_argument("--ddq-max-rad-s2", type=float, help="approach targets with at most this acceleration")
    add_tools(commands)
    for name, meaning in (("ca", "certificates to trust; without: no TLS"), ("cert", "to show"), ("key", "of --cert")):
        serve.add_argument(f"--{name}", type=Path, metavar="FILE", help=meaning)
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR if given.command != "host" else logging.INFO)
    if given.command == "host":
        return host(given)
    if given.command in TOOLS:
        return run_tool(given)
    if given.command == "rt-check":
        return rt_check(given)
    return info() if given.command == "info" else build()


if __name__ == "__main__":
    sys.exit(main())
