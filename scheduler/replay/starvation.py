"""`python -m scheduler.replay.starvation`: 1,000 hours of a venue in which large gangs meet floods of small jobs.

The bound. Let D be the longest claim of the venue and H `hold_after_s`. The oldest waiting job that is older than H
holds the first planned start, and whatever starts then delays it not; so it starts when the leases that ran at that
moment have ended, at the latest D later. The next oldest follows in the same way. Hence a job before which k older jobs
wait at its submission waits

    wait <= H + (k + 1) D,

whatever others submit after it, as long as units, slots and cells do not fail.
"""

import argparse
import random
from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path

from scheduler.replay.simulate import simulate
from scheduler.replay.workload import TraceJob, Workload
from scheduler.state import Cell, CellRequest, Claim, Config, SimSlot, State, Unit, UnitRequest, Vendor

HOUR_S = 3600.0
HUMANOIDS, ARMS, SLOTS, CELLS = 12, 16, 48, 6


@dataclass(frozen=True, slots=True)
class Stream:
    """One vendor's jobs of one sort: so many in an hour, at random (Poisson); `work` tells them apart in the figure."""

    work: str
    vendor: str
    claim: Claim
    jobs_per_h: float


def _claim(humanoids: int, arms: int, slots: int, cell: bool, hours: float) -> Claim:
    wanted = ((humanoids, "humanoid"), (arms, "arm"))
    units = tuple(UnitRequest(count, robot_class) for count, robot_class in wanted if count)
    return Claim(units, slots, CellRequest(scenario="kitchen") if cell else None, hours * HOUR_S)


# Offered load, with jobs that take 0.65 of their claims in the mean: 0.90 of the humanoids, 0.59 of the arms, 0.76 of
# the slots. The gangs and whatever is large come from vendors that the small ones compete with.
STREAMS = (
    Stream("flood of small jobs", "flood-1", _claim(1, 0, 0, False, 0.5), 11.0),
    Stream("flood of small jobs", "flood-2", _claim(1, 0, 2, False, 0.5), 11.0),
    Stream("flood of small jobs", "flood-3", _claim(0, 1, 1, False, 1.0), 12.0),
    Stream("training in slots", "trainer", _claim(0, 0, 8, False, 4.0), 1.0),
    Stream("pair in a cell", "lab", _claim(1, 1, 0, True, 2.0), 0.5),
    Stream("gang", "gang", _claim(10, 4, 24, True, 3.0), 0.1),
    Stream("whole venue", "show", _claim(HUMANOIDS, ARMS, SLOTS, True, 1.0), 1 / 48),
)


def venue() -> State:
    """Return the generated venue, with nothing running."""
    return State(
        0,
        units=tuple(Unit(f"h{n:02}", "h-model", "humanoid") for n in range(HUMANOIDS))
        + tuple(Unit(f"a{n:02}", "a-model", "arm") for n in range(ARMS)),
        slots=tuple(SimSlot(f"s{n:02}") for n in range(SLOTS)),
        cells=tuple(Cell(f"c{n}", "kitchen") for n in range(CELLS)),
        vendors=tuple(Vendor(name) for name in sorted({stream.vendor for stream in STREAMS})),
    )


def workload(hours: float, seed: int = 0) -> Workload:
    """Return the jobs that come within so many hours; each takes a random part, 0.3 to 1, of its claim's time."""
    chance = random.Random(seed)
    rows: list[tuple[float, Stream, float]] = []
    for stream in STREAMS:
        time_s = chance.expovariate(stream.jobs_per_h) * HOUR_S
        while time_s < hours * HOUR_S:
            rows.append((time_s, stream, chance.uniform(0.3, 1.0)))
            time_s += chance.expovariate(stream.jobs_per_h) * HOUR_S
    jobs = tuple(
        TraceJob(
            job_id=number,
            submit_s=time_s,
            run_s=part * stream.claim.duration_s,
            procs=sum(request.count for request in stream.claim.units) + stream.claim.sim_slots,
            requested_s=stream.claim.duration_s,
            user=stream.work,
            claim=stream.claim,
            vendor=stream.vendor,
        )
        for number, (time_s, stream, part) in enumerate(sorted(rows, key=lambda row: row[0]))
    )
    return Workload(HUMANOIDS + ARMS + SLOTS, jobs, venue=venue())


def bounds_s(workload: Workload, waits_s: Sequence[float], config: Config) -> list[float]:
    """Return the bound [s] of each job's wait, by the formula above."""
    longest_s = max(job.requested_s for job in workload.jobs)
    starts_s: list[float] = []
    found = []
    for job, wait_s in zip(workload.jobs, waits_s, strict=True):
        older = len(starts_s) - bisect_right(starts_s, job.submit_s)
        found.append(config.hold_after_s + (older + 1) * longest_s)
        insort(starts_s, job.submit_s + wait_s)
    return found


def main() -> None:
    """Simulate with the default policy and without planned starts, tell the longest waits, draw them."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.replay.starvation", description=__doc__.split("\n")[0])
    parser.add_argument("--hours", type=float, default=1_000.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--plot", type=Path, metavar="OUT.png")
    options = parser.parse_args()
    jobs = workload(options.hours, options.seed)
    configs = {"default": Config(), "no planned starts": replace(Config(), hold_after_s=inf, flow_max_s=inf)}
    waits_s = {name: simulate(jobs, config) for name, config in configs.items()}
    print(f"{len(jobs.jobs):,} jobs in {options.hours:g} h; longest waits [h]:")
    for work in dict.fromkeys(stream.work for stream in STREAMS):
        longest = {
            name: max((w for w, job in zip(waits, jobs.jobs, strict=True) if job.user == work), default=0.0) / HOUR_S
            for name, waits in waits_s.items()
        }
        print(f"  {work:20}" + "".join(f"{name}: {wait_h:7.2f}   " for name, wait_h in longest.items()))
    bound_s = bounds_s(jobs, waits_s["default"], configs["default"])
    used = max(w / b for w, b in zip(waits_s["default"], bound_s, strict=True))
    print(f"longest wait as a part of its bound: {used:.2f}")
    if options.plot is not None:
        from scheduler.replay.plot import draw_starvation

        draw_starvation(options.plot, jobs, waits_s, bound_s)


if __name__ == "__main__":
    main()
