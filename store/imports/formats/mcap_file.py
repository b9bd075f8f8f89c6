"""MCAP files: ROS 1 and ROS 2 messages by the definitions that the file carries, and JSON. Needs `mcap` and `rosbags`.

Times are the log times: they are the one clock that all topics share. Topics whose encoding nobody here reads, and
messages whose fields change, are passed over by name. What a chunk claims to unpack to is bounded before it is done.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from store.errors import ImportRefused
from store.imports.formats.messages import Topics
from store.imports.raw import Budget, Options, RawEpisode

MAGIC = b"\x89MCAP0\r\n"
MAX_CHUNK_BYTES = 256 << 20


class Mcap:
    """See the module."""

    NAME = "mcap"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic bytes."""
        return head.startswith(MAGIC)

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the one episode of a file."""
        try:
            from mcap.reader import make_reader
        except ImportError as error:
            raise ImportRefused(f"{path.name}: reading MCAP needs the extra [import]: {error}") from error
        topics, decoders = Topics(Budget(options.max_values)), _Decoders()
        try:
            _check_chunks(path, options.max_values * 8)
            with open(path, "rb") as file:
                for schema, channel, message in make_reader(file, validate_crcs=True).iter_messages():
                    decode = decoders.of(schema, channel)
                    if decode is not None:
                        kind = schema.name if schema is not None else channel.topic
                        topics.add(channel.topic, kind, message.log_time, decode(message.data))
        except ImportRefused as error:
            raise ImportRefused(f"{path.name}: {error}") from error
        except MemoryError:
            raise
        except Exception as error:
            # The reader has errors of its own, of `struct` and of the libraries that unpack.
            raise ImportRefused(f"{path.name}: broken: {type(error).__name__}: {str(error)[:200]}") from error
        try:
            start_ns, signals = topics.signals()
        except ImportRefused as error:
            skipped = f" (passed over: {', '.join(sorted(decoders.unread))})" if decoders.unread else ""
            raise ImportRefused(f"{path.name}: {error}{skipped}") from error
        yield RawEpisode(path.name, signals, start_ns, passed_over=(*topics.passed_over, *sorted(decoders.unread)))


def _check_chunks(path: Path, most_bytes: int) -> None:
    """Check what every chunk claims to unpack to, without unpacking."""
    from mcap.records import Chunk
    from mcap.stream_reader import StreamReader

    total = 0
    with open(path, "rb") as file:
        for record in StreamReader(file, emit_chunks=True, record_size_limit=MAX_CHUNK_BYTES).records:
            if isinstance(record, Chunk):
                total += record.uncompressed_size
                if record.uncompressed_size > MAX_CHUNK_BYTES or total > most_bytes:
                    raise ImportRefused(
                        f"a chunk of {len(record.data)} bytes claims to unpack to {record.uncompressed_size}"
                    )


class _Decoders:
    """Decoders by channel, made of the schemas that the file carries."""

    def __init__(self) -> None:
        self._made: dict[int, Callable[[bytes], Any] | None] = {}
        self.unread: set[str] = set()

    def of(self, schema: Any, channel: Any) -> Callable[[bytes], Any] | None:
        if channel.id not in self._made:
            self._made[channel.id] = made = self._make(schema, channel)
            if made is None:
                self.unread.add(f"{channel.topic} ({channel.message_encoding})")
        return self._made[channel.id]

    def _make(self, schema: Any, channel: Any) -> Callable[[bytes], Any] | None:
        if channel.message_encoding == "json":
            return _json
        if schema is None or (channel.message_encoding, schema.encoding) not in (
            ("cdr", "ros2msg"),
            ("ros1", "ros1msg"),
        ):
            return None
        try:
            from rosbags.typesys import Stores, get_types_from_msg, get_typestore
        except ImportError as error:
            raise ImportRefused(f"ROS messages need the extra [import]: {error}") from error
        ros1 = channel.message_encoding == "ros1"
        store = get_typestore(Stores.ROS1_NOETIC if ros1 else Stores.EMPTY)
        package, _, name = schema.name.partition("/")
        full = schema.name if "/msg/" in schema.name else f"{package}/msg/{name}"
        kinds = get_types_from_msg(schema.data.decode(), full)
        if not ros1:
            # What the language itself brings along and no file defines.
            common = get_typestore(Stores.ROS2_HUMBLE).fielddefs
            for basic in ("builtin_interfaces/msg/Time", "builtin_interfaces/msg/Duration"):
                kinds.setdefault(basic, common[basic])
        store.register({key: value for key, value in kinds.items() if key not in store.fielddefs})
        read = store.deserialize_ros1 if ros1 else store.deserialize_cdr
        return lambda data: read(data, full)


def _json(data: bytes) -> Any:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ImportRefused(f"a message is no JSON: {str(error)[:200]}") from error
    return value if isinstance(value, dict) else {"value": value}


FORMAT = Mcap()
