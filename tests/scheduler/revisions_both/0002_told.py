"""Jobs are told a colour, of which there are some; each is numbered for ever."""

from scheduler.migrations.script import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run(
        """
        ALTER TABLE job ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';
        CREATE TABLE colour (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, share REAL,
          mark BLOB) STRICT;
        CREATE INDEX colour_by_share ON colour (share) WHERE share IS NOT NULL;
        INSERT INTO colour (id, name, share) VALUES (1, '100 % grey', 0.5);
        """
    )
