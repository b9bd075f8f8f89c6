"""Distributions whose values are the same bits on every machine.

A value is a function of one uniform number by additions, multiplications, divisions and square roots alone, which IEEE
754 rounds correctly; powers and logarithms are the control core's polynomials (`controller.physics`), not the C
library's, whose last bits differ between machines.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from controller.physics import exp2, log2
from sim.body import Array
from sim.errors import BadRandomisation

# Rational approximations of the normal quantile, relative error 1e-16: Wichura, "Algorithm AS 241: The Percentage
# Points of the Normal Distribution", Applied Statistics 37 (1988), 477-484; PPND16, highest power first.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457, 13731.693765509461125,
     1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867, 5394.1960214247511077,
     687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_TAIL = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_CENTRE_HALF_WIDTH = 0.425
_LN_2 = math.log(2.0)


class Distribution(ABC):
    """What a number is drawn from."""

    @property
    @abstractmethod
    def bounds(self) -> tuple[float, float]:
        """The least and the largest value."""

    @abstractmethod
    def value(self, uniform: Array) -> Array:
        """Return values for uniform numbers in [0, 1), of the same shape."""


def _check(name: str, numbers: dict[str, float]) -> None:
    for key, number in numbers.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise BadRandomisation(f"{name}: {key} = {number!r} must be a finite number")
    if numbers["low"] > numbers["high"]:
        raise BadRandomisation(f"{name}: low = {numbers['low']} is above high = {numbers['high']}")


@dataclass(frozen=True)
class Uniform(Distribution):
    """Every value in [low, high) alike."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("uniform", {"low": self.low, "high": self.high})

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def value(self, uniform: Array) -> Array:
        return self.low + uniform * (self.high - self.low)


@dataclass(frozen=True)
class LogUniform(Distribution):
    """Every ratio alike: low and high above 0, the middle value is their geometric mean. Exact to 1e-12."""

    low: float
    high: float

    def __post_init__(self) -> None:
        _check("log_uniform", {"low": self.low, "high": self.high})
        if self.low <= 0.0:
            raise BadRandomisation(f"log_uniform: low = {self.low} must be above 0")
        if self.high / self.low > 2.0**64:
            raise BadRandomisation(f"log_uniform: high = {self.high} is more than 2^64 times low = {self.low}")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def value(self, uniform: Array) -> Array:
        octaves = log2(np.array([self.high / self.low]))
        return np.asarray(np.clip(self.low * exp2(octaves * uniform), self.low, self.high))


@dataclass(frozen=True)
class Normal(Distribution):
    """A normal distribution; what lies outside [low, high] becomes the bound."""

    mean: float
    deviation: float
    low: float
    high: float

    def __post_init__(self) -> None:
        numbers = {"mean": self.mean, "deviation": self.deviation, "low": self.low, "high": self.high}
        _check("normal", numbers)
        if self.deviation < 0.0:
            raise BadRandomisation(f"normal: deviation = {self.deviation} must not be negative")

    @property
    def bounds(self) -> tuple[float, float]:
        return self.low, self.high

    def value(self, uniform: Array) -> Array:
        return np.asarray(np.clip(self.mean + self.deviation * quantile(uniform), self.low, self.high))


def quantile(p: Array) -> Array:
    """Return the quantiles of the standard normal distribution, by AS 241 within |x| < 6.6; 0 counts as 2^-54."""
    p = np.maximum(p, 2.0**-54)
    q = p - 0.5
    r = _CENTRE_HALF_WIDTH * _CENTRE_HALF_WIDTH - q * q
    centre = q * _ratio(_CENTRE, r)
    outside = np.minimum(p, 1.0 - p)
    # Beyond r = 5 (|x| = 6.6, one number in 10^10) AS 241 has other polynomials; here the end is the end.
    r = np.minimum(np.sqrt(-_LN_2 * log2(np.ascontiguousarray(outside))), 5.0)
    tail = _ratio(_TAIL, r - 1.6)
    return np.where(np.abs(q) <= _CENTRE_HALF_WIDTH, centre, np.where(q < 0.0, -tail, tail))


def _ratio(of: tuple[tuple[float, ...], tuple[float, ...]], x: Array) -> Array:
    above, below = (np.full_like(x, coefficients[0]) for coefficients in of)
    for a, b in zip(of[0][1:], of[1][1:], strict=True):
        above = above * x + a
        below = below * x + b
    return np.asarray(above / below)
