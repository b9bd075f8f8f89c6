"""Servers to be measured, each in a process of its own: a scheduler, and a gRPC server whose handler does nothing."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 60.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Kept out of the scheduler's own process so that what is left is the least that a call costs in Python.
EMPTY = """
import asyncio, grpc, sys

async def main():
    async def handle(request, context):
        return request
    server = grpc.aio.server()
    methods = {"Call": grpc.unary_unary_rpc_method_handler(handle)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("peer.Peer", methods),))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()

try:
    import uvloop
    uvloop.install()
except ImportError:
    pass
asyncio.run(main())
"""


@dataclass(frozen=True)
class Served:
    """A server that runs."""

    process: int
    address: str
    data: Path

    def token(self, name: str) -> str:
        """Return one of the scheduler's own tokens, such as "runner" or "vendor-acme"."""
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def cpu_s(self) -> float:
        """Return what the process has used of the processors [s]."""
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def resident_mb(self) -> float:
        """Return the memory that the process holds [MB]."""
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


@contextlib.contextmanager
def scheduler(venue: str, data: Path) -> Iterator[Served]:
    """Run the scheduler of a venue file's text on a folder; what it says goes to a file there."""
    data.mkdir(exist_ok=True)
    path = data / "venue.toml"
    path.write_text(venue)
    told = data / "scheduler.address"
    told.unlink(missing_ok=True)
    command = [sys.executable, "-m", "scheduler", "--venue", str(path), "--data", str(data), "--listen", "127.0.0.1:0"]
    with (data / "log").open("w") as log, _running(subprocess.Popen(command, stdout=log, stderr=log)) as child:
        deadline_s = time.monotonic() + PATIENCE_S
        while not told.exists():
            if child.poll() is not None or time.monotonic() > deadline_s:
                raise SystemExit(f"the scheduler does not come up: {(data / 'log').read_text()[-500:]}")
            time.sleep(0.05)
        yield Served(child.pid, told.read_text().strip(), data)


@contextlib.contextmanager
def empty() -> Iterator[Served]:
    """Run a server whose one method "peer.Peer/Call" answers what it is sent."""
    with _running(subprocess.Popen([sys.executable, "-c", EMPTY], stdout=subprocess.PIPE)) as child:
        assert child.stdout is not None
        yield Served(child.pid, f"127.0.0.1:{int(child.stdout.readline())}", Path())


@contextlib.contextmanager
def _running(child: "subprocess.Popen[bytes]") -> Iterator["subprocess.Popen[bytes]"]:
    try:
        yield child
    finally:
        child.terminate()
        child.wait(PATIENCE_S)
