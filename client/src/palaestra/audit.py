"""Who did what: `client.audit`, plain and for asyncio. The chains themselves are in `palaestra.chain`."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from palaestra import calls
from palaestra.chain import BrokenChain, Chain, VenueChain
from palaestra.v1.audit_pb2 import AuditEntry, AuditHead
from palaestra.v1.venue_service_pb2 import GetIdentityResponse


class Audit:
    """Reads the audit. For vendors, operators and safety; raises PalaestraError as every method of a client.

    A parent is "vendors/{vendor}" for that vendor's chain, or "venues/-" for all chains together, in the order of the
    venue's; without one, the vendor's own, or for the house all.
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

    def entries(self, *, parent: str = "", after_sequence: int = 0) -> Iterator[AuditEntry]:
        """Yield entries, oldest first, with larger sequence numbers than `after_sequence`."""
        return self._pages(calls.audit_entries(self._parent(parent), after_sequence))

    def head(self, *, parent: str = "") -> AuditHead:
        """Return where the chain ends now. Noted elsewhere, it proves later that nothing before it was changed."""
        found: AuditHead = self._send(calls.audit_head(self._parent(parent)))
        return found

    def verify(self, *, parent: str = "", noted: AuditHead | None = None) -> AuditHead:
        """Look at every entry, and return where the chain ends.

        noted: A head from before, which must be on the chain.
        Raises BrokenChain if an entry was changed, removed, inserted or put elsewhere, or if the chain no longer holds
        what was noted.
        """
        parent = self._parent(parent)
        head = self.head(parent=parent)
        verification = Verification(parent, head, noted)
        for entry in self.entries(parent=parent):
            if not verification.take(entry):
                break
        return verification.result()

    def _parent(self, parent: str) -> str:
        return parent or _own(self._identity())


class AsyncAudit:
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

    async def entries(self, *, parent: str = "", after_sequence: int = 0) -> AsyncIterator[AuditEntry]:
        """Yield entries, oldest first."""
        async for entry in self._pages(calls.audit_entries(await self._parent(parent), after_sequence)):
            yield entry

    async def head(self, *, parent: str = "") -> AuditHead:
        """Return where the chain ends now."""
        found: AuditHead = await self._send(calls.audit_head(await self._parent(parent)))
        return found

    async def verify(self, *, parent: str = "", noted: AuditHead | None = None) -> AuditHead:
        """Look at every entry, and return where the chain ends. Raises BrokenChain."""
        parent = await self._parent(parent)
        head = await self.head(parent=parent)
        verification = Verification(parent, head, noted)
        async for entry in self.entries(parent=parent):
            if not verification.take(entry):
                break
        return verification.result()

    async def _parent(self, parent: str) -> str:
        return parent or _own(await self._identity())


class Verification:
    """One look at a chain from its start to a head.

    Args:
        parent: Whose chain it is.
        head: Where it ends, asked for before the entries; what comes later is not looked at.
        noted: A head from before.
    """

    def __init__(self, parent: str, head: AuditHead, noted: AuditHead | None = None) -> None:
        self._chain = VenueChain() if parent.startswith("venues/") else Chain()
        self._head = head
        self._noted = noted
        if noted is not None and noted.sequence > head.sequence:
            raise BrokenChain(f"the chain ends with entry {head.sequence}, though {noted.sequence} was noted")

    def take(self, entry: AuditEntry) -> bool:
        """Check the next entry; return whether more are wanted. Raises BrokenChain."""
        if self._chain.sequence < self._head.sequence:
            self._chain.take(entry)
            if self._noted is not None and self._chain.sequence == self._noted.sequence:
                self._chain.end(self._noted)
        return self._chain.sequence < self._head.sequence

    def result(self) -> AuditHead:
        """Return the head that was reached. Raises BrokenChain if it is not the one that was asked for."""
        self._chain.end(self._head)
        return self._head


def _own(identity: GetIdentityResponse) -> str:
    return identity.vendor or "venues/-"
