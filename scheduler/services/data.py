"""DataService: the catalogue of what was recorded.

A change is written into the audit first and then done: the two are in different files, and an entry for what was not
done after all is better than a change that nobody wrote down.
"""

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message

from catalogue import BadQuery, Catalogue, Key, Query
from catalogue.catalogue import Change, Record
from catalogue.dataset import Source
from palaestra.errors import PalaestraError
from palaestra.v1 import data_pb2, data_service_pb2, data_service_pb2_grpc, episode_pb2
from scheduler import names, reading
from scheduler.core import Core
from scheduler.guard import caller
from scheduler.shelf import Shelf

LABEL_KEY = re.compile(r"[a-z][a-z0-9_.-]{0,62}")


class DataService(data_service_pb2_grpc.DataServiceServicer):
    def __init__(self, core: Core, shelf: Shelf) -> None:
        self._core = core
        self._shelf = shelf
        # A version of very many episodes takes seconds: a vendor makes one at a time, so that others' have their turn.
        self._freezing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def ListRecords(
        self, request: data_service_pb2.ListRecordsRequest, context: Any
    ) -> data_service_pb2.ListRecordsResponse:
        vendor = self._scope(request.parent)
        query = query_of(request.query, vendor)
        scope = ("records", request.parent, caller().vendor, repr(query))
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        after = None if page.after is None else Key(*map(int, page.after.split()))
        found = await self._ask(lambda catalogue: catalogue.search(query, after=after, size=page.size))
        token = "" if found.next is None else self._core.pager.token(f"{found.next.start_ns} {found.next.id}", scope)
        return data_service_pb2.ListRecordsResponse(records=map(record_message, found.rows), next_page_token=token)

    async def GetRecord(self, request: data_service_pb2.GetRecordRequest, context: Any) -> data_pb2.EpisodeRecord:
        vendor = self._owner(request.name)
        return record_message(await self._ask(lambda catalogue: catalogue.record(vendor, names.parts(request.name)[1])))

    async def LabelEpisodes(
        self, request: data_service_pb2.LabelEpisodesRequest, context: Any
    ) -> data_service_pb2.LabelEpisodesResponse:
        vendor = self._own(request.parent)
        uids = _uids(request.names, vendor)
        change = change_of(request)
        await self._ask(lambda catalogue: catalogue.check_own(vendor, uids))
        by, now_ns = await self._written_down()
        changed = await self._ask(lambda catalogue: catalogue.change(vendor, uids, change, by=by, now_ns=now_ns))
        return data_service_pb2.LabelEpisodesResponse(changed=changed)

    async def ListSessions(
        self, request: data_service_pb2.ListSessionsRequest, context: Any
    ) -> data_service_pb2.ListSessionsResponse:
        vendor = self._scope(request.parent)
        scope = ("sessions", request.parent, caller().vendor)
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        before = None if page.after is None else int(page.after)
        rows = await self._ask(lambda catalogue: catalogue.sessions(vendor, before=before, size=page.size))
        shown = rows[: page.size]
        token = self._core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        return data_service_pb2.ListSessionsResponse(sessions=map(_session, shown), next_page_token=token)

    async def CreateDataset(self, request: data_service_pb2.CreateDatasetRequest, context: Any) -> data_pb2.Dataset:
        vendor = self._own(request.parent)
        by, now_ns = await self._written_down(f"{request.parent}/datasets/{request.dataset_id}")
        name, text = request.dataset_id, request.dataset.description
        row = await self._ask(lambda c: c.datasets.create(vendor, name, text, by=by, now_ns=now_ns))
        return _dataset(row)

    async def GetDataset(self, request: data_service_pb2.GetDatasetRequest, context: Any) -> data_pb2.Dataset:
        vendor = self._owner(request.name)
        return _dataset(await self._ask(lambda c: c.datasets.get(vendor, names.parts(request.name)[1])))

    async def ListDatasets(
        self, request: data_service_pb2.ListDatasetsRequest, context: Any
    ) -> data_service_pb2.ListDatasetsResponse:
        vendor = self._scope(request.parent)
        scope = ("datasets", request.parent, caller().vendor)
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        after = None if page.after is None else (page.after.split()[0], page.after.split()[1])
        rows = await self._ask(lambda c: c.datasets.list(vendor, after=after, size=page.size))
        shown = rows[: page.size]
        last = f"{shown[-1]['vendor']} {shown[-1]['name']}" if len(rows) > page.size else ""
        token = self._core.pager.token(last, scope) if last else ""
        return data_service_pb2.ListDatasetsResponse(datasets=map(_dataset, shown), next_page_token=token)

    async def CreateDatasetVersion(
        self, request: data_service_pb2.CreateDatasetVersionRequest, context: Any
    ) -> data_pb2.DatasetVersion:
        vendor, dataset = self._own(request.parent), names.parts(request.parent)[1]
        uids = _uids(request.episodes, vendor)
        query = query_of(request.query, vendor) if request.HasField("query") else None
        sources = [self._source(one, vendor) for one in request.lineage]
        await self._ask(lambda c: (c.datasets.get(vendor, dataset), c.check_own(vendor, uids)))
        by, now_ns = await self._written_down()

        def freeze(catalogue: Catalogue) -> data_pb2.DatasetVersion:
            row = catalogue.datasets.freeze(
                vendor,
                dataset,
                uids=uids,
                query=query,
                description=request.description,
                sources=sources,
                by=by,
                now_ns=now_ns,
            )
            return _version(request.parent, row, catalogue.datasets.lineage(row["id"]))

        async with self._freezing[vendor]:
            made: data_pb2.DatasetVersion = await self._ask(freeze, slow=True)
        return made

    async def GetDatasetVersion(
        self, request: data_service_pb2.GetDatasetVersionRequest, context: Any
    ) -> data_pb2.DatasetVersion:
        vendor, dataset, number = self._version_parts(request.name)

        def find(catalogue: Catalogue) -> data_pb2.DatasetVersion:
            row = catalogue.datasets.version(vendor, dataset, number)
            return _version(request.name.rpartition("/versions/")[0], row, catalogue.datasets.lineage(row["id"]))

        found: data_pb2.DatasetVersion = await self._ask(find, request.name)
        return found

    async def ListDatasetVersions(
        self, request: data_service_pb2.ListDatasetVersionsRequest, context: Any
    ) -> data_service_pb2.ListDatasetVersionsResponse:
        vendor, dataset = self._owner(request.parent), names.parts(request.parent)[1]
        scope = ("versions", request.parent, caller().vendor)
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        before = None if page.after is None else int(page.after)

        def find(catalogue: Catalogue) -> list[tuple[Any, Any]]:
            rows = catalogue.datasets.versions(vendor, dataset, before=before, size=page.size)
            return [(row, catalogue.datasets.lineage(row["id"])) for row in rows]

        rows = await self._ask(find)
        shown = rows[: page.size]
        token = self._core.pager.token(shown[-1][0]["number"], scope) if len(rows) > page.size else ""
        versions = [_version(request.parent, row, lineage) for row, lineage in shown]
        return data_service_pb2.ListDatasetVersionsResponse(versions=versions, next_page_token=token)

    async def ListDatasetEpisodes(
        self, request: data_service_pb2.ListDatasetEpisodesRequest, context: Any
    ) -> data_service_pb2.ListDatasetEpisodesResponse:
        vendor, dataset, number = self._version_parts(request.parent)
        scope = ("members", request.parent, caller().vendor)
        page = self._core.pager.page(request.page_token, request.page_size, scope)
        after = -1 if page.after is None else int(page.after)
        if request.with_records:
            return await self._members(request, vendor, dataset, number, after, page.size, scope)

        def find(catalogue: Catalogue) -> Sequence[tuple[int, bytes]]:
            version = catalogue.datasets.version(vendor, dataset, number)
            return catalogue.datasets.episodes(version["id"], after=after, size=page.size)

        rows = await self._ask(find, request.parent)
        shown = rows[: page.size]
        token = self._core.pager.token(shown[-1][0], scope) if len(rows) > page.size else ""
        episodes = [episode_pb2.Episode.FromString(body) for _, body in shown]
        return data_service_pb2.ListDatasetEpisodesResponse(episodes=episodes, next_page_token=token)

    async def _members(
        self,
        request: data_service_pb2.ListDatasetEpisodesRequest,
        vendor: str,
        dataset: str,
        number: int,
        after: int,
        size: int,
        scope: Any,
    ) -> data_service_pb2.ListDatasetEpisodesResponse:
        def find(catalogue: Catalogue) -> Sequence[tuple[int, Record]]:
            version = catalogue.datasets.version(vendor, dataset, number)
            return catalogue.members(version["id"], after=after, size=size)

        rows = await self._ask(find, request.parent)
        shown = rows[:size]
        token = self._core.pager.token(shown[-1][0], scope) if len(rows) > size else ""
        records = [record_message(record) for _, record in shown]
        return data_service_pb2.ListDatasetEpisodesResponse(records=records, next_page_token=token)

    # Who may: the same three questions before every answer.

    def _scope(self, parent: str) -> str | None:
        """Return the vendor of a list call, None for all of them. Raises NOT_FOUND, SCOPE_DENIED."""
        vendor = reading.vendor_scope(self._core.read, caller(), parent)
        reading.whole_vendor_scope(caller())
        return vendor

    def _owner(self, name: str) -> str:
        """Return the vendor of a named thing that the caller may see; who is kept to projects sees none.

        Raises NOT_FOUND.
        """
        vendor = name.split("/")[1]
        if not caller().sees_vendor(vendor) or caller().projects:
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        return vendor

    def _own(self, parent: str) -> str:
        """Return the vendor that the caller acts for. Raises NOT_FOUND for any other, SCOPE_DENIED."""
        vendor = parent.split("/")[1]
        if vendor != caller().vendor:
            raise PalaestraError("NOT_FOUND", f"{parent} not found")
        reading.whole_vendor_scope(caller())
        return vendor

    def _version_parts(self, name: str) -> tuple[str, str, int]:
        vendor = self._owner(name)
        return vendor, name.split("/")[3], int(name.split("/")[5])

    def _source(self, lineage: data_pb2.Lineage, vendor: str) -> Source:
        if lineage.source.startswith("vendors/") and lineage.source.split("/")[1] != vendor:
            raise PalaestraError("NOT_FOUND", f"{lineage.source} not found")
        return Source(lineage.source, lineage.step, lineage.code_sha256, lineage.parameters)

    async def _written_down(self, made: str = "") -> tuple[str, int]:
        """Write the present call into the audit. Returns who calls, and when.

        made: The name of what the call makes.
        """
        result: Message | None = data_pb2.Dataset(name=made) if made else None
        now_ns = self._core.clock.now_ns()
        await self._core.run(lambda tx: result)
        return str(caller()), now_ns

    async def _ask(self, question: Any, name: str = "", *, slow: bool = False) -> Any:
        try:
            return await self._shelf.ask(question, slow=slow)
        except BadQuery as error:
            raise PalaestraError("INVALID_FIELD", f"query.{error}") from error
        except PalaestraError as error:
            # In the words of the request: another form of a number must not tell that there is something.
            if not name or error.reason != "NOT_FOUND":
                raise
            raise PalaestraError("NOT_FOUND", f"{name} not found") from None


def query_of(message: data_service_pb2.EpisodeQuery, vendor: str | None) -> Query:
    """Return a message's query in the catalogue's terms. Another vendor's job has none of this one's episodes."""
    labels = tuple(
        (key, value if equals else None) for key, equals, value in (e.partition("=") for e in message.labels)
    )
    return Query(
        vendor=vendor,
        robot=message.robot,
        robot_model=message.robot_model,
        maker=message.maker,
        scenario=message.scenario,
        level=message.level,
        text=message.text,
        outcome=message.outcome,
        quality_min=message.quality_min if message.HasField("quality_min") else None,
        start_ns=message.start_time.ToNanoseconds() if message.HasField("start_time") else None,
        end_ns=message.end_time.ToNanoseconds() if message.HasField("end_time") else None,
        job=message.job,
        labels=labels,
    )


def change_of(request: data_service_pb2.LabelEpisodesRequest) -> Change:
    """Return what is to be added. Raises INVALID_FIELD for a label without a proper name, or nothing to do."""
    for key in (*request.labels, *request.quality_parts):
        if not LABEL_KEY.fullmatch(key):
            raise PalaestraError("INVALID_FIELD", f"labels: {key[:80]!r} is no name: {LABEL_KEY.pattern}")
    if both := sorted(set(request.labels) & set(request.remove)):
        raise PalaestraError("INVALID_FIELD", f"remove: {both[0]!r} is set and removed at once")
    scored = request.HasField("quality")
    if not scored and (request.quality_parts or request.quality_method):
        raise PalaestraError("INVALID_FIELD", "quality: parts and method go with a quality")
    if not (request.labels or request.remove or scored):
        raise PalaestraError("INVALID_FIELD", "labels: there is nothing to set or to remove")
    return Change(
        dict(request.labels),
        tuple(request.remove),
        request.quality if scored else None,
        dict(request.quality_parts),
        request.quality_method,
    )


def _uids(given: Sequence[str], vendor: str) -> list[str]:
    for name in given:
        if name.split("/")[1] != vendor:
            raise PalaestraError("NOT_FOUND", f"{name} not found")
    return [names.parts(name)[1] for name in given]


def record_message(record: Record) -> data_pb2.EpisodeRecord:
    """Return a record as the contract has it."""
    episode = episode_pb2.Episode.FromString(record.body)
    vendor = episode.name.split("/")[1]
    return data_pb2.EpisodeRecord(
        episode=episode,
        labels=dict(record.labels),
        quality=record.quality,
        quality_parts=dict(record.parts),
        quality_method=record.method,
        dataset_versions=[f"vendors/{vendor}/datasets/{name}/versions/{number}" for name, number in record.versions],
    )


def _session(row: Any) -> data_pb2.RecordingSession:
    keys = ("name", "job", "robot_model", "scenario", "task", "episode_count", "success_count", "duration_s")
    message = data_pb2.RecordingSession(**{key: row[key] for key in (*keys, "size_bytes")})
    message.start_time.FromNanoseconds(row["start_ns"])
    return message


def _dataset(row: Any) -> data_pb2.Dataset:
    message = data_pb2.Dataset(
        name=f"vendors/{row['vendor']}/datasets/{row['name']}",
        description=row["description"],
        latest_version=row["latest"],
    )
    message.create_time.FromNanoseconds(row["create_ns"])
    return message


def _version(dataset: str, row: Any, lineage: Sequence[Source]) -> data_pb2.DatasetVersion:
    keys = ("number", "description", "episode_count", "duration_s", "size_bytes", "manifest_sha256")
    message = data_pb2.DatasetVersion(
        name=f"{dataset}/versions/{row['number']}",
        **{key: row[key] for key in keys},
        lineage=[data_pb2.Lineage(**vars(source)) for source in lineage],
    )
    message.create_time.FromNanoseconds(row["create_ns"])
    return message
