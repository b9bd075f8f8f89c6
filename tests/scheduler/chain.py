"""A next schema, and revisions that lead to it: each kind of change that SQLite needs its own way for."""

from pathlib import Path

from scheduler.migrations.upgrade import OWN, Chain, upgrade

NEXT = Chain(
    Path(__file__).parent / "revisions",
    "0003",
    (OWN.versions / "0001_first.sql")
    .read_text()
    .replace("UNIQUE (vendor, request_id)\n) STRICT;\nCREATE INDEX job_queue",
             "colour TEXT NOT NULL DEFAULT 'grey',\n  UNIQUE (vendor, request_id)\n) STRICT;\nCREATE INDEX job_queue")
    .replace("AUTOINCREMENT, time_ns INTEGER NOT NULL, kind",
             "AUTOINCREMENT, time_ns INTEGER NOT NULL CHECK (time_ns > 0), kind")
    + """
CREATE TRIGGER vendor_stays BEFORE DELETE ON vendor BEGIN SELECT RAISE (ABORT, 'a vendor has a history; it stays'); END;
CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);
""",
)  # fmt: skip


def migrate_next(path: str) -> int:
    """Migrate along that chain; run in a process that is killed."""
    upgrade(Path(path), NEXT)
    return 0
