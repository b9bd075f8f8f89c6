"""What no reader of a scenario's file can tell: whether its success can be had at all, and whether it can be missed.

Both are tried at level 1, where nothing is drawn, with our own robot of the file's first class: the script that passes
must, and a robot that does nothing must not. `palaestra scenarios check` tries all levels, classes and mistakes.
"""

import dataclasses
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sim.check.finding import Key
from sim.scenarios.catalogue import robots_for
from sim.scenarios.scenario import parse_scenario, scenario_ids
from sim.scenarios.trial import Trial, run

_IDLE_S = 1.0
"""So long beyond what success must last a robot that does nothing is watched."""


def proof(tables: Mapping[str, Any], path: Path) -> Iterator[tuple[Key, str, bool]]:
    """Yield (key, reason, whether it is a note) where success cannot be reached, or not missed.

    A file that says what one of ours says is not tried again: tests have.
    """
    shipped = scenario_ids().get(path.stem)
    if shipped is not None and tomllib.loads(shipped.read_text("utf-8")) == dict(tables):
        return
    scenario = parse_scenario(tables, id_=path.stem, sector=path.parent.name)
    entry = next(iter(robots_for(scenario)), None)
    if entry is None:
        yield ("robot_classes",), "no robot of our own is of these classes: its success was not tried", True
        return
    watched_s = min(scenario.limits.time_max_s, float(scenario.goal.get("hold_s", 0.0)) + _IDLE_S)
    watched = dataclasses.replace(scenario, limits=dataclasses.replace(scenario.limits, time_max_s=watched_s))
    idle = Trial(watched, entry, level=1, seed=0)
    for _ in idle.steps("idle"):
        pass
    if not idle.work.missing():
        yield (
            ("goal",),
            f"success cannot fail: a robot that does nothing ({entry.id}) succeeds within {watched_s:g} s",
            False,
        )
        return
    outcome = run(scenario, entry, level=1, seed=0, policy="pass")
    if not outcome.success:
        why = "; ".join(outcome.why)
        yield (
            ("goal",),
            f"success cannot be reached: the script that should pass with {entry.id} does not: {why}",
            False,
        )
