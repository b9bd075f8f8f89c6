"""A venue moves from its file into PostgreSQL, whole or not at all."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from palaestra.v1 import job_pb2
from scheduler import database, seat
from scheduler.database import DatabaseInUse, DatabaseLock, HasMoved, SchemaMismatch
from scheduler.seat import lead
from tests.cluster import Cluster
from tests.scheduler import places
from tests.scheduler.process import ROOT
from tests.scheduler.site import Site, job, play

pytest.importorskip("psycopg")

from database.postgres import copying
from database.postgres.copying import NotMoved
from scheduler.postgres import command, opening
from scheduler.postgres.moving import move


async def _history(site: Site) -> None:
    """Leave something in most tables: jobs that ran, wait and were refused, leases, episodes' books, logs."""
    await site.connect()
    done = await site.submit(job(cell="assembly"), request_id="once")
    await site.submit(job(3))
    await site.submit(job(2))
    await site.settle()
    attempt = await site.start(done)
    await site.finish(attempt, job_pb2.ATTEMPT_STATE_SUCCEEDED)
    await site.sweep(1.0)
    await site.submit(job(1), "rival")
    await site.settle()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A stopped venue's file."""
    play(tmp_path, _history)
    for part in tmp_path.glob("db*"):
        # With the log that holds the latest of it.
        part.rename(tmp_path / part.name.replace("db", database.FILE, 1))
    return tmp_path / database.FILE


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(database.open_file_to_read(path)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [tuple(row) for row in db.execute(f"SELECT * FROM {table}")] for table in tables}


def test_every_table_arrives_with_its_hash_and_the_file_stays_as_it_was_but_for_its_mark(
    cluster: Cluster, old: Path
) -> None:
    before = _rows(old)
    found = move(old, target := cluster.fresh(empty=True))

    mark = (database.MOVED, str(target).encode())
    assert mark in _rows(old)["meta"]
    database.mark_moved(old, "")
    assert _rows(old) == before
    assert found.tables["event"].rows > 10
    with closing(database.open_file_to_read(old)) as file, closing(opening.open_reader(target)) as there:
        for table, content in found.tables.items():
            rows = [tuple(row) for row in file.execute(f"SELECT * FROM {table}")]
            assert len(rows) == content.rows
            assert sorted(map(repr, rows)) == sorted(
                repr(tuple(row)) for row in there.execute(f"SELECT * FROM {table}").fetchall()
            ), table


def test_a_venue_that_has_moved_goes_on_where_it_was(cluster: Cluster, old: Path) -> None:
    """The same request id is the same job, the waiting job is granted, and no number comes twice."""
    target = cluster.fresh(empty=True)
    with closing(database.open_file_to_read(old)) as file:
        (latest,) = file.execute("SELECT max(seq) FROM event").fetchone()
        (name,) = file.execute("SELECT uid FROM job WHERE request_id = 'once'").fetchone()
    move(old, target)

    async def scene(site: Site) -> None:
        await site.connect()
        assert (await site.submit(job(cell="assembly"), request_id="once")).name.endswith(name)
        new = await site.submit(job(0, 1), "third")
        await site.settle()
        assert site.get(new.name).state == job_pb2.JOB_STATE_GRANTED
        first = site.row("SELECT min(seq) FROM event WHERE seq > ?", latest)[0]
        assert first == latest + 1

    there = old.parent / "moved"
    places.let(there / "db", target)
    play(there, scene)


def test_a_target_that_is_not_empty_is_refused_and_left_alone(cluster: Cluster, old: Path) -> None:
    target = cluster.fresh(empty=True)
    with closing(opening.connect_patiently(target)) as db:
        db.script("CREATE TABLE somebodys (value TEXT); INSERT INTO somebodys VALUES ('kept')")
        with pytest.raises(NotMoved, match="is not empty"):
            move(old, target)
        assert db.execute("SELECT value FROM somebodys").fetchall()[0][0] == "kept"
        assert opening.revision(db) is None


def test_a_venue_that_runs_is_not_moved(cluster: Cluster, old: Path) -> None:
    lock = DatabaseLock(old)
    try:
        with pytest.raises(DatabaseInUse, match="in use"):
            move(old, cluster.fresh(empty=True))
    finally:
        lock.release()


def test_a_file_of_another_revision_is_migrated_first(cluster: Cluster, old: Path) -> None:
    with closing(database.connect(f"file:{old}?mode=rw")) as db:
        db.execute("UPDATE alembic_version SET version_num = '0001'")
    with pytest.raises(SchemaMismatch, match="migrate"):
        move(old, cluster.fresh(empty=True))


def test_what_postgresql_cannot_hold_is_named(cluster: Cluster, old: Path) -> None:
    with closing(database.connect(f"file:{old}?mode=rw")) as db:
        db.execute("UPDATE vendor SET display_name = 'a' || char(0) || 'b' WHERE id = 'acme'")
    target = cluster.fresh(empty=True)
    with pytest.raises(NotMoved, match=r"vendor\.display_name .* zero byte"):
        move(old, target)
    with closing(opening.connect_patiently(target)) as db:
        assert opening.revision(db) == ""


def test_a_row_that_arrives_otherwise_than_sent_undoes_the_move(
    cluster: Cluster, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte of one value is changed on its way; the check before the commit sees it."""
    sound = copying._bytes
    monkeypatch.setattr(copying, "_hashed", lambda value: repr(value).encode())
    monkeypatch.setattr(copying, "_bytes", lambda value: sound("desk" if value == "bench" else value))
    target = cluster.fresh(empty=True)
    with pytest.raises(NotMoved, match=r"cell has 1 rows, hash"):
        move(old, target)
    with closing(opening.connect_patiently(target)) as db:
        assert opening.revision(db) == ""


def test_a_file_whose_venue_has_moved_starts_no_scheduler_until_somebody_goes_back_on_purpose(
    cluster: Cluster, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor a standby, nor is it moved once more; the refusal says where the venue is, and how to go back."""
    target = cluster.fresh(empty=True)
    move(old, target)
    for start in (lambda: database.open_writer(old), lambda: seat.open_seat(old), lambda: lead(old, ttl_s=1.0)):
        with pytest.raises(HasMoved, match=re.escape(str(target)) + r".* move --data .* --back"):
            start()
    for again in (target, cluster.fresh(empty=True)):
        with pytest.raises(HasMoved, match="has moved to"):
            move(old, again)
    assert command.main(["--data", str(old.parent), "--back"]) == 0
    assert str(target) in capsys.readouterr().out
    lead(old, ttl_s=1.0).release()
    assert command.main(["--data", str(old.parent), "--back"]) == 2


def test_killed_between_the_mark_and_the_commit_neither_starts_and_the_next_move_succeeds(
    cluster: Cluster, old: Path
) -> None:
    target = cluster.fresh(empty=True)
    database.mark_moved(old, str(target))
    with pytest.raises(HasMoved):
        database.open_writer(old)
    assert move(old, target).tables["event"].rows > 10
    with closing(opening.open_reader(target)) as there:
        assert database.moved_to(there) == "", "the mark is the file's alone"


SLOW = """
import os, sys, time
from pathlib import Path
from scheduler import database
from scheduler.postgres import moving
def say(text):
    print(text, flush=True)
    if text.startswith("event"):
        time.sleep(60)
moving.move(Path(sys.argv[1]), database.place("-"), say)
"""


def test_killed_in_the_middle_the_target_is_empty_and_the_next_move_succeeds(cluster: Cluster, old: Path) -> None:
    target = cluster.fresh(empty=True)
    child = subprocess.Popen(
        [sys.executable, "-c", SLOW, str(old)], cwd=ROOT, stdout=subprocess.PIPE,
        env={**os.environ, database.ENVIRONMENT: target.url},
    )  # fmt: skip
    assert child.stdout is not None
    while not child.stdout.readline().startswith(b"event"):
        assert child.poll() is None
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()

    with closing(opening.connect_patiently(target)) as db:
        give_up_s = time.monotonic() + 30.0
        while opening.revision(db) != "":
            assert time.monotonic() < give_up_s
            time.sleep(0.05)
    assert move(old, target).tables["event"].rows > 10


def test_the_command_prints_what_arrived_and_no_password(
    cluster: Cluster, old: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = cluster.fresh(empty=True).url.replace("postgres@", "postgres:hidden@")
    monkeypatch.setenv(database.ENVIRONMENT, url)
    assert command.main(["--data", str(old.parent)]) == 0
    out = capsys.readouterr().out
    assert "the same on both sides" in out
    assert "hidden" not in out
    assert command.main(["--data", str(old.parent)]) == 2
    error = capsys.readouterr().err
    assert "has moved to" in error
    assert "hidden" not in error
