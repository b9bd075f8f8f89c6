"""What 10,000 running leases cost the scheduler by their heartbeats, and what watchers cost it.

`leases` attempts run under one runner, which extends all their leases by one call every 1.5 s, as the runner does; its
stream of assignments is not open meanwhile. `heartbeat_percent_of_core`: processor time of the scheduler's process
for a beat over that period; `quiet_percent_of_core`: when nobody calls. `heartbeat_cpu_us`: for one lease.
`watchers` streams of events follow one vendor's submissions: `watched_events_per_s` are those that arrived,
`watch_cpu_us` is processor time for each, and `watcher_kb` the memory that a watcher took.
"""

import math
import selectors
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from bench.scheduler_submit import SUBMIT, VENUE, submissions
from bench.served import Served, scheduler
from bench.wire import Connection
from palaestra.v1 import runner_service_pb2, venue_service_pb2
from scheduler import database, names

LEASES = 10_000
PERIOD_S = 1.5
BEATS = 6
WATCHERS = 1_000
CONNECTIONS = 10
EVENTS = 40
BEAT = "palaestra.v1.RunnerService/HeartbeatAttempts"
WATCH = "palaestra.v1.VenueService/WatchEvents"
HOUR_NS = 3_600_000_000_000


def run(leases: int = LEASES, watchers: int = WATCHERS, beats: int = BEATS) -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        found = _heartbeats(Path(folder) / "beats", leases, beats)
        found |= _watchers(Path(folder) / "watch", watchers)
    return found


def _heartbeats(data: Path, leases: int, beats: int) -> dict[str, Any]:
    with scheduler(VENUE, data):
        pass
    attempts = _fill(data, leases)
    with scheduler(VENUE, data) as ours:
        runner = Connection(ours.address, ours.token("runner"))
        request = runner_service_pb2.HeartbeatAttemptsRequest(
            instance="r/1", attempts=[runner_service_pb2.AttemptBeat(attempt=name) for name in attempts]
        ).SerializeToString()
        stopped: list[int] = []

        def answer(data: bytes) -> None:
            stopped.append(len(runner_service_pb2.HeartbeatAttemptsResponse.FromString(data).stop))

        costs_s, times_s = [], []
        for _ in range(beats):
            before_s, begun_s = ours.cpu_s(), time.perf_counter()
            _call(runner, BEAT, request, answer)
            times_s.append(time.perf_counter() - begun_s)
            costs_s.append(ours.cpu_s() - before_s)
        before_s, begun_s = ours.cpu_s(), time.perf_counter()
        time.sleep(PERIOD_S)
        quiet = (ours.cpu_s() - before_s) / (time.perf_counter() - begun_s)
        if any(stopped):
            raise SystemExit(f"of {leases} leases {max(stopped)} were not extended")
    cost_s = statistics.median(costs_s)
    return {
        "leases": leases,
        "heartbeat_percent_of_core": round(100 * cost_s / PERIOD_S, 1),
        "quiet_percent_of_core": round(100 * quiet, 1),
        "heartbeat_cpu_us": round(1e6 * cost_s / leases, 1),
        "heartbeat_ms_p50": round(1e3 * statistics.median(times_s), 1),
    }


def _fill(data: Path, leases: int) -> list[str]:
    """Put running attempts into a stopped scheduler's database; return their names."""
    db, now_ns, attempts = database.open_writer(data / database.FILE), time.time_ns(), []
    spec = b""
    db.execute("BEGIN IMMEDIATE")
    for number in range(1, leases + 1):
        uid = f"{number:026d}"
        db.execute(
            "INSERT INTO job (id, uid, vendor, leaf, state, priority, spec, create_ns) VALUES (?, ?, ?, ?, 3, 0, ?, ?)",
            (number, uid, "acme", "acme", spec, now_ns),
        )
        db.execute(
            """
            INSERT INTO lease (id, uid, vendor, leaf, job_id, attempt, state, grant_ns, expire_ns, end_by_ns)
            VALUES (?, ?, 'acme', 'acme', ?, 1, 2, ?, ?, ?)
            """,
            (number, uid, number, now_ns, now_ns + HOUR_NS, now_ns + 2 * HOUR_NS),
        )
        db.execute("INSERT INTO sim_slot VALUES (?, 'r')", (f"r-{number}",))
        db.execute(
            "INSERT INTO lease_slot (lease_id, slot, grant_ns) VALUES (?, ?, ?)", (number, f"r-{number}", now_ns)
        )
        db.execute(
            """
            INSERT INTO attempt (job_id, number, state, lease_id, instance, grant_ns, start_ns, resources)
            VALUES (?, 1, 2, ?, 'r/1', ?, ?, '[]')
            """,
            (number, number, now_ns, now_ns),
        )
        attempts.append(names.attempt("acme", uid, 1))
    db.execute("COMMIT")
    db.close()
    return attempts


def _call(connection: Connection, method: str, request: bytes, on_message: Any) -> None:
    over: list[bool] = []
    connection.call(method, request, lambda: over.append(True), on_message)
    _until(lambda: bool(over), [connection])


def _until(done: Any, connections: list[Connection]) -> None:
    deadline_s = time.monotonic() + 60.0
    with selectors.DefaultSelector() as selector:
        for connection in connections:
            selector.register(connection, selectors.EVENT_READ)
        while not done():
            if time.monotonic() > deadline_s:
                raise SystemExit("the measurement does not come to its end")
            for connection in connections:
                connection.send()
            for key, _ in selector.select(0.1):
                key.fileobj.receive()  # type: ignore[union-attr]


def _watchers(data: Path, count: int) -> dict[str, Any]:
    with scheduler(VENUE, data) as ours:
        token = ours.token("vendor-acme")
        connections = [Connection(ours.address, token) for _ in range(CONNECTIONS)]
        request = venue_service_pb2.WatchEventsRequest(after_sequence=_latest(ours, token)).SerializeToString()
        arrived = [0] * count
        told = [False] * count
        before_mb = ours.resident_mb()

        def watcher(number: int) -> Any:
            def take(message: bytes) -> None:
                told[number] = True
                # Counted without parsing: a job's name stands once as the event's resource and once in the job.
                arrived[number] += message.count(b"job.submitted")

            return take

        for number in range(count):
            connections[number % CONNECTIONS].call(WATCH, request, _never, watcher(number))
        _until(lambda: all(told), connections)
        watcher_kb = 1e3 * (ours.resident_mb() - before_mb) / count
        vendor, requests = Connection(ours.address, token), submissions()
        before_s, begun_s = ours.cpu_s(), time.perf_counter()
        for _ in range(EVENTS):
            _call(vendor, SUBMIT, next(requests), None)
        _until(lambda: min(arrived) >= EVENTS, connections)
        took_s, cost_s = time.perf_counter() - begun_s, ours.cpu_s() - before_s
    delivered = sum(arrived)
    if delivered != EVENTS * count:
        raise SystemExit(f"{delivered} events arrived, not {EVENTS} at each of {count} watchers")
    return {
        "watchers": count,
        "watched_events_per_s": round(delivered / took_s),
        "watch_cpu_us": round(1e6 * cost_s / delivered, 1),
        "watcher_kb": math.ceil(watcher_kb),
    }


def _latest(served: Served, token: str) -> int:
    """Return the sequence number up to which events are told."""
    found: list[int] = []
    connection = Connection(served.address, token)
    connection.call(
        WATCH,
        venue_service_pb2.WatchEventsRequest().SerializeToString(),
        _never,
        lambda data: found.append(venue_service_pb2.WatchEventsResponse.FromString(data).sequence),
    )
    _until(lambda: bool(found), [connection])
    connection.close()
    return found[-1]


def _never() -> None:
    raise SystemExit("a stream of the measurement ended")
