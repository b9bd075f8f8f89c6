"""Marks of what has changed, for `snapshot.feed`, by permanent triggers: PostgreSQL has no temporary ones.

The marks lie in tables that are not logged: they cost no write to the disk, and are empty after a crash of the server,
whose writers read everything anew in any case. They are made in the transaction of the change, whoever makes it.
"""

import hashlib
from collections.abc import Iterable

from scheduler.postgres.connection import Connection
from scheduler.postgres.dialect import Translator

_TABLES = """
DROP TABLE IF EXISTS changed, looked;
CREATE UNLOGGED TABLE changed (what TEXT NOT NULL, id TEXT COLLATE "C" NOT NULL, PRIMARY KEY (what, id));
CREATE UNLOGGED TABLE looked (number BIGINT NOT NULL);
"""
_EMPTY = "TRUNCATE changed; TRUNCATE looked; INSERT INTO looked VALUES (0);"


def install(db: object, triggers: Iterable[tuple[str, str, str, str]]) -> None:
    """Make tables and triggers, unless they are there as they should be; forget all marks of before.

    triggers: Table, event, condition and body of each, in SQLite's words.
    """
    assert isinstance(db, Connection)
    script = "".join(_trigger(number, *trigger) for number, trigger in enumerate(triggers))
    digest = hashlib.sha256((_TABLES + script).encode()).hexdigest()
    known = db.execute("SELECT obj_description(to_regclass('changed'), 'pg_class')").fetchone()[0]
    if known == digest:
        db.script(f"BEGIN; {_EMPTY} COMMIT")
    else:
        db.script(f"BEGIN; {_REMOVE} {_TABLES} {script} COMMENT ON TABLE changed IS '{digest}'; {_EMPTY} COMMIT")


# Triggers go with their functions.
_REMOVE = """
DO $$ DECLARE one regprocedure; BEGIN
  FOR one IN SELECT oid::regprocedure FROM pg_proc
    WHERE proname ~ '^changed_[0-9]+$' AND pronamespace = current_schema()::regnamespace
  LOOP EXECUTE 'DROP FUNCTION ' || one || ' CASCADE'; END LOOP; END $$;
"""


def _trigger(number: int, table: str, event: str, condition: str, body: str) -> str:
    translator = Translator({})
    statements = [translator.translate(one.strip()).text for one in body.split(";") if one.strip()]
    inserts = "".join(f"{one}; " for one in statements)
    when = "" if condition == "1" else f"WHEN ({translator.translate(condition).text}) "
    return (
        f"CREATE FUNCTION changed_{number}() RETURNS trigger LANGUAGE plpgsql "
        f"AS $$ BEGIN {inserts}RETURN NULL; END $$; "
        f"CREATE TRIGGER changed_{number} AFTER {event} ON {table} FOR EACH ROW {when}"
        f"EXECUTE FUNCTION changed_{number}(); "
    )
