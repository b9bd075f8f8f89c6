"""AuditService: who did what, and that nobody changed the record of it."""

from typing import Any

from palaestra.errors import PalaestraError
from palaestra.v1 import audit_pb2, audit_service_pb2, audit_service_pb2_grpc
from scheduler import audit, reading
from scheduler.core import Core
from scheduler.guard import caller


class AuditService(audit_service_pb2_grpc.AuditServiceServicer):
    def __init__(self, core: Core) -> None:
        self._core = core

    async def ListAuditEntries(
        self, request: audit_service_pb2.ListAuditEntriesRequest, context: Any
    ) -> audit_service_pb2.ListAuditEntriesResponse:
        core, whose = self._core, self._chain(request.parent)
        scope = ("audit", whose, caller().vendor, str(request.after_sequence))
        page = core.pager.page(request.page_token, request.page_size, scope)
        after = max(request.after_sequence, int(page.after or 0))
        found = audit.entries(core.read, whose, after, page.size + 1)
        shown = found[: page.size]
        token = ""
        if len(found) > page.size:
            token = core.pager.token(shown[-1].venue_sequence or shown[-1].sequence, scope)
        return audit_service_pb2.ListAuditEntriesResponse(entries=shown, next_page_token=token)

    async def GetAuditHead(self, request: audit_service_pb2.GetAuditHeadRequest, context: Any) -> audit_pb2.AuditHead:
        return audit.head(self._core.read, self._chain(request.parent), self._core.clock.now_ns())

    def _chain(self, parent: str) -> str:
        """Return whose chain a parent stands for. Raises NOT_FOUND; SCOPE_DENIED for a key of projects."""
        if parent.startswith("venues/"):
            if not caller().role.sees_everybody:
                raise PalaestraError("NOT_FOUND", f"{parent} not found")
            reading.venue_scope(self._core.venue, parent)
            return audit.ALL
        vendor = reading.one_vendor_scope(self._core.read, caller(), parent)
        reading.whole_vendor_scope(caller())
        return vendor
