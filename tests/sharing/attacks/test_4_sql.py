"""Attacks on the engine: SQL in every field, and what DuckDB could reach. Each with the guard's mutant."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from sharing.aggregate import engine as engines
from sharing.aggregate.engine import Engine
from sharing.aggregate.number import Bounds
from sharing.aggregate.question import KINDS, Question
from sharing.aggregate.statement import Statement, present_of, statement_of
from sharing.errors import InvalidQuestion
from tests.sharing.aggregate.desk import engine_of

SQL = (
    "') OR 1=1 --",
    "x'; DROP TABLE facts; --",
    "') UNION SELECT content FROM read_text('/etc/passwd') --",
    "query('select * from raw')",
    "query_table('raw')",
    '" OR ""="',
    "\x00'",
    "{{7*7}}",
    "?; SELECT getenv('HOME')",
    "f0) FROM facts; ATTACH '/tmp/x' AS y; --",
)
FACTS = {"task": ["walk", "walk", "secret"], "duration_s": [1.0, 2.0, 4.0]}


def placed(text: str) -> Iterator[dict[str, Any]]:
    """Yield questions with a text in each place where one can stand."""
    count = {"of": "count"}
    yield {"measures": [{"of": text}]}
    yield {"measures": [{"of": "sum", "field": text}]}
    yield {"measures": [{"of": "sum", "field": f"observation.state[0].{text}"}]}
    yield {"measures": [{"of": "sum", "field": f"observation.{text}[0].max"}]}
    yield {"measures": [{"of": "quantile", "field": "duration_s", "at": text}]}
    yield {"measures": [{"of": "histogram", "field": "duration_s", "bins": text}]}
    yield {"measures": [count], "by": [text]}
    yield {"measures": [count], "where": [{"field": text, "in": ["a"]}]}
    yield {"measures": [count], "where": [{"field": "task", "in": [text]}]}
    yield {"measures": [count], "where": [{"field": "duration_s", "from": text}]}
    yield {"measures": [count], "where": [{"field": "duration_s", "to": text}]}
    yield {"measures": [count], "epsilon_millionths": text}
    yield {"measures": [count], text: 1}
    yield {text: [count]}


@pytest.mark.parametrize("text", SQL)
def test_sql_in_any_field_is_refused_or_stays_a_value(text: str) -> None:
    """What is not refused is a task's name, which is bound: no statement has any of it in its text."""
    for value in placed(text):
        try:
            question = Question.of(value)
        except InvalidQuestion:
            continue
        assert value["where"] == [{"field": "task", "in": [text]}]
        statement = statement_of(question, question.measures[0], None)
        assert text in statement.values
        assert counted(statement, question) == 0


def test_statements_are_of_our_words_alone() -> None:
    """Every statement of every measure, with hostile values in its conditions, consists of these letters."""
    where = [{"field": "task", "in": list(SQL)}, {"field": "duration_s", "from": "1", "to": "5"}]
    signal = "observation.state[3].max"
    for kind in KINDS:
        field = {} if kind == "count" else {"field": signal}
        question = Question.of({"measures": [{"of": kind, **field}], "by": ["status"], "where": where})
        measure = question.measures[0]
        for statement in (
            statement_of(question, measure, Bounds.parse("-1..1")),
            present_of(question, replace(measure, field=question.fields[0])),
        ):
            assert re.fullmatch(r"[A-Za-z0-9 ,()?*/<>=-]+", statement.text)
            assert "observation" not in statement.text


def test_mutant_with_values_written_into_the_text_the_attack_counts_all() -> None:
    """The guard is binding: were the first of these written into the text, its condition would hold for everything."""
    question = Question.of({"measures": [{"of": "count"}], "where": [{"field": "task", "in": [SQL[0]]}]})
    good = statement_of(question, question.measures[0], None)
    bad = Statement(good.text.replace("?", f"'{good.values[0]}'"), ())

    assert counted(bad, question) == 3


def counted(statement: Statement, question: Question) -> int:
    """Return what a statement counts."""
    return int(engine_of(question, FACTS).rows(statement)[0][-1])


def attempts(folder: Path) -> dict[str, str]:
    """Return statements that reach beyond the one table."""
    (folder / "secret.csv").write_text("word\ncanary\n")
    return {
        "read a file": f"SELECT * FROM read_csv('{folder}/secret.csv')",
        "read a file by its name": f"SELECT * FROM '{folder}/secret.csv'",
        "read passwords": "SELECT * FROM read_text('/etc/passwd')",
        "list files": f"SELECT * FROM glob('{folder}/*')",
        "write a file": f"COPY facts TO '{folder}/out.csv'",
        "attach": f"ATTACH '{folder}/other.db' AS other",
        "export": f"EXPORT DATABASE '{folder}/whole'",
        "a variable of Python": "SELECT * FROM outside",
        "load": "LOAD httpfs",
    }


def reached(db: Any, folder: Path) -> set[str]:
    """Return which attempts came through."""
    outside = pa.table({"word": ["canary"]})
    assert outside.num_rows == 1
    found = set()
    for what, text in attempts(folder).items():
        try:
            db.execute(text).fetchall()
        except duckdb.Error:
            continue
        found.add(what)
    return found


def test_the_engine_reaches_nothing_but_its_table(tmp_path: Path) -> None:
    """Even if SQL came in: no file, no other database, no variable, no extension; and nothing can be switched back."""
    engine = Engine(pa.table({"f0": [1.0], "one": [1]}))
    assert reached(engine._db, tmp_path) == set()
    for text in (
        "SET enable_external_access=true",
        "SET memory_limit='8GB'",
        "SET lock_configuration=false",
        "RESET threads",
    ):
        with pytest.raises(duckdb.Error):
            engine._db.execute(text)
    with pytest.raises(duckdb.Error):
        engine._db.execute("CREATE TABLE big AS SELECT random() AS a FROM range(100000000)").fetchall()


def test_mutant_without_hardening_the_engine_reaches_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The guard is the hardening: without it files are read and written."""
    monkeypatch.setattr(engines, "HARDENING", ())
    engine = Engine(pa.table({"f0": [1.0], "one": [1]}))
    assert {"read a file", "write a file", "attach"} <= reached(engine._db, tmp_path)
