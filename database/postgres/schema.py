"""The schema for PostgreSQL, made from `schema.sql`: one text says what the tables are.

SQLite's types become those that hold the same values (STRICT tables hold nothing else), text is compared byte by byte
as in SQLite whatever the database's locale, and what SQLite says about how rows are stored is left out. Rows are
numbered by the writer (`connection.py`); of tables that SQLite numbers with AUTOINCREMENT, `numbered` remembers what
was given, so that no number comes twice, also not those of rows that are gone.
"""

import re
from collections.abc import Collection, Iterator

from database.postgres.dialect import Translator, tokens

_CREATE_TABLE = re.compile(r"CREATE\s+TABLE\s+(\w+)\s*\((.*)\)\s*[\w\s,]*$", re.DOTALL | re.IGNORECASE)
_TRIGGER = re.compile(
    r"CREATE\s+TRIGGER\s+(\w+)\s+(AFTER\s+\w+)\s+ON\s+(\w+)\s+BEGIN\s+(.*?)\s*END\s*$", re.DOTALL | re.I
)
# What SQLite has for forbidding a change.
_GUARD = re.compile(
    r"CREATE\s+TRIGGER\s+(\w+)\s+BEFORE\s+(INSERT|DELETE|UPDATE(?:\s+OF\s+[\w\s,]+?)?)\s+ON\s+(\w+)\s+"
    r"(?:WHEN\s+(.*?)\s+)?BEGIN\s+SELECT\s+raise\s*\(\s*ABORT\s*,\s*('(?:[^']|'')*')\s*\)\s*;?\s*END\s*$",
    re.DOTALL | re.IGNORECASE,
)
_DROP_TRIGGER = re.compile(r"DROP\s+TRIGGER\s+(\w+)\s*$", re.IGNORECASE)
_REMEMBER = """
CREATE TABLE numbered (name TEXT COLLATE "C" PRIMARY KEY, last BIGINT NOT NULL);
"""
_JSON_EACH = """
CREATE FUNCTION json_each(list TEXT) RETURNS TABLE (value TEXT) LANGUAGE sql IMMUTABLE
  AS 'SELECT json_array_elements_text(list::json)';
"""
_REMEMBER_ONE = """
CREATE OR REPLACE FUNCTION remember_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO numbered SELECT '{table}', max({column}) FROM gone HAVING max({column}) IS NOT NULL
    ON CONFLICT (name) DO UPDATE SET last = greatest(numbered.last, excluded.last);
  RETURN NULL; END $$;
CREATE TRIGGER remember_{table} AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
  FOR EACH STATEMENT EXECUTE FUNCTION remember_{table}();
"""


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script without comments; the body of a trigger stays with it."""
    found = ""
    inside = False
    for kind, text in tokens(script):
        word = text.upper() if kind == "word" else ""
        inside = inside or word == "BEGIN"
        if text == ";" and (not inside or found.rstrip().upper().endswith("END")):
            if found.strip():
                yield found.strip()
            found, inside = "", False
        else:
            found += text
    if found.strip():
        yield found.strip()


def tables(script: str) -> list[str]:
    """Return the tables that a schema makes, in order."""
    return [found[1] for statement in statements(script) if (found := _CREATE_TABLE.match(statement))]


def counted(script: str) -> dict[str, str]:
    """Return by table the column that numbers its rows: an INTEGER PRIMARY KEY that names no other table's row."""
    return {table: column for table, column, _ in _numbers(script)}


def remembered(script: str) -> dict[str, str]:
    """Return those of `counted` whose numbers are never given again."""
    return {table: column for table, column, forever in _numbers(script) if forever}


def translated(script: str) -> str:
    """Return a script of SQLite's that makes or changes tables in the words of PostgreSQL. Raises Untranslatable."""
    translator = Translator({})
    found = [_statement(statement, translator) for statement in statements(script)]
    return "".join(f"{statement};\n" for statement in found)


def created(script: str) -> str:
    """Return the whole schema for an empty database: `translated`, and what remembers numbers."""
    remember = [_REMEMBER_ONE.format(table=table, column=column) for table, column in remembered(script).items()]
    return translated(script) + _JSON_EACH + _REMEMBER + "".join(remember)


def remembering(script: str, present: Collection[str]) -> str:
    """Return what makes an older database of this schema remember numbers: a table built anew has lost its trigger.

    present: The tables that there are.
    """
    return "".join(
        f"DROP TRIGGER IF EXISTS remember_{table} ON {table};" + _REMEMBER_ONE.format(table=table, column=column)
        for table, column in remembered(script).items()
        if table in present
    )


def _numbers(script: str) -> Iterator[tuple[str, str, bool]]:
    for statement in statements(script):
        table = _CREATE_TABLE.match(statement)
        column = table and re.search(
            r"(\w+)\s+INTEGER\s+PRIMARY\s+KEY(?!\s+REFERENCES)(\s+AUTOINCREMENT)?", table[2], re.IGNORECASE
        )
        if table and column:
            yield table[1], column[1], bool(column[2])


def _statement(statement: str, translator: Translator) -> str:
    trigger = _TRIGGER.match(statement)
    if trigger:
        name, event, table, body = trigger.groups()
        body = translator.translate(body.rstrip("; ")).text
        return (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NULL; END $$;\n"
            f"CREATE TRIGGER {name} {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
        )
    if re.match(r"CREATE\s+FUNCTION\b", statement, re.IGNORECASE):
        # PostgreSQL's own words.
        return statement
    guard = _GUARD.match(statement)
    if guard:
        return _guard(translator, *guard.groups())
    dropped = _DROP_TRIGGER.match(statement)
    if dropped:
        return f"DROP FUNCTION {dropped[1]}() CASCADE"
    table = _CREATE_TABLE.match(statement)
    if table:
        statement = f"CREATE TABLE {table[1]} ({table[2]})"
    text = translator.translate(statement).text
    text = re.sub(r"\s+AUTOINCREMENT\b", "", text, flags=re.IGNORECASE)
    # A column's type, not the name of the column `text`, which no comma or bracket stands before when it is a type.
    return re.sub(
        r"(?<=\w)(\s+)TEXT\b(?=\s*(?:[,)]|NOT|PRIMARY|UNIQUE|REFERENCES|DEFAULT|CHECK|$))", r'\1TEXT COLLATE "C"', text
    )


def _guard(translator: Translator, name: str, event: str, table: str, condition: str | None, message: str) -> str:
    """Return the trigger that refuses a change of a table, for all rows or where a condition holds."""
    # Not in the trigger's own condition, which may not ask another table here.
    refuse = f"RAISE EXCEPTION USING MESSAGE = {message}, ERRCODE = 'integrity_constraint_violation';"
    if condition is not None:
        refuse = f"IF {translator.translate(condition).text} THEN {refuse} END IF;"
    row = "OLD" if event.upper() == "DELETE" else "NEW"
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {refuse} RETURN {row}; END $$;\n"
        f"CREATE TRIGGER {name} BEFORE {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()"
    )
