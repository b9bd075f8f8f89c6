"""The first revision, as the product has it."""

from pathlib import Path

import scheduler.migrations
from scheduler.migrations.script import run

revision = "0001"
down_revision = None


def upgrade() -> None:
    run((Path(scheduler.migrations.__file__).parent / "versions" / "0001_first.sql").read_text())
