"""Recordings in other formats into a store: `import_recording`; signed exports: `verify_folder`.

The work is the store's, and needs `palaestra-server` on this machine: it runs as a process of its own, which starts
another one, confined, for the foreign file. What it made is then entered into the store's catalogue, where
`client.data.search` finds it if the store is a venue's.
"""

import base64
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1.episode_pb2 import Episode

Progress = Callable[[int, str], None]
CATALOGUE = "PALAESTRA_CATALOGUE"
"""Names the catalogue's database where it is in PostgreSQL, and not a file in the store."""
_PROVENANCE_MAX = 200


@dataclass(frozen=True)
class Imported:
    """What an import came to.

    Attributes:
        id: Made of the content and of the mapping: the same import again has the same.
        format: Of the source.
        episodes: What was made, with `provenance` telling the source.
        left_out: Signals of the source that are in no episode.
        dropped_rows: Rows that the mapping let go.
        again: Whether it was in the store before.
        entered: How many of the episodes came into the catalogue now.
    """

    id: str
    format: str
    episodes: tuple[Episode, ...]
    left_out: tuple[str, ...]
    dropped_rows: int
    again: bool
    entered: int


def import_recording(
    path: str | Path,
    store: str | Path | None,
    *,
    vendor: str = "vendors/local",
    form: str = "",
    robot: str = "",
    mapping: str | Path | None = None,
    progress: Progress | None = None,
) -> Imported:
    """Import a file or a folder; all of it or nothing.

    Args:
        path: The source.
        store: The store's folder, of a venue `store` in its data; None tries everything and keeps nothing.
        vendor: The owner's full name.
        form: The format; empty to find out.
        robot: A robot of the vocabulary.
        mapping: A file that says how raw signals become an episode's.
        progress: Called with (episodes done, what is being read).

    Raises:
        PalaestraError: INVALID_FIELD where the source is refused, with the place, or the store is not installed.
    """
    command = arguments(path, store, vendor=vendor, form=form, robot=robot, mapping=mapping)
    said = json.loads(run([*command, "--json", "--progress"], progress=progress))
    episodes = tuple(_episode(row) for row in said["episodes"])
    entered = 0
    if store is not None:
        lines = b"".join(base64.b64encode(one.SerializeToString()) + b"\n" for one in episodes)
        entered = int(run(["-m", "catalogue", "enter", catalogue_of(store)], lines))
    left_out = sorted({name for row in said["episodes"] for name in row["left_out"]})
    dropped = sum(row["dropped_rows"] for row in said["episodes"])
    return Imported(said["id"], said["format"], episodes, tuple(left_out), dropped, said["again"], entered)


def suggest_mapping(path: str | Path, *, form: str = "", robot: str = "", mapping: str | Path | None = None) -> str:
    """Return a mapping file to fill in for a source. Raises PalaestraError as `import_recording`."""
    command = arguments(path, None, vendor="", form=form, robot=robot, mapping=mapping)
    return run([*command, "--suggest"]).decode()


def verify_folder(folder: str | Path, *, public_key: str = "") -> dict[str, Any]:
    """Return what a signed export holds: `files`, `size_bytes`, `public_key`, `about`.

    Args:
        public_key: In hexadecimal, whose signature counts; empty to believe the folder's own.

    Raises PalaestraError naming what is missing, altered or additional, or that somebody else signed.
    """
    options = [f"--public-key={public_key}"] if public_key else []
    found: dict[str, Any] = json.loads(run(["-m", "store", "check", plain(folder), "--json", *options]))
    return found


def catalogue_of(store: str | Path) -> str:
    """Return where the catalogue of a store is: its file, unless the environment names a database."""
    return "-" if os.environ.get(CATALOGUE) else str(Path(store) / "catalogue.db")


def arguments(
    path: str | Path,
    store: str | Path | None,
    *,
    vendor: str,
    form: str,
    robot: str,
    mapping: str | Path | None,
) -> list[str]:
    """Return how the store's process is called."""
    command = ["-m", "store", "import", plain(path)]
    for option, value in (
        ("--store", store),
        ("--vendor", vendor),
        ("--format", form),
        ("--robot", robot),
        ("--map", mapping),
    ):
        if value:
            command.append(f"{option}={value}")
    return command if store is not None else [*command, "--dry-run"]


def plain(path: str | Path) -> str:
    """Return a path that no command line takes for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def run(command: Sequence[str], given: bytes = b"", progress: Progress | None = None) -> bytes:
    """Run a room's process and return what it prints. Raises PalaestraError with its last words if it fails."""
    if importlib.util.find_spec("store") is None:
        raise PalaestraError("INVALID_FIELD", "importing needs palaestra-server on this machine")
    with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as answer:
        asked.write(given)
        asked.seek(0)
        # -P: the working folder may be the foreign recording's; no module is taken from there.
        process = subprocess.Popen([sys.executable, "-P", *command], stdin=asked, stdout=answer, stderr=subprocess.PIPE)
        assert process.stderr is not None
        last = ""
        with process.stderr as lines:
            for line in lines:
                text = line.decode("utf-8", "replace").strip()
                done, mark, what = text.removeprefix("progress: ").partition(" ")
                if mark and text.startswith("progress: "):
                    if progress is not None:
                        progress(int(done), what)
                elif text:
                    last = text
        if process.wait() != 0:
            raise PalaestraError("INVALID_FIELD", last.removeprefix("store: ") or f"ended with {process.returncode}")
        answer.seek(0)
        return answer.read()


def _episode(row: dict[str, Any]) -> Episode:
    """Return the message of an episode as the store describes it."""
    header, outcome = row["header"], row["outcome"]
    source = {f"source.{key}": value[:_PROVENANCE_MAX] for key, value in header["source"].items()}
    episode = Episode(
        name=header["name"],
        job=header["job"],
        attempt=f"{header['job']}/attempts/{header['attempt']}",
        robot_model=header["robot_model"],
        maker=header["maker"],
        task=header["task"],
        outcome=f"EPISODE_OUTCOME_{outcome['status'].upper()}",
        outcome_cause=outcome["cause"],
        duration_s=row["duration_s"],
        rows=row["rows"],
        provenance={**source, "clock_source": header["clock_source"], "calibration": header["calibration"][:200]},
    )
    episode.content.sha256 = row["sha256"]
    episode.content.size_bytes = row["size_bytes"]
    episode.start_time.FromNanoseconds(header["started_at_ns"])
    for name, stream in header["streams"].items():
        episode.signals.add(
            name=name,
            rate_hz=stream["rate_hz"] or 0.0,
            width=stream["width"],
            unit=stream["unit"],
            frame=stream["frame"],
        )
    return episode
