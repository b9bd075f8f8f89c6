"""${message}."""

from pathlib import Path

from scheduler.migrations.script import run

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}


def upgrade() -> None:
    run(Path(__file__).with_suffix(".sql").read_text())
