"""Scenarios: time to build each scene, physics steps a second under the scripted policy, and who passes and fails.

Rates are of processor time, so that a busy machine does not change them. A whole row of trials (40 scenarios, four
levels, all robot classes, pass and fail) takes minutes: by default each scenario is looked at on one level in turn.
"""

import os
import time
from statistics import median
from typing import Any

from sim.scenarios.catalogue import robots_for
from sim.scenarios.drive import CONTROL_PERIOD_S
from sim.scenarios.names import LEVELS
from sim.scenarios.scenario import scenarios
from sim.scenarios.trial import Trial

ALL = "PALAESTRA_BENCH_ALL"
"""Set to 1 in the environment for all four levels of each."""


def run() -> dict[str, Any]:
    """Return a row for each scenario, level and robot, and medians."""
    rows = []
    for i, scenario in enumerate(scenarios().values()):
        for level in LEVELS if os.environ.get(ALL) == "1" else (1 + i % 4,):
            for entry in robots_for(scenario):
                began = time.process_time()
                trial = Trial(scenario, entry, level=level, seed=0)
                built = time.process_time()
                for _ in trial.steps("pass"):
                    pass
                ended = time.process_time()
                physics = trial.scene.model.opt.timestep
                steps = round(trial.time_s / CONTROL_PERIOD_S) * round(CONTROL_PERIOD_S / physics)
                failing = Trial(scenario, entry, level=level, seed=0)
                for _ in failing.steps("fail"):
                    pass
                rows.append(
                    {
                        "scenario": scenario.id,
                        "level": level,
                        "robot": entry.id,
                        "build_s": built - began,
                        "steps_per_cpu_s": steps / (ended - built),
                        "real_time_factor": trial.time_s / (ended - built),
                        "passes": trial.outcome().success,
                        "fails": not failing.outcome().success,
                    }
                )
    return {
        "rows": rows,
        "scenarios": len(scenarios()),
        "median_build_s": median(float(row["build_s"]) for row in rows),
        "median_steps_per_cpu_s": median(float(row["steps_per_cpu_s"]) for row in rows),
        "median_real_time_factor": median(float(row["real_time_factor"]) for row in rows),
        "passes": f"{sum(bool(row['passes']) for row in rows)}/{len(rows)}",
        "fails": f"{sum(bool(row['fails']) for row in rows)}/{len(rows)}",
    }
