"""The latest events, kept for all who watch: never others than the database has, nor more than they may be."""

import sqlite3
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.v1 import event_pb2, job_pb2
from scheduler import tail
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.tail import Tail

BYTES = 1000
# The events of some commits, each by the length of its body; between commits somebody may look or not.
COMMITS = st.lists(st.tuples(st.lists(st.integers(0, 400), min_size=1, max_size=12), st.booleans()), max_size=8)


def database() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.row_factory = sqlite3.Row
    db.execute(
        """
        CREATE TABLE event (seq INTEGER PRIMARY KEY, time_ns INTEGER, kind TEXT, resource TEXT, vendor TEXT,
          message TEXT, body BLOB)
        """
    )
    return db


def commit(db: sqlite3.Connection, hub: Any, bodies: Iterable[bytes]) -> None:
    for body in bodies:
        hub.sequence += 1
        db.execute("INSERT INTO event VALUES (?, 1, 'kind', 'it', NULL, '', ?)", (hub.sequence, body))


@given(COMMITS, st.integers(1, 6))
def test_what_is_kept_is_what_the_database_has_and_within_its_bounds(commits: Any, few: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tail, "KEPT", 20)
        patch.setattr(tail, "KEPT_BYTES", BYTES)
        patch.setattr(tail, "FEW", few)
        db, hub = database(), SimpleNamespace(sequence=0)
        kept = Tail(db, hub)  # type: ignore[arg-type]
        for lengths, looked in commits:
            commit(db, hub, map(bytes, lengths))
            if not looked:
                continue
            for sequence in range(hub.sequence + 1):
                found = kept.after(sequence, 100)
                if found is not None:
                    assert [row["seq"] for row in found] == list(range(sequence + 1, hub.sequence + 1))
                    assert sum(len(row["body"]) for row in found) <= BYTES
            # Those that have been told everything go on with what is kept, unless it is too much at once.
            assert kept.after(hub.sequence, 100) == []
            last = db.execute("SELECT length(body) FROM event WHERE seq = ?", (hub.sequence,)).fetchone()[0]
            assert last > BYTES or kept.after(hub.sequence - 1, 100) is not None


def test_what_was_made_for_readers_is_forgotten_before_it_is_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "KEPT_BYTES", BYTES)
    db, hub = database(), SimpleNamespace(sequence=0)
    kept = Tail(db, hub)  # type: ignore[arg-type]
    for number in range(40):
        commit(db, hub, [event_pb2.Event(job=job_pb2.Job(display_name="x" * 100)).SerializeToString()])
        (row,) = kept.after(number, 100) or ()
        told = kept.entry(row, Identity(Role.OPERATOR))
        assert kept.entry(row, Identity(Role.OPERATOR)) is told
        assert sum(map(len, kept._entries.values())) <= BYTES
