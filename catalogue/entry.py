"""What the catalogue takes of an episode, read out of the scheduler's message."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from palaestra.v1 import episode_pb2


@dataclass(frozen=True)
class Entry:
    """An episode as it enters.

    Attributes:
        uid: The last part of its name.
        body: The message, encoded.
    """

    uid: str
    vendor: str
    job: str
    session: str
    robot_model: str
    maker: str
    scenario: str
    level: int
    task: str
    outcome: int
    unit: str
    start_ns: int
    duration_s: float
    size_bytes: int
    sha256: str
    body: bytes


def entry_of(body: bytes) -> Entry:
    """Return the entry of an encoded `palaestra.v1.Episode`."""
    episode = episode_pb2.Episode.FromString(body)
    _, vendor, _, uid = episode.name.split("/")
    started = episode.start_time if episode.HasField("start_time") else episode.seal_time
    return Entry(
        uid,
        vendor,
        episode.job,
        episode.attempt,
        episode.robot_model,
        episode.maker,
        episode.scenario,
        episode.level,
        episode.task,
        episode.outcome,
        episode.unit,
        started.ToNanoseconds(),
        episode.duration_s,
        episode.content.size_bytes,
        episode.content.sha256,
        body,
    )


def entries_of(bodies: Iterable[bytes]) -> Iterator[Entry]:
    """Yield the entries of encoded episodes."""
    return map(entry_of, bodies)
