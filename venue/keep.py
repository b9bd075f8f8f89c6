"""`palaestra-venue store usage | retention | sweep`: what the store keeps, and what goes.

Each asks the rooms as processes: the catalogue what was recorded, the scheduler what jobs name, sharing what agreements
hold, the store what is there. Nothing is changed without --apply. A list that a process did not end is no list.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from venue.profile import Profile

GB = 1e9
END = "end"
CATALOGUE = "PALAESTRA_CATALOGUE"


class KeepingError(Exception):
    """A process refused, or ended before its list did; the message has its last words."""


def add_parser(commands: Any, shared: argparse.ArgumentParser) -> None:
    """Add the commands. commands: as of `add_subparsers`; shared: the options --venue and --data."""
    store = commands.add_parser("store", help="what the store keeps: usage, retention, sweep")
    steps = store.add_subparsers(dest="step", required=True)
    usage = steps.add_parser("usage", parents=[shared], help="what each vendor has")
    usage.add_argument("--json", action="store_true", help="as JSON lines")
    for name, text in (
        ("retention", "let go what is older than [store] in the venue file allows"),
        ("sweep", "remove objects that nothing names any more: marked by one run, removed by a later one"),
    ):
        step = steps.add_parser(name, parents=[shared], help=text)
        how = step.add_mutually_exclusive_group()
        how.add_argument("--apply", action="store_true", help="do it")
        how.add_argument("--dry-run", action="store_true", help="only say what would be done (the default)")
        if name == "sweep":
            step.add_argument("--grace-s", type=float, default=86_400.0, help="what was put since then stays (a day)")
            step.add_argument("--wait-s", type=float, default=3_600.0, help="from mark to removal (an hour)")


def run(arguments: argparse.Namespace, profile: Profile, data: Path) -> int:
    """Carry out one command and return the exit code. Raises KeepingError."""
    catalogue = place(profile, data, os.environ)
    if arguments.step == "usage":
        return _usage(catalogue, as_json=arguments.json)
    if arguments.step == "retention":
        return _retention(profile, data, catalogue, apply=arguments.apply)
    return _sweep(arguments, profile, data, catalogue)


def place(profile: Profile, data: Path, environment: Mapping[str, str]) -> str:
    """Return where the catalogue is, as `python -m catalogue` takes it. Raises KeepingError."""
    if environment.get(CATALOGUE):
        # It may have a password in it, which must not be seen in a command line.
        return "-"
    if profile.catalogue:
        return profile.catalogue
    path = data / "store" / "catalogue.db"
    if not path.is_file():
        raise KeepingError(f"{path} is not there: nothing was recorded, or this is another folder")
    return str(path)


def names(catalogue: Iterable[str], scheduler: Iterable[str]) -> dict[str, bool]:
    """Return every object that is named, and whether it has to be there, from the lists of both rooms.

    What the catalogue has removed the scheduler's table goes on to name, and an episode that the catalogue has not
    followed yet only that. One content may be of several episodes: it stays for any of them.
    """
    kept: dict[str, str] = {}
    removed: set[str] = set()
    named: dict[str, bool] = {}
    for line in catalogue:
        word, uid, sha256 = line.split()
        if word == "removed":
            removed.add(uid)
        else:
            kept[uid] = sha256
    for line in scheduler:
        word, *rest = line.split()
        if word == "artifact":
            named.setdefault(rest[0], False)
        elif rest[0] not in removed:
            kept[rest[0]] = rest[1]
    return named | dict.fromkeys(kept.values(), True)


def _usage(catalogue: str, *, as_json: bool) -> int:
    rows = [json.loads(line) for line in _ask(["catalogue", "usage", catalogue])]
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return 0
    print(f"{'VENDOR':<24} {'EPISODES':>10} {'GB':>10} {'REMOVED':>10} {'GB':>10}")
    for row in rows:
        sizes = f"{row['size_bytes'] / GB:>10.3f} {row['removed_episodes']:>10} {row['removed_bytes'] / GB:>10.3f}"
        print(f"{row['vendor']:<24} {row['episodes']:>10} {sizes}")
    return 0


def _retention(profile: Profile, data: Path, catalogue: str, *, apply: bool) -> int:
    held: list[Any] = []
    if (data / "sharing" / "sharing.db").is_file():
        held = [json.loads(line) for line in _ended(_ask(["sharing.held", str(data / "sharing")]), f'"{END}"')]
    given = json.dumps({"policy": profile.storage.policy, "held": held})
    command = ["catalogue", "expire", catalogue, *(["--apply"] if apply else [])]
    count = size_bytes = 0
    for line in _ask(command, given):
        row = json.loads(line)
        count, size_bytes = count + 1, size_bytes + row["size_bytes"]
        print(f"vendors/{row['vendor']}/episodes/{row['uid']}  {row['size_bytes']} bytes  {row['why']}")
    said = "went; their objects go with the next sweeps" if apply else "would go; --apply lets them"
    print(f"{count} episodes, {size_bytes / GB:.3f} GB {said}")
    return 0


def _sweep(arguments: argparse.Namespace, profile: Profile, data: Path, catalogue: str) -> int:
    store = data / "store"
    told = _ended(_ask(["scheduler", "named", "--data", str(data), "--venue", str(profile.path)]), END)
    # The catalogue's last: what it has removed since the scheduler was asked is removed.
    named = names(_ended(_ask(["catalogue", "named", catalogue]), END), told)
    lines = [f"{sha256}{' needed' if needed else ''}\n" for sha256, needed in named.items()]
    command = ["store", "sweep", str(store / "objects"), "--spool", str(store / "spool")]
    command += ["--imports", str(store / "imports")]
    command += ["--grace-s", str(arguments.grace_s), "--wait-s", str(arguments.wait_s)]
    if profile.objects_at:
        command += ["--at", profile.objects_at]
    found = json.loads("".join(_ask([*command, *(["--apply"] if arguments.apply else [])], "".join(lines) + END)))
    print(swept(found, apply=arguments.apply))
    return 1 if found["missing"] else 0


def swept(found: Mapping[str, Any], *, apply: bool) -> str:
    """Return in words what a sweep found."""
    would = "" if apply else "would be "
    lines = [
        f"{found['objects']} objects, {found['named']} of them named, {found['young']} too young to say",
        f"{found['removed']} {would}removed, {found['freed_bytes'] / GB:.3f} GB",
        f"{found['marked']} {would}marked: a later sweep removes them, if nothing names them by then",
    ]
    lines += [f"MISSING: an episode's object {sha256} is not there" for sha256 in found["missing"]]
    return "\n".join(lines)


def _ended(lines: Sequence[str], end: str) -> Sequence[str]:
    if not lines or lines[-1] != end:
        raise KeepingError("a list was cut off: nothing is removed by half of it")
    return lines[:-1]


def _ask(command: Sequence[str], given: str = "") -> Sequence[str]:
    """Return the lines that a room's process prints. Raises KeepingError if it fails."""
    new = tempfile.TemporaryFile
    with new("w+") as asked, new("w+") as answer, new("w+") as said:
        asked.write(given)
        asked.seek(0)
        code = subprocess.call([sys.executable, "-m", *command], stdin=asked, stdout=answer, stderr=said)
        if code != 0:
            raise KeepingError(_last(said) or f"{command[0]} ended with {code}")
        answer.seek(0)
        return answer.read().splitlines()


def _last(said: IO[str]) -> str:
    said.seek(0)
    return (said.read().strip().splitlines() or [""])[-1]
