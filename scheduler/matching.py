"""Which units satisfy a list of requests, none counted twice."""

from collections import deque
from collections.abc import Iterable, Sequence

from scheduler.state import Cell, CellRequest, Unit, UnitRequest


def matches(request: UnitRequest, unit: Unit) -> bool:
    """Whether every set field of the request is the unit's."""
    return (
        request.robot_class in ("", unit.robot_class)
        and request.maker.casefold() in ("", unit.maker.casefold())
        and request.robot_model in ("", unit.robot_model)
        and request.unit in ("", unit.unit)
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
