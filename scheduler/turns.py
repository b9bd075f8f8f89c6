"""Whose job comes next: weighted dominant-resource fairness down the tree of vendors, or simply the oldest.

Fair: at every branch the child with the smallest share comes first (Ghodsi et al., NSDI 2011; down a tree as in
Bhattacharya et al., SoCC 2013): the largest of what it holds of units, slots and cells, as parts of the venue, plus its
decayed share of the past, divided by its weight. A child that holds less than it is guaranteed comes before those that
do not. Ties go to the older job.
"""

from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace

from scheduler.account import Accounts, Holding, Place, dominant_share, rank_of
from scheduler.queue import Head, Queue, shorter_first
from scheduler.state import ALL, Vendor

ROOT = ""
# So many waiting shapes of each vendor, on average, make it likely that nearly every vendor has one that is looked at.
MANY = 4


class _Contender:
    """An account within one decision: what it holds by now, and how far its jobs have been looked at."""

    __slots__ = ("cursor", "first", "granted", "grown", "heads", "held", "later", "places", "told")

    def __init__(self, told: Vendor, held: Holding, heads: Sequence[Head]) -> None:
        self.told = told
        # The standing's own until something is granted.
        self.held = held
        self.granted = 0
        # It holds more than its place among its brothers tells.
        self.grown = False
        # By shape, how far its run has been looked at.
        self.places: dict[int, int] = {}
        self.start_again(heads)

    def start_again(self, heads: Sequence[Head]) -> None:
        """Begin with these first jobs of its shapes, in order."""
        self.heads = heads
        # The first of them that has not been passed over, and the next jobs of those that have been: a heap.
        self.cursor = 0
        self.later: list[Head] = []
        # The first job of all, found before: it remains so as long as its shape is looked at.
        self.first: Head | None = None


class FairTurns:
    """The vendors' turns within one decision. It never changes accounts or queue."""

    def __init__(self, accounts: Accounts, queue: Queue, totals: tuple[int, int, int], open_shapes: set[int]) -> None:
        """`open_shapes`: those that may still start; it shrinks meanwhile."""
        self._accounts, self._queue, self._totals, self._open = accounts, queue, totals, open_shapes
        self._contenders: dict[str, _Contender] = {}
        self._seen: set[int] = set()
        self._shortest = False
        self._also: set[int] = set()
        # The branches of the tree: heaps of their children.
        self._branches: dict[str, list[Place]] | None = None
        self._weights: dict[str, float] | None = None
        self._below: dict[str, bool] = {}

    def next(self) -> Head | None:
        """Return whose turn it is, as (..., create_ns, job, shape), or None if nobody is left."""
        if not self._open and not self._also:
            return None
        if self._branches is None:
            self._branches = self._planted()
        return self._best(self._branches[ROOT], self._branches)

    def skip(self, vendor: str, shape: int) -> None:
        """Pass over the job whose turn it is."""
        contender = self._contenders[vendor]
        contender.places[shape] = contender.places.get(shape, 0) + 1
        self._pass(contender, self._after(contender, shape))

    def drop(self, vendor: str, shape: int) -> None:
        """Look at no further job of the vendor's of this shape."""
        contender = self._contenders[vendor]
        contender.places[shape] = ALL
        self._pass(contender, None)

    def hide(self, job: int) -> None:
        """Pass over this job whenever its turn comes."""
        self._seen.add(job)
        for contender in self._contenders.values():
            contender.first = None

    def take(self, vendor: str, amounts: tuple[int, int, int]) -> None:
        """Let the vendor hold so many units, slots and cells more."""
        for link in self._accounts.chains[vendor]:
            contender = self._contenders.get(link) or self._contender(link)
            if not contender.granted:
                contender.held = contender.held.copy()
            contender.held.add(amounts, 1)
            contender.granted += 1
            contender.grown = True

    def holding(self, name: str) -> Holding:
        """Return what an account holds, this decision's grants included."""
        contender = self._contenders.get(name)
        return self._accounts.holdings[name] if contender is None else contender.held

    def allowed(self, vendor: str, amounts: tuple[int, int, int]) -> bool:
        """Whether the limits of the vendor and of all above it leave room for so much more."""
        if vendor not in self._accounts.limited:
            return True
        for link in self._accounts.chains[vendor]:
            contender = self._contenders.get(link) or self._contender(link)
            told, held = contender.told, contender.held
            units, slots, cells = amounts
            if not told.limit.holds(held.units + units, held.slots + slots, held.cells + cells):
                return False
            if held.leases >= told.leases_max or contender.granted >= told.starts_left:
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
            known = True
            for link in chain:
                if self._share(link) >= self._entitlement(link):
                    known = False
                    break
            self._below[vendor] = known
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
        vendors, holdings = self._accounts.vendors, self._accounts.holdings
        with_jobs = self._with_those_above(self._queue.heads_of)
        weights: dict[str, float] = {}
        for parent, children in self._accounts.children.items():
            total = 0.0
            # In one order, for sums of floating point numbers depend on it.
            for name in children:
                if name in with_jobs or holdings[name].anything:
                    total += vendors[name].weight
            weights[parent] = total
        return weights

    def _with_those_above(self, names: Iterable[str]) -> set[str]:
        return set().union(*map(self._accounts.chains.__getitem__, names))

    def _start_again(self) -> None:
        for name, contender in self._contenders.items():
            contender.start_again(self._heads(name))
        self._branches = None

    def _heads(self, name: str) -> Sequence[Head]:
        return (self._queue.short_heads_of if self._shortest else self._queue.heads_of).get(name, ())

    def _contender(self, name: str) -> _Contender:
        accounts = self._accounts
        found = _Contender(accounts.vendors[name], accounts.holdings[name], self._heads(name))
        self._contenders[name] = found
        return found

    def _planted(self) -> dict[str, list[Place]]:
        """Return the branches of the tree with their children, each at least as far in front as it belongs."""
        vendors, places = self._accounts.vendors, self._accounts.places
        branches: dict[str, list[Place]] = {ROOT: []}
        for name in self._with_those_above(self._concerned()):
            # What was granted meanwhile is counted in when it is its turn.
            place = places.get(name) or self._accounts.place(name, self._totals)
            branches.setdefault(vendors[name].parent, []).append(place)
        for branch in branches.values():
            heapify(branch)
        for contender in self._contenders.values():
            contender.grown = contender.granted > 0
        return branches

    def _concerned(self) -> Iterable[str]:
        """Return all vendors with jobs of shapes that are looked at; some others do no harm."""
        looked_at = self._open | self._also if self._also else self._open
        of_vendor = [self._queue.shapes[shape].of_vendor for shape in looked_at]
        if sum(map(len, of_vendor)) > MANY * len(self._queue.heads_of):
            # Nearly everybody: quicker than to find out who not.
            return self._queue.heads_of
        return set().union(*of_vendor)

    def _best(self, branch: list[Place], branches: dict[str, list[Place]]) -> Head | None:
        """Return the job whose turn it is in a branch."""
        contenders, totals, open_shapes, also = self._contenders, self._totals, self._open, self._also
        while branch:
            present = branch[0]
            below, share, create_ns, job, name = present
            contender = contenders.get(name) or self._contender(name)
            if contender.grown:
                # Its job is looked up when its turn comes again.
                contender.grown = False
                below, share = rank_of(contender.told, contender.held, totals)
                heapreplace(branch, (below, share, -1, -1, name))
                continue
            if name in branches:
                found = self._best(branches[name], branches)
            else:
                found = contender.first
                if found is None or (found[-1] not in open_shapes and found[-1] not in also):
                    found = contender.first = self._head(contender)
            if found is None:
                heappop(branch)
            elif found[-2] == job and found[-3] == create_ns:
                return found
            else:
                true = (below, share, found[-3], found[-2], name)
                brothers = branch[1:3]
                if not brothers or true < min(brothers):
                    # It stays in front: the heap need not be sifted.
                    branch[0] = true
                    return found
                heapreplace(branch, true)
        return None

    def _head(self, contender: _Contender) -> Head | None:
        """Return the vendor's first job of a shape that is looked at."""
        open_shapes, also, seen = self._open, self._also, self._seen
        heads, places, later = contender.heads, contender.places, contender.later
        first = None
        for cursor in range(contender.cursor, len(heads)):
            head = heads[cursor]
            shape = head[-1]
            if shape in open_shapes or shape in also:
                if shape not in places and head[-2] not in seen:
                    first, contender.cursor = head, cursor
                    break
                # Passed over before: its next job has another place in the order.
                after = self._after(contender, shape)
                if after is not None:
                    heappush(later, after)
        else:
            contender.cursor = len(heads)
        while later:
            head = later[0]
            if first is not None and first < head:
                break
            if head[-1] not in open_shapes and head[-1] not in also:
                heappop(later)
            elif head[-2] in seen:
                _replace_first(later, self._after(contender, head[-1]))
            else:
                return head
        return first

    def _pass(self, contender: _Contender, after: Head | None) -> None:
        """Go on from the vendor's first job; `after` is the next one of its shape."""
        later = contender.later
        if later and later[0] is contender.first:
            _replace_first(later, after)
        else:
            contender.cursor += 1
            if after is not None:
                heappush(later, after)
        contender.first = None

    def _after(self, contender: _Contender, shape: int) -> Head | None:
        """Return the vendor's next job of a shape."""
        places, told = contender.places, self._queue.shapes[shape]
        run = told.of_vendor[contender.told.vendor]
        place, end = places.get(shape, 0), len(run)
        while place < end:
            key = run[place]
            if key[-1] not in self._seen:
                places[shape] = place
                return (*shorter_first(key, told.duration_ns), shape) if self._shortest else (*key, shape)
            place += 1
        return None


def _replace_first(heap: list[Head], by: Head | None) -> None:
    if by is None:
        heappop(heap)
    else:
        heapreplace(heap, by)


class AgeTurns:
    """The oldest job first, whoever's it is."""

    def __init__(self, queue: Queue, open_shapes: set[int]) -> None:
        self._queue, self._open = queue, open_shapes
        self._also: set[int] = set(queue.shapes)
        self._places: dict[int, int] = {}
        self._seen: set[int] = set()
        self._shortest = False
        self._heads: list[Head] = []
        self._restart()

    def next(self) -> Head | None:
        """As in `FairTurns`, and so the others."""
        heads = self._heads
        while heads:
            head = heads[0]
            shape = head[-1]
            if shape in self._open or shape in self._also:
                present = self._head(shape)
                if present == head:
                    return head
                if present is not None:
                    heapreplace(heads, present)
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
        found = map(self._head, self._open | self._also)
        self._heads = [head for head in found if head is not None]
        heapify(self._heads)

    def _head(self, shape: int) -> Head | None:
        run = self._queue.shapes[shape].by_age
        place = self._places.get(shape, 0)
        while place < len(run):
            key = run[place]
            if key[-1] not in self._seen:
                self._places[shape] = place
                return (self._queue.shapes[shape].duration_ns, *key, shape) if self._shortest else (*key, shape)
            place += 1
        return None
