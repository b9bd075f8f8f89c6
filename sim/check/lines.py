"""In which line of a TOML file a field stands.

Python's parser forgets lines. This reader looks for keys alone: what is right TOML has been decided by the parser
before, so that strings, comments and brackets need only be passed over.
"""

import re
from collections.abc import Iterator

from sim.check.finding import Key

_HEAD = re.compile(r"^\s*(\[\[?)\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*'))*)\s*=(.*)$"""
)
_PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")
_TOKEN = re.compile(r'"""|' + r"'''" + r"""|"(?:\\.|[^"\\])*"|'[^']*'|\#.*|[\[\]{}]""")


class Lines:
    """The lines of a TOML file's tables and fields."""

    def __init__(self, text: str) -> None:
        """Read a text that is right TOML."""
        self._lines: dict[Key, int] = {}
        for key, line in _read(text):
            self._lines.setdefault(key, line)
            # Rows begin where the first does, and so do tables that have no line of their own, such as `a` of [a.b].
            for length in range(1, len(key)):
                self._lines.setdefault(key[:length], line)

    def of(self, key: Key) -> int:
        """Return the line of a field, or of the innermost table around it that has one; else 1."""
        for length in range(len(key), 0, -1):
            line = self._lines.get(key[:length])
            if line is not None:
                return line
        return 1


def _read(text: str) -> Iterator[tuple[Key, int]]:
    table: Key = ()
    counts: dict[Key, int] = {}
    depth, closing = 0, ""
    for number, line in enumerate(text.splitlines(), start=1):
        if depth or closing:
            depth, closing = _passed(line, depth, closing)
            continue
        head = _HEAD.match(line)
        if head is not None:
            table = _resolved(_parts(head[2]), counts, array=head[1] == "[[")
            yield table, number
            continue
        field = _KEY.match(line)
        if field is not None:
            yield (*table, *_parts(field[1])), number
            depth, closing = _passed(field[2], 0, "")


def _parts(dotted: str) -> list[str]:
    return [part.strip("\"'") if part[0] in "\"'" else part for part in _PART.findall(dotted)]


def _resolved(names: list[str], counts: dict[Key, int], *, array: bool) -> Key:
    """Return the full key of a table's head: arrays of tables stand with the number of their last row."""
    key: Key = ()
    for i, name in enumerate(names):
        key = (*key, name)
        if array and i == len(names) - 1:
            counts[key] = counts.get(key, -1) + 1
        if key in counts:
            key = (*key, counts[key])
    return key


def _passed(line: str, depth: int, closing: str) -> tuple[int, str]:
    """Return brackets and long strings that are still open after a line of a value."""
    at = 0
    while True:
        if closing:
            end = line.find(closing, at)
            if end < 0:
                return depth, closing
            at, closing = end + 3, ""
        token = _TOKEN.search(line, at)
        if token is None:
            return depth, ""
        at = token.end()
        if token[0] in ('"""', "'''"):
            closing = token[0]
        elif token[0] in "[{":
            depth += 1
        elif token[0] in "]}":
            depth -= 1
