"""Workloads read from logs: the Standard Workload Format and plain tables, both also gzipped.

SWF (Feitelson, Parallel Workloads Archive, version 2.2): one job a line, 18 numbers, -1 for unknown; lines that begin
with a semicolon are comments, of which `MaxProcs` tells the size of the machine. Tables are CSV with at least the
columns job_id, submit_s, run_s, procs, requested_s.
"""

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from scheduler.state import Claim, Job, State, Unnamed

# Fields of an SWF line, from zero.
JOB, SUBMIT, RUN, ALLOCATED, REQUESTED_PROCS, REQUESTED_TIME, USER = 0, 1, 3, 4, 7, 8, 11
COLUMNS = ("job_id", "submit_s", "run_s", "procs", "requested_s")
# Archived logs are tens of megabytes; a larger line or file is something else.
LINE_MAX, LINES_MAX = 100_000, 20_000_000
SECOND_NS = 1_000_000_000
# Whose jobs those of a log are, where its users are not taken for vendors.
OWNER = "log"


class BadTrace(Exception):
    """A log that cannot be replayed; the message names file, line and value."""


@dataclass(frozen=True, slots=True)
class TraceJob:
    """A job of a log. `run_s` is what it took, at most `requested_s`, what was asked for.

    `procs` is its size: sim slots, unless `claim` says more. `vendor` is whose turn it takes.
    """

    job_id: int
    submit_s: float
    run_s: float
    procs: int
    requested_s: float
    user: str = ""
    claim: Claim | None = None
    vendor: str = OWNER
    priority: int = 0

    def waiting(self, index: int) -> Job:
        """Return it as a job that waits, by its place in the workload."""
        claim = self.claim or Claim(sim_slots=self.procs, duration_s=float(self.requested_s))
        return Job(index, self.vendor, claim, self.priority, round(self.submit_s * SECOND_NS))


@dataclass(frozen=True, slots=True)
class Workload:
    """Jobs by time of submission, then id; what could not be used is only counted.

    `procs` is the size of the machine in whatever a job's size is counted in. `venue` is the machine itself, with
    nothing running; without it, it is that many like sim slots.
    """

    procs: int
    jobs: tuple[TraceJob, ...]
    dropped: int = 0
    venue: State | None = None

    @property
    def ground(self) -> State:
        """The empty machine as deciding sees it."""
        return self.venue or State(0, unnamed=Unnamed(self.procs))

    def of_users(self) -> "Workload":
        """Return the same jobs, each user of the log a vendor of equal weight."""
        return replace(self, jobs=tuple(replace(job, vendor=job.user or "unknown") for job in self.jobs))


def read(path: Path, procs: int | None = None) -> Workload:
    """Return the workload of a log, for `procs` processors instead of those that the log tells. Raises BadTrace.

    A job without processors, request or run time is dropped, as is one larger than the machine; a run time beyond the
    request is cut to it, for there the machine would have ended the job.
    """
    found: list[TraceJob] = []
    told: list[int] = []
    dropped = 0
    try:
        for job in _jobs(path, told):
            if job is None:
                dropped += 1
            else:
                found.append(job)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise BadTrace(f"{path}: {error}") from error
    size = procs or (told[0] if told else max((job.procs for job in found), default=0))
    jobs = sorted((job for job in found if job.procs <= size), key=lambda job: (job.submit_s, job.job_id))
    if not jobs:
        raise BadTrace(f"{path}: no job that {size} processors could run")
    if len({job.job_id for job in jobs}) < len(jobs):
        raise BadTrace(f"{path}: a job id occurs twice")
    return Workload(size, tuple(jobs), dropped + len(found) - len(jobs))


def _jobs(path: Path, told: list[int]) -> Iterator[TraceJob | None]:
    """Yield the usable jobs, None for each of the others; the machine's size goes to `told`."""
    packed = path.suffix == ".gz"
    table = Path(path.stem if packed else path.name).suffix == ".csv"
    with gzip.open(path, "rt", newline="") if packed else open(path, newline="") as lines:
        limited = _limited(lines, path)
        yield from _of_table(limited, path) if table else _of_swf(limited, path, told)


def _limited(lines: Iterable[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX or number > LINES_MAX:
            raise BadTrace(f"{path}:{number}: too long for a log")
        yield line


def _of_swf(lines: Iterable[str], path: Path, told: list[int]) -> Iterator[TraceJob | None]:
    for number, line in enumerate(lines, 1):
        if line.startswith(";"):
            key, _, value = line[1:].partition(":")
            if key.strip() == "MaxProcs" and value.split()[:1] and value.split()[0].isdecimal():
                told.append(int(value.split()[0]))
            continue
        fields = line.split()
        if not fields:
            continue
        if len(fields) < USER + 1:
            raise BadTrace(f"{path}:{number}: {len(fields)} fields, a job of the Standard Workload Format has 18")
        where = f"{path}:{number}"
        procs = _whole(fields[REQUESTED_PROCS], where)
        yield _job(
            _whole(fields[JOB], where),
            _whole(fields[SUBMIT], where),
            _whole(fields[RUN], where),
            procs if procs > 0 else _whole(fields[ALLOCATED], where),
            _whole(fields[REQUESTED_TIME], where),
            fields[USER],
        )


def _of_table(lines: Iterable[str], path: Path) -> Iterator[TraceJob | None]:
    table = csv.DictReader(lines)
    missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
    if missing:
        raise BadTrace(f"{path}: no column {missing[0]}")
    for number, row in enumerate(table, 2):
        yield _job(*_numbers(row, f"{path}:{number}"), row.get("user") or "")


def _numbers(row: Mapping[str, str | None], where: str) -> tuple[int, int, int, int, int]:
    job_id, submit_s, run_s, procs, requested_s = (_whole(row[name] or "", where) for name in COLUMNS)
    return job_id, submit_s, run_s, procs, requested_s


def _job(job_id: int, submit_s: int, run_s: int, procs: int, requested_s: int, user: str) -> TraceJob | None:
    if procs <= 0 or requested_s <= 0 or run_s < 0 or submit_s < 0:
        return None
    return TraceJob(job_id, submit_s, min(run_s, requested_s), procs, requested_s, user)


def _whole(text: str, where: str) -> int:
    try:
        value = float(text)
    except ValueError:
        raise BadTrace(f"{where}: {text!r} is not a number") from None
    if not math.isfinite(value) or abs(value) > 1e12:
        raise BadTrace(f"{where}: {text!r} is out of range")
    return int(value)
