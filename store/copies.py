"""Local copies of objects that a service has: kept in a bound, the one that was not used for longest goes first."""

import os
import time
from collections.abc import Callable
from pathlib import Path

from store.errors import ObjectNotFound
from store.objects import LocalObjects

IDLE_S = 600.0
"""Who has been given a copy's path may open it so much later."""
TOUCH_S = 60.0


def used(path: Path) -> Path:
    """Note that a copy is used now, and return its path. A copy that has gone meanwhile is its reader's to find out."""
    try:
        # Most file systems do not keep when a file was read.
        if time.time() - path.stat().st_mtime > TOUCH_S:
            os.utime(path)
    except OSError:
        pass
    return path


def evict(
    copies: LocalObjects,
    most_bytes: int,
    kept_bytes: Callable[[str], int | None],
    *,
    idle_s: float = IDLE_S,
    now_s: float | None = None,
) -> int:
    """Remove copies until at most `most_bytes` are left, and return the bytes that became free.

    Args:
        kept_bytes: The size that the service has of an object [bytes], None if it has none; asked before each removal.
        idle_s: What was used within that time stays.
        now_s: Time since 1970; None: now.
    """
    now_s = time.time() if now_s is None else now_s
    found = []
    for sha256 in copies.digests():
        try:
            status = copies.path_of(sha256).stat()
        except (FileNotFoundError, ObjectNotFound):
            continue
        found.append((status.st_mtime, status.st_size, sha256))
    left_bytes, freed_bytes = sum(size_bytes for _, size_bytes, _ in found), 0
    for used_s, size_bytes, sha256 in sorted(found):
        if left_bytes <= most_bytes or used_s > now_s - idle_s:
            break
        if kept_bytes(sha256) != size_bytes:
            continue
        try:
            copies.delete(sha256)
        except ObjectNotFound:
            pass
        left_bytes -= size_bytes
        freed_bytes += size_bytes
    return freed_bytes
