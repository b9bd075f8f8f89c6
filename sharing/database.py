"""The room's own file, and looking into the catalogue; see `database`."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from database import file, keeping
from database.sql import ERRORS, Failed, is_absent
from palaestra.errors import PalaestraError

RETRY_S = 1.0
REVISIONS = sorted((Path(__file__).parent / "revisions").glob("[0-9]*.sql"))


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the file, made or brought to the last revision if it has to be. Raises database.file.SchemaMismatch."""
    return file.open_writer(path, REVISIONS)


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that there is, to look."""
    return file.open_reader(path)


class Readers(keeping.Readers[sqlite3.Connection]):
    """Connections to look into a file, one for each thread; `reader` raises sqlite3.Error while there is none."""

    def __init__(self, path: Path) -> None:
        super().__init__(lambda: open_reader(path))


class Database(keeping.Keeping[sqlite3.Connection]):
    """The room's own file: read from any thread, written by one at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file, made if it has to be. Raises database.file.SchemaMismatch."""
        super().__init__(lambda: open_reader(path), lambda: open_writer(path))


class NothingRecorded(Exception):
    """There is no catalogue: nothing was ever recorded in this venue."""


@contextmanager
def looking() -> Iterator[None]:
    """Look into the catalogue. Raises NothingRecorded; PalaestraError while its server does not answer."""
    try:
        yield
    except ERRORS as error:
        if is_absent(error):
            raise NothingRecorded from None
        if isinstance(error, Failed):
            # Who asks learns nothing of where it is.
            told = "the catalogue does not answer at present"
            raise PalaestraError("DISK_FAILED", told, retry_after_s=RETRY_S) from error
        raise
