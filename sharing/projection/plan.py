"""What goes into which table, and what a file of it looks like: decided before a byte of a signal is read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]

from sharing.classes import ColumnClass, class_of
from sharing.errors import NotReleasable
from sharing.projection.tables import JOINTS
from sharing.projection.transforms import Transforms
from store.camera import H264, IMAGE_PREFIX, CameraStream
from store.episode import BASE_POSE, EFFORT, JOINT_SIGNALS, SENSOR_PREFIX, TIME, EpisodeHeader
from store.stream import TEXT, Stream

EPISODE, VALUE, FRAME = "episode", "value", "frame"
CONTACT_FLAG = f"{SENSOR_PREFIX}contact"
JOINTS_COLUMNS = (*JOINT_SIGNALS, BASE_POSE)
MAX_FRAME_PX = 1920 * 1200
"""Of a camera's frames: looking for faces takes as long as there are pixels."""
_FLOATS = pa.list_(pa.field("element", pa.float32(), nullable=False))


@dataclass(frozen=True)
class Plan:
    """What leaves.

    Attributes:
        joints: Columns of the table of the joints' rows.
        sensors, streams, cameras: Tables of their own, by the names of their columns in the store.
        schemas: Of each table, without metadata; the table of the joints stands first.
    """

    joints: tuple[str, ...]
    sensors: tuple[str, ...]
    streams: Mapping[str, Stream]
    cameras: Mapping[str, CameraStream]
    contact: bool
    schemas: Mapping[str, Any]

    @property
    def reads(self) -> frozenset[str]:
        """Signals and streams of which bytes are read."""
        needed = {*self.joints, *(name for name in self.sensors if name != CONTACT_FLAG), *self.streams}
        return frozenset(needed | ({EFFORT} if self.contact else set()))


def make(columns: Sequence[str], transforms: Transforms, headers: Sequence[EpisodeHeader]) -> Plan:
    """Return the plan for episodes with these headers.

    Raises NotReleasable: a column that no agreement can let out, colour video without `fill-faces`, a camera in whose
    pictures no faces can be found, streams or cameras of one name and different types. A column that no episode has is
    passed over.
    """
    for column in columns:
        if column != TIME and class_of(column) is ColumnClass.TRADE_SECRET:
            raise NotReleasable(f"{column}: is a trade secret: it leaves under no terms")
    granted = set(columns)
    present = {signal for header in headers for signal in header.signals}
    joints = tuple(name for name in JOINTS_COLUMNS if name in granted & present)
    sensors = sorted(name for name in granted & present if name.startswith(SENSOR_PREFIX))
    if transforms.contact_deviations:
        if CONTACT_FLAG in present:
            raise NotReleasable(f"{CONTACT_FLAG}: an episode has a sensor of this name; contact-flag cannot add it")
        sensors.append(CONTACT_FLAG)
    streams: dict[str, Stream] = {}
    for header in headers:
        for name in granted & set(header.streams):
            known = streams.setdefault(name, header.streams[name])
            if (known.kind, known.width) != (header.streams[name].kind, header.streams[name].width):
                raise NotReleasable(f"{name}: of different types in different episodes")
    cameras = _cameras(granted, headers)
    if cameras and not transforms.faces:
        raise NotReleasable(f"{next(iter(cameras))}: shows people: it leaves with the transform fill-faces alone")
    schemas = {JOINTS: _schema(*(pa.field(name, _FLOATS) for name in joints))}
    schemas |= {name: _schema(pa.field(VALUE, _FLOATS)) for name in sensors}
    schemas |= {name: _schema(pa.field(VALUE, _stream_type(streams[name]))) for name in sorted(streams)}
    schemas |= {name: _schema(pa.field(FRAME, pa.binary())) for name in cameras}
    return Plan(joints, tuple(sensors), dict(sorted(streams.items())), cameras, CONTACT_FLAG in sensors, schemas)


def _cameras(granted: set[str], headers: Sequence[EpisodeHeader]) -> dict[str, CameraStream]:
    found: dict[str, CameraStream] = {}
    for header in headers:
        for image in sorted(granted & set(header.images)):
            stream = header.cameras[image.removeprefix(IMAGE_PREFIX)]
            _check_camera(image, stream)
            known = found.setdefault(image, stream)
            if (known.width_px, known.height_px) != (stream.width_px, stream.height_px):
                raise NotReleasable(f"{image}: of different sizes in different episodes")
    return dict(sorted(found.items()))


def _check_camera(camera: str, stream: CameraStream) -> None:
    if stream.codec != H264:
        raise NotReleasable(f"{camera}: shows distances, in which faces are not found: it leaves under no terms")
    if stream.width_px * stream.height_px > MAX_FRAME_PX:
        raise NotReleasable(f"{camera}: {stream.width_px} x {stream.height_px} px; at most {MAX_FRAME_PX} pixels")


def _schema(*fields: Any) -> Any:
    head = [pa.field(EPISODE, pa.string(), nullable=False), pa.field(TIME, pa.float64(), nullable=False)]
    return pa.schema([*head, *fields])


def _stream_type(stream: Stream) -> Any:
    if stream.kind == TEXT:
        return pa.string()
    # Delta knows no unsigned numbers.
    kind = pa.int32() if stream.kind == "uint16" else pa.type_for_alias(stream.kind)
    return pa.list_(pa.field("element", kind, nullable=False))


EPISODES_SCHEMA = pa.schema(
    [
        pa.field(EPISODE, pa.string(), nullable=False),
        pa.field("job", pa.string()),
        pa.field("unit", pa.string()),
        pa.field("cell", pa.string()),
        pa.field("venue", pa.string()),
        pa.field("scenario", pa.string()),
        pa.field("level", pa.string()),
        pa.field("maker", pa.string()),
        pa.field("robot_model", pa.string()),
        pa.field("joint_names", pa.list_(pa.field("element", pa.string(), nullable=False))),
        pa.field("task", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("episode_return", pa.float64()),
        pa.field("started_at_s", pa.float64()),
        pa.field("rows", pa.int64(), nullable=False),
        pa.field("duration_s", pa.float64(), nullable=False),
        pa.field("sample_rate_hz", pa.float64(), nullable=False),
    ]
)
