"""What holds for every request before its handler: the host it names, the size of its body, and how it is answered."""

from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from palaestra.channel import is_loopback
from palaestra.errors import PalaestraError
from sharing.document import BadDocument, parse
from sharing.problem import response_of

BODY_BYTES = 1 << 20
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Bounds:
    """Outermost layer of the application."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        loopback_only: bool,
        body_bytes: int = BODY_BYTES,
        larger: Mapping[str, int] | None = None,
    ) -> None:
        """larger: Bounds of bodies by path, where files are taken."""
        self._app = app
        self._larger = dict(larger or {})
        self._loopback_only = loopback_only
        self._body_bytes = body_bytes

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
            await send(message)

        most = self._larger.get(scope["path"], self._body_bytes)
        refusal = self._refusal(Headers(scope=scope), most)
        if refusal is not None:
            await response_of(refusal)(scope, receive, with_headers)
            return
        await self._app(scope, self._counted(receive, most), with_headers)

    def _refusal(self, headers: Headers, most: int) -> PalaestraError | None:
        # A page elsewhere may point its own name at 127.0.0.1; such a request carries that name.
        host = headers.get("host", "")
        if self._loopback_only and not is_loopback(host if ":" in host.rpartition("]")[2] else f"{host}:0"):
            return PalaestraError("ROLE_DENIED", f"this server answers only to loopback names, not to {host[:100]!r}")
        length = headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit() and len(length) < 20) or int(length) > most:
            return self._too_large(most)
        return None

    def _counted(self, receive: Receive, most: int) -> Receive:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            if message["type"] == "http.request":
                taken += len(message.get("body", b""))
                if taken > most:
                    raise self._too_large(most)
            return message

        return counted

    def _too_large(self, most: int) -> PalaestraError:
        return PalaestraError("MESSAGE_TOO_LARGE", f"the body is over the limit of {most} bytes")


async def json_body(request: Request) -> object:
    """Return a request's body, strict JSON. For `Depends`. Raises INVALID_FIELD."""
    try:
        return parse(await request.body(), max_bytes=BODY_BYTES)
    except BadDocument as error:
        raise PalaestraError("INVALID_FIELD", f"body: {error}", metadata={"field": "body"}) from None


def fields_of(body: object, *required: str, optional: tuple[str, ...] = ()) -> list[object]:
    """Return the values of a body's fields in order, None for an optional one that is not there.

    Raises INVALID_FIELD for a body that is no object, a field that is missing, and one that is not known.
    """
    if not isinstance(body, dict):
        raise PalaestraError("INVALID_FIELD", "body: must be a JSON object", metadata={"field": "body"})
    for name in required:
        if name not in body:
            raise PalaestraError("INVALID_FIELD", f"{name}: is missing", metadata={"field": name})
    if unknown := sorted(set(body) - {*required, *optional}):
        name = str(unknown[0])[:100]
        raise PalaestraError("INVALID_FIELD", f"{name}: there is no such field", metadata={"field": name})
    return [body.get(name) for name in (*required, *optional)]


def text_of(name: str, value: object, *, most: int = 1_000) -> str:
    """Return a field's value that must be text. Raises INVALID_FIELD."""
    if not isinstance(value, str) or len(value) > most:
        raise PalaestraError("INVALID_FIELD", f"{name}: must be text of at most {most}", metadata={"field": name})
    return value
