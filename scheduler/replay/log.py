"""Workloads read from logs: the Standard Workload Format, plain tables and MetaCentrum's form; all also gzipped.

SWF (Feitelson, Parallel Workloads Archive, version 2.2): one job a line, 18 numbers, -1 for unknown; lines that begin
with a semicolon are comments, of which `MaxProcs` tells the size of the machine. Tables are CSV with at least the
columns job_id, submit_s, run_s, procs, requested_s. MetaCentrum's form is SWF with three fields more and a file beside
it that tells the clusters (`nodes.py`).
"""

import csv
import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from scheduler.replay.nodes import Machine, NodeRequest, clusters_of
from scheduler.replay.workload import BadTrace, TraceJob, Workload

# Fields of an SWF line, from zero.
JOB, SUBMIT, RUN, ALLOCATED, REQUESTED_PROCS, REQUESTED_TIME, USER, REQUEST = 0, 1, 3, 4, 7, 8, 11, 20
COLUMNS = ("job_id", "submit_s", "run_s", "procs", "requested_s")
# Archived logs are tens of megabytes; a larger line or file is something else.
LINE_MAX, LINES_MAX = 100_000, 20_000_000


def read(path: Path, procs: int | None = None, machines: Path | None = None) -> Workload:
    """Return the workload of a log, for `procs` processors instead of those that the log tells. Raises BadTrace.

    machines: what tells the clusters of a log whose jobs ask for nodes; by default the log's name with `.machines`, if
    there is such a file. A job without processors, request or run time is dropped, as is one that the machine could
    never run; a run time beyond the request is cut to it, for there the machine would have ended the job.
    """
    beside = path.with_name(path.name.removesuffix(".gz") + ".machines")
    machines = machines or (beside if beside.exists() else None)
    found: list[TraceJob] = []
    told: list[int] = []
    dropped = 0
    try:
        machine = None if machines is None else Machine(clusters_of(machines))
        for job in _jobs(path, told, machine):
            if job is None:
                dropped += 1
            else:
                found.append(job)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, csv.Error) as error:
        raise BadTrace(f"{path}: {error}") from error
    if machine is not None:
        procs = machine.cores
    size = procs or (told[0] if told else max((job.procs for job in found), default=0))
    jobs = sorted((job for job in found if job.procs <= size), key=lambda job: (job.submit_s, job.job_id))
    if not jobs:
        raise BadTrace(f"{path}: no job that {size} processors could run")
    if len({job.job_id for job in jobs}) < len(jobs):
        raise BadTrace(f"{path}: a job id occurs twice")
    venue = None if machine is None else machine.venue()
    return Workload(size, tuple(jobs), dropped + len(found) - len(jobs), venue)


def _jobs(path: Path, told: list[int], machine: Machine | None) -> Iterator[TraceJob | None]:
    """Yield the usable jobs, None for each of the others; the machine's size goes to `told`."""
    packed = path.suffix == ".gz"
    table = Path(path.stem if packed else path.name).suffix == ".csv"
    with gzip.open(path, "rt", newline="") if packed else open(path, newline="") as lines:
        limited = _limited(lines, path)
        yield from _of_table(limited, path) if table else _of_swf(limited, path, told, machine)


def _limited(lines: Iterable[str], path: Path) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if len(line) > LINE_MAX or number > LINES_MAX:
            raise BadTrace(f"{path}:{number}: too long for a log")
        yield line


def _of_swf(lines: Iterable[str], path: Path, told: list[int], machine: Machine | None) -> Iterator[TraceJob | None]:
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
        job = _job(
            _whole(fields[JOB], where),
            _whole(fields[SUBMIT], where),
            _whole(fields[RUN], where),
            procs if procs > 0 else _whole(fields[ALLOCATED], where),
            _whole(fields[REQUESTED_TIME], where),
            fields[USER],
        )
        yield job if machine is None or job is None else _on_nodes(job, fields, machine, where)


def _on_nodes(job: TraceJob, fields: Sequence[str], machine: Machine, where: str) -> TraceJob | None:
    """Return the job with the claim of its request, None if the machine can never meet that."""
    if len(fields) != REQUEST + 1:
        raise BadTrace(f"{where}: {len(fields)} fields, a job that asks for nodes has {REQUEST + 1}")
    try:
        claim = machine.claim(NodeRequest.parse(fields[REQUEST]), float(job.requested_s))
    except ValueError as error:
        raise BadTrace(f"{where}: {error}") from None
    return None if claim is None else replace(job, claim=claim)


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
