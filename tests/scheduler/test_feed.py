"""Marks of what has changed, whatever way the statement that changes it treats conflicts."""

from contextlib import closing
from pathlib import Path

import pytest

from scheduler import database
from scheduler.snapshot.feed import Feed, What

CELL = "INTO cell VALUES ('c-1', 'Cell', 's', '', 1, 0.0, 0.0, 0.0, 1.0, 1.0, '')"


@pytest.mark.parametrize(
    "again",
    [
        f"INSERT {CELL} ON CONFLICT (id) DO UPDATE SET level = 2",
        f"INSERT OR REPLACE {CELL}",
        "UPDATE OR ABORT cell SET level = 2",
        "UPDATE OR FAIL cell SET level = 2",
        "UPDATE cell SET level = 2",
    ],
)
def test_what_changes_again_before_anybody_looks_is_marked_once_and_refuses_nothing(tmp_path: Path, again: str) -> None:
    with closing(database.open_writer(tmp_path / "scheduler.db")) as db:
        feed = Feed(db)
        feed.take()
        db.execute(f"INSERT {CELL}")
        db.execute(again)
        db.execute(again)

        assert feed.take() == {What.CELL: ["c-1"], What.SIZE: [0]}
        assert feed.take() == {}
