"""ROS 1 bags and ROS 2 bags (SQLite or MCAP storage), read by `rosbags`, which needs no ROS.

Definitions come with the file; ROS 2 databases that carry none are read by those of ROS 2 Humble. Times are when a
message was received, the clock that all topics share.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from store.errors import ImportRefused
from store.imports.formats.messages import Topics
from store.imports.raw import Budget, Options, RawEpisode

MAGIC = b"#ROSBAG V2.0"


class Bag:
    """See the module."""

    NAME = "rosbag"

    def sniff(self, path: Path, head: bytes) -> bool:
        """The magic bytes of ROS 1, or a folder with a `metadata.yaml` of ROS 2."""
        if path.is_dir():
            return (path / "metadata.yaml").is_file()
        return head.startswith(MAGIC)

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield the one episode of a bag."""
        try:
            from rosbags.highlevel import AnyReader, AnyReaderError
            from rosbags.typesys import Stores, get_typestore
        except ImportError as error:
            raise ImportRefused(f"{path.name}: reading bags needs the extra [import]: {error}") from error
        topics = Topics(Budget(options.max_values))
        skipped: set[str] = set()
        try:
            with AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE)) as reader:
                for connection, stamp_ns, data in reader.messages():
                    if connection.topic in skipped:
                        continue
                    message = _message(reader, connection, data, skipped)
                    if message is not None:
                        topics.add(connection.topic, connection.msgtype, stamp_ns, message)
        except ImportRefused as error:
            raise ImportRefused(f"{path.name}: {error}") from error
        except AnyReaderError as error:
            raise ImportRefused(f"{path.name}: broken: {str(error)[:200]}") from error
        except (OSError, MemoryError):
            raise
        except Exception as error:
            # The reader has errors of its own for each storage, and of the storages' libraries.
            raise ImportRefused(f"{path.name}: broken: {type(error).__name__}: {str(error)[:200]}") from error
        start_ns, signals = topics.signals()
        yield RawEpisode(path.name, signals, start_ns, passed_over=(*topics.passed_over, *sorted(skipped)))


def _message(reader: Any, connection: Any, data: bytes, skipped: set[str]) -> Any:
    try:
        return reader.deserialize(data, connection.msgtype)
    except KeyError:
        # A type that neither the file nor the distribution defines.
        skipped.add(connection.topic)
        return None


FORMAT = Bag()
