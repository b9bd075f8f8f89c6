"""Keys for programs: `client.api_keys`, plain and for asyncio."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from palaestra import calls, names
from palaestra.v1.api_key_pb2 import ApiKey
from palaestra.v1.api_key_service_pb2 import ApiKeySecret
from palaestra.v1.venue_service_pb2 import GetIdentityResponse


def api_key(
    role: str,
    *,
    display_name: str = "",
    methods: Sequence[str] = (),
    projects: Sequence[str] = (),
    expire: datetime | None = None,
) -> ApiKey:
    """Return a key as it is asked for.

    Args:
        role: "vendor", "engineer" or "reader" of a vendor; of the house "operator", "safety", "host", "runner" or
            "gateway".
        methods: Only these, such as "JobService/SubmitJob" or "JobService/*"; none: all of the role's.
        projects: Only jobs of these projects of the vendor; none: everything of the vendor.
        expire: When it ends; None: never.
    """
    key = ApiKey(role=role, display_name=display_name, methods=methods, projects=projects)
    if expire is not None:
        key.expire_time.FromDatetime(expire)
    return key


class ApiKeys:
    """Makes keys and takes them back. For vendors and operators; raises PalaestraError as every method of a client."""

    def __init__(
        self,
        send: Callable[..., Any],
        pages: Callable[..., Iterator[Any]],
        identity: Callable[[], GetIdentityResponse],
    ) -> None:
        self._send = send
        self._pages = pages
        self._identity = identity

    def create(self, key: ApiKey, *, parent: str = "", validate_only: bool = False) -> ApiKeySecret:
        """Make a key and return it with its secret, which is told nowhere again.

        `parent` is "vendors/{vendor}" or "venues/{venue}"; without one, the caller's own.
        """
        identity = self._identity()
        parent = parent or identity.vendor or identity.venue
        found: ApiKeySecret = self._send(calls.create_api_key(parent, key, validate_only=validate_only))
        return found

    def get(self, name: str) -> ApiKey:
        """Return a key. The last part of the name of one's own is enough, here and below."""
        found: ApiKey = self._send(calls.api_key(self._name(name)))
        return found

    def list(self, *, parent: str = "", show_ended: bool = False) -> Iterator[ApiKey]:
        """Yield keys, newest first; without a parent the vendor's own, or for operators those of every vendor."""
        return self._pages(calls.api_keys(parent or names.parent(self._identity()), show_ended=show_ended))

    def rotate(self, name: str, *, overlap_s: float = 0.0) -> ApiKeySecret:
        """Give a key a new secret and return it; the former one opens for so long more [s]."""
        found: ApiKeySecret = self._send(calls.rotate_api_key(self._name(name), overlap_s))
        return found

    def revoke(self, name: str) -> ApiKey:
        """Take a key back for good, and return it."""
        found: ApiKey = self._send(calls.revoke_api_key(self._name(name)))
        return found

    def _name(self, name: str) -> str:
        return names.api_key(name, self._identity()) if names.is_short(name) else name


class AsyncApiKeys:
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

    async def create(self, key: ApiKey, *, parent: str = "", validate_only: bool = False) -> ApiKeySecret:
        """Make a key and return it with its secret, which is told nowhere again."""
        identity = await self._identity()
        parent = parent or identity.vendor or identity.venue
        found: ApiKeySecret = await self._send(calls.create_api_key(parent, key, validate_only=validate_only))
        return found

    async def get(self, name: str) -> ApiKey:
        """Return a key."""
        found: ApiKey = await self._send(calls.api_key(await self._name(name)))
        return found

    async def list(self, *, parent: str = "", show_ended: bool = False) -> AsyncIterator[ApiKey]:
        """Yield keys, newest first."""
        parent = parent or names.parent(await self._identity())
        async for key in self._pages(calls.api_keys(parent, show_ended=show_ended)):
            yield key

    async def rotate(self, name: str, *, overlap_s: float = 0.0) -> ApiKeySecret:
        """Give a key a new secret and return it."""
        found: ApiKeySecret = await self._send(calls.rotate_api_key(await self._name(name), overlap_s))
        return found

    async def revoke(self, name: str) -> ApiKey:
        """Take a key back for good, and return it."""
        found: ApiKey = await self._send(calls.revoke_api_key(await self._name(name)))
        return found

    async def _name(self, name: str) -> str:
        return names.api_key(name, await self._identity()) if names.is_short(name) else name
