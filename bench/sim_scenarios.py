"""Scenarios: time to build each scene, physics steps a second under the scripted policy, and who passes and fails.

Rates are of processor time, so that a busy machine does not change them much. Whole trials (40 scenarios, four levels,
all robot classes, pass and fail) take the better part of an hour: by default each scenario is built on one level in
turn and its script watched for `SAMPLE_S`; nothing is then said of who passes.
"""

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from sim.catalog import Entry
from sim.scenarios.catalogue import robots_for
from sim.scenarios.drive import CONTROL_PERIOD_S
from sim.scenarios.names import LEVELS
from sim.scenarios.scenario import Scenario, scenarios
from sim.scenarios.trial import Trial

ALL = "PALAESTRA_BENCH_ALL"
"""Set to 1 in the environment for whole trials at all four levels of each."""
SAMPLE_S = 2.0
"""Simulated time."""
PAGE = Path(__file__).parent.parent / "docs" / "scenarios.md"


def run() -> dict[str, Any]:
    """Return a row for each scenario, level and robot, and medians."""
    whole = os.environ.get(ALL) == "1"
    rows = [_row(*one, whole=whole) for one in _wanted(whole)]
    found: dict[str, Any] = {
        "rows": rows,
        "scenarios": len(scenarios()),
        "median_build_s": median(float(row["build_s"]) for row in rows),
        "median_steps_per_cpu_s": median(float(row["steps_per_cpu_s"]) for row in rows),
        "median_real_time_factor": median(float(row["real_time_factor"]) for row in rows),
    }
    if whole:
        found |= {name: f"{sum(bool(row[name]) for row in rows)}/{len(rows)}" for name in ("passes", "fails")}
    return found


def _wanted(whole: bool) -> Iterator[tuple[Scenario, int, Entry]]:
    for i, scenario in enumerate(scenarios().values()):
        for level in LEVELS if whole else (1 + i % 4,):
            for entry in robots_for(scenario):
                yield scenario, level, entry


def _row(scenario: Scenario, level: int, entry: Entry, *, whole: bool) -> dict[str, Any]:
    began = time.process_time()
    trial = Trial(scenario, entry, level=level, seed=0)
    built = time.process_time()
    for _ in trial.steps("pass"):
        if not whole and trial.time_s >= SAMPLE_S:
            break
    ended = time.process_time()
    steps = round(trial.time_s / CONTROL_PERIOD_S) * round(CONTROL_PERIOD_S / trial.scene.model.opt.timestep)
    row: dict[str, Any] = {
        "scenario": scenario.id,
        "sector": scenario.sector,
        "level": level,
        "robot": entry.id,
        "build_s": built - began,
        "steps_per_cpu_s": steps / (ended - built),
        "real_time_factor": trial.time_s / (ended - built),
    }
    if whole:
        failing = Trial(scenario, entry, level=level, seed=0)
        for _ in failing.steps("fail"):
            pass
        row |= {"passes": trial.outcome().success, "fails": not failing.outcome().success}
    return row


def table(result: Mapping[str, Any]) -> str:
    """Return the rows of a result as Markdown, a line for each scenario and level with its robots side by side."""
    together: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in result["rows"]:
        together.setdefault((row["sector"], row["scenario"], row["level"]), []).append(row)
    lines = ["| scenario | level | robots | to build [s] | steps/s | times real time |", "|---|---|---|---|---|---|"]
    for (sector, scenario, level), rows in together.items():
        robots = ", ".join(str(row["robot"]).removeprefix("own_") for row in rows)
        figures = (
            _beside(rows, "build_s", "{:.2f}"),
            _beside(rows, "steps_per_cpu_s", "{:,.0f}"),
            _beside(rows, "real_time_factor", "{:.1f}"),
        )
        lines.append(f"| {sector}/{scenario} | L{level} | {robots} | {' | '.join(figures)} |")
    lines.append(
        f"| median of {len(result['rows'])} | | | {result['median_build_s']:.2f} "
        f"| {result['median_steps_per_cpu_s']:,.0f} | {result['median_real_time_factor']:.1f} |"
    )
    return "\n".join(lines)


def _beside(rows: Sequence[Mapping[str, Any]], name: str, form: str) -> str:
    return "; ".join(form.format(row[name]) for row in rows)
