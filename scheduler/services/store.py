"""StoreService: how much of the store a vendor has and may have."""

from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import store_service_pb2, store_service_pb2_grpc
from scheduler import names, reading
from scheduler.allowance import Allowance
from scheduler.core import Core
from scheduler.guard import caller


class StoreService(store_service_pb2_grpc.StoreServiceServicer):
    def __init__(self, core: Core, allowance: Allowance) -> None:
        self._core = core
        self._allowance = allowance

    async def GetStoreUsage(
        self, request: store_service_pb2.GetStoreUsageRequest, context: Any
    ) -> store_service_pb2.StoreUsage:
        vendor = request.parent.split("/")[1]
        who = caller()
        known = {one.id for one in self._core.settings.venue.vendors}
        if vendor not in known or not who.sees_vendor(vendor):
            raise PalaestraError("NOT_FOUND", f"{request.parent} not found")
        reading.whole_vendor_scope(who)
        used, quota = await self._allowance.usage(vendor), self._allowance.quotas.of(vendor)
        return store_service_pb2.StoreUsage(
            vendor=request.parent,
            episode_count=used.episodes,
            size_bytes=used.size_bytes,
            episode_count_max=quota.episodes or 0,
            size_bytes_max=quota.size_bytes or 0,
            removed_episode_count=used.removed_episodes,
            removed_size_bytes=used.removed_bytes,
            warning=self._allowance.quotas.warning(vendor, used),
        )

    async def CheckRoom(
        self, request: store_service_pb2.CheckRoomRequest, context: Any
    ) -> store_service_pb2.CheckRoomResponse:
        vendor = names.attempt_parts(request.attempt)[0]
        return store_service_pb2.CheckRoomResponse(warning=await self._allowance.check(vendor))
