"""Fetching a file over HTTP, whole or not at all."""

import http.client
import os
import sys
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from palaestra.errors import PalaestraError, Unreachable
from palaestra.web import opener, refusal

_CHUNK_BYTES = 1 << 18
_SILENCE_S = 120.0


def download(
    url: str,
    token: str,
    out: Path,
    *,
    show: bool,
    tls_root: str = "",
    is_whole: Callable[[Path], bool] = zipfile.is_zipfile,
    kind: str = "zip file",
    headers: Mapping[str, str] | None = None,
    silence_s: float = _SILENCE_S,
) -> int:
    """Fetch the file at `url` to `out` and return its size in bytes. What breaks off leaves nothing.

    Args:
        url: http or https.
        token: Bearer token; not passed on where the server redirects to.
        out: File that does not exist.
        show: Draw a progress bar on stderr, if that is a terminal.
        tls_root: PEM certificates to trust for https; empty: those of the machine.
        is_whole, kind: Whether what came is all of what it should be, and what that is called.
        headers: Sent with the request.
        silence_s: Longest time without a byte; what is asked for may be put together before its first one comes.

    Raises:
        PalaestraError: The server's reason; Unreachable if it does not answer or breaks off.
        OSError: The file cannot be written.
    """
    if not token:
        raise PalaestraError(
            "BAD_TOKEN",
            "this goes over HTTP, which takes no client certificate: set PALAESTRA_TOKEN to the secret of an API key",
        )
    request = urllib.request.Request(url, headers=dict(headers or {}))
    request.add_unredirected_header("Authorization", f"Bearer {token}")
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        with part.open("xb") as file:
            try:
                with opener(url, tls_root).open(request, timeout=silence_s) as response:
                    size_bytes = _copy(response, file, out.name, show=show)
            except urllib.error.HTTPError as error:
                raise refusal(error) from None
            except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
                raise Unreachable(f"{url}: {error}") from None
        if not is_whole(part):
            raise Unreachable(f"{url}: what came is not a whole {kind} ({size_bytes} bytes)")
        _give_name(part, out)
    finally:
        part.unlink(missing_ok=True)
    return size_bytes


def _give_name(part: Path, out: Path) -> None:
    """Name the file `out`, unless that has been taken meanwhile."""
    try:
        # Unlike a rename, a link never replaces a file.
        os.link(part, out)
    except FileExistsError:
        raise
    except OSError:
        # Some file systems, as those of memory sticks, have no links.
        if out.exists():
            raise
        part.rename(out)


def _copy(response: Any, file: IO[bytes], name: str, *, show: bool) -> int:
    length = response.headers.get("Content-Length")
    total = int(length) if length is not None and length.isdecimal() else None
    done = 0
    with _bar(name, total, show=show) as advance:
        while chunk := response.read(_CHUNK_BYTES):
            file.write(chunk)
            done += len(chunk)
            advance(len(chunk))
    if total is not None and done != total:
        raise http.client.IncompleteRead(b"", total - done)
    return done


class _bar:
    """A progress bar while the block runs; calls of it add bytes."""

    def __init__(self, name: str, total: int | None, *, show: bool) -> None:
        self._progress: Any = None
        if not (show and sys.stderr.isatty()):
            return
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
        )
        self._progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self._task = self._progress.add_task(name, total=total)

    def __call__(self, size_bytes: int) -> None:
        if self._progress is not None:
            self._progress.update(self._task, advance=size_bytes)

    def __enter__(self) -> "_bar":
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._progress is not None:
            self._progress.stop()
