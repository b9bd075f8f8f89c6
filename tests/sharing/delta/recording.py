"""What a client asked and was answered, without what differs each time: addresses, ids, sizes, times of expiry."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sharing.delta.shares import FILES

RECORDED = Path(__file__).parent / "recorded" / "delta-sharing-1.4.2.json"
_ASKED = ("delta-sharing-capabilities", "range", "content-type")
_ANSWERED = ("delta-sharing-capabilities", "delta-table-version", "content-type", "accept-ranges")


def steady(value: Any) -> Any:
    """Return an answer's values with what differs each time named instead."""
    if isinstance(value, list):
        return [steady(one) for one in value]
    if not isinstance(value, dict):
        return value
    named = {
        "url": "URL", "path": "URL", "id": "ID", "size": "SIZE", "expirationTimestamp": "TIME", "stats": "STATS"
    }  # fmt: skip
    return {key: named.get(key) or steady(one) for key, one in value.items()}


def exchange(
    method: str,
    path: str,
    query: str,
    asked: Mapping[str, str],
    body: bytes,
    status: int,
    answered: Mapping[str, str],
    answer: bytes,
) -> dict[str, Any]:
    """Return one question and its answer."""
    is_file = path.startswith(FILES)
    found = {
        "method": method,
        "path": "FILE" if is_file else path,
        "query": "SIGNED" if is_file else query,
        "headers": {name: asked[name] for name in _ASKED if name in asked},
        "body": body.decode(),
        "status": status,
        "answer_headers": {name: answered[name] for name in _ANSWERED if name in answered},
    }
    if "range" in found["headers"]:
        # Where the client begins to read follows from the file's size.
        found["headers"]["range"] = re.sub(r"[0-9]+", "N", found["headers"]["range"])
    if not is_file:
        lines = answer.splitlines() if answered.get("content-type", "").startswith("application/x-ndjson") else [answer]
        found["answer"] = [steady(json.loads(line)) for line in lines if line]
    return found


class Recording:
    """An application that remembers what it is asked and answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.exchanges: list[dict[str, Any]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        asked, sent, status, headers = b"", b"", 0, {}

        async def heard() -> Message:
            nonlocal asked
            message = await receive()
            asked += message.get("body", b"")
            return message

        async def told(message: Message) -> None:
            nonlocal sent, status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], _headers(message["headers"])
            sent += message.get("body", b"")
            await send(message)

        await self._app(scope, heard, told)
        query = scope["query_string"].decode()
        said = scope["method"], scope["path"], query, _headers(scope["headers"])
        self.exchanges.append(exchange(*said, asked, status, headers, sent))


def _headers(raw: Any) -> dict[str, str]:
    return {name.decode().lower(): value.decode() for name, value in raw}
