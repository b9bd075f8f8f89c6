"""Migrations of the venue's database by alembic (https://alembic.sqlalchemy.org), in plain SQL.

A change of `schema.sql` goes with a revision here: a number more than the last, `versions/NNNN_name.py` and its SQL,
and the same number in `database.REVISION`. A test holds the two ways to a database, `schema.sql` and all revisions from
nothing, against each other. Revisions are never changed once a venue may have run them, and only go forward: the way
back is the backup that `migrate` makes. A scheduler that starts imports nothing of this.
"""
