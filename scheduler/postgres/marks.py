"""Marks of what has changed, for `snapshot.feed` and `snapshot.lasting`, by permanent triggers: PostgreSQL has no
temporary ones.

The marks lie in tables that are not logged: they cost no write to the disk, and are empty after a crash of the server,
whose writers read everything anew in any case. They are made in the transaction of the change, whoever makes it.
"""

import hashlib
from collections.abc import Iterable

from database.postgres.connection import Connection
from database.postgres.dialect import Translator

_TABLES = """
DROP TABLE IF EXISTS changed, looked;
CREATE UNLOGGED TABLE changed (what TEXT NOT NULL, id TEXT COLLATE "C" NOT NULL, PRIMARY KEY (what, id));
CREATE UNLOGGED TABLE looked (number BIGINT NOT NULL);
"""
_EMPTY = "TRUNCATE changed; TRUNCATE looked; INSERT INTO looked VALUES (0);"
_VERSION_TABLE = """
DROP TABLE IF EXISTS venue_version;
CREATE UNLOGGED TABLE venue_version (number BIGINT NOT NULL);
"""
_VERSION_EMPTY = "TRUNCATE venue_version; INSERT INTO venue_version VALUES (0);"


def install(db: object, triggers: Iterable[tuple[str, str, str, str]]) -> None:
    """Make the tables and triggers of a feed, unless they are there as they should be; forget all marks of before.

    triggers: Table, event, condition and body of each, in SQLite's words.
    """
    _install(db, "changed", _TABLES, _EMPTY, triggers)


def install_version(db: object, triggers: Iterable[tuple[str, str, str]]) -> None:
    """Make the number that says whether the venue is as it was, and the triggers that count it up.

    triggers: Table, event and condition of each, in SQLite's words; a condition may ask other tables.
    """
    count = "UPDATE venue_version SET number = number + 1 WHERE"
    counting = [
        # Not in the trigger's own condition, which may not ask another table here.
        (table, event, "1", f"{count} {'true' if condition == '1' else condition}")
        for table, event, condition in triggers
    ]
    _install(db, "venue_version", _VERSION_TABLE, _VERSION_EMPTY, counting)


def _install(db: object, name: str, tables: str, empty: str, triggers: Iterable[tuple[str, str, str, str]]) -> None:
    """name: Of the table whose comment tells what is there, and what the triggers' functions begin with."""
    assert isinstance(db, Connection)
    script = "".join(_trigger(f"{name}_{number}", *trigger) for number, trigger in enumerate(triggers))
    digest = hashlib.sha256((tables + script).encode()).hexdigest()
    known = db.execute(f"SELECT obj_description(to_regclass('{name}'), 'pg_class')").fetchone()[0]
    if known == digest:
        db.script(f"BEGIN; {empty} COMMIT")
    else:
        db.script(f"BEGIN; {_remove(name)} {tables} {script} COMMENT ON TABLE {name} IS '{digest}'; {empty} COMMIT")


def _remove(name: str) -> str:
    """Triggers go with their functions."""
    return f"""
DO $$ DECLARE one regprocedure; BEGIN
  FOR one IN SELECT oid::regprocedure FROM pg_proc
    WHERE proname ~ '^{name}_[0-9]+$' AND pronamespace = current_schema()::regnamespace
  LOOP EXECUTE 'DROP FUNCTION ' || one || ' CASCADE'; END LOOP; END $$;
"""


# All of it: what a migration changes nothing may depend on.
REMOVE = _remove("changed") + _remove("venue_version") + "DROP TABLE IF EXISTS changed, looked, venue_version;"


def _trigger(name: str, table: str, event: str, condition: str, body: str) -> str:
    translator = Translator({})
    statements = [translator.translate(one.strip()).text for one in body.split(";") if one.strip()]
    inserts = "".join(f"{one}; " for one in statements)
    when = "" if condition == "1" else f"WHEN ({translator.translate(condition).text}) "
    return (
        f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN {inserts}RETURN NULL; END $$; "
        f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW {when}"
        f"EXECUTE FUNCTION {name}(); "
    )
