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
# Rows up to which numpy's own cost outweighs what it saves.
FEW = 64
# Demand is counted in thousandths, in whole numbers: sums must not depend on the order of the shapes.
SCALE = 1000


class Outlook:
    """The options of all shapes as rows: for each part a set of kinds, and how many of those it needs."""

    def __init__(self, kinds: int) -> None:
        self.options: dict[int, tuple[Option, ...]] = {}
        self._kinds = kinds
        # Shape and place of the option of each row, and how many of them still stand for something.
        self._places: list[tuple[int, int]] = []
        self._live = 0
        self._rows_of: dict[int, range] = {}
        self._sets: Integers = np.zeros((SPARE_ROWS, 4), dtype=np.int64)
        self._amounts: Integers = np.zeros((SPARE_ROWS, 4), dtype=np.int64)
        self._durations_ns: Integers = np.zeros(SPARE_ROWS, dtype=np.int64)
        self._forget_sets()

    def add(self, shape: int, options: tuple[Option, ...]) -> None:
        """Add a shape."""
        self.options[shape] = options
        self._live += len(options)
        self._append(shape, options)

    def remove(self, shape: int) -> None:
        """Forget a shape."""
        for row in self._rows_of.pop(shape):
            self._amounts[row] = IMPOSSIBLE
        self._live -= len(self.options.pop(shape))
        if len(self._places) > 2 * self._live + SPARE_ROWS:
            self._places.clear()
            self._forget_sets()
            self._sets[:] = 0
            self._amounts[:] = 0
            for other, options in self.options.items():
                self._append(other, options)

    def feasible(self, now_ns: int, levels: Sequence[tuple[int, Sequence[int]]]) -> dict[int, list[Option]]:
        """Return, by shape, the options whose every part by itself finds enough in the free counts by kind.

        Each of the levels (until_ns, counts) holds for what ends by then and not by the one before.
        """
        used = len(self._places)
        if self._live <= FEW:
            return self._feasible_one_by_one(now_ns, levels)
        counts = np.maximum(np.asarray([counts for _, counts in levels], dtype=np.int64), 0)
        available = counts @ self._full_matrix().T
        level = np.searchsorted([until_ns - now_ns for until_ns, _ in levels], self._durations_ns[:used])
        level = np.minimum(level, len(levels) - 1)
        fits = (available[level[:, None], self._sets[:used]] >= self._amounts[:used]).all(axis=1)
        found: dict[int, list[Option]] = {}
        for row in np.flatnonzero(fits).tolist():
            shape, place = self._places[row]
            found.setdefault(shape, []).append(self.options[shape][place])
        return found

    def _feasible_one_by_one(self, now_ns: int, levels: Sequence[tuple[int, Sequence[int]]]) -> dict[int, list[Option]]:
        """Do the same without matrices: quicker where there is little to compare."""
        found: dict[int, list[Option]] = {}
        for shape, options in self.options.items():
            for option in options:
                end_ns = now_ns + option.duration_ns
                counts = next((counts for until_ns, counts in levels if end_ns <= until_ns), levels[-1][1])
                for kinds, amount in option.parts:
                    if len(kinds) == 1:
                        have = counts[kinds[0]]
                    else:
                        have = sum(count for kind in kinds if (count := counts[kind]) > 0)
                    if have < amount or not kinds:
                        break
                else:
                    found.setdefault(shape, []).append(option)
        return found

    def longing(self, shapes: Mapping[int, Shape]) -> list[int]:
        """Return how much of each kind waiting jobs would take, spread evenly over what each could choose from."""
        rows = np.fromiter((self._rows_of[index].start for index in shapes), dtype=np.int64, count=len(shapes))
        waiting = np.fromiter((len(shape.by_age) for shape in shapes.values()), dtype=np.int64, count=len(shapes))
        sets, amounts = self._sets[rows], self._amounts[rows]
        choices = np.fromiter(map(len, self._set_of), dtype=np.int64, count=len(self._set_of))
        # What nobody has is longed for in vain.
        wanted = np.where(choices[sets] > 0, waiting[:, None] * amounts * SCALE // np.maximum(choices[sets], 1), 0)
        total = np.zeros(len(self._set_of), dtype=np.int64)
        np.add.at(total, sets.ravel(), wanted.ravel())
        demand: list[int] = (total @ self._full_matrix()).tolist()
        return demand

    def _forget_sets(self) -> None:
        # Row 0 is the empty set, of which parts that an option lacks need nothing.
        self._set_of: dict[tuple[int, ...], int] = {(): 0}
        self._matrix: Integers = np.zeros((1, self._kinds), dtype=np.int64)

    def _append(self, shape: int, options: tuple[Option, ...]) -> None:
        first = len(self._places)
        self._reserve(first + len(options), max(len(option.parts) for option in options))
        for place, option in enumerate(options):
            row = first + place
            self._places.append((shape, place))
            self._durations_ns[row] = option.duration_ns
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
        self._durations_ns = np.resize(self._durations_ns, size[0])

    def _full_matrix(self) -> Integers:
        """Return the sets as rows of zeros and ones."""
        known = len(self._matrix)
        if known < len(self._set_of):
            more = np.zeros((len(self._set_of) - known, self._kinds), dtype=np.int64)
            for row, kinds in enumerate(list(self._set_of)[known:]):
                more[row, list(kinds)] = 1
            self._matrix = np.concatenate((self._matrix, more))
        return self._matrix
