"""k-anonymity of the metadata of episodes (Samarati and Sweeney, 1998): no episode stands alone by what is told of it.

What is told of episodes, such as unit, cell or model, is suppressed step by step in those rows that are alike with
fewer than k, the most telling first, until each is alike with at least k.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

ORDER = ("job", "unit", "cell", "scenario", "started_at_s", "level", "venue", "maker", "robot_model")
"""What is suppressed first stands first."""
Row = dict[str, Any]


def generalised(rows: Sequence[Mapping[str, Any]], k: int, order: Sequence[str] = ORDER) -> list[Row]:
    """Return the rows, those of small classes with less told; a suppressed value is None.

    Each class, the rows with the same values under `order`, then has k rows or more; where there are fewer than k rows
    in all, nothing is told of any. What is not in `order` stays.
    """
    out: list[Row] = [dict(row) for row in rows]
    if len(out) < k:
        return [row | dict.fromkeys(order) for row in out]
    for name in order:
        small = _small(out, k, order)
        if not small:
            break
        for index in small:
            out[index][name] = None
    # Those of whom nothing is told may still be too few: the smallest class joins them.
    while _small(out, k, order):
        sizes = Counter(_class(row, order) for row in out)
        nothing = tuple(None for _ in order)
        joins = min((size, repr(one), one) for one, size in sizes.items() if one != nothing)[2]
        for row in out:
            if _class(row, order) == joins:
                row.update(dict.fromkeys(order))
    return out


def smallest_class(rows: Sequence[Mapping[str, Any]], order: Sequence[str] = ORDER) -> int:
    """Return how many rows the smallest class has; 0 of none."""
    return min(Counter(_class(row, order) for row in rows).values(), default=0)


def _class(row: Mapping[str, Any], order: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row.get(name) for name in order)


def _small(rows: Sequence[Row], k: int, order: Sequence[str]) -> list[int]:
    sizes = Counter(_class(row, order) for row in rows)
    return [index for index, row in enumerate(rows) if sizes[_class(row, order)] < k]
