"""Where a catalogue is, and how it is opened there: a SQLite file, or a namespace `catalogue` in PostgreSQL."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from database import address, file, keeping, sql
from database.address import Place

REVISIONS = sorted((Path(__file__).parent / "revisions").glob("[0-9]*.sql"))
NAMESPACE = "catalogue"
ENVIRONMENT = "PALAESTRA_CATALOGUE"
"""May name the database in PostgreSQL instead of the venue file or an argument: it may hold a password."""
HELP = f"the catalogue: a file, postgresql://..., or - for what ${ENVIRONMENT} says"
MOVED = "moved to "
"""What the leader's name begins with in a file whose catalogue is elsewhere."""


class HasMoved(Exception):
    """The catalogue has gone on in another database since this file was it; the file is of before."""


def place(text: str) -> Place:
    """Return the place that a text names, see `database.address.place`. Raises NoPlace."""
    return address.place(text, ENVIRONMENT)


@dataclass(frozen=True)
class Opening:
    """How to open one catalogue, and to begin a transaction that writes there."""

    reader: Callable[[], sql.Connection]
    writer: Callable[[], sql.Connection]
    begin: Callable[[sql.Connection], None]


def opening(where: Place, *, forward: bool = True) -> Opening:
    """Return how a catalogue is opened. `writer` raises SchemaMismatch, HasMoved.

    forward: Whether tables of an older revision are brought forward, or else refused.
    """
    if isinstance(where, Path):
        return Opening(lambda: file.open_reader(where), lambda: _open_file(where, forward=forward), keeping.begin)
    from database.postgres.connection import Connection  # psycopg is an extra
    from database.postgres.revisions import Namespace

    namespace = Namespace(where, NAMESPACE, REVISIONS)

    def begin(db: sql.Connection) -> None:
        assert isinstance(db, Connection)
        namespace.begin(db)

    return Opening(namespace.open_reader, lambda: namespace.open_writer(forward=forward), begin)


def readers(where: Place) -> keeping.Readers[sql.Connection]:
    """Return connections to look into a catalogue; where there is none, they raise what `sql.is_absent` knows."""
    return keeping.Readers(opening(where).reader)


def moved_to(db: sql.Connection) -> str:
    """Return where the catalogue of a file has gone, "" if it has not."""
    name: str = db.execute("SELECT instance FROM leader").fetchone()[0]
    return name.removeprefix(MOVED) if name.startswith(MOVED) else ""


def _open_file(path: Path, *, forward: bool) -> sql.Connection:
    db = file.open_writer(path, REVISIONS, forward=forward)
    where = moved_to(db)
    if where:
        db.close()
        raise HasMoved(
            f"{path} is of before this catalogue moved to {where}: name that one as [catalogue] database in the venue "
            f"file, or in {ENVIRONMENT}; a move that was cut off goes on if it is called once more. To give up what is "
            f"there and go on from this file on purpose, run `python -m catalogue back {path}`"
        )
    return db
