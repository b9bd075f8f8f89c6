"""Statements and schema for SQLite in the words of PostgreSQL: the same meaning, shown by running both."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from database.address import Address
from database.postgres import schema
from database.postgres.dialect import Translator, Untranslatable
from scheduler import database
from tests.cluster import Cluster

COUNTED = schema.counted(database.SCHEMA)


@pytest.mark.parametrize(
    ("written", "becomes"),
    [
        ("SELECT ? + ?", "SELECT $1 + $2"),
        ("SELECT :a, :b, :a", "SELECT $1, $2, $1"),
        ("SELECT '?:a' || ? -- why?", "SELECT '?:a' || $1"),
        ("SELECT x::text FROM t", "SELECT x::text FROM t"),
        ("UPDATE t SET a = x'0aff', b = x''", "UPDATE t SET a = '\\x0aff'::bytea, b = '\\x'::bytea"),
        ("SELECT a / 1e9, 1.5, 7", "SELECT a / 1e9::double precision, 1.5::double precision, 7"),
        ("SELECT max(a), max(a, min(b, 1)), min(f(a, b))", "SELECT max(a), GREATEST(a, LEAST(b, 1)), min(f(a, b))"),
        ("SELECT a IS ? AND b IS NULL", "SELECT a IS NOT DISTINCT FROM $1 AND b IS NULL"),
        ("SELECT a IS NOT b OR b IS NOT NULL", "SELECT a IS DISTINCT FROM  b OR b IS NOT NULL"),
        ("SELECT 1 WHERE ? IS NULL", "SELECT 1 WHERE CAST($1 AS TEXT) IS NULL"),
        ("SELECT CAST(a AS REAL), CAST(b AS INTEGER)", "SELECT CAST(a AS DOUBLE PRECISION), CAST(b AS BIGINT)"),
        ("INSERT OR IGNORE INTO vendor VALUES (?)", "INSERT INTO vendor VALUES ($1) ON CONFLICT DO NOTHING"),
        ("INSERT INTO event (kind) VALUES (?)", "INSERT INTO event (seq, kind) VALUES ($1, $2)"),
        (
            "INSERT INTO event (kind, body) VALUES (?, f(?)), (?, ?)",
            "INSERT INTO event (seq, kind, body) VALUES ($1, $3, f($4)), ($2, $5, $6)",
        ),
        ("INSERT INTO event (seq, kind) VALUES (?, ?)", "INSERT INTO event (seq, kind) VALUES ($1, $2)"),
        ("BEGIN IMMEDIATE", "BEGIN"),
    ],
)
def test_what_differs_is_translated(written: str, becomes: str) -> None:
    assert Translator(COUNTED).translate(written).text == becomes


@pytest.mark.parametrize(
    "written",
    [
        "INSERT OR REPLACE INTO meta VALUES (?, ?)",
        "UPDATE OR IGNORE used_mean SET leaf = ?",
        "PRAGMA data_version",
        "INSERT INTO event (kind) SELECT kind FROM event",
    ],
)
def test_what_has_no_words_is_refused(written: str) -> None:
    with pytest.raises(Untranslatable):
        Translator(COUNTED).translate(written)


def test_every_type_of_the_schema_is_one_of_postgresql_and_nothing_of_sqlite_is_left() -> None:
    words = {text.upper() for kind, text in _tokens(schema.created(database.SCHEMA)) if kind == "word"}
    assert not words & {"STRICT", "ROWID", "AUTOINCREMENT", "BLOB", "INTEGER", "REAL", "PRAGMA"}
    assert words >= {"BIGINT", "BYTEA", "DOUBLE"}


def test_both_schemas_have_the_same_tables_columns_keys_and_indexes(cluster: Cluster) -> None:
    with closing(sqlite3.connect(":memory:")) as file, closing(_connect(cluster.fresh())) as server:
        file.executescript(database.SCHEMA)
        for table in schema.tables(database.SCHEMA):
            columns = [(row[1], bool(row[3] or row[5])) for row in file.execute(f"PRAGMA table_info({table})")]
            query = """
                SELECT attname, attnotnull FROM pg_attribute WHERE attrelid = ?::regclass AND attnum > 0 ORDER BY attnum
            """
            assert [tuple(row) for row in server.execute(query, (table,))] == columns, table
            keys = {row[1] for row in file.execute(f"PRAGMA index_list({table})") if row[3] == "c"}
            query = "SELECT indexname FROM pg_indexes WHERE tablename = ? AND schemaname = 'public'"
            there = {row[0] for row in server.execute(query, (table,))}
            assert keys <= there, table
            unique = sum(row[2] for row in file.execute(f"PRAGMA index_list({table})"))
            rowid = any(row[2] == "INTEGER" and row[5] for row in file.execute(f"PRAGMA table_info({table})"))
            query = "SELECT count(*) FROM pg_index WHERE indrelid = ?::regclass AND indisunique"
            one = sum(row[5] > 0 for row in file.execute(f"PRAGMA table_info({table})")) == 1
            assert server.execute(query, (table,)).fetchone()[0] == unique + (rowid and one), table
            parents = sorted(row[2] for row in file.execute(f"PRAGMA foreign_key_list({table})"))
            query = "SELECT confrelid::regclass::text FROM pg_constraint WHERE conrelid = ?::regclass AND contype = 'f'"
            assert sorted(row[0] for row in server.execute(query, (table,))) == parents, table


ROWS = st.tuples(
    st.none() | st.integers(-(2**63), 2**63 - 1),
    st.none() | st.floats(allow_nan=False),
    st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])),
    st.none() | st.binary(),
)


@pytest.fixture(scope="module")
def tables(cluster: Cluster) -> Any:
    """The same table in both."""
    text = "CREATE TABLE held (id INTEGER PRIMARY KEY, a INTEGER, b REAL, c TEXT, d BLOB) STRICT"
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as file:
        file.execute(text)
        server = _connect(cluster.fresh(), {"held": "id"})
        server.script(schema.translated(text))
        with closing(server):
            yield file, server


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_values_come_back_as_they_went_and_are_numbered_alike(tables: Any, rows: list[tuple[Any, ...]]) -> None:
    answers = []
    for db in tables:
        db.execute("BEGIN")
        db.execute("SAVEPOINT one")
        db.execute("INSERT INTO held (a) VALUES (?)", (1,))
        db.execute("ROLLBACK TO one")
        numbers = [db.execute("INSERT INTO held (a, b, c, d) VALUES (?, ?, ?, ?)", row).lastrowid for row in rows]
        db.execute("RELEASE one")
        db.execute("COMMIT")
        found = [tuple(row) for row in db.execute("SELECT * FROM held ORDER BY c, id") if row[3] is not None]
        found += [
            tuple(row)
            for row in db.execute("SELECT max(a, 5), min(b, 0.5), sum(id), count(c) FROM held GROUP BY id ORDER BY id")
        ]
        answers.append((numbers, found))
        db.execute("DELETE FROM held")
    assert answers[0] == answers[1] or _same_without_null(*answers)


def test_nothing_of_a_text_with_a_zero_byte_is_lost_but_that(cluster: Cluster) -> None:
    """libpq takes it for the text's end."""
    with closing(_connect(cluster.fresh())) as server:
        assert server.execute("SELECT CAST(? AS TEXT)", ("a\0b",)).fetchone()[0] == "a\ufffdb"


def test_a_session_keeps_only_so_many_statements_prepared_also_within_a_transaction(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Texts are as many as there are conditions that somebody can put together."""
    monkeypatch.setattr("database.postgres.wire._PREPARED_MAX", 20)
    with closing(_connect(cluster.address())) as server:
        server.execute("BEGIN")
        for number in [*range(100), *range(5)]:
            assert server.execute(f"SELECT ? + {number}", (1,)).fetchone()[0] == number + 1
        kept = server.execute("SELECT count(*) FROM pg_prepared_statements").fetchone()[0]
        server.execute("COMMIT")
    assert 0 < kept <= 20


def test_a_server_that_is_gone_without_a_word_is_not_waited_for_for_hours(cluster: Cluster) -> None:
    """What the address says nothing of is bounded, and what it says holds."""
    address = Address(f"{cluster.address().url}&keepalives_idle=77")
    with closing(_connect(address)) as server:
        used = {option.keyword: option.val for option in server.wire._pg.info}
    assert used[b"keepalives_idle"] == b"77"
    assert 0 < int(used[b"connect_timeout"] or 0) <= 10
    assert 0 < int(used[b"tcp_user_timeout"] or 0) <= 10_000
    assert 0 < int(used[b"keepalives_interval"] or 0) * int(used[b"keepalives_count"] or 0) <= 10


def _same_without_null(file: Any, server: Any) -> bool:
    """`max` and `min` of several values are NULL in SQLite if one is, and the other one in PostgreSQL."""
    return file[0] == server[0] and all(
        all(a == b or a is None for a, b in zip(one, other, strict=True))
        for one, other in zip(file[1], server[1], strict=True)
    )


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:secret@db/venue", "postgresql://me@db/venue"),
        ("postgresql://db/venue?user=me&password=secret&sslmode=require", "password=..."),
        ("postgres://me@db:5432/venue", "postgresql://me@db:5432/venue"),
        ("postgresql:///venue?host=/run", "postgresql:///venue?host=/run"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown in str(Address(url))
    assert "secret" not in f"{Address(url)} {Address(url)!r}"


def _tokens(text: str) -> Any:
    from database.postgres.dialect import tokens

    return tokens(text)


def _connect(address: Address, counted: Any = COUNTED) -> Any:
    from database.postgres.connection import Connection

    return Connection(address.url, counted)
