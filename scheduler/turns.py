"""Whose job comes next: weighted dominant-resource fairness down the tree of vendors, or simply the oldest.

Fair: at every branch the child with the smallest share comes first (Ghodsi et al., NSDI 2011; down a tree as in
Bhattacharya et al., SoCC 2013): the largest of what it holds of units, slots and cells, as parts of the venue, plus its
decayed share of the past, divided by its weight. A child that holds less than it is guaranteed comes before those that
do not. Ties go to the older job.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace

from scheduler.account import Accounts, Holding
from scheduler.queue import Key, Queue
from scheduler.state import Amounts

Entry = tuple[int, float, int, int, str]
ROOT = ""


class FairTurns:
    """The vendors' turns within one decision. It never changes accounts or queue."""

    def __init__(self, accounts: Accounts, queue: Queue, totals: tuple[int, int, int], open_shapes: set[int]) -> None:
        """`open_shapes`: those that may still start; it shrinks meanwhile."""
        self._accounts, self._queue, self._totals, self._open = accounts, queue, totals, open_shapes
        self._holdings: dict[str, Holding] = {}
        self._granted: dict[str, int] = {}
        # How far each vendor's run of a shape has been looked at.
        self._places: dict[tuple[str, int], int] = {}
        self._seen: set[int] = set()
        self._barred: set[str] = set()
        self._shortest = False
        self._also: set[int] = set()
        self._heads: dict[str, list[tuple[Key, int]]] = {}
        self._branches: dict[str, list[Entry]] = {}
        self._restart()

    def next(self) -> tuple[str, int, int] | None:
        """Return vendor, shape and job whose turn it is, or None if none is left."""
        return self._best(ROOT)

    def skip(self, vendor: str, shape: int) -> None:
        """Pass over the job whose turn it is."""
        place = (vendor, shape)
        self._places[place] = self._places.get(place, 0) + 1

    def drop(self, vendor: str, shape: int) -> None:
        """Look at no further job of the vendor's of this shape."""
        self._places[vendor, shape] = len(self._queue.shapes[shape].of_vendor[vendor])

    def bar(self, vendor: str) -> None:
        """Look at no further job of the vendor's."""
        self._barred.add(vendor)

    def hide(self, job: int) -> None:
        """Pass over this job whenever its turn comes."""
        self._seen.add(job)

    def take(self, vendor: str, amounts: tuple[int, int, int]) -> None:
        """Let the vendor hold so many units, slots and cells more."""
        for link in self._accounts.chains[vendor]:
            self.holding(link, own=True).add(amounts, 1)
            self._granted[link] = self._granted.get(link, 0) + 1

    def holding(self, name: str, *, own: bool = False) -> Holding:
        """Return what an account holds, this decision's grants included."""
        found = self._holdings.get(name)
        if found is None:
            found = self._accounts.holdings[name]
            if own:
                found = self._holdings[name] = found.copy()
        return found

    def allowed(self, vendor: str, amounts: tuple[int, int, int]) -> bool:
        """Whether the limits of the vendor and of all above it leave room for so much more."""
        if vendor not in self._accounts.limited:
            return True
        for link in self._accounts.chains[vendor]:
            told, held = self._accounts.vendors[link], self.holding(link)
            units, slots, cells = amounts
            if not told.limit.holds(held.units + units, held.slots + slots, held.cells + cells):
                return False
            if held.leases >= told.leases_max or self._granted.get(link, 0) >= told.starts_left:
                return False
        return True

    def look_also_at(self, shapes: Iterable[int]) -> None:
        """Let jobs of these shapes have their turn although they cannot start: they may be planned."""
        self._also = set(shapes)
        self._restart()

    def shortest_first(self, shortest: bool) -> None:
        """From now on only what may still start has its turn: within a vendor and priority the shortest job first."""
        self._shortest = shortest
        self._also = set()
        self._restart()

    def _restart(self) -> None:
        self._heads.clear()
        self._branches = {}
        looked_at = self._open | self._also if self._also else self._open
        vendors: set[str] = set()
        shapes = self._queue.shapes
        for shape in looked_at:
            vendors.update(shapes[shape].of_vendor)
        members: dict[str, set[str]] = {}
        for vendor in vendors:
            for link in self._accounts.chains[vendor]:
                members.setdefault(self._accounts.vendors[link].parent, set()).add(link)
        for parent, children in members.items():
            # A job's age is looked up only when the share alone does not decide.
            self._branches[parent] = [(*self._rank(child), -1, -1, child) for child in children]
            heapify(self._branches[parent])

    def _best(self, parent: str) -> tuple[str, int, int] | None:
        branch = self._branches.get(parent, [])
        while branch:
            present = branch[0]
            name = present[-1]
            found = self._best(name) if name in self._branches else self._head(name)
            if found is None:
                heappop(branch)
                continue
            _, _, job = found
            true = (*self._rank(name), self._queue.jobs[job].create_ns, job, name)
            if true == present:
                return found
            heapreplace(branch, true)
        return None

    def _rank(self, name: str) -> tuple[int, float]:
        vendor, held = self._accounts.vendors[name], self.holding(name)
        share = dominant_share(held.units, held.slots, held.cells, self._totals) + vendor.used_share
        return int(not _below(held, vendor.guarantee)), share / vendor.weight

    def _head(self, vendor: str) -> tuple[str, int, int] | None:
        """Return the vendor's first job of a shape that is looked at."""
        if vendor in self._barred:
            return None
        heads = self._heads.get(vendor)
        if heads is None:
            heads = self._heads[vendor] = self._first_heads(vendor)
        while heads:
            key, shape = heads[0]
            if shape in self._open or shape in self._also:
                present = self._key(vendor, shape)
                if present == key:
                    return vendor, shape, key[-1]
                if present is not None:
                    heapreplace(heads, (present, shape))
                    continue
            heappop(heads)
        return None

    def _first_heads(self, vendor: str) -> list[tuple[Key, int]]:
        shapes = self._queue.shapes_of[vendor]
        looked_at = (shapes & self._open) | (shapes & self._also)
        heads = [(key, shape) for shape in looked_at if (key := self._key(vendor, shape)) is not None]
        heapify(heads)
        return heads

    def _key(self, vendor: str, shape: int) -> Key | None:
        """Return the key of the vendor's next job of a shape."""
        run = self._queue.shapes[shape].of_vendor[vendor]
        where = (vendor, shape)
        place = self._places.get(where, 0)
        while place < len(run):
            key = run[place]
            if key[-1] not in self._seen:
                self._places[where] = place
                if self._shortest:
                    return key[0], self._queue.shapes[shape].duration_ns, *key[1:]
                return key
            place += 1
        return None


class AgeTurns:
    """The oldest job first, whoever's it is."""

    def __init__(self, queue: Queue, open_shapes: set[int]) -> None:
        self._queue, self._open = queue, open_shapes
        self._also: set[int] = set(queue.shapes)
        self._places: dict[int, int] = {}
        self._seen: set[int] = set()
        self._shortest = False
        self._heads: list[tuple[Key, int]] = []
        self._restart()

    def next(self) -> tuple[str, int, int] | None:
        """As in `FairTurns`, and so the others."""
        heads = self._heads
        while heads:
            key, shape = heads[0]
            if shape in self._open or shape in self._also:
                present = self._key(shape)
                if present == key:
                    return self._queue.jobs[key[-1]].vendor, shape, key[-1]
                if present is not None:
                    heapreplace(heads, (present, shape))
                    continue
            heappop(heads)
        return None

    def skip(self, vendor: str, shape: int) -> None:
        self._places[shape] = self._places.get(shape, 0) + 1

    def drop(self, vendor: str, shape: int) -> None:
        self._places[shape] = len(self._queue.shapes[shape].by_age)

    def bar(self, vendor: str) -> None:
        raise AssertionError("where only age counts nobody has a limit")

    def hide(self, job: int) -> None:
        self._seen.add(job)

    def take(self, vendor: str, amounts: tuple[int, int, int]) -> None:
        pass

    def allowed(self, vendor: str, amounts: tuple[int, int, int]) -> bool:
        return True

    def look_also_at(self, shapes: Iterable[int]) -> None:
        pass

    def shortest_first(self, shortest: bool) -> None:
        self._shortest = shortest
        self._also = set()
        self._restart()

    def _restart(self) -> None:
        self._heads = []
        for shape in self._open | self._also:
            key = self._key(shape)
            if key is not None:
                heappush(self._heads, (key, shape))

    def _key(self, shape: int) -> Key | None:
        run = self._queue.shapes[shape].by_age
        place = self._places.get(shape, 0)
        while place < len(run):
            key = run[place]
            if key[-1] not in self._seen:
                self._places[shape] = place
                return (self._queue.shapes[shape].duration_ns, *key) if self._shortest else key
            place += 1
        return None


def dominant_share(units: int, slots: int, cells: int, totals: tuple[int, int, int]) -> float:
    """Return the largest of the shares of units, slots and cells."""
    pairs = zip((units, slots, cells), totals, strict=True)
    return max((held / total for held, total in pairs if total), default=0.0)


def _below(held: Holding, guarantee: Amounts) -> bool:
    """Whether an account holds less than it is guaranteed of something."""
    return held.units < guarantee.units or held.slots < guarantee.slots or held.cells < guarantee.cells
