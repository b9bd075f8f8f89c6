"""The check that every dataclass of numbers runs when it is made."""

import math
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from controller.errors import SpecError


def check_quantities(made: Any, *, above_zero: Sequence[str] = (), any_sign: Sequence[str] = ()) -> None:
    """Check the float fields of a dataclass: finite, and not negative, or above 0, or of any sign.

    Raises:
        SpecError: naming the field and its value.
    """
    for each in fields(made):
        value = getattr(made, each.name)
        if each.type not in (float, "float"):
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise SpecError(f"{each.name} = {value!r}: must be a finite number")
        if each.name in above_zero and value <= 0:
            raise SpecError(f"{each.name} = {value!r}: must be above 0")
        if each.name not in any_sign and value < 0:
            raise SpecError(f"{each.name} = {value!r}: must be finite and not negative")
