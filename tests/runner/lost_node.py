"""A Ray cluster of two nodes on this machine, of which the second falls silent: a program, for Ray is a process's own.

Prints how the work on that node ended, and after how long. What it starts it ends, by process id.
"""

import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from runner.errors import WorkerLost
from runner.pool import Pool, start_ray
from runner.settings import Settings


class Sleeper:
    """A worker whose work takes for ever."""

    def __init__(self, settings: Settings) -> None:
        pass

    def ready(self) -> int:
        return os.getpid()

    def run(self, assignment: bytes, instance: str) -> bytes:
        time.sleep(3600.0)
        return b""


async def lost(pool: Pool, node: Any, how: signal.Signals) -> tuple[float, str]:
    """Return how long after the node was lost its work was, and what for."""
    worker = await pool.take()
    pid = await worker.ready.remote()
    work = asyncio.create_task(pool.run(worker, b"", "r/one"))
    # A question that is answered after the work was sent: it has begun.
    await worker.ready.remote()
    # As a machine that is gone without a word: nobody closes a connection. Or one whose raylet dies.
    raylet = [one.process.pid for kind, ones in node.all_processes.items() if kind == "raylet" for one in ones]
    victims = [*raylet, pid] if how is signal.SIGSTOP else raylet
    for victim in victims:
        os.kill(victim, how)
    started_s = time.monotonic()
    try:
        await work
    except WorkerLost as error:
        return time.monotonic() - started_s, str(error)
    finally:
        if how is signal.SIGSTOP:
            for victim in victims:
                os.kill(victim, signal.SIGCONT)
    return time.monotonic() - started_s, "it ended by itself"


def main() -> None:
    how = signal.Signals[sys.argv[1]]
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as folder:
        # Where Ray notes the cluster's address; else it is a folder that only a machine with another Ray has.
        os.environ["RAY_TMPDIR"] = folder
        (Path(folder) / "ray").mkdir()
        options: dict[str, Any] = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 80 * 1024 * 1024}
        cluster = Cluster(initialize_head=True, head_node_args={**options, "temp_dir": folder})
        try:
            node = cluster.add_node(**{k: v for k, v in options.items() if k != "include_dashboard"})
            settings = Settings("r", "127.0.0.1:1", "", Path(folder) / "objects", Path(folder) / "spool",
                                warm_workers=0, ray_address=cluster.address)  # fmt: skip
            start_ray(settings)
            pool = Pool(settings)
            there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
            pool._actor = ray.remote(num_cpus=0, max_concurrency=2, max_restarts=0)(Sleeper).options(
                scheduling_strategy=there
            )
            after_s, told = asyncio.run(lost(pool, node, how))
            print(f"lost after {after_s:.1f} s: {told}", flush=True)
            ray.shutdown()
        finally:
            cluster.shutdown()


if __name__ == "__main__":
    main()
