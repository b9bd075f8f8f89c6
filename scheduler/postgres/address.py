"""Where a PostgreSQL database is, and what keeps its password out of sight."""

import re
from dataclasses import dataclass

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
