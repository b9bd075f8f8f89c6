"""What a check has found."""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

Key = tuple[str | int, ...]
"""Where a value stands in a file: names of tables and fields, numbers of rows."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with a file, or that could not be looked at.

    Attributes:
        path: The file.
        line: From 1.
        where: The field, such as `joints[2].tau_max_nm`; empty for the file as a whole.
        reason: What is wrong, and the nearest valid name where there is one.
        is_note: Whether it is no mistake: something could not be checked here.
    """

    path: str
    line: int
    where: str
    reason: str
    is_note: bool = False

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        return f"{self.path}:{self.line}: {'note: ' if self.is_note else ''}{where}{self.reason}"


def spelled(key: Key) -> str:
    """Return a key as people write it."""
    text = ""
    for part in key:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str], *, closeness: float = 0.5) -> str:
    """Return words that offer the closest of the known names, or "" where none is close."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=closeness)
    return f"; did you mean {close[0]}?" if close else ""
