r"""The two-node thermal model from a winding temperature under changing load.

The model is that of `Thermal` and `controller/physics.py`, here in continuous time and integrated by Heun's method from
sample to sample, so that a recording may be much coarser than a control tick:
$t_w \dot\theta_w = f P - (\theta_w - \theta_c)$,
$t_c \dot\theta_c = \frac{1 - f}{f} (\theta_w - \theta_c) - (\theta_c - \theta_a)$,
with the losses $P$ given there. One node, for comparison: $t \dot\theta = P - (\theta - \theta_a)$.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.actuator import Thermal
from controller.errors import NotExcitedError, TraceError
from controller.identify.fit import Estimate, fit

Real = npt.NDArray[np.floating[Any]]

_ADVICE = {
    "tau_rated_nm": "heat it more",
    "winding_share": "step the load and sample faster than the winding warms, then hold it until the case is warm",
    "winding_s": "step the load and sample faster than the winding warms",
    "case_s": "hold the load, or let it cool, for longer than the case takes",
}

RELATIVE_MAX = 0.5
"""A number whose interval is wider than this share of it counts as open."""


@dataclass(frozen=True)
class ThermalSamples:
    """A recording at a fixed rate that begins with everything at `start_c`.

    Attributes:
        period_s: Between two samples, > 0.
        tau_nm: Motor torque from each sample to the next (its root mean square, where it changes within), (n,).
        winding_c: Temperature of the winding at each sample, (n,).
        ambient_c, start_c: Temperature of the surroundings, and of winding and case at the first sample.

    Raises:
        TraceError: different lengths, too short, or not finite.
    """

    period_s: float
    tau_nm: Real
    winding_c: Real
    ambient_c: float
    start_c: float

    def __post_init__(self) -> None:
        if self.tau_nm.shape != self.winding_c.shape or self.tau_nm.ndim != 1 or len(self.tau_nm) < 50:
            raise TraceError(
                f"{self.tau_nm.shape} torques, {self.winding_c.shape} temperatures: need 50 of each or more"
            )
        if not (math.isfinite(self.period_s) and self.period_s > 0.0):
            raise TraceError(f"period_s = {self.period_s!r}: must be finite and above 0")
        for name in ("tau_nm", "winding_c", "ambient_c", "start_c"):
            if not np.isfinite(getattr(self, name)).all():
                raise TraceError(f"{name}: must be finite")


@dataclass(frozen=True)
class ThermalFit:
    """A thermal model fitted to a recording.

    Attributes:
        nodes: 2, or 1 for the comparison.
        thermal: The numbers, ready for `JointPhysics`; None for one node.
        estimates: The same with their intervals.
        open: What the recording does not determine, by name, each with what to measure.
        predicted_c: Temperature of the winding by the model, (n,).
        rms_k: Root mean square of what the model leaves unexplained.
        bic: Bayesian information criterion; lower is better.
    """

    nodes: int
    thermal: Thermal | None
    estimates: tuple[Estimate, ...]
    open: Mapping[str, str]
    predicted_c: Real
    rms_k: float
    bic: float


def fit_thermal(
    samples: ThermalSamples,
    *,
    limit_c: float = 120.0,
    derate_from_c: float = 110.0,
    copper_per_k: float = 0.0039,
    nodes: int = 2,
    strict: bool = True,
) -> ThermalFit:
    """Fit the model with two nodes, or with one.

    Args:
        samples: The recording.
        limit_c, derate_from_c, copper_per_k: As in `Thermal`; not identified.
        nodes: 2, or 1 to see how much worse that is.
        strict: Refuse a recording that leaves numbers open; otherwise they are listed in `open`.

    Raises:
        NotExcitedError: the winding hardly warmed, or `strict` and a number is open.
        TraceError: `nodes` is neither 1 nor 2.
    """
    if nodes not in (1, 2):
        raise TraceError(f"nodes = {nodes!r}: must be 1 or 2")
    rise_k = limit_c - samples.ambient_c
    noise_k = float(np.std(np.diff(samples.winding_c))) / math.sqrt(2.0)
    warmed_k = float(np.ptp(samples.winding_c))
    if warmed_k < max(10.0 * noise_k, 1.0):
        raise NotExcitedError(f"the winding changed by {warmed_k:.2g} K only: {_ADVICE['tau_rated_nm']}")
    names = ("tau_rated_nm", "winding_share", "winding_s", "case_s") if nodes == 2 else ("tau_rated_nm", "case_s")
    span_s = samples.period_s * len(samples.tau_nm)
    losses = (samples.tau_nm**2).tolist()

    def numbers(x: Real) -> tuple[float, ...]:
        # Logarithms, and a logit for the share: all signs hold by themselves, and steps are relative.
        return tuple(
            1.0 / (1.0 + math.exp(-v)) if n == "winding_share" else math.exp(v) for n, v in zip(names, x, strict=True)
        )

    def predict(x: Real) -> Real:
        simulate: Callable[..., list[float]] = _two_nodes if nodes == 2 else _one_node
        gain = rise_k / (1.0 + copper_per_k * rise_k)
        return np.array(
            simulate(losses, samples.period_s, samples.ambient_c, samples.start_c, gain, copper_per_k, *numbers(x))
        )

    peak = float(np.abs(samples.tau_nm).max())
    starts = [(0.3 * peak, 0.3, span_s / 60.0, span_s / 4.0), (0.6 * peak, 0.3, span_s / 300.0, span_s / 20.0)]
    floor_s, ceiling_s = samples.period_s, 100.0 * span_s
    limits = {
        "tau_rated_nm": (math.log(1e-3 * peak), math.log(1e3 * peak)),
        "winding_share": (-6.0, 6.0),
        "winding_s": (math.log(floor_s), math.log(ceiling_s)),
        "case_s": (math.log(floor_s), math.log(ceiling_s)),
    }
    found = min(
        (
            fit(
                lambda x: predict(x) - samples.winding_c,
                [
                    math.log(v / (1.0 - v)) if n == "winding_share" else math.log(v)
                    for n, v in zip(limits, start, strict=True)
                    if n in names
                ],
                [limits[name][0] for name in names],
                [limits[name][1] for name in names],
                steps=40,
            )
            for start in starts
        ),
        key=lambda each: each.rms,
    )
    values = dict(zip(names, numbers(found.values), strict=True))
    slopes = {name: value * (1.0 - value) if name == "winding_share" else value for name, value in values.items()}
    estimates = tuple(
        Estimate(name, values[name], float(half) * slopes[name])
        for name, half in zip(names, found.half_widths, strict=True)
    )
    still_open = {
        each.name: f"{each.value:.3g} +- {each.half_width:.3g}: {_ADVICE[each.name]}"
        for each in estimates
        if not each.half_width < RELATIVE_MAX * each.value
    }
    if strict and still_open:
        told = "; ".join(f"{name}: {advice}" for name, advice in still_open.items())
        raise NotExcitedError(f"the recording does not determine the thermal model: {told}")
    given = {"ambient_c": samples.ambient_c, "limit_c": limit_c, "derate_from_c": derate_from_c}
    return ThermalFit(
        nodes=nodes,
        thermal=Thermal(**values, **given, copper_per_k=copper_per_k) if nodes == 2 else None,
        estimates=estimates,
        open=still_open,
        predicted_c=predict(found.values),
        rms_k=found.rms,
        bic=found.bic,
    )


def _two_nodes(
    squares: list[float], period_s: float, ambient: float, start: float, gain: float, copper: float,
    rated: float, share: float, winding_s: float, case_s: float,
) -> list[float]:  # fmt: skip
    """Winding temperatures under squared torques, one per sample. Plain floats: faster than arrays of one."""
    per_square = gain * share / (rated * rated)
    split = (1.0 - share) / share
    half = 0.5 * period_s
    winding, case, seen = start, start, []
    for square in squares:
        seen.append(winding)
        losses = per_square * square
        w1 = (losses * (1.0 + copper * (winding - ambient)) - (winding - case)) / winding_s
        c1 = (split * (winding - case) - (case - ambient)) / case_s
        w, c = winding + period_s * w1, case + period_s * c1
        w2 = (losses * (1.0 + copper * (w - ambient)) - (w - c)) / winding_s
        c2 = (split * (w - c) - (c - ambient)) / case_s
        # Far from the truth a step of the search can run away; a hot winding is wrong enough without an overflow.
        winding, case = min(winding + half * (w1 + w2), 1e4), min(case + half * (c1 + c2), 1e4)
        winding, case = max(winding, -1e4), max(case, -1e4)
    return seen


def _one_node(
    squares: list[float], period_s: float, ambient: float, start: float, gain: float, copper: float,
    rated: float, time_s: float,
) -> list[float]:  # fmt: skip
    winding, seen = start, []
    for square in squares:
        seen.append(winding)
        losses = gain * square / (rated * rated)
        w1 = (losses * (1.0 + copper * (winding - ambient)) - (winding - ambient)) / time_s
        w = winding + period_s * w1
        w2 = (losses * (1.0 + copper * (w - ambient)) - (w - ambient)) / time_s
        winding = max(min(winding + 0.5 * period_s * (w1 + w2), 1e4), -1e4)
    return seen
