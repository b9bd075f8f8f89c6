"""Which units satisfy a list of requests, none counted twice."""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from scheduler.state import Cell, CellRequest, Unit, UnitRequest


def matches(request: UnitRequest, unit: Unit) -> bool:
    """Whether every set field of the request is the unit's."""
    return (
        request.robot_class in ("", unit.robot_class)
        and request.maker.casefold() in ("", unit.maker.casefold())
        and request.robot_model in ("", unit.robot_model)
        and request.unit in ("", unit.unit)
        and request.joints_min <= unit.joint_count
        and request.payload_min_kg <= unit.payload_kg
        and request.end_effector in ("", unit.end_effector)
        and request.firmware in ("", unit.firmware)
        and all(sensor in unit.sensors for sensor in request.sensors)
        and all(unit.labels.get(key) == value for key, value in request.labels)
    )


def cell_matches(request: CellRequest, cell: Cell) -> bool:
    """Whether every set field of the request is the cell's."""
    return (
        request.cell in ("", cell.cell) and request.scenario in ("", cell.scenario) and request.level in (0, cell.level)
    )


def choose(requests: Sequence[UnitRequest], units: Iterable[Unit]) -> tuple[str, ...] | None:
    """Return units for all requests, in request order, or None if they cannot all be met.

    A maximum bipartite matching by augmenting paths (Kuhn 1955), so that a picky request gets the unit that an easy
    one could do without. Candidates are tried by name, so the same input gives the same units.
    """
    pool = sorted(units, key=lambda unit: unit.unit)
    wanted = [request for request in requests for _ in range(request.count)]
    if len(wanted) > len(pool):
        return None
    fits = {request: [unit.unit for unit in pool if matches(request, unit)] for request in set(requests)}
    # Few choices first: less to undo.
    order = sorted(range(len(wanted)), key=lambda index: (len(fits[wanted[index]]), index))
    chosen: dict[int, str] = {}
    holder: dict[str, int] = {}
    fits_of = [fits[request] for request in wanted]
    for index in order:
        if not _augment(index, fits_of, chosen, holder):
            return None
    return tuple(chosen[index] for index in range(len(wanted)))


def _augment(index: int, fits: Sequence[Sequence[str]], chosen: dict[int, str], holder: dict[str, int]) -> bool:
    """Give `index` a unit, moving others to their next best where needed; return whether that was possible.

    Breadth first and without recursion: the shortest chain of moves, of any length.
    """
    came_from: dict[str, int] = {}
    open_indices = deque([index])
    while open_indices:
        present = open_indices.popleft()
        free = next((unit for unit in fits[present] if unit not in holder), None)
        if free is not None:
            came_from[free] = present
            _shift(free, came_from, chosen, holder)
            return True
        for unit in fits[present]:
            if unit not in came_from:
                came_from[unit] = present
                open_indices.append(holder[unit])
    return False


def _shift(unit: str, came_from: dict[str, int], chosen: dict[int, str], holder: dict[str, int]) -> None:
    """Give the free unit at the end of a chain away, and each unit that this sets free to the one before."""
    while True:
        taker = came_from[unit]
        set_free = chosen.get(taker)
        chosen[taker], holder[unit] = unit, taker
        if set_free is None:
            return
        unit = set_free


def enough(requests: Sequence[UnitRequest], units: Iterable[Unit]) -> bool:
    """Whether there are distinct units for all requests: what `choose` finds, in counts of units that match alike."""
    alike: dict[tuple[bool, ...], int] = {}
    for unit in units:
        pattern = tuple(matches(request, unit) for request in requests)
        alike[pattern] = alike.get(pattern, 0) + 1
    patterns = sorted(alike)
    parts = [
        Part(tuple(kind for kind, pattern in enumerate(patterns) if pattern[place]), request.count)
        for place, request in enumerate(requests)
    ]
    return allocate(parts, [alike[pattern] for pattern in patterns]) is not None


class Part(NamedTuple):
    """So many things of any of these kinds."""

    kinds: tuple[int, ...]
    amount: int


class Entry(NamedTuple):
    """So many things of one kind for one part, told by its place among the parts."""

    part: int
    kind: int
    amount: int


def allocate(parts: Sequence[Part], free: Mapping[int, int] | Sequence[int]) -> tuple[Entry, ...] | None:
    """Return what each part takes of each kind out of the `free` counts by kind, or None if they do not suffice.

    `choose` in counts: a maximum flow by shortest augmenting paths (Edmonds and Karp 1972). Kinds are tried in the
    order of the part, so the same input gives the same entries.
    """
    left = {kind: free[kind] for part in parts for kind in part.kinds}
    given: dict[tuple[int, int], int] = {}
    # Few choices first: less to undo.
    for index in sorted(range(len(parts)), key=lambda index: (len(parts[index].kinds), index)):
        wanted = parts[index].amount
        while wanted:
            moved = _move(index, wanted, parts, left, given)
            if not moved:
                return None
            wanted -= moved
    return tuple(Entry(part, kind, count) for (part, kind), count in sorted(given.items()) if count)


def _move(
    index: int, wanted: int, parts: Sequence[Part], left: dict[int, int], given: dict[tuple[int, int], int]
) -> int:
    """Give a part up to `wanted` things, other parts changing kinds where needed; return how many it got."""
    reached_by: dict[int, int] = {}
    robbed_of: dict[int, int] = {}
    open_parts = deque([index])
    while open_parts:
        part = open_parts.popleft()
        for kind in parts[part].kinds:
            if kind in reached_by:
                continue
            reached_by[kind] = part
            if left[kind] > 0:
                return _shift_counts(index, kind, wanted, reached_by, robbed_of, left, given)
            for (other, held), count in sorted(given.items()):
                if held == kind and count and other != index and other not in robbed_of:
                    robbed_of[other] = kind
                    open_parts.append(other)
    return 0


def _shift_counts(
    index: int, last: int, wanted: int, reached_by: dict[int, int], robbed_of: dict[int, int],
    left: dict[int, int], given: dict[tuple[int, int], int],
) -> int:  # fmt: skip
    """Move as much as the narrowest place of the chain that ends with the kind `last` allows."""
    chain = [(reached_by[last], last)]
    while chain[-1][0] != index:
        kind = robbed_of[chain[-1][0]]
        chain.append((reached_by[kind], kind))
    amount = min(wanted, left[last], *(given[part, robbed_of[part]] for part, _ in chain[:-1]))
    left[last] -= amount
    for part, kind in chain:
        given[part, kind] = given.get((part, kind), 0) + amount
        if part != index:
            given[part, robbed_of[part]] -= amount
    return amount
