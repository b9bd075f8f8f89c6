"""Read a sealed episode and believe nothing: every claim of the file is checked before it costs memory."""

import os
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from store.camera import IMAGE_PREFIX, MAX_VIDEO_BYTES, CameraStream, decode
from store.episode import MAX_VALUES, REPLAY_ACTION, REPLAY_STATE, TIME, EpisodeHeader, Outcome
from store.errors import BrokenEpisode, CameraNotFound, InvalidEpisode
from store.layout import HEADER_KEY, OUTCOME_KEY, check_block, schema_of, tracks_of
from store.objects import hash_of
from store.stream import TEXT, TIME_SUFFIX, Stream, checked_rows

_FOOTER_BYTES = 16 << 20
"""Most bytes of a footer: metadata and one row group of a few columns need a few hundred kB at the worst."""
_CONTAINER_ITEMS = 100_000
"""Most items of one list in the footer, e.g. of columns."""
_FLAT = frozenset({TIME, REPLAY_STATE})
_EXACT = frozenset({*_FLAT, REPLAY_ACTION})
"""Columns of one number per row, and columns of 64-bit numbers."""
_PAGE_OVERHEAD = 1.1
_PAGE_SLACK_BYTES = 1 << 16
"""Pages carry headers and levels beside their values: how much more than its values a column may claim."""


class Opens(Protocol):
    """What can be opened as a file can, such as `store.frames.SealedSource`."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    def open(self) -> BinaryIO:
        """Open it for reading. Raises FileNotFoundError."""
        ...


Source = Path | Opens
"""Where an episode is read from: a sealed episode's file, or what stands for one."""


@dataclass(frozen=True)
class EpisodeSummary:
    """What a sealed file says of itself, read without its signals."""

    header: EpisodeHeader
    outcome: Outcome
    rows: int
    size_bytes: int
    duration_s: float
    """From the first row of the joints to the last row of anything."""


@dataclass(frozen=True)
class StreamRows:
    """What a stream holds.

    Attributes:
        time_s: Times [s] since `header.started_at_ns`, float64, shape (rows,), not falling.
        values: Shape (rows, width) in the stream's type, or a list of texts.
    """

    time_s: np.ndarray
    values: Any


@dataclass(frozen=True)
class ReplayColumns:
    """What a world took and became, exactly.

    Attributes:
        actions: float64, (rows, joints).
        digests: Hash of the state after each row's step, uint64, (rows,).
    """

    actions: np.ndarray
    digests: np.ndarray


@dataclass(frozen=True)
class Episode:
    """A sealed episode in memory.

    Attributes:
        time_s: Sample times [s] since `header.started_at_ns`, float64, shape (rows,), strictly rising.
        signals: Per signal float32 of shape (rows, width), in the header's units.
        replay: What a replay needs, if the header says that it is there.
        streams: The signals with rates of their own.
    """

    header: EpisodeHeader
    outcome: Outcome
    time_s: np.ndarray
    signals: dict[str, np.ndarray]
    replay: "ReplayColumns | None" = None
    streams: dict[str, StreamRows] = field(default_factory=dict)


@dataclass(frozen=True)
class CameraFrames:
    """What one camera recorded in an episode.

    Attributes:
        stream: Size, rate, codec.
        rows: The row that each frame belongs to, int64, (frames,), rising.
        time_s: Its time [s], (frames,).
        packets: The frames as they are kept, one packet each.
    """

    stream: CameraStream
    rows: np.ndarray
    time_s: np.ndarray
    packets: list[bytes]

    def frames(self) -> Iterator[np.ndarray]:
        """Yield the frames, one at a time in memory. Raises BrokenEpisode, VideoUnavailable."""
        return decode(self.stream, self.packets)


def read_camera(path: Source, camera: str) -> CameraFrames:
    """Read what a camera recorded, still packed.

    Raises:
        CameraNotFound: the episode has no such camera; the message names those that it has.
        BrokenEpisode: as `read_episode`.
    """
    with _open(path, MAX_VALUES) as (parquet, summary):
        header = summary.header
        if camera not in header.cameras:
            known = ", ".join(header.cameras) or "none"
            raise CameraNotFound(f"episode {header.name} has no camera {camera!r}; it has {known}")
        rows, packets = _packets(parquet, path, f"{IMAGE_PREFIX}{camera}")
        if len(rows) and rows[-1] >= summary.rows:
            raise BrokenEpisode(f"{path.name}: {camera}: a frame in row {rows[-1]}, and the joints have {summary.rows}")
        time_s = _column(parquet, path, TIME, summary.rows, 1).reshape(-1)
    return CameraFrames(header.cameras[camera], rows, time_s[rows], packets)


def read_summary(path: Source, *, max_values: int = MAX_VALUES) -> EpisodeSummary:
    """Read header, outcome and size. Raises BrokenEpisode; a missing file is a FileNotFoundError."""
    with _open(path, max_values) as (_, summary):
        return summary


def read_episode(
    path: Source, *, sha256: str | None = None, max_values: int = MAX_VALUES, columns: Container[str] | None = None
) -> Episode:
    """Read an episode, the whole or some signals of it.

    Args:
        path: The sealed file.
        sha256: If given, the hash the file must have; it is checked before anything is decoded.
        max_values: Most float32 values that are decoded; a file that claims more is refused.
        columns: Of which signals and streams the bytes are touched, beside the time; None: of all, and of `replay`.

    Raises:
        BrokenEpisode: Names the file and the place. A missing file is a FileNotFoundError.
    """
    if sha256 is not None:
        with _file(path) as file:
            found = hash_of(file)
        if found != sha256:
            raise BrokenEpisode(f"{path.name}: the file has the hash {found} instead of {sha256}")
    # What has its hash needs no sums of its pages.
    with _open(path, max_values, sums=sha256 is None) as (parquet, summary):
        header, rows = summary.header, summary.rows
        time_s = _column(parquet, path, TIME, rows, 1).reshape(-1)
        chosen = [s for s in header.signals if columns is None or s in columns]
        signals = {s: _column(parquet, path, s, rows, header.width(s)) for s in chosen}
        replay = None
        if header.replay is not None and columns is None:
            replay = ReplayColumns(
                _column(parquet, path, REPLAY_ACTION, rows, len(header.joint_names)),
                _column(parquet, path, REPLAY_STATE, rows, 1).reshape(-1),
            )
        read = {name: one for name, one in header.streams.items() if columns is None or name in columns}
        streams = {name: _stream(parquet, path, name, stream) for name, stream in read.items()}
    try:
        check_block(header, time_s, signals, after_s=-np.inf, first_row=0)
        for name, stream in read.items():
            checked_rows(name, stream, streams[name].time_s, streams[name].values, after_s=-np.inf, first_row=0)
    except InvalidEpisode as error:
        raise BrokenEpisode(f"{path.name}: {error}") from error
    return Episode(header, summary.outcome, time_s, signals, replay, streams)


@contextmanager
def _open(path: Source, max_values: int, *, sums: bool = True) -> Iterator[tuple[Any, EpisodeSummary]]:
    """Open a sealed file, check all it claims, and turn every failure inside the block into BrokenEpisode."""
    try:
        size_bytes = _check_frame(path)
        with (
            _file(path) as file,
            pq.ParquetFile(
                path if isinstance(path, Path) else file,
                thrift_string_size_limit=_FOOTER_BYTES,
                thrift_container_size_limit=_CONTAINER_ITEMS,
                page_checksum_verification=sums,
            ) as parquet,
        ):
            header, outcome = _read_words(path, parquet.metadata.metadata or {})
            rows = _check_claims(path, parquet, header, max_values)
            yield parquet, EpisodeSummary(header, outcome, rows, size_bytes, _duration_s(parquet, header))
    except FileNotFoundError:
        raise
    except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
        raise BrokenEpisode(f"{path.name}: {_first_line(error)}") from error


def _file(source: Source) -> BinaryIO:
    return open(source, "rb") if isinstance(source, Path) else source.open()


def _check_frame(path: Source) -> int:
    """Check the frame of a Parquet file, `PAR1 ... footer, its length, PAR1`. Returns its size."""
    with _file(path) as file:
        start = file.read(4)
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - 8))
        end = file.read(8)
    if size_bytes < 12 or start != b"PAR1" or end[4:] != b"PAR1":
        raise BrokenEpisode(f"{path.name}: not a whole Parquet file ({size_bytes} bytes)")
    footer_bytes = int.from_bytes(end[:4], "little")
    if footer_bytes > min(_FOOTER_BYTES, size_bytes - 12):
        raise BrokenEpisode(f"{path.name}: footer claims {footer_bytes} bytes of {size_bytes}")
    return size_bytes


def _read_words(path: Source, metadata: dict[bytes, bytes]) -> tuple[EpisodeHeader, Outcome]:
    try:
        return (
            EpisodeHeader.from_json(metadata[HEADER_KEY].decode()),
            Outcome.from_json(metadata[OUTCOME_KEY].decode()),
        )
    except KeyError as error:
        raise BrokenEpisode(f"{path.name}: metadata: no {error}: not an episode of this store") from None
    except InvalidEpisode as error:
        raise BrokenEpisode(f"{path.name}: metadata: {error}") from error


def _check_claims(path: Source, parquet: Any, header: EpisodeHeader, max_values: int) -> int:
    """Check the footer's claims against the header and the bounds, so that decoding costs what it should.

    Returns how many rows the joints have.
    """
    metadata = parquet.metadata
    if metadata.num_row_groups != 1:
        raise BrokenEpisode(f"{path.name}: {metadata.num_row_groups} row groups instead of 1")
    found, wanted = parquet.schema_arrow.remove_metadata(), schema_of(header)
    if not found.equals(wanted):
        raise BrokenEpisode(f"{path.name}: columns {_words(found)} instead of {_words(wanted)}")
    group, longest = metadata.row_group(0), metadata.num_rows
    rows = [_rows_of(path, group.column(wanted.get_field_index(t[0])), longest) for t in tracks_of(header)]
    wide = [header.row_values, *(stream.row_values for stream in header.streams.values())]
    values = sum(count * width for count, width in zip(rows, wide, strict=True))
    if rows[0] < 1 or max(rows) != longest or max(values, longest) > max_values:
        raise BrokenEpisode(
            f"{path.name}: claims {rows[0]} rows of {header.row_values} values, {values} values with all streams, in "
            f"{longest} rows; 1 row to {max_values} values are decoded"
        )
    widths = {TIME: 2, **{signal: header.width(signal) for signal in header.signals}}
    for image in header.images:
        _check_packets(path, image, group.column(wanted.get_field_index(image)), longest)
    if header.replay is not None:
        widths |= {REPLAY_ACTION: 2 * len(header.joint_names), REPLAY_STATE: 2}
    for index, (name, width) in enumerate(widths.items()):
        per_row = width // 2 if name in _EXACT else width
        _check_column(path, name, group.column(index), rows[0], longest, per_row, 4 * width)
    for count, (name, stream) in zip(rows[1:], header.streams.items(), strict=True):
        size_bytes = 4 * stream.row_values
        place = wanted.get_field_index(name)
        _check_column(path, name + TIME_SUFFIX, group.column(place - 1), count, longest, 1, 8)
        _check_column(path, name, group.column(place), count, longest, stream.width, size_bytes)
    return rows[0]


def _rows_of(path: Source, times: Any, longest: int) -> int:
    """Return how many rows a column of times claims to have; a null one is none."""
    nulls = times.statistics.null_count if times.statistics is not None else 0
    if not 0 <= (nulls or 0) <= longest:
        raise BrokenEpisode(f"{path.name}: {times.path_in_schema}: claims {nulls} missing of {longest}")
    return longest - int(nulls or 0)


def _check_column(path: Source, name: str, column: Any, rows: int, longest: int, width: int, row_bytes: int) -> None:
    # A list that is missing counts as one value.
    values = rows * width + longest - rows
    if column.num_values != values:
        raise BrokenEpisode(f"{path.name}: {name}: claims {column.num_values} values instead of {values}")
    most_bytes = int((rows * row_bytes + (longest - rows)) * _PAGE_OVERHEAD) + _PAGE_SLACK_BYTES
    if column.total_uncompressed_size > most_bytes:
        raise BrokenEpisode(
            f"{path.name}: {name}: claims {column.total_uncompressed_size} bytes, "
            f"{values} values take {most_bytes} at most"
        )


def _duration_s(parquet: Any, header: EpisodeHeader) -> float:
    """Return the time from the joints' first row to the last of anything, as the footer's statistics say."""
    group, schema = parquet.metadata.row_group(0), parquet.schema_arrow
    said = [group.column(schema.get_field_index(track[0])).statistics for track in tracks_of(header)]
    if not all(stats is not None and (stats.has_min_max or stats.num_values == 0) for stats in said):
        return 0.0
    return float(max(stats.max for stats in said if stats.has_min_max) - said[0].min)


def _stream(parquet: Any, path: Source, name: str, stream: Stream) -> StreamRows:
    """Decode a stream."""
    try:
        table = parquet.read(columns=[name + TIME_SUFFIX, name], use_threads=False)
        times = table.column(name + TIME_SUFFIX).drop_null().to_numpy()
        column = table.column(name)[: len(times)]
        if column.null_count:
            raise BrokenEpisode(f"{path.name}: {name}: {column.null_count} values are missing")
        if stream.kind == TEXT:
            return StreamRows(times, column.to_pylist())
        lengths = pc.list_value_length(column).to_numpy()
        if not (lengths == stream.width).all():
            raise BrokenEpisode(f"{path.name}: {name}: rows of {sorted(set(lengths))[:3]} values, not {stream.width}")
        return StreamRows(times, pc.list_flatten(column).to_numpy().reshape(len(times), stream.width))
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BrokenEpisode(f"{path.name}: {name}: {_first_line(error)}") from error


def _check_packets(path: Source, image: str, column: Any, rows: int) -> None:
    """Check that a camera's column costs no more than it has bytes in the file, and that these are not too many."""
    if column.num_values != rows:
        raise BrokenEpisode(f"{path.name}: {image}: claims {column.num_values} values instead of {rows}")
    if column.compression != "UNCOMPRESSED" or column.total_uncompressed_size != column.total_compressed_size:
        raise BrokenEpisode(f"{path.name}: {image}: packets are not compressed again ({column.compression})")
    if column.total_uncompressed_size > MAX_VIDEO_BYTES + 16 * rows + _PAGE_SLACK_BYTES:
        raise BrokenEpisode(f"{path.name}: {image}: claims {column.total_uncompressed_size} bytes of packets")


def _packets(parquet: Any, path: Source, image: str) -> tuple[np.ndarray, list[bytes]]:
    try:
        column = parquet.read(columns=[image], use_threads=False).column(0)
        present = column.is_valid().to_numpy(zero_copy_only=False)
        return np.flatnonzero(present), column.drop_null().to_pylist()
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BrokenEpisode(f"{path.name}: {image}: {_first_line(error)}") from error


def _column(parquet: Any, path: Source, name: str, rows: int, width: int) -> np.ndarray:
    """Decode one column. Returns shape (rows, width), read-only."""
    try:
        column = parquet.read(columns=[name], use_threads=False).column(0).combine_chunks()
        if isinstance(column, pa.ChunkedArray):
            column = pa.concat_arrays(column.chunks)
        column = column[:rows]
        if column.null_count:
            raise BrokenEpisode(f"{path.name}: {name}: {column.null_count} values are missing")
        values: np.ndarray = (column if name in _FLAT else column.flatten()).to_numpy(zero_copy_only=True)
        return values.reshape(rows, width)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise BrokenEpisode(f"{path.name}: {name}: {_first_line(error)}") from error


def _words(schema: Any) -> str:
    return "(" + ", ".join(f"{field.name} {field.type}" for field in schema) + ")"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
