"""Plain Parquet for any reader: one table of episodes, one of the joints' rows, one for each stream.

    episodes.parquet            a row per episode: name, body, task, outcome, and the whole header as JSON
    joints.parquet              episode, time_s, signals of joints, base and sensors as lists; a row group per episode
    streams/NAME.parquet        episode, time_s, values
    croissant.json, manifest.json, manifest.sig

Raw rates stay raw. Bodies may be mixed: the lists of a row are as long as its body has joints, and signals that an
episode has not are null; a signal that none has is no column.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from store.episode import SIGNALS, EpisodeHeader
from store.errors import ExportRefused
from store.exports.croissant import Table, write_croissant
from store.exports.manifest import sign_folder
from store.folder import new_folder
from store.objects import ObjectStore
from store.reader import Episode, read_episode, read_summary
from store.stream import TEXT, Stream

Progress = Callable[[int, int], None]
_TYPES = {"float32": "cr:Float32", "float64": "cr:Float64", "int64": "cr:Int64", "uint16": "cr:UInt16", TEXT: "sc:Text"}


def write_parquet(
    objects: ObjectStore,
    digests: Sequence[str],
    out: Path,
    *,
    key: Ed25519PrivateKey | None = None,
    licence: str = "unknown",
    progress: Progress | None = None,
) -> Path:
    """Write the episodes as plain Parquet; `out` appears whole or not at all. One episode is in memory at a time.

    Args:
        key: Signs the folder; None leaves it without manifest.
        licence: Of the data, a name or an address.

    Raises:
        ExportRefused: No or doubled episodes, a target in use, streams of one name and different kinds.
        ObjectNotFound, InvalidDigest, BrokenEpisode, StoreFull: As `export_lerobot`.
    """
    headers = read_headers(objects, digests)
    streams = _streams(headers)
    signals = signals_of(headers.values())
    with new_folder(out) as folder:
        writers = _Writers(folder, signals, streams)
        rows = []
        try:
            for done, digest in enumerate(headers, 1):
                episode = read_episode(objects.path_of(digest), sha256=digest)
                rows.append(summary_row(episode, digest))
                writers.add(episode)
                if progress is not None:
                    progress(done, len(headers))
        finally:
            writers.close()
        pq.write_table(pa.Table.from_pylist(rows), folder / "episodes.parquet")
        describe(folder, headers, licence, _tables(rows, signals, streams), "application/x-parquet")
        if key is not None:
            sign_folder(folder, key, {"format": "parquet", "episodes": len(headers)})
    return out


def read_headers(objects: ObjectStore, digests: Sequence[str]) -> dict[str, EpisodeHeader]:
    """Return the headers of episodes, each named once. Raises ExportRefused."""
    if not digests:
        raise ExportRefused("no episodes: an export has at least one")
    headers: dict[str, EpisodeHeader] = {}
    for digest in digests:
        if digest in headers:
            raise ExportRefused(f"episode {digest} is named twice")
        headers[digest] = read_summary(objects.path_of(digest)).header
    return headers


def signals_of(headers: Iterable[EpisodeHeader]) -> list[str]:
    """Return the signals that any episode has: the joints' and the base's in their order, then sensors by name."""
    found = {signal for header in headers for signal in header.signals}
    return [*(signal for signal in SIGNALS if signal in found), *sorted(found - set(SIGNALS))]


def summary_row(episode: Episode, digest: str) -> dict[str, Any]:
    """Return an episode's row of the table of episodes."""
    header = episode.header
    return {
        "episode": header.name,
        "sha256": digest,
        "robot_model": header.robot_model,
        "maker": header.maker,
        "task": header.task,
        "status": str(episode.outcome.status),
        "cause": episode.outcome.cause,
        "rows": len(episode.time_s),
        "started_at_ns": header.started_at_ns,
        "header": header.to_json(),
    }


def describe(
    folder: Path, headers: dict[str, EpisodeHeader], licence: str, tables: Sequence[Table], encoding: str
) -> None:
    """Write the Croissant file of an export. Its day is the newest episode's: the same again is the same bytes."""
    newest_ns = max(header.started_at_ns for header in headers.values())
    day = datetime.fromtimestamp(newest_ns // 10**9, UTC).date().isoformat()
    models = sorted({header.robot_model for header in headers.values()})
    tasks = sorted({header.task for header in headers.values()})
    text = f"{len(headers)} episodes of {', '.join(models)[:200]}; tasks: {', '.join(tasks)[:300]}"
    write_croissant(
        folder,
        name=f"palaestra-{'-'.join(models)[:80]}",
        description=text,
        licence=licence,
        published=day,
        tables=tables,
        encoding=encoding,
    )


def _streams(headers: dict[str, EpisodeHeader]) -> dict[str, Stream]:
    found: dict[str, Stream] = {}
    for digest, header in headers.items():
        for name, stream in header.streams.items():
            known = found.setdefault(name, stream)
            if (known.kind, known.unit) != (stream.kind, stream.unit):
                raise ExportRefused(
                    f"episode {digest}: {name} of {stream.kind} in {stream.unit!r} does not go with "
                    f"{known.kind} in {known.unit!r} in one table"
                )
    return found


class _Writers:
    """The growing tables: one row group for each episode."""

    def __init__(self, folder: Path, signals: Sequence[str], streams: dict[str, Stream]) -> None:
        (folder / "streams").mkdir()
        self._signals = signals
        lists = pa.list_(pa.float32())
        joints = pa.schema(
            [("episode", pa.string()), ("time_s", pa.float64()), *((signal, lists) for signal in signals)]
        )
        self._joints = pq.ParquetWriter(folder / "joints.parquet", joints, compression="zstd")
        self._streams = {}
        for name, stream in streams.items():
            kind = pa.string() if stream.kind == TEXT else pa.list_(pa.type_for_alias(stream.kind))
            schema = pa.schema([("episode", pa.string()), ("time_s", pa.float64()), ("value", kind)])
            self._streams[name] = pq.ParquetWriter(folder / "streams" / f"{name}.parquet", schema, compression="zstd")

    def add(self, episode: Episode) -> None:
        rows, name = len(episode.time_s), episode.header.name
        columns = [pa.array([name] * rows), pa.array(episode.time_s)]
        for signal in self._signals:
            values = episode.signals.get(signal)
            columns.append(pa.nulls(rows, pa.list_(pa.float32())) if values is None else _lists(values))
        self._joints.write_table(pa.table(columns, schema=self._joints.schema))
        for stream, rows_of in episode.streams.items():
            writer = self._streams[stream]
            count = len(rows_of.time_s)
            values = pa.array(rows_of.values) if isinstance(rows_of.values, list) else _lists(rows_of.values)
            table = [pa.array([name] * count, pa.string()), pa.array(rows_of.time_s), values]
            writer.write_table(pa.table(table, schema=writer.schema))

    def close(self) -> None:
        for writer in (self._joints, *self._streams.values()):
            writer.close()


def _lists(values: Any) -> Any:
    rows, width = values.shape
    offsets = pa.array(range(0, rows * width + 1, width), pa.int32())
    return pa.ListArray.from_arrays(offsets, pa.array(values.reshape(-1)))


def _tables(rows: list[dict[str, Any]], signals: Sequence[str], streams: dict[str, Stream]) -> list[Table]:
    """Return the record sets, with units and frames where they are the same for all."""
    headers = [json.loads(row["header"]) for row in rows]

    def unit(signal: str) -> str:
        units = {one["units"][signal] for one in headers if signal in one["units"]}
        frames = {(one["frames"] or {}).get(signal) for one in headers if signal in one["units"]}
        frame = frames.pop() if len(frames) == 1 else None
        return f"{signal}{f' [{units.pop()}]' if len(units) == 1 else ''}{f' in {frame}' if frame else ''}"

    words = [(name, "cr:Int64" if type(value) is int else "sc:Text", name, False) for name, value in rows[0].items()]
    key = ("episode", "sc:Text", "name of the episode", False)
    time = ("time_s", "cr:Float64", "time since the episode's start [s]", False)
    joints = [(signal, "cr:Float32", unit(signal), True) for signal in signals]
    tables = [Table("episodes.parquet", "episodes", words), Table("joints.parquet", "joints", [key, time, *joints])]
    for name, stream in streams.items():
        value = ("value", _TYPES[stream.kind], f"{name} [{stream.unit}] in {stream.frame}", stream.kind != TEXT)
        tables.append(Table(f"streams/{name}.parquet", name, [key, time, value]))
    return tables
