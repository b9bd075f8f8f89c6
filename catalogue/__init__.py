"""The catalogue of what was recorded: search, sessions, labels, quality, data sets and where they come from.

    catalogue = Catalogue(folder / "catalogue.db")
    catalogue.enter(entries, cursor)
    page = catalogue.search(Query(vendor="acme", text="red box"), size=50)

One SQLite file beside the objects. Which episodes there are, the scheduler says: its table of episodes, written in the
transaction of the job's event, is what a recorder was told, and the catalogue follows it, each batch and how far it has
come in one transaction. Labels, scores and data sets have no other home than this.
"""

from catalogue.catalogue import Catalogue
from catalogue.entry import Entry
from catalogue.place import HasMoved
from catalogue.query import BadQuery, Key, Query
from database.file import SchemaMismatch

__all__ = ["BadQuery", "Catalogue", "Entry", "HasMoved", "Key", "Query", "SchemaMismatch"]
