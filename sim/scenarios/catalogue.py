"""The catalogue of scenarios as tables for people and as JSON for programs, and the runs that prove a file."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from sim.catalog import Entry, find
from sim.listing import print_table
from sim.scenarios.draws import QUANTITIES, ranges_at
from sim.scenarios.families import FAMILIES
from sim.scenarios.names import LEVELS, SECTORS
from sim.scenarios.scenario import Scenario, find_scenario, scenarios
from sim.scenarios.trial import POLICIES, Outcome, run

OWN = {"arm": "own_arm", "dual_arm": "own_torso", "mobile_base": "own_mobile_base", "quadruped": "own_quadruped"}
"""The robot of each class that stands in where none is named: our own, which every machine has."""


@dataclass(frozen=True)
class Tried:
    """One trial and what came of it. `as_meant`: only the policy that passes succeeded."""

    scenario: str
    level: int
    robot: str
    seed: int
    policy: str
    outcome: Outcome
    processor_s: float

    @property
    def as_meant(self) -> bool:
        """Whether the trial ended as its policy should."""
        return self.outcome.success == (self.policy == "pass")


def robots_for(scenario: Scenario) -> list[Entry]:
    """Return one robot of each of the scenario's classes."""
    return [find(OWN[name]) for name in scenario.robot_classes if name in OWN]


def list_scenarios(*, sector: str = "", as_json: bool = False) -> None:
    """Print all scenarios, of one sector if it is named. Raises BrokenScenario."""
    chosen = [one for one in scenarios().values() if sector in ("", one.sector)]
    if as_json:
        print(json.dumps({"scenarios": [_summary(one) for one in chosen]}, indent=2))
        return
    rows = [("id", "sector", "family", "for", "title")]
    rows += [(s.id, s.sector, s.family, ", ".join(s.robot_classes), s.title) for s in chosen]
    print_table(rows)
    print(f"{len(chosen)} scenarios of {len({s.sector for s in chosen})} sectors, each at levels L1 to L4")


def show_scenario(id_: str, *, as_json: bool) -> None:
    """Print one scenario whole. Raises UnknownScenario, BrokenScenario, OSError."""
    one = find_scenario(id_)
    if as_json:
        print(json.dumps(_summary(one) | _details(one), indent=2))
        return
    print(f"{one.id}: {one.title}")
    rows: list[tuple[str, ...]] = [("", "")]
    rows += [("sector", SECTORS[one.sector]), ("family", f"{one.family}: {FAMILIES[one.family].title}")]
    rows += [("demand", one.demand), ("success", FAMILIES[one.family].success), ("for", ", ".join(one.robot_classes))]
    rows += [(key, f"{value}") for key, value in one.conditions.items()]
    rows += [(f"goal {key}", f"{value}") for key, value in one.goal.items()]
    rows += [(key, f"{value:g}") for key, value in asdict(one.limits).items() if value != float("inf")]
    rows += [(f"fixture {piece.name}", piece.kind) for piece in one.pieces]
    for level, what in LEVELS.items():
        rows.append((f"L{level}", what))
        for name, (low, high) in ranges_at(one.levels, level).items():
            rows.append(("", f"{name} from {low:g} to {high:g}: {QUANTITIES[name].what}"))
    rows += [(key, str(value)) for key, value in asdict(one.economics).items()]
    print_table(rows[1:])


def _summary(one: Scenario) -> dict[str, Any]:
    return {
        "id": one.id,
        "title": one.title,
        "sector": one.sector,
        "family": one.family,
        "robot_classes": list(one.robot_classes),
    }


def _details(one: Scenario) -> dict[str, Any]:
    family = FAMILIES[one.family]
    return {
        "demand": one.demand,
        "success": family.success,
        "conditions": dict(one.conditions),
        "fixtures": [{"name": piece.name, "kind": piece.kind} for piece in one.pieces],
        "goal": dict(one.goal),
        "limits": {key: value for key, value in asdict(one.limits).items() if value != float("inf")},
        "levels": {str(level): ranges_at(one.levels, level) for level in LEVELS},
        "economics": asdict(one.economics),
    }


def try_out(
    chosen: Sequence[Scenario],
    *,
    levels: Sequence[int],
    seeds: Sequence[int],
    policies: Sequence[str] = POLICIES,
    robot: str = "",
    workers: int = 1,
) -> Iterator[Tried]:
    """Run trials: each scenario, level, robot, seed and policy.

    Args:
        chosen: Which scenarios.
        levels, seeds, policies: Of each.
        robot: One of the catalogue; else our own of every class that the scenario is for.
        workers: How many processes.

    Raises:
        Misfit, UnknownRobot, MissingModel, BrokenScenario: as `sim.scenarios.trial.run`.
    """
    work = [
        (scenario, entry.id, level, seed, policy)
        for scenario in chosen
        for entry in ([find(robot)] if robot else robots_for(scenario))
        for level in levels
        for seed in seeds
        for policy in policies
    ]
    if workers <= 1:
        yield from map(_one, work)
        return
    # Not forked: the caller may have threads.
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_one, work)


def _one(work: tuple[Scenario, str, int, int, str]) -> Tried:
    scenario, robot, level, seed, policy = work
    began = time.process_time()
    outcome = run(scenario, find(robot), level=level, seed=seed, policy=policy)
    return Tried(scenario.id, level, robot, seed, policy, outcome, time.process_time() - began)


def print_runs(scenario: Scenario, tried: Iterator[Tried], *, as_json: bool) -> int:
    """Print a scenario's trials as they end and what they cost; return how many did not end as they should."""
    all_of_them = []
    for one in tried:
        all_of_them.append(one)
        if not as_json:
            o = one.outcome
            verdict = "success" if o.success else "; ".join(o.why)
            mark = "" if one.as_meant else "  <- not as it should be"
            print(
                f"{one.scenario} L{one.level} {one.robot} seed {one.seed} {one.policy}: {verdict}; "
                f"{o.time_s:.1f} s, {o.force_n:.0f} N, {o.energy_j:.0f} J, {o.falls} falls, {o.damage} damage{mark}",
                flush=True,
            )
    wrong = sum(not one.as_meant for one in all_of_them)
    if as_json:
        print(json.dumps({"trials": [asdict(one) for one in all_of_them], "not_as_meant": wrong}, indent=2))
        return wrong
    passes = [one for one in all_of_them if one.policy == "pass"]
    if passes:
        _print_economics(scenario, passes)
    print(f"{len(all_of_them)} trials, {wrong} not as they should be")
    return wrong


def _print_economics(scenario: Scenario, passes: Sequence[Tried]) -> None:
    cycle_s = sum(one.outcome.time_s for one in passes) / len(passes)
    rate = sum(one.outcome.success for one in passes) / len(passes)
    years = scenario.economics.payback_years(max(cycle_s, 0.01), rate)
    paid = f"paid back after {years:.2g} years" if years < 100 else "never paid back"
    print(f"{scenario.id}: {rate:.0%} of {len(passes)} passed, cycle {cycle_s:.1f} s: {paid}")


def check_scenarios(path: Path | None, menagerie_root: Path | None, *, seeds: Sequence[int], as_json: bool) -> int:
    """Check files and then run them at all levels: success must be reached by the policy that passes, and by no other.

    Returns 1 if anything is wrong. Raises OSError.
    """
    from sim.check import check_path
    from sim.scenarios.scenario import FOLDER, load_scenario

    path = path or FOLDER
    findings = [one for one in check_path(path, menagerie_root=menagerie_root, prove=False) if not one.is_note]
    if findings:
        if as_json:
            print(json.dumps({"findings": [asdict(one) for one in findings]}, indent=2))
        else:
            print(*findings, sep="\n")
        return 1
    files = sorted(path.rglob("*.toml")) if path.is_dir() else [path]
    chosen = [load_scenario(file) for file in files]
    workers = max(1, len(os.sched_getaffinity(0)) // 2)
    wrong = [one for one in try_out(chosen, levels=tuple(LEVELS), seeds=seeds, workers=workers) if not one.as_meant]
    for one in wrong if not as_json else ():
        print(f"{one.scenario} L{one.level} {one.robot} seed {one.seed}: {_reason(one)}")
    if as_json:
        print(json.dumps({"findings": [], "not_as_meant": [asdict(one) for one in wrong]}, indent=2))
    else:
        print(f"{len(chosen)} scenarios: {len(wrong) or 'no'} trial{'' if len(wrong) == 1 else 's'} not as meant")
    return 1 if wrong else 0


def _reason(one: Tried) -> str:
    if one.policy == "pass":
        return f"the scripted policy that should pass did not: {'; '.join(one.outcome.why)}"
    if one.policy == "idle":
        return "success cannot fail: a robot that does nothing succeeds"
    return "success cannot fail: the scripted policy with a mistake succeeds"
