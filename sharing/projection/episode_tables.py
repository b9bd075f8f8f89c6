"""From a recording to its rows in each table, as one recipient may have them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.desensitise.text import Scrubber
from sharing.projection import marks
from sharing.projection.parquet_file import constant, lists
from sharing.projection.plan import CONTACT_FLAG, VALUE, Plan
from sharing.projection.pseudonym import pseudonym
from sharing.projection.tables import JOINTS
from sharing.projection.transforms import Transforms, contact, kept_rows, told_start_s
from store.episode import EFFORT, EpisodeHeader
from store.reader import Episode, EpisodeSummary
from store.stream import TEXT


@dataclass(frozen=True)
class Secrets:
    """Keys of one agreement, 32 bytes each: for names, for marks, for the shift of time."""

    names: bytes
    marks: bytes
    times: bytes


def tables_of(
    episode: Episode, sha256: str, name: str, plan: Plan, transforms: Transforms, secrets: Secrets, scrubber: Scrubber
) -> dict[str, Any]:
    """Return the Arrow tables of an episode by the names of the tables; those without cameras.

    Args:
        episode: Read with the plan's columns.
        sha256: Of the recording: marks belong to it.
        name: Its pseudonym.
    """
    rows, told_s = kept_rows(episode.time_s, transforms)
    key = constant(name, len(rows))
    made = {JOINTS: _table(plan.schemas[JOINTS], key, told_s)}
    for column in plan.joints:
        values = episode.signals.get(column)
        kind = plan.schemas[JOINTS].field(column).type
        if values is not None and column in marks.MARKED:
            values = marks.marked(values, marks.pattern(secrets.marks, sha256, column, *values.shape))
        cells = pa.nulls(len(rows), kind) if values is None else lists(_taken(values, rows), kind)
        made[JOINTS] = made[JOINTS].append_column(plan.schemas[JOINTS].field(column), cells)
    for sensor in plan.sensors:
        source = EFFORT if sensor == CONTACT_FLAG else sensor
        if source not in episode.signals:
            continue
        values = episode.signals[source]
        if sensor == CONTACT_FLAG:
            values = contact(values, transforms.contact_deviations)
        field = plan.schemas[sensor].field(VALUE)
        made[sensor] = _table(plan.schemas[sensor], key, told_s).append_column(
            field, lists(_taken(values, rows), field.type)
        )
    for stream, spec in plan.streams.items():
        if stream not in episode.streams:
            continue
        track, field = episode.streams[stream], plan.schemas[stream].field(VALUE)
        kept, times_s = kept_rows(track.time_s, transforms, thin=spec.kind != TEXT)
        if spec.kind == TEXT:
            values = pa.array([scrubber.scrub(text).text for text in track.values], pa.string())
        else:
            values = lists(_taken(track.values, kept), field.type)
        table = _table(plan.schemas[stream], constant(name, len(kept)), times_s)
        made[stream] = table.append_column(field, values)
    return {table: made[table] for table in plan.schemas if table in made}


def _taken(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return values if len(rows) == len(values) else values[rows]


def _table(schema: Any, key: Any, told_s: np.ndarray) -> Any:
    return pa.table([key, pa.array(told_s)], schema=pa.schema([schema.field(0), schema.field(1)]))


def row_of(
    summary: EpisodeSummary, sha256: str, transforms: Transforms, secrets: Secrets, scrubber: Scrubber
) -> dict[str, Any]:
    """Return an episode's row of the table of episodes, before it is generalised; rows and duration come later."""
    header = summary.header
    unit = header.unit or header.world or ""

    def named(kind: str, name: str | None) -> str | None:
        return pseudonym(secrets.names, kind, name or "") or None

    return {
        "episode": pseudonym(secrets.names, "episode", sha256),
        "job": named("job", header.job),
        "unit": named("unit", unit),
        "cell": named("cell", header.cell),
        "venue": named("venue", venue_of(header)),
        "scenario": header.scenario,
        "level": header.level,
        "maker": header.maker,
        "robot_model": header.robot_model,
        "joint_names": list(header.joint_names),
        "task": scrubber.scrub(header.task).text,
        "status": str(summary.outcome.status),
        "episode_return": summary.outcome.episode_return,
        "started_at_s": told_start_s(header.started_at_ns, transforms, secrets.times),
    }


def without_body(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row whose joints have numbers for names where the model is not told: their names would tell it."""
    if row["robot_model"] is not None:
        return dict(row)
    return {**row, "joint_names": [f"joint_{index}" for index in range(len(row["joint_names"]))]}


def venue_of(header: EpisodeHeader) -> str:
    """Return the venue by the name of its unit or cell, `venues/{venue}/...`; "" where neither says it."""
    for name in (header.unit, header.cell):
        parts = (name or "").split("/")
        if parts[0] == "venues" and len(parts) > 1:
            return "/".join(parts[:2])
    return ""


def words_of(header: EpisodeHeader) -> set[str]:
    """Return names that must not stand in a text: of vendor, job, unit, cell, venue, whole and by their last part."""
    names = [header.vendor, header.name, header.job, header.unit, header.world, header.cell, venue_of(header)]
    found = {name for name in names if name}
    return found | {name.rpartition("/")[2] for name in found if not name.rpartition("/")[2].isdigit()}
