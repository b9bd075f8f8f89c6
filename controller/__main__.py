"""`python -m controller info | build`."""

import argparse
import logging
import subprocess
import sys
from pathlib import Path

from controller import kernel


def info() -> int:
    """Print which form of the step runs here, and why."""
    print(f"{kernel.backend()}: {kernel.backend_reason()}")
    return 0


def build() -> int:
    """Build the kernel beside its sources and say whether it can be used. Returns 1 if it cannot."""
    root = Path(kernel.__file__).parents[1]
    if not (root / "setup.py").is_file():
        print("cannot build: this installation has no setup.py; build from a checkout", file=sys.stderr)
        return 1
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace", "--force"]
    finished = subprocess.run(command, cwd=root, check=False)
    built = kernel.load(Path(kernel.__file__).parent)
    print(f"{'numpy' if built.handle is None else 'compiled'}: {built.reason}")
    return 1 if finished.returncode or built.handle is None else 0


def main(arguments: list[str] | None = None) -> int:
    """Run one subcommand and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m controller", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="say which form of the control step runs here, and why")
    commands.add_parser("build", help="build the compiled kernel in place")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.ERROR)
    return {"info": info, "build": build}[given.command]()


if __name__ == "__main__":
    sys.exit(main())
