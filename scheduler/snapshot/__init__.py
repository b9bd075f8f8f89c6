"""Reads the State that deciding looks at from the database."""

import sqlite3

from scheduler.snapshot.closures import bookings, closures, exclusive_zones, stopping
from scheduler.snapshot.leases import leases, may_preempt, preempted_ns
from scheduler.snapshot.places import cells, chargers, charging, seats, slots, units
from scheduler.snapshot.queue import claim_of, job_as_if, job_of, jobs, looked_at
from scheduler.snapshot.vendors import leaves, tree, vendors
from scheduler.state import State

__all__ = [
    "anything_free", "bookings", "cells", "chargers", "charging", "claim_of", "closures", "exclusive_zones",
    "inventory", "job_as_if", "job_of", "jobs", "leases", "leaves", "load", "looked_at", "may_preempt", "seats",
    "slots", "stopping", "tree", "units", "vendors",
]  # fmt: skip


def load(db: sqlite3.Connection, now_ns: int, *, runner_ready: bool) -> State:
    """Return the venue as of this transaction."""
    places_to_charge = chargers(db, now_ns)
    return State(
        now_ns=now_ns,
        units=units(db, now_ns, chargers=places_to_charge.count > 0),
        slots=slots(db),
        cells=cells(db),
        vendors=vendors(db, now_ns),
        jobs=jobs(db, now_ns),
        runner_ready=runner_ready,
        exclusive_zones=exclusive_zones(db),
        closures=closures(db, now_ns),
        bookings=bookings(db, now_ns),
        seats=seats(db),
        chargers=places_to_charge,
        leases=leases(db),
        preempted_ns=preempted_ns(db),
    )


def inventory(db: sqlite3.Connection, now_ns: int) -> State:
    """Return the venue without its vendors and jobs: what a claim could ever be met from."""
    return State(
        now_ns, units=units(db), slots=slots(db), cells=cells(db), seats=seats(db), chargers=chargers(db, now_ns)
    )


def anything_free(db: sqlite3.Connection) -> bool:
    """Return whether a unit or a sim slot is free, without which no job can start: far cheaper than to `load`."""
    found = db.execute(
        """
        SELECT EXISTS (SELECT 1 FROM sim_slot s WHERE NOT EXISTS
            (SELECT 1 FROM lease_slot ls WHERE ls.slot = s.id AND ls.free_ns IS NULL))
          OR EXISTS (SELECT 1 FROM unit u WHERE u.online AND NOT EXISTS
            (SELECT 1 FROM lease_unit lu WHERE lu.unit = u.id AND lu.free_ns IS NULL))
        """
    ).fetchone()
    return bool(found[0])
