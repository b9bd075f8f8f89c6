"""A venue's database in PostgreSQL, when one machine's file is outgrown: the same schema, the same statements.

Everything above asks for `scheduler.sql.Connection` and writes SQL for SQLite; here that text, statements and schema
alike, is translated once (`dialect.py`, `schema.py`) and carried out over a pipelined connection (`wire.py`,
`connection.py`). Numbers of rows are given by the writer in both, without gaps, so that the same commands leave the
same rows in either database.
"""
