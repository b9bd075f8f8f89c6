"""One visit of an algorithm: trained on the members, judged on members and held-out episodes, released or refused.

It is trained three times, see `membership`; what leaves is of the first time.
"""

import hashlib
import io
import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sharing.compute.algorithm import Algorithm
from sharing.compute.membership import AUC_MOST, HELD_OUT_LEAST, Split, auc, judged, splits_of, tells_at_once
from sharing.compute.result import MAX_BYTES, Result, read
from sharing.compute.worker import MODEL
from sharing.confined import process
from sharing.confined.data import EPISODE
from sharing.confined.fence import Limits
from sharing.confined.parcel import Reading, packed
from sharing.errors import WorkEnded
from sharing.grant import Grant
from sharing.projection.tables import EPISODES, ProjectedFile, Projection
from sharing.terms import canonical

WORKER = "sharing.compute.worker"
LIMITS = Limits(memory_bytes=4 << 30, cpu_s=3_600, time_s=3_600.0, answer_bytes=MAX_BYTES)
_ALIKE = ("task", "robot_model", "status", "duration_s")
Contents = dict[str, list[ProjectedFile | tuple[str, bytes]]]


@dataclass(frozen=True)
class Visit:
    """What a visit came to.

    Attributes:
        result: To be released; None if it told too much.
        auc: How well the attack tells members from held-out episodes, see `membership`.
        lineage: What the result is made of, for whoever has it.
    """

    result: Result | None
    auc: float
    lineage: Mapping[str, Any]


def visit(
    algorithm: Algorithm,
    parameters: Mapping[str, Any],
    grant: Grant,
    projection: Projection,
    reading: Reading,
    still: Callable[[], None],
    *,
    limits: Limits = LIMITS,
    auc_most: float = AUC_MOST,
    run: process.Run | None = None,
) -> Visit:
    """Let an algorithm visit a projection.

    Args:
        run: Runs a confined process; None: on this machine.

    Raises:
        WorkEnded: There are too few episodes, or the algorithm gave no result as declared.
    """
    run = run or process.run
    table = _episodes(projection, reading)
    splits = splits_of([tuple(row.get(name) for name in _ALIKE) for row in table.to_pylist()], grant.data_set)
    split = splits[0]
    if len(split.held_out) < HELD_OUT_LEAST:
        raise WorkEnded(f"fewer than {HELD_OUT_LEAST} episodes can be held out: too few to judge a result by")
    told = {"source": algorithm.source, "parameters": dict(parameters)}

    def trained(one: Split) -> tuple[Result, float]:
        # What is held out is not even in the process that trains.
        with packed(_some(projection, table, one.members), reading, still) as parcel:
            result = read(run(WORKER, told, parcel, limits, still), algorithm.outputs)
        return result, _attacked(result, told, projection, table, one, reading, still, limits, run)

    result, own = trained(split)
    areas = [own]
    if not tells_at_once(own, split, auc_most):
        areas += [trained(one)[1] for one in splits[1:]]
    verdict = judged(areas, split, auc_most)
    lineage = {
        "agreement": grant.agreement,
        "provider": grant.provider,
        "consumer": grant.consumer,
        "data_set": grant.data_set,
        "version": projection.version,
        "projection": projection.key,
        "purpose": str(grant.purpose),
        "algorithm": {"name": algorithm.name, "sha256": algorithm.sha256},
        "parameters_sha256": hashlib.sha256(canonical(dict(parameters))).hexdigest(),
        "episodes": len(split.members),
        "held_out": len(split.held_out),
        "membership_auc": round(verdict.auc, 4),
        "membership_auc_of_runs": [round(area, 4) for area in verdict.runs],
        "metrics": dict(result.metrics),
    }
    return Visit(result if verdict.released else None, verdict.auc, lineage)


def _attacked(
    result: Result,
    told: Mapping[str, Any],
    projection: Projection,
    table: pa.Table,
    split: Split,
    reading: Reading,
    still: Callable[[], None],
    limits: Limits,
    run: process.Run,
) -> float:
    """Return the attack's area under the curve. A fresh process tells the losses, without being told who is who."""
    everybody = range(table.num_rows)
    contents = _some(projection, table, everybody)
    contents[MODEL] = [(name, values.tobytes()) for name, values in result.arrays.items()]
    kinds = [(name, str(values.dtype), list(values.shape)) for name, values in result.arrays.items()]
    with packed(contents, reading, still) as parcel:
        said = run(WORKER, {**told, "arrays": kinds}, parcel, limits, still)
    try:
        losses = [float(loss) for loss in json.loads(said)]
    except (ValueError, TypeError, RecursionError):
        raise WorkEnded("its losses are no numbers") from None
    if len(losses) != table.num_rows or not all(map(math.isfinite, losses)):
        raise WorkEnded("its losses are not one finite number for each episode")
    return auc([losses[place] for place in split.members], [losses[place] for place in split.held_out])


def _episodes(projection: Projection, reading: Reading) -> pa.Table:
    parts = [reading.read(file, 0, file.size_bytes) for file in projection.tables[EPISODES]]
    return pa.concat_tables([pq.read_table(pa.BufferReader(part)) for part in parts])


def _some(projection: Projection, table: pa.Table, places: Collection[int]) -> Contents:
    """Return the files of some episodes, and the table of episodes with their rows alone."""
    rows = table.take(list(places))
    target = io.BytesIO()
    pq.write_table(rows, target)
    names = {f"{name}.parquet" for name in rows.column(EPISODE).to_pylist()}
    contents: Contents = {
        name: [file for file in files if file.name in names]
        for name, files in projection.tables.items()
        if name != EPISODES
    }
    contents[EPISODES] = [("episodes.parquet", target.getvalue())]
    return contents
