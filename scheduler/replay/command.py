"""`python -m scheduler replay TRACE`: replay a log under one policy or several, and compare them."""

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple, fields, replace
from datetime import UTC, datetime
from pathlib import Path

from database.address import Place
from scheduler.database import place
from scheduler.estimate import Effort
from scheduler.replay import database
from scheduler.replay.estimates import Estimator, score, table, write
from scheduler.replay.log import read
from scheduler.replay.metrics import Metrics, UserMetrics, measure, of_users
from scheduler.replay.policy import POLICIES, VENUE
from scheduler.replay.simulate import Observer, simulate
from scheduler.replay.workload import BadTrace, Workload
from scheduler.state import ALL, Config

ROWS = (
    ("utilisation", "utilisation", ".4f"),
    ("mean wait [s]", "wait_mean_s", ",.0f"),
    ("median wait [s]", "wait_p50_s", ",.0f"),
    ("95 % wait at most [s]", "wait_p95_s", ",.0f"),
    ("99 % wait at most [s]", "wait_p99_s", ",.0f"),
    ("longest wait [s]", "wait_max_s", ",.0f"),
    ("mean bounded slowdown", "bounded_slowdown_mean", ",.2f"),
    ("worst bounded slowdown", "bounded_slowdown_max", ",.1f"),
    ("mean flow time [s]", "flow_mean_s", ",.0f"),
    ("worst flow time [s]", "flow_max_s", ",.0f"),
    ("Jain index of users", "jain_users", ".4f"),
)
PROGRESS_PERIOD_S = 1.0
# What happened in the venue whose past is replayed.
RECORDED = "recorded"


class BadOption(Exception):
    """Options that make no sense together."""


def main(arguments: Sequence[str]) -> int:
    """Run the command; return the exit code: 0; 1: a decision is another one now; 2: a log or option of no use."""
    try:
        return _replay(_options(arguments))
    except (BadOption, BadTrace, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _replay(options: argparse.Namespace) -> int:
    if options.decision is not None:
        return _decide_again(options)
    if database.is_database(options.trace):
        workload = database.read(options.trace)
    else:
        workload = read(options.trace, options.procs, options.machines)
    if options.vendors == "user":
        workload = workload.of_users()
    configs = {name: _config(name, options) for name in dict.fromkeys(options.policy)}
    if options.estimates is not None:
        _estimate(options, workload, configs[options.policy[0]])
        return 0
    waits_s = {name: simulate(workload, config, Progress(name)) for name, config in configs.items()}
    recorded_s = [job.recorded_wait_s for job in workload.jobs if job.recorded_wait_s is not None]
    if len(recorded_s) == len(workload.jobs):
        waits_s = {RECORDED: tuple(recorded_s), **waits_s}
    metrics = {name: measure(workload, waits) for name, waits in waits_s.items()}
    if options.waits is not None:
        write_waits(options.waits, workload, waits_s[options.policy[0]])
    if options.users is not None:
        write_users(options.users, {name: of_users(workload, waits) for name, waits in waits_s.items()})
    if options.plot is not None:
        from scheduler.replay.plot import draw  # a second to import, and seldom asked for

        draw(options.plot, workload, waits_s, title=_title(options.trace))
    print(as_json(workload, metrics) if options.json else as_table(workload, metrics))
    return 0


def _title(trace: Place) -> str:
    return trace.name if isinstance(trace, Path) else str(trace)


def _decide_again(options: argparse.Namespace) -> int:
    """Make a recorded decision once more; tell what it was made on and whether it is the same."""
    again = database.decide_again(options.trace, options.decision)
    state = again.state
    found = json.loads(again.decisions)
    told = {
        "token": again.recorded.token,
        "time": datetime.fromtimestamp(again.recorded.time_ns / 1e9, UTC).isoformat(),
        "jobs": len(state.jobs),
        "units": len(state.units),
        "sim_slots": len(state.slots) + state.unnamed.count,
        "vendors": len(state.vendors),
        "grants": len(found[0]),
        "planned_starts": len(found[1]),
        "bytes_of_the_state": len(again.recorded.states[-1]),
        "same_to_the_byte": again.same,
    }
    if options.json:
        print(json.dumps(told | {"decisions": found, "recorded": json.loads(again.recorded.decisions)}, indent=2))
    else:
        print("\n".join(f"{name.replace('_', ' '):20} {value}" for name, value in told.items()))
    return 0 if again.same else 1


def _estimate(options: argparse.Namespace, workload: Workload, config: Config) -> None:
    estimator = Estimator(workload, config, sample=options.sample, effort=Effort(futures=options.futures))
    waits_s = simulate(workload, config, estimator)
    write(options.estimates, workload, estimator.told, waits_s)
    scores = score(estimator.told, waits_s)
    if options.plot is not None:
        from scheduler.replay.plot import draw_reliability

        draw_reliability(options.plot, scores, title=_title(options.trace))
    print(json.dumps([asdict(one) for one in scores], indent=2) if options.json else table(scores, estimator.told))


def write_waits(path: Path, workload: Workload, waits_s: Sequence[float]) -> None:
    """Write a table with job_id and wait_s, in the order of submission."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("job_id", "wait_s"))
        rows.writerows((job.job_id, wait_s) for job, wait_s in zip(workload.jobs, waits_s, strict=True))


def write_users(path: Path, users: Mapping[str, Sequence[UserMetrics]]) -> None:
    """Write a table of every user's figures under every policy, the one who used most first."""
    with path.open("w", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("policy", *(field.name for field in fields(UserMetrics))))
        rows.writerows((name, *astuple(user)) for name, found in users.items() for user in found)


def as_json(workload: Workload, metrics: Mapping[str, Metrics]) -> str:
    """Return size, number of jobs and the figures of every policy."""
    told = {name: asdict(found) for name, found in metrics.items()}
    return json.dumps({"procs": workload.procs, "dropped": workload.dropped, "policies": told}, indent=2)


def as_table(workload: Workload, metrics: Mapping[str, Metrics]) -> str:
    """Return the figures as text, one column for each policy."""
    head = f"{len(workload.jobs):,} jobs on {workload.procs:,} processors"
    if workload.dropped:
        head += f" ({workload.dropped:,} that could not be used left out)"
    lines = [head, f"{'':24}" + "".join(f"{name:>16}" for name in metrics)]
    for label, field, form in ROWS:
        lines.append(f"{label:24}" + "".join(f"{getattr(found, field):>16{form}}" for found in metrics.values()))
    return "\n".join(lines)


class Progress(Observer):
    """On a terminal, says how far a replay is."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._told_s = time.monotonic()

    def progress(self, done: float) -> None:
        now_s = time.monotonic()
        if not sys.stderr.isatty() or (now_s - self._told_s < PROGRESS_PERIOD_S and done < 1):
            return
        self._told_s = now_s
        text = f"\r{self._name}: {done:4.0%} of the jobs have ended" if done < 1 else "\r\x1b[K"
        print(text, end="", file=sys.stderr, flush=True)


def _config(policy: str, options: argparse.Namespace) -> Config:
    """Return the policy, a venue's with what the options say otherwise."""
    told = {name: getattr(options, name) for name in TUNABLE if getattr(options, name) is not None}
    return replace(POLICIES[policy], **told) if policy == VENUE else POLICIES[policy]


TUNABLE = ("reservations", "hold_after_s", "flow_max_s")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m scheduler replay", description=__doc__)
    parser.add_argument(
        "trace",
        type=place,
        help="a log: SWF or a CSV table, also gzipped, or a venue's database (also postgresql://...)",
    )
    parser.add_argument("--policy", nargs="+", choices=list(POLICIES), default=[VENUE], help=f"default: {VENUE}")
    parser.add_argument("--procs", type=_positive, help="processors of the machine; default: what the log tells")
    parser.add_argument("--machines", type=Path, help="the clusters of a log whose jobs ask for nodes")
    parser.add_argument(
        "--vendors",
        choices=("user", "none"),
        default="none",
        help="user: each user of the log is a vendor of equal weight, whose past use fades; default: none",
    )
    parser.add_argument("--decision", metavar="TOKEN", help="make a decision of a venue's database once more")
    parser.add_argument("--waits", type=Path, metavar="OUT.csv", help="write every job's wait (one policy only)")
    parser.add_argument("--users", type=Path, metavar="OUT.csv", help="write every user's figures")
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    parser.add_argument(
        "--plot", type=Path, metavar="OUT.png", help="draw a comparison of the policies, or how reliable estimates are"
    )
    told = parser.add_argument_group("to judge estimates of starts (one policy only)")
    told.add_argument("--estimates", type=Path, metavar="OUT.csv", help="write what jobs are told, and what came")
    told.add_argument("--sample", type=_positive, default=1_000, help="how many jobs are told something; default: 1000")
    told.add_argument("--futures", type=_positive, default=40, help="futures of each estimate; default: 40")
    tuning = parser.add_argument_group(f"to tune the policy {VENUE}", "as in a venue file, [scheduler]")
    tuning.add_argument("--reservations", type=_reservations, metavar="K", help="planned starts held; a number or all")
    tuning.add_argument("--hold-after-s", type=_seconds, help="wait after which a job may hold one [s]")
    tuning.add_argument(
        "--flow-max-s", type=_seconds, help="time to its end beyond which a job holds one [s]; inf: never"
    )
    options = parser.parse_args(arguments)
    for name in ("waits", "estimates"):
        if getattr(options, name) is not None and len(set(options.policy)) > 1:
            raise BadOption(f"--{name} takes what one policy does, not several")
    if VENUE not in options.policy and any(getattr(options, name) is not None for name in TUNABLE):
        raise BadOption(f"what tunes the policy {VENUE} is of no use without it")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not positive")
    return number


def _reservations(text: str) -> int:
    return ALL if text == "all" else _positive(text)


def _seconds(text: str) -> float:
    number = float(text)
    if math.isnan(number) or number < 0:
        raise argparse.ArgumentTypeError(f"{text} is no length of time")
    return number
