"""A table of a venue file whose fields are checked as they are taken."""

import math
from collections.abc import Mapping
from typing import Any

from sim.errors import BrokenVenue

MAX_SPAN_M = 1000.0


class Table:
    """Fields by name; what is wrong raises BrokenVenue with the table and the field."""

    def __init__(self, table: Any, where: str) -> None:
        if not isinstance(table, Mapping):
            raise BrokenVenue(f"{where}: {table!r} is no table")
        self._table = table
        self.where = where

    def get(self, key: str, default: Any) -> Any:
        """Return a field as it is."""
        return self._table.get(key, default)

    def text(self, key: str, default: str | None = None) -> str:
        """Return a text; without a default one that is not empty."""
        value = self._table.get(key, default)
        if not isinstance(value, str) or (default is None and not value):
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be text")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a finite number."""
        value = self._table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be a finite number")
        return float(value)

    def length(self, key: str) -> float:
        """Return a length above 0 and at most `MAX_SPAN_M`."""
        value = self.number(key)
        if not 0 < value <= MAX_SPAN_M:
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be above 0 and at most {MAX_SPAN_M}")
        return value

    def flag(self, key: str) -> bool:
        """Return true or false; false where nothing is said."""
        value = self._table.get(key, False)
        if not isinstance(value, bool):
            raise BrokenVenue(f"{self.where}: {key} = {value!r} must be true or false")
        return value
