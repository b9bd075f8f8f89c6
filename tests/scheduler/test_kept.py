"""The standing that the writer keeps up says the same as the one read anew, whatever has happened."""

import random
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest

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
    recording,
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
from scheduler.health import Health
from scheduler.lifecycle import Step
from scheduler.replay.database import decide_again
from scheduler.replay.workload import BadTrace
from scheduler.state import State
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


class Life:
    """A venue to which anything may happen that commands can do, as chance has it."""

    # What happens, and how often.
    DEEDS: ClassVar = {
        "submit": 14, "submit_after_another": 3, "submit_behind_the_gate": 1, "submit_an_array": 2, "cancel": 2,
        "cancel_an_array": 1, "decide": 24, "time_passes": 8, "start": 20, "checkpoint": 4, "finish": 12,
        "a_host_tells": 4, "all_units_rest": 16, "a_host_comes_back": 2, "a_host_goes": 1, "set_health": 1,
        "all_is_well": 8, "calibrate": 1, "a_runner_comes": 2, "close": 1, "reopen": 2, "reserve": 3,
        "submit_into_a_reservation": 4, "give_a_reservation_back": 1, "targets_change": 1,
        "a_command_fails_half_way": 2, "a_cycle_is_undone": 1, "runners_come_and_go": 1, "others_write": 1,
    }  # fmt: skip

    def __init__(self, path: Path, seed: int) -> None:
        self.venue = Venue(path)
        self.random = random.Random(seed)
        self.instance = 1
        self.venue.hello(UNITS)
        self.venue.run(running.register_runner("r", "r/one", 3))

    def live(self, steps: int) -> None:
        """Let things happen; after each, what is kept must be what is read anew."""
        deeds, weights = list(self.DEEDS), list(self.DEEDS.values())
        for deed in self.random.choices(deeds, weights, k=steps):
            getattr(self, deed)()
            self.venue.same()

    def _any(self, *choices: Any) -> Any:
        return self.random.choice(choices)

    def _one(self, query: str, *values: object) -> sqlite3.Row | None:
        rows = self.venue.rows(query, *values)
        return self.random.choice(rows) if rows else None

    def _attempt(self, state: int) -> str | None:
        row = self._one(
            "SELECT j.vendor, j.uid, a.number FROM attempt a JOIN job j ON j.id = a.job_id WHERE a.state = ?", state
        )
        return row and f"vendors/{row['vendor']}/jobs/{row['uid']}/attempts/{row['number']}"

    def submit(self) -> None:
        vendor = self._any(*VENDORS)
        fields: dict[str, Any] = {"claim": self._any(*CLAIMS), "priority": self._any(0, 0, 5)}
        if self._any(True, False):
            fields["deadline"] = {"seconds": self.venue.clock.now_ns() // 10**9 + 5000}
        if vendor == "acme" and self._any(True, False):
            fields["project"] = "legs"
        self.venue.attempted(self.venue.submit(job(**fields), vendor))

    def submit_after_another(self) -> None:
        row = self._one("SELECT vendor, uid FROM job WHERE state < 5 AND vendor != 'venue'")
        if row is not None:
            after = [f"vendors/{row['vendor']}/jobs/{row['uid']}"]
            body = job(claim=self._any(*CLAIMS), after=after)
            self.venue.attempted(self.venue.submit(body, row["vendor"]))

    def submit_behind_the_gate(self) -> None:
        self.venue.attempted(self.venue.submit(job(sim_first=True), self._any(*VENDORS)))

    def submit_an_array(self) -> None:
        vendor = self._any(*VENDORS)
        request = job_array_service_pb2.SubmitJobArrayRequest(
            parent=f"vendors/{vendor}", job=job(claim=self._any(*CLAIMS)), size=self._any(1, 3, 6)
        )
        self.venue.attempted(arrays.submit(vendor, request, Catalogue(), Limits(500)))

    def cancel(self) -> None:
        row = self._one("SELECT vendor, uid FROM job WHERE state < 4")
        if row is not None:
            self.venue.attempted(ending.cancel(row["vendor"], row["uid"], ""))

    def cancel_an_array(self) -> None:
        row = self._one("SELECT vendor, uid FROM job_array")
        if row is not None:
            self.venue.attempted(arrays.cancel(row["vendor"], row["uid"]))

    def decide(self) -> None:
        self.venue.writer._run_cycle()
        self.venue.runner_ready = True

    def time_passes(self) -> None:
        self.venue.clock.pass_s(self._any(0.5, 2.0, 2.0, 8.0, 8.0, 30.0, 400.0))
        if self._any(True, True, False):
            self.beat()
        self.venue.run(ending.sweep())
        self.venue.run(reserving.sweep(600.0))

    def beat(self) -> None:
        rows = self.venue.rows(
            "SELECT j.vendor, j.uid, a.number FROM attempt a JOIN job j ON j.id = a.job_id WHERE a.state = 2"
        )
        attempts = [f"vendors/{row['vendor']}/jobs/{row['uid']}/attempts/{row['number']}" for row in rows]
        beats = [runner_service_pb2.AttemptBeat(attempt=name) for name in attempts]
        request = runner_service_pb2.HeartbeatAttemptsRequest(instance="r/one", attempts=beats)
        self.venue.run(running.heartbeat(request, TTL_S))

    def start(self) -> None:
        name = self._attempt(1)
        if name is not None:
            self.venue.attempted(running.start(name, "r/one"))

    def checkpoint(self) -> None:
        name = self._attempt(2)
        if name is not None:
            self.venue.attempted(running.save_checkpoint(name, "r/one", job_pb2.Artifact()))

    def finish(self) -> None:
        name, reason = self._attempt(2), self._any("", "", "WORK_FAILED", "UNIT_FAULT")
        if name is None:
            return
        outcome = FAILED if reason else SUCCEEDED
        request = runner_service_pb2.FinishAttemptRequest(attempt=name, instance="r/one", outcome=outcome)
        if reason:
            request.failure.CopyFrom(job_pb2.Failure(reason=reason, message="m", retryable=True))
        self.venue.attempted(running.finish(request))

    def a_host_tells(self) -> None:
        row = self._one("SELECT id, epoch FROM unit")
        assert row is not None
        fields: dict[str, Any] = {"fault": self._any("", "", "", "elbow")}
        battery = self._any(None, 0.1, 0.5, 1.0)
        if battery is not None:
            fields |= {"battery": battery, "charging": self._any(True, False)}
        self.venue.status(row["id"], f"i{self.instance}", safe_epoch=row["epoch"], motion=1, **fields)

    def all_units_rest(self) -> None:
        for row in self.venue.rows("SELECT id, epoch, battery FROM unit"):
            battery = {} if row["battery"] is None else {"battery": row["battery"]}
            self.venue.status(row["id"], f"i{self.instance}", safe_epoch=row["epoch"], motion=1, **battery)

    def a_host_comes_back(self) -> None:
        self.instance += 1
        body = body_pb2.Body(end_effector=self._any("", "gripper"))
        if self._any(True, False):
            body.battery.CopyFrom(body_pb2.Battery(capacity_wh=500, work_power_w=300, charge_power_w=400))
        self.venue.hello(UNITS, f"i{self.instance}", body=body)
        if self._any(True, False):
            self.venue.hello([self._any(*UNITS)], f"i{self.instance}", joint_count=7)

    def a_host_goes(self) -> None:
        self.venue.run(fleet.offline("h", f"i{self.instance}"))

    def set_health(self) -> None:
        self._set_health(self._any(*UNITS), self._any(*Health))

    def all_is_well(self) -> None:
        if self.venue.rows("SELECT 1 FROM unit WHERE NOT online"):
            self.a_host_comes_back()
        for row in self.venue.rows("SELECT unit FROM body WHERE health != ?", Health.GOOD):
            self._set_health(row["unit"], Health.SUSPECT)
            self._set_health(row["unit"], Health.GOOD)

    def _set_health(self, unit: str, health: Any) -> None:
        request = fleet_service_pb2.SetUnitHealthRequest(name=names.unit("hall", unit), health=int(health))
        self.venue.attempted(tending.set_health("hall", request))

    def calibrate(self) -> None:
        request = fleet_service_pb2.CalibrateUnitRequest(name=names.unit("hall", self._any(*UNITS)))
        hours = self._any(0, 1, 5)
        if hours:
            request.expire_time.FromNanoseconds(self.venue.clock.now_ns() + hours * 3600 * 10**9)
        self.venue.attempted(tending.calibrate("hall", request))

    def a_runner_comes(self) -> None:
        self.venue.run(running.register_runner("r", "r/one", self._any(0, 2, 3, 5)))

    def close(self) -> None:
        request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall")
        begin_ns = self.venue.clock.now_ns() + self._any(0, 100, 3000) * 10**9
        request.closure.start_time.FromNanoseconds(begin_ns)
        request.closure.end_time.FromNanoseconds(begin_ns + self._any(60, 3600) * 10**9)
        request.closure.stop_running = self._any(True, False)
        where = self._any("venue", "zones", "cells", "units", "units")
        if where == "zones":
            request.closure.zones.append("north")
        elif where == "cells":
            request.closure.cells.append("venues/hall/cells/desk")
        elif where == "units":
            request.closure.units.append(names.unit("hall", self._any(*UNITS)))
        self.venue.attempted(timetable.close(request, "hall"))

    def reopen(self) -> None:
        row = self._one("SELECT uid FROM closure")
        if row is not None:
            self.venue.run(timetable.reopen(row["uid"]))

    def reserve(self) -> None:
        vendor = self._any(*VENDORS)
        request = reservation_service_pb2.CreateReservationRequest(parent=f"vendors/{vendor}")
        selector = self._any({"unit": "venues/hall/units/arm-4"}, {"robot_model": "own_arm"}, {"robot_class": "arm"})
        count = 1 if "unit" in selector else self._any(1, 2)
        request.reservation.claim.CopyFrom(job_pb2.Job(claim={"units": [{"selector": selector, "count": count}]}).claim)
        start_ns = self.venue.clock.now_ns() + self._any(100, 2000) * 10**9
        request.reservation.start_time.FromNanoseconds(start_ns)
        request.reservation.end_time.FromNanoseconds(start_ns + 3600 * 10**9)
        self.venue.attempted(reserving.reserve(vendor, request, reserving.Bounds()))

    def submit_into_a_reservation(self) -> None:
        row = self._one("SELECT vendor, uid FROM reservation WHERE state IN (1, 2)")
        if row is not None:
            name = names.reservation(row["vendor"], row["uid"])
            body = job(claim=claim(1, duration_s=self._any(60, 600)), reservation=name)
            self.venue.attempted(self.venue.submit(body, row["vendor"]))

    def give_a_reservation_back(self) -> None:
        row = self._one("SELECT vendor, uid FROM reservation")
        if row is not None:
            self.venue.attempted(reserving.cancel(row["vendor"], row["uid"], ""))

    def targets_change(self) -> None:
        self.venue.run(targeting.put({"third": self._any(0.5, 1.0, 2.0)}))

    def a_command_fails_half_way(self) -> None:
        def command(tx: Transaction) -> None:
            self.venue.submit(job(claim=CLAIMS[0]))(tx)
            tx.db.execute("UPDATE unit SET online = 0")
            tx.db.execute("DELETE FROM sim_slot")
            raise PalaestraError("INVALID_FIELD", "no")

        assert not self.venue.attempted(command)

    def a_cycle_is_undone(self) -> None:
        def cycle(tx: Transaction) -> None:
            tx.db.execute("UPDATE unit SET online = 0 WHERE id = 'arm-1'")
            self.venue.decide(tx)
            raise ValueError("undone")

        self.venue.writer._cycle = cycle
        self.venue.writer._run_cycle()
        self.venue.writer._cycle = self.venue.decide

    def runners_come_and_go(self) -> None:
        self.venue.runner_ready = self._any(True, True, False)

    def others_write(self) -> None:
        """As a tool at the running venue's database would."""
        with closing(sqlite3.connect(self.venue.path)) as db:
            db.execute("UPDATE unit SET latched = 1 - latched WHERE id = 'arm-6'")
            db.commit()


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_kept_is_what_is_read_anew_and_decides_the_same(tmp_path: Path, seed: int) -> None:
    """Random lives of a venue: submissions, grants, ends, faults, closures, reservations, preemptions, roll-backs."""
    life = Life(tmp_path / "db", seed)
    life.live(steps=300)

    tokens = [row["token"] for row in life.venue.rows("SELECT token FROM decision")]
    assert all(decide_again(life.venue.path, token).same for token in tokens)
    counts = life.venue.rows(
        """
        SELECT (SELECT count(*) FROM lease) AS leases, (SELECT count(*) FROM decision WHERE substr(state, 1, 1) = x'2b')
          AS changes, (SELECT count(*) FROM lease WHERE end_ns IS NOT NULL) AS ended
        """
    )[0]
    assert counts["leases"] >= 10
    assert counts["ended"] >= 5
    assert counts["changes"] >= 3


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


def test_a_job_behind_hundreds_of_its_vendor_that_cannot_start_is_looked_at(tmp_path: Path) -> None:
    """300 jobs ask for a gripper that no unit has; the 301st, of lower priority, asks for what is free."""
    venue = small(tmp_path / "db")
    venue.hello(UNITS[:1], body=body_pb2.Body(end_effector="gripper"))
    blocked = job(claim={"units": [{"selector": {"end_effector": "gripper"}, "count": 1}], "duration": {"seconds": 60}})
    for _ in range(300):
        venue.run(venue.submit(blocked))
    venue.status("arm-1", fault="elbow")
    last = venue.run(venue.submit(job(1, priority=-1)))
    venue.writer._run_cycle()

    granted = venue.rows("SELECT uid FROM job WHERE state = 2")
    assert [row["uid"] for row in granted] == [last.name.split("/")[3]]


def test_a_look_after_nothing_has_happened_reads_no_row_of_a_job_unit_or_lease(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    for _ in range(5):
        venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    venue.look()
    read: list[str] = []
    venue.db.set_trace_callback(read.append)
    venue.db.execute("BEGIN")
    venue.cycle.venue.look(venue.clock.now_ns(), runner_ready=True)
    venue.db.execute("COMMIT")
    venue.db.set_trace_callback(None)

    assert not [query for query in read if "FROM job " in query or "FROM unit " in query or "FROM lease " in query]
    assert venue.cycle.venue.readings == 1


def test_what_was_rolled_back_is_read_anew_once(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.run(venue.submit(job(1)))

    def undone(tx: Transaction) -> None:
        venue.decide(tx)
        raise ValueError("undone")

    venue.writer._cycle = undone
    venue.writer._run_cycle()
    assert venue.rows("SELECT 1 FROM lease") == []
    venue.writer._cycle = venue.decide
    venue.writer._run_cycle()
    venue.writer._run_cycle()

    assert len(venue.rows("SELECT 1 FROM lease")) == 1
    assert venue.cycle.venue.readings == 2


def test_what_another_connection_writes_is_seen(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.same()
    with closing(sqlite3.connect(venue.path)) as db:
        db.execute("UPDATE unit SET latched = 1 WHERE id = 'arm-1'")
        db.commit()

    kept, _, _, _ = venue.look()
    assert [unit.unit for unit in kept.units if not unit.usable] == ["arm-1"]


def test_a_back_off_ends_by_time_alone(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    body = venue.run(venue.submit(job(1)))
    after_ns = venue.clock.now_ns() + 5 * 10**9
    venue.run(lambda tx: tx.db.execute("UPDATE job SET not_before_ns = ?", (after_ns,)))
    waiting = [len(venue.look()[0].jobs)]
    for after_s in (4.0, 1.0):
        venue.clock.pass_s(after_s)
        waiting.append(len(venue.look()[0].jobs))
    venue.writer._run_cycle()

    assert waiting == [0, 0, 1]
    assert venue.rows("SELECT uid FROM job WHERE state = 2")[0]["uid"] == body.name.split("/")[3]
    assert venue.cycle.venue.readings == 1


def test_what_must_stop_for_safety_stops_though_no_runner_is_connected(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    venue.run(venue.submit(job(1)))
    request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall")
    request.closure.end_time.FromNanoseconds(venue.clock.now_ns() + 3600 * 10**9)
    request.closure.stop_running = True
    venue.run(timetable.close(request, "hall"))
    venue.runner_ready = False
    venue.writer._run_cycle()

    assert [row["preempt_ns"] for row in venue.rows("SELECT preempt_ns FROM attempt")] == [venue.clock.now_ns()]
    assert len(venue.rows("SELECT 1 FROM lease")) == 1


def test_decisions_are_kept_as_changes_and_those_they_build_on_are_kept_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 decisions the latest 16 can be made again, though most are told by what has changed."""
    monkeypatch.setattr(recording, "CHANGES_MAX", 3)
    venue = small(tmp_path / "db")
    venue.cycle._recorder = recording.Recorder(kept=16)
    tokens = []
    for _ in range(40):
        body = venue.run(venue.submit(job(1)))
        venue.writer._run_cycle()
        tokens.append(venue.rows("SELECT token FROM decision ORDER BY id DESC")[0]["token"])
        venue.run(ending.cancel("acme", body.name.split("/")[3], ""))
        for row in venue.rows("SELECT * FROM attempt WHERE state IN (1, 2)"):
            venue.run(lambda tx, row=row: ending.end_attempt(tx, row, Step.CANCELLED, failure=ending.made_room()))
        for row in venue.rows("SELECT id, epoch FROM unit"):
            venue.status(row["id"], safe_epoch=row["epoch"], motion=1)

    assert len(set(tokens)) == 40
    marks = [bytes(row[0]) for row in venue.rows("SELECT substr(state, 1, 1) FROM decision ORDER BY id DESC")]
    assert b"".join(marks).count(b"+") >= len(marks) // 2
    assert max(map(len, b"".join(marks).split(b"x"))) <= 3
    assert 16 <= len(marks) <= 16 + 2 * 3 + 1
    assert all(decide_again(venue.path, token).same for token in tokens[-16:])
    assert decide_again(venue.path, tokens[-2][:12]).recorded.token == tokens[-2]
    for token in tokens[:-16]:
        with pytest.raises(BadTrace):
            decide_again(venue.path, token)


def test_changes_without_what_they_build_on_are_not_told_as_a_decision(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    for _ in range(2):
        venue.run(venue.submit(job(1)))
        venue.writer._run_cycle()
    token = venue.rows("SELECT token FROM decision ORDER BY id DESC")[0]["token"]
    assert decide_again(venue.path, token).same
    venue.run(lambda tx: tx.db.execute("DELETE FROM decision WHERE id = 1"))

    with pytest.raises(BadTrace):
        decide_again(venue.path, token)


CHANGES = [
    "INSERT INTO used_mean VALUES ('rival', 1700000000000000000, 0.5, 0.9, 0.0)",
    "UPDATE job SET priority = 7",
    "UPDATE job SET deadline_ns = 1800000000000000000 WHERE state = 1",
    "UPDATE job SET not_before_ns = 1800000000000000000 WHERE state = 1",
    "UPDATE lease SET end_by_ns = end_by_ns + 1000",
    "UPDATE lease SET seats = 1, chargers = 1",
    "UPDATE attempt SET safe_ns = grant_ns + 5",
    "UPDATE unit SET zone = 'north'",
    "UPDATE unit SET fault = 'elbow' WHERE id = 'arm-1'",
    "UPDATE unit SET robot_model = 'other' WHERE id = 'arm-2'",
    "UPDATE body SET calibrated_ns = 1700000100000000000",
    "UPDATE body SET health = 6",
    "INSERT INTO unit_order (unit, action, body) VALUES ('arm-3', 'charge', x'')",
    "UPDATE unit_order SET done_ns = 5",
    "UPDATE unit_order SET done_ns = NULL",
    "DELETE FROM unit_order",
    "UPDATE body SET plugged = 1",
    "INSERT INTO unit (id, robot_model, online) VALUES ('new', 'own_arm', 1)",
    "INSERT INTO sim_slot VALUES ('s-9', 'r')",
    "DELETE FROM sim_slot WHERE id = 'r-1'",
    "INSERT OR REPLACE INTO cell SELECT id, '', 'walking', sector, 1, 0, 0, 0, 1, 1, '' FROM cell",
    "UPDATE cell SET zone = 'south'",
    "DELETE FROM cell WHERE id NOT IN (SELECT cell FROM lease_cell)",
    "UPDATE used_mean SET unit = unit + 5",
    "DELETE FROM used_mean",
    "INSERT INTO target VALUES ('rival', 3.0, 0)",
    "UPDATE target SET factor = 2.0",
    "DELETE FROM target",
    "UPDATE party SET guarantee_units = 2, limit_slots = 1 WHERE id = 'acme'",
    "UPDATE party SET starts_per_hour = 1 WHERE id = 'acme'",
    "UPDATE venue SET seats = 5, chargers = 3",
    "INSERT OR REPLACE INTO zone VALUES ('south', 1)",
    "UPDATE calendar_window SET stop_running = 1",
    "UPDATE venue SET time_zone = 'Asia/Shanghai'",
]


def test_every_change_of_a_row_is_seen_whoever_makes_it(tmp_path: Path) -> None:
    """Also those that no command makes today, one by one on a venue where jobs run and wait."""
    hours = (datetime(2023, 1, 1, 8), datetime(2023, 1, 2, 4))
    opening = [{"start": hours[0], "end": hours[1], "rrule": "FREQ=DAILY"}]
    cells = [{"id": "bench", "scenario": "assembly", "zone": "south"}, {"id": "desk", "scenario": "assembly"}]
    zones = [{"id": "north"}, {"id": "south"}]
    venue = small(tmp_path / "db", cell=cells, zone=zones, opening=opening)
    for body in (claim(1, 1, cell={"scenario": "assembly"}), claim(1), claim(2), claim(0, 2), claim(9)):
        venue.attempted(venue.submit(job(claim=body)))
    venue.writer._run_cycle()
    assert len(venue.rows("SELECT 1 FROM lease_cell")) == 1
    venue.same()
    for change in CHANGES:
        venue.run(lambda tx, change=change: tx.db.execute(change))
        venue.same()
    # At first, and for the five changes of the venue's rules.
    assert venue.cycle.venue.readings == 1 + 5
