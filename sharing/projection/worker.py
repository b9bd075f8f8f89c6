"""The process that reads recordings and writes a projection: `python -m sharing.projection.worker`.

It is told on standard input what to do, is confined before it opens anything, writes into one folder, and answers with
one line of JSON. What it decodes may have been written by anybody.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.desensitise.text import Scrubber
from sharing.errors import InvalidTerms, NotReleasable
from sharing.projection import anonymity, parquet_file
from sharing.projection import plan as plans
from sharing.projection.episode_tables import Secrets, row_of, tables_of, without_body, words_of
from sharing.projection.plan import CONTACT_FLAG, EPISODES_SCHEMA, Plan
from sharing.projection.sources import source_of
from sharing.projection.tables import EPISODES, SHEETS
from sharing.projection.transforms import Transforms, kept_rows, read
from store.camera import IMAGE_PREFIX
from store.errors import StoreError
from store.imports.confine import Limits, confine
from store.reader import EpisodeSummary, Source, read_camera, read_episode, read_summary

if TYPE_CHECKING:
    from sharing.desensitise.video import Faces


def main() -> int:
    """Make one projection. Returns the exit code: 0 also for a refusal, which is an answer."""
    told = json.load(sys.stdin)
    paths, out = [Path(source["path"]) for source in told["episodes"]], Path(told["out"])
    transforms = read(told["transforms"])
    try:
        # What is needed of libraries is loaded before the walls go up.
        shown = transforms.faces and any(column.startswith(IMAGE_PREFIX) for column in told["columns"])
        faces = _faces(told["secrets"]["sheets"]) if shown else None
        rooms = ("sharing", "store", "catalogue", "palaestra")
        held = confine(out, Limits(**told["limits"]), more=paths, writable=out, rooms=rooms)
        answer = make(told, transforms, out, faces) | {"confined": held}
    except (NotReleasable, InvalidTerms, StoreError) as error:
        answer = {"refused": str(error)[:2000]}
    except MemoryError:
        answer = {"refused": "takes more memory than a projection may"}
    except Exception as error:
        # Whatever was not foreseen is the recordings' fault as far as the caller is concerned; nothing is kept of it.
        answer = {"refused": f"broken: {type(error).__name__}: {str(error)[:500]}"}
    print(json.dumps(answer))
    return 0


def make(told: dict[str, Any], transforms: Transforms, out: Path, faces: "Faces | None") -> dict[str, Any]:
    """Write the files of a projection into an empty folder, and return what they are. Raises as the projector."""
    secrets = Secrets(*(bytes.fromhex(told["secrets"][name]) for name in ("names", "marks", "times")))
    most = told["max_values"]
    sources = [(source_of(source), source["sha256"]) for source in told["episodes"]]
    summaries = [read_summary(path, max_values=most) for path, _ in sources]
    words = {word for summary in summaries for word in words_of(summary.header)} | set(told["words"])
    scrubber = Scrubber(words)
    plan = plans.make(told["columns"], transforms, [summary.header for summary in summaries])
    rows = _metadata(summaries, sources, transforms, secrets, scrubber, generalise=told.get("generalise", True))
    files: dict[str, list[dict[str, Any]]] = {EPISODES: [], **{table: [] for table in plan.schemas}}
    for row, (path, sha256) in zip(rows, sources, strict=True):
        episode = read_episode(path, sha256=sha256, max_values=most, columns=plan.reads)
        tables = tables_of(episode, sha256, row["episode"], plan, transforms, secrets, scrubber)
        joints = next(iter(tables.values()))
        times_s = joints.column("time_s")
        row["rows"], row["duration_s"] = len(joints), times_s[-1].as_py() - times_s[0].as_py() if len(joints) else 0.0
        row["sample_rate_hz"] = episode.header.sample_rate_hz / transforms.keep_every
        for camera in plan.cameras:
            if camera in episode.header.images:
                seen = read_camera(path, camera.rpartition(".")[2])
                assert faces is not None
                kept, told_s = kept_rows(episode.time_s, transforms)
                schema = plan.schemas[camera]
                tables[camera] = faces.table_of(seen, camera, row["episode"], schema, kept, told_s)
        for table, content in tables.items():
            if len(content):
                files[table].append(_write(out, table, f"{row['episode']}.parquet", content))
    content = pa.Table.from_pylist(rows, schema=EPISODES_SCHEMA)
    files[EPISODES].append(_write(out, EPISODES, "episodes.parquet", content))
    return {
        "tables": files,
        "schemas": _schemas(plan),
        "words": _words(plan, summaries),
        "pictures": None if faces is None else _pictures(out, faces),
    }


def _metadata(
    summaries: list[EpisodeSummary],
    sources: Sequence[tuple[Source, str]],
    transforms: Transforms,
    secrets: Secrets,
    scrubber: Scrubber,
    *,
    generalise: bool,
) -> list[dict[str, Any]]:
    """Return the rows of the table of episodes, generalised if need be. Raises NotReleasable for a k not met."""
    rows = [
        row_of(summary, sha256, transforms, secrets, scrubber)
        for summary, (_, sha256) in zip(summaries, sources, strict=True)
    ]
    if transforms.k_agreed and len(rows) < transforms.k:
        raise NotReleasable(f"k-anonymity: the version has {len(rows)} episodes, and k is {transforms.k}")
    return [without_body(row) for row in anonymity.generalised(rows, transforms.k)] if generalise else rows


def _write(out: Path, table: str, name: str, content: Any) -> dict[str, Any]:
    folder = out / table
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / name
    written = parquet_file.write(content, path)
    stats = parquet_file.plain_limits(written.limits)
    size_bytes = written.size_bytes
    return {"name": name, "sha256": written.sha256, "size_bytes": size_bytes, "rows": len(content), "stats": stats}


def _faces(seed: str) -> "Faces":
    """Return what covers faces. Raises NotReleasable where it is not installed."""
    # Loaded for pictures alone: the others would wait for it.
    from sharing.desensitise.video import Faces

    return Faces.default(seed)


def _pictures(out: Path, faces: "Faces") -> dict[str, Any]:
    """Write the contact sheets, and return what they are and what was done."""
    sheets = []
    for camera, sheet in sorted(faces.sheets.items()):
        (out / SHEETS).mkdir(mode=0o700, exist_ok=True)
        name, picture = f"{camera}.jpg", sheet.picture()
        (out / SHEETS / name).write_bytes(picture)
        sha256 = hashlib.sha256(picture).hexdigest()
        sheets.append({"camera": camera, "name": name, "sha256": sha256, "size_bytes": len(picture)})
    return {"sheets": sheets, "report": faces.report()}


def _words(plan: Plan, summaries: list[EpisodeSummary]) -> dict[str, dict[str, Any]]:
    """Return unit, frame and, of a stream, the rest of what it is, of each column that leaves."""
    words: dict[str, dict[str, Any]] = {}
    for header in (summary.header for summary in summaries):
        for column in (*plan.joints, *plan.sensors):
            if column in header.units and column not in words:
                words[column] = {"unit": header.units[column], "frame": (header.frames or {}).get(column, "withheld")}
        for name, stream in header.streams.items():
            if name in plan.streams:
                words.setdefault(name, asdict(stream))
    words |= {camera: asdict(stream) for camera, stream in plan.cameras.items()}
    if plan.contact:
        words[CONTACT_FLAG] = {"unit": "1", "frame": "body"}
    return words


def _schemas(plan: Plan) -> dict[str, str]:
    all_of = {EPISODES: EPISODES_SCHEMA, **plan.schemas}
    return {table: base64.b64encode(schema.serialize().to_pybytes()).decode() for table, schema in all_of.items()}


if __name__ == "__main__":
    sys.exit(main())
