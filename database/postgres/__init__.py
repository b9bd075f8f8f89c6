"""PostgreSQL behind `database.sql.Connection`: statements and schema are written for SQLite, and here translated once
(`dialect.py`, `schema.py`) and carried out over a pipelined connection (`wire.py`, `connection.py`).

Numbers of rows are given by the writer in both, without gaps, so that the same changes leave the same rows in either.
"""
