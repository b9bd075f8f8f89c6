"""What holds for every request before and after its handler: host, size of the body, headers."""

from collections.abc import Callable, Mapping

from fastapi.responses import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaestra.channel import is_loopback
from palaestra.errors import PalaestraError

BODY_BYTES = 1 << 20


class Bounds:
    """Outermost layer of an application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback_only: bool,
        headers: Mapping[str, str],
        respond: Callable[[PalaestraError], Response],
        body_bytes: int = BODY_BYTES,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        """Set the bounds.

        Args:
            loopback_only: Whether requests that name another host are refused.
            headers: What every answer carries unless its handler says otherwise.
            respond: Makes the answer of a refusal.
            body_bytes: What a body may have at most.
            larger: The same by path, where files are taken.
        """
        self._app = app
        self._loopback_only = loopback_only
        self._headers = dict(headers)
        self._respond = respond
        self._body_bytes = body_bytes
        self._larger = dict(larger or {})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Bodies over the limit end with 413 and are not read to their end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        most = self._larger.get(scope["path"], self._body_bytes)
        refusal = self._refusal(Headers(scope=scope), most)
        if refusal is not None:
            await self._respond(refusal)(scope, receive, with_headers)
            return
        await self._app(scope, _counted(receive, most), with_headers)

    def _refusal(self, headers: Headers, most: int) -> PalaestraError | None:
        # A page elsewhere may point its own name at 127.0.0.1; such a request carries that name.
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(_name_of(host)):
            return PalaestraError("ROLE_DENIED", f"this server answers only to loopback names, not to {host[:100]!r}")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20) or int(length) > most:
            return _too_large(most)
        return None


def _counted(receive: Receive, most: int) -> Receive:
    taken = 0

    async def counted() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > most:
                raise _too_large(most)
        return message

    return counted


def _too_large(most: int) -> PalaestraError:
    return PalaestraError("MESSAGE_TOO_LARGE", f"the body is over the limit of {most} bytes")


def _name_of(host: str) -> str:
    """Return the host of a Host header, always followed by a port and free of lists of hosts."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return f"[{name}]:0" if ":" in name else f"{name.replace(',', '?')}:0"
