"""Events get a check, for which SQLite needs the table built anew."""

from scheduler.migrations.script import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(
        """
        CREATE TABLE event_new (
          seq INTEGER PRIMARY KEY AUTOINCREMENT, time_ns INTEGER NOT NULL CHECK (time_ns > 0), kind TEXT NOT NULL,
          resource TEXT NOT NULL, vendor TEXT, message TEXT NOT NULL, body BLOB NOT NULL
        ) STRICT;
        INSERT INTO event_new SELECT * FROM event;
        DROP TABLE event;
        ALTER TABLE event_new RENAME TO event;
        """
    )
