"""Whether a vendor has room in the store: its quota against what the catalogue has of it.

What is recorded at the same moment, and not sealed yet, nobody counts: each is looked at when it begins and again when
it is to enter the catalogue, one of a vendor after the other.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from catalogue import Catalogue
from catalogue.keeping import Usage
from palaestra.errors import PalaestraError
from scheduler.quota import Quotas
from scheduler.shelf import Shelf


class Allowance:
    """The quotas of a venue, asked on its event loop."""

    def __init__(self, quotas: Quotas, shelf: Shelf) -> None:
        self.quotas = quotas
        self._shelf = shelf
        self._entering: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def usage(self, vendor: str) -> Usage:
        """Return what a vendor has."""

        def question(catalogue: Catalogue) -> Usage:
            return catalogue.keeping.usage(vendor)[0]

        return await self._shelf.ask(question)

    async def check(self, vendor: str) -> str:
        """Return what a vendor is to know of its room, "" if there is enough. Raises STORE_QUOTA if there is none."""
        if not self._limits(vendor):
            return ""
        used = await self.usage(vendor)
        if (why := self.quotas.of(vendor).refusal(used)) is not None:
            raise _refused(vendor, why)
        return self.quotas.warning(vendor, used)

    @asynccontextmanager
    async def entering(self, vendor: str, size_bytes: int) -> AsyncIterator[PalaestraError | None]:
        """Yield why an episode must not enter, None if it may; nobody else of that vendor is asked meanwhile."""
        if not self._limits(vendor):
            yield None
            return
        async with self._entering[vendor]:
            why = self.quotas.of(vendor).refusal(await self.usage(vendor), size_bytes)
            yield None if why is None else _refused(vendor, why)

    def _limits(self, vendor: str) -> bool:
        quota = self.quotas.of(vendor)
        return quota.size_bytes is not None or quota.episodes is not None


def _refused(vendor: str, why: str) -> PalaestraError:
    return PalaestraError("STORE_QUOTA", f"vendors/{vendor} has no room in the store: {why}")
