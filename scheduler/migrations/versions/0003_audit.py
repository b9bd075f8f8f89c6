"""The audit: who did what, in chains of hashes."""

from pathlib import Path

from scheduler.migrations.script import run

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text())
