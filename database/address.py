"""Where a database is, a file or a PostgreSQL's, and what keeps its password out of sight."""

import os
import re
from argparse import ArgumentTypeError
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeAlias

_URL = re.compile(r"postgres(?:ql)?://(?P<user>[^:@/?]*)(?P<password>:[^@/?]*)?(?P<at>@?)(?P<rest>.*)", re.DOTALL)


@dataclass(frozen=True, repr=False)
class Address:
    """A database by its URL; `str` and `repr` leave the password out.

    url: As libpq has it (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS).
    """

    url: str

    def __str__(self) -> str:
        found = _URL.fullmatch(self.url)
        if found is None:
            return "postgresql://"
        user = f"{found['user']}@" if found["at"] else ""
        rest = found["rest"] if found["at"] else found["user"] + (found["password"] or "") + found["rest"]
        shown = re.sub(r"((?:ssl)?password=)[^&]*", r"\1...", rest)
        return f"postgresql://{user}{shown}"

    def __repr__(self) -> str:
        return f"Address({str(self)!r})"


def is_url(text: str) -> bool:
    """Whether a text means a database in PostgreSQL, and no file."""
    return text.startswith(("postgresql://", "postgres://"))


# Where a database is. `str` of it is what may be shown.
Place: TypeAlias = Path | Address


class NoPlace(ValueError, ArgumentTypeError):
    """What is named is no database that could be opened from here; argparse shows why."""


def place(text: str, environment: str) -> Place:
    """Return the place that a text names: a file, or "postgresql://..."; "-" for what the environment names.

    environment: The name of the variable, which may hold a password.

    Raises NoPlace.
    """
    if text == "-":
        text = os.environ.get(environment, "")
        if not text:
            raise NoPlace(f"the environment names no database in {environment}")
    if not is_url(text):
        return Path(text)
    if find_spec("psycopg") is None:
        raise NoPlace("PostgreSQL needs psycopg, which is not installed: pip install 'palaestra-server[postgres]'")
    return Address(text)
