"""What one decision costs, by units, queue, shapes and rules: a national ground on one core.

10,000 units in 240 classes, 1,000 vendors, 100,000 queued gangs of 400 shapes. `cold_fill_grants_per_s`: an empty venue
is filled, decision and book-keeping together. `cycle_ms_*`: 100 leases end, what they held is granted anew and as many
jobs come in; releases, decision, grants and submissions together. `rows` tells the same for other sizes, measured in
turn with the first; `ratio` is against it.

How fast the machine is just then, `python_loop_ns` tells: one turn of an empty loop, measured throughout, median.
`*_in_loops` are grant and cycle over it, all three in processor time: in them unlike machines can be compared, and one
with itself when it is shared with others.
"""

import gc
import random
import resource
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from scheduler.decide import decide
from scheduler.standing import Standing
from scheduler.state import (
    Amounts,
    Booking,
    Cell,
    CellRequest,
    Claim,
    Closure,
    Config,
    Grant,
    Job,
    Lease,
    State,
    Unit,
    UnitRequest,
    Unnamed,
    Vendor,
)

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "scheduler-cycle.png"
SECOND_NS = 1_000_000_000
NOW_NS = 1_800_000_000 * SECOND_NS
CYCLE_S = 5
RELEASES = 100
ROUNDS = 41
LOOP_TURNS = 200_000
MODELS, ZONES = 24, 10
CLASSES = ("humanoid", "quadruped", "arm", "torso", "base", "hand")
LENGTHS_S = (300.0, 600.0, 900.0, 1200.0, 1800.0, 2700.0, 3600.0, 7200.0)


@dataclass(frozen=True)
class Size:
    """What a ground is measured with."""

    name: str
    units: int = 10_000
    vendors: int = 1_000
    jobs: int = 100_000
    shapes: int = 400
    # Calendars of every zone and model, 50 bookings, guarantees that others have borrowed.
    rules: bool = False


BASE = Size("base")
COMPARED = (
    BASE,
    Size("5,000 shapes", shapes=5_000),
    Size("1,000,000 queued", jobs=1_000_000),
    Size("calendars, reservations, preemption", rules=True),
)
GROWTH = {
    "queue": [Size(f"{n:,} queued", jobs=n) for n in (1_000, 10_000, 300_000)],
    "units": [Size(f"{n:,} units", units=n) for n in (300, 1_000, 3_000, 30_000)],
    "shapes": [Size(f"{n:,} shapes", shapes=n) for n in (50, 1_500)],
}


class Spent(NamedTuple):
    """What it took, on the clock and of the processor, and what was granted."""

    wall_s: float
    cpu_s: float
    grants: int


class Ground:
    """A venue under load, in virtual time."""

    def __init__(self, size: Size) -> None:
        self.size = size
        self._random = random.Random(size.name)
        self._now_ns = NOW_NS
        self._config = Config(preempt=size.rules)
        self._shapes = [self._claim() for _ in range(size.shapes)]
        self._next_job = 1
        self._names = [f"v-{n:04}" for n in range(size.vendors)]
        # A few vendors have most of the work (Zipf).
        self._weights = [1 / (n + 1) ** 0.7 for n in range(size.vendors)]
        vendors = self._random.choices(self._names, self._weights, k=size.jobs)
        self._held: dict[int, Grant] = {}
        self.standing = Standing(self._state(tuple(self._job(vendor, 7200) for vendor in vendors)))

    def cold_fill(self) -> Spent:
        """Fill the empty venue."""
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        grants = decide(self.standing, self._now_ns, self._config).grants
        self._apply(grants)
        return Spent(time.perf_counter() - started_s, time.process_time() - started_cpu_s, len(grants))

    def cycle(self) -> Spent:
        """Let leases end and decide."""
        self._now_ns += CYCLE_S * SECOND_NS
        ending = self._random.sample(sorted(self._held), min(RELEASES, len(self._held)))
        coming = [
            self._job(vendor, 0) for vendor in self._random.choices(self._names, self._weights, k=len(ending))
        ]  # fmt: skip
        started_s, started_cpu_s = time.perf_counter(), time.process_time()
        for lease in ending:
            self.standing.end(lease, unnamed=self._held.pop(lease).unnamed)
        for job in coming:
            self.standing.submit(job)
        decisions = decide(self.standing, self._now_ns, self._config)
        self._apply(decisions.grants)
        return Spent(time.perf_counter() - started_s, time.process_time() - started_cpu_s, len(decisions.grants))

    def _apply(self, grants: tuple[Grant, ...]) -> None:
        now_ns, jobs = self._now_ns, self.standing.queue.jobs
        for grant in grants:
            end_ns = now_ns + int(jobs[grant.job].claim.duration_s * 1e9)
            lease = Lease(grant.job, grant.job, grant.vendor, now_ns, end_ns, grant.units, grant.unnamed, grant.cell,
                          safe_ns=now_ns)  # fmt: skip
            self.standing.start(grant, lease)
            self._held[grant.job] = grant

    def _job(self, vendor: str, age_max_s: int) -> Job:
        number = self._next_job
        self._next_job += 1
        create_ns = self._now_ns - self._random.randrange(age_max_s * SECOND_NS + 1)
        return Job(number, vendor, self._random.choice(self._shapes), self._random.choice((0, 0, 0, 1)), create_ns)

    def _claim(self) -> Claim:
        """Return a gang of 1 to 8 units in one to three requests, perhaps with slots and a cell."""
        choose = self._random
        requests = []
        for _ in range(choose.choice((1, 1, 1, 2, 2, 3))):
            kind = choose.random()
            model = choose.randrange(MODELS)
            zone = (("zone", f"z-{choose.randrange(ZONES)}"),) if choose.random() < 0.3 else ()
            count = choose.choice((1, 1, 1, 2, 2, 3, 4))
            if kind < 0.55:
                requests.append(UnitRequest(count, robot_model=f"m-{model:02}", labels=zone))
            elif kind < 0.8:
                requests.append(UnitRequest(count, robot_class=CLASSES[model % len(CLASSES)], labels=zone))
            else:
                requests.append(UnitRequest(count, maker=f"maker-{model % 12}", labels=zone))
        slots = choose.choice((0, 0, 0, 4, 16, 64))
        cell = CellRequest(scenario=f"s-{choose.randrange(16)}") if choose.random() < 0.2 else None
        length_s = choose.choice(LENGTHS_S) + (choose.randrange(600) if self.size.shapes > 1_000 else 0)
        return Claim(tuple(requests), slots, cell, length_s)

    def _state(self, jobs: tuple[Job, ...]) -> State:
        units = tuple(
            Unit(
                f"u-{n:05}",
                f"m-{n % MODELS:02}",
                CLASSES[n % MODELS % len(CLASSES)],
                f"maker-{n % MODELS % 12}",
                {"zone": f"z-{n // MODELS % ZONES}"},
                zone=f"z-{n // MODELS % ZONES}",
                wear_h=float(n % 97),
            )
            for n in range(self.size.units)
        )
        cells = tuple(Cell(f"c-{n:03}", f"s-{n % 16}", 1 + n % 4, zone=f"z-{n % ZONES}") for n in range(400))
        vendors = tuple(Vendor(name, 1.0 + n % 3) for n, name in enumerate(self._names))
        state = State(NOW_NS, units, (), cells, vendors, jobs, Unnamed(40_000))
        if not self.size.rules:
            return state
        guaranteed = tuple(
            replace(vendor, guarantee=Amounts(self.size.units // 100, 0, 0)) if n < 50 else vendor
            for n, vendor in enumerate(vendors)
        )
        closures = tuple(
            Closure(NOW_NS + (day * 24 + 8 + zone % 5) * 3600 * SECOND_NS,
                    NOW_NS + (day * 24 + 9 + zone % 5) * 3600 * SECOND_NS, zones=frozenset({f"z-{zone}"}))
            for zone in range(ZONES) for day in range(7)
        )  # fmt: skip
        bookings = tuple(
            Booking(f"b-{n:02}", self._names[n], Claim((UnitRequest(4, robot_model=f"m-{n % MODELS:02}"),)),
                    NOW_NS + (1 + n % 12) * 3600 * SECOND_NS, NOW_NS + (2 + n % 12) * 3600 * SECOND_NS)
            for n in range(50)
        )  # fmt: skip
        return replace(state, vendors=guaranteed, closures=closures, bookings=bookings)


def python_loop_ns() -> float:
    """Return the processor time of one turn of an empty Python loop, as it is now [ns]."""
    started_s = time.process_time()
    for _ in range(LOOP_TURNS):
        pass
    return (time.process_time() - started_s) / LOOP_TURNS * 1e9


def run() -> dict[str, Any]:
    """Measure, draw, and return the figures."""
    compared = list(_measured(COMPARED))
    base = compared[0]
    growth = {axis: list(_measured((BASE, *sizes))) for axis, sizes in GROWTH.items()}
    rows = compared + [row for measured in growth.values() for row in measured[1:]]
    for row in rows:
        row["ratio"] = round(row["cycle_ms_p50"] / row.pop("base_ms_p50"), 3)
    _draw(growth)
    return {
        "cold_fill_grants_per_s": base["cold_fill_grants_per_s"],
        "cycle_ms_p50": base["cycle_ms_p50"],
        "cycle_ms_p95": base["cycle_ms_p95"],
        "python_loop_ns": base["python_loop_ns"],
        "cold_fill_grant_in_loops": base["cold_fill_grant_in_loops"],
        "cycle_in_loops": base["cycle_in_loops"],
        "grants_per_cycle": base["grants_per_cycle"],
        "ratio_5000_shapes": compared[1]["ratio"],
        "ratio_1m_queued": compared[2]["ratio"],
        "ratio_with_rules": compared[3]["ratio"],
        "rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "rows": rows,
        "picture": str(PICTURE.relative_to(PICTURE.parents[2])),
    }


def _measured(sizes: tuple[Size, ...]) -> Iterator[dict[str, Any]]:
    """Yield the figures of each size, all measured in turn with the first of them."""
    grounds = [Ground(size) for size in sizes]
    # What building the grounds left behind is not the fill's to clear away.
    gc.collect()
    loops_ns = [python_loop_ns()]
    fills = [ground.cold_fill() for ground in grounds]
    loops_ns.append(python_loop_ns())
    fill_loop_ns = statistics.mean(loops_ns)
    gc.collect()
    gc.freeze()
    cycles: list[list[Spent]] = [[] for _ in grounds]
    for ground in grounds:
        ground.cycle()
    for _ in range(ROUNDS):
        loops_ns.append(python_loop_ns())
        for place, ground in enumerate(grounds):
            cycles[place].append(ground.cycle())
    base_ms = statistics.median(spent.wall_s for spent in cycles[0]) * 1e3
    loop_ns = statistics.median(loops_ns)
    for place, size in enumerate(sizes):
        times_ms = sorted(spent.wall_s * 1e3 for spent in cycles[place])
        fill = fills[place]
        yield {
            "name": size.name,
            "units": size.units,
            "queued": size.jobs,
            "shapes": size.shapes,
            "cold_fill_grants": fill.grants,
            "cold_fill_grants_per_s": round(fill.grants / fill.wall_s),
            "grants_per_cycle": statistics.median(spent.grants for spent in cycles[place]),
            "cycle_ms_p50": round(statistics.median(times_ms), 2),
            "cycle_ms_p95": round(times_ms[int(0.95 * len(times_ms))], 2),
            "python_loop_ns": round(loop_ns, 1),
            "cold_fill_grant_in_loops": round(fill.cpu_s * 1e9 / fill.grants / fill_loop_ns),
            "cycle_in_loops": round(statistics.median(spent.cpu_s for spent in cycles[place]) * 1e9 / loop_ns),
            "base_ms_p50": base_ms,
        }
    gc.unfreeze()


def _draw(growth: dict[str, list[dict[str, Any]]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(growth), figsize=(13, 4), layout="constrained", sharey=True)
    columns = {"queue": "queued", "units": "units", "shapes": "shapes"}
    for one, (axis, rows) in zip(axes, growth.items(), strict=True):
        points = sorted((row[columns[axis]], row["cycle_ms_p50"], row["cycle_ms_p95"]) for row in rows)
        one.semilogx([p[0] for p in points], [p[1] for p in points], "o-", color="#1f6f8b", label="median")
        one.semilogx([p[0] for p in points], [p[2] for p in points], "o--", color="#c0562f", label="95th percentile")
        one.set(xlabel={"queue": "queued jobs", "units": "units", "shapes": "shapes"}[axis])
        one.grid(alpha=0.3, which="both")
    highest_ms = max(row["cycle_ms_p95"] for rows in growth.values() for row in rows)
    axes[0].set(ylabel="a cycle after 100 releases [ms]", ylim=(0.0, 1.05 * highest_ms))
    axes[0].legend()
    figure.suptitle("cost of a scheduling cycle")
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
