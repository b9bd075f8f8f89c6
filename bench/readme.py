"""Writes measured figures into the README, between two marks, so that no figure there is typed by hand."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

README = Path(__file__).parent.parent / "README.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"

# Measurement, figure, what it is, unit.
ROWS = (
    ("submit", "first_torque_ms_p50", "submit call to first torque of an idle robot, median", "ms"),
    ("submit", "first_torque_ms_p95", "the same, 95th percentile", "ms"),
    ("scheduler-cycle", "cold_fill_grants_per_s", "10,000 units filled from 100,000 queued gangs", "grants/s"),
    ("scheduler-cycle", "cycle_ms_p50", "a decision there after 100 releases, with its book-keeping, median", "ms"),
    ("scheduler-cycle", "cycle_ms_p95", "the same, 95th percentile", "ms"),
    ("scheduler-cycle", "cold_fill_grant_in_loops", "one grant of the fill, in turns of an empty Python loop", ""),
    ("scheduler-cycle", "cycle_in_loops", "such a decision, in turns of an empty Python loop", ""),
    ("scheduler-cycle", "ratio_1m_queued", "the same with 1,000,000 queued, over the first, same run", ""),
    ("scheduler-cycle", "ratio_5000_shapes", "the same with 5,000 shapes instead of 400", ""),
    ("scheduler-cycle", "ratio_with_rules", "the same with calendars, reservations and preemption", ""),
    (
        "scheduler-live",
        "cycle_ms_p50",
        "a live cycle after as much, with database, grants and commit, median",
        "ms",
    ),
    ("scheduler-live", "look_cpu_ms_p50", "of it, keeping the standing up with the database, processor time", "ms"),
    ("scheduler-live", "anew_cpu_ms", "reading and indexing the whole venue instead, processor time", "ms"),
    ("scheduler-submit", "unary_per_s", "durable submissions, one job a call", "/s"),
    ("scheduler-submit", "batch100_jobs_per_s", "durable submissions, 100 jobs a call", "jobs/s"),
    ("scheduler-submit", "ratio_to_empty_handler", "the first over calls of an empty gRPC handler, same run", ""),
    (
        "scheduler-submit",
        "submit_to_grant_ms_p50",
        "submission to its grant's event, 500 a second, median",
        "ms",
    ),
    ("scheduler-submit", "submit_to_grant_ms_p99", "the same, 99th percentile", "ms"),
    ("scheduler-heartbeat", "heartbeat_percent_of_core", "heartbeats of 10,000 leases, of one core", "%"),
    ("scheduler-heartbeat", "watched_events_per_s", "events delivered to 1,000 watchers", "/s"),
    ("scheduler-noise", "p99_ratio", "a vendor's p99 beside one at ten times its rate, over that alone", ""),
    ("control-kernel", "joint_updates_per_s", "joint updates of the control kernel, one core", "/s"),
    ("control-kernel", "ratio_to_numpy", "the same over its NumPy reference", ""),
    ("control-kernel", "differing_bits", "bits in which the two differ", ""),
    ("control-tick", "tick_us", "one tick of one 29-joint robot", "µs"),
    ("sim-slot", "ratio_to_raw_min", "a sim slot's physics over a plain C loop, slowest of seven robots, same run", ""),
    ("sim-slot", "ratio_to_raw_with_actuators_min", "the same with core, friction, play and heat in each substep", ""),
    ("sim-vector", "ratio_to_raw_min", "64 environments over a plain C loop, slowest of six robots, same run", ""),
    ("sim-vector", "ratio_with_actuators_min", "the same with our actuators in each substep", ""),
    (
        "sim-transport",
        "shared_memory_1",
        "a slot in a process of its own over one in this process, 1 world, same run",
        "",
    ),
    ("sim-transport", "shared_memory_16", "the same with 16 worlds", ""),
    ("sim-transport", "grpc_64", "the same over a gRPC stream, 64 worlds", ""),
    ("sim-memory", "bytes_per_world", "memory of a slot per world of a 29-joint humanoid", "bytes"),
    ("sim-memory", "start_s", "from asking for a slot of it to its first step, best of 5", "s"),
    ("sim-render", "g1_fps", "pictures of a G1, 320 x 240, without a graphics card", "/s"),
    ("sim-render", "g1_ratio_to_fast_renderer", "the same over MuJoCo's Renderer, fastest settings, same run", ""),
    ("store-ingest", "sealed_mb_per_s", "episodes recorded and sealed, one core", "MB/s"),
    ("store-windows", "windows_per_s", "random 64-step windows of two signals of 29 joints, one core", "/s"),
    ("store-windows", "ratio_to_lerobot", "the same over LeRobot's own loader of the same rows, same run", ""),
    ("store-share", "decision_durable_p99_ms", "a decision to share with its note on the disk, 99th percentile", "ms"),
    ("store-audit", "events_per_s", "notes in the Merkle log, each on the disk, 64 threads", "/s"),
    ("store-audit", "proof_ms_p99", "a proof among a million of them, 99th percentile", "ms"),
    ("control-loop", "p99_lateness_us", "lateness of the compiled loop beside busy Python, 500 Hz, p99", "µs"),
    ("control-loop", "p99_percent_of_python", "the same over that of a Python loop, same run", "%"),
    ("control-loop", "unaccounted_ticks", "ticks that neither ran nor were counted as missed", ""),
)


def write_figures(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace what stands between the marks by a table of the results' figures."""
    write_between(README, _table(results))


def write_between(page: Path, table: str) -> None:
    """Replace what stands between the marks of a page. Raises ValueError where it has none."""
    text = page.read_text("utf-8")
    found, count = re.subn(
        f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: f"{BEGIN}\n{table}\n{END}", text, flags=re.DOTALL
    )
    if count != 1:
        raise ValueError(f"{page.name}: {count} places between {BEGIN} and {END}, not one")
    page.write_text(found, "utf-8")


def _table(results: Mapping[str, Mapping[str, Any]]) -> str:
    lines = ["| what | figure |", "|---|---|"]
    for name, key, what, unit in ROWS:
        # What needs a compiler has no figure without one.
        if name in results and results[name][key] is not None:
            lines.append(f"| {what} | {f'{results[name][key]:,} {unit}'.rstrip()} |")
    some = next(iter(results.values()))["machine"]
    lines.append("")
    lines.append(
        f"{some['processor']}, {some['cores']} cores, load {some['load_1min']} at the start, Python {some['python']}."
    )
    return "\n".join(lines)
