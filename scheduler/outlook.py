"""Which shapes could start now at all, and which kinds they long for: for all shapes at once, as matrices.

Free counts only shrink within a decision, so what has no chance at its beginning has none; the others are tried one by
one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from scheduler.option import Option
from scheduler.queue import Shape

Integers = npt.NDArray[np.int64]
# More than any venue has: a row that stands for nothing is never feasible.
IMPOSSIBLE = 1 << 40
SPARE_ROWS = 256
# Demand is counted in thousandths, in whole numbers: sums must not depend on the order of the shapes.
SCALE = 1000


class Outlook:
    """The options of all shapes as rows: for each part a set of kinds, and how many of those it needs."""

    def __init__(self, kinds: int) -> None:
        self.options: dict[int, tuple[Option, ...]] = {}
        self._kinds = kinds
        # Row 0 is the empty set, of which parts that an option lacks need nothing.
        self._set_of: dict[tuple[int, ...], int] = {(): 0}
        self._matrix: Integers = np.zeros((1, kinds), dtype=np.int64)
        self._forget_rows()

    def add(self, shape: int, options: tuple[Option, ...]) -> None:
        """Add a shape."""
        self.options[shape] = options
        self._append(shape, options)

    def remove(self, shape: int) -> None:
        """Forget a shape."""
        for row in self._rows_of.pop(shape):
            self._amounts[row] = IMPOSSIBLE
        del self.options[shape]
        if len(self._places) > 4 * len(self.options) + SPARE_ROWS and len(self._places) > 2 * self._live_rows():
            self._forget_rows()
            for other, options in self.options.items():
                self._append(other, options)

    def feasible(self, free: Sequence[int]) -> dict[int, list[Option]]:
        """Return, by shape, the options whose every part by itself finds enough in the `free` counts by kind."""
        used = len(self._places)
        if not used:
            return {}
        counts = np.maximum(np.asarray(free, dtype=np.int64), 0)
        available = self._full_matrix() @ counts
        fits = (available[self._sets[:used]] >= self._amounts[:used]).all(axis=1)
        found: dict[int, list[Option]] = {}
        for row in np.flatnonzero(fits).tolist():
            shape, place = self._places[row]
            found.setdefault(shape, []).append(self.options[shape][place])
        return found

    def longing(self, shapes: Mapping[int, Shape]) -> list[int]:
        """Return how much of each kind waiting jobs would take, spread evenly over what each could choose from."""
        total = np.zeros(max(1, len(self._set_of)), dtype=np.int64)
        for index, shape in shapes.items():
            first = self._rows_of[index].start
            waiting = len(shape.by_age)
            for place, part in enumerate(self.options[index][0].parts):
                if part.kinds:
                    total[self._sets[first, place]] += waiting * part.amount * SCALE // len(part.kinds)
        demand: list[int] = (total @ self._full_matrix()).tolist()
        return demand

    def _append(self, shape: int, options: tuple[Option, ...]) -> None:
        first = len(self._places)
        self._reserve(first + len(options), max(len(option.parts) for option in options))
        for place, option in enumerate(options):
            row = first + place
            self._places.append((shape, place))
            for column, part in enumerate(option.parts):
                self._sets[row, column] = self._set_of.setdefault(part.kinds, len(self._set_of))
                # A part without kinds finds nothing, even where it has nothing to choose from.
                self._amounts[row, column] = part.amount if part.kinds else IMPOSSIBLE
        self._rows_of[shape] = range(first, first + len(options))

    def _reserve(self, rows: int, width: int) -> None:
        have_rows, have_width = self._sets.shape
        if rows <= have_rows and width <= have_width:
            return
        size = (max(2 * have_rows, rows) if rows > have_rows else have_rows, max(have_width, width))
        for name in ("_sets", "_amounts"):
            grown = np.zeros(size, dtype=np.int64)
            grown[:have_rows, :have_width] = getattr(self, name)
            setattr(self, name, grown)

    def _forget_rows(self) -> None:
        self._places: list[tuple[int, int]] = []
        self._rows_of: dict[int, range] = {}
        self._sets: Integers = np.zeros((SPARE_ROWS, 4), dtype=np.int64)
        self._amounts: Integers = np.zeros((SPARE_ROWS, 4), dtype=np.int64)

    def _live_rows(self) -> int:
        return sum(map(len, self.options.values()))

    def _full_matrix(self) -> Integers:
        """Return the sets as rows of zeros and ones."""
        known = len(self._matrix)
        if known < len(self._set_of):
            more = np.zeros((len(self._set_of) - known, self._kinds), dtype=np.int64)
            for row, kinds in enumerate(list(self._set_of)[known:]):
                more[row, list(kinds)] = 1
            self._matrix = np.concatenate((self._matrix, more))
        return self._matrix
