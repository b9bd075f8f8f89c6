"""Which units satisfy a list of requests, none counted twice."""

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
        request.cell in ("", cell.cell)
        and request.scenario in ("", cell.scenario)
        and request.level in (0, cell.level)
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
    holder: dict[str, int] = {}
    for index in order:
        if not _augment(index, wanted, fits, holder, set()):
            return None
    chosen = {index: unit for unit, index in holder.items()}
    return tuple(chosen[index] for index in range(len(wanted)))


def _augment(
    index: int, wanted: Sequence[UnitRequest], fits: dict[UnitRequest, list[str]], holder: dict[str, int], seen: set[str]
) -> bool:
    for unit in fits[wanted[index]]:
        if unit in seen:
            continue
        seen.add(unit)
        if unit not in holder or _augment(holder[unit], wanted, fits, holder, seen):
            holder[unit] = index
            return True
    return False
