"""The standing that the writer keeps up says the same as the one read anew, whatever has happened."""

import json
import sqlite3
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    body_pb2,
    calendar_service_pb2,
    fleet_service_pb2,
    host_service_pb2,
    job_array_service_pb2,
    job_pb2,
    job_service_pb2,
    reservation_service_pb2,
    runner_service_pb2,
)
from scheduler import database, names, snapshot
from scheduler.commands import (
    accounting,
    arrays,
    ending,
    fleet,
    granting,
    inventory,
    reserving,
    running,
    simfirst,
    submitting,
    targeting,
    tending,
    timetable,
)
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.configuration import settings_of
from scheduler.decide import decide
from scheduler.ground import decide_on
from scheduler.replay.database import decide_again
from scheduler.standing import Standing
from scheduler.state import Config, Lease, State
from scheduler.token import NAMED, pack_decisions
from scheduler.writer import Command, Transaction, Writer, _Entry
from tests.scheduler.site import TTL_S, FakeClock, job

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
        self.db = database.open_writer(path)
        # Nobody pulls the plug here.
        self.db.execute("PRAGMA synchronous=OFF")
        self.runner_ready = True
        self.tokens: set[str] = set()
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
        return submitting.submit(vendor, request, Catalogue(), Limits(500))

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
claims = st.sampled_from(CLAIMS)
vendors = st.sampled_from(VENDORS)
units = st.sampled_from(UNITS)
picks = st.integers(0, 1 << 16)


class Life(RuleBasedStateMachine):
    """A venue to which anything may happen that commands can do; after each step both standings must say the same."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.venue = Venue(Path(self._folder.name) / "db")
        self.instance = 1

    def teardown(self) -> None:
        """Every decision is made again from its token, and nothing but roll-backs made the venue be read anew."""
        rows = self.venue.rows("SELECT token FROM decision")
        for row in rows:
            assert decide_again(self.venue.path, row["token"]).same
        self.venue.db.close()
        self._folder.cleanup()

    def _one(self, query: str, pick: int) -> sqlite3.Row | None:
        rows = self.venue.rows(query)
        return rows[pick % len(rows)] if rows else None

    @initialize()
    def open(self) -> None:
        self.venue.hello(UNITS)
        self.venue.run(running.register_runner("r", "r/one", 3))

    @rule(body=claims, vendor=vendors, priority=st.sampled_from((0, 0, 5)), soon=st.booleans(), legs=st.booleans())
    def submit(self, body: dict[str, Any], vendor: str, priority: int, soon: bool, legs: bool) -> None:
        fields: dict[str, Any] = {"claim": body, "priority": priority}
        if soon:
            fields["deadline"] = {"seconds": self.venue.clock.now_ns() // 10**9 + 5000}
        if legs and vendor == "acme":
            fields["project"] = "legs"
        self.venue.attempted(self.venue.submit(job(**fields), vendor))

    @rule(body=claims, vendor=vendors, pick=picks)
    def submit_after_another(self, body: dict[str, Any], vendor: str, pick: int) -> None:
        row = self._one(f"SELECT uid FROM job WHERE state < 5 AND vendor = '{vendor}'", pick)
        if row is not None:
            after = [f"vendors/{vendor}/jobs/{row['uid']}"]
            self.venue.attempted(self.venue.submit(job(claim=body, after=after), vendor))

    @rule(vendor=vendors)
    def submit_behind_the_gate(self, vendor: str) -> None:
        self.venue.attempted(self.venue.submit(job(sim_first=True), vendor))

    @rule(vendor=vendors, body=claims, size=st.integers(1, 5))
    def submit_an_array(self, vendor: str, body: dict[str, Any], size: int) -> None:
        request = job_array_service_pb2.SubmitJobArrayRequest(
            parent=f"vendors/{vendor}", job=job(claim=body), size=size
        )
        self.venue.attempted(arrays.submit(vendor, request, Catalogue(), Limits(500)))

    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        row = self._one("SELECT vendor, uid FROM job WHERE state < 4", pick)
        if row is not None:
            self.venue.attempted(ending.cancel(row["vendor"], row["uid"], ""))

    @rule(pick=picks)
    def cancel_an_array(self, pick: int) -> None:
        row = self._one("SELECT vendor, uid FROM job_array", pick)
        if row is not None:
            self.venue.attempted(arrays.cancel(row["vendor"], row["uid"]))

    @rule()
    def decide(self) -> None:
        self.venue.writer._run_cycle()

    @rule(after_s=st.sampled_from((0.5, 2.0, 30.0, 400.0, 4000.0)))
    def time_passes(self, after_s: float) -> None:
        self.venue.clock.pass_s(after_s)
        self.venue.run(ending.sweep())
        self.venue.run(reserving.sweep(600.0))

    @rule(pick=picks)
    def start(self, pick: int) -> None:
        row = self._attempt("1", pick)
        if row is not None:
            self.venue.attempted(running.start(row["name"], "r/one"))

    @rule(pick=picks)
    def checkpoint(self, pick: int) -> None:
        row = self._attempt("2", pick)
        if row is not None:
            self.venue.attempted(running.save_checkpoint(row["name"], "r/one", job_pb2.Artifact(uri="x", sha256="y")))

    @rule(pick=picks, how=st.sampled_from(("succeeded", "failed", "broken")))
    def finish(self, pick: int, how: str) -> None:
        row = self._attempt("2", pick)
        if row is None:
            return
        request = runner_service_pb2.FinishAttemptRequest(
            attempt=row["name"], instance="r/one", outcome=SUCCEEDED if how == "succeeded" else FAILED
        )
        if how != "succeeded":
            reason = "WORK_FAILED" if how == "failed" else "UNIT_FAULT"
            request.failure.CopyFrom(job_pb2.Failure(reason=reason, message="m", retryable=True))
        self.venue.attempted(running.finish(request))

    def _attempt(self, state: str, pick: int) -> dict[str, str] | None:
        row = self._one(
            f"""
            SELECT j.vendor, j.uid, a.number FROM attempt a JOIN job j ON j.id = a.job_id WHERE a.state = {state}
            """,
            pick,
        )
        return row and {"name": f"vendors/{row['vendor']}/jobs/{row['uid']}/attempts/{row['number']}"}

    @rule(unit=units, battery=st.sampled_from((None, 0.1, 0.5, 1.0)), fault=st.sampled_from(("", "", "", "elbow")),
          charging=st.booleans())  # fmt: skip
    def a_host_tells(self, unit: str, battery: float | None, fault: str, charging: bool) -> None:
        row = self._one(f"SELECT epoch FROM unit WHERE id = '{unit}'", 0)
        assert row is not None
        fields: dict[str, Any] = {} if battery is None else {"battery": battery, "charging": charging}
        self.venue.status(unit, f"i{self.instance}", safe_epoch=row["epoch"], motion=1, fault=fault, **fields)

    @rule()
    def all_units_rest(self) -> None:
        for row in self.venue.rows("SELECT id, epoch FROM unit"):
            self.venue.status(row["id"], f"i{self.instance}", safe_epoch=row["epoch"], motion=1)

    @rule(some=st.lists(units, min_size=1, unique=True), gripper=st.booleans(), battery=st.booleans())
    def a_host_comes_back(self, some: list[str], gripper: bool, battery: bool) -> None:
        self.instance += 1
        body = body_pb2.Body(end_effector="gripper" if gripper else "")
        if battery:
            body.battery.CopyFrom(body_pb2.Battery(capacity_wh=500, work_power_w=300, charge_power_w=400))
        self.venue.hello(some, f"i{self.instance}", body=body)

    @rule()
    def a_host_goes(self) -> None:
        self.venue.run(fleet.offline("h", f"i{self.instance}"))

    @rule(unit=units, health=st.sampled_from((1, 3, 4, 5, 6)))
    def health(self, unit: str, health: Any) -> None:
        name = names.unit("hall", unit)
        self.venue.attempted(
            tending.set_health("hall", fleet_service_pb2.SetUnitHealthRequest(name=name, health=health))
        )

    @rule(unit=units, hours=st.sampled_from((0, 1, 5)))
    def calibrate(self, unit: str, hours: int) -> None:
        request = fleet_service_pb2.CalibrateUnitRequest(name=names.unit("hall", unit))
        if hours:
            request.expire_time.FromNanoseconds(self.venue.clock.now_ns() + hours * 3600 * 10**9)
        self.venue.attempted(tending.calibrate("hall", request))

    @rule(slots=st.integers(0, 5))
    def a_runner_comes(self, slots: int) -> None:
        self.venue.run(running.register_runner("r", "r/one", slots))

    @rule(start_s=st.sampled_from((0, 100, 3000)), length_s=st.sampled_from((60, 3600)), where=st.integers(0, 4),
          stop=st.booleans())  # fmt: skip
    def close(self, start_s: int, length_s: int, where: int, stop: bool) -> None:
        request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall")
        begin_ns = self.venue.clock.now_ns() + start_s * 10**9
        request.closure.start_time.FromNanoseconds(begin_ns)
        request.closure.end_time.FromNanoseconds(begin_ns + length_s * 10**9)
        request.closure.stop_running = stop
        if where == 1:
            request.closure.zones.append("north")
        elif where == 2:
            request.closure.cells.append("venues/hall/cells/desk")
        elif where > 2:
            request.closure.units.append(f"venues/hall/units/arm-{where}")
        self.venue.attempted(timetable.close(request, "hall"))

    @rule(pick=picks)
    def reopen(self, pick: int) -> None:
        row = self._one("SELECT uid FROM closure", pick)
        if row is not None:
            self.venue.run(timetable.reopen(row["uid"]))

    @rule(vendor=vendors, count=st.integers(1, 3), start_s=st.sampled_from((100, 2000)), named=st.booleans())
    def reserve(self, vendor: str, count: int, start_s: int, named: bool) -> None:
        request = reservation_service_pb2.CreateReservationRequest(parent=f"vendors/{vendor}")
        selector = {"unit": "venues/hall/units/arm-4"} if named else {"robot_model": "own_arm"}
        body: dict[str, Any] = {"units": [{"selector": selector, "count": 1 if named else count}]}
        request.reservation.claim.CopyFrom(job_pb2.Job(claim=body).claim)
        request.reservation.start_time.FromNanoseconds(self.venue.clock.now_ns() + start_s * 10**9)
        request.reservation.end_time.FromNanoseconds(self.venue.clock.now_ns() + (start_s + 3600) * 10**9)
        self.venue.attempted(reserving.reserve(vendor, request, reserving.Bounds()))

    @rule(pick=picks, length_s=st.sampled_from((60, 600)))
    def submit_into_a_reservation(self, pick: int, length_s: int) -> None:
        row = self._one("SELECT vendor, uid FROM reservation WHERE state IN (1, 2)", pick)
        if row is not None:
            name = names.reservation(row["vendor"], row["uid"])
            body = job(claim=claim(1, duration_s=length_s), reservation=name)
            self.venue.attempted(self.venue.submit(body, row["vendor"]))

    @rule(pick=picks)
    def give_a_reservation_back(self, pick: int) -> None:
        row = self._one("SELECT vendor, uid FROM reservation", pick)
        if row is not None:
            self.venue.attempted(reserving.cancel(row["vendor"], row["uid"], ""))

    @rule(factor=st.sampled_from((0.5, 1.0, 2.0)))
    def targets_change(self, factor: float) -> None:
        self.venue.run(targeting.put({"third": factor}))

    @rule(body=claims)
    def a_command_fails_half_way(self, body: dict[str, Any]) -> None:
        def command(tx: Transaction) -> None:
            self.venue.submit(job(claim=body))(tx)
            tx.db.execute("UPDATE unit SET online = 0")
            tx.db.execute("DELETE FROM sim_slot")
            raise PalaestraError("INVALID_FIELD", "no")

        assert not self.venue.attempted(command)

    @rule(when=st.sampled_from(("before", "after")))
    def a_cycle_is_undone(self, when: str) -> None:
        def cycle(tx: Transaction) -> None:
            if when == "before":
                tx.db.execute("UPDATE unit SET online = 0")
            self.venue.decide(tx)
            raise ValueError("undone")

        self.venue.writer._cycle = cycle
        self.venue.writer._run_cycle()
        self.venue.writer._cycle = self.venue.decide

    @rule(ready=st.booleans())
    def runners_come_and_go(self, ready: bool) -> None:
        self.venue.runner_ready = ready

    @invariant()
    def both_say_the_same(self) -> None:
        self.venue.same()


def test_what_is_kept_is_what_is_read_anew_and_decides_the_same() -> None:
    """Random lives of a venue: submissions, grants, ends, faults, closures, reservations, preemptions, roll-backs."""
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        Life,
        settings=settings(
            max_examples=20, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
