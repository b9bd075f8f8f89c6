"""In which order the requests of a batch can be accepted when some come after others: a pure function."""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from palaestra.errors import PalaestraError

SHOWN_MAX = 12


@dataclass(frozen=True)
class RequestOrder:
    """All requests by index, each behind those that it comes after, otherwise as given; and what is wrong with some.

    A request in a cycle, or behind one, has DEPENDENCY_CYCLE; one with an index that no request has, INVALID_FIELD.
    """

    indices: tuple[int, ...]
    problems: dict[int, PalaestraError]

    @classmethod
    def of(cls, after: Sequence[Sequence[int]]) -> Self:
        """Return the order. after: For each request, the indices of those that come first."""
        problems = {}
        left: list[set[int]] = []
        behind: list[list[int]] = [[] for _ in after]
        for index, earlier in enumerate(after):
            missing = next((number for number in earlier if not 0 <= number < len(after)), None)
            if missing is not None:
                rule = f"the batch has no request {missing}, they count from 0 to {len(after) - 1}"
                problems[index] = PalaestraError(
                    "INVALID_FIELD", f"after_indices: {rule}", metadata={"field": "after_indices", "rule": rule}
                )
            left.append(set() if missing is not None else set(earlier))
            for number in left[index]:
                behind[number].append(index)
        ready = [index for index, waits_for in enumerate(left) if not waits_for]
        order = []
        while ready:
            index = heapq.heappop(ready)
            order.append(index)
            for later in behind[index]:
                left[later].discard(index)
                if not left[later]:
                    heapq.heappush(ready, later)
        for index, waits_for in enumerate(left):
            if waits_for:
                problems[index] = PalaestraError("DEPENDENCY_CYCLE", _cycle(index, left))
        return cls((*order, *(index for index, waits_for in enumerate(left) if waits_for)), problems)


def _cycle(index: int, left: Sequence[set[int]]) -> str:
    """Return the way from a request to one that it meets again, in words. All on it wait for something."""
    way = [index]
    while True:
        way.append(min(left[way[-1]]))
        if way[-1] in way[:-1]:
            break
    shown = [str(number) for number in way]
    if len(shown) > SHOWN_MAX:
        shown[SHOWN_MAX // 2 : -SHOWN_MAX // 2] = ["..."]
    return f"the requests wait for each other in a circle: {' after '.join(shown)}"
