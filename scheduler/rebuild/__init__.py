"""A venue's past, rebuilt from its events alone: what was granted to whom, and how every job stood, at any number.

`record.py` folds events into rows, `tables.py` reads the same rows from the database and says what events do not hold.
`python -m scheduler rebuild DATABASE` shows a past, or checks the whole log against the tables.
"""
