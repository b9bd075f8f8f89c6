"""What rooms that keep tables have in common: a file of SQLite's or, when that is outgrown, a database in PostgreSQL.

    place = address.place("postgresql://...", "PALAESTRA_CATALOGUE")
    kept = keeping.Keeping(open_reader, open_writer)
    with kept.transaction() as db:
        db.execute("UPDATE ...", (...))

Rooms write SQL for SQLite and ask for `sql.Connection`; for PostgreSQL text and schema are translated (`postgres/`).
This room knows nothing of anybody's tables.
"""
