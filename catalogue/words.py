"""Words of tasks: what is indexed of a text, and what a search for words asks the index.

In a file the index is FTS5 with its tokenizer unicode61 (https://sqlite.org/fts5.html#unicode61_tokenizer). The parser
of PostgreSQL takes what looks like a host or a number for one word and depends on the server's locale; for its index
the words are made here, by the same rules.

Between Chinese, Japanese and Korean characters are no spaces, so that each becomes a word, and a run of them that is
looked for a phrase.
"""

import re
import unicodedata
from collections.abc import Iterator

_RUN = re.compile("([\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff])")
_WORD = re.compile(r"\w+\*?")
# What a text search vector can hold of positions (https://www.postgresql.org/docs/current/textsearch-limitations.html).
_POSITION_MAX = 16_383


def indexed(text: str) -> str:
    """Return the text as the index gets it."""
    return _RUN.sub(r" \1 ", text)


def asked(text: str) -> str:
    """Return the index's expression for texts that have all words of `text`; a star lets a word be unfinished.

    Empty where there is no word to look for. Nothing of the index's own language gets through.
    """
    return " AND ".join(f'"{phrase}"' + ("*" if is_open else "") for phrase, is_open in _phrases(text))


def vector(text: str) -> str:
    """Return the text as PostgreSQL's index gets it, a literal of its type tsvector."""
    words = enumerate(_tokens(indexed(text)), 1)
    return " ".join(f"'{word}':{min(position, _POSITION_MAX)}" for position, word in words)


def sought(text: str) -> str:
    """Return what `asked` does as a literal of PostgreSQL's type tsquery."""
    terms = []
    for phrase, is_open in _phrases(text):
        if words := _tokens(phrase):
            terms.append("(" + " <-> ".join(f"'{word}'" for word in words) + (":*)" if is_open else ")"))
    return " & ".join(terms)


def _phrases(text: str) -> Iterator[tuple[str, bool]]:
    """Yield the phrases that a text asks for, and whether the last word of each may be unfinished."""
    # A mark that stands behind its letter would part the word; the index takes either form for the same.
    for word in _WORD.findall(unicodedata.normalize("NFC", text)):
        # To the index `_` is a space, and a phrase of spaces is found nowhere.
        if phrase := " ".join(indexed(word.rstrip("*")).replace("_", " ").split()):
            yield phrase, word.endswith("*")


def _tokens(text: str) -> list[str]:
    """Return the words of a text as unicode61 has them: runs of letters and numbers, small, and without the marks that
    stand on Latin letters."""
    plain = "".join(map(_letter, unicodedata.normalize("NFC", text).lower()))
    return "".join(one if unicodedata.category(one)[0] in "LN" else " " for one in plain).split()


def _letter(one: str) -> str:
    base = unicodedata.normalize("NFD", one)[0]
    return base if base.isascii() else "" if unicodedata.combining(one) else one
