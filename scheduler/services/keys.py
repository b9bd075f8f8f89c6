"""ApiKeyService: vendors and operators make keys for programs, and take them back."""

import asyncio
from typing import Any, TypeVar

from palaestra import ids
from palaestra.errors import PalaestraError
from palaestra.v1 import api_key_pb2, api_key_service_pb2, api_key_service_pb2_grpc
from scheduler import names, reading, resources
from scheduler.commands import keying
from scheduler.core import Core
from scheduler.guard import caller
from scheduler.health import VENUE_VENDOR
from scheduler.keys import Keys
from scheduler.sql import Row
from scheduler.writer import Command

T = TypeVar("T")


class ApiKeyService(api_key_service_pb2_grpc.ApiKeyServiceServicer):
    def __init__(self, core: Core, keys: Keys) -> None:
        self._core = core
        self._keys = keys

    async def CreateApiKey(
        self, request: api_key_service_pb2.CreateApiKeyRequest, context: Any
    ) -> api_key_service_pb2.ApiKeySecret:
        core, maker, spec = self._core, caller(), request.api_key
        owner = self._owner(request.parent)
        if owner is None:
            raise PalaestraError("NOT_FOUND", f"{request.parent} not found")
        vendor = "" if owner == VENUE_VENDOR else owner
        _own_side(vendor)
        projects = [project.id for project in core.settings.venue.projects if project.vendor == vendor]
        role = keying.check(spec, vendor, maker, projects, core.clock.now_ns())
        if request.validate_only:
            plain = api_key_pb2.ApiKey(display_name=spec.display_name, role=role.value)
            plain.methods.extend(spec.methods)
            plain.projects.extend(spec.projects)
            if spec.HasField("expire_time"):
                plain.expire_time.CopyFrom(spec.expire_time)
            return api_key_service_pb2.ApiKeySecret(api_key=plain)
        uid = ids.new_id()
        made, secret, gone = await self._change(uid, keying.create(uid, spec, role, owner, maker, core.secret))
        for former in gone:
            self._keys.look(former)
        return api_key_service_pb2.ApiKeySecret(api_key=made, secret=secret)

    async def GetApiKey(self, request: api_key_service_pb2.GetApiKeyRequest, context: Any) -> api_key_pb2.ApiKey:
        return resources.api_key(self._core.venue, self._find(request.name))

    async def ListApiKeys(
        self, request: api_key_service_pb2.ListApiKeysRequest, context: Any
    ) -> api_key_service_pb2.ListApiKeysResponse:
        core = self._core
        owner = self._owner(request.parent)
        scope = ("keys", request.parent, caller().vendor, str(request.show_ended))
        page = core.pager.page(request.page_token, request.page_size, scope)
        where: list[tuple[str, object]] = []
        if owner is None:
            where.append(("a.vendor != ?", VENUE_VENDOR))
        if not request.show_ended:
            now_ns = core.clock.now_ns()
            where.append(("a.revoke_ns IS NULL AND (a.expire_ns IS NULL OR a.expire_ns > ?)", now_ns))
        rows = reading.page(core.read, "SELECT a.* FROM api_key a", "api_key", caller(), owner, page, where)
        shown = rows[: page.size]
        token = core.pager.token(shown[-1]["id"], scope) if len(rows) > page.size else ""
        found = [resources.api_key(core.venue, row) for row in shown]
        return api_key_service_pb2.ListApiKeysResponse(api_keys=found, next_page_token=token)

    async def RotateApiKey(
        self, request: api_key_service_pb2.RotateApiKeyRequest, context: Any
    ) -> api_key_service_pb2.ApiKeySecret:
        row = self._find(request.name)
        _own_side("" if row["vendor"] == VENUE_VENDOR else row["vendor"])
        uid = row["uid"]
        command = keying.rotate(uid, request.overlap.ToNanoseconds(), request.etag, caller(), self._core.secret)
        made, secret = await self._change(uid, command)
        return api_key_service_pb2.ApiKeySecret(api_key=made, secret=secret)

    async def RevokeApiKey(self, request: api_key_service_pb2.RevokeApiKeyRequest, context: Any) -> api_key_pb2.ApiKey:
        uid = self._find(request.name)["uid"]
        return await self._change(uid, keying.revoke(uid, request.etag, caller()))

    async def _change(self, uid: str, command: Command[T]) -> T:
        """Run a command and take in what it did to a key; to the end, although the caller may hang up on the way."""

        async def change() -> T:
            try:
                return await self._core.run(command)
            finally:
                self._keys.look(uid)

        return await asyncio.shield(asyncio.create_task(change()))

    def _owner(self, parent: str) -> str | None:
        """Return the vendor of a parent, None for all; for the house, the venue's own. Raises NOT_FOUND."""
        kind, owner = parent.split("/")
        if kind == "vendors" and owner != VENUE_VENDOR:
            return reading.vendor_scope(self._core.read, caller(), parent)
        if kind == "venues" and caller().role.sees_everybody:
            reading.venue_scope(self._core.venue, parent)
            return VENUE_VENDOR
        raise PalaestraError("NOT_FOUND", f"{parent} not found")

    def _find(self, name: str) -> Row:
        """Return a key's row. Raises NOT_FOUND; to a key of projects all keys are, for they are of none."""
        uid = names.parts(name)[1]
        row: Row | None = self._core.read.execute("SELECT * FROM api_key WHERE uid = ?", (uid,)).fetchone()
        if (
            row is None
            or caller().projects
            or not caller().sees_vendor(row["vendor"])
            or names.api_key(self._core.venue, row["vendor"], uid) != name
        ):
            raise PalaestraError("NOT_FOUND", f"{name} not found")
        return row


def _own_side(vendor: str) -> None:
    """Raise VENDOR_ONLY for who would get the secret of somebody else: nobody of the house acts for a vendor."""
    if vendor != caller().vendor:
        raise PalaestraError(
            "VENDOR_ONLY",
            f"role {caller().role.value} gets no secret that acts for vendor {vendor}; the vendor's own do",
        )
