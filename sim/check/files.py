"""Which kind of file it is, and its check."""

import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.check import job, motion, recording, robot, scenario, venue
from sim.check.finding import Finding, Key, spelled
from sim.check.lines import Lines
from sim.check.model import check_model
from sim.check.proof import proof
from sim.check.schema import Schema, violations
from sim.errors import SimError
from sim.motion import load_motion
from sim.vocabulary.recording import load_format

MAX_BYTES = 64 * 2**20
"""A venue of 10,000 units is a few megabytes."""

Found = Iterator[tuple[Key, str, bool]]


@dataclass(frozen=True)
class Kind:
    """One kind of file.

    Attributes:
        name: Of the kind, and of its schema's file.
        marks: Tables or fields of which it has at least one, and no other kind has any.
        schema: What it may look like.
        mistakes: Given its tables, its path and a Menagerie's folder: (key, reason, whether it is a note) of all that
            the schema cannot tell.
        proof: The same, of what only trying it tells; nothing is tried of a file with mistakes.
    """

    name: str
    marks: frozenset[str]
    schema: Callable[[], Schema]
    mistakes: Callable[[Mapping[str, Any], Path, Path | None], Found]
    proof: Callable[[Mapping[str, Any], Path], Found] | None = None


def _loads(load: Callable[[Path], object]) -> Callable[[Mapping[str, Any], Path, Path | None], Found]:
    """The check of a kind that its own reader knows all of."""

    def mistakes(tables: Mapping[str, Any], path: Path, root: Path | None) -> Found:
        try:
            load(path)
        except SimError as error:
            yield (), str(error).removeprefix(f"{path.name}: "), False

    return mistakes


KINDS: tuple[Kind, ...] = (
    Kind("robot", frozenset({"robot_class", "maker", "home", "joints"}), robot.schema, robot.mistakes),
    Kind(
        "venue",
        frozenset({"venue", "unit", "cell"}),
        venue.schema,
        lambda tables, path, root: ((*found, False) for found in venue.mistakes(tables)),
    ),
    Kind(
        "job",
        frozenset({"claim", "collect", "train", "evaluate", "serve"}),
        job.schema,
        lambda tables, path, root: job.mistakes(tables, path),
    ),
    Kind(
        "scenario",
        frozenset({"sector", "family", "demand", "economics", "fixtures"}),
        scenario.schema,
        lambda tables, path, root: scenario.mistakes(tables, path),
        proof,
    ),
    Kind("motion", frozenset({"waves", "kind", "robot_classes"}), motion.schema, _loads(load_motion)),
    Kind("recording", frozenset({"proportions"}), recording.schema, _loads(load_format)),
)


def check_path(path: Path, *, menagerie_root: Path | None = None, prove: bool = True) -> list[Finding]:
    """Check a file, or all `.toml` files below a folder. Raises OSError where there is none.

    prove: Also try what only trying tells: a second of processor time for each scenario that is not one of ours.

    Models (`.xml`) are checked only where they are named themselves: a folder of models holds parts of models, too.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*.toml") if file.is_file())
        if not files:
            return [Finding(str(path), 1, "", "there is no .toml file below this folder", is_note=True)]
        return [finding for file in files for finding in _file(file, menagerie_root, alone=False, prove=prove)]
    return _file(path, menagerie_root, alone=True, prove=prove)


def _file(path: Path, menagerie_root: Path | None, *, alone: bool, prove: bool) -> list[Finding]:
    if path.stat().st_size > MAX_BYTES:
        return [Finding(str(path), 1, "", f"larger than {MAX_BYTES} bytes, not read")]
    if path.suffix == ".xml":
        return check_model(path)
    try:
        text = path.read_text("utf-8")
        tables = tomllib.loads(text)
    except UnicodeDecodeError as error:
        return [Finding(str(path), 1, "", f"is no UTF-8 text: {error.reason} at byte {error.start}")]
    except tomllib.TOMLDecodeError as error:
        return [Finding(str(path), _line_of(error, text), "", f"is no TOML: {error}")]
    except ValueError as error:
        # A number of more digits than Python reads.
        return [Finding(str(path), 1, "", f"cannot be read: {error}")]
    except RecursionError:
        return [Finding(str(path), 1, "", "is nested too deeply")]
    kind = _kind(tables)
    if kind is None:
        known = "; ".join(f"a {kind.name}'s with {', '.join(sorted(kind.marks))}" for kind in KINDS)
        return [Finding(str(path), 1, "", f"is no known kind of file: {known}", is_note=not alone)]
    lines = Lines(text)
    wrong = [(key, reason, False) for key, reason in violations(tables, kind.schema())]
    if not wrong:
        try:
            wrong = list(kind.mistakes(tables, path, menagerie_root))
            if prove and kind.proof is not None and all(note for _, _, note in wrong):
                wrong += kind.proof(tables, path)
        except SimError as error:
            wrong = [((), str(error), False)]
    found = [Finding(str(path), lines.of(key), spelled(key), reason, note) for key, reason, note in wrong]
    return sorted(found, key=lambda finding: finding.line)


def _kind(tables: Mapping[str, Any]) -> Kind | None:
    """The kind with the most marks, the first of equals."""
    best = max(KINDS, key=lambda kind: len(kind.marks & set(tables)))
    return best if best.marks & set(tables) else None


def _line_of(error: tomllib.TOMLDecodeError, text: str) -> int:
    """Python names the line in the message alone, and the end of the document not by number."""
    _, _, after = str(error).partition("(at line ")
    digits = after.partition(",")[0]
    return int(digits) if digits.isdigit() else max(1, text.count("\n"))
