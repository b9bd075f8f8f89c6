"""What was recorded: `client.data`, plain and for asyncio. Search, labels, quality, data sets; to train: `windows`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from google.protobuf.message import Message

from palaestra import names
from palaestra.calls import Call, Listing
from palaestra.v1 import data_service_pb2 as pb
from palaestra.v1.data_pb2 import Dataset, DatasetVersion, EpisodeRecord, Lineage, RecordingSession
from palaestra.v1.episode_pb2 import Episode
from palaestra.v1.store_service_pb2 import GetStoreUsageRequest, StoreUsage
from palaestra.v1.venue_service_pb2 import GetIdentityResponse
from palaestra.windows import windows

__all__ = ["LEVELS", "AsyncData", "Data", "query", "windows"]

PAGE_SIZE = 200
R = TypeVar("R", bound=Message)
LEVELS = ("L1", "L2", "L3", "L4")


def query(
    *,
    robot: str = "",
    robot_model: str = "",
    maker: str = "",
    scenario: str = "",
    level: str = "",
    text: str = "",
    outcome: str = "",
    quality_min: float | None = None,
    start: datetime | None = None,
    end: datetime | None = None,
    job: str = "",
    labels: Sequence[str] = (),
) -> pb.EpisodeQuery:
    """Return what to look for; all conditions hold together, and what is left out always holds.

    Args:
        robot: A unit's full name.
        level: "L1" to "L4".
        text: Words of the task, all of them; a star lets a word be unfinished: "pick cub*".
        outcome: "success", "failure", "aborted" or "interrupted".
        quality_min: 0 to 1; an episode without a score never meets it.
        start, end: Started at or after, and before.
        job: A job's full name.
        labels: "key", or "key=value".

    Raises:
        ValueError: A level or an outcome that there is none of.
    """
    found = pb.EpisodeQuery(
        robot=robot,
        robot_model=robot_model,
        maker=maker,
        scenario=scenario,
        level=_level(level),
        text=text,
        outcome=f"EPISODE_OUTCOME_{outcome.upper()}" if outcome else None,
        quality_min=quality_min,
        job=job,
        labels=labels,
    )
    if start is not None:
        found.start_time.FromDatetime(start)
    if end is not None:
        found.end_time.FromDatetime(end)
    return found


def _level(level: str) -> Any:
    if level and level.upper() not in LEVELS:
        raise ValueError(f"level {level!r}: one of {', '.join(LEVELS)}")
    return LEVELS.index(level.upper()) + 1 if level else None


class _Calls:
    """The calls of DataService, by what they are asked for."""

    @staticmethod
    def search(parent: str, wanted: pb.EpisodeQuery | None) -> Listing[pb.ListRecordsResponse, EpisodeRecord]:
        request = pb.ListRecordsRequest(parent=parent, page_size=PAGE_SIZE, query=wanted)
        return Listing(_call("ListRecords", request, pb.ListRecordsResponse), lambda page: page.records)

    @staticmethod
    def label(
        parent: str,
        episodes: Sequence[str],
        labels: Mapping[str, str] | None,
        remove: Sequence[str],
        quality: float | None,
        parts: Mapping[str, float] | None,
        method: str,
    ) -> Call[pb.LabelEpisodesResponse]:
        request = pb.LabelEpisodesRequest(
            parent=parent,
            names=episodes,
            labels=labels,
            remove=remove,
            quality=quality,
            quality_parts=parts,
            quality_method=method,
        )
        return _call("LabelEpisodes", request, pb.LabelEpisodesResponse)

    @staticmethod
    def sessions(parent: str) -> Listing[pb.ListSessionsResponse, RecordingSession]:
        request = pb.ListSessionsRequest(parent=parent, page_size=PAGE_SIZE)
        return Listing(_call("ListSessions", request, pb.ListSessionsResponse), lambda page: page.sessions)

    @staticmethod
    def create(parent: str, dataset_id: str, description: str) -> Call[Dataset]:
        dataset = Dataset(description=description)
        return _call(
            "CreateDataset", pb.CreateDatasetRequest(parent=parent, dataset_id=dataset_id, dataset=dataset), Dataset
        )

    @staticmethod
    def datasets(parent: str) -> Listing[pb.ListDatasetsResponse, Dataset]:
        request = pb.ListDatasetsRequest(parent=parent, page_size=PAGE_SIZE)
        return Listing(_call("ListDatasets", request, pb.ListDatasetsResponse), lambda page: page.datasets)

    @staticmethod
    def freeze(
        dataset: str,
        episodes: Sequence[str],
        wanted: pb.EpisodeQuery | None,
        description: str,
        lineage: Sequence[Lineage],
    ) -> Call[DatasetVersion]:
        request = pb.CreateDatasetVersionRequest(
            parent=dataset, episodes=episodes, query=wanted, description=description, lineage=lineage
        )
        return _call("CreateDatasetVersion", request, DatasetVersion)

    @staticmethod
    def versions(dataset: str) -> Listing[pb.ListDatasetVersionsResponse, DatasetVersion]:
        request = pb.ListDatasetVersionsRequest(parent=dataset, page_size=PAGE_SIZE)
        called = _call("ListDatasetVersions", request, pb.ListDatasetVersionsResponse)
        return Listing(called, lambda page: page.versions)

    @staticmethod
    def members(version: str) -> Listing[pb.ListDatasetEpisodesResponse, Episode]:
        request = pb.ListDatasetEpisodesRequest(parent=version, page_size=PAGE_SIZE)
        called = _call("ListDatasetEpisodes", request, pb.ListDatasetEpisodesResponse)
        return Listing(called, lambda page: page.episodes)

    @staticmethod
    def records(version: str) -> Listing[pb.ListDatasetEpisodesResponse, EpisodeRecord]:
        request = pb.ListDatasetEpisodesRequest(parent=version, page_size=PAGE_SIZE, with_records=True)
        called = _call("ListDatasetEpisodes", request, pb.ListDatasetEpisodesResponse)
        return Listing(called, lambda page: page.records)

    @staticmethod
    def usage(vendor: str) -> Call[StoreUsage]:
        request = GetStoreUsageRequest(parent=vendor)
        return Call("/palaestra.v1.StoreService/GetStoreUsage", request, StoreUsage)


def _call(method: str, request: Message, response: type[R]) -> Call[R]:
    return Call(f"/palaestra.v1.DataService/{method}", request, response)


def _vendor_of(episodes: Sequence[str]) -> str:
    return "/".join(episodes[0].split("/")[:2]) if episodes else ""


class Data:
    """Searches the catalogue and adds to it; raises PalaestraError as every method of a client.

    The last part of the name of one's own thing is enough everywhere.
    """

    def __init__(
        self,
        send: Callable[..., Any],
        pages: Callable[..., Iterator[Any]],
        identity: Callable[[], GetIdentityResponse],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    def search(self, wanted: pb.EpisodeQuery | None = None, *, parent: str = "") -> Iterator[EpisodeRecord]:
        """Yield recorded episodes, newest first; operators see those of every vendor. See `query`."""
        return self._pages(_Calls.search(parent or names.parent(self._identity()), wanted))

    def record(self, episode: str) -> EpisodeRecord:
        """Return an episode with its labels, score and data sets."""
        request = pb.GetRecordRequest(name=names.episode(episode, self._identity()))
        found: EpisodeRecord = self._send(_call("GetRecord", request, EpisodeRecord))
        return found

    def label(
        self,
        episodes: Sequence[str],
        labels: Mapping[str, str] | None = None,
        *,
        remove: Sequence[str] = (),
        quality: float | None = None,
        quality_parts: Mapping[str, float] | None = None,
        quality_method: str = "",
    ) -> int:
        """Set and remove labels of up to 1,000 episodes, or score them, all or none. Returns how many have changed."""
        who = self._identity()
        full = [names.episode(name, who) for name in episodes]
        called = _Calls.label(_vendor_of(full), full, labels, remove, quality, quality_parts, quality_method)
        changed: int = self._send(called).changed
        return changed

    def sessions(self, *, parent: str = "") -> Iterator[RecordingSession]:
        """Yield what each attempt of a job has recorded, newest first."""
        return self._pages(_Calls.sessions(parent or names.parent(self._identity())))

    def create_dataset(self, dataset_id: str, description: str = "") -> Dataset:
        """Make a data set, or return the one of this name and description."""
        found: Dataset = self._send(_Calls.create(self._identity().vendor, dataset_id, description))
        return found

    def dataset(self, name: str) -> Dataset:
        """Return a data set."""
        request = pb.GetDatasetRequest(name=names.dataset(name, self._identity()))
        found: Dataset = self._send(_call("GetDataset", request, Dataset))
        return found

    def datasets(self, *, parent: str = "") -> Iterator[Dataset]:
        """Yield data sets by name."""
        return self._pages(_Calls.datasets(parent or names.parent(self._identity())))

    def freeze(
        self,
        dataset: str,
        *,
        episodes: Sequence[str] = (),
        wanted: pb.EpisodeQuery | None = None,
        description: str = "",
        lineage: Sequence[Lineage] = (),
    ) -> DatasetVersion:
        """Fix a list of episodes, or all that a query finds now, as the data set's next version."""
        who = self._identity()
        full = [names.episode(name, who) for name in episodes]
        called = _Calls.freeze(names.dataset(dataset, who), full, wanted, description, lineage)
        found: DatasetVersion = self._send(called)
        return found

    def version(self, name: str) -> DatasetVersion:
        """Return a version by "vendors/{vendor}/datasets/{dataset}/versions/{number}", or "{dataset}/{number}"."""
        request = pb.GetDatasetVersionRequest(name=names.dataset_version(name, self._identity()))
        found: DatasetVersion = self._send(_call("GetDatasetVersion", request, DatasetVersion))
        return found

    def versions(self, dataset: str) -> Iterator[DatasetVersion]:
        """Yield the versions of a data set, newest first."""
        return self._pages(_Calls.versions(names.dataset(dataset, self._identity())))

    def episodes(self, version: str) -> Iterator[Episode]:
        """Yield the episodes of a version in its order."""
        return self._pages(_Calls.members(names.dataset_version(version, self._identity())))

    def records(self, version: str) -> Iterator[EpisodeRecord]:
        """Yield the episodes of a version in its order, each with its labels and score."""
        return self._pages(_Calls.records(names.dataset_version(version, self._identity())))

    def usage(self, vendor: str = "") -> StoreUsage:
        """Return how much of the store a vendor has and may have; one's own by default."""
        found: StoreUsage = self._send(_Calls.usage(vendor or names.parent(self._identity())))
        return found


class AsyncData:
    """The same, awaited."""

    def __init__(
        self,
        send: Callable[..., Awaitable[Any]],
        pages: Callable[..., AsyncIterator[Any]],
        identity: Callable[[], Awaitable[GetIdentityResponse]],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    async def search(self, wanted: pb.EpisodeQuery | None = None, *, parent: str = "") -> AsyncIterator[EpisodeRecord]:
        """Yield recorded episodes, newest first."""
        async for record in self._pages(_Calls.search(parent or names.parent(await self._identity()), wanted)):
            yield record

    async def record(self, episode: str) -> EpisodeRecord:
        """Return an episode with its labels, score and data sets."""
        request = pb.GetRecordRequest(name=names.episode(episode, await self._identity()))
        found: EpisodeRecord = await self._send(_call("GetRecord", request, EpisodeRecord))
        return found

    async def label(
        self,
        episodes: Sequence[str],
        labels: Mapping[str, str] | None = None,
        *,
        remove: Sequence[str] = (),
        quality: float | None = None,
        quality_parts: Mapping[str, float] | None = None,
        quality_method: str = "",
    ) -> int:
        """Set and remove labels of up to 1,000 episodes, or score them, all or none. Returns how many have changed."""
        who = await self._identity()
        full = [names.episode(name, who) for name in episodes]
        called = _Calls.label(_vendor_of(full), full, labels, remove, quality, quality_parts, quality_method)
        changed: int = (await self._send(called)).changed
        return changed

    async def sessions(self, *, parent: str = "") -> AsyncIterator[RecordingSession]:
        """Yield what each attempt of a job has recorded, newest first."""
        async for session in self._pages(_Calls.sessions(parent or names.parent(await self._identity()))):
            yield session

    async def create_dataset(self, dataset_id: str, description: str = "") -> Dataset:
        """Make a data set, or return the one of this name and description."""
        found: Dataset = await self._send(_Calls.create((await self._identity()).vendor, dataset_id, description))
        return found

    async def dataset(self, name: str) -> Dataset:
        """Return a data set."""
        request = pb.GetDatasetRequest(name=names.dataset(name, await self._identity()))
        found: Dataset = await self._send(_call("GetDataset", request, Dataset))
        return found

    async def datasets(self, *, parent: str = "") -> AsyncIterator[Dataset]:
        """Yield data sets by name."""
        async for dataset in self._pages(_Calls.datasets(parent or names.parent(await self._identity()))):
            yield dataset

    async def freeze(
        self,
        dataset: str,
        *,
        episodes: Sequence[str] = (),
        wanted: pb.EpisodeQuery | None = None,
        description: str = "",
        lineage: Sequence[Lineage] = (),
    ) -> DatasetVersion:
        """Fix a list of episodes, or all that a query finds now, as the data set's next version."""
        who = await self._identity()
        full = [names.episode(name, who) for name in episodes]
        called = _Calls.freeze(names.dataset(dataset, who), full, wanted, description, lineage)
        found: DatasetVersion = await self._send(called)
        return found

    async def version(self, name: str) -> DatasetVersion:
        """Return a version."""
        request = pb.GetDatasetVersionRequest(name=names.dataset_version(name, await self._identity()))
        found: DatasetVersion = await self._send(_call("GetDatasetVersion", request, DatasetVersion))
        return found

    async def versions(self, dataset: str) -> AsyncIterator[DatasetVersion]:
        """Yield the versions of a data set, newest first."""
        async for version in self._pages(_Calls.versions(names.dataset(dataset, await self._identity()))):
            yield version

    async def episodes(self, version: str) -> AsyncIterator[Episode]:
        """Yield the episodes of a version in its order."""
        async for episode in self._pages(_Calls.members(names.dataset_version(version, await self._identity()))):
            yield episode

    async def records(self, version: str) -> AsyncIterator[EpisodeRecord]:
        """Yield the episodes of a version in its order, each with its labels and score."""
        async for record in self._pages(_Calls.records(names.dataset_version(version, await self._identity()))):
            yield record

    async def usage(self, vendor: str = "") -> StoreUsage:
        """Return how much of the store a vendor has and may have; one's own by default."""
        found: StoreUsage = await self._send(_Calls.usage(vendor or names.parent(await self._identity())))
        return found
