"""A page about a data set's version: `report`. Facts come from the catalogue, signals from a sample of its episodes.

What draws is the venue's software, `store.reports`, where it is installed beside this client, as a process of its own.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from palaestra import login
from palaestra.imports import run
from palaestra.v1.data_pb2 import EpisodeRecord
from palaestra.v1.episode_pb2 import Episode, EpisodeOutcome
from palaestra.windows import fetch

if TYPE_CHECKING:
    from palaestra.client import Client

SAMPLE = 200
EVERY = 1_000


@dataclass(frozen=True)
class Report:
    """What was made.

    Attributes:
        page: The page; `report.json` beside it has the figures.
        episodes, sampled: How many facts are in it, and of how many episodes signals.
        record: `step`, `input_sha256` (the version's manifest), `code_sha256`, `parameters`.
    """

    page: Path
    episodes: int
    sampled: int
    record: dict[str, Any]


def report(
    version: str,
    out: str | Path,
    *,
    client: "Client | None" = None,
    profile: str | None = None,
    objects: str | Path | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Callable[[int, str], None] | None = None,
) -> Report:
    """Write a report of a data set's version into a folder. One page of the catalogue is in memory at a time.

    Args:
        version: Its name, "{dataset}/{number}", or a data set's alone for its newest.
        client: Who asks; None: the stored login `profile`.
        objects: The store's folder of objects, where this machine sees it, or its address. None: the sampled episodes
            are fetched from the venue by the stored login.
        sample: Of how many episodes signals are read.
        seed: Of the sample; the same gives the same.
        progress: Called with (how many, what).

    Raises:
        PalaestraError: The venue's reason; INVALID_FIELD where the venue's software is not installed here.
    """
    if client is None:
        from palaestra.client import Client

        with Client.connect(profile) as own:
            return report(
                version, out, client=own, profile=profile, objects=objects, sample=sample, seed=seed, progress=progress
            )
    name = newest(version, client)
    with tempfile.TemporaryDirectory(prefix="palaestra-report-") as held:
        folder = Path(held)
        facts = folder / "facts.jsonl"
        _write(facts, client.data.records(name), progress)
        words = ["--size", str(sample), "--seed", str(seed)]
        if objects is None:
            objects = folder / "objects"
            _bring(
                folder,
                [json.loads(line) for line in run(["-m", "store", "sample", str(facts), *words]).splitlines()],
                profile,
            )
        command = ["-m", "store", "report", str(facts), str(Path(out).resolve()), "--objects", str(objects), *words]
        said = json.loads(run([*command, "--copies", str(folder / "copies"), "--title", name], progress=progress))
    return Report(Path(said["page"]), said["episodes"], said["sampled"], said["record"])


def newest(version: str, client: "Client") -> str:
    """Return the name of a version; a data set's alone stands for its newest. Raises NOT_FOUND if it has none."""
    if "/versions/" in version or ("/" in version and not version.startswith("vendors/")):
        return client.data.version(version).name
    from palaestra.errors import PalaestraError

    found = client.data.dataset(version)
    if not found.latest_version:
        raise PalaestraError("NOT_FOUND", f"{found.name} has no version yet")
    return f"{found.name}/versions/{found.latest_version}"


def _write(facts: Path, records: Iterable[EpisodeRecord], progress: Callable[[int, str], None] | None) -> None:
    with open(facts, "w", encoding="utf-8") as file:
        for number, record in enumerate(records, 1):
            file.write(json.dumps(fact_of(record), ensure_ascii=False) + "\n")
            if progress is not None and number % EVERY == 0:
                progress(number, "episodes listed")


def fact_of(record: EpisodeRecord) -> dict[str, Any]:
    """Return what a report takes of an episode."""
    episode = record.episode
    return {
        "name": episode.name,
        "sha256": episode.content.sha256,
        "robot_model": episode.robot_model,
        "maker": episode.maker,
        "scenario": episode.scenario,
        "outcome": EpisodeOutcome.Name(episode.outcome).removeprefix("EPISODE_OUTCOME_").lower(),
        "cause": episode.outcome_cause,
        "duration_s": episode.duration_s,
        "rows": episode.rows,
        "quality": record.quality if record.HasField("quality") else None,
        "parts": dict(record.quality_parts),
        "labels": dict(record.labels),
    }


def _bring(folder: Path, chosen: Iterable[dict[str, str]], profile: str | None) -> None:
    episodes = []
    for one in chosen:
        episode = Episode(name=one["name"])
        episode.content.sha256 = one["sha256"]
        episodes.append(episode)
    fetch(episodes, import_module("store").LocalObjects(folder / "objects"), login.find(os.environ, profile), folder)
