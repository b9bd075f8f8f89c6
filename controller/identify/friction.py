r"""Friction models M1 to M6 from samples of a moving joint.

A sample is a moment in which the joint moves: motor torque, load torque, speed, and the friction torque that the
balance $J \ddot q = \tau_m + \tau_e - F \,\mathrm{sign}(\dot q)$ leaves over. The models are those of `Friction` (BAM,
Rhoban): which of its numbers a model has is in `MODELS`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.actuator import Friction
from controller.errors import NotExcitedError, TraceError
from controller.identify.fit import Estimate, Fit, fit

Real = npt.NDArray[np.floating[Any]]

_M1 = ("viscous_nms_rad", "coulomb_nm")
_STRIBECK = ("stribeck_nm", "stribeck_speed_rad_s", "stribeck_exponent")
_M5 = (*_M1, *_STRIBECK, "load_motor", "load_external", "load_motor_stribeck", "load_external_stribeck")
MODELS: Mapping[str, tuple[str, ...]] = {
    "M1": _M1,
    "M2": (*_M1, *_STRIBECK),
    "M3": (*_M1, "load_motor"),
    "M4": (*_M1, *_STRIBECK, "load_motor", "load_motor_stribeck"),
    "M5": _M5,
    "M6": (*_M5, "quad_motor_per_nm", "quad_external_per_nm"),
}
"""Names in `Friction` that each model has. M3 and M4 have equal factors for motor and load: the load's follow."""

_FOLLOWS = {"load_external": "load_motor", "load_external_stribeck": "load_motor_stribeck"}

_ADVICE = {
    "viscous_nms_rad": "measure at several speeds, up to the fastest",
    "coulomb_nm": "measure at several speeds, slow ones among them",
    "stribeck_nm": "measure at speeds so low that friction rises",
    "stribeck_speed_rad_s": "measure where friction falls from its rest value, at several speeds",
    "stribeck_exponent": "measure where friction falls from its rest value, at several speeds",
    "load_motor": "vary the motor torque independently of the load",
    "load_external": "vary the load torque independently of the motor",
    "load_motor_stribeck": "vary the motor torque at low speeds",
    "load_external_stribeck": "vary the load torque at low speeds",
    "quad_motor_per_nm": "let the load drive the motor, at low speeds and several torques",
    "quad_external_per_nm": "let the motor drive the load, at low speeds and several torques",
}


@dataclass(frozen=True)
class FrictionSamples:
    """Moments of motion, (n,) each.

    Attributes:
        tau_motor_nm, tau_external_nm: Torques of motor and load.
        dq_rad_s: Speeds, none of them zero.
        friction_nm: What brakes, positive against the motion.

    Raises:
        TraceError: different lengths, a value that is not finite, or a joint at rest.
    """

    tau_motor_nm: Real
    tau_external_nm: Real
    dq_rad_s: Real
    friction_nm: Real

    def __post_init__(self) -> None:
        for each in fields(self):
            values = np.asarray(getattr(self, each.name), np.float64)
            if values.shape != (len(self.dq_rad_s),):
                raise TraceError(f"{each.name}: {values.shape} values for {len(self.dq_rad_s)} moments")
            if not np.isfinite(values).all():
                raise TraceError(f"{each.name}[{int(np.argmin(np.isfinite(values)))}]: must be finite")
            object.__setattr__(self, each.name, values)
        if (self.dq_rad_s == 0.0).any():
            raise TraceError(f"dq_rad_s[{int(np.argmin(self.dq_rad_s != 0.0))}]: at rest friction can be anything")


@dataclass(frozen=True)
class FrictionFit:
    """A friction model fitted to samples.

    Attributes:
        model: "M1" to "M6".
        friction: The numbers, ready for `JointPhysics`.
        estimates: The same with their intervals, in the order of `MODELS[model]`.
        open: What the data do not determine, by name, each with what to measure.
        rms_nm: Root mean square of what the model leaves unexplained.
        bic: Bayesian information criterion; lower is better.
    """

    model: str
    friction: Friction
    estimates: tuple[Estimate, ...]
    open: Mapping[str, str]
    rms_nm: float
    bic: float


def friction_nm(friction: Friction, tau_motor_nm: Real, tau_external_nm: Real, dq_rad_s: Real) -> Real:
    """Return the friction torque of a moving joint [N m], (n,): the budget of `controller/physics.py`, exactly."""
    values = {each.name: getattr(friction, each.name) for each in fields(Friction)}
    return _budget(values, tau_motor_nm, tau_external_nm, dq_rad_s)


def fit_friction(
    samples: FrictionSamples, model: str, *, dq_max_rad_s: float, tau_max_nm: float, strict: bool = True
) -> FrictionFit:
    """Fit one model.

    A number counts as open if zero lies in its interval and, within the range that the model is to hold for, the
    interval stands for more than a quarter of the largest friction measured; the shape of Stribeck's curve, if the
    interval is as wide as the number.

    Args:
        samples: At least ten per number of the model.
        model: "M1" to "M6".
        dq_max_rad_s, tau_max_nm: The range that the model is to hold for.
        strict: Refuse a model with open numbers; otherwise they are listed in `open`.

    Raises:
        NotExcitedError: too few samples, or `strict` and a number is open.
        TraceError: no such model.
    """
    if model not in MODELS:
        raise TraceError(f"no friction model {model!r}: there are {', '.join(MODELS)}")
    names = MODELS[model]
    if len(samples.dq_rad_s) < 10 * len(names):
        raise NotExcitedError(f"{model} has {len(names)} numbers: {len(samples.dq_rad_s)} samples are too few")
    tried = [_fit_from(samples, names, start, steps=12) for start in _starts(samples, names)]
    promising = min(tried, key=lambda found: found.rms)
    best = _fit_from(samples, names, dict(zip(names, promising.values, strict=True)), steps=100)
    still_open = _open(samples, names, best, dq_max_rad_s, tau_max_nm)
    if strict and still_open:
        told = "; ".join(f"{name}: {advice}" for name, advice in still_open.items())
        raise NotExcitedError(f"the measurements do not determine {model}: {told}")
    values = {name: float(value) for name, value in zip(names, best.values, strict=True)}
    return FrictionFit(
        model=model,
        friction=Friction(**_complete(values)),
        estimates=tuple(
            Estimate(name, values[name], float(half)) for name, half in zip(names, best.half_widths, strict=True)
        ),
        open=still_open,
        rms_nm=best.rms,
        bic=best.bic,
    )


def select_friction(
    samples: FrictionSamples, *, dq_max_rad_s: float, tau_max_nm: float, models: Sequence[str] = tuple(MODELS)
) -> tuple[FrictionFit, ...]:
    """Fit several models and return them, the best first: those without open numbers before others, then by BIC.

    Raises:
        NotExcitedError: the samples are too few for any.
    """
    found, refused = [], []
    for model in models:
        try:
            found.append(fit_friction(samples, model, dq_max_rad_s=dq_max_rad_s, tau_max_nm=tau_max_nm, strict=False))
        except NotExcitedError as error:
            refused.append(str(error))
    if not found:
        raise NotExcitedError("; ".join(refused))
    return tuple(sorted(found, key=lambda each: (bool(each.open), each.bic)))


def _fit_from(samples: FrictionSamples, names: Sequence[str], start: Mapping[str, float], *, steps: int) -> Fit:
    bounds = [_bounds(samples, name) for name in names]

    def residuals(x: Real) -> Real:
        values = _complete(dict(zip(names, x, strict=True)))
        return _budget(values, samples.tau_motor_nm, samples.tau_external_nm, samples.dq_rad_s) - samples.friction_nm

    low, high = [b[0] for b in bounds], [b[1] for b in bounds]
    return fit(residuals, [start[name] for name in names], low, high, steps=steps)


def _starts(samples: FrictionSamples, names: Sequence[str]) -> list[dict[str, float]]:
    """Return where to begin: Stribeck's speed and the split of the load's share are found only from several starts."""
    size_nm = float(np.median(np.abs(samples.friction_nm)))
    speed = float(np.abs(samples.dq_rad_s).max())
    slowest = float(np.abs(samples.dq_rad_s).min())
    speeds = np.geomspace(max(slowest, 1e-3 * speed), speed, 4)[:3] if "stribeck_nm" in names else [1.0]
    loads = ((0.05, 0.05), (0.2, 0.02), (0.02, 0.2)) if "load_external" in names else ((0.05, 0.05),)
    return [
        dict.fromkeys(names, 0.0)
        | {"viscous_nms_rad": 0.2 * size_nm / speed, "coulomb_nm": 0.3 * size_nm, "stribeck_nm": 0.3 * size_nm}
        | {"stribeck_speed_rad_s": float(knee), "stribeck_exponent": 1.2}
        | {"load_motor": motor, "load_external": external}
        | {"load_motor_stribeck": motor, "load_external_stribeck": external}
        | {"quad_motor_per_nm": 1e-3, "quad_external_per_nm": 1e-3}
        for knee in speeds
        for motor, external in loads
    ]


def _bounds(samples: FrictionSamples, name: str) -> tuple[float, float]:
    speed = float(np.abs(samples.dq_rad_s).max())
    if name == "stribeck_speed_rad_s":
        return 1e-4 * speed, 10.0 * speed
    return (0.3, 3.0) if name == "stribeck_exponent" else (0.0, math.inf)


def _open(
    samples: FrictionSamples, names: Sequence[str], found: Fit, dq_max_rad_s: float, tau_max_nm: float
) -> dict[str, str]:
    """Return what is not determined, each with what to measure."""
    size_nm = float(np.abs(samples.friction_nm).max())
    still_open = {}
    for name, value, half in zip(names, found.values, found.half_widths, strict=True):
        if name in ("stribeck_speed_rad_s", "stribeck_exponent"):
            undetermined = half > value
        else:
            per_unit = 1.0
            if name.startswith("viscous"):
                per_unit = dq_max_rad_s
            elif name.startswith("load"):
                per_unit = tau_max_nm
            elif name.startswith("quad"):
                per_unit = tau_max_nm**2
            undetermined = half > value and half * per_unit > 0.25 * size_nm
        if undetermined:
            still_open[name] = f"{value:.3g} +- {half:.3g}: {_ADVICE[name]}"
    return still_open


def _complete(values: Mapping[str, Any]) -> dict[str, Any]:
    return dict(values) | {b: values[a] for b, a in _FOLLOWS.items() if a in values and b not in values}


def _budget(v: Mapping[str, Any], tau: Real, external: Real, dq: Real) -> Real:
    """The formula at the top of `controller/physics.py`, with plain powers."""
    speed = np.abs(dq)
    always = v.get("viscous_nms_rad", 0.0) * speed + v.get("coulomb_nm", 0.0)
    always = always + np.abs(v.get("load_motor", 0.0) * tau - v.get("load_external", 0.0) * external)
    if "stribeck_speed_rad_s" not in v:
        return np.asarray(always, np.float64)
    rest = np.exp(-((speed / v["stribeck_speed_rad_s"]) ** v["stribeck_exponent"]))
    load_rest = np.abs(v.get("load_motor_stribeck", 0.0) * tau - v.get("load_external_stribeck", 0.0) * external)
    opposed = tau * external < 0.0
    driven = opposed & (np.abs(tau) > np.abs(external))
    driving = opposed & (np.abs(tau) < np.abs(external))
    quad = np.where(driven, v.get("quad_external_per_nm", 0.0) * external * external, 0.0)
    quad = quad + np.where(driving, v.get("quad_motor_per_nm", 0.0) * tau * tau, 0.0)
    return np.asarray(always + rest * (v["stribeck_nm"] + load_rest + quad), np.float64)
