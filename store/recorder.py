"""Record one episode: rows in, one sealed file out, in bounded memory.

Rows gather in a block of about 4 MiB, full blocks go to an Arrow stream in the spool, and `seal` turns
the stream into one Parquet file and hands it to the object store. Until the object store has renamed it into
place nobody can see anything of the episode; from then on it is whole. A process that dies leaves only spool
files, which `clean_spool` removes.

Not for several threads: an episode has one writer.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from palaestra.failpoint import Failpoint
from store.camera import IMAGE_PREFIX, MAX_VIDEO_BYTES
from store.episode import (
    ACTION,
    BASE_POSE,
    EFFORT,
    MAX_VALUES,
    REPLAY_ACTION,
    REPLAY_STATE,
    STATE,
    VELOCITY,
    EpisodeHeader,
    Outcome,
)
from store.errors import EpisodeClosed, InvalidEpisode
from store.layout import HEADER_KEY, OUTCOME_KEY, check_block, schema_of
from store.objects import ObjectStore, room_for
from store.spool import Claim

BLOCK_BYTES = 4 << 20
WRITTEN = Failpoint("store.episode.written", "an episode's file is written in the spool; it is no object yet")

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


class EpisodeRecorder:
    """Takes the rows of one episode. Leaving a `with` block without `seal` aborts."""

    def __init__(
        self, header: EpisodeHeader, spool_dir: Path, objects: ObjectStore, *, block_bytes: int = BLOCK_BYTES
    ) -> None:
        """Open a spool file. With `spool_dir` on the file system of `objects`, sealing needs no copy.

        Memory is one block of about `block_bytes`, used as rows come. Raises StoreFull.
        """
        self.header = header
        self._objects = objects
        self._schema = schema_of(header)
        self._block_rows = max(1, block_bytes // (4 * header.row_values))
        self._max_rows = MAX_VALUES // header.row_values
        self._time_s = np.empty(self._block_rows)
        self._signals = {
            signal: np.empty((self._block_rows, header.width(signal)), np.float32) for signal in header.signals
        }
        # `append` is called at the rate of the robot: no lookups by name there.
        self._state, self._velocity = self._signals[STATE], self._signals[VELOCITY]
        self._effort, self._action = self._signals[EFFORT], self._signals[ACTION]
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
        self._stream: Any = None
        self._sink: Any = None
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
        if self._fill == self._block_rows or self._packet_bytes >= self._block_bytes:
            self._spool()

    def extend(self, time_s: Values, signals: Mapping[str, np.ndarray]) -> None:
        """Take a block of rows.

        Args:
            time_s: Times [s], shape (rows,), rising.
            signals: Exactly the header's signals, each of shape (rows, width).

        Raises:
            InvalidEpisode, StoreFull, EpisodeClosed: As `append`.
        """
        if self._closed:
            raise EpisodeClosed(self._closed)
        if self._exact is not None or self._packets:
            name = REPLAY_STATE if self._exact is not None else next(iter(self._packets))
            raise self._fail(InvalidEpisode(f"{name}: rows for a replay, or with frames, come one by one"))
        times = np.asarray(time_s, np.float64)
        if times.ndim != 1 or set(signals) != set(self.header.signals):
            raise self._fail(
                InvalidEpisode(
                    f"block: time of shape {times.shape} with {sorted(signals)}: "
                    f"a vector with {sorted(self.header.signals)}"
                )
            )
        for signal, values in signals.items():
            shape = (len(times), self.header.width(signal))
            if np.shape(values) != shape:
                raise self._fail(InvalidEpisode(f"{signal}: shape {np.shape(values)} instead of {shape}"))
        done = 0
        while done < len(times):
            take = min(self._block_rows - self._fill, len(times) - done)
            rows = slice(self._fill, self._fill + take)
            self._time_s[rows] = times[done : done + take]
            with np.errstate(over="ignore"):  # beyond float32 becomes inf, which the check names
                for signal, values in signals.items():
                    self._signals[signal][rows] = values[done : done + take]
            self._fill += take
            done += take
            if self._fill == self._block_rows:
                self._spool()

    def seal(self, outcome: Outcome) -> SealedEpisode:
        """Write the episode's file and make it an object; when this returns it is durable.

        Raises:
            InvalidEpisode: No row at all, or a value that is not finite. The episode is aborted.
            StoreFull: No room. The episode is aborted and nothing of it is visible.
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
                metadata = {HEADER_KEY: self.header.to_json(), OUTCOME_KEY: outcome.to_json()}
                write_sealed(table.replace_schema_metadata(metadata), self._claim.extra)
                WRITTEN()
                stored = self._objects.put_file(self._claim.extra, move=True)
        except BaseException as error:
            self._fail(error)
            raise
        self._close(f"episode {self.header.name} was sealed as {stored.sha256}")
        path = self._objects.path_of(stored.sha256)
        return SealedEpisode(stored.sha256, stored.size_bytes, rows, self._last_s - self._first_s, path)

    def abort(self) -> None:
        """Forget the episode. Does nothing when it is closed already."""
        if not self._closed:
            self._close(f"episode {self.header.name} was aborted")

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
            check_block(self.header, time_s, signals, after_s=self._last_s, first_row=self._spooled_rows)
        except InvalidEpisode as error:
            raise self._fail(error) from None
        if not self._spooled_rows:
            self._first_s = float(time_s[0])
        self._last_s = float(time_s[-1])

    def _batch(self) -> Any:
        columns = [pa.array(self._time_s[: self._fill])]
        for field in list(self._schema)[1:]:
            if field.name in self._packets:
                columns.append(pa.array(self._packets[field.name], pa.binary()))
                continue
            if self._exact is not None and field.name == REPLAY_STATE:
                columns.append(pa.array(self._exact[1][: self._fill]))
                continue
            rows = self._exact[0] if self._exact is not None and field.name == REPLAY_ACTION else None
            rows = self._signals[field.name] if rows is None else rows
            columns.append(pa.FixedSizeListArray.from_arrays(pa.array(rows[: self._fill].reshape(-1)), type=field.type))
        return pa.record_batch(columns, schema=self._schema)

    def _spool(self) -> None:
        self._check()
        try:
            with room_for(f"episode {self.header.name}"):
                if self._stream is None:
                    self._sink = pa.OSFile(str(self._claim.path), "wb")
                    # The header goes first, so that a salvager of open episodes could tell whose they are.
                    schema = self._schema.with_metadata({HEADER_KEY: self.header.to_json()})
                    self._stream = pa.ipc.new_stream(self._sink, schema)
                self._stream.write_batch(self._batch())
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
        if self._stream is None:
            self._check()
            return pa.Table.from_batches([self._batch()])
        if self._fill:
            self._spool()
        self._stream.close()
        self._sink.close()
        self._stream = self._sink = None
        return pa.ipc.open_stream(pa.memory_map(str(self._claim.path))).read_all()

    def _fail(self, error: BaseException) -> BaseException:
        self._close(f"episode {self.header.name} failed before: {error}")
        return error

    def _close(self, why: str) -> None:
        self._closed = why
        # Closing a stream on a full disk fails again; the file is going away anyway.
        for file in (self._stream, self._sink):
            if file is not None:
                with suppress(OSError, pa.ArrowException):
                    file.close()
        self._stream = self._sink = None
        self._claim.release()


def write_sealed(table: Any, path: Path) -> None:
    """Write the table of one episode as a Parquet file of one row group.

    Joint signals are noise to a dictionary coder but smooth in their high bytes: byte-stream split with the
    fastest zstd level made 20 % smaller files at 0.9 of the plain speed. Page checksums let a reader name the
    place of a damage. Packets of cameras are compressed already, and stay as they are.
    """
    packets = {field.name for field in table.schema if field.name.startswith(IMAGE_PREFIX)}
    plain: dict[str, Any] = {"compression": "zstd", "compression_level": 1, "use_byte_stream_split": True}
    if packets:
        # By column, as Parquet names what is in it.
        paths = [f.name if not f.type.num_fields else f"{f.name}.list.element" for f in table.schema]
        packed = [path for path in paths if path not in packets]
        plain = {
            "compression": {path: "NONE" if path in packets else "zstd" for path in paths},
            "compression_level": dict.fromkeys(packed, 1),
            "use_byte_stream_split": packed,
        }
    pq.write_table(
        table,
        path,
        row_group_size=max(1, table.num_rows),
        use_dictionary=False,
        **plain,
        write_statistics=True,
        write_page_checksum=True,
        store_schema=True,
    )


def _put(block: np.ndarray, row: int, values: Values, signal: str, recorder: EpisodeRecorder) -> None:
    # numpy would spread a single value over the row: the shape is checked first.
    if np.shape(values) != block.shape[1:]:
        raise recorder._fail(InvalidEpisode(f"{signal}: shape {np.shape(values)} instead of {block.shape[1:]}"))
    block[row] = values
