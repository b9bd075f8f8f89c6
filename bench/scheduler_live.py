"""What a cycle of a live venue costs, database and all, by units and queue: what is kept up against what is read anew.

A writer's cycle on SQLite in a temporary folder, its commit included. `cycle_ms_*`: as many leases have ended and jobs
come in as `changes` says; their rows are read, a decision is made and recorded, and what it grants is written down.
`look_ms_p50`: of that, what keeping the standing up takes. `quiet_ms_p50`: the next cycle, in which nothing new has
happened but what the one before has granted. `anew_ms`: what reading the whole state and indexing it takes, as every
cycle would otherwise; `start_s`: the first cycle, which has to, and fills the empty venue. `*_cpu_ms`: the same in
processor time of the writer's thread, without waits for the disk and for whoever else uses the machine. The garbage
collector is off meanwhile.
"""

import gc
import random
import sqlite3
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration

from palaestra.v1 import claim_pb2, job_pb2
from scheduler import database, snapshot
from scheduler.commands import granting
from scheduler.standing import Standing
from scheduler.state import Config
from scheduler.writer import Transaction, Writer

SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
MODELS, ZONES = 24, 10
ROUNDS = 9
LENGTHS_S = (300, 600, 900, 1200, 1800, 2700, 3600, 7200)


@dataclass(frozen=True)
class Size:
    """What a venue is measured with."""

    units: int
    vendors: int
    jobs: int
    changes: int


SIZES = (Size(300, 30, 1_000, 20), Size(3_000, 300, 10_000, 100), Size(10_000, 1_000, 100_000, 100))


class Time:
    """What a block takes, in milliseconds: by the clock, and of the processor."""

    def __enter__(self) -> "Time":
        self._started = time.perf_counter(), time.thread_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.ms = 1000 * (time.perf_counter() - self._started[0])
        self.cpu_ms = 1000 * (time.thread_time() - self._started[1])


class Venue:
    """A database under load, with its writer."""

    def __init__(self, path: Path, size: Size) -> None:
        self.size = size
        self.now_ns = NOW_NS
        self._random = random.Random(size.units)
        self._next_job = 0
        self._specs: dict[int, bytes] = {}
        self.db = database.open_writer(path)
        self._make()
        self.cycle = granting.Cycle(self.db, Config(), lease_ttl_s=60.0)
        self._writer = Writer(
            self.db, now_ns=lambda: self.now_ns, cycle=self._decide, committed=lambda _: None, broken=lambda _: None
        )

    def look(self) -> "Time":
        """Only follow what has changed, in a transaction of its own; return what it took."""
        with Time() as time_taken:
            self.db.execute("BEGIN IMMEDIATE")
            self.cycle.venue.look(self.now_ns, runner_ready=True)
            self.db.execute("COMMIT")
        return time_taken

    def decide(self) -> "Time":
        """Run one cycle; return what it took."""
        self.now_ns += SECOND_NS
        with Time() as time_taken:
            self._writer._run_cycle()
        return time_taken

    def change(self) -> None:
        """Let leases end and jobs come."""
        db = self.db
        leases = [row[0] for row in db.execute("SELECT id FROM lease WHERE state = 1")]
        ending = [(lease,) for lease in self._random.sample(leases, min(self.size.changes, len(leases)))]
        db.execute("BEGIN IMMEDIATE")
        db.executemany("UPDATE attempt SET state = 3 WHERE lease_id = ?", ending)
        db.executemany("UPDATE job SET state = 5 WHERE id = (SELECT job_id FROM lease WHERE id = ?)", ending)
        for table in ("lease_unit", "lease_slot", "lease_cell"):
            db.executemany(f"UPDATE {table} SET free_ns = {self.now_ns} WHERE lease_id = ?", ending)
        db.executemany(
            "UPDATE unit SET safe_epoch = epoch WHERE id IN (SELECT unit FROM lease_unit WHERE lease_id = ?)", ending
        )
        db.executemany(f"UPDATE lease SET state = 4, end_ns = {self.now_ns} WHERE id = ?", ending)
        self._submit(len(ending))
        db.execute("COMMIT")

    def anew(self) -> "Time":
        """Read and index everything, as if nothing were kept; return what that takes."""
        with Time() as time_taken:
            Standing.of(snapshot.load(self.db, self.now_ns, runner_ready=True, look_ahead=False))
        return time_taken

    def _decide(self, tx: Transaction) -> None:
        self.cycle.command(runner_ready=True)(tx)

    def _make(self) -> None:
        db, size = self.db, self.size
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO venue (id, display_name, width_m, depth_m) VALUES ('hall', 'hall', 1, 1)")
        for n in range(size.vendors):
            db.execute("INSERT INTO vendor VALUES (?, '', 1.0)", (f"v-{n}",))
            db.execute("INSERT INTO party (id, vendor, leaf, weight) VALUES (?, ?, 1, 1.0)", (f"v-{n}", f"v-{n}"))
        for n in range(size.units):
            db.execute(
                "INSERT INTO unit (id, robot_model, robot_class, zone, online) VALUES (?, ?, 'arm', ?, 1)",
                (f"u-{n:05}", f"m-{n % MODELS}", f"z-{n // MODELS % ZONES}"),
            )
        db.execute("UPDATE body SET health = 1")
        self._submit(size.jobs)
        db.execute("COMMIT")

    def _submit(self, count: int) -> None:
        choose = self._random
        rows = []
        for _ in range(count):
            self._next_job += 1
            vendor = f"v-{choose.randrange(self.size.vendors)}"
            spec = self._spec(choose.randrange(400))
            create_ns = self.now_ns - choose.randrange(7200) * SECOND_NS
            rows.append((f"j-{self._next_job}", vendor, vendor, spec, create_ns, choose.choice((0, 0, 0, 1))))
        self.db.executemany(
            """
            INSERT INTO job (uid, vendor, leaf, state, spec, create_ns, priority) VALUES (?, ?, ?, 1, ?, ?, ?)
            """,
            rows,
        )

    def _spec(self, shape: int) -> bytes:
        """Return one of 400 gangs of one to eight units."""
        if shape not in self._specs:
            choose = random.Random(shape)
            requests = [
                claim_pb2.UnitRequest(
                    selector=claim_pb2.UnitSelector(robot_model=f"m-{choose.randrange(MODELS)}"),
                    count=choose.choice((1, 1, 1, 2, 2, 3, 4)),
                )
                for _ in range(choose.choice((1, 1, 2)))
            ]
            claim = claim_pb2.Claim(units=requests, duration=Duration(seconds=choose.choice(LENGTHS_S)))
            self._specs[shape] = job_pb2.Job(claim=claim).SerializeToString()
        return self._specs[shape]


def measure(size: Size, folder: Path) -> dict[str, Any]:
    """Return the figures of one size."""
    venue = Venue(folder / f"{size.units}.sqlite", size)
    start = venue.decide()
    venue.decide()
    times: dict[str, list[Time]] = {"look": [], "rest": [], "quiet": []}
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            venue.change()
            times["look"].append(venue.look())
            times["rest"].append(venue.decide())
            times["quiet"].append(venue.decide())
        anew = venue.anew()
    finally:
        gc.enable()
    leases = venue.db.execute("SELECT count(*) FROM lease WHERE state = 1").fetchone()[0]
    assert venue.cycle.venue.readings == 1, "it was read anew in between"
    venue.db.close()
    cycles = [
        (look.ms + rest.ms, look.cpu_ms + rest.cpu_ms) for look, rest in zip(times["look"], times["rest"], strict=True)
    ]
    return {
        "units": size.units,
        "vendors": size.vendors,
        "queued": size.jobs,
        "leases": leases,
        "changes": size.changes,
        "cycle_ms_p50": round(statistics.median(ms for ms, _ in cycles), 1),
        "cycle_ms_max": round(max(ms for ms, _ in cycles), 1),
        "cycle_cpu_ms_p50": round(statistics.median(cpu_ms for _, cpu_ms in cycles), 1),
        "look_ms_p50": round(statistics.median(one.ms for one in times["look"]), 1),
        "look_cpu_ms_p50": round(statistics.median(one.cpu_ms for one in times["look"]), 1),
        "quiet_ms_p50": round(statistics.median(one.ms for one in times["quiet"]), 1),
        "quiet_cpu_ms_p50": round(statistics.median(one.cpu_ms for one in times["quiet"]), 1),
        "anew_ms": round(anew.ms, 1),
        "anew_cpu_ms": round(anew.cpu_ms, 1),
        "start_s": round(start.ms / 1000, 2),
    }


def run() -> dict[str, Any]:
    """Return the figures of all sizes as `rows`, and those of the largest by themselves."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [measure(size, Path(folder)) for size in SIZES]
    largest = rows[-1]
    told = ("cycle_ms_p50", "cycle_cpu_ms_p50", "look_cpu_ms_p50", "anew_cpu_ms")
    return {"sqlite": sqlite3.sqlite_version, **{key: largest[key] for key in told}, "rows": rows}
