"""`python -m scheduler replay TRACE`: replay a log under one policy or several, and compare them."""

import argparse
import csv
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from scheduler.replay.metrics import Metrics, measure
from scheduler.replay.policy import POLICIES
from scheduler.replay.simulate import simulate
from scheduler.replay.workload import BadTrace, Workload, read

ROWS = (
    ("utilisation", "utilisation", ".4f"),
    ("mean wait [s]", "wait_mean_s", ",.0f"),
    ("median wait [s]", "wait_p50_s", ",d"),
    ("95 % wait at most [s]", "wait_p95_s", ",d"),
    ("99 % wait at most [s]", "wait_p99_s", ",d"),
    ("longest wait [s]", "wait_max_s", ",d"),
    ("mean bounded slowdown", "bounded_slowdown_mean", ",.2f"),
    ("worst bounded slowdown", "bounded_slowdown_max", ",.1f"),
    ("mean flow time [s]", "flow_mean_s", ",.0f"),
    ("worst flow time [s]", "flow_max_s", ",d"),
    ("Jain index of users", "jain_users", ".4f"),
)
PROGRESS_PERIOD_S = 1.0


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0, or 2 for a log or an option that cannot be used."""
    options = _options(arguments)
    if options.waits is not None and len(options.policy) > 1:
        print("error: --waits takes the waits of one policy, not of several", file=sys.stderr)
        return 2
    try:
        workload = read(options.trace, options.procs)
        waits_s = {name: _simulate(workload, name) for name in dict.fromkeys(options.policy)}
        metrics = {name: measure(workload, waits) for name, waits in waits_s.items()}
        if options.waits is not None:
            write_waits(options.waits, workload, waits_s[options.policy[0]])
        if options.plot is not None:
            from scheduler.replay.plot import draw  # a second to import, and seldom asked for

            draw(options.plot, workload, waits_s, title=options.trace.name)
    except (BadTrace, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(as_json(workload, metrics) if options.json else as_table(workload, metrics))
    return 0


def write_waits(path: Path, workload: Workload, waits_s: Sequence[int]) -> None:
    """Write a table with job_id and wait_s, in the order of submission."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("job_id", "wait_s"))
        rows.writerows((job.job_id, wait_s) for job, wait_s in zip(workload.jobs, waits_s, strict=True))


def as_json(workload: Workload, metrics: Mapping[str, Metrics]) -> str:
    """Return size, number of jobs and the figures of every policy."""
    told = {name: asdict(found) for name, found in metrics.items()}
    return json.dumps({"procs": workload.procs, "dropped": workload.dropped, "policies": told}, indent=2)


def as_table(workload: Workload, metrics: Mapping[str, Metrics]) -> str:
    """Return the figures as text, one column for each policy."""
    head = f"{len(workload.jobs):,} jobs on {workload.procs:,} processors"
    if workload.dropped:
        head += f" ({workload.dropped:,} without a usable size or time left out)"
    lines = [head, f"{'':24}" + "".join(f"{name:>16}" for name in metrics)]
    for label, field, form in ROWS:
        lines.append(f"{label:24}" + "".join(f"{getattr(found, field):>16{form}}" for found in metrics.values()))
    return "\n".join(lines)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scheduler replay", description=__doc__)
    parser.add_argument("trace", type=Path, help="a log: SWF, or a CSV table; either may be gzipped")
    parser.add_argument("--policy", nargs="+", choices=list(POLICIES), default=["default"], help="default: default")
    parser.add_argument("--procs", type=_positive, help="processors of the machine; default: what the log tells")
    parser.add_argument("--waits", type=Path, metavar="OUT.csv", help="write every job's wait (one policy only)")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument("--plot", type=Path, metavar="OUT.png", help="draw a comparison of the policies")
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number


def _simulate(workload: Workload, policy: str) -> tuple[int, ...]:
    """Replay one policy; on a terminal, say how far it is."""
    told_s = time.monotonic()
    shown = False

    def progress(done: float) -> None:
        nonlocal told_s, shown
        now_s = time.monotonic()
        if sys.stderr.isatty() and now_s - told_s >= PROGRESS_PERIOD_S:
            told_s, shown = now_s, True
            print(f"\r{policy}: {done:4.0%} of the jobs have ended", end="", file=sys.stderr, flush=True)

    waits_s = simulate(workload, POLICIES[policy], progress)
    if shown:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
    return waits_s
