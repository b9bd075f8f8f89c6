"""Migrations: the schema has one meaning whichever way it was made, and no migration is ever half done."""

import signal
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from palaestra.v1 import event_pb2
from scheduler import database
from scheduler.migrations import command
from scheduler.migrations.script import statements
from scheduler.migrations.shape import Shape, differences, shape
from scheduler.migrations.upgrade import OWN, Chain, MigrationFailed, upgrade
from tests.scheduler.chain import NEXT
from tests.scheduler.faulty import KILLS, Disk
from tests.scheduler.nursery import Nursery
from tests.scheduler.site import Site, job, play

HERE = Path(__file__).parent


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database that a scheduler of the first revision has left, after some work."""
    path = tmp_path / database.FILE
    with closing(sqlite3.connect(path)) as db:
        db.executescript((HERE / "golden" / "before.sql").read_text())
    return path


def shape_of(script: str) -> Shape:
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(script)
        return shape(db)


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Return all rows of all tables, as they are."""
    with closing(sqlite3.connect(path)) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: db.execute(f"SELECT * FROM {name} ORDER BY 1").fetchall() for name in sorted(tables)}


def state(path: Path) -> tuple[str | None, Shape, int]:
    with closing(database.connect(f"file:{path}?mode=rw")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        return database.revision(db), shape(db), db.execute("SELECT count(*) FROM event").fetchone()[0]


def test_the_schema_made_by_migrations_from_nothing_is_the_schema(tmp_path: Path) -> None:
    """Whoever changes schema.sql finds here that a revision is missing, or what it left out."""
    path = tmp_path / database.FILE
    with closing(sqlite3.connect(path)) as db:
        db.executescript((OWN.versions / "0001_first.sql").read_text())
        db.executescript("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        db.execute("INSERT INTO alembic_version VALUES ('0001')")
        db.commit()
    upgrade(path)
    with closing(sqlite3.connect(path)) as db:
        assert differences(shape(db), shape_of(database.SCHEMA)) == []


def test_the_revisions_are_one_line_of_numbers_that_ends_in_the_schedulers_own() -> None:
    names = sorted(file.stem for file in OWN.versions.glob("*.py"))

    assert [name[:4] for name in names] == [f"{n:04}" for n in range(1, len(names) + 1)]
    assert names[-1][:4] == database.REVISION
    assert [step[:4] for step in OWN.steps("0000")] == [name[:4] for name in names]


def test_an_old_database_is_refused_until_it_is_migrated_and_then_goes_on(old: Path, tmp_path: Path) -> None:
    """Its rows are there as they were, and the scheduler works on with them."""
    before = rows(old)
    with pytest.raises(database.SchemaMismatch, match="run `python -m scheduler migrate --data"):
        database.open_writer(old)
    assert upgrade(old) is not None
    after = rows(old)
    stamp = {"alembic_version": [(database.REVISION,)]}
    assert {name: after[name] for name in before} == before | stamp
    assert after.keys() - before.keys() == {"api_key", "audit", "audit_head"}
    (tmp_path / "site").mkdir()
    old.rename(tmp_path / "site" / "db")

    async def scene(site: Site) -> None:
        assert {row["state"] for row in site.rows("SELECT state FROM job")} >= {1, 5}
        await site.connect()
        assert (await site.submit(job())).state == 1

    play(tmp_path / "site", scene)


def test_a_chain_of_revisions_keeps_every_row_and_says_what_it_did(
    old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = rows(old)
    done = upgrade(old, NEXT, say=print)

    assert done is not None
    assert (done.before, done.after) == ("0001", "0003")
    assert done.steps == ["0002: Jobs are told a colour.", "0003: " + done.steps[1][6:]]
    after = rows(old)
    assert [row[:-1] for row in after["job"]] == before["job"]
    assert {row[-1] for row in after["job"]} == {"grey"}
    assert after["event"] == before["event"]
    assert all(event_pb2.Event.FromString(bytes(row[-1])) for row in after["event"])  # type: ignore[arg-type]
    assert after["sqlite_sequence"] == before["sqlite_sequence"], "numbers of events are never given twice"
    assert rows(done.backup) == before, "the backup is the old one, log and all"
    assert str(done.backup) in capsys.readouterr().out
    with closing(sqlite3.connect(old)) as db, pytest.raises(sqlite3.IntegrityError, match="it stays"):
        db.execute("DELETE FROM vendor")


def test_what_a_scheduler_has_written_but_not_yet_put_in_place_is_in_the_backup(old: Path) -> None:
    """Killed schedulers leave a write-ahead log beside the file."""
    with closing(database.connect(f"file:{old}?mode=rw")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("INSERT INTO vendor VALUES ('late', '', 1.0)")
        log = Path(f"{old}-wal").read_bytes()
        image = old.read_bytes()
    old.write_bytes(image)
    Path(f"{old}-wal").write_bytes(log)
    done = upgrade(old, NEXT)

    assert done is not None
    assert ("late", "", 1.0) in rows(done.backup)["vendor"]
    assert ("late", "", 1.0) in rows(old)["vendor"]


def broken(folder: Path, code: str) -> Chain:
    """Return the chain of tests with other code in its last revision."""
    folder.mkdir()
    for file in NEXT.versions.glob("*.py"):
        (folder / file.name).write_text(file.read_text())
    last = folder / "0003_rebuilt.py"
    last.write_text(last.read_text() + code)
    return replace(NEXT, versions=folder)


BROKEN = {
    "fails": (["SELECT nothing FROM nowhere"], sqlite3.Error, "nowhere"),
    "forgets a table": (["DROP TABLE told_start"], MigrationFailed, "table told_start is missing"),
    "loses what others name": (
        ["DROP TRIGGER vendor_stays", "DELETE FROM vendor"], MigrationFailed, "names one of vendor",
    ),
    "another type": (
        ["ALTER TABLE job DROP COLUMN colour", "ALTER TABLE job ADD COLUMN colour BLOB"],
        MigrationFailed, "table job: columns are .*BLOB.* should be .*TEXT",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_revision_that_does_wrong_changes_nothing(old: Path, tmp_path: Path, case: str) -> None:
    script, error, problem = BROKEN[case]
    code = "".join(f"    run({statement!r} + ';')\n" for statement in script)
    before = rows(old)
    with pytest.raises(Exception, match=problem) as caught:
        upgrade(old, broken(tmp_path / "chain", code))

    assert isinstance(caught.value, error) or isinstance(getattr(caught.value, "orig", None), error)
    assert rows(old) == before
    assert state(old)[0] == "0001"


def test_what_is_no_older_revision_is_refused_with_what_to_do(tmp_path: Path, old: Path) -> None:
    with pytest.raises(FileNotFoundError):
        upgrade(tmp_path / "nothing.db")
    upgrade(old)
    with closing(sqlite3.connect(old)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9998'")
        db.commit()
    for path, problem in ((old, "a newer one"), (tmp_path / "other.db", "move the data folder away")):
        if path != old:
            with closing(sqlite3.connect(path)) as db:
                db.execute("CREATE TABLE something (a)")
        before = path.read_bytes()
        with pytest.raises(database.SchemaMismatch, match=problem):
            upgrade(path)
        with pytest.raises(database.SchemaMismatch, match=problem):
            database.open_writer(path)
        assert path.read_bytes() == before


def test_the_command_tells_what_it_did_and_a_repeat_does_nothing(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--data", str(old.parent)]
    assert command.main(arguments) == 0
    told = capsys.readouterr().out
    assert f"revision {database.REVISION}" in told
    assert "backup: " in told
    assert command.main(arguments) == 0
    assert "nothing to do" in capsys.readouterr().out
    with closing(sqlite3.connect(old)) as db:
        db.execute("UPDATE alembic_version SET version_num = '9999'")
        db.commit()
    assert command.main(arguments) == 2
    assert "nothing was changed" in capsys.readouterr().err


def test_a_database_in_use_is_not_migrated(old: Path) -> None:
    lock = database.DatabaseLock(old)
    with pytest.raises(database.DatabaseInUse):
        upgrade(old)
    lock.release()


def test_a_script_is_split_where_statements_end() -> None:
    trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN\n  DELETE FROM b;\n  DELETE FROM c;\nEND;"
    assert list(statements(f"-- what\nSELECT ';';\n{trigger}\n-- the end\n")) == ["-- what\nSELECT ';';", trigger]
    with pytest.raises(ValueError, match="DELETE"):
        list(statements("SELECT 1;\nDELETE FROM b\n"))


SAME = {
    "CREATE TABLE a (x INTEGER, y TEXT)": ("CREATE TABLE a (x INTEGER)", "ALTER TABLE a ADD COLUMN y TEXT"),
    "CREATE TABLE a (x INTEGER CHECK (x > (0)))": (
        "CREATE TABLE b ( x  integer check(x>(0)) -- b\n)", "ALTER TABLE b RENAME TO a",
    ),
}  # fmt: skip
UNLIKE = {
    "a type": "CREATE TABLE a (x TEXT CHECK (x > 0), y REFERENCES a, UNIQUE (y)) STRICT",
    "a check": "CREATE TABLE a (x INTEGER CHECK (x > 1), y TEXT REFERENCES a, UNIQUE (y)) STRICT",
    "no reference": "CREATE TABLE a (x INTEGER CHECK (x > 0), y TEXT, UNIQUE (y)) STRICT",
    "no key": "CREATE TABLE a (x INTEGER CHECK (x > 0), y TEXT REFERENCES a) STRICT",
    "not strict": "CREATE TABLE a (x INTEGER CHECK (x > 0), y TEXT REFERENCES a, UNIQUE (y))",
    "another order": "CREATE TABLE a (y TEXT REFERENCES a, x INTEGER CHECK (x > 0), UNIQUE (y)) STRICT",
}


@pytest.mark.parametrize("made", SAME)
def test_a_table_that_was_altered_into_another_is_like_it(made: str) -> None:
    assert differences(shape_of(";".join(SAME[made])), shape_of(made)) == []


@pytest.mark.parametrize("case", UNLIKE)
def test_a_table_that_means_another_thing_is_unlike(case: str) -> None:
    table = "CREATE TABLE a (x INTEGER CHECK (x > 0), y TEXT REFERENCES a, UNIQUE (y)) STRICT"
    sql = UNLIKE[case].replace("y REFERENCES", "y TEXT REFERENCES")
    assert differences(shape_of(table), shape_of(table)) == []
    assert differences(shape_of(sql), shape_of(table)) != []


POINTS = 10


def test_kill_9_leaves_the_old_database_or_the_new_one_never_one_between(tmp_path: Path) -> None:
    """Killed at writes and fsyncs that are spread over the whole of a migration, from the backup to the end."""
    disk = Disk(tmp_path / "faulty")
    path, log = disk.folder / database.FILE, tmp_path / "log"
    with closing(sqlite3.connect(path)) as db:
        db.executescript((HERE / "golden" / "before.sql").read_text())
        # So that the changes do not fit into memory, but reach the log before the commit.
        db.execute(
            """
            WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
            INSERT INTO event (time_ns, kind, resource, message, body) SELECT i, 'number', i, '', zeroblob(50) FROM n
            """
        )
        db.commit()
    image = path.read_bytes()
    _, before, events = state(path)
    ends = []
    with Nursery("tests.scheduler.chain", environment=disk.environment) as nursery:

        def migrate() -> int:
            for file in disk.folder.glob(f"{path.name}*"):
                file.unlink()
            path.write_bytes(image)
            return nursery.wait(nursery.start("tests.scheduler.chain:migrate_next", log, passed=[str(path)]))

        disk.mode, disk.left = KILLS, 2**30
        assert migrate() == 0, log.read_text()
        count = 2**30 - disk.left
        _, after, _ = state(path)
        assert differences(after, shape_of(NEXT.schema)) == []
        for point in [*range(1, count, max(count // POINTS, 1)), count - 2, count - 1, count]:
            disk.left = point
            assert migrate() == -signal.SIGKILL, log.read_text()
            revision, found, left = state(path)
            assert (revision, found, left) in (("0001", before, events), ("0003", after, events))
            ends.append(revision)

    assert ends == sorted(ends), "old up to a point, new from there on"
    assert set(ends) == {"0001", "0003"}
    backups = list((disk.folder / "backups").glob("*.db"))
    assert backups
    for backup in backups:
        assert state(backup)[0] == "0001", "a backup has its name only once it is whole"
