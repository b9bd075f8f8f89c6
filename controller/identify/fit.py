r"""Nonlinear least squares within bounds, and how far its answer can be trusted.

Levenberg's and Marquardt's method (Marquardt, "An algorithm for least-squares estimation of nonlinear parameters", SIAM
J. 11(2), 1963): with the Jacobian $J$ of the residuals $r$, the step solves
$(J^T J + \lambda\,\mathrm{diag}(J^T J))\,\delta = -J^T r$; a parameter that is at its bound and wants out stays there.

Intervals are those of the linearised model: covariance $s^2 (J^T J)^{-1}$ with $s^2 = r^T r / (n - p)$, half-width of
95 % = 1.96 standard errors, which supposes independent errors and many more samples than parameters.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.floating[Any]]

NORMAL_95 = 1.96
"""Quantile of the normal distribution for a two-sided interval of 95 %."""

SINGULAR = 1e-9
"""Below this share of the largest singular value, of columns scaled to length 1, a direction counts as undetermined."""


@dataclass(frozen=True)
class Estimate:
    """One identified number: the truth lies within `value` +- `half_width` in 95 of 100 measurements."""

    name: str
    value: float
    half_width: float


@dataclass(frozen=True)
class Fit:
    """What `fit` found.

    Attributes:
        values: (p,).
        half_widths: Of the intervals of 95 %, (p,); infinite where the data say nothing.
        rms: Root mean square of the residuals.
        bic: Bayesian information criterion, $n \\ln(r^T r / n) + p \\ln n$ (Schwarz 1978): of two models of the same
            data the one with the lower number explains more per parameter.
    """

    values: Real
    half_widths: Real
    rms: float
    bic: float


def fit(
    residuals: Callable[[Real], Real],
    start: Sequence[float] | Real,
    lower: Sequence[float] | Real,
    upper: Sequence[float] | Real,
    *,
    steps: int = 100,
) -> Fit:
    """Minimise the sum of squared residuals within bounds, from one start.

    Args:
        residuals: Parameters (p,) to residuals (n,), n > p.
        start: (p,); moved into the bounds.
        lower, upper: (p,), may be infinite.
        steps: Most steps.
    """
    low, high = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    x = np.clip(np.asarray(start, np.float64), low, high)
    r = residuals(x)
    cost, damping = float(r @ r), 1e-3
    for _ in range(steps):
        slope = _jacobian(residuals, x, low, high)
        gradient = slope.T @ r
        free = ~(((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0)))
        before = cost
        while free.any() and damping < 1e12:
            matrix = slope[:, free].T @ slope[:, free]
            scale = np.diag(matrix) + 1e-12 * max(float(np.diag(matrix).max()), 1e-300)
            trial = x.copy()
            trial[free] += np.linalg.solve(matrix + damping * np.diag(scale), -gradient[free])
            trial = np.clip(trial, low, high)
            r_trial = residuals(trial)
            cost_trial = float(r_trial @ r_trial)
            if cost_trial < cost:
                x, r, cost, damping = trial, r_trial, cost_trial, max(damping / 5.0, 1e-9)
                break
            damping *= 5.0
        if before - cost <= 1e-10 * before:
            break
    n, p = len(r), len(x)
    errors = _standard_errors(_jacobian(residuals, x, low, high)) * math.sqrt(cost / (n - p))
    bic = n * math.log(max(cost / n, 1e-300)) + p * math.log(n)
    return Fit(x, NORMAL_95 * errors, math.sqrt(cost / n), bic)


def _jacobian(residuals: Callable[[Real], Real], x: Real, low: Real, high: Real) -> Real:
    columns = []
    for index in range(len(x)):
        h = 1e-6 * max(abs(float(x[index])), 1e-3)
        up, down = x.copy(), x.copy()
        up[index], down[index] = min(x[index] + h, high[index]), max(x[index] - h, low[index])
        columns.append((residuals(up) - residuals(down)) / (up[index] - down[index]))
    return np.stack(columns, axis=1)


def _standard_errors(slope: Real) -> Real:
    """Return the square roots of the diagonal of (J^T J)^-1; infinite where a direction is not determined."""
    lengths = np.linalg.norm(slope, axis=0)
    errors = np.full(len(lengths), np.inf)
    seen = lengths > 0.0
    if not seen.any():
        return errors
    _, singular, directions = np.linalg.svd(slope[:, seen] / lengths[seen], full_matrices=False)
    known = singular > SINGULAR * singular[0]
    variances = (directions[known] ** 2 / singular[known, None] ** 2).sum(axis=0)
    variances[(directions[~known] ** 2 > 1e-6).any(axis=0)] = np.inf
    errors[seen] = np.sqrt(variances) / lengths[seen]
    return errors
