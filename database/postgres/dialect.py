"""Translates one statement as it is written for SQLite into PostgreSQL's words.

What differs and is translated: "?" and ":name", `x'..'`, numbers with a point (which PostgreSQL takes for decimals of
any length), IS between values, `max` and `min` of several values, OR IGNORE, INDEXED BY, the names of types, and rows
that are numbered by the database. What has no translation (OR REPLACE, PRAGMA) raises Untranslatable, and so does not
pass any test that reaches it; such statements are written in the words that both understand.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

_TOKEN = re.compile(
    r"""
    (?P<comment>--[^\n]*)
  | (?P<blob>[xX]'[0-9a-fA-F]*')
  | (?P<text>'(?:[^']|'')*')
  | (?P<cast>::\w+)
  | (?P<parameter>\?|:[A-Za-z_]\w*)
  | (?P<number>\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<space>\s+)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
TYPES = {"INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION", "BLOB": "BYTEA"}
# What may follow IS without being a value.
_AFTER_IS = {"NULL", "NOT", "TRUE", "FALSE", "DISTINCT"}
_OF_SEVERAL = {"MAX": "GREATEST", "MIN": "LEAST"}


class Untranslatable(Exception):
    """A statement that PostgreSQL has no words for."""


@dataclass(frozen=True)
class Statement:
    """A translated statement.

    Attributes:
        text: With "$1", "$2" and so on for parameters.
        names: Of the parameters in order, if they have names.
        has_rows: Whether it answers with rows.
        verb: Its first word, in capitals.
        counts: The table whose rows it adds, if those are numbered and the statement gives no numbers: then "$1" is the
            number to give; of several `rows` of VALUES, "$1", "$2" and so on.
        numbers: The table whose last number may be another one afterwards.
    """

    text: str
    names: tuple[str, ...]
    has_rows: bool
    verb: str
    counts: str = ""
    numbers: str = ""
    rows: int = 0


@dataclass
class _Token:
    kind: str
    text: str

    @property
    def word(self) -> str:
        return self.text.upper() if self.kind == "word" else ""


def tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Yield kind and text of the parts of SQL, comments left out."""
    for match in _TOKEN.finditer(sql):
        kind = str(match.lastgroup)
        if kind == "comment":
            continue
        yield kind, match.group()


class Translator:
    """Translates statements, each text once.

    Args:
        counted: By table, the column that numbers its rows.
    """

    def __init__(self, counted: Mapping[str, str]) -> None:
        self._counted = dict(counted)
        self.translate = lru_cache(maxsize=4096)(self._translate)

    def _translate(self, sql: str) -> Statement:
        """Return the statement in PostgreSQL's words. Raises Untranslatable."""
        parts = _without_indexed_by([_Token(kind, text) for kind, text in tokens(sql)])
        words = [part.word for part in parts if part.kind != "space"]
        verb = words[0] if words else ""
        if verb == "PRAGMA" or words[1:3] == ["OR", "REPLACE"]:
            raise Untranslatable(f"PostgreSQL has no words for: {sql.strip()}")
        if verb == "UPDATE" and words[1:2] == ["OR"]:
            raise Untranslatable(f"PostgreSQL has no words for: {sql.strip()}")
        ignore = words[1:3] == ["OR", "IGNORE"]
        counts, numbers, rows = self._count(parts) if verb == "INSERT" else ("", "", 0)
        if verb == "DELETE":
            # The last number may be free again, as it is in SQLite.
            numbers = next((part.text for part in parts if part.text in self._counted), "")
        text, names = _written(parts, first=rows + 1)
        if ignore:
            text = (
                re.sub(r"^\s*INSERT\s+OR\s+IGNORE\b", "INSERT", text, flags=re.IGNORECASE) + " ON CONFLICT DO NOTHING"
            )
        if verb == "BEGIN":
            text = "BEGIN"
        has_rows = verb in ("SELECT", "WITH", "VALUES", "FETCH", "EXPLAIN", "SHOW") or "RETURNING" in words
        return Statement(text.strip(), names, has_rows, verb, counts, numbers, rows)

    def _count(self, parts: list[_Token]) -> tuple[str, str, int]:
        """Give an INSERT into a table with numbered rows its number as the first value, if it has none itself."""
        places = [n for n, part in enumerate(parts) if part.kind != "space"]
        into = next(n for n, place in enumerate(places) if parts[place].word == "INTO")
        table = parts[places[into + 1]].text
        if table not in self._counted:
            return "", "", 0
        column, rows = self._counted[table], 0
        opening = places[into + 2]
        if parts[opening].text != "(":
            return "", table, 0
        closing = next(n for n in range(opening, len(parts)) if parts[n].text == ")")
        if any(part.text == column for part in parts[opening:closing]):
            return "", table, 0
        after = [place for place in places if place > closing]
        if parts[after[0]].word != "VALUES" or parts[after[1]].text != "(":
            raise Untranslatable(f"rows of {table} are numbered: give {column} in the statement, or one row of VALUES")
        depth = 0
        for place in after[1:]:
            if parts[place].text == "(" and depth == 0:
                rows += 1
            depth += {"(": 1, ")": -1}.get(parts[place].text, 0)
            if parts[place].text == "(" and depth == 1:
                parts[place].text = f"(${rows}, "
            if depth == 0 and parts[place].text not in (")", ","):
                break
        parts[opening].text = f"({column}, "
        # What is not added after all leaves its number to the next.
        return table, table if "ON" in {part.word for part in parts} else "", rows


def _without_indexed_by(parts: list[_Token]) -> list[_Token]:
    """Leave out which index is meant: the planner goes by what it knows of the rows."""
    left: list[_Token] = []
    skip = 0
    for place, part in enumerate(parts):
        if part.word == "INDEXED" and _after(parts, place) == "BY":
            skip = 3
        if skip:
            skip -= part.kind != "space"
        else:
            left.append(part)
    return left


def _written(parts: list[_Token], first: int) -> tuple[str, tuple[str, ...]]:
    """Return the text, with parameters numbered from `first`, and their names."""
    names: list[str] = []
    count = first - 1
    several = _several(parts)
    written = []
    for place, part in enumerate(parts):
        text = part.text
        if part.kind == "parameter" and text == "?":
            count += 1
            text = f"${count}"
        elif part.kind == "parameter":
            if text[1:] not in names:
                names.append(text[1:])
            text = f"${first + names.index(text[1:])}"
        elif part.kind == "blob":
            text = f"'\\x{text[2:-1]}'::bytea"
        elif part.kind == "number" and not text.isdigit():
            text = f"{text}::double precision"
        elif part.word in TYPES:
            text = TYPES[part.word]
        elif place in several:
            text = _OF_SEVERAL[part.word]
        elif part.word == "IS":
            text = _is(parts, place)
        elif part.word == "NOT" and _before(parts, place) == "IS" and _after(parts, place) not in _AFTER_IS:
            # Part of IS NOT, which has been written.
            text = ""
        if part.kind == "parameter" and _after(parts, place) == "IS":
            # A NULL that nothing else is told of has no type.
            text = f"CAST({text} AS TEXT)" if _tests_null(parts, place) else text
        written.append(text)
    return "".join(written), tuple(names)


def _is(parts: list[_Token], place: int) -> str:
    following = _after(parts, place)
    if following == "NOT":
        beyond = next(n for n in range(place + 1, len(parts)) if parts[n].word == "NOT")
        return "IS" if _after(parts, beyond) in _AFTER_IS else "IS DISTINCT FROM"
    return "IS" if following in _AFTER_IS else "IS NOT DISTINCT FROM"


def _tests_null(parts: list[_Token], place: int) -> bool:
    words = [part.word for part in parts[place + 1 :] if part.kind != "space"]
    return words[1:2] == ["NULL"] or words[1:3] == ["NOT", "NULL"]


def _after(parts: list[_Token], place: int) -> str:
    return next((part.word or part.text for part in parts[place + 1 :] if part.kind != "space"), "")


def _before(parts: list[_Token], place: int) -> str:
    return next((part.word or part.text for part in reversed(parts[:place]) if part.kind != "space"), "")


def _several(parts: list[_Token]) -> set[int]:
    """Return the places of `max` and `min` that have more than one argument."""
    found = set()
    for place, part in enumerate(parts):
        if part.word in _OF_SEVERAL and _after(parts, place) == "(":
            depth = 0
            for later in parts[place + 1 :]:
                depth += {"(": 1, ")": -1}.get(later.text, 0)
                if depth == 1 and later.text == ",":
                    found.add(place)
                    break
                if depth == 0 and later.text == ")":
                    break
    return found
