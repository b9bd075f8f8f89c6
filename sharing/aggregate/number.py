"""Decimal numbers of questions and terms: texts or whole numbers, exact, so that equal ones are written alike."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

STEPS = 1 << 20
"""Into how many steps the range of a bounded quantity is divided; sums are then of whole numbers and exact."""

_DECIMAL = re.compile(r"-?[0-9]{1,12}(?:\.[0-9]{1,9})?")


def decimal(value: object) -> Decimal:
    """Return a number given as a whole number or a text such as "0.25". Raises ValueError."""
    if type(value) is int and abs(value) < 10**12:
        return Decimal(value)
    if isinstance(value, str) and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise ValueError('must be a whole number, or a text such as "0.25"')


def plain(value: Decimal) -> str:
    """Return the one text of a number: no exponent, no needless zeros, no minus before zero."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text


@dataclass(frozen=True)
class Bounds:
    """Between which values a quantity counts; what lies outside counts as the nearer bound."""

    least: Decimal
    most: Decimal

    def __post_init__(self) -> None:
        if self.least >= self.most:
            raise ValueError("the lower bound must be below the upper one")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the bounds of a text such as "0..120". Raises ValueError."""
        least, dots, most = text.partition("..")
        if not dots:
            raise ValueError('must be bounds such as "0..120"')
        return cls(decimal(least), decimal(most))

    @property
    def width(self) -> Decimal:
        """How far the bounds are apart."""
        return self.most - self.least

    @property
    def reach(self) -> Decimal:
        """By how much a sum can change when one value comes, goes, or becomes any other within the bounds."""
        return max(abs(self.least), abs(self.most), self.width)

    def __str__(self) -> str:
        """Return the text that `parse` takes."""
        return f"{plain(self.least)}..{plain(self.most)}"
