"""Interchangeable things, counted: units, slots and cells that no waiting claim can tell apart are one kind.

Planning works on counts by kind, so its cost does not grow with the number of units; names are given out only when a
claim starts.
"""

from collections.abc import Sequence
from functools import lru_cache

from scheduler.matching import Entry, Part, cell_matches, matches
from scheduler.profile import Need
from scheduler.state import Cell, Claim, Grant, Job, State, Unit

SLOTS = 0
# What should have ended, or nobody knows when it will, may end at any moment: so it is not lent out until then.
ANY_MOMENT_NS = 1


class Kinds:
    """The kinds of one moment of a venue: what of each is free, when more will be, and what a claim means in them."""

    def __init__(self, state: State) -> None:
        self.ends: list[tuple[int, int, int]] = []
        # Free names by kind, and one example of each kind of units and of cells.
        self._names: list[list[str]] = [[]]
        self._units: dict[int, Unit] = {}
        self._cells: dict[int, Cell] = {}
        self._needs: dict[Claim, Need] = {}
        self._unnamed_free = state.unnamed.count
        self._add_slots(state)
        self._add_units(state)
        self._add_cells(state)

    def free(self) -> list[int]:
        """Return what is free now by kind."""
        counts = [len(names) for names in self._names]
        counts[SLOTS] += self._unnamed_free
        return counts

    def need(self, claim: Claim) -> Need:
        """Return the claim in counts by kind: its unit requests in order, then slots, then the cell."""
        if not claim.units and claim.cell is None:
            return _slots_alone(claim.sim_slots)
        known = self._needs.get(claim)
        if known is None:
            parts = [
                Part(tuple(kind for kind, unit in self._units.items() if matches(request, unit)), request.count)
                for request in claim.units
            ]
            if claim.sim_slots:
                parts.append(Part((SLOTS,), claim.sim_slots))
            if claim.cell is not None:
                asked = claim.cell
                parts.append(Part(tuple(kind for kind, cell in self._cells.items() if cell_matches(asked, cell)), 1))
            known = self._needs[claim] = Need.of(parts)
        return known

    def grant(self, job: Job, entries: Sequence[Entry]) -> Grant:
        """Give names to the entries of a job that starts now: of each kind, the first that are free."""
        claim = job.claim
        units: list[str] = []
        slots: list[str] = []
        cell: str | None = None
        unnamed = 0
        for entry in sorted(entries):
            names = self._names[entry.kind]
            given, names[:] = names[: entry.amount], names[entry.amount :]
            if entry.part < len(claim.units):
                units += given
            elif entry.kind == SLOTS:
                slots += given
                unnamed += entry.amount - len(given)
            else:
                (cell,) = given
        self._unnamed_free -= unnamed
        return Grant(job.job, job.vendor, tuple(units), tuple(slots), cell, unnamed)

    def _add_slots(self, state: State) -> None:
        for slot in sorted(state.slots, key=lambda slot: slot.slot):
            if slot.free:
                self._names[SLOTS].append(slot.slot)
            else:
                self._ending(SLOTS, slot.end_ns, state.now_ns)
        for end_ns, count in state.unnamed.busy:
            self._unnamed_free -= count
            self._ending(SLOTS, end_ns, state.now_ns, count)

    def _add_units(self, state: State) -> None:
        if not state.units:
            return
        named = {request.unit for job in state.jobs for request in job.claim.units}
        index_of: dict[object, int] = {}
        for unit in sorted(state.units, key=lambda unit: unit.unit):
            if not unit.usable:
                continue
            own_name = unit.unit if unit.unit in named else ""
            alike = (unit.robot_model, unit.robot_class, unit.maker, tuple(sorted(unit.labels.items())), own_name)
            kind = index_of.setdefault(alike, len(self._names))
            self._units.setdefault(kind, unit)
            self._add(kind, unit.unit, unit.free, unit.end_ns, state.now_ns)

    def _add_cells(self, state: State) -> None:
        if not state.cells:
            return
        named = {job.claim.cell.cell for job in state.jobs if job.claim.cell is not None}
        index_of: dict[object, int] = {}
        for cell in sorted(state.cells, key=lambda cell: cell.cell):
            alike = (cell.scenario, cell.level, cell.cell if cell.cell in named else "")
            kind = index_of.setdefault(alike, len(self._names))
            self._cells.setdefault(kind, cell)
            self._add(kind, cell.cell, cell.free, cell.end_ns, state.now_ns)

    def _add(self, kind: int, name: str, free: bool, end_ns: int | None, now_ns: int) -> None:
        if kind == len(self._names):
            self._names.append([])
        if free:
            self._names[kind].append(name)
        else:
            self._ending(kind, end_ns, now_ns)

    def _ending(self, kind: int, end_ns: int | None, now_ns: int, count: int = 1) -> None:
        soon_ns = now_ns + ANY_MOMENT_NS
        self.ends.append((soon_ns if end_ns is None or end_ns < soon_ns else end_ns, kind, count))


@lru_cache(maxsize=4096)
def _slots_alone(count: int) -> Need:
    """Slots are the same kind in every venue, and all that the jobs of a log ask for."""
    return Need.of((Part((SLOTS,), count),))
