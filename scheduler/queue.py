"""The waiting jobs, by shape: jobs with the same claim wait for the same things.

A decision looks at shapes and at the first job of each, so its cost does not grow with the length of the queue.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

from scheduler.line import NEVER_NS
from scheduler.state import Claim, Job

# The place of a job in some order; the job itself stands last.
Key = tuple[int, ...]
# The same with its shape after it.
Head = tuple[int, ...]
# Front places of a run that may stand empty before it is packed.
SLACK = 4096


class Run:
    """Sorted keys. Taking the first is cheap however many there are, and so is adding a last one."""

    __slots__ = ("_first", "_keys")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self._first = 0

    def __len__(self) -> int:
        return len(self._keys) - self._first

    def __getitem__(self, place: int) -> Key:
        return self._keys[self._first + place]

    def __iter__(self) -> Iterator[Key]:
        for place in range(self._first, len(self._keys)):
            yield self._keys[place]

    def first(self, count: int) -> list[Key]:
        """Return up to so many keys, the first ones."""
        return self._keys[self._first : self._first + count]

    def add(self, key: Key) -> None:
        if not self._keys or key > self._keys[-1]:
            self._keys.append(key)
        else:
            insort(self._keys, key, lo=self._first)

    def remove(self, key: Key) -> bool:
        """Take a key out; return whether it was the first."""
        keys, first = self._keys, self._first
        if keys[first] != key:
            del keys[bisect_left(keys, key, first)]
            return False
        self._first = first = first + 1
        if first >= SLACK and first * 2 >= len(keys):
            del keys[:first]
            self._first = 0
        return True


class Shape:
    """Waiting jobs with the same claim: by age, and for each vendor in its own order."""

    __slots__ = ("by_age", "claim", "duration_ns", "index", "of_vendor")

    def __init__(self, index: int, claim: Claim) -> None:
        self.index = index
        self.claim = claim
        self.duration_ns = int(claim.duration_s * 1e9)
        self.by_age = Run()
        self.of_vendor: dict[str, Run] = {}


class Queue:
    """All waiting jobs that may start anywhere, and apart from them those that start only in their booking."""

    def __init__(self) -> None:
        self.jobs: dict[int, Job] = {}
        self.shapes: dict[int, Shape] = {}
        # The first job of each shape that a vendor has jobs of, by vendor: in its own order, and shortest first.
        self.heads_of: dict[str, list[Head]] = {}
        self.short_heads_of: dict[str, list[Head]] = {}
        self.booked: dict[str, Run] = {}
        # The oldest job of each shape as (create_ns, job, shape), the oldest first; and as (create_ns less duration,
        # shape), by which they pass any bound of the time until they end.
        self.oldest: list[Key] = []
        self.first_due: list[Key] = []
        # Names of units and cells that claims ask for by name, with how many shapes do.
        self.named: dict[str, int] = {}
        self._index_of: dict[Claim, int] = {}
        self._shape_of: dict[int, Shape] = {}
        self._next_index = 0
        # The claim that was added last: jobs come in numbers, and share theirs. To seek a claim is to read all of it.
        self._latest: Claim | None = None
        self._latest_index: int | None = None

    def __len__(self) -> int:
        return len(self.jobs)

    def add(self, job: Job) -> Shape | None:
        """Add a job; return its shape if that is new."""
        self.jobs[job.job] = job
        if job.booking:
            self.booked.setdefault(job.booking, Run()).add(turn(job))
            self._name(job.claim, 1)
            return None
        index = self._latest_index if job.claim is self._latest else self._index_of.get(job.claim)
        new = index is None
        if index is None:
            index = self._index_of[job.claim] = self._next_index
            self._next_index += 1
            self.shapes[index] = Shape(index, job.claim)
            self._name(job.claim, 1)
        self._latest, self._latest_index = job.claim, index
        shape = self._shape_of[job.job] = self.shapes[index]
        age = (job.create_ns, job.job)
        oldest = shape.by_age[0] if shape.by_age else None
        shape.by_age.add(age)
        if oldest is None or age < oldest:
            self._change_oldest(shape, oldest, age)
        run = shape.of_vendor.get(job.vendor)
        if run is None:
            run = shape.of_vendor[job.vendor] = Run()
            self.heads_of.setdefault(job.vendor, [])
            self.short_heads_of.setdefault(job.vendor, [])
        key = turn(job)
        before = run[0] if run else None
        run.add(key)
        if before is None or key < before:
            self._change_head(job.vendor, shape, before, key)
        return shape if new else None

    def remove(self, job_id: int) -> Shape | None:
        """Take a job out; return its shape if that is gone with it."""
        job = self.jobs.pop(job_id)
        if job.booking:
            run = self.booked[job.booking]
            run.remove(turn(job))
            if not run:
                del self.booked[job.booking]
            self._name(job.claim, -1)
            return None
        shape = self._shape_of.pop(job_id)
        by_age, age, vendor = shape.by_age, (job.create_ns, job_id), job.vendor
        if by_age.remove(age):
            self._change_oldest(shape, age, by_age[0] if by_age else None)
        run = shape.of_vendor[vendor]
        key = turn(job)
        if run.remove(key):
            after = run[0] if run else None
            self._change_head(vendor, shape, key, after)
            if after is None:
                del shape.of_vendor[vendor]
                if not self.heads_of[vendor]:
                    del self.heads_of[vendor], self.short_heads_of[vendor]
        if by_age:
            return None
        del self.shapes[shape.index], self._index_of[job.claim]
        self._latest = self._latest_index = None
        self._name(job.claim, -1)
        return shape

    def _change_oldest(self, shape: Shape, before: Key | None, after: Key | None) -> None:
        if before is not None:
            del self.oldest[bisect_left(self.oldest, (*before, shape.index))]
            del self.first_due[bisect_left(self.first_due, (before[0] - shape.duration_ns, shape.index))]
        if after is not None:
            insort(self.oldest, (*after, shape.index))
            insort(self.first_due, (after[0] - shape.duration_ns, shape.index))

    def _change_head(self, vendor: str, shape: Shape, before: Key | None, after: Key | None) -> None:
        heads, short_heads = self.heads_of[vendor], self.short_heads_of[vendor]
        index, duration_ns = shape.index, shape.duration_ns
        if before is not None:
            # Most often it is the first: no need to seek it.
            del heads[0 if heads[0][-1] == index else bisect_left(heads, (*before, index))]
            first = short_heads[0][-1] == index
            del short_heads[0 if first else bisect_left(short_heads, (*shorter_first(before, duration_ns), index))]
        if after is not None:
            insort(heads, (*after, index))
            insort(short_heads, (*shorter_first(after, duration_ns), index))

    def _name(self, claim: Claim, step: int) -> None:
        for name in names_in(claim):
            self.named[name] = self.named.get(name, 0) + step
            if not self.named[name]:
                del self.named[name]


def names_in(claim: Claim) -> list[str]:
    """Return the units and cells that a claim or its alternatives ask for by name."""
    found: list[str] = []
    for one in (claim, *claim.alternatives):
        found += [request.unit for request in one.units if request.unit]
        if one.cell is not None and one.cell.cell:
            found.append(one.cell.cell)
    return found


def shorter_first(key: Key, duration_ns: int) -> Key:
    """Return the place of a job where, within a priority, the shorter one comes first."""
    return key[0], duration_ns, *key[1:]


def turn(job: Job) -> Key:
    """Return the place of a job among its vendor's: priority, then deadline, then age. The job itself stands last."""
    deadline_ns = NEVER_NS if job.deadline_ns is None else job.deadline_ns
    return -job.priority, deadline_ns, job.create_ns, job.job
