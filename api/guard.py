"""What holds for every request before and after its handler: host, size of the body, security headers."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.problem import response_of
from api.settings import is_loopback
from palaestra.errors import PalaestraError

# No inline script, no inline style, nothing from elsewhere.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not "no-referrer": with that, browsers send `Origin: null` from our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


class Guard:
    """Outermost layer of the application."""

    def __init__(self, app: ASGIApp, *, body_bytes: int, loopback_only: bool) -> None:
        self._app = app
        self._body_bytes = body_bytes
        self._loopback_only = loopback_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request. Bodies over the limit end with 413 and are not read to their end."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal is not None:
            await response_of(refusal)(scope, receive, with_headers)
            return
        await self._app(scope, self._counted(receive), with_headers)

    def _refusal(self, headers: Headers) -> PalaestraError | None:
        # A page elsewhere may point its own name at 127.0.0.1; such a request carries that name.
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(_name_of(host)):
            return PalaestraError("ROLE_DENIED", f"this server answers only to loopback names, not to {host[:100]!r}")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > self._body_bytes:
            return self._too_large()
        return None

    def _counted(self, receive: Receive) -> Receive:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > self._body_bytes:
                    raise self._too_large()
            return message

        return counted

    def _too_large(self) -> PalaestraError:
        return PalaestraError("MESSAGE_TOO_LARGE", f"the body is over the limit of {self._body_bytes} bytes")


def _name_of(host: str) -> str:
    """Return the host of a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
