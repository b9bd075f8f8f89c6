"""Reads the State that deciding looks at from the database."""

from scheduler.snapshot.closures import bookings, closures, exclusive_zones, stopping
from scheduler.snapshot.leases import leases, preempted_ns
from scheduler.snapshot.places import cells, chargers, charging, seats, slots, units
from scheduler.snapshot.queue import claim_of, job_as_if, job_of, jobs, looked_at, tell_wishes, waiting
from scheduler.snapshot.use import half_life_of, step_ns
from scheduler.snapshot.vendors import leaves, tree, vendors
from scheduler.sql import Connection
from scheduler.state import State

__all__ = [
    "bookings", "cells", "chargers", "charging", "claim_of", "closures", "exclusive_zones",
    "inventory", "job_as_if", "job_of", "jobs", "leases", "leaves", "load", "looked_at", "seats",
    "slots", "stopping", "tell_wishes", "tree", "units", "vendors", "waiting",
]  # fmt: skip


def load(db: Connection, now_ns: int, *, runner_ready: bool, look_ahead: bool = True) -> State:
    """Return the venue as of this transaction. look_ahead: With the first jobs of each vendor or project alone."""
    places_to_charge = chargers(db, now_ns)
    present = units(db, now_ns, chargers=places_to_charge.count > 0)
    running = leases(db)
    return State(
        now_ns=now_ns,
        units=present,
        slots=slots(db),
        cells=cells(db),
        vendors=vendors(db, now_ns, used_ns=step_ns(half_life_of(db), now_ns)),
        jobs=jobs(db, now_ns) if look_ahead else tuple(job for job, after_ns in waiting(db) if after_ns <= now_ns),
        runner_ready=runner_ready,
        exclusive_zones=exclusive_zones(db),
        closures=closures(db, now_ns),
        bookings=bookings(db, now_ns, running, {unit.unit: unit for unit in present}),
        seats=seats(db),
        chargers=places_to_charge,
        leases=running,
        preempted_ns=preempted_ns(db),
    )


def inventory(db: Connection, now_ns: int) -> State:
    """Return the venue without its vendors and jobs: what a claim could ever be met from."""
    return State(
        now_ns, units=units(db), slots=slots(db), cells=cells(db), seats=seats(db), chargers=chargers(db, now_ns)
    )
