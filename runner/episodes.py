"""What the catalogue is told of an episode."""

import math
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra.v1 import episode_pb2, job_pb2, runner_service_pb2
from store import EpisodeHeader, Outcome, SealedEpisode, Status

MEDIA_TYPE = "application/vnd.apache.parquet"
LEVELS: dict[Any, str] = {1: "L1", 2: "L2", 3: "L3", 4: "L4"}
OUTCOMES = {
    Status.SUCCESS: episode_pb2.EPISODE_OUTCOME_SUCCESS,
    Status.FAILURE: episode_pb2.EPISODE_OUTCOME_FAILURE,
    Status.ABORTED: episode_pb2.EPISODE_OUTCOME_ABORTED,
    Status.INTERRUPTED: episode_pb2.EPISODE_OUTCOME_INTERRUPTED,
}


def name_of(attempt: str, index: int) -> str:
    """Return the name by which the header of an episode says whose it is."""
    return f"{attempt}/episodes/{index}"


def request_of(
    header: EpisodeHeader, outcome: Outcome, sealed: SealedEpisode, instance: str, *, recovered: bool = False
) -> runner_service_pb2.CatalogueEpisodeRequest:
    """Return the request that enters a sealed episode. Raises ValueError for a header that no attempt wrote."""
    attempt, _, index = header.name.rpartition("/episodes/")
    episode = episode_of(int(index), header, outcome, sealed)
    return runner_service_pb2.CatalogueEpisodeRequest(
        attempt=attempt, instance=instance, episode=episode, recovered=recovered
    )


def episode_of(index: int, header: EpisodeHeader, outcome: Outcome, sealed: SealedEpisode) -> episode_pb2.Episode:
    """Return the catalogue's row of a sealed episode."""
    episode = episode_pb2.Episode(
        index=index,
        unit=header.unit or "",
        world=int(header.world or 0),
        robot_model=header.robot_model,
        maker=header.maker,
        scenario=header.scenario or "",
        level=next((number for number, level in LEVELS.items() if level == header.level), None),
        task=header.task,
        outcome=OUTCOMES[outcome.status],
        outcome_cause=outcome.cause[:500],
        duration_s=sealed.duration_s,
        rows=sealed.rows,
        start_time=Timestamp(seconds=header.started_at_ns // 1_000_000_000, nanos=header.started_at_ns % 1_000_000_000),
        content=job_pb2.Artifact(sha256=sealed.sha256, size_bytes=sealed.size_bytes, media_type=MEDIA_TYPE),
        provenance={
            "engine": header.engine,
            "engine_version": header.engine_version,
            "architecture": header.architecture,
            "model_sha256": header.model_sha256,
            "controller": header.controller_backend,
            "seed": str(header.seed),
            "clock": header.clock_source,
        },
        signals=_signals(header),
    )
    if header.calibration is not None:
        episode.provenance["calibration"] = header.calibration
    if header.actuators is not None and header.drives_sha256 is not None:
        episode.provenance.update(actuators=header.actuators, drives_sha256=header.drives_sha256)
    if outcome.episode_return is not None and math.isfinite(outcome.episode_return):
        episode.return_value = outcome.episode_return
    return episode


def _signals(header: EpisodeHeader) -> list[episode_pb2.EpisodeSignal]:
    frames = header.frames or {}
    rows = [
        episode_pb2.EpisodeSignal(
            name=signal,
            rate_hz=header.sample_rate_hz,
            width=header.width(signal),
            unit=header.units[signal],
            frame=frames.get(signal, ""),
        )
        for signal in header.signals
    ]
    return rows + [
        episode_pb2.EpisodeSignal(
            name=name, rate_hz=stream.rate_hz or 0.0, width=stream.width, unit=stream.unit, frame=stream.frame
        )
        for name, stream in header.streams.items()
    ]
