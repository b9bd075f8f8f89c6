"""Replays: published waits job by job, published small cases, reading of logs, and the command."""

import csv
import gzip
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.replay import command
from scheduler.replay.log import read
from scheduler.replay.metrics import bounded_slowdown, jain, measure, percentile
from scheduler.replay.policy import POLICIES
from scheduler.replay.simulate import simulate
from scheduler.replay.workload import BadTrace, TraceJob, Workload
from scheduler.state import Backfill

ROOT = Path(__file__).parents[2]
# Processors; published mean bounded slowdown and worst flow time [s] under EASY backfilling.
LOGS = {"KTH-SP2": (100, 92.5765397336, 309_231), "SDSC-SP2": (128, 87.8703241922, 463_592)}
# Of each group of small cases, the policies whose finish times it tells.
GROUPS = {
    "basic_input": ("fcfs", "easy", "conservative"),
    "extreme_input": ("fcfs", "easy", "conservative"),
    "bf_input": ("easy", "conservative"),
    "easy_bf_input": ("easy",),
    "cons_bf_input": ("conservative",),
    "fcfs_input": ("fcfs",),
    "sjbf": ("easy-sjbf",),
}
# EASY whose candidates pass the shortest first.
SMALL = {**POLICIES, "easy-sjbf": replace(POLICIES["easy"], backfill=Backfill.SHORTEST)}


@pytest.fixture(scope="session")
def logs(shared: Path) -> Mapping[str, Workload]:
    return {
        name: read(shared / "data/traces/pwa-replay" / f"{name}.csv.gz", procs) for name, (procs, _, _) in LOGS.items()
    }


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", LOGS)
def test_every_wait_under_easy_is_the_published_one(name: str, logs: Mapping[str, Workload], shared: Path) -> None:
    with gzip.open(shared / "data/traces/pwa-replay" / f"{name}.csv.gz", "rt") as file:
        published = {int(row["job_id"]): int(row["easy_wait_s"]) for row in csv.DictReader(file)}
    waits_s = simulate(logs[name], POLICIES["easy"])
    metrics = measure(logs[name], waits_s)

    assert {job.job_id: wait_s for job, wait_s in zip(logs[name].jobs, waits_s, strict=True)} == published
    assert metrics.bounded_slowdown_mean == pytest.approx(LOGS[name][1], rel=1e-9)
    assert metrics.flow_max_s == LOGS[name][2]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["KTH-SP2", pytest.param("SDSC-SP2", marks=pytest.mark.long)])
def test_the_default_policy_beats_easy_and_nobody_waits_much_longer(name: str, logs: Mapping[str, Workload]) -> None:
    metrics = measure(logs[name], simulate(logs[name], POLICIES["default"]))

    assert metrics.bounded_slowdown_mean < LOGS[name][1]
    assert metrics.flow_max_s <= 1.1 * LOGS[name][2]


@pytest.mark.parametrize(("policy", "cases"), [("fcfs", 40), ("easy", 45), ("conservative", 43), ("easy-sjbf", 3)])
def test_small_cases_finish_as_published(policy: str, cases: int, shared: Path) -> None:
    told = json.loads((shared / "data/traces/easy-small-cases/cases.json").read_text())
    checked = 0
    for name, rows in told["cases"].items():
        if policy not in GROUPS.get(name.partition(".")[0], ()):
            continue
        jobs = tuple(TraceJob(n, r["submit"], r["run"], r["procs"], r["estimate"]) for n, r in enumerate(rows))
        waits_s = simulate(Workload(told["procs"], jobs), SMALL[policy])
        finished = [job.submit_s + wait_s + job.run_s for job, wait_s in zip(jobs, waits_s, strict=True)]
        assert finished == [row["expected_finish"] for row in rows], name
        checked += 1

    assert checked == cases


trace_jobs = st.builds(
    lambda submit_s, run_s, more_s, procs: (submit_s, run_s, procs, run_s + more_s),
    st.integers(0, 60), st.integers(0, 40), st.sampled_from((0, 0, 1, 30)).map(lambda more: more + 1),
    st.integers(1, 8),
)  # fmt: skip


@given(st.lists(trace_jobs, min_size=1, max_size=25), st.sampled_from(sorted(POLICIES)))
@settings(max_examples=150)
def test_no_processor_is_used_twice_and_every_job_runs_once(rows: list[tuple[int, ...]], policy: str) -> None:
    rows.sort(key=lambda row: row[0])
    jobs = tuple(TraceJob(n, *row) for n, row in enumerate(rows))
    waits_s = simulate(Workload(8, jobs), POLICIES[policy])
    spans = [
        (job.submit_s + wait_s, job.submit_s + wait_s + job.run_s, job.procs)
        for job, wait_s in zip(jobs, waits_s, strict=True)
    ]

    assert min(waits_s) >= 0
    for now_s, _, _ in spans:
        assert sum(procs for start_s, end_s, procs in spans if start_s <= now_s < end_s) <= 8


@given(st.lists(trace_jobs, min_size=1, max_size=25))
def test_under_first_come_first_served_starts_are_in_the_order_of_submission(rows: list[tuple[int, ...]]) -> None:
    rows.sort(key=lambda row: row[0])
    jobs = tuple(TraceJob(n, *row) for n, row in enumerate(rows))
    waits_s = simulate(Workload(8, jobs), POLICIES["fcfs"])
    starts_s = [job.submit_s + wait_s for job, wait_s in zip(jobs, waits_s, strict=True)]

    assert starts_s == sorted(starts_s)


SWF = """; Version: 2.2
; MaxProcs: 64

1 0 5 100 4 -1 -1 8 600 -1 1 7 1 1 1 1 -1 -1
2 10 5 900 4 -1 -1 -1 600 -1 1 7 1 1 1 1 -1 -1
3 20 5 100 4 -1 -1 8 -1 -1 1 7 1 1 1 1 -1 -1
4 20 5 100 128 -1 -1 -1 600 -1 1 7 1 1 1 1 -1 -1
"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_standard_workload_is_read_also_gzipped(tmp_path: Path, packed: bool) -> None:
    """Requested processors, allocated where none were requested; runs cut to the request; no request, no job."""
    path = tmp_path / ("log.swf.gz" if packed else "log.swf")
    path.write_bytes(gzip.compress(SWF.encode()) if packed else SWF.encode())
    workload = read(path)

    assert workload == Workload(64, (TraceJob(1, 0, 100, 8, 600, "7"), TraceJob(2, 10, 600, 4, 600, "7")), dropped=2)
    assert [job.job_id for job in read(path, 128).jobs] == [1, 2, 4]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.swf", b"1 2 3\n", "a.swf:1: 3 fields"),
        ("a.swf", SWF.replace("900", "nine").encode(), "a.swf:5: 'nine' is not a number"),
        ("a.swf", SWF.replace("900", "inf").encode(), "out of range"),
        ("a.swf", b"", "no job"),
        ("a.swf", b"\xff\xfe\x00\n", "decode"),
        ("a.csv", b"job_id,submit_s\n1,2\n", "no column run_s"),
        ("a.csv", b"job_id,submit_s,run_s,procs,requested_s\n1,2,3\n", "a.csv:2: '' is not a number"),
        ("a.csv", b"job_id,submit_s,run_s,procs,requested_s\n1,2,3,4,5\n1,2,3,4,5\n", "occurs twice"),
        ("a.csv.gz", gzip.compress(b"job_id" * 99, mtime=0)[:30], "a.csv.gz"),
        ("a.csv.gz", b"job_id", "a.csv.gz"),
    ],
)
def test_a_broken_log_is_refused_with_its_place(tmp_path: Path, name: str, content: bytes, complaint: str) -> None:
    (tmp_path / name).write_bytes(content)

    with pytest.raises(BadTrace, match=complaint):
        read(tmp_path / name)


def test_slowdown_is_bounded_by_the_floor_of_ten_seconds() -> None:
    assert bounded_slowdown(TraceJob(1, 0, 1, 1, 1), 19) == 2.0
    assert bounded_slowdown(TraceJob(1, 0, 1, 1, 1), 0) == 1.0
    assert bounded_slowdown(TraceJob(1, 0, 100, 1, 100), 50) == 1.5


def test_the_jain_index_is_one_of_equals_and_one_nth_where_one_has_all() -> None:
    assert jain([3.0, 3.0, 3.0]) == pytest.approx(1.0)
    assert jain([5.0, 0.0, 0.0, 0.0]) == pytest.approx(0.25)
    assert jain([]) == 1.0


def test_percentiles_are_values_that_occurred() -> None:
    assert [percentile([1, 2, 3, 4], percent) for percent in (0, 25, 50, 51, 100)] == [1, 1, 2, 3, 4]


def test_figures_of_a_case_by_hand() -> None:
    """Two jobs of all four processors, the second submitted at once: it waits 100 s for its 50."""
    workload = Workload(4, (TraceJob(1, 0, 100, 4, 100, "a"), TraceJob(2, 0, 50, 4, 50, "b")))
    metrics = measure(workload, simulate(workload, POLICIES["easy"]))

    assert metrics.utilisation == 1.0
    assert (metrics.wait_mean_s, metrics.wait_max_s, metrics.flow_max_s) == (50.0, 100, 150)
    assert metrics.bounded_slowdown_mean == 2.0
    assert metrics.jain_users == pytest.approx(16 / (2 * 10))


def test_the_command_compares_writes_waits_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.csv"
    log.write_text("job_id,submit_s,run_s,procs,requested_s\n7,0,100,6,100\n8,1,50,8,50\n9,2,40,2,40\n")

    assert command.main([str(log), "--procs", "8", "--policy", "easy", "--waits", str(tmp_path / "waits.csv")]) == 0
    assert (tmp_path / "waits.csv").read_text() == "job_id,wait_s\n7,0\n8,99\n9,0\n"
    assert "3 jobs on 8 processors" in capsys.readouterr().out
    both = [str(log), "--policy", "fcfs", "easy", "--json", "--plot", str(tmp_path / "both.png")]
    assert command.main(both) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["procs"] == 8
    assert told["policies"]["fcfs"]["wait_max_s"] == 148
    assert told["policies"]["easy"]["wait_max_s"] == 99
    assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
    assert command.main([*both, "--waits", str(tmp_path / "waits.csv")]) == 2


def test_users_as_vendors_take_turns_and_a_log_alone_does_not() -> None:
    """One user floods, another comes last with one job: with a queue of its own it is next."""
    rows = [*(TraceJob(n, 0, 10, 8, 10, "flood") for n in range(5)), TraceJob(5, 1, 10, 8, 10, "late")]
    config = replace(POLICIES["default"], hold_after_s=1e6)
    workload = Workload(8, tuple(rows))

    assert simulate(workload, config)[5] == 49
    assert simulate(workload.of_users(), config)[5] == 9


def test_past_use_counts_among_users_and_fades() -> None:
    """Both users hold nothing when the machine becomes free: the one that used it until just now is second."""
    rows = [TraceJob(1, 0, 1000, 8, 1000, "a"), TraceJob(2, 1000, 10, 8, 10, "x")]
    rows += [TraceJob(3, 1001, 10, 8, 10, "a"), TraceJob(4, 1001, 10, 8, 10, "b")]
    config = replace(POLICIES["default"], hold_after_s=1e6)
    workload = Workload(8, tuple(rows)).of_users()

    assert simulate(workload, config) == (0, 0, 19, 9)


def test_no_processor_is_used_twice_with_fifty_users_as_vendors() -> None:
    rows = tuple(TraceJob(n, n // 3, 5 + n % 40, 1 + n % 8, 60, f"u{n % 50}") for n in range(300))
    waits_s = simulate(Workload(8, rows).of_users(), POLICIES["default"])
    spans = [(r.submit_s + w, r.submit_s + w + r.run_s, r.procs) for r, w in zip(rows, waits_s, strict=True)]

    assert all(sum(procs for start, end, procs in spans if start <= now < end) <= 8 for now, _, _ in spans)


def test_the_command_tells_users_and_tunes_the_default_policy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.csv"
    log.write_text("job_id,submit_s,run_s,procs,requested_s,user\n7,0,100,6,100,a\n8,1,50,8,50,b\n9,2,300,2,300,a\n")
    waits, users = tmp_path / "waits.csv", tmp_path / "users.csv"
    run = [str(log), "--procs", "8", "--waits", str(waits), "--vendors", "user", "--users", str(users)]

    # Held at once, the start of job 8 lets job 9 not pass; held late, it does.
    assert command.main([*run, "--hold-after-s", "0"]) == 0
    assert waits.read_text() == "job_id,wait_s\n7,0\n8,99\n9,148\n"
    assert users.read_text().splitlines()[1] == "default,a,2,1200,74.0,148,1.2466666666666666"
    assert command.main([*run, "--hold-after-s", "1000"]) == 0
    assert waits.read_text() == "job_id,wait_s\n7,0\n8,301\n9,0\n"
    capsys.readouterr()
    assert command.main([str(log), "--policy", "easy", "--flow-max-s", "5"]) == 2
    assert "default" in capsys.readouterr().err
    for bad in (["--reservations", "0"], ["--hold-after-s", "-1"], ["--flow-max-s", "nan"], ["--reservations", "x"]):
        with pytest.raises(SystemExit):
            command.main([str(log), *bad])


def test_a_missing_log_ends_with_a_sentence_and_code_two(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "scheduler", "replay", str(tmp_path / "none.swf")]
    found = subprocess.run(run, cwd=ROOT, capture_output=True, text=True)

    assert found.returncode == 2
    assert "none.swf" in found.stderr
    assert "Traceback" not in found.stderr
