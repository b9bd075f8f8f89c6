"""The standing that the writer keeps up says the same as the one read anew, whatever has happened."""

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, ClassVar

import pytest

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    body_pb2,
    calendar_service_pb2,
    fleet_service_pb2,
    job_array_service_pb2,
    job_pb2,
    reservation_service_pb2,
    runner_service_pb2,
)
from scheduler import names
from scheduler.commands import (
    arrays,
    ending,
    fleet,
    reserving,
    running,
    targeting,
    tending,
    timetable,
)
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.health import Health
from scheduler.replay.database import decide_again
from scheduler.writer import Transaction
from tests.scheduler.site import TTL_S, job
from tests.scheduler.stepping import CLAIMS, FAILED, SUCCEEDED, UNITS, VENDORS, Venue, claim


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
        if self.venue.rows("SELECT 1 FROM unit WHERE online = 0"):
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
