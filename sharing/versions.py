"""What the catalogue knows of a data set, as far as agreements go by it."""

import sqlite3
from typing import NoReturn

from catalogue.dataset import Datasets
from palaestra.errors import PalaestraError
from sharing.database import Readers


class Versions:
    """Looks into the catalogue's file. Safe from any thread."""

    def __init__(self, catalogue: Readers) -> None:
        self._datasets = Datasets(catalogue.reader, _nobody_writes)

    def newest(self, data_set: str) -> int:
        """Return the number of the newest version of `vendors/{vendor}/datasets/{name}`; 0 while there is none."""
        parts = data_set.split("/")
        if len(parts) != 4:
            return 0
        try:
            return int(self._datasets.get(parts[1], parts[3])["latest"])
        except (PalaestraError, sqlite3.OperationalError):
            # No such data set, or nothing was ever recorded in this venue.
            return 0


def _nobody_writes() -> NoReturn:
    raise AssertionError("the catalogue is only looked into")
