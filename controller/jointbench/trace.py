"""What a test records, simulated or real, and the CSV file that it is kept in."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.errors import TraceError

Real = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Trace:
    """Samples of one joint, (n,) each. What was not recorded is NaN throughout.

    Attributes:
        run: Which run of the test a sample belongs to: one speed, one frequency, one load. Runs follow each other.
        t_s: Time since the begin of the run, increasing within it.
        q_rad, dq_rad_s: Position and speed of the joint, behind the gear.
        q_ref_rad: Commanded position.
        tau_nm: Torque of the motor, at the output of an ideal gear (from the current, on a real joint).
        tau_external_nm: Torque that brake, dyno or load put on the joint.
        winding_c: Temperature of the winding.
        inertia_kg_m2: What the torques moved, the same throughout a run.

    Raises:
        TraceError: no samples, or columns of unlike length.
    """

    run: npt.NDArray[np.int64]
    t_s: Real
    q_rad: Real
    dq_rad_s: Real
    q_ref_rad: Real
    tau_nm: Real
    tau_external_nm: Real
    winding_c: Real
    inertia_kg_m2: Real

    def __post_init__(self) -> None:
        if len(self.run) == 0:
            raise TraceError("the recording has no samples")
        for each in fields(self):
            if getattr(self, each.name).shape != self.run.shape:
                raise TraceError(f"{each.name}: {getattr(self, each.name).shape} values, run has {self.run.shape}")

    def runs(self) -> "Iterator[Trace]":
        """Return each run as a trace of its own."""
        starts = [0, *(np.flatnonzero(np.diff(self.run)) + 1), len(self.run)]
        columns = {each.name: getattr(self, each.name) for each in fields(self)}
        for start, end in pairwise(starts):
            yield Trace(**{name: values[start:end] for name, values in columns.items()})

    def require(self, *columns: str) -> None:
        """Raise TraceError where one of the columns was not recorded, or has gaps."""
        for column in columns:
            values = getattr(self, column)
            if not np.isfinite(values).all():
                place = int(np.argmin(np.isfinite(values)))
                raise TraceError(f"{column}: the recording has no number in sample {place}")

    def write(self, path: Path) -> None:
        """Write the samples as CSV, one column per field that was recorded."""
        names = [each.name for each in fields(self) if np.isfinite(getattr(self, each.name)).any()]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(names)
            for row in zip(*(getattr(self, name) for name in names), strict=True):
                writer.writerow([f"{value:.9g}" for value in row])


@dataclass(frozen=True, kw_only=True)
class Noise:
    """Standard deviations of what a simulated bench's sensors add, 0 for perfect ones."""

    q_rad: float = 0.0
    dq_rad_s: float = 0.0
    tau_nm: float = 0.0
    tau_external_nm: float = 0.0
    winding_c: float = 0.0

    def on(self, trace: Trace, *, seed: int) -> Trace:
        """Return the trace as noisy sensors would have recorded it: normal, independent, the same for a seed."""
        random = np.random.default_rng(seed)
        noisy = {
            each.name: getattr(trace, each.name) + random.normal(0.0, getattr(self, each.name), trace.run.shape)
            for each in fields(self)
        }
        return replace(trace, **noisy)


def read_trace(path: Path) -> Trace:
    """Read a recording: a CSV file whose first line names columns of `Trace`; only `t_s` must be there.

    Raises:
        TraceError: no such file, unknown or missing columns, a row that is too short, no number, or a time that
            does not increase within its run.
    """
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            # Blank lines are no samples; line numbers are the file's.
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError) as error:
        raise TraceError(f"{path.name}: {error}") from error
    if len(rows) < 2:
        raise TraceError(f"{path.name}: no samples")
    names = [name.strip() for name in rows[0][1]]
    known = [each.name for each in fields(Trace)]
    unknown = sorted(set(names) - set(known))
    if unknown or "t_s" not in names or len(set(names)) != len(names):
        wrong = f"unknown column {unknown[0]!r}" if unknown else "needs each column once, and t_s"
        raise TraceError(f"{path.name}: {wrong}; columns are {', '.join(known)}")
    columns = {name: np.full(len(rows) - 1, np.nan) for name in known} | {"run": np.zeros(len(rows) - 1)}
    for index, (line, row) in enumerate(rows[1:]):
        if len(row) != len(names):
            raise TraceError(f"{path.name}, line {line}: {len(row)} values for {len(names)} columns")
        for name, text in zip(names, row, strict=True):
            columns[name][index] = _number(text, f"{path.name}, line {line}, {name}")
    if not np.isfinite(columns["run"]).all():
        raise TraceError(f"{path.name}: run must be whole numbers")
    backwards = (np.diff(columns["run"]) == 0) & ~(np.diff(columns["t_s"]) > 0.0)
    if backwards.any():
        line = rows[int(np.argmax(backwards)) + 2][0]
        raise TraceError(f"{path.name}, line {line}: t_s must be numbers that increase within a run")
    return Trace(run=columns.pop("run").astype(np.int64), **columns)


def join(blocks: Sequence[Trace]) -> Trace:
    """Return several traces as one, in order."""
    return Trace(**{each.name: np.concatenate([getattr(b, each.name) for b in blocks]) for each in fields(Trace)})


def _number(text: str, where: str) -> float:
    try:
        return float(text) if text.strip() else np.nan
    except ValueError:
        raise TraceError(f"{where}: {text!r} is no number") from None
