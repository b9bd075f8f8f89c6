"""From a parcel to the one table that questions are answered from: a row for each episode, a column for each field."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sharing.aggregate.field import Field
from sharing.confined.data import Array, Data

_FOLD: dict[str, Callable[[Array], Any]] = {"mean": np.mean, "min": np.min, "max": np.max, "std": np.std}


def facts_of(data: Data, fields: Sequence[Field]) -> pa.Table:
    """Return the table with columns `f0`, `f1` and so on; what an episode does not have is null there."""
    signals = sorted({field.signal for field in fields if field.signal})
    summaries: dict[Field, list[float | None]] = {field: [] for field in fields if field.signal}
    for episode in range(len(data)) if signals else ():
        found = data.signals(episode, signals)
        for field, values in summaries.items():
            values.append(summary_of(found.get(field.signal), field))
    columns: list[Any] = []
    for field in fields:
        if field.signal:
            columns.append(pa.array(summaries[field], pa.float64()))
        else:
            kind = pa.string() if field.is_text else pa.float64()
            columns.append(data.episodes.column(field.name).cast(kind).combine_chunks())
    # DuckDB does not know tables without columns: a question may count alone.
    columns.append(pa.array([1] * len(data), pa.int8()))
    names = [*(f"f{number}" for number in range(len(fields))), "one"]
    return pa.table(columns, names=names)


def summary_of(values: Array | None, field: Field) -> float | None:
    """Return the summary of one element over an episode's samples; None without any sample that is a number."""
    if values is None or field.index >= values.shape[1]:
        return None
    element = values[:, field.index].astype(np.float64)
    element = element[np.isfinite(element)]
    if not len(element):
        return None
    if field.summary == "rms":
        return float(np.sqrt(np.mean(np.square(element))))
    return float(_FOLD[field.summary](element))
