"""The venue's HTTP interfaces from the client: one call, its JSON answer, and refusals as errors of the registry."""

import http.client
import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from palaestra import channel
from palaestra.errors import REASONS, PalaestraError, Unreachable

MAX_ANSWER_BYTES = 64 << 20


class Web:
    """One interface of a venue, with somebody's token. Safe to share between threads.

    Args:
        base: Such as "http://127.0.0.1:7490"; "" is refused when it is called, with `missing`.
        token: Bearer token, or the secret of an API key.
        tls_root: PEM certificates to trust for https; empty: those of the machine.
        missing: What to tell who has no address.
    """

    def __init__(
        self, base: str, token: str, *, tls_root: str = "", timeout_s: float = 30.0, missing: str = ""
    ) -> None:
        self._base = base.rstrip("/")
        self._token = token
        self._tls_root = tls_root
        self._timeout_s = timeout_s
        self._missing = missing or "the login names no address for this: log in again with the venue's file"

    def call(
        self,
        verb: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
    ) -> dict[str, Any]:
        """Send one request and return its JSON answer. `path`: from the base, its parts already quoted.

        timeout_s: In place of the interface's own, for what takes longer.

        Raises:
            PalaestraError: The server's reason; Unreachable if it does not answer.
        """
        self._check()
        url = self._url(path, query)
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        request = urllib.request.Request(
            url, data, {"Content-Type": "application/json", **(headers or {})}, method=verb
        )
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        return self._answer(request, timeout_s or self._timeout_s)

    def upload(self, path: str, file: Path, *, timeout_s: float = 1_800.0) -> dict[str, Any]:
        """Post a file as it is, and return the JSON answer. Errors: as `call`; OSError of the file."""
        self._check()
        size_bytes = file.stat().st_size
        with open(file, "rb") as body:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size_bytes)}
            request = urllib.request.Request(f"{self._base}{path}", body, headers, method="POST")
            request.add_unredirected_header("Authorization", f"Bearer {self._token}")
            return self._answer(request, timeout_s)

    def download(
        self,
        path: str,
        out: Path,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        show: bool = False,
        silence_s: float = 1_800.0,
    ) -> int:
        """Fetch a zip file to `out`, whole or not at all; return its size in bytes. See `palaestra.download`."""
        self._check()
        # It needs what is here.
        from palaestra.download import download

        return download(
            self._url(path, query),
            self._token,
            out,
            show=show,
            tls_root=self._tls_root,
            headers=headers,
            silence_s=silence_s,
        )

    def _url(self, path: str, query: Mapping[str, object] | None) -> str:
        asked = {name: value for name, value in (query or {}).items() if value not in ("", None)}
        return f"{self._base}{path}" + (f"?{urllib.parse.urlencode(asked)}" if asked else "")

    def fetch(self, path: str) -> bytes:
        """Return what lies there as it is, such as a picture. Errors: as `call`; INTERNAL for what is too long."""
        self._check()
        request = urllib.request.Request(f"{self._base}{path}")
        request.add_unredirected_header("Authorization", f"Bearer {self._token}")
        found = self._read(request, self._timeout_s)
        if len(found) > MAX_ANSWER_BYTES:
            raise PalaestraError("INTERNAL", f"{request.full_url}: answered with more than {MAX_ANSWER_BYTES} bytes")
        return found

    def _check(self) -> None:
        if not self._base:
            raise PalaestraError("INVALID_FIELD", self._missing)
        if not self._token:
            raise PalaestraError(
                "BAD_TOKEN",
                "this goes over HTTP, which takes no client certificate: set PALAESTRA_TOKEN to the secret of a key",
            )
        channel.check_private(
            urllib.parse.urlsplit(self._base).netloc, self._token, encrypted=self._base.startswith("https://")
        )

    def _answer(self, request: urllib.request.Request, timeout_s: float) -> dict[str, Any]:
        text = self._read(request, timeout_s)
        try:
            answer = json.loads(text) if text and len(text) <= MAX_ANSWER_BYTES else None
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise PalaestraError("INTERNAL", f"{request.full_url}: answered with what is no JSON object")
        return answer

    def _read(self, request: urllib.request.Request, timeout_s: float) -> bytes:
        """Return the answer's body, at most one byte more than it may have."""
        try:
            with opener(request.full_url, self._tls_root).open(request, timeout=timeout_s) as response:
                found: bytes = response.read(MAX_ANSWER_BYTES + 1)
        except urllib.error.HTTPError as error:
            raise refusal(error) from None
        except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
            raise Unreachable(f"{self._base}: {getattr(error, 'reason', error)}") from None
        return found


def quoted(part: str) -> str:
    """Return one part of a path, whatever is in it."""
    return urllib.parse.quote(part, safe="")


def opener(url: str, tls_root: str) -> urllib.request.OpenerDirector:
    """Return what opens an address: past proxies on this machine, and with the certificates to trust."""
    handlers: list[urllib.request.BaseHandler] = []
    if channel.is_loopback(urllib.parse.urlsplit(url).netloc):
        handlers.append(urllib.request.ProxyHandler({}))
    if tls_root:
        handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=tls_root)))
    return urllib.request.build_opener(*handlers)


def refusal(error: urllib.error.HTTPError) -> PalaestraError:
    """Return the error in an RFC 9457 document, or one that names the status."""
    try:
        problem = json.loads(error.read(1 << 16))
        reason, detail = str(problem["reason"]), str(problem["detail"])
        facts = {str(key): str(value) for key, value in problem.get("metadata", {}).items()}
    except (ValueError, KeyError, TypeError, AttributeError, OSError):
        reason, detail, facts = "", "", {}
    if reason in REASONS:
        return PalaestraError(reason, detail, metadata=facts)
    fallback = {401: "BAD_TOKEN", 403: "ROLE_DENIED", 404: "NOT_FOUND", 503: "SHUTTING_DOWN"}
    return PalaestraError(fallback.get(error.code, "INTERNAL"), f"{error.url}: HTTP {error.code} {error.reason}")
