"""What the scheduler asks of a connection to its database, a file of SQLite's or PostgreSQL; see `database.sql`."""

from database.sql import ERRORS, Connection, Cursor, Failed, Row, insert, is_file, portions

__all__ = ["ERRORS", "Connection", "Cursor", "Failed", "Row", "insert", "is_file", "portions"]
