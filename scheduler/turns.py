"""Whose job comes next: weighted dominant-resource fairness down the tree of vendors, or simply the oldest.

Fair: at every branch the child with the smallest share comes first (Ghodsi et al., NSDI 2011; down a tree as in
Bhattacharya et al., SoCC 2013): the largest of what it holds of units, slots and cells, as parts of the venue, plus its
decayed share of the past, divided by its weight. A child that holds less than it is guaranteed comes before those that
do not. Ties go to the older job.
"""

from collections.abc import Iterable
from heapq import heapify, heappop, heappush, heapreplace
from typing import NamedTuple

from scheduler.account import Accounts, Holding, dominant_share, rank_of
from scheduler.queue import Heads, Key, Queue, shorter_first

Entry = tuple[int, float, int, int, str]
ROOT = ""


class Turn(NamedTuple):
    """Whose turn it is, with which job."""

    vendor: str
    shape: int
    create_ns: int
    job: int


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
        self._shortest = False
        self._also: set[int] = set()
        # How far each vendor's heads have been looked at, and those that come again.
        self._cursors: dict[str, int] = {}
        self._later: dict[str, Heads] = {}
        self._branches: dict[str, list[Entry]] | None = None
        self._weights: dict[str, float] | None = None
        self._below: dict[str, bool] = {}

    def next(self) -> Turn | None:
        """Return the next turn, or None if nobody is left."""
        if not self._open and not self._also:
            return None
        if self._branches is None:
            self._branches = self._planted()
        return self._best(ROOT, self._branches)

    def skip(self, vendor: str, shape: int) -> None:
        """Pass over the job whose turn it is."""
        place = (vendor, shape)
        self._places[place] = self._places.get(place, 0) + 1

    def drop(self, vendor: str, shape: int) -> None:
        """Look at no further job of the vendor's of this shape."""
        self._places[vendor, shape] = len(self._queue.shapes[shape].of_vendor[vendor])

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

    def below_entitlement(self, vendor: str) -> bool:
        """Whether the vendor, and each account above it, holds less than its weight entitles it to.

        That is its weight's part of what its parent is entitled to, among brothers that hold something or have jobs
        waiting.
        """
        known = self._below.get(vendor)
        if known is None:
            chain = self._accounts.chains[vendor]
            known = self._below[vendor] = all(self._share(link) < self._entitlement(link) for link in chain)
        return known

    def look_also_at(self, shapes: Iterable[int]) -> None:
        """Let jobs of these shapes have their turn although they cannot start: they may be planned."""
        self._also = set(shapes)
        self._start_again()

    def shortest_first(self, shortest: bool) -> None:
        """From now on only what may still start has its turn: within a vendor and priority the shortest job first."""
        self._shortest = shortest
        self._also = set()
        self._start_again()

    def _share(self, name: str) -> float:
        held = self.holding(name)
        return dominant_share(held.units, held.slots, held.cells, self._totals)

    def _entitlement(self, name: str) -> float:
        if self._weights is None:
            self._weights = self._active_weights()
        vendor = self._accounts.vendors[name]
        above = self._entitlement(vendor.parent) if vendor.parent else 1.0
        return above * vendor.weight / self._weights[vendor.parent]

    def _active_weights(self) -> dict[str, float]:
        """Return the sum of the weights of the active children of each account."""
        active: set[str] = set()
        for leaf, chain in self._accounts.chains.items():
            held = self._accounts.holdings[leaf]
            if held.leases or held.units or held.slots or held.cells or leaf in self._queue.heads_of:
                active.update(chain)
        weights: dict[str, float] = {}
        # In one order, for sums of floating point numbers depend on it.
        for name in sorted(active):
            vendor = self._accounts.vendors[name]
            weights[vendor.parent] = weights.get(vendor.parent, 0.0) + vendor.weight
        return weights

    def _start_again(self) -> None:
        self._cursors.clear()
        self._later.clear()
        self._branches = None

    def _planted(self) -> dict[str, list[Entry]]:
        """Return the branches of the tree with their children, each at least as far in front as it belongs."""
        looked_at = self._open | self._also if self._also else self._open
        vendors: set[str] = set()
        shapes = self._queue.shapes
        for shape in looked_at:
            vendors.update(shapes[shape].of_vendor)
        members: dict[str, set[str]] = {}
        for vendor in vendors:
            for link in self._accounts.chains[vendor]:
                members.setdefault(self._accounts.vendors[link].parent, set()).add(link)
        branches: dict[str, list[Entry]] = {}
        for parent, children in members.items():
            # A job's age is looked up only when the share alone does not decide.
            branches[parent] = [(*self._rank(child), -1, -1, child) for child in children]
            heapify(branches[parent])
        return branches

    def _best(self, parent: str, branches: dict[str, list[Entry]]) -> Turn | None:
        branch = branches.get(parent, [])
        while branch:
            present = branch[0]
            name = present[-1]
            rank = self._rank(name)
            if rank != present[:2]:
                # It holds more by now: its job is looked up when its turn comes again.
                heapreplace(branch, (*rank, -1, -1, name))
                continue
            found = self._best(name, branches) if name in branches else self._head(name)
            if found is None:
                heappop(branch)
                continue
            true = (*rank, found.create_ns, found.job, name)
            if true == present:
                return found
            heapreplace(branch, true)
            if branch[0] is true:
                return found
        return None

    def _rank(self, name: str) -> tuple[int, float]:
        held = self._holdings.get(name)
        if held is None:
            return self._accounts.rank(name, self._totals)
        return rank_of(self._accounts.vendors[name], held, self._totals)

    def _head(self, vendor: str) -> Turn | None:
        """Return the vendor's first job of a shape that is looked at."""
        heads = (self._queue.short_heads_of if self._shortest else self._queue.heads_of)[vendor]
        cursor, end = self._cursors.get(vendor, 0), len(heads)
        open_shapes, also = self._open, self._also
        while cursor < end:
            key, shape = heads[cursor]
            if shape in open_shapes or shape in also:
                if (vendor, shape) not in self._places and key[-1] not in self._seen:
                    break
                # Looked at before: its next job has another place in the order.
                later = self._key(vendor, shape)
                if later is not None:
                    heappush(self._later.setdefault(vendor, []), (later, shape))
            cursor += 1
        self._cursors[vendor] = cursor
        best = heads[cursor] if cursor < end else None
        waiting = self._later.get(vendor)
        while waiting:
            key, shape = waiting[0]
            if best is not None and best[0] < key:
                break
            present = self._key(vendor, shape) if shape in open_shapes or shape in also else None
            if present == key:
                best = waiting[0]
                break
            heappop(waiting)
            if present is not None:
                heappush(waiting, (present, shape))
        if best is None:
            return None
        key, shape = best
        return Turn(vendor, shape, key[-2], key[-1])

    def _key(self, vendor: str, shape: int) -> Key | None:
        """Return the key of the vendor's next job of a shape."""
        run = self._queue.shapes[shape].of_vendor[vendor]
        where = (vendor, shape)
        place = self._places.get(where, 0)
        while place < len(run):
            key = run[place]
            if key[-1] not in self._seen:
                self._places[where] = place
                return shorter_first(key, self._queue.shapes[shape].duration_ns) if self._shortest else key
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

    def next(self) -> Turn | None:
        """As in `FairTurns`, and so the others."""
        heads = self._heads
        while heads:
            key, shape = heads[0]
            if shape in self._open or shape in self._also:
                present = self._key(shape)
                if present == key:
                    return Turn(self._queue.jobs[key[-1]].vendor, shape, key[-2], key[-1])
                if present is not None:
                    heapreplace(heads, (present, shape))
                    continue
            heappop(heads)
        return None

    def skip(self, vendor: str, shape: int) -> None:
        self._places[shape] = self._places.get(shape, 0) + 1

    def drop(self, vendor: str, shape: int) -> None:
        self._places[shape] = len(self._queue.shapes[shape].by_age)

    def hide(self, job: int) -> None:
        self._seen.add(job)

    def take(self, vendor: str, amounts: tuple[int, int, int]) -> None:
        pass

    def allowed(self, vendor: str, amounts: tuple[int, int, int]) -> bool:
        return True

    def below_entitlement(self, vendor: str) -> bool:
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
