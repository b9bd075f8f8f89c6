"""Record one episode: rows in, one sealed file out, in bounded memory.

Rows gather in a block, which goes to the episode's segment in the spool each half second, or when it has about 4 MiB;
`seal` turns the segment into one Parquet file and hands it to the object store. Until the object store has renamed it
into place nobody can see anything of the episode; from then on it is whole. What a dead process leaves in the spool,
`store.recovery` seals as interrupted.

Not for several threads: an episode has one writer.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from palaestra.failpoint import Failpoint
from store.camera import IMAGE_PREFIX, MAX_VIDEO_BYTES
from store.episode import (
    ACTION,
    BASE_POSE,
    EFFORT,
    MAX_VALUES,
    REPLAY_ACTION,
    REPLAY_STATE,
    SCHEMA_VERSION,
    STATE,
    TIME,
    VELOCITY,
    EpisodeHeader,
    Outcome,
)
from store.errors import BrokenObject, EpisodeClosed, InvalidEpisode, StoreUnreachable
from store.layout import HEADER_KEY, OUTCOME_KEY, check_block, column_of, schema_of, tracks_of
from store.objects import ObjectStore, room_for
from store.parquet import write_sealed
from store.segment import Segment
from store.spool import Claim
from store.stream import DTYPES, TEXT, TIME_SUFFIX, Stream, checked_rows

BLOCK_BYTES = 4 << 20
FLUSH_PERIOD_S = 0.5
"""How much of an open episode a death may cost: half of what is promised, for the other half may be on its way."""
WRITTEN = Failpoint("store.episode.written", "an episode's file is written in the spool; it is no object yet")

_FLOAT = np.dtype(np.float32)

Values = np.ndarray | Sequence[float]


@dataclass(frozen=True)
class SealedEpisode:
    """What became of an episode: the object that holds it and the figures the catalogue wants.

    `duration_s` is the time from the first to the last row.
    """

    sha256: str
    size_bytes: int
    rows: int
    duration_s: float
    path: Path
    settle: "Callable[[bool], None]" = field(default=lambda _: None, compare=False, repr=False)
    """Of an episode sealed with `hold`: say what became of it. True: it is in the catalogue, or is not wanted there;
    False: nobody knows, and who recovers the spool is to see to it."""


class _Track:
    """The rows of one stream that are not in the segment yet."""

    def __init__(self, name: str, stream: Stream) -> None:
        self.name, self.stream = name, stream
        self.rows = 0
        self.last_s = -np.inf
        self._times: list[np.ndarray] = []
        self._values: list[Any] = []

    def add(self, time_s: Values, values: Any) -> None:
        times, rows = checked_rows(self.name, self.stream, time_s, values, after_s=self.last_s, first_row=self.rows)
        if len(times):
            self._times.append(times)
            self._values.append(rows)
            self.rows += len(times)
            self.last_s = float(times[-1])

    def take(self) -> tuple[np.ndarray, Any]:
        """Return what has gathered, and forget it."""
        times, values = self._times, self._values
        self._times, self._values = [], []
        if self.stream.kind == TEXT:
            rows: Any = [text for block in values for text in block]
        else:
            rows = np.concatenate(values) if values else np.empty((0, self.stream.width), DTYPES[self.stream.kind])
        return np.concatenate(times) if times else np.empty(0), rows


class EpisodeRecorder:
    """Takes the rows of one episode. Leaving a `with` block without `seal` aborts."""

    def __init__(
        self,
        header: EpisodeHeader,
        spool_dir: Path,
        objects: ObjectStore,
        *,
        block_bytes: int = BLOCK_BYTES,
        clock: Callable[[], float] | None = None,
    ) -> None:
        """Open a spool file. With `spool_dir` on the file system of `objects`, sealing needs no copy.

        Memory is one block of about `block_bytes`, used as rows come, and half a second of streams. `clock` [s] says
        when half a second has passed; None: `time.monotonic`.

        Raises StoreFull, and InvalidEpisode for a header of an earlier version of the schema.
        """
        if header.schema_version != SCHEMA_VERSION:
            raise InvalidEpisode(f"schema_version: {header.schema_version}: version {SCHEMA_VERSION} is written")
        self.header = header
        self._clock = clock or time.monotonic
        self._due_s = self._clock() + FLUSH_PERIOD_S
        self._tracks = {name: _Track(name, stream) for name, stream in header.streams.items()}
        self._objects = objects
        self._header_json = header.to_json()
        self._schema = schema_of(header)
        self._block_rows = max(1, block_bytes // (4 * header.row_values))
        # Summed over all signals, and asked for with every block.
        self._row_values = header.row_values
        self._max_rows = MAX_VALUES // self._row_values
        self._time_s = np.empty(self._block_rows)
        self._signals = {
            signal: np.empty((self._block_rows, header.width(signal)), np.float32) for signal in header.signals
        }
        # `append` is called at the rate of the robot: no lookups by name there.
        none = np.empty((0, 0), np.float32)  # an import may lack them, and comes by `extend`
        self._state, self._velocity = self._signals.get(STATE, none), self._signals.get(VELOCITY, none)
        self._effort, self._action = self._signals.get(EFFORT, none), self._signals.get(ACTION, none)
        self._base_pose = self._signals.get(BASE_POSE)
        self._exact: tuple[np.ndarray, np.ndarray] | None = None
        if header.replay is not None:
            self._exact = np.empty((self._block_rows, len(header.joint_names))), np.empty(self._block_rows, np.uint64)
        self._packets: dict[str, list[bytes | None]] = {image: [] for image in header.images}
        self._packet_bytes = self._video_bytes = 0
        self._block_bytes = block_bytes
        self._fill = 0
        self._spooled_rows = 0
        self._first_s = 0.0
        self._last_s = -np.inf
        self._segment: Segment | None = None
        self._like: Any = None
        self._closed = ""
        with room_for(f"episode {header.name}"):
            self._claim = Claim(spool_dir)

    @property
    def rows(self) -> int:
        """How many rows were taken so far."""
        return self._spooled_rows + self._fill

    def append(
        self,
        time_s: float,
        state: Values,
        velocity: Values,
        effort: Values,
        action: Values,
        base_pose: Values | None = None,
        *,
        sensors: Mapping[str, Values] | None = None,
        replay: tuple[Values, int] | None = None,
        packets: Mapping[str, bytes] | None = None,
    ) -> None:
        """Take one row.

        Args:
            time_s: Time since `header.started_at_ns` [s], later than the row before.
            state, velocity, effort, action: Values of the n joints, shape (n,), in the header's units.
            base_pose: Position and quaternion (x, y, z, qw, qx, qy, qz), shape (7,), if the header has it.
            sensors: Readings by signal, if the header has such.
            replay: The action that was taken, shape (n,), and the hash of the state it led to, if the header has it.
            packets: Of the cameras with a frame at this step, by name (`store.camera.FrameEncoder`).

        Raises:
            InvalidEpisode: A wrong shape or clock at once; a value that is not finite at the latest when its
                block is full or sealed. The episode is aborted then.
            StoreFull: No room in the spool. The episode is aborted.
            EpisodeClosed: The recorder takes no more.
        """
        if self._closed:
            raise EpisodeClosed(self._closed)
        row = self._fill
        self._time_s[row] = time_s
        _put(self._state, row, state, STATE, self)
        _put(self._velocity, row, velocity, VELOCITY, self)
        _put(self._effort, row, effort, EFFORT, self)
        _put(self._action, row, action, ACTION, self)
        if self._base_pose is not None and base_pose is not None:
            _put(self._base_pose, row, base_pose, BASE_POSE, self)
        elif (self._base_pose is None) != (base_pose is None):
            raise self._fail(InvalidEpisode(f"{BASE_POSE}: given and declared in the header, or neither"))
        if (sensors or {}).keys() != self.header.sensor_widths.keys():
            raise self._fail(InvalidEpisode(f"sensors: {sorted(sensors or {})}: those declared in the header"))
        for signal, values in (sensors or {}).items():
            _put(self._signals[signal], row, values, signal, self)
        if self._exact is not None and replay is not None:
            _put(self._exact[0], row, replay[0], REPLAY_ACTION, self)
            self._exact[1][row] = replay[1]
        elif (self._exact is None) != (replay is None):
            raise self._fail(InvalidEpisode(f"{REPLAY_STATE}: given and declared in the header, or neither"))
        if packets or self._packets:
            self._take_packets(packets or {})
        self._fill = row + 1
        full = self._fill == self._block_rows or self._packet_bytes >= self._block_bytes
        if full or self._clock() >= self._due_s:
            self._spool()

    def add(self, stream: str, time_s: Values, values: Any) -> None:
        """Take rows of a stream that the header declares.

        Args:
            time_s: Times since `header.started_at_ns` [s], shape (rows,), not falling, nor before the stream's last.
            values: Shape (rows, width), or as many texts.

        Raises:
            InvalidEpisode: An unknown stream, a wrong shape, a clock that runs backwards, a value that is not finite or
                that the stream cannot hold; names the place. The episode is aborted.
            StoreFull, EpisodeClosed: As `append`.
        """
        if self._closed:
            raise EpisodeClosed(self._closed)
        track = self._tracks.get(stream)
        if track is None:
            raise self._fail(InvalidEpisode(f"{stream}: {sorted(self._tracks)}: a stream of the header"))
        try:
            track.add(time_s, values)
        except InvalidEpisode as error:
            raise self._fail(error) from None
        self._flush_if_due()

    def extend(
        self,
        time_s: Values,
        signals: Mapping[str, np.ndarray],
        packets: Mapping[str, Mapping[int, bytes]] | None = None,
    ) -> None:
        """Take a block of rows.

        Args:
            time_s: Times [s], shape (rows,), rising.
            signals: Exactly the header's signals, each of shape (rows, width).
            packets: Of the cameras, by name and row of the block; must be given if the header has any camera.

        Raises:
            InvalidEpisode, StoreFull, EpisodeClosed: As `append`.
        """
        if self._closed:
            raise EpisodeClosed(self._closed)
        if self._exact is not None or (self._packets and packets is None):
            name = REPLAY_STATE if self._exact is not None else next(iter(self._packets))
            raise self._fail(InvalidEpisode(f"{name}: rows for a replay, or with frames, come one by one"))
        if unknown := sorted((packets or {}).keys() - self.header.cameras.keys()):
            raise self._fail(InvalidEpisode(f"packets: {unknown}: those of the cameras declared in the header"))
        times = np.asarray(time_s, np.float64)
        if times.ndim != 1 or signals.keys() != self._signals.keys():
            raise self._fail(
                InvalidEpisode(
                    f"block: time of shape {times.shape} with {sorted(signals)}: "
                    f"a vector with {sorted(self.header.signals)}"
                )
            )
        count = len(times)
        for signal, block in self._signals.items():
            values = signals[signal]
            shape = values.shape if isinstance(values, np.ndarray) else np.shape(values)
            if shape != (count, block.shape[1]):
                wanted = (count, block.shape[1])
                raise self._fail(InvalidEpisode(f"{signal}: shape {shape} instead of {wanted}"))
        done = 0
        while done < count:
            take = min(self._block_rows - self._fill, count - done)
            rows = slice(self._fill, self._fill + take)
            self._time_s[rows] = times[done : done + take]
            for signal, block in self._signals.items():
                values = signals[signal]
                part = values if take == count else values[done : done + take]
                if isinstance(part, np.ndarray) and part.dtype == _FLOAT:
                    block[rows] = part
                else:
                    with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the check names
                        block[rows] = part
            self._fill += take
            if packets is not None and self._packets:
                for row in range(done, done + take):
                    self._take_packets({name: frames[row] for name, frames in packets.items() if row in frames})
            done += take
            if self._fill == self._block_rows or self._packet_bytes >= self._block_bytes:
                self._spool()
        self._flush_if_due()

    def seal(self, outcome: Outcome, *, hold: bool = False) -> SealedEpisode:
        """Write the episode's file and make it an object; when this returns it is durable.

        With `hold` a receipt stays in the spool until `settle` of what is returned is called: if this process dies
        before, `store.recovery` finds the episode there, sealed and perhaps not in the catalogue.

        Raises:
            InvalidEpisode: No row at all, or a value that is not finite. The episode is aborted.
            StoreFull: No room. The episode is aborted and nothing of it is visible.
            StoreUnreachable: The objects' service does not answer; the file stays in the spool, for `store.recovery`.
            BrokenObject: The service has kept something else; so it does then.
            EpisodeClosed: It was sealed, aborted or failed before.
        """
        if self._closed:
            raise EpisodeClosed(self._closed)
        if not self.rows:
            raise self._fail(InvalidEpisode(f"rows: 0: episode {self.header.name} has no row"))
        rows = self.rows
        try:
            with room_for(f"episode {self.header.name}"):
                table = self._table()
                metadata = {HEADER_KEY: self._header_json, OUTCOME_KEY: outcome.to_json()}
                sha256 = write_sealed(table.replace_schema_metadata(metadata), self._claim.extra)
                WRITTEN()
                # The receipt comes first: who dies right after the object has its name must not leave an open segment
                # alone, which would be taken for an episode that was interrupted.
                receipt = self._claim.leave_receipt if hold else None
                objects = self._objects.of(self.header.vendor)
                stored = objects.put_file(self._claim.extra, move=True, announce=receipt, sha256=sha256)
        except (BrokenObject, StoreUnreachable) as error:
            # The file is whole, and its place may answer again, or keep all of it: recovery brings it there.
            self._leave(f"episode {self.header.name} could not be stored: {error}")
            raise
        except BaseException as error:
            self._fail(error)
            raise
        duration_s = max([self._last_s, *(track.last_s for track in self._tracks.values())]) - self._first_s
        path = self._objects.where(stored.sha256)
        why = f"episode {self.header.name} was sealed as {stored.sha256}"
        if not hold:
            self._close(why)
            return SealedEpisode(stored.sha256, stored.size_bytes, rows, duration_s, path)
        self._closed = why
        return SealedEpisode(stored.sha256, stored.size_bytes, rows, duration_s, path, self._settle)

    def abort(self) -> None:
        """Forget the episode. Does nothing when it is closed already."""
        if not self._closed:
            self._close(f"episode {self.header.name} was aborted")

    def _settle(self, known: bool) -> None:
        if known:
            self._claim.release()
        else:
            self._claim.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()

    def _take_packets(self, packets: Mapping[str, bytes]) -> None:
        if unknown := sorted(packets.keys() - self.header.cameras.keys()):
            raise self._fail(InvalidEpisode(f"packets: {unknown}: those of the cameras declared in the header"))
        for image, kept in self._packets.items():
            packet = packets.get(image.removeprefix(IMAGE_PREFIX))
            kept.append(packet)
            self._packet_bytes += len(packet or b"")
        if self._video_bytes + self._packet_bytes > MAX_VIDEO_BYTES:
            raise self._fail(InvalidEpisode(f"packets: more than {MAX_VIDEO_BYTES} bytes in one episode"))

    def _check(self) -> None:
        """Check the open block and remember its last time."""
        time_s = self._time_s[: self._fill]
        signals = {signal: values[: self._fill] for signal, values in self._signals.items()}
        try:
            if self.rows > self._max_rows:
                raise InvalidEpisode(f"rows: {self.rows}: at most {self._max_rows} rows of this width")
            values = self.rows * self._row_values
            values += sum(track.rows * track.stream.row_values for track in self._tracks.values())
            if values > MAX_VALUES:
                raise InvalidEpisode(f"rows: {values} values of joints and streams: at most {MAX_VALUES}")
            check_block(self.header, time_s, signals, after_s=self._last_s, first_row=self._spooled_rows)
        except InvalidEpisode as error:
            raise self._fail(error) from None
        if len(time_s):
            if not self._spooled_rows:
                self._first_s = float(time_s[0])
            self._last_s = float(time_s[-1])

    def _rows_of(self, column: str) -> np.ndarray:
        """Return the open block of one of the joints' columns."""
        if column == TIME:
            return self._time_s[: self._fill]
        if self._exact is not None and column in (REPLAY_ACTION, REPLAY_STATE):
            return self._exact[column == REPLAY_STATE][: self._fill]
        return self._signals[column][: self._fill]

    def _batch(self) -> Any:
        if self._tracks:
            return self._mixed_batch()
        if self._like is not None and self._like.num_rows == self._fill:
            return self._like
        columns = []
        for column in self._schema:
            if column.name in self._packets:
                columns.append(pa.array(self._packets[column.name], pa.binary()))
                continue
            rows = self._rows_of(column.name)
            if rows.ndim == 1:
                columns.append(pa.Array.from_buffers(column.type, len(rows), [None, pa.py_buffer(rows)]))
            else:
                columns.append(_lists(rows, column.type))
        batch = pa.record_batch(columns, schema=self._schema)
        if not self._packets:
            # Over the same memory each time, and most blocks are equally long: nothing is to be made anew.
            self._like = batch
        return batch

    def _mixed_batch(self) -> Any:
        """Return the open block of all tracks, each padded to the longest."""
        columns: dict[str, Any] = {
            name: self._packets[name] if name in self._packets else self._rows_of(name)
            for name in tracks_of(self.header)[0]
        }
        for name, track in self._tracks.items():
            columns[name + TIME_SUFFIX], columns[name] = track.take()
        rows = max(len(values) for values in columns.values())
        arrays = [column_of(columns[column.name], column.type, rows) for column in self._schema]
        return pa.record_batch(arrays, schema=self._schema)

    def _flush_if_due(self) -> None:
        if self._clock() >= self._due_s:
            self._spool()

    def _spool(self) -> None:
        self._due_s = self._clock() + FLUSH_PERIOD_S
        self._check()
        try:
            with room_for(f"episode {self.header.name}"):
                if self._segment is None:
                    self._segment = Segment(self._claim.path, self._schema, self._header_json)
                self._segment.write(self._batch())
        except BaseException as error:
            self._fail(error)
            raise
        self._spooled_rows += self._fill
        self._fill = 0
        self._video_bytes += self._packet_bytes
        self._packet_bytes = 0
        self._packets = {image: [] for image in self._packets}

    def _table(self) -> Any:
        """Return all rows; those in the spool stay there, mapped into memory."""
        if self._segment is None:
            self._check()
            return pa.Table.from_batches([self._batch()])
        self._spool()
        table = self._segment.finish()
        self._segment = None
        return together(self.header, table.to_batches()) if self._tracks else table

    def _fail(self, error: BaseException) -> BaseException:
        self._close(f"episode {self.header.name} failed before: {error}")
        return error

    def _leave(self, why: str) -> None:
        self._closed = why
        self._claim.leave()

    def _close(self, why: str) -> None:
        self._closed = why
        # Closing a stream on a full disk fails again; the file is going away anyway.
        if self._segment is not None:
            self._segment.close()
        self._segment = None
        self._claim.release()


def together(header: EpisodeHeader, batches: Sequence[Any]) -> Any:
    """Return the batches of a segment as one table, in which each track starts at the first row and has no gaps."""
    schema = schema_of(header)
    chunks: dict[str, list[Any]] = {column.name: [] for column in schema}
    for batch in batches:
        for track in tracks_of(header):
            # A time is never missing where there is a row.
            times = batch.column(schema.get_field_index(track[0]))
            for name in track:
                chunks[name].append(batch.column(schema.get_field_index(name))[: len(times) - times.null_count])
    rows = max(sum(map(len, parts)) for parts in chunks.values())
    columns = []
    for column in schema:
        parts = chunks[column.name]
        missing = rows - sum(map(len, parts))
        columns.append(pa.chunked_array([*parts, pa.nulls(missing, column.type)], type=column.type))
    return pa.table(columns, schema=schema)


def _lists(rows: np.ndarray, kind: Any) -> Any:
    """Return rows as an Arrow array of lists of one length, over the same memory."""
    numbers = pa.Array.from_buffers(kind.value_type, rows.size, [None, pa.py_buffer(rows)])
    return pa.Array.from_buffers(kind, len(rows), [None], children=[numbers])


def _put(block: np.ndarray, row: int, values: Values, signal: str, recorder: EpisodeRecorder) -> None:
    # numpy would spread a single value over the row: the shape is checked first.
    if np.shape(values) != block.shape[1:]:
        raise recorder._fail(InvalidEpisode(f"{signal}: shape {np.shape(values)} instead of {block.shape[1:]}"))
    block[row] = values
