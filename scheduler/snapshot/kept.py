"""The venue as deciding finds it, kept up with the database: what a look costs grows with what has changed.

The truth stays in the tables. What is kept here is read from them by the same queries as a whole state is (`load`), row
by row as the marks of a `Feed` tell, and may be thrown away at any time: then it is read anew. Like that state it holds
what time alone brings: back-offs that end, batteries that fill, past use that fades.
"""

import heapq
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

from scheduler.care import care_of
from scheduler.snapshot.closures import bookings, closures, exclusive_zones
from scheduler.snapshot.feed import Feed, What
from scheduler.snapshot.leases import leases, preempted_ns
from scheduler.snapshot.places import Body, bodies, cells, charging_until, count_of, slots, timed
from scheduler.snapshot.queue import waiting
from scheduler.snapshot.use import RESOURCES, Taken, Use, booked, books, gained, half_life_of, step_ns, taken, uses
from scheduler.snapshot.vendors import factors, filled, means_of, parties, party_of, starts_left, totals
from scheduler.sql import Connection
from scheduler.standing import Standing
from scheduler.state import Job, Lease, State, Unit, Unnamed, Vendor
from scheduler.suspects import Barred

Marks = Mapping[What, list[Any]]
# Changes that are always remembered.
CHANGED_MIN = 1_000
_NONE_HELD = (0,) * len(RESOURCES)
_NOBODY = Barred()


class Kept:
    """State and standing of one venue.

    Args:
        db: The connection that writes; marks are made on it from now on.
    """

    def __init__(self, db: Connection) -> None:
        self._db = db
        self._feed = Feed(db)
        self._standing: Standing | None = None
        self._now_ns = 0
        self._distrusted = False
        self._barred = Barred()
        # Looks that had to read everything.
        self.readings = 0
        # What has changed since `forget_changes`, by field of the state and by name; None: everything.
        self.changed: dict[str, set[Any]] | None = None

    def look(self, now_ns: int, *, runner_ready: bool, barred: Barred = _NOBODY) -> Standing:
        """Return the venue as of this transaction. The standing is good until the next look, and not to be changed.

        barred: Jobs that are taken for not waiting.
        """
        if barred != self._barred:
            self._barred, self._distrusted = barred, True
        marks = self._feed.take()
        standing, self._standing = self._standing, None
        # A clock that was set back may undo what time had brought.
        if marks is None or standing is None or now_ns < self._now_ns or self._distrusted:
            standing = self._read(now_ns)
            self._distrusted = False
        else:
            self._now_ns = now_ns
            self._follow(standing, marks)
        self._foresee(standing)
        standing.runner_ready = runner_ready
        # Where nobody asks for the changes, they need not be remembered beyond what there is.
        if self.changed is not None and _count(self.changed) > 2 * _count(self.things) + CHANGED_MIN:
            self.changed = None
        # Only now: had something failed on the way, everything would be read anew.
        self._standing = standing
        return standing

    def distrust(self) -> None:
        """Read everything anew at the next look."""
        self._distrusted = True

    def state(self) -> State:
        """Return what was looked at last as a state."""
        standing = self._standing
        assert standing is not None, "nobody has looked yet"
        for name in self._ageing:
            self._put("units", name, self._timed(name))
        named: dict[str, Any] = {field: tuple(things.values()) for field, things in self.things.items()}
        return State(self._now_ns, **named, **self.others())

    def others(self) -> dict[str, Any]:
        """Return the fields of the state that are not kept by name."""
        standing = self._standing
        assert standing is not None, "nobody has looked yet"
        return {
            "runner_ready": standing.runner_ready,
            "seats": self._seats(),
            "chargers": self._chargers(),
            "exclusive_zones": self._exclusive_zones,
            "closures": standing.closures,
            "bookings": standing.bookings,
            "preempted_ns": standing.preempted_ns,
        }

    def forget_changes(self) -> None:
        """Count changes from here on."""
        self.changed = {name: set() for name in self.things}

    def _read(self, now_ns: int) -> Standing:
        """Read everything."""
        db = self._db
        self.readings += 1
        self._now_ns = now_ns
        self.changed = None
        self._care, self._half_life_s = care_of(db), half_life_of(db)
        self._seat_count, self._charger_count = count_of(db, "seats"), count_of(db, "chargers")
        self._exclusive_zones = exclusive_zones(db)
        self._bodies: dict[str, tuple[Unit, Body]] = {}
        # Units whose times pass, and those that are on a charger or on the way to one.
        self._ageing: set[str] = set()
        self._charging: set[str] = set()
        for unit, body in bodies(db):
            self._note_body(unit, body)
        # What waits out a back-off, and the ends of those in order.
        self._later: dict[int, tuple[Job, int]] = {}
        self._ends: list[tuple[int, int]] = []
        jobs: dict[int, Job] = {}
        for job, after_ns in waiting(db):
            if job in self._barred:
                continue
            if after_ns <= now_ns:
                jobs[job.job] = job
            else:
                self._later[job.job] = job, after_ns
                self._ends.append((after_ns, job.job))
        heapq.heapify(self._ends)
        # What is kept by name: fields of the state.
        self.things: dict[str, dict[Any, Any]] = {
            "units": {name: self._timed(name) for name, (_, body) in self._bodies.items() if body.present},
            "slots": {slot.slot: slot for slot in slots(db)},
            "cells": {cell.cell: cell for cell in cells(db)},
            "leases": {lease.lease: lease for lease in leases(db)},
            "jobs": jobs,
            "vendors": {},
        }
        # Of these, leases of reserved jobs, and those that hold seats or chargers.
        self._special_leases: dict[int, Lease] = {}
        self._lease_counts: Counter[str] = Counter()
        for lease in self.things["leases"].values():
            self._count_lease(lease, 1)
        self._read_tree()
        named: dict[str, Any] = {field: tuple(things.values()) for field, things in self.things.items()}
        return Standing.of(State(now_ns, **named, exclusive_zones=self._exclusive_zones))

    def _follow(self, standing: Standing, marks: Marks) -> None:
        """Read what is marked, and let time pass."""
        leaves = self._follow_leases(standing, marks.get(What.LEASE, []))
        standing.put(
            self._follow_units(marks.get(What.UNIT, [])),
            self._changed_places("cells", marks.get(What.CELL, []), cells),
            self._changed_places("slots", marks.get(What.SLOT, []), slots),
        )
        self._follow_jobs(standing, marks.get(What.JOB, []))
        self._follow_tree(standing, marks, leaves)

    def _foresee(self, standing: Standing) -> None:
        """Look at what is closed and booked, and at what is in use by number alone: little, and much of it by time."""
        db, now_ns = self._db, self._now_ns
        reserved = [lease for lease in self._special_leases.values() if lease.booking]
        standing.plan_for(closures(db, now_ns), bookings(db, now_ns, reserved, self.things["units"]))
        standing.put_pools(self._seats(), self._chargers())
        standing.preempted_ns = preempted_ns(db)

    def _put(self, field: str, name: Any, value: Any) -> bool:
        """Take a thing over, None if it is gone; return whether it is another one now."""
        things = self.things[field]
        if things.get(name) == value:
            return False
        if value is None:
            del things[name]
        else:
            things[name] = value
        if self.changed is not None:
            self.changed[field].add(name)
        return True

    # Units

    def _note_body(self, unit: Unit, body: Body) -> None:
        name = unit.unit
        self._bodies[name] = unit, body
        (self._ageing.add if body.present and body.ages(self._now_ns) else self._ageing.discard)(name)
        (self._charging.add if body.condition.charging else self._charging.discard)(name)

    def _timed(self, name: str) -> Unit:
        unit, body = self._bodies[name]
        return timed(unit, body, self._care, self._now_ns, chargers=self._charger_count > 0)

    def _follow_units(self, marked: list[str]) -> dict[str, Unit | None]:
        found = {unit.unit: (unit, body) for unit, body in bodies(self._db, marked)}
        for name in marked:
            if name in found:
                self._note_body(*found[name])
            else:
                self._bodies.pop(name, None)
                self._ageing.discard(name)
                self._charging.discard(name)
        changed: dict[str, Unit | None] = {}
        for name in marked:
            present = name in self._bodies and self._bodies[name][1].present
            if self._put("units", name, self._timed(name) if present else None):
                changed[name] = self.things["units"].get(name)
        # Deciding looks at the times of those alone that could be given out; those of the others may be old.
        for name in [name for name in self._ageing if self._bodies[name][0].free and self._bodies[name][0].usable]:
            unit = self._timed(name)
            if self._put("units", name, unit):
                changed[name] = unit
            if not self._bodies[name][1].ages(self._now_ns):
                self._ageing.discard(name)
        return changed

    def _changed_places(self, field: str, marked: list[str], read: Any) -> dict[str, Any]:
        """Return the cells or slots that are others now."""
        found = {getattr(thing, field[:-1]): thing for thing in read(self._db, marked)}
        return {name: found.get(name) for name in marked if self._put(field, name, found.get(name))}

    # Jobs

    def _follow_jobs(self, standing: Standing, marked: list[int]) -> None:
        found = {job.job: (job, after_ns) for job, after_ns in waiting(self._db, marked) if job not in self._barred}
        for name in marked:
            job, after_ns = found.get(name, (None, 0))
            self._later.pop(name, None)
            if job is not None and after_ns > self._now_ns:
                self._later[name] = job, after_ns
                heapq.heappush(self._ends, (after_ns, name))
                job = None
            self._put_job(standing, name, job)
        while self._ends and self._ends[0][0] <= self._now_ns:
            after_ns, name = heapq.heappop(self._ends)
            if name in self._later and self._later[name][1] == after_ns:
                self._put_job(standing, name, self._later.pop(name)[0])

    def _put_job(self, standing: Standing, name: int, job: Job | None) -> None:
        known = name in self.things["jobs"]
        if self._put("jobs", name, job):
            if known:
                standing.withdraw(name)
            if job is not None:
                standing.submit(job)

    # Leases

    def _follow_leases(self, standing: Standing, marked: list[int]) -> set[str]:
        """Return the leaves of which leases have come or gone."""
        found = {lease.lease: lease for lease in leases(self._db, marked)}
        things = taken(self._db, marked)
        leaves: set[str] = set()
        for name in marked:
            before, after = self.things["leases"].get(name), found.get(name)
            if self._put("leases", name, after):
                if before is not None:
                    self._count_lease(before, -1)
                    leaves.add(before.vendor)
                    del standing.leases[name]
                if after is not None:
                    self._count_lease(after, 1)
                    leaves.add(after.vendor)
                    standing.leases[name] = after
            self._take(name, things.get(name))
        return leaves

    def _count_lease(self, lease: Lease, step: int) -> None:
        self._lease_counts[lease.vendor] += step
        if lease.booking or lease.seats or lease.chargers:
            if step > 0:
                self._special_leases[lease.lease] = lease
            else:
                del self._special_leases[lease.lease]

    def _take(self, lease: int, after: Taken | None) -> None:
        before = self._taken.get(lease)
        if before == after:
            return
        if before is not None:
            del self._taken[lease]
            self._use(before.leaf, gained(before, self._used_ns, self._half_life_s or math.inf), -1)
        if after is not None:
            self._taken[lease] = after
            self._use(after.leaf, gained(after, self._used_ns, self._half_life_s or math.inf), 1)

    def _seats(self) -> Unnamed:
        return Unnamed(self._seat_count, self._leased("seats"))

    def _chargers(self) -> Unnamed:
        charging = charging_until((self._bodies[name][1] for name in self._charging), self._now_ns)
        return Unnamed(self._charger_count, tuple(sorted((*self._leased("chargers"), *charging))))

    def _leased(self, what: str) -> tuple[tuple[int, int], ...]:
        """Return (planned end, count) of what leases hold by number alone."""
        held = ((lease.end_ns, getattr(lease, what)) for lease in self._special_leases.values())
        return tuple(sorted(pair for pair in held if pair[1]))

    # The tree of vendors

    def _read_tree(self) -> None:
        rows = parties(self._db)
        self._rows = {row["id"]: row for row in rows}
        self._tree: dict[str, Vendor] = {row["id"]: party_of(row) for row in rows}
        self._rated = [row["id"] for row in rows if row["starts_per_hour"] is not None]
        self._left = {name: starts_left(self._db, self._rows[name], self._now_ns) for name in self._rated}
        self._books = books(self._db)
        self._taken = taken(self._db)
        # Nodes of the tree whose use has changed since it was last told.
        self._use_changed: set[str] = set()
        self._size, self._factors = totals(self._db), factors(self._db)
        self._use_all()
        for name in self._tree:
            self.things["vendors"][name] = self._filled(name)

    def _use_all(self) -> None:
        """Count what every leaf has used."""
        self._used_ns = step_ns(self._half_life_s, self._now_ns)
        self._used = uses(self._books, self._taken.values(), self._used_ns, self._half_life_s)
        self._means = means_of({name: party.parent for name, party in self._tree.items()}, self._used)

    def _use(self, leaf: str, change: tuple[Sequence[int], Sequence[int]], sign: int) -> None:
        """Count more or less use of a leaf: things held, and means, as of the last full step.

        Sums of whole numbers: what they come to does not tell in how many steps.
        """
        held, means = change
        used = self._used.setdefault(leaf, Use())
        for place in range(len(held)):
            used.held[place] += sign * held[place]
            used.means[place] += sign * means[place]
        name = leaf
        while name in self._tree:
            self._use_changed.add(name)
            for place in range(len(means)):
                self._means[name][place] += sign * means[place]
            name = self._tree[name].parent

    def _enter_books(self, leaves: Sequence[str]) -> None:
        """Read the books of some leaves again."""
        found = books(self._db, leaves)
        for leaf in leaves:
            for sign, entry in ((-1, self._books.pop(leaf, None)), (1, found.get(leaf))):
                self._use(leaf, (_NONE_HELD, booked(entry, self._used_ns, self._half_life_s or math.inf)), sign)
        self._books |= found

    def _filled(self, name: str) -> Vendor:
        used = self._used.get(name)
        return filled(
            self._tree[name],
            (0, 0, 0) if used is None else used.held,
            self._means[name],
            self._size,
            self._lease_counts[name],
            self._factors.get(name, 1.0),
            self._left[name][0] if name in self._left else math.inf,
        )

    def _follow_tree(self, standing: Standing, marks: Marks, leaves: set[str]) -> None:
        """leaves: Of which leases have come or gone."""
        self._enter_books(marks.get(What.USE, []))
        changed, self._use_changed = self._use_changed | leaves & self._tree.keys(), set()
        if What.SIZE in marks:
            self._size = totals(self._db)
        if What.TARGET in marks:
            self._factors = factors(self._db)
        if self._used_ns != step_ns(self._half_life_s, self._now_ns):
            self._use_all()
            changed |= self._tree.keys()
        if What.SIZE in marks or What.TARGET in marks:
            changed |= self._tree.keys()
        changed |= self._follow_starts(marks.get(What.LEASE, []))
        for name in changed:
            vendor = self._filled(name)
            if self._put("vendors", name, vendor):
                standing.accounts.put(vendor)

    def _follow_starts(self, marked: Iterable[int]) -> set[str]:
        """Return the vendors that have had, or have not had any more, a start within the last hour."""
        if not self._rated:
            return set()
        query = "SELECT vendor FROM lease WHERE id = ?"
        started = {row[0] for lease in marked for row in self._db.execute(query, (lease,))}
        found = set()
        for name in self._rated:
            until_ns = self._left[name][1]
            if name in started or (until_ns is not None and until_ns <= self._now_ns):
                self._left[name] = starts_left(self._db, self._rows[name], self._now_ns)
                found.add(name)
        return found


def _count(things: Mapping[str, Sized]) -> int:
    return sum(map(len, things.values()))
