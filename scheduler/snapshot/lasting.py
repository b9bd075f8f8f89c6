"""What commands find out about the venue and may go on using until it is otherwise.

Like the marks of `snapshot.feed`, by triggers (temporary ones of the connection that writes; in PostgreSQL, which has
none, permanent ones): no command can forget to tell.
What is told here is whether anything has changed of what a claim could ever be met from (units by what they are and not
by how they do, cells, slots, the tree of vendors), or whether a job has come back into the queue.
"""

from typing import Any

from scheduler.health import Health
from scheduler.snapshot.feed import columns_changed
from scheduler.sql import Connection, is_file

_UNIT = ("robot_model", "robot_class", "maker", "labels", "joint_count", "zone")
_BODY = ("payload_kg", "end_effector", "sensors", "firmware", "health")
_ANY = ("unit", "cell", "sim_slot", "party", "venue", "zone")
_RETIRED = f"EXISTS (SELECT 1 FROM body WHERE unit = new.unit AND health = {int(Health.RETIRED)})"
# Table, event, condition.
_TRIGGERS = (
    *((table, event, "1") for table in _ANY for event in ("INSERT", "DELETE")),
    *((table, "UPDATE", "1") for table in _ANY if table != "unit"),
    ("unit", f"UPDATE OF {', '.join(_UNIT)}", columns_changed(_UNIT)),
    ("body", f"UPDATE OF {', '.join(_BODY)}", columns_changed(_BODY)),
    # A retired unit is there as long as it is leased.
    ("lease_unit", "UPDATE OF free_ns", _RETIRED),
    ("job", "UPDATE OF state", "new.state = 1 AND old.state != 1"),
)


class Lasting:
    """Values under names of their own, for one connection.

    Args:
        db: The connection that writes. It is asked for nothing else than a temporary table and triggers; in PostgreSQL
            for those of `postgres/marks.py`, which also count what others write.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._values: dict[str, Any] = {}
        self._as_of: tuple[int, int] | None = None
        self._touched = False
        if is_file(db):
            self._temporary(db)
        else:
            from scheduler.postgres import marks

            marks.install_version(db, _TRIGGERS)

    def _temporary(self, db: Connection) -> None:
        db.execute("PRAGMA temp_store=MEMORY")
        db.execute("CREATE TEMP TABLE venue_version (number INTEGER NOT NULL)")
        db.execute("INSERT INTO temp.venue_version VALUES (0)")
        for number, (table, event, condition) in enumerate(_TRIGGERS):
            db.execute(
                f"CREATE TEMP TRIGGER venue_changed_{number} AFTER {event} ON main.{table} WHEN {condition} "
                "BEGIN UPDATE venue_version SET number = number + 1; END"
            )

    def get(self, name: str) -> Any:
        """Return what was put under a name if it still holds, or None. It may be changed: see `undo`."""
        number: int = self._db.execute("SELECT number FROM venue_version").fetchone()[0]
        version = 0
        if is_file(self._db):
            # Changes when another connection has written (https://sqlite.org/pragma.html#pragma_data_version).
            version = self._db.execute("PRAGMA data_version").fetchone()[0]
        if (number, version) != self._as_of:
            self._values.clear()
            self._as_of = number, version
        self._touched = True
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        """Keep a value; `get` must have been called before it was found out, in the same command."""
        self._values[name] = value

    def touch(self) -> None:
        """Say that the present command may change a value that another one of its transaction has got."""
        self._touched = True

    def begin(self) -> None:
        """Say that a command begins."""
        self._touched = False

    def undo(self) -> None:
        """Say that what was done since `begin` is undone: what was kept or changed meanwhile holds no more."""
        if self._touched:
            self.forget()

    def forget(self) -> None:
        """Forget everything."""
        self._values.clear()
        self._as_of = None
