"""What has changed in the database since somebody last looked: marked by triggers of one connection, not by commands.

The triggers and the marks are temporary: they belong to the connection, and nothing of them is on the disk. Marks are
made in the transaction of the change and undone with it, by savepoint too, so no command can forget to tell and none
that was refused tells anything. Whoever looks takes the marks away in a transaction of his own. If that is rolled back,
or if another connection has written meanwhile, he is told to read everything anew.
"""

from collections.abc import Iterable
from enum import StrEnum

from scheduler.sql import Connection, is_file


class What(StrEnum):
    """What a mark is about; its id is that of the row, or 0 where only the kind is told."""

    JOB = "job"
    LEASE = "lease"
    UNIT = "unit"
    SLOT = "slot"
    CELL = "cell"
    # Past use of a leaf.
    USE = "use"
    # Which units, slots and cells there are.
    SIZE = "size"
    # Weights that the slow loop sets.
    TARGET = "target"
    # The tree of vendors, the venue's own rules.
    RULES = "rules"


# Whose ids are numbers.
_NUMBERED = frozenset((What.JOB, What.LEASE, What.SIZE, What.TARGET, What.RULES))

_OF_JOB = ("state", "vendor", "leaf", "priority", "spec", "create_ns", "not_before_ns", "deadline_ns", "open_after",
           "open_gates")  # fmt: skip
_OF_LEASE = ("vendor", "leaf", "job_id", "attempt", "state", "grant_ns", "end_by_ns", "seats", "chargers")
_OF_UNIT = ("robot_model", "robot_class", "maker", "labels", "joint_count", "epoch", "safe_epoch", "online", "latched",
            "fault", "battery", "zone")  # fmt: skip
_OF_BODY = ("payload_kg", "end_effector", "sensors", "firmware", "capacity_wh", "work_power_w", "charge_power_w",
            "plugged", "cool_ns", "calibrated_ns", "wear_ms", "setup", "health")  # fmt: skip
_OF_ATTEMPT = ("state", "lease_id", "cancel_ns", "preempt_ns", "safe_ns")
_UNITS_HELD = "SELECT '{0}', {0} FROM lease_{0} WHERE lease_id = new.id AND free_ns IS NULL"

# Of each table: the columns that matter (none: all), and the marks of a change; `{row}` is the new or the deleted row.
_MARKED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "job": (_OF_JOB, ("SELECT 'job', {row}.id",)),
    "lease": (_OF_LEASE, ("SELECT 'lease', {row}.id",)),
    "attempt": (_OF_ATTEMPT, ("SELECT 'lease', {row}.lease_id",)),
    "lease_unit": ((), ("SELECT 'lease', {row}.lease_id", "SELECT 'unit', {row}.unit")),
    "lease_slot": ((), ("SELECT 'lease', {row}.lease_id", "SELECT 'slot', {row}.slot")),
    "lease_cell": ((), ("SELECT 'lease', {row}.lease_id", "SELECT 'cell', {row}.cell")),
    "reservation_job": ((), ("SELECT 'lease', id FROM lease WHERE job_id = {row}.job_id",)),
    "unit": (_OF_UNIT, ("SELECT 'unit', {row}.id",)),
    "body": (_OF_BODY, ("SELECT 'unit', {row}.unit",)),
    "unit_order": ((), ("SELECT 'unit', {row}.unit",)),
    "sim_slot": ((), ("SELECT 'slot', {row}.id",)),
    "cell": ((), ("SELECT 'cell', {row}.id", "SELECT 'size', 0")),
    "used_mean": ((), ("SELECT 'use', {row}.leaf",)),
    "target": ((), ("SELECT 'target', 0",)),
    "party": ((), ("SELECT 'rules', 0",)),
    "venue": ((), ("SELECT 'rules', 0",)),
    "zone": ((), ("SELECT 'rules', 0",)),
    "meta": ((), ("SELECT 'rules', 0",)),
}
# What a lease holds tells its planned end, a job's priority is its lease's, and how many there are is of matter too.
_MORE = (
    ("lease", "UPDATE", ("end_by_ns",), tuple(_UNITS_HELD.format(thing) for thing in ("unit", "slot", "cell"))),
    ("job", "UPDATE", ("priority",), ("SELECT 'lease', id FROM lease WHERE job_id = {row}.id",)),
    *((table, event, (), ("SELECT 'size', 0",)) for table in ("unit", "sim_slot") for event in ("INSERT", "DELETE")),
)


class Feed:
    """The marks of one connection.

    Args:
        db: The connection that writes. It is asked for nothing else than temporary tables and triggers; in PostgreSQL,
            which has no temporary triggers, they are permanent (`postgres/marks.py`) and mark what anybody changes.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._looks = 0
        self._version: int | None = None
        if is_file(db):
            self._temporary(db)
        else:
            from scheduler.postgres import marks

            marks.install(db, _triggers())

    def _temporary(self, db: Connection) -> None:
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("CREATE TEMP TABLE changed (what TEXT NOT NULL, id NOT NULL, PRIMARY KEY (what, id)) WITHOUT ROWID")
        db.execute("CREATE TEMP TABLE looked (number INTEGER NOT NULL)")
        db.execute("INSERT INTO temp.looked VALUES (0)")
        for number, (table, event, condition, body) in enumerate(_triggers()):
            db.execute(
                f"CREATE TEMP TRIGGER changed_{number} AFTER {event} ON main.{table} WHEN {condition} BEGIN {body} END"
            )

    def take(self) -> dict[What, list[int | str]] | None:
        """Return the ids marked since the last time and forget them; None if everything must be read anew.

        To be called in the transaction in which what is marked is read.
        """
        version = self._data_version()
        looks: int = self._db.execute("SELECT number FROM looked").fetchone()[0]
        told = version == self._version and looks == self._looks
        self._version = version
        # A number that was never given, so that no roll-back can bring it back.
        self._looks = max(self._looks, looks) + 1
        self._db.execute("UPDATE looked SET number = ?", (self._looks,))
        by_name: dict[str, list[int | str]] = {}
        for what, mark in self._db.execute("SELECT what, id FROM changed ORDER BY what, id").fetchall():
            by_name.setdefault(what, []).append(mark)
        found: dict[What, list[int | str]] = {What(what): marks for what, marks in by_name.items()}
        for kind in found.keys() & _NUMBERED:
            found[kind] = [int(mark) for mark in found[kind]]
        self._db.execute("DELETE FROM changed")
        return found if told and What.RULES not in found else None

    def _data_version(self) -> int:
        if not is_file(self._db):
            # What others write is marked too.
            return 0
        # Changes when another connection has written (https://sqlite.org/pragma.html#pragma_data_version).
        version: int = self._db.execute("PRAGMA data_version").fetchone()[0]
        return version


def _triggers() -> list[tuple[str, str, str, str]]:
    """Return table, event, condition and body of every trigger."""
    events = [
        (table, event, columns, marks)
        for table, (columns, marks) in _MARKED.items()
        for event in ("INSERT", "UPDATE", "DELETE")
    ]
    return [_trigger(*one) for one in (*events, *_MORE)]


def _trigger(table: str, event: str, columns: tuple[str, ...], marks: tuple[str, ...]) -> tuple[str, str, str, str]:
    row = "old" if event == "DELETE" else "new"
    # Not OR IGNORE: what the statement that fires a trigger says of conflicts, an upsert for one, holds in its body too
    # (https://sqlite.org/lang_createtrigger.html).
    body = "".join(
        f"INSERT INTO changed SELECT * FROM ({mark.format(row=row)}) mark WHERE true ON CONFLICT DO NOTHING; "
        for mark in marks
    )
    if event != "UPDATE" or not columns:
        return table, event, "1", body
    # Most updates are of other columns; and of these, hosts tell the same over and over.
    return table, f"UPDATE OF {', '.join(columns)}", columns_changed(columns), body


def columns_changed(columns: Iterable[str]) -> str:
    """Return the condition of a trigger under which an update has changed any of the columns."""
    return " OR ".join(f"old.{column} IS NOT new.{column}" for column in columns)
