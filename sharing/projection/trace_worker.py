"""The process that reads a leaked file, which anybody may have made: `python -m sharing.projection.trace_worker`."""

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa  # type: ignore[import-untyped,unused-ignore]
import pyarrow.compute as pc  # type: ignore[import-untyped,unused-ignore]
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from sharing.errors import NotReleasable
from sharing.projection import marks
from sharing.projection.sources import source_of
from sharing.projection.trace import Leak, Recording, Score, add
from store.errors import StoreError
from store.imports.confine import Limits, confine
from store.reader import Source, read_episode

MAX_ROWS, MAX_LEAKS, MAX_WIDTH, BATCH_ROWS = 1_000_000, 64, 1_024, 16_384
_KEYS = ("episode", "episode_index")


def main() -> int:
    """Trace one file. Returns the exit code: 0 also for a refusal, which is an answer."""
    told = json.load(sys.stdin)
    file, sources = Path(told["file"]), [(source_of(one), one["sha256"]) for one in told["sources"]]
    paths = [Path(one["path"]) for one in told["sources"]]
    try:
        rooms = ("sharing", "store", "catalogue", "palaestra")
        confine(file, Limits(**told["limits"]), more=paths, rooms=rooms)
        answer = _traced(file, sources, [bytes.fromhex(key) for key in told["keys"]])
    except (NotReleasable, StoreError) as error:
        answer = {"refused": str(error)[:500]}
    except MemoryError:
        answer = {"refused": "file: takes more memory than a trace may"}
    except Exception as error:
        answer = {"refused": f"file: cannot be read as Parquet: {type(error).__name__}: {str(error)[:200]}"}
    print(json.dumps(answer))
    return 0


def _traced(file: Path, sources: Sequence[tuple[Source, str]], keys: list[bytes]) -> dict[str, Any]:
    leaks = list(_leaks(file))
    score, found = Score.of(len(keys)), set()
    # One recording in memory at a time would read all of them for each leak; what is compared is small beside.
    recordings = [_recording(path, sha256) for path, sha256 in sources]
    for leak in leaks:
        laid = add(score, leak, recordings, keys)
        if laid is not None:
            found.add(laid)
    return {"z": score.z().tolist(), "rows": score.rows, "recordings": sorted(found)}


def _recording(path: Source, sha256: str) -> Recording:
    episode = read_episode(path, sha256=sha256, columns=marks.MARKED)
    return Recording(sha256, episode.time_s, episode.signals)


def _leaks(file: Path) -> Iterator[Leak]:
    """Yield the runs of rows of one episode each. Raises NotReleasable for a file that is no table of joints."""
    with pq.ParquetFile(file, thrift_string_size_limit=1 << 24, thrift_container_size_limit=100_000) as parquet:
        schema = parquet.schema_arrow
        columns = [name for name in marks.MARKED if name in schema.names]
        if not columns:
            raise NotReleasable(f"file: has none of the columns {', '.join(marks.MARKED)}")
        if parquet.metadata.num_rows > MAX_ROWS:
            raise NotReleasable(f"file: has more than {MAX_ROWS} rows; give a part of it")
        key = next((name for name in _KEYS if name in schema.names), None)
        # Batches of rows: a page that swells is found by the bound on memory, one batch at a time.
        batches = parquet.iter_batches(BATCH_ROWS, columns=[*columns, *([key] if key else [])], use_threads=False)
        parts: list[tuple[Any, dict[str, np.ndarray]]] = []
        for batch in batches:
            values = {name: _matrix(batch.column(name)) for name in columns}
            if len({len(one) for one in values.values()}) != 1:
                raise NotReleasable("file: lists that are missing in some rows")
            names = batch.column(key).to_pylist() if key else [0] * len(batch)
            starts = [i for i in range(len(names)) if i == 0 or names[i] != names[i - 1]]
            for begin, end in zip(starts, [*starts[1:], len(names)], strict=True):
                parts.append((names[begin], {name: one[begin:end] for name, one in values.items()}))
    runs: list[tuple[Any, list[dict[str, np.ndarray]]]] = []
    for name, part in parts:
        if runs and runs[-1][0] == name:
            runs[-1][1].append(part)
        else:
            runs.append((name, [part]))
    for _, run in runs[:MAX_LEAKS]:
        yield Leak({name: np.concatenate([part[name] for part in run]) for name in columns})


def _matrix(column: Any) -> np.ndarray:
    """Return a column of lists of one length as an array (rows, width)."""
    kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)):
        raise NotReleasable("file: a column that is no list of numbers")
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) != 1 or lengths[0] is None or not 1 <= lengths[0] <= MAX_WIDTH:
        raise NotReleasable("file: lists of different lengths in one column")
    flat = pc.list_flatten(column).cast(pa.float64()).to_numpy(zero_copy_only=False)
    matrix: np.ndarray = np.nan_to_num(flat).reshape(-1, lengths[0])
    return matrix


if __name__ == "__main__":
    sys.exit(main())
