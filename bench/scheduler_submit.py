"""Durable submissions through the whole service, by calls and in batches, and from a submission to its grant.

One scheduler in a process of its own, with its database on this machine's disk; the caller is bare HTTP/2
(`bench.wire`), so that what is measured is the server. `unary_per_s`: one job a call, 64 calls under way;
`batch100_jobs_per_s`: 100 jobs a call, 4 under way; every job has a seed and a request id of its own.
`submit_to_grant_ms_*`: 500 submissions a second, each for a sim slot that is free, from the time at which a
submission was due to the arrival of its grant's event at a watcher. `submit_to_grant_stages_ms`: of that, medians until
the transaction that enters the job (the caller, gRPC, the gate, the writer's queue), from there to the one that grants
it (the commit, other work of the writer, the rest between cycles), and from there to the watcher (deciding, writing,
commit, delivery). `submit_to_grant_cpu_us` and `_caller_cpu_us`: processor time of the server and of this process for
a job, watchers and all: at 500 jobs a second, 2,000 µs of the server are about the whole of its interpreter. Peer in
the same run, in turns: a gRPC server whose handler does nothing (`empty_*`). `*_cpu_us`: processor time of the server's
process for a call or a job, which depends less on who else uses the machine. `by_in_flight` and `by_batch`: the same
over the number of calls under way, and of jobs in a call.
"""

import itertools
import math
import selectors
import statistics
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.served import Served, empty, scheduler
from bench.wire import Connection, closed_loop
from palaestra import jobs
from palaestra.v1 import job_pb2, job_service_pb2, runner_service_pb2, venue_service_pb2

SECONDS = 1.5
ROUNDS = 5
CONNECTIONS = 4
IN_FLIGHT = 16
BATCH = 100
BATCHES_IN_FLIGHT = 1
RATE_PER_S = 500
GRANT_S = 6.0
WARM_S = 2.0
SLOTS = 6_000
STAGES = ("to_entry", "to_decision", "to_watcher")
# Seeds from here on have one length in a message.
SEED_MIN = 1 << 24
VENUE = """
[venue]
id = "bench"
name = "measurement"
width_m = 6.0
depth_m = 4.0
[scheduler]
queued_jobs_max = 10000000
calls_per_s = 1000000
calls_under_way_max = 1000000
[runner]
sim_slots = 1
[[vendor]]
id = "acme"
[[host]]
id = "floor"
[[unit]]
id = "arm-1"
robot = "own_arm"
host = "floor"
x_m = 3.0
y_m = 2.0
"""
SUBMIT = "palaestra.v1.JobService/SubmitJob"
BATCH_SUBMIT = "palaestra.v1.JobService/BatchSubmitJobs"
EMPTY = "peer.Peer/Call"


def run() -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        found = _rates(Path(folder) / "rates")
        found |= _grants(Path(folder) / "grants")
    return found


def _rates(data: Path) -> dict[str, Any]:
    per_s: dict[str, list[float]] = {"empty": [], "unary": [], "batch": []}
    cpu_us: dict[str, list[float]] = {"empty": [], "unary": [], "batch": []}
    with scheduler(VENUE, data) as ours, empty() as peer:
        token, unary, batches = ours.token("vendor-acme"), submissions(), batched(BATCH)
        turns: tuple[tuple[str, Served, str, Iterator[bytes], int, int], ...] = (
            ("empty", peer, EMPTY, itertools.repeat(next(unary)), IN_FLIGHT, 1),
            ("unary", ours, SUBMIT, unary, IN_FLIGHT, 1),
            ("batch", ours, BATCH_SUBMIT, batches, BATCHES_IN_FLIGHT, BATCH),
        )
        for number in range(ROUNDS + 1):
            for name, served, method, requests, in_flight, jobs_each in turns:
                rate, cost = measure(served, token, method, requests, in_flight, SECONDS if number else SECONDS / 3)
                # The first round warms everybody up.
                if number:
                    per_s[name].append(rate * jobs_each)
                    cpu_us[name].append(cost / jobs_each)
        by_in_flight = {
            CONNECTIONS * count: measure(ours, token, SUBMIT, unary, count, SECONDS / 2) for count in (1, 4, 16, 64)
        }
        by_batch = {
            count: measure(ours, token, BATCH_SUBMIT, batched(count), BATCHES_IN_FLIGHT, SECONDS / 2)
            for count in (1, 3, 10, 30, 100, 300, 1000)
        }
    ratios = [ours / peer for ours, peer in zip(per_s["unary"], per_s["empty"], strict=True)]
    return {
        "unary_per_s": round(statistics.median(per_s["unary"])),
        "batch100_jobs_per_s": round(statistics.median(per_s["batch"])),
        "empty_per_s": round(statistics.median(per_s["empty"])),
        "ratio_to_empty_handler": round(statistics.median(ratios), 2),
        "unary_cpu_us": round(statistics.median(cpu_us["unary"]), 1),
        "batch_cpu_us": round(statistics.median(cpu_us["batch"]), 1),
        "empty_cpu_us": round(statistics.median(cpu_us["empty"]), 1),
        "by_in_flight": {count: {"per_s": round(r), "cpu_us": round(c, 1)} for count, (r, c) in by_in_flight.items()},
        "by_batch": {
            count: {"jobs_per_s": round(r * count), "cpu_us": round(c / count, 1)} for count, (r, c) in by_batch.items()
        },
    }


def measure(
    served: Served, token: str, method: str, requests: Iterator[bytes], in_flight: int, seconds: float
) -> tuple[float, float]:
    """Return calls per second, with so many under way on each of a few connections, and what one takes there [µs]."""
    connections = [Connection(served.address, token) for _ in range(CONNECTIONS)]
    before_s = served.cpu_s()
    count, took_s, _ = closed_loop(connections, method, requests, in_flight, seconds)
    cost_us = 1e6 * (served.cpu_s() - before_s) / count
    for connection in connections:
        connection.close()
    return count / took_s, cost_us


def submissions(vendor: str = "acme", **claim: Any) -> Iterator[bytes]:
    """Yield requests to submit a job, each with a request id and a seed of its own."""
    chance = uuid.uuid4().int & ~((1 << 48) - 1)
    wanted = claim or {"units": [jobs.unit(robot_model="own_arm")]}
    job = jobs.collect(motion="sway", **wanted)
    job.collect.seed = SEED_MIN
    form = job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=job).SerializeToString()
    before, seed, after = form.partition(b"\x30" + _four(SEED_MIN))
    if not seed or seed in after:
        raise SystemExit("the seed's place in a request is not found")
    for number in itertools.count():
        request_id = str(uuid.UUID(int=chance | number)).encode()
        seed = b"\x30" + _four(SEED_MIN + number)
        # The field request_id: its number and type, its length, its characters.
        yield before + seed + after + b"\x1a\x24" + request_id


def _four(seed: int) -> bytes:
    """Return a number of 22 to 28 bits as a varint, which has four bytes then."""
    return bytes((seed & 0x7F | 0x80, seed >> 7 & 0x7F | 0x80, seed >> 14 & 0x7F | 0x80, seed >> 21))


def batched(count: int) -> Iterator[bytes]:
    """Yield requests to submit so many jobs together."""
    head, items = job_service_pb2.BatchSubmitJobsRequest(parent="vendors/acme").SerializeToString(), submissions()
    while True:
        parts = [head]
        for item in itertools.islice(items, count):
            length = len(item)
            # The field requests; its length as a varint of the fewest bytes, as every encoder writes it.
            size = bytes((length,)) if length < 0x80 else bytes((length & 0x7F | 0x80, length >> 7))
            parts += (b"\x12", size, item)
        yield b"".join(parts)


def _grants(data: Path) -> dict[str, Any]:
    """Return times from submission to grant at a steady rate."""
    venue = VENUE.replace("sim_slots = 1\n", f"sim_slots = {SLOTS}\n")
    with scheduler(venue, data) as ours:
        steady = Steady(ours)
        times_ms = steady.times_ms()
    times_ms.sort()
    return {
        "submit_to_grant_ms_p50": round(statistics.median(times_ms), 1),
        "submit_to_grant_ms_p99": round(times_ms[math.ceil(0.99 * len(times_ms)) - 1], 1),
        "submit_to_grant_samples": len(times_ms),
        "submit_to_grant_stages_ms": {name: round(statistics.median(ms), 1) for name, ms in steady.stages_ms.items()},
        "submit_to_grant_cpu_us": round(steady.server_us),
        "submit_to_grant_caller_cpu_us": round(steady.caller_us),
    }


class Steady:
    """A vendor that submits at a steady rate and watches what comes of it, and a runner with free slots.

    Attributes, once `times_ms` has been asked:
        stages_ms: How long each job was on its way to the transaction that entered it, to the one that granted it, and
            to the watcher.
        server_us, caller_us: Processor time for a job there and here.
    """

    def __init__(self, served: Served) -> None:
        self._served = served
        self._runner = Connection(served.address, served.token("runner"))
        self._watcher = Connection(served.address, served.token("vendor-acme"))
        self._vendor = Connection(served.address, served.token("vendor-acme"))
        self._slots_told = False
        # By the job's name: when it was due [s], and when its grant was known.
        self._due_s: dict[str, float] = {}
        self._granted_s: dict[str, float] = {}
        # What the wall clock showed in the transactions that entered and granted it [s].
        self._at_s: dict[tuple[str, str], float] = {}
        self.stages_ms: dict[str, list[float]] = {}
        self.server_us = self.caller_us = 0.0

    def times_ms(self) -> list[float]:
        """Return how long each submission took to its grant, without those of the beginning."""
        watch = runner_service_pb2.WatchAssignmentsRequest(runner="r", instance="r/1", sim_slots=SLOTS)
        method = "palaestra.v1.RunnerService/WatchAssignments"
        self._runner.call(method, watch.SerializeToString(), _never, self._assigned)
        events = venue_service_pb2.WatchEventsRequest().SerializeToString()
        self._watcher.call("palaestra.v1.VenueService/WatchEvents", events, _never, self._event)
        requests = submissions(sim_slots=1, robot_model="own_arm")
        with selectors.DefaultSelector() as selector:
            for connection in (self._runner, self._watcher, self._vendor):
                selector.register(connection, selectors.EVENT_READ)
            self._turn(selector, lambda: self._slots_told, 30.0)
            begun_s, sent = time.perf_counter() + 0.2, 0
            total = round((WARM_S + GRANT_S) * RATE_PER_S)
            server_s, caller_s = self._served.cpu_s(), time.process_time()
            while sent < total:
                due_s = begun_s + sent / RATE_PER_S
                if time.perf_counter() >= due_s:
                    self._vendor.call(SUBMIT, next(requests), _nothing, self._answer(due_s))
                    sent += 1
                else:
                    self._turn(selector, lambda: True, due_s - time.perf_counter())
            self._turn(selector, lambda: len(self._granted_s) >= total and len(self._due_s) >= total, 30.0)
        if self._granted_s.keys() != self._due_s.keys():
            raise SystemExit(f"{len(self._due_s)} jobs were submitted, {len(self._granted_s)} granted")
        self.server_us = 1e6 * (self._served.cpu_s() - server_s) / total
        self.caller_us = 1e6 * (time.process_time() - caller_s) / total
        warm_s = begun_s + WARM_S
        self._split(warm_s)
        return [1e3 * (self._granted_s[name] - due_s) for name, due_s in self._due_s.items() if due_s >= warm_s]

    def _split(self, warm_s: float) -> None:
        wall_s = time.time() - time.perf_counter()
        for name, due_s in self._due_s.items():
            if due_s >= warm_s:
                entered_s, granted_s = self._at_s["job.submitted", name], self._at_s["job.granted", name]
                points_s = (due_s + wall_s, entered_s, granted_s, self._granted_s[name] + wall_s)
                for stage, before_s, after_s in zip(STAGES, points_s[:-1], points_s[1:], strict=True):
                    self.stages_ms.setdefault(stage, []).append(1e3 * (after_s - before_s))

    def _turn(self, selector: selectors.BaseSelector, done: Callable[[], bool], patience_s: float) -> None:
        """Send and receive until something is done, one turn at least, or the patience is over."""
        until_s = time.perf_counter() + patience_s
        while True:
            for connection in (self._runner, self._watcher, self._vendor):
                connection.send()
            left_s = until_s - time.perf_counter()
            for key, _ in selector.select(max(0.0, left_s)):
                key.fileobj.receive()  # type: ignore[union-attr]
            if done() or left_s <= 0:
                return

    def _assigned(self, data: bytes) -> None:
        self._slots_told = True

    def _answer(self, due_s: float) -> Callable[[bytes], None]:
        def told(data: bytes) -> None:
            self._due_s[job_pb2.Job.FromString(data).name] = due_s

        return told

    def _event(self, data: bytes) -> None:
        now_s = time.perf_counter()
        for event in venue_service_pb2.WatchEventsResponse.FromString(data).events:
            if event.kind in ("job.submitted", "job.granted"):
                self._at_s[event.kind, event.resource] = event.time.seconds + event.time.nanos / 1e9
            if event.kind == "job.granted":
                self._granted_s[event.resource] = now_s


def _nothing() -> None:
    pass


def _never() -> None:
    raise SystemExit("a stream of the measurement ended")
