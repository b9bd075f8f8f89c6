"""Who is asking: a bearer token, or a cookie that stands for one.

The cookie holds a random id and never the token; the map from one to the other lives in this process alone, so
a restart logs browsers out. A request that is let in by its cookie and changes something must come from our own
pages.
"""

import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated

from fastapi import Depends, Request

from palaestra.errors import PalaestraError

_MOST = 10_000
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Sessions:
    """Open sessions, oldest first. Only a hash of each id is kept, and at most 10,000 of them."""

    def __init__(self, *, length_s: float, now_s: Callable[[], float] = time.monotonic) -> None:
        self._length_s = length_s
        self._now_s = now_s
        self._tokens: OrderedDict[str, tuple[float, str]] = OrderedDict()

    def open(self, token: str) -> str:
        """Return the id of a new session for a token."""
        while len(self._tokens) >= _MOST:
            self._tokens.popitem(last=False)
        session_id = secrets.token_urlsafe(32)
        self._tokens[_digest(session_id)] = (self._now_s() + self._length_s, token)
        return session_id

    def token_of(self, session_id: str) -> str:
        """Return the token of a session, "" if there is none or it has expired."""
        until_s, token = self._tokens.get(_digest(session_id), (0.0, ""))
        if token and until_s <= self._now_s():
            self.close(session_id)
            return ""
        return token

    def close(self, session_id: str) -> None:
        """End a session, if it is open."""
        self._tokens.pop(_digest(session_id), None)


def bearer(request: Request) -> str:
    """Return the caller's token, "" if there is none: the Authorization header first, then the cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return token.strip()
    session_id = request.cookies.get(request.app.state.settings.cookie, "")
    if not session_id:
        return ""
    if request.method not in _SAFE:
        check_origin(request)
    sessions: Sessions = request.app.state.sessions
    return sessions.token_of(session_id)


def check_origin(request: Request) -> None:
    """Raise ROLE_DENIED unless a browser says that the request comes from a page of this very server."""
    origin = request.headers.get("origin")
    if origin is None:
        same = request.headers.get("sec-fetch-site") == "same-origin"
    else:
        same = origin == f"{request.url.scheme}://{request.headers.get('host', '')}"
    if not same:
        raise PalaestraError("ROLE_DENIED", f"a session must be used from this site, not from {origin!r}")


def _token(request: Request) -> str:
    token = bearer(request)
    if not token:
        raise PalaestraError("BAD_TOKEN", "no token: send `Authorization: Bearer ...` or log in")
    return token


def _digest(session_id: str) -> str:
    return hashlib.sha256(session_id.encode("utf-8", "replace")).hexdigest()


Token = Annotated[str, Depends(_token)]
