"""A catalogue in PostgreSQL: its tables, its words, who may look, and what a cut connection or a dead server leaves."""

import sqlite3
import subprocess
import sys
import threading
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("psycopg")

from catalogue import Catalogue, Query, SchemaMismatch, words
from catalogue.catalogue import Change
from catalogue.place import NAMESPACE, REVISIONS, readers
from database import file
from database.address import Address
from database.postgres import revisions
from database.postgres.connection import Connection
from database.postgres.revisions import Namespace
from database.sql import Failed, is_absent
from tests.catalogue.test_catalogue import entry
from tests.cluster import Cluster

ROOT = Path(__file__).parents[2]


def one_value(address: Address, query: str, *values: Any) -> Any:
    """Ask beside the catalogue."""
    with closing(Connection(address.url, {}, settings=f"SET search_path TO {NAMESPACE}")) as db:
        return db.execute(query, values).fetchone()[0]


@pytest.fixture
def mortal(cluster: Cluster) -> Iterator[Cluster]:
    """The cluster, for a test that kills it; it is there again afterwards."""
    yield cluster
    cluster.revive()


def test_both_have_the_same_tables_columns_keys_indexes_and_triggers(there: Address, tmp_path: Path) -> None:
    """But those that hold words, which are each database's own."""
    Catalogue(there).close()
    namespace = Namespace(there, NAMESPACE, REVISIONS)
    with closing(file.open_writer(tmp_path / "c.db", REVISIONS)) as here, closing(namespace.connect()) as server:
        query = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'task_word%'"
        tables = [name for (name,) in here.execute(query)]
        assert len(tables) > 10
        for table in tables:
            columns = [(row[1], bool(row[3] or row[5])) for row in here.execute(f"PRAGMA table_info({table})")]
            query = """
                SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = ?::regclass AND attnum > 0 ORDER BY attnum
            """
            assert [tuple(row) for row in server.execute(query, (table,))] == columns, table
            own = {row[1] for row in here.execute(f"PRAGMA index_list({table})") if row[3] == "c"}
            wanted = {name: [row[2] for row in here.execute(f"PRAGMA index_info({name})")] for name in own}
            query = "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ? AND schemaname = ?"
            defined = {row[0]: row[1] for row in server.execute(query, (table, NAMESPACE)) if row[0] in own}
            found = {name: text.partition("(")[2].partition(")")[0].split(", ") for name, text in defined.items()}
            assert found == wanted, table
            parents = sorted(row[2] for row in here.execute(f"PRAGMA foreign_key_list({table})"))
            query = "SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = ?::regclass AND contype = 'f'"
            assert sorted(row[0] for row in server.execute(query, (table,))) == parents, table
        triggers = {name for (name,) in here.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text = ANY (?::text[])"
        assert {row[0] for row in server.execute(query, ("{" + ",".join(tables) + "}",))} == triggers


LETTERS = "aAbEeéÉüÜñ0_-.,'\"*:&|!()<> 抓取红カ한e\u0301u\u0308й"


@pytest.fixture(scope="module")
def indexes(cluster: Cluster) -> Any:
    """An index of words of each kind."""
    # One that reads connects anew where another test has killed the server.
    there = Connection(cluster.address().url, {}, read_only=True)
    with closing(sqlite3.connect(":memory:")) as here, closing(there) as server:
        here.execute("CREATE VIRTUAL TABLE task_word USING fts5 (text, content='', tokenize='unicode61')")
        yield here, server


@settings(max_examples=150, deadline=None)
@given(text=st.text(LETTERS, max_size=12), sought=st.text(LETTERS, max_size=5))
def test_a_text_is_found_by_the_same_words_in_both(indexes: Any, text: str, sought: str) -> None:
    """Cases, marks, Chinese, the index's own language, and what is no word at all."""
    here, server = indexes
    here.execute("INSERT INTO task_word (task_word) VALUES ('delete-all')")
    here.execute("INSERT INTO task_word (rowid, text) VALUES (1, ?)", (words.indexed(text),))
    asked = words.asked(sought)
    # Of letters with two marks FTS5 leaves both where it finds them as one character, and none where it does not.
    assume(not any(len(unicodedata.normalize("NFD", one)) > 2 for one in unicodedata.normalize("NFC", text + sought)))
    assume(asked)
    found = here.execute("SELECT count(*) FROM task_word WHERE task_word MATCH ?", (asked,)).fetchone()[0]
    query = "SELECT CAST(? AS TSVECTOR) @@ CAST(? AS TSQUERY)"
    assert server.execute(query, (words.vector(text), words.sought(sought))).fetchone()[0] == bool(found)


def test_an_older_one_comes_forward_with_its_rows_unless_a_scheduler_may_be_using_it_and_a_newer_one_is_left_alone(
    there: Address,
) -> None:
    older = Namespace(there, NAMESPACE, REVISIONS[:2])
    older.open_writer().close()
    with pytest.raises(SchemaMismatch, match=r"revision 2, this version is of \d+: start its scheduler first"):
        Catalogue(there, forward=False)
    with closing(older.connect()) as db:
        db.execute("INSERT INTO task (text) VALUES ('kept')")

    Catalogue(there).close()

    assert one_value(there, "SELECT count(*) FROM task WHERE text = 'kept'") == 1
    assert one_value(there, "SELECT number FROM revision") == len(REVISIONS)
    with pytest.raises(SchemaMismatch, match=rf"revision {len(REVISIONS)}; this version knows 2"):
        older.open_writer()


def test_a_revision_that_fails_leaves_the_one_before(there: Address, tmp_path: Path) -> None:
    broken = tmp_path / "0002_broken.sql"
    broken.write_text("CREATE TABLE made (id INTEGER PRIMARY KEY) STRICT;\nINSERT INTO nowhere VALUES (1);\n")
    Namespace(there, NAMESPACE, REVISIONS[:1]).open_writer().close()

    with pytest.raises(Failed, match="nowhere"):
        Namespace(there, NAMESPACE, [REVISIONS[0], broken]).open_writer()

    assert one_value(there, "SELECT number FROM revision") == 1
    assert one_value(there, "SELECT to_regclass('made')") is None


def test_who_looks_with_a_role_that_may_only_read_finds_all_and_writes_nothing(there: Address) -> None:
    """As sharing does: the connection refuses, and the server where somebody gets round that."""
    catalogue = Catalogue(there)
    catalogue.enter([entry(1, vendor="acme")], (1, "e-1"))
    catalogue.close()
    with closing(Connection(there.url, {})) as db:
        db.script(
            f"""
            DO $$ BEGIN CREATE ROLE looker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;
            GRANT USAGE ON SCHEMA {NAMESPACE} TO looker; GRANT SELECT ON ALL TABLES IN SCHEMA {NAMESPACE} TO looker;
            """
        )
    looking = readers(Address(there.url.replace("postgres@", "looker@")))
    db = looking.reader()

    assert db.execute("SELECT uid FROM episode").fetchone()[0] == "e-1"
    with pytest.raises(Failed, match="read-only transaction"):
        db.execute("DELETE FROM label")
    assert isinstance(db, Connection)
    db.script("SET default_transaction_read_only TO off")
    with pytest.raises(Failed, match="permission denied"):
        db.execute("DELETE FROM label")
    looking.close()


def test_where_nothing_was_ever_recorded_there_is_nothing_to_look_into(there: Address) -> None:
    looking = readers(there)
    with pytest.raises(Failed) as caught:
        looking.reader().execute("SELECT 1 FROM dataset")

    assert is_absent(caught.value)
    looking.close()


def test_connections_of_threads_that_have_ended_are_given_back(there: Address) -> None:
    """A server has a hundred of them, and a web server's threads come and go."""
    catalogue = Catalogue(there)
    for _ in range(5):
        thread = threading.Thread(target=lambda: catalogue.search(Query()))
        thread.start()
        thread.join()
    catalogue.search(Query())

    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    # Closed on this side; the server may still be about to notice.
    assert len(catalogue._kept._open) == 1
    catalogue.close()
    assert one_value(there, query) is not None


def end_sessions(address: Address) -> None:
    """Cut every connection to a database, from the server's side."""
    query = """
        SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()
    """
    one_value(address, query)


def test_a_connection_that_is_cut_between_two_transactions_is_nobodys_concern(there: Address) -> None:
    catalogue = Catalogue(there)
    catalogue.enter([entry(1)], (1, "e-1"))
    assert len(catalogue.search(Query()).rows) == 1
    end_sessions(there)

    assert catalogue.enter([entry(2)], (2, "e-2")) == 1
    assert len(catalogue.search(Query()).rows) == 2
    catalogue.close()


def test_a_connection_that_is_cut_within_a_transaction_leaves_nothing_of_it(there: Address) -> None:
    """It is said, and the same again succeeds."""
    catalogue = Catalogue(there)

    def entries(cut: bool) -> Iterator[Any]:
        yield entry(1)
        if cut:
            end_sessions(there)
        yield entry(2)

    with pytest.raises(Failed):
        catalogue.enter(entries(cut=True), (2, "e-2"))
    assert catalogue.search(Query()).rows == []
    assert catalogue.followed() == (0, "")
    assert catalogue.enter(entries(cut=False), (2, "e-2")) == 2
    assert [number for number, _ in catalogue.uids(0, 10)] == [1, 2], "no number is left out"
    catalogue.close()


def test_writers_take_turns_and_number_rows_as_if_they_were_one(there: Address) -> None:
    """Two processes' worth: each numbers tasks, kinds and episodes by the last ones that there are."""
    writers = [Catalogue(there), Catalogue(there)]
    failed: list[BaseException] = []

    def write(catalogue: Catalogue, numbers: range) -> None:
        try:
            for number in numbers:
                catalogue.add([entry(number, vendor="acme", task=f"task {number}")])
                catalogue.score({f"e-{number}": Change(quality=0.5, method="m/1")}, by="t", now_ns=1)
        except BaseException as error:
            failed.append(error)

    threads = [
        threading.Thread(target=write, args=(catalogue, range(start, 60, 2))) for start, catalogue in enumerate(writers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    assert sorted(number for number, _ in writers[0].uids(0, 100)) == list(range(1, 61))
    assert len(writers[1].search(Query(vendor="acme", quality_min=0.5), size=100).rows) == 60
    for catalogue in writers:
        catalogue.close()


def test_who_waits_for_a_writer_that_does_not_end_is_told_and_writes_afterwards(
    there: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = Catalogue(there)
    monkeypatch.setattr(revisions, "PATIENCE_S", 0.1)
    other = Catalogue(there)
    with holder.transaction() as db:
        db.execute("UPDATE followed SET id = 7").fetchall()
        with pytest.raises(Failed) as caught:
            other.add([entry(1)])
    assert caught.value.sqlstate == "55P03"
    assert holder.followed()[0] == 7
    assert other.add([entry(1)]) == 1
    holder.close()
    other.close()


WRITER = """
import sys
from catalogue import Catalogue
from database.address import Address
from tests.catalogue.test_catalogue import entry
catalogue = Catalogue(Address(sys.argv[1]))
for number in range(1, 100_000):
    try:
        catalogue.enter([entry(2 * number), entry(2 * number + 1)], (number, "e"))
    except Exception as error:
        print(type(error).__name__, flush=True)
        break
    print(number, flush=True)
"""


def test_no_answer_is_lost_and_nothing_is_half_there_after_kill_9_of_the_server(
    mortal: Cluster, there: Address
) -> None:
    """A catalogue that was open meanwhile goes on when the server does; of the last batch all is there or none."""
    Catalogue(there).close()
    onlooker = Catalogue(there)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, there.url],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline().strip() for _ in range(40)]
    mortal.kill()
    said += [line.strip() for line in writer.stdout]
    writer.wait()
    writer.stdout.close()
    with pytest.raises(Failed):
        onlooker.search(Query())
    mortal.start()

    answered = [int(one) for one in said if one.isdigit()]
    assert said[-1] == "Failed"
    assert len(answered) >= 40
    uids = {uid for _, uid in onlooker.uids(0, 1_000_000)}
    followed = onlooker.followed()[0]
    assert followed in (answered[-1], answered[-1] + 1)
    assert uids == {f"e-{number}" for number in range(2, 2 * followed + 2)}
    assert onlooker.enter([entry(1)], (followed + 1, "e")) == 1
    onlooker.close()
