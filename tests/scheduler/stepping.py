"""A writer with its database and cycle to test with, one step at a time in the test's own thread."""

import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    host_service_pb2,
    job_pb2,
    job_service_pb2,
)
from scheduler import database, names, snapshot
from scheduler.commands import (
    accounting,
    fleet,
    granting,
    inventory,
    running,
    simfirst,
    submitting,
)
from scheduler.commands.draft import draft_of
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.configuration import settings_of
from scheduler.decide import decide
from scheduler.ground import decide_on
from scheduler.sql import is_file
from scheduler.state import State
from scheduler.token import NAMED, pack_decisions
from scheduler.writer import Command, Transaction, Writer, _Entry
from tests.scheduler.places import place
from tests.scheduler.site import TTL_S, FakeClock

T = TypeVar("T")
UNITS = [f"arm-{n}" for n in range(1, 7)]
VENDORS = ("acme", "rival", "third")
SUCCEEDED, FAILED = job_pb2.ATTEMPT_STATE_SUCCEEDED, job_pb2.ATTEMPT_STATE_FAILED
VENUE: dict[str, Any] = {
    "venue": {"id": "hall", "seats": 2, "chargers": 2},
    "group": [{"id": "labs", "guarantee": {"units": 2}}],
    "vendor": [
        {"id": "acme", "parent": "labs", "guarantee": {"units": 1}},
        {"id": "rival", "starts_per_hour": 6, "parent": "labs"},
        {"id": "third", "weight": 2.0, "limit": {"units": 3}},
    ],
    "project": [{"id": "legs", "vendor": "acme"}],
    "zone": [{"id": "north", "exclusive": True}, {"id": "south"}],
    "cell": [
        {"id": "bench", "scenario": "assembly", "level": 2, "zone": "north"},
        {"id": "desk", "scenario": "assembly", "level": 2, "zone": "north"},
        {"id": "floor", "scenario": "walking", "level": 1},
    ],
    "unit": [{"id": unit, "robot": "own_arm", "zone": ("north", "south")[n % 2]} for n, unit in enumerate(UNITS)],
    "bodies": {"check_after_jobs": 4, "rest_fraction": 0.1},
    "scheduler": {"lease_ttl_s": TTL_S, "hold_after_s": 30.0, "queued_jobs_max": 500, "preempt_after_s": 10.0},
}


class Venue:
    """A writer with its database and cycle, one step at a time in the test's own thread."""

    def __init__(self, path: Path, tables: dict[str, Any] = VENUE) -> None:
        self.clock = FakeClock()
        self.settings = settings_of(tables, "test")
        self.path = path
        self.db = database.open_writer(place(path))
        # Nobody pulls the plug here.
        self.db.execute("PRAGMA synchronous=OFF" if is_file(self.db) else "SET synchronous_commit TO off")
        self.runner_ready = True
        self.cycle = granting.Cycle(self.db, self.settings.deciding, lease_ttl_s=TTL_S, decisions_kept=10_000)
        self.writer = Writer(
            self.db, now_ns=self.clock.now_ns, cycle=self.decide, committed=lambda _: None, broken=lambda _: None
        )
        self.run(inventory.apply(self.settings.venue))
        self.run(accounting.adopt(self.settings.usage_half_life_s))
        self.run(simfirst.apply(every_job=False, success_min=0.5))

    def decide(self, tx: Transaction) -> None:
        self.cycle.command(runner_ready=self.runner_ready)(tx)

    def run(self, command: Command[T]) -> T:
        """Run a command as the writer does."""
        entry = _Entry(command)
        self.writer._commit([entry])
        result: T = entry.future.result(0)
        return result

    def attempted(self, command: Command[Any]) -> bool:
        """Run a command that may be refused; say whether it was not."""
        try:
            self.run(command)
        except PalaestraError:
            return False
        return True

    def rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        return self.db.execute(query, values).fetchall()

    def hello(self, units: list[str], instance: str = "i1", **declared: Any) -> None:
        fields = {"robot_model": "own_arm", "robot_class": "arm", "maker": "Own", "joint_count": 3} | declared
        message = host_service_pb2.HostHello(
            host="h",
            instance=instance,
            address="127.0.0.1:1",
            units=[host_service_pb2.UnitDeclaration(unit=names.unit("hall", unit), **fields) for unit in units],
        )
        self.run(fleet.hello(message, "hall", {f"h/{instance}"}))

    def status(self, unit: str, instance: str = "i1", **fields: Any) -> None:
        status = host_service_pb2.UnitStatus(unit=names.unit("hall", unit), **fields)
        self.run(fleet.status_changed("h", instance, [status], []))

    def submit(self, body: job_pb2.Job, vendor: str = "acme") -> Command[job_pb2.Job]:
        request = job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=body)
        return submitting.submit(vendor, draft_of(request), Catalogue(), Limits(500))

    def look(self) -> tuple[State, State, bytes, bytes]:
        """Return the state as it is kept and as it is read anew, and what is decided on either."""
        found: list[tuple[State, State, bytes, bytes]] = []

        def command(tx: Transaction) -> None:
            ready, config = self.runner_ready, self.settings.deciding
            standing = self.cycle.venue.look(tx.now_ns, runner_ready=ready)
            decided = pack_decisions(decide(standing, tx.now_ns, config))
            fresh = snapshot.load(tx.db, tx.now_ns, runner_ready=ready, look_ahead=False)
            anew = pack_decisions(decide_on(fresh, config))
            found.append((self.cycle.venue.state(), fresh, decided, anew))

        self.run(command)
        return found[0]

    def same(self) -> None:
        """Compare what is kept with what is read anew, to the byte."""
        kept, fresh, decided, anew = self.look()
        assert canonical(kept) == canonical(fresh)
        assert decided == anew


def canonical(state: State) -> State:
    """Return a state in one order of many."""
    ordered = {
        field: tuple(sorted(getattr(state, field), key=lambda thing: getattr(thing, NAMED[field]))) for field in NAMED
    }
    return replace(state, **ordered)


def claim(units: int, slots: int = 0, duration_s: int = 600, **fields: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"sim_slots": slots, "duration": {"seconds": duration_s}} | fields
    if units:
        found["units"] = [{"selector": {"robot_model": "own_arm"}, "count": units}]
    return found


CLAIMS = [
    claim(1), claim(2), claim(3, 1), claim(0, 2), claim(1, duration_s=7200), claim(5, duration_s=3600),
    claim(1, cell={"scenario": "assembly"}), claim(0, 1, cell={"cell": "venues/hall/cells/desk"}),
    claim(1, seats=1), claim(1, chargers=1),
    {"units": [{"selector": {"unit": "venues/hall/units/arm-2"}, "count": 1}], "duration": {"seconds": 300}},
    {"units": [{"selector": {"unit": "venues/hall/units/arm-5"}, "count": 1}], "duration": {"seconds": 900}},
    {"units": [{"selector": {"end_effector": "gripper"}, "count": 1}], "duration": {"seconds": 300}},
]  # fmt: skip


def small(path: Path, **tables: Any) -> Venue:
    """Return a venue of three units and two slots, with nobody's guarantees, all in order."""
    plain: dict[str, Any] = {
        "venue": {"id": "hall"},
        "vendor": [{"id": "acme"}, {"id": "rival"}],
        "unit": [{"id": unit, "robot": "own_arm"} for unit in UNITS[:3]],
        "scheduler": {"lease_ttl_s": TTL_S, "queued_jobs_max": 500},
    }
    venue = Venue(path, plain | tables)
    venue.hello(UNITS[:3])
    venue.run(running.register_runner("r", "r/one", 2))
    return venue
