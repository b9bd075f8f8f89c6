"""EpisodeService: the catalogue of episodes."""

from typing import Any

from palaestra.v1 import episode_pb2, episode_service_pb2, episode_service_pb2_grpc
from scheduler import names, reading, resources
from scheduler.core import Core
from scheduler.guard import caller


class EpisodeService(episode_service_pb2_grpc.EpisodeServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def GetEpisode(self, request: episode_service_pb2.GetEpisodeRequest, context: Any) -> episode_pb2.Episode:
        return resources.episode(reading.find(self._core.read, "episode", caller(), request.name))

    async def ListEpisodes(
        self, request: episode_service_pb2.ListEpisodesRequest, context: Any
    ) -> episode_service_pb2.ListEpisodesResponse:
        core = self._core
        vendor = reading.vendor_scope(core.read, caller(), request.parent)
        scope = ("episodes", request.parent, caller().vendor, request.job, request.robot_model)
        page = core.pager.page(request.page_token, request.page_size, scope)
        where: list[tuple[str, object]] = []
        if request.job:
            owner, uid = names.parts(request.job)
            where.append(("e.job_id = (SELECT id FROM job WHERE uid = ?)", uid))
            where.append(("e.vendor = ?", owner))
        if request.robot_model:
            where.append(("e.robot_model = ?", request.robot_model))
        rows = reading.page(core.read, "SELECT e.* FROM episode e", "episode", caller(), vendor, page, where)
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        episodes = [resources.episode(row) for row in shown]
        return episode_service_pb2.ListEpisodesResponse(episodes=episodes, next_page_token=token)
