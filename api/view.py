"""What the lite pages show, as plain values: pure functions from messages and the time to text."""

from collections.abc import Iterable
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import job_pb2, venue_pb2

ENDED = frozenset({job_pb2.JOB_STATE_SUCCEEDED, job_pb2.JOB_STATE_FAILED, job_pb2.JOB_STATE_CANCELLED})
PIXELS_PER_M = 60
NONE = "-"


@dataclass(frozen=True)
class JobRow:
    """One line of the list of jobs."""

    name: str
    href: str
    title: str
    vendor: str
    kind: str
    state: str
    waited: str
    ran: str
    percent: int
    episodes: int
    ended: bool
    note: str


@dataclass(frozen=True)
class Mark:
    """One unit on the floor plan, in pixels, y down."""

    x: float
    y: float
    shape: str
    letter: str
    state: str
    title: str
    label: str


@dataclass(frozen=True)
class Area:
    """One cell on the floor plan, in pixels, y down."""

    x: float
    y: float
    width: float
    depth: float
    title: str
    level: str
    occupied: bool


@dataclass(frozen=True)
class Floor:
    """The floor plan."""

    width: float
    depth: float
    areas: list[Area]
    marks: list[Mark]


def job_row(job: job_pb2.Job, *, now_s: float) -> JobRow:
    """Return a job as a line. `now_s` is in seconds since the epoch."""
    ended = job.state in ENDED
    vendor, job_id = job.name.split("/")[1::2]
    return JobRow(
        name=job.name,
        href=f"/ui/lite/jobs/{vendor}/{job_id}",
        title=job.display_name or job_id,
        vendor=vendor,
        kind=job.WhichOneof("work") or "",
        state=job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower(),
        waited=between(job.create_time, job.grant_time if job.HasField("grant_time") else job.end_time, now_s=now_s),
        ran=between(job.start_time, job.end_time, now_s=now_s) if job.HasField("start_time") else NONE,
        percent=100 if job.state == job_pb2.JOB_STATE_SUCCEEDED else round(100 * job.progress.fraction),
        episodes=job.episode_count,
        ended=ended,
        note=job.failure.message if job.HasField("failure") else job.progress.message,
    )


def between(start: Timestamp, end: Timestamp, *, now_s: float) -> str:
    """Return the time from start to end as text; an unset end is now, an unset start is no time at all."""
    if not start.seconds:
        return NONE
    return length((seconds(end) if end.seconds else now_s) - seconds(start))


def length(duration_s: float) -> str:
    """Return a duration for people: 0.4 s, 12 s, 3 min 05 s, 2 h 10 min."""
    duration_s = max(0.0, duration_s)
    if duration_s < 9.95:
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def seconds(time: Timestamp) -> float:
    """Return a timestamp in seconds since the epoch."""
    return float(time.seconds) + time.nanos / 1e9


def letter(state: int) -> str:
    """Return the letter that stands for a unit's state, so that colour is never alone."""
    return venue_pb2.UnitState.Name(state).removeprefix("UNIT_STATE_")[:1]


def floor(venue: venue_pb2.Venue, cells: Iterable[venue_pb2.Cell], units: Iterable[venue_pb2.Unit]) -> Floor:
    """Return the floor plan to scale."""

    def down(y_m: float) -> float:
        return (venue.depth_m - y_m) * PIXELS_PER_M

    areas = [
        Area(
            x=(cell.pose.x_m - cell.width_m / 2) * PIXELS_PER_M,
            y=down(cell.pose.y_m + cell.depth_m / 2),
            width=cell.width_m * PIXELS_PER_M,
            depth=cell.depth_m * PIXELS_PER_M,
            title=cell.display_name or cell.name.rpartition("/")[2],
            level=f"L{cell.level}" if cell.level else "",
            occupied=cell.occupied,
        )
        for cell in cells
    ]
    marks = [
        Mark(
            x=unit.pose.x_m * PIXELS_PER_M,
            y=down(unit.pose.y_m),
            shape=unit.robot_class if unit.robot_class in ("humanoid", "quadruped", "arm") else "other",
            letter=letter(unit.state),
            state=unit_state(unit),
            title=f"{short(unit.name)}: {unit.robot_model}, {unit_state(unit)}{_worker(unit)}",
            label=short(unit.name),
        )
        for unit in units
    ]
    return Floor(venue.width_m * PIXELS_PER_M, venue.depth_m * PIXELS_PER_M, areas, marks)


def unit_state(unit: venue_pb2.Unit) -> str:
    """Return a unit's state as a word."""
    return venue_pb2.UnitState.Name(unit.state).removeprefix("UNIT_STATE_").lower()


def working(unit: venue_pb2.Unit) -> str:
    """Return who works with a unit, as far as the reader may know."""
    if unit.lease:
        return unit.lease.split("/")[1]
    return "another vendor" if unit.state == venue_pb2.UNIT_STATE_LEASED else NONE


def short(name: str) -> str:
    """Return the last part of a resource name."""
    return name.rpartition("/")[2]


def curve_points(values: list[float], *, width: float, height: float) -> str:
    """Return a curve as points of an SVG polyline that fills the box, y down; "" below two values."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    step = width / (len(values) - 1)
    return " ".join(f"{i * step:.1f},{height * (1 - (value - low) / span):.1f}" for i, value in enumerate(values))


def _worker(unit: venue_pb2.Unit) -> str:
    who = working(unit)
    return "" if who == NONE else f", {who} works here"
