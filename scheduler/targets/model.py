"""Max-min fair shares of unlike robots, as a linear program. Pure.

After Gavel's max-min policy (Narayanan et al., OSDI 2020, section 4.1): tenant m gets on average x_mj of the n_j units
of class j, on which its work runs at speed T_mj, so that the smallest of all tenants'

    sum_j T_mj x_mj / sum_j T_mj n_j w_m / W,    W = sum of weights w_m,

is as large as can be: how much faster each gets on than with its share by weight of every class. The share by weight
itself scores 1, so the best is never below. Among the best, one with the largest sum of these ratios is taken, so that
nothing is left idle that would be of use.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import highspy
import numpy as np

Shares = dict[str, dict[str, float]]


class Unsolved(Exception):
    """The solver found no optimum: no time left, or a defect."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """`speed` by class, in any one unit; what is missing is of no use to it."""

    weight: float
    speed: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Problem:
    """`units` by robot class, and who wants them."""

    units: Mapping[str, int]
    tenants: Mapping[str, Tenant]


@dataclass(frozen=True, slots=True)
class Solution:
    """`level`: the smallest ratio, at least 1. `units`: by tenant and class, how many it should have on average."""

    level: float
    units: Shares


def useful(problem: Problem) -> Problem:
    """Return the problem without tenants who can use nothing and classes without units."""
    units = {name: count for name, count in problem.units.items() if count > 0}
    tenants = {
        name: Tenant(tenant.weight, {g: v for g, v in tenant.speed.items() if v > 0 and g in units})
        for name, tenant in problem.tenants.items()
    }
    return Problem(units, {name: tenant for name, tenant in tenants.items() if tenant.speed})


def solve(problem: Problem, time_limit_s: float) -> Solution:
    """Return the max-min fair shares. Raises Unsolved."""
    problem = useful(problem)
    if not problem.tenants:
        return Solution(1.0, {})
    columns = [(name, g) for name, tenant in sorted(problem.tenants.items()) for g in sorted(tenant.speed)]
    rates = _rates(problem, columns)
    level, _ = _optimum(problem, columns, rates, None, time_limit_s)
    # A hair below the optimum, or rounding could leave the second program without a solution.
    _, amounts = _optimum(problem, columns, rates, level * (1 - 1e-9), time_limit_s)
    units: Shares = {name: {} for name in problem.tenants}
    for (name, g), amount in zip(columns, amounts, strict=True):
        units[name][g] = max(0.0, float(amount))
    return Solution(level, units)


def ratios(problem: Problem, units: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return how much faster each tenant gets on with these units than with its share by weight of everything."""
    columns = [(name, g) for name, tenant in problem.tenants.items() for g in tenant.speed]
    found = dict.fromkeys(problem.tenants, 0.0)
    for (name, g), rate in zip(columns, _rates(problem, columns), strict=True):
        found[name] += rate * units.get(name, {}).get(g, 0.0)
    return found


def factors(problem: Problem, solution: Solution) -> dict[str, float]:
    """Return by what to multiply each tenant's weight: its share of all units given out over its share by weight."""
    total = sum(sum(units.values()) for units in solution.units.values())
    weights = sum(problem.tenants[name].weight for name in solution.units)
    return {
        name: sum(units.values()) / total / (problem.tenants[name].weight / weights)
        for name, units in solution.units.items()
        if total
    }


def _rates(problem: Problem, columns: list[tuple[str, str]]) -> list[float]:
    """Return what one unit of each column adds to its tenant's ratio."""
    weights = sum(tenant.weight for tenant in problem.tenants.values())
    due = {
        name: tenant.weight / weights * sum(v * problem.units[g] for g, v in tenant.speed.items())
        for name, tenant in problem.tenants.items()
    }
    return [problem.tenants[name].speed[g] / due[name] for name, g in columns]


def _optimum(
    problem: Problem, columns: list[tuple[str, str]], rates: list[float], level: float | None, time_limit_s: float
) -> tuple[float, list[float]]:
    """Maximise the smallest ratio, or, with that held at `level`, the sum of all; return the value and the columns."""
    tenants, classes = sorted(problem.tenants), sorted(problem.units)
    tenant_row = {name: row for row, name in enumerate(tenants)}
    class_row = {g: len(tenants) + row for row, g in enumerate(classes)}
    # The last column is the smallest ratio.
    count = len(columns) + 1
    program = highspy.HighsLp()
    program.num_col_, program.num_row_ = count, len(tenants) + len(classes)
    program.sense_ = highspy.ObjSense.kMaximize
    program.col_cost_ = np.array([0.0] * len(columns) + [1.0] if level is None else [*rates, 0.0])
    program.col_lower_ = np.array([0.0] * len(columns) + [0.0 if level is None else level])
    program.col_upper_ = np.array([highspy.kHighsInf] * len(columns) + [highspy.kHighsInf if level is None else level])
    program.row_lower_ = np.array([0.0] * len(tenants) + [-highspy.kHighsInf] * len(classes))
    program.row_upper_ = np.array([highspy.kHighsInf] * len(tenants) + [float(problem.units[g]) for g in classes])
    starts, rows, values = [0], [], []
    for (name, g), rate in zip(columns, rates, strict=True):
        rows += [tenant_row[name], class_row[g]]
        values += [rate, 1.0]
        starts.append(len(rows))
    rows += range(len(tenants))
    values += [-1.0] * len(tenants)
    starts.append(len(rows))
    program.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    program.a_matrix_.start_ = np.array(starts)
    program.a_matrix_.index_ = np.array(rows)
    program.a_matrix_.value_ = np.array(values)
    solver = highspy.Highs()
    solver.setOptionValue("output_flag", False)
    solver.setOptionValue("threads", 1)
    solver.setOptionValue("time_limit", time_limit_s)
    solver.passModel(program)
    solver.run()
    status = solver.getModelStatus()
    if status != highspy.HighsModelStatus.kOptimal:
        raise Unsolved(solver.modelStatusToString(status))
    found = list(solver.getSolution().col_value)
    return found[-1], found[:-1]
