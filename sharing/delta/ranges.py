"""Ranges of bytes that a client asks for (RFC 9110, section 14)."""

import re

_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


class Unsatisfiable(Exception):
    """The file has no such bytes."""


def range_of(header: str | None, size_bytes: int) -> tuple[int, int] | None:
    """Return (begin, size) of the one range that a header asks for; None for all, also for what is no such range.

    Raises Unsatisfiable for a range beyond the end.
    """
    found = _RANGE.fullmatch(header.strip()) if header is not None else None
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        size = min(int(found[2]), size_bytes)
        if not size:
            raise Unsatisfiable
        return size_bytes - size, size
    begin = int(found[1])
    end = min(int(found[2]), size_bytes - 1) if found[2] else size_bytes - 1
    if found[2] and int(found[2]) < begin:
        return None
    if begin >= size_bytes:
        raise Unsatisfiable
    return begin, end - begin + 1
