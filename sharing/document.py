"""JSON from somebody who may be hostile: read strictly, or refused with the reason."""

import json
import re
from typing import Any, NoReturn

MAX_DEPTH = 16

# Possessive, and a text that nobody closes goes on to the end: otherwise each of its quotes would be tried anew, which
# for a megabyte of them takes hours.
_TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_LARGEST = 2**53


class BadDocument(ValueError):
    """Not a document that this room reads; the message says why, without repeating much of it."""


def parse(text: bytes | str, *, max_bytes: int, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a JSON text that holds whole numbers alone.

    Raises:
        BadDocument: Too long, too deep, not UTF-8 or JSON, a name twice in one object, a number with a fraction or
            above 2**53 (RFC 8785 writes those otherwise than Python does), NaN, or half of a surrogate pair.
    """
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    if len(data) > max_bytes:
        raise BadDocument(f"longer than {max_bytes} bytes")
    if _depth(data) > max_depth:
        raise BadDocument(f"nested deeper than {max_depth}")
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_once,
            parse_float=_no_fraction,
            parse_int=_whole,
            parse_constant=_no_fraction,
        )
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except BadDocument:
        raise
    except UnicodeError:
        raise BadDocument("not UTF-8") from None
    except json.JSONDecodeError as error:
        raise BadDocument(f"not JSON: {error.msg} at byte {error.pos}") from None
    return value


def _depth(data: bytes) -> int:
    """Return how deep the brackets go; Python's own parser would answer with RecursionError, and only at a thousand."""
    deepest = depth = 0
    for byte in _TEXT.sub(b"", data):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise BadDocument(f"the name {name[:100]!r} stands twice in one object")
        found[name] = value
    return found


def _no_fraction(text: str) -> NoReturn:
    raise BadDocument(f"{text[:40]}: numbers are whole")


def _whole(text: str) -> int:
    # Before int(), which takes long for a number of many digits, and refuses more than 4,300.
    if len(text) > 20 or abs(int(text)) > _LARGEST:
        raise BadDocument(f"{text[:40]}: numbers are whole, up to 2**53")
    return int(text)
