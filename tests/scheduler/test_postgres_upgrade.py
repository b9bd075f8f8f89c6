"""A database in PostgreSQL comes to a newer revision by the same revisions as a file, or stays as it was."""

import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from database.address import Address
from database.postgres import schema
from scheduler import database
from scheduler.database import SchemaMismatch
from scheduler.migrations import command
from scheduler.migrations.upgrade import OWN, Chain, MigrationFailed
from scheduler.postgres import opening, vendors
from scheduler.postgres.upgrade import upgrade
from scheduler.snapshot.feed import Feed
from scheduler.snapshot.lasting import Lasting
from tests.cluster import Cluster
from tests.scheduler import places
from tests.scheduler.process import ROOT
from tests.scheduler.site import Site, job, play

DEMO = Path(__file__).parents[2] / "configs" / "venues" / "demo.toml"
FIRST = (OWN.versions / "0001_first.sql").read_text()
JOB = "UNIQUE (vendor, request_id)\n) STRICT;\nCREATE INDEX job_queue"
STAMP = "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY);"
NEXT = Chain(
    Path(__file__).parent / "revisions_both",
    "0003",
    FIRST.replace(JOB, f"colour TEXT NOT NULL DEFAULT 'grey', {JOB}")
    .replace("AUTOINCREMENT, time_ns INTEGER NOT NULL, kind",
             "AUTOINCREMENT, time_ns INTEGER NOT NULL CHECK (time_ns > 0), kind")
    + """
CREATE TABLE colour (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, share REAL, mark BLOB) STRICT;
CREATE INDEX colour_by_share ON colour (share) WHERE share IS NOT NULL;
""" + STAMP,
)  # fmt: skip


@pytest.fixture
def old(cluster: Cluster) -> Address:
    """A database of the first revision, with marks, policies and some rows; its last event is gone."""
    address = cluster.fresh(empty=True)
    with closing(opening.connect_patiently(address)) as db:
        db.script(f"BEGIN; {schema.created(FIRST + STAMP)} INSERT INTO alembic_version VALUES ('0001'); COMMIT")
        db.script("INSERT INTO meta VALUES ('secret', '\\x01')")
        db.execute("INSERT INTO vendor VALUES ('acme', '', 1.0)")
        for _ in range(3):
            db.execute("INSERT INTO event (time_ns, kind, resource, message, body) VALUES (7, 'k', 'r', '', x'00')")
        db.execute("DELETE FROM event WHERE seq = 3").fetchall()
    return address


def state(address: Address) -> tuple[str | None, list[str], list[tuple[object, ...]]]:
    with closing(opening.open_reader(address)) as db:
        tables = [
            row[0] for row in db.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        ]
        events = [tuple(row) for row in db.execute("SELECT * FROM event ORDER BY seq")]
        return opening.revision(db), tables, events


def test_an_old_database_is_refused_until_it_is_migrated_and_then_a_venue_goes_on_in_it(
    old: Address, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the product's own revisions and its command, which shows no password."""
    _, _, events = state(old)
    with pytest.raises(SchemaMismatch, match="run `python -m scheduler migrate --database -`"):
        database.open_writer(old)
    monkeypatch.setenv(database.ENVIRONMENT, old.url.replace("postgres@", "postgres:hidden@"))
    assert command.main(["--database", "-"]) == 0
    told = capsys.readouterr().out
    assert f"revision {database.REVISION}, schema checked" in told and "hidden" not in told
    assert command.main(["--database", "-"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert command.main(["--data", str(tmp_path), "--venue", str(DEMO)]) == 0
    assert "nothing to do" in capsys.readouterr().out, "the environment names it before the folder does"
    assert state(old)[2] == events
    places.let(tmp_path / "db", old)

    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job())
        await site.settle()
        assert site.row("SELECT min(seq) FROM event WHERE seq > 2")[0] == 4, "no number comes twice"
        assert site.rows("SELECT 1 FROM lease")

    play(tmp_path, scene)


def test_tables_that_are_altered_made_and_built_anew_are_as_if_made_at_once_and_keep_their_rows(old: Address) -> None:
    """Under marks and policies, which name columns and are made again by the next start."""
    with closing(opening.connect_patiently(old)) as db:
        Lasting(db)
    _, _, events = state(old)
    done = upgrade(old, NEXT)

    assert done is not None and (done.before, done.after, len(done.steps)) == ("0001", "0003", 2)
    assert upgrade(old, NEXT) is None
    revision, tables, after = state(old)
    assert (revision, after) == ("0003", events)
    assert "colour" in tables and "changed" not in tables
    with closing(opening.connect_patiently(old)) as db:
        assert [tuple(row) for row in db.execute("SELECT name, share FROM colour")] == [("100 % grey", 0.5)]
        db.execute("DELETE FROM event").fetchall()
        assert db.execute("SELECT last FROM numbered WHERE name = 'event'").fetchone()[0] == 3
        assert not db.execute("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'palaestra%'").fetchall()


BROKEN = {
    "fails": ("SELECT nothing FROM nowhere;", "nowhere"),
    "forgets a table": ("DROP TABLE told_start;", "table told_start is missing"),
    "another type": (
        "ALTER TABLE job DROP COLUMN colour; ALTER TABLE job ADD COLUMN colour BLOB;", "table job: columns are .*bytea",
    ),
    "no index": ("DROP INDEX colour_by_share;", "table colour: indexes are"),
    "no key": ("ALTER TABLE colour DROP CONSTRAINT colour_name_key;", "table colour: constraints are"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_revision_that_does_wrong_changes_nothing(old: Address, tmp_path: Path, case: str) -> None:
    script, problem = BROKEN[case]
    shutil.copytree(NEXT.versions, tmp_path / "chain", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "chain" / "0003_rebuilt.py").open("a") as last:
        last.write(f"    run({script!r})\n")
    before = state(old)
    with pytest.raises(Exception, match=problem) as caught:
        upgrade(old, replace(NEXT, versions=tmp_path / "chain"))

    assert case == "fails" or isinstance(caught.value, MigrationFailed)
    assert state(old) == before
    assert upgrade(old, NEXT) is not None, "and nothing is left in its way"


HALFWAY = """
import sys
from dataclasses import replace
from pathlib import Path
from database.address import Address
from scheduler.postgres.upgrade import upgrade
from tests.scheduler.test_postgres_upgrade import NEXT
upgrade(Address(sys.argv[1]), replace(NEXT, versions=Path(sys.argv[2])))
"""


@pytest.mark.parametrize("killed", ["the migration", "the server"])
def test_killed_between_two_statements_the_database_is_as_before_and_the_next_migration_completes(
    cluster: Cluster, old: Address, tmp_path: Path, killed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A whole revision and a part of the next one have run by then."""
    shutil.copytree(NEXT.versions, tmp_path / "chain", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "chain" / "0003_rebuilt.py").open("a") as last:
        last.write("    print('between', flush=True)\n    __import__('time').sleep(600)\n    run('SELECT 1;')\n")
    before = state(old)
    command = [sys.executable, "-c", HALFWAY, old.url, str(tmp_path / "chain")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        line = child.stdout.readline()
        if killed == "the server":
            cluster.kill()
        child.kill()
        child.wait()
    cluster.revive()
    assert line == "between\n"

    # The lock of who was killed ends with its session, which the server may be about to notice.
    monkeypatch.setattr(opening, "LOCK_PATIENCE_S", 60.0)
    assert upgrade(old, replace(OWN, head="0001")) is None
    assert state(old) == before
    done = upgrade(old, NEXT)
    assert done is not None
    assert (done.before, done.after) == ("0001", "0003")


def test_a_database_that_a_scheduler_leads_on_is_not_migrated(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = cluster.fresh()
    monkeypatch.setattr(opening, "LOCK_PATIENCE_S", 0.2)
    with closing(opening.open_writer(address)) as db:
        Feed(db)
        with pytest.raises(database.DatabaseInUse, match="in use by another scheduler"):
            upgrade(address, replace(OWN, head="9999"))


def test_what_is_no_older_revision_is_refused_with_what_to_do(cluster: Cluster) -> None:
    address = cluster.fresh()
    with closing(opening.connect_patiently(address)) as db:
        vendors.install(db)
        db.execute("UPDATE alembic_version SET version_num = '9998'").fetchall()
    with pytest.raises(SchemaMismatch, match="a newer one has written it"):
        upgrade(address)
    empty = cluster.fresh(empty=True)
    with closing(opening.connect_patiently(empty)) as db:
        db.script("CREATE TABLE somebodys (value TEXT)")
    with pytest.raises(SchemaMismatch, match="none of a scheduler's"):
        upgrade(empty)
