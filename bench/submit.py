"""From a vendor's submit call to the first torque of a robot, and durable submissions per second.

`first_torque_ms_*`: a whole venue on loopback, one idle emulated arm, jobs one after the other; the time from before the
submit call to the first non-zero torque that the control loop puts out. `unary_per_s`: one scheduler, 32 concurrent
callers, every job on the disk before it is acknowledged. Peers in the same run: a gRPC server whose handler does
nothing, and single commits of one row to SQLite with synchronous=FULL.
"""

import asyncio
import contextlib
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from palaestra import AsyncClient, Client, jobs
from palaestra.v1 import job_pb2, venue_pb2
from venue.profile import Profile
from venue.supervisor import Supervisor

JOBS = 20
CALLERS = 32
SECONDS = 4.0
VENUE = """
[venue]
id = "bench"
name = "measurement"
width_m = 6.0
depth_m = 4.0
[ports]
scheduler = 0
api = 0
[runner]
sim_slots = 1
warm_workers = 3
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


def run() -> dict[str, Any]:
    """Return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "venue.toml"
        path.write_text(VENUE)
        times_ms = _first_torques(path, Path(folder) / "venue")
        ours, batched = _unary(path, Path(folder) / "alone")
        empty = asyncio.run(_empty_handler())
        commits = _commits(Path(folder) / "peer.db")
    times_ms.sort()
    return {
        "first_torque_ms_p50": round(statistics.median(times_ms), 1),
        "first_torque_ms_p95": round(times_ms[min(len(times_ms) - 1, int(0.95 * len(times_ms)))], 1),
        "first_torque_samples": len(times_ms),
        "unary_per_s": round(ours),
        "batch100_jobs_per_s": round(batched),
        "peers": {"empty_grpc_handler_per_s": round(empty), "sqlite_full_single_commits_per_s": round(commits)},
        "ratio_to_empty_handler": round(ours / empty, 2),
    }


def _first_torques(venue: Path, data: Path) -> list[float]:
    supervisor = Supervisor(Profile.load(venue), data)
    try:
        supervisor.start()
        times_ms = []
        with Client(supervisor.scheduler_address, supervisor.token("vendor-acme")) as client:
            for _ in range(JOBS + 1):
                job = jobs.collect(motion="sway", episodes=1, episode_s=0.2, units=[jobs.unit(robot_class="arm")])
                # The arm of the last job brakes for a second before it may be given away again.
                while next(client.units()).state != venue_pb2.UNIT_STATE_IDLE:
                    time.sleep(0.05)
                asked_ns = time.time_ns()
                done = client.wait(client.submit(job).name, timeout_s=60.0)
                if done.state != job_pb2.JOB_STATE_SUCCEEDED or len(done.attempts) != 1:
                    raise SystemExit(f"a job of the measurement failed: {done.failure}")
                times_ms.append((done.result.first_torque_unix_ns - asked_ns) / 1e6)
        # The first job loads the robot's model into the worker.
        return times_ms[1:]
    finally:
        supervisor.stop()


def _unary(venue: Path, data: Path) -> tuple[float, float]:
    data.mkdir()
    command = [sys.executable, "-m", "scheduler", "--venue", str(venue), "--data", str(data), "--listen", "127.0.0.1:0"]
    with _process(command):
        address = _appears(data / "scheduler.address")
        token = (data / "tokens" / "vendor-acme.token").read_text().strip()
        return asyncio.run(_submit_for(address, token, SECONDS)), _batches(address, token)


async def _submit_for(address: str, token: str, seconds: float) -> float:
    """Return acknowledged submissions per second of concurrent callers."""
    job = jobs.collect(motion="sway", units=[jobs.unit(robot_model="own_arm")])
    count = 0
    async with AsyncClient(address, token) as client:
        await client.submit(job)
        begin_s = time.monotonic()

        async def caller() -> None:
            nonlocal count
            while time.monotonic() - begin_s < seconds:
                await client.submit(job)
                count += 1

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        return count / (time.monotonic() - begin_s)


def _batches(address: str, token: str) -> float:
    job = jobs.collect(motion="sway", units=[jobs.unit(robot_model="own_arm")])
    with Client(address, token) as client:
        begin_s = time.monotonic()
        for _ in range(20):
            client.submit_many([job] * 100)
        return 2000 / (time.monotonic() - begin_s)


async def _empty_handler() -> float:
    """Return calls per second of a server that only answers."""

    async def handle(request: bytes, context: Any) -> bytes:
        return b""

    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("peer.Peer", {"Call": grpc.unary_unary_rpc_method_handler(handle)})
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    count = 0
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        call: Callable[..., Any] = channel.unary_unary("/peer.Peer/Call")
        begin_s = time.monotonic()

        async def caller() -> None:
            nonlocal count
            while time.monotonic() - begin_s < SECONDS / 2:
                await call(b"x" * 120, timeout=5.0)
                count += 1

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
        rate = count / (time.monotonic() - begin_s)
    await server.stop(None)
    return rate


def _commits(path: Path) -> float:
    """Return rows per second, each committed alone and synced."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE row (id INTEGER PRIMARY KEY, body BLOB)")
    body = os.urandom(200)
    begin_s, count = time.monotonic(), 0
    while time.monotonic() - begin_s < SECONDS / 2:
        db.execute("INSERT INTO row (body) VALUES (?)", (body,))
        count += 1
    rate = count / (time.monotonic() - begin_s)
    db.close()
    return rate


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[None]:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.terminate()
        child.wait(10)


def _appears(path: Path) -> str:
    deadline_s = time.monotonic() + 20
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise SystemExit(f"{path} did not appear")
        time.sleep(0.05)
    return path.read_text().strip()
