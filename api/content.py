"""Downloads: the bytes of an episode, and a job's episodes as a data set. Owners only."""

import asyncio
import logging
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.responses import FileResponse, Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from api.session import Token
from api.upstream import Upstream
from palaestra.errors import PalaestraError
from palaestra.v1 import (
    data_pb2,
    data_service_pb2,
    episode_pb2,
    episode_service_pb2,
    job_service_pb2,
    venue_service_pb2,
)
from store.access import require_content
from store.errors import (
    EpisodeNotFound,
    ExportRefused,
    InvalidDigest,
    ObjectNotFound,
    StoreError,
    StoreFull,
    StoreUnreachable,
)
from store.objects import ObjectStore

log = logging.getLogger(__name__)
PARQUET = "application/vnd.apache.parquet"
MOST_EPISODES = 100_000


class PictureRefused(StoreError):
    """An episode cannot be drawn."""


class Download(StreamingResponse):
    """A zip of a folder, which is removed however the download ends."""

    media_type = "application/zip"

    def __init__(self, pieces: Iterable[bytes], folder: Path, *, filename: str) -> None:
        super().__init__(pieces, headers={"Content-Disposition": f'attachment; filename="{filename}"'})
        self._folder = folder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the download."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)


def router() -> APIRouter:
    """Return the routes of contents and exports."""
    found = APIRouter()
    # An export decodes whole episodes: one at a time leaves the machine to the robots.
    one_export = asyncio.Semaphore(1)

    @found.get("/v1/vendors/{vendor}/episodes/{episode}/content", response_model=None, tags=["EpisodeService"],
               operation_id="EpisodeService_GetContent",
               summary="The episode's Parquet file; ranges; owner only")  # fmt: skip
    async def content(request: Request, token: Token, vendor: str, episode: str) -> Response:
        upstream: Upstream = request.app.state.upstream
        name = f"vendors/{vendor}/episodes/{episode}"
        row = await find_episode(upstream, token, name)
        await require_owner(upstream, token, f"vendors/{vendor}", name)
        try:
            # In a thread: it may have to be fetched first.
            path = await asyncio.to_thread(request.app.state.objects.path_of, row.content.sha256)
        except StoreError as error:
            raise refused(error) from None
        # The name of the bytes is their hash, which makes a perfect entity tag.
        headers = {"ETag": f'"{row.content.sha256}"', "Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type=PARQUET, headers=headers, filename=f"{episode}.parquet")

    @found.get("/v1/vendors/{vendor}/jobs/{job}/export", response_model=None, tags=["EpisodeService"],
               operation_id="EpisodeService_ExportJob",
               summary="A job's episodes as a zipped data set; owner only")  # fmt: skip
    async def export(
        request: Request,
        token: Token,
        vendor: str,
        job: str,
        format: Literal["lerobot"] = "lerobot",
        fps: Annotated[int, Query(ge=1, le=1000)] = 50,
    ) -> Response:
        upstream: Upstream = request.app.state.upstream
        name = f"vendors/{vendor}/jobs/{job}"
        digests = await _digests(upstream, token, f"vendors/{vendor}", name)
        await require_owner(upstream, token, f"vendors/{vendor}", name)
        async with one_export:
            return await _download(request.app.state.objects, digests, job, fps)

    return found


async def find_episode(upstream: Upstream, token: str, name: str) -> episode_pb2.Episode:
    """Return an episode of a job, or an imported one, which the catalogue alone knows. Raises NOT_FOUND."""
    try:
        request = episode_service_pb2.GetEpisodeRequest(name=name)
        found: episode_pb2.Episode = await upstream.call("EpisodeService.GetEpisode", request, token=token)
        return found
    except PalaestraError as error:
        if error.reason != "NOT_FOUND":
            raise
        try:
            wanted = data_service_pb2.GetRecordRequest(name=name)
            record: data_pb2.EpisodeRecord = await upstream.call("DataService.GetRecord", wanted, token=token)
        except PalaestraError:
            raise error from None
        return record.episode


async def require_owner(upstream: Upstream, token: str, owner: str, name: str) -> None:
    """Return if the caller may have the content of an episode or job. Raises NOT_FOUND, as for none."""
    request = venue_service_pb2.GetIdentityRequest()
    identity: venue_service_pb2.GetIdentityResponse = await upstream.call(
        "VenueService.GetIdentity", request, token=token
    )
    try:
        require_content(name, reader_vendor=identity.vendor, role=identity.role, owner_vendor=owner)
    except EpisodeNotFound as error:
        raise refused(error) from None


async def _digests(upstream: Upstream, token: str, parent: str, job: str) -> list[str]:
    """Return the hashes of a job's episodes, oldest first, each once. Raises NOT_FOUND for no such job."""
    await upstream.call("JobService.GetJob", job_service_pb2.GetJobRequest(name=job), token=token)
    digests: list[str] = []
    page = ""
    while True:
        request = episode_service_pb2.ListEpisodesRequest(parent=parent, job=job, page_size=1000, page_token=page)
        response: episode_service_pb2.ListEpisodesResponse = await upstream.call(
            "EpisodeService.ListEpisodes", request, token=token
        )
        digests += [episode.content.sha256 for episode in response.episodes]
        page = response.next_page_token
        if not page:
            return list(dict.fromkeys(reversed(digests)))
        if len(digests) >= MOST_EPISODES:
            raise PalaestraError(
                "INVALID_FIELD", f"{job} has more than {MOST_EPISODES} episodes, too many for one export"
            )


async def _download(objects: ObjectStore, digests: list[str], job: str, fps: int) -> Response:
    building = asyncio.ensure_future(asyncio.to_thread(_build, objects, digests, fps))
    try:
        folder = await asyncio.shield(building)
    except asyncio.CancelledError:
        building.add_done_callback(_discard)
        raise
    from store.archive import stream_zip

    return Download(stream_zip(folder / "data", prefix=f"{job}/"), folder, filename=f"{job}-lerobot.zip")


def _build(objects: ObjectStore, digests: list[str], fps: int) -> Path:
    """Write the data set into a new folder and return it; nothing stays after an error."""
    # Decoding episodes takes pyarrow, which nobody who only looks should wait for.
    from store.lerobot import export_job

    folder = Path(tempfile.mkdtemp(prefix="palaestra-export-"))
    try:
        export_job(objects, digests, folder / "data", fps)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)
        if isinstance(error, StoreError):
            raise refused(error) from error
        raise
    return folder


def _discard(building: "asyncio.Future[Path]") -> None:
    if not building.cancelled() and building.exception() is None:
        shutil.rmtree(building.result(), ignore_errors=True)


def refused(error: StoreError) -> PalaestraError:
    """Return the store's error as one of the registry."""
    if isinstance(error, EpisodeNotFound | ObjectNotFound | InvalidDigest):
        return PalaestraError("NOT_FOUND", str(error))
    if isinstance(error, StoreFull):
        return PalaestraError("STORE_FULL", str(error), retry_after_s=60)
    if isinstance(error, StoreUnreachable):
        # Where the objects are is the operators' business, and in their log.
        log.error("%s", error)
        return PalaestraError(
            "STORE_UNREACHABLE", "the service that holds the episodes does not answer", retry_after_s=10
        )
    if isinstance(error, PictureRefused):
        return PalaestraError("INVALID_FIELD", str(error), metadata={"field": "episode"})
    if isinstance(error, ExportRefused):
        return PalaestraError("INVALID_FIELD", str(error), metadata={"field": "job"})
    return PalaestraError("INTERNAL", f"the store holds something else than the catalogue says: {error}")
