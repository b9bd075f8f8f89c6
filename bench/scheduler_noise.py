"""What one vendor feels of another that calls ten times as often as it may.

Two vendors with a rate of `RATE_PER_S` calls a second each submit jobs at a steady rate: one at eight tenths of it,
the other at ten times. In turns the first is alone and beside the second. `quiet_ms_p99` and `beside_ms_p99`: its calls
from the time they were due, medians of the turns; `p99_ratio`: median of the turns' ratios. `refused_share`: of the
second's calls; nothing of the first's is refused.
"""

import math
import selectors
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.scheduler_submit import SUBMIT, VENUE, submissions
from bench.served import Served, scheduler
from bench.wire import Connection

RATE_PER_S = 100
NOISE = 10
TURNS = 5
SECONDS = 2.0
TWO_VENDORS = VENUE.replace(
    "calls_per_s = 1000000\ncalls_under_way_max = 1000000\n", f"calls_per_s = {RATE_PER_S}\ncalls_burst_s = 0.5\n"
).replace("[[host]]", '[[vendor]]\nid = "rival"\n[[host]]')


@dataclass
class Steady:
    """A vendor that submits at a steady rate whatever comes of it."""

    connection: Connection
    requests: Iterator[bytes]
    per_s: float
    times_s: list[float] = field(default_factory=list)
    refusals: list[bytes] = field(default_factory=list)
    sent: int = 0

    def send(self, begun_s: float, until_s: float) -> None:
        """Send what is due."""
        while (due_s := begun_s + self.sent / self.per_s) <= min(time.perf_counter(), until_s):
            self.connection.call(SUBMIT, next(self.requests), self._ended(due_s), None, self.refusals.append)
            self.sent += 1
        self.connection.send()

    def _ended(self, due_s: float) -> Callable[[], None]:
        return lambda: self.times_s.append(time.perf_counter() - due_s)

    @property
    def p99_ms(self) -> float:
        times_s = sorted(self.times_s)
        return 1e3 * times_s[math.ceil(0.99 * len(times_s)) - 1]


def run() -> dict[str, Any]:
    """Return the figures."""
    quiet_ms, beside_ms, refused, sent = [], [], 0, 0
    with tempfile.TemporaryDirectory() as folder, scheduler(TWO_VENDORS, Path(folder) / "data") as served:
        turn(served, SECONDS / 2, noisy=True)
        for _ in range(TURNS):
            quiet, _ = turn(served, SECONDS, noisy=False)
            beside, noise = turn(served, SECONDS, noisy=True)
            if quiet.refusals or beside.refusals:
                raise SystemExit("a vendor within its rate was refused")
            quiet_ms.append(quiet.p99_ms)
            beside_ms.append(beside.p99_ms)
            refused, sent = refused + len(noise.refusals), sent + noise.sent
    return {
        "quiet_ms_p99": round(statistics.median(quiet_ms), 1),
        "beside_ms_p99": round(statistics.median(beside_ms), 1),
        "p99_ratio": round(statistics.median(b / q for q, b in zip(quiet_ms, beside_ms, strict=True)), 2),
        "refused_share": round(refused / sent, 2),
    }


def turn(served: Served, seconds: float, *, noisy: bool) -> tuple[Steady, Steady]:
    """Return what the vendor within its rate and the other one met with, after all calls have ended."""
    vendors = [
        Steady(Connection(served.address, served.token(f"vendor-{name}")), submissions(name), per_s)
        for name, per_s in (("acme", 0.8 * RATE_PER_S), ("rival", float(NOISE * RATE_PER_S)))
    ]
    begun_s = time.perf_counter()
    until_s = begun_s + seconds
    with selectors.DefaultSelector() as selector:
        for vendor in vendors:
            selector.register(vendor.connection, selectors.EVENT_READ)
        while time.perf_counter() < until_s or any(vendor.connection.under_way for vendor in vendors):
            for vendor in vendors[: 1 + noisy]:
                vendor.send(begun_s, until_s)
            vendors[1].connection.send()
            for key, _ in selector.select(0.001):
                key.fileobj.receive()  # type: ignore[union-attr]
    for vendor in vendors:
        vendor.connection.close()
    return vendors[0], vendors[1]
