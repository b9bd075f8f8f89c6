"""A small venue: recordings in an object store, a data set of them in a catalogue, and a projector over both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp

from catalogue import Catalogue
from catalogue.entry import entry_of
from palaestra.v1 import episode_pb2
from sharing.database import open_reader, open_writer
from sharing.grant import Grant
from sharing.projection.projector import Projector
from sharing.terms import Channel, Purpose
from store import EpisodeHeader, EpisodeRecorder, LocalObjects, Outcome, SealedEpisode, Status, Stream
from store.episode import ACTION, STATE, VELOCITY, joint_frames, joint_units
from tests.store.conftest import build_header, build_rows

SECRET = b"a secret of a venue, of 32 bytes and more"
KINEMATIC = (STATE, VELOCITY, ACTION)
DATA_SET = "vendors/acme/datasets/walks"
IMU, NOTE, SENSOR = "observation.imu", "language.subtask", "observation.sensor.skin"


class Looking:
    """Connections into a catalogue's file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reader(self) -> Any:
        return open_reader(self._path)


class Ledger:
    """The room's file, as much of it as a projector needs."""

    def __init__(self, path: Path) -> None:
        self._db = open_writer(path)
        self._path = path

    def reader(self) -> Any:
        return open_reader(self._path)

    def transaction(self) -> Any:
        return self._db


@dataclass
class Ground:
    """The venue. Episodes belong to one vendor, acme; bolt and others are its recipients."""

    root: Path
    objects: LocalObjects = field(init=False)
    catalogue: Catalogue = field(init=False)
    sealed: list[SealedEpisode] = field(default_factory=list)
    secret: bytes = SECRET
    vendor: str = "acme"

    def __post_init__(self) -> None:
        self.objects = LocalObjects(self.root / "objects")
        self.catalogue = Catalogue(self.root / "catalogue.db")

    def record(
        self,
        number: int,
        *,
        rows: int = 200,
        joints: int = 3,
        signals: Mapping[str, np.ndarray] | None = None,
        note: str = "",
        sensor: bool = False,
        imu: bool = False,
        rate_hz: float = 100.0,
        times_s: np.ndarray | None = None,
        **changes: Any,
    ) -> EpisodeHeader:
        """Record an episode of acme and enter it into the catalogue."""
        streams: dict[str, Stream] = {}
        if note:
            streams[NOTE] = Stream("text", "episode", kind="text")
        if imu:
            streams[IMU] = Stream("m/s^2", "imu", 3, rate_hz=200.0)
        more: dict[str, Any] = {}
        if sensor:
            more = {
                "sensor_widths": {SENSOR: 2},
                "units": {**joint_units(), SENSOR: "N"},
                "frames": {**joint_frames(), SENSOR: "palm"},
            }
        values = {
            "name": f"vendors/{self.vendor}/episodes/e-{number}",
            "vendor": f"vendors/{self.vendor}",
            "job": f"vendors/{self.vendor}/jobs/j-1",
            "unit": "venues/north/units/arm-00017",
            "world": None,
            "cell": "venues/north/cells/c-3",
            "scenario": "kitchen",
            "level": "L2",
            "started_at_ns": 1_750_000_000_123_456_789 + number * 3_600_000_000_000,
            "streams": streams,
            **more,
            **changes,
        }
        header = build_header(joints, **values)
        time_s, made = build_rows(header, rows, seed=number, rate_hz=rate_hz)
        time_s = time_s if times_s is None else times_s
        if sensor:
            made[SENSOR] = np.full((rows, 2), 0.25, np.float32)
        recorder = EpisodeRecorder(header, self.root / "spool", self.objects)
        recorder.extend(time_s, {**made, **(signals or {})})
        if imu:
            recorder.add(IMU, np.arange(2 * rows) / (2 * rate_hz), np.arange(6.0 * rows).reshape(2 * rows, 3))
        if note:
            recorder.add(NOTE, [0.05], [note])
        self.enter(number, recorder.seal(Outcome(Status.SUCCESS, episode_return=1.5)), header)
        return header

    def enter(self, number: int, sealed: Any, header: EpisodeHeader) -> None:
        """Enter what was sealed into the catalogue."""
        self.sealed.append(sealed)
        body = episode_pb2.Episode(
            name=header.name,
            job=header.job,
            attempt=f"{header.job}/attempts/1",
            robot_model=header.robot_model,
            maker=header.maker,
            task=header.task,
            unit=header.unit or "",
            start_time=Timestamp(seconds=header.started_at_ns // 10**9),
            content={"sha256": sealed.sha256, "size_bytes": sealed.size_bytes},
        )
        self.catalogue.enter([entry_of(body.SerializeToString())], (number, f"e-{number}"))

    def freeze(self, numbers: Sequence[int], name: str = "walks") -> int:
        """Make a version of acme's data set of these episodes; return its number."""
        self.catalogue.datasets.create(self.vendor, name, "", by="test", now_ns=1)
        uids = [f"e-{number}" for number in numbers]
        return int(self.catalogue.datasets.freeze(self.vendor, name, uids=uids, by="test", now_ns=1)["number"])

    def projector(self, name: str = "projections", **options: Any) -> Projector:
        """Return a projector over the venue's files."""
        looking = Looking(self.root / "catalogue.db")
        return Projector(self.root / name, looking, self.objects, self.secret, **options)


def grant(
    agreement: str = "a" * 64,
    columns: Sequence[str] = KINEMATIC,
    transforms: Mapping[str, Mapping[str, str]] | None = None,
    **changes: Any,
) -> Grant:
    """Return a grant to bolt; what the case does not say is usual."""
    values: dict[str, Any] = {
        "provider": "vendors/acme",
        "consumer": "vendors/bolt",
        "data_set": DATA_SET,
        "version": 1,
        "channel": Channel.EXPORT,
        "purpose": Purpose.TRAINING,
        "privacy_millionths": 0,
        "until_s": 2_000_000_000,
        "epoch": 1,
    }
    return Grant(agreement=agreement, columns=tuple(columns), transforms=transforms or {}, **{**values, **changes})


Make = Callable[..., Ground]
