"""Jobs are told a colour."""

from scheduler.migrations.script import run

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    run("ALTER TABLE job ADD COLUMN colour TEXT NOT NULL DEFAULT 'grey';")
