"""The schema as it was when migrations began."""

from pathlib import Path

from scheduler.migrations.script import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text())
