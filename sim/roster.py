"""Which robots the catalogue names and which of their models are on this machine, without loading an engine.

Of a robot's file only its name and the table `[source]` are looked at; `sim.catalog` reads and checks the rest.
"""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path

from sim.errors import MissingModel, UnknownRobot
from sim.resolve import PACKAGES, locate

ROBOTS_FOLDER = Path(__file__).resolve().parents[1] / "configs" / "robots"


def known_robots() -> tuple[str, ...]:
    """Return the ids of all robots, sorted. A file's name is the id in it, or the catalogue refuses it."""
    return tuple(sorted(path.stem for path in ROBOTS_FOLDER.glob("*.toml")))


def check_known(robot: str) -> None:
    """Raise UnknownRobot, with the closest ids, unless there is such a robot."""
    known = known_robots()
    if robot not in known:
        close = difflib.get_close_matches(robot, known, n=3, cutoff=0.4) or known
        raise UnknownRobot(f"no robot {robot!r} in the catalogue; did you mean {', '.join(close)}?")


def check_there(robot: str, menagerie_root: Path | None) -> None:
    """Raise UnknownRobot as `check_known`, and MissingModel, with the robots that are there, for a model that is not.

    A file that is broken is left to the catalogue, which says how.
    """
    check_known(robot)
    source = _source(robot)
    if not _there(source, menagerie_root):
        raise missing(robot, source["path"], source["package"], menagerie_root)


def missing(robot: str, path: str, package: str, menagerie_root: Path | None) -> MissingModel:
    """Return what says that a model is not on this machine, how it comes here, and which are."""
    sources = {other: _source(other) for other in known_robots()}
    there = [other for other, source in sources.items() if _there(source, menagerie_root)]
    there.sort(key=lambda other: ("builder" not in sources[other], other))
    how = f"pip install {PACKAGES[package].install(package)}, or " if package in PACKAGES else ""
    return MissingModel(
        f"robot {robot!r}: {path} of {package} is not on this machine; "
        f"{how}set MENAGERIE_ROOT; available now: {', '.join(there)}"
    )


def _there(source: Mapping[str, str], menagerie_root: Path | None) -> bool:
    path, package = source.get("path", ""), source.get("package", "")
    if not path or package not in PACKAGES:
        return True
    found = locate(path, package, menagerie_root=menagerie_root, menagerie_path=source.get("menagerie_path", ""))
    return found is not None


def _source(robot: str) -> dict[str, str]:
    try:
        source = tomllib.loads((ROBOTS_FOLDER / f"{robot}.toml").read_text()).get("source")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        return {}
    return {key: value for key, value in source.items() if isinstance(value, str)} if isinstance(source, dict) else {}
