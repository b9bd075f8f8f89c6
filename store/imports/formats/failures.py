"""UCI Robot Execution Failures: windows of force and torque, each under the word of what went wrong.

Fifteen rows of six whole numbers at 15 samples in 315 ms (the data set's own description, LP1 to LP5): forces and
torques of the wrist, in units of the sensor that the description does not tell.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from store.errors import ImportRefused
from store.imports.raw import Budget, Options, RawEpisode, RawSignal
from store.stream import WRENCH

ROWS, PERIOD_S = 15, 0.315 / 15
_NAMES = ("force_x", "force_y", "force_z", "torque_x", "torque_y", "torque_z")


class Failures:
    """See the module."""

    NAME = "failures"

    def sniff(self, path: Path, head: bytes) -> bool:
        """A word alone in its line, and a row of six numbers that starts with a tab."""
        lines = head.decode("ascii", "replace").splitlines()[:2]
        return len(lines) == 2 and lines[0].strip().replace("_", "").isalpha() and len(lines[1].split("\t")) == 7

    def read(self, path: Path, options: Options) -> Iterator[RawEpisode]:
        """Yield an episode for each window; `normal` and `ok` are successes."""
        budget, label, count = Budget(options.max_values), "", 0
        rows: list[list[float]] = []
        lines = path.read_text("ascii", "strict").splitlines()
        for number, line in enumerate([*lines, ""], 1):
            words = line.split()
            where = f"{path.name}: line {number}"
            if len(words) == 1 and not rows:
                label = words[0]
            elif len(words) == 6:
                try:
                    rows.append([float(word) for word in words])
                except ValueError:
                    raise ImportRefused(f"{where}: {line.strip()[:80]!r}: six numbers") from None
            elif words:
                raise ImportRefused(f"{where}: {line.strip()[:80]!r}: a word, or six numbers")
            elif rows:
                if len(rows) != ROWS or not label:
                    raise ImportRefused(f"{where}: {len(rows)} rows under {label!r}; a window has {ROWS}")
                budget.take(where, ROWS, 7)
                yield _window(count, label, rows)
                label, rows, count = "", [], count + 1


def _window(count: int, label: str, rows: list[list[float]]) -> RawEpisode:
    wrench = RawSignal("wrench", np.arange(ROWS) * PERIOD_S, np.array(rows), _NAMES, None, None, WRENCH)
    good = label in ("normal", "ok")
    return RawEpisode(
        f"window {count}", (wrench,), status="success" if good else "failure", cause="" if good else label
    )


FORMAT = Failures()
