"""Learned actuators: a small network in place of the law, as it comes from a file.

The form is that of Hwangbo et al., "Learning agile and dynamic motor skills for legged robots" (2019): position errors
and speeds of the last moments go in, the joint's torque comes out. The numbers lie in a plain file of
little-endian f32, per layer its weights, one row per output, and then its biases; the shapes, the scales and the
file's SHA-256 stand in the actuator's TOML file. How it is evaluated is in `controller/network.py`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

from controller.errors import SpecError
from controller.quantity import check_quantities

Activation = Literal["softsign", "tanh", "relu"]
ACTIVATIONS: tuple[Activation, ...] = ("softsign", "tanh", "relu")
LAYERS_MOST, WIDTH_MOST, HISTORY_MOST_S = 8, 64, 1.0
"""What the compiled kernel has room for, and how far back a network may look."""


@dataclass(frozen=True, kw_only=True)
class LearnedActuator:
    """A network from (errors, speeds), each newest first, to a torque.

    Attributes:
        widths: Inputs (even: half errors, half speeds), hidden layers, and 1 output.
        weights: Per layer the (outputs, inputs) weights and then the (outputs,) biases, flat.
        activation: Of the hidden layers; the output has none.
        history_s: Time between two moments, > 0 where there are several; rounded to whole ticks.
        position_scale, velocity_scale: Factors on errors [1/rad] and speeds [s/rad].
        torque_scale: Factor on the output [N m].
        sources: Where it comes from.

    Raises:
        SpecError: shapes that do not fit each other or the kernel, or a number that is not finite.
    """

    widths: tuple[int, ...]
    weights: tuple[float, ...] = field(repr=False)
    activation: Activation = "softsign"
    history_s: float = 0.01
    position_scale: float = 1.0
    velocity_scale: float = 1.0
    torque_scale: float = 1.0
    sources: Mapping[str, str] = field(default_factory=dict, hash=False, compare=False)

    def __post_init__(self) -> None:
        check_quantities(self, any_sign=("position_scale", "velocity_scale", "torque_scale"))
        widths = self.widths
        if not 2 <= len(widths) <= LAYERS_MOST + 1 or not all(
            isinstance(width, int) and 1 <= width <= WIDTH_MOST for width in widths
        ):
            raise SpecError(f"widths = {widths!r}: at most {LAYERS_MOST} layers of 1 to {WIDTH_MOST}")
        if widths[0] % 2 or widths[-1] != 1:
            raise SpecError(f"widths = {widths!r}: an even number of inputs and one output")
        if self.activation not in ACTIVATIONS:
            raise SpecError(f"activation = {self.activation!r}: must be one of {', '.join(ACTIVATIONS)}")
        moments = widths[0] // 2
        if moments > 1 and not 0.0 < self.history_s * (moments - 1) <= HISTORY_MOST_S:
            raise SpecError(f"history_s = {self.history_s!r}: {moments} moments must lie within {HISTORY_MOST_S} s")
        expected = count_weights(widths)
        if len(self.weights) != expected:
            raise SpecError(f"{len(self.weights)} weights, but layers of {list(widths)} have {expected}")
        if not np.isfinite(np.array(self.weights)).all():
            raise SpecError("weights: one is not finite")


def count_weights(widths: tuple[int, ...]) -> int:
    """Return how many weights and biases layers of these widths have."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def load_learned(table: Mapping[str, Any], folder: Path) -> LearnedActuator:
    """Return the network of a `[learned]` table, whose `file` lies in `folder`.

    Raises:
        SpecError: a key is missing or unknown, the file is missing, not of the size of its shapes, or not the
            one whose SHA-256 is stated.
    """
    rest = dict(table)
    try:
        name, sha256, widths, source = (rest.pop(key) for key in ("file", "sha256", "widths", "source"))
    except KeyError as error:
        raise SpecError(f"learned: {error.args[0]} is missing") from error
    if not isinstance(name, str) or Path(name).name != name:
        raise SpecError(f"learned: file = {name!r}: must be a name without a folder")
    if not isinstance(widths, list) or not source:
        raise SpecError("learned: widths must be a list, and source must say where the network comes from")
    try:
        data = (folder / name).read_bytes()
    except OSError as error:
        raise SpecError(f"learned: {error}") from error
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise SpecError(f"learned: {name} has SHA-256 {found}, not {sha256!r}: it is another file")
    if len(data) % 4:
        raise SpecError(f"learned: {name} has {len(data)} bytes: no whole number of f32")
    weights = tuple(float(weight) for weight in np.frombuffer(data, "<f4"))
    try:
        return LearnedActuator(widths=tuple(widths), weights=weights, sources={"*": source}, **rest)
    except (TypeError, SpecError) as error:
        raise SpecError(f"learned: {error}") from error
