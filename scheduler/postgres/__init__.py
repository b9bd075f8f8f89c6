"""A venue's database in PostgreSQL, when one machine's file is outgrown: opened, led, brought forward, moved there.

Everything above asks for `scheduler.sql.Connection` and writes SQL for SQLite; `database.postgres` translates it.
Numbers of rows are given by the writer in both, without gaps, so that the same commands leave the same rows in either.
"""
