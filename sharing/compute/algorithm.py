"""What may visit data: Python files by their hash, each approved by the provider whose data it is.

A file has two functions. `train(data, parameters)` returns arrays by name and metrics by name; `losses(data, arrays,
parameters)` returns one number for each episode, by which the room judges whether a result tells who was in it. `data`
has `len(data)`, `data.facts(i)` and `data.signals(i, names)`.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row
from typing import Any, Self

from sharing.act import act
from sharing.aggregate.ledger import Book
from sharing.errors import InvalidAlgorithm
from sharing.witness import Witness

MAX_SOURCE_BYTES, MAX_NAME, MAX_OUTPUTS, MAX_ALGORITHMS = 262_144, 64, 64, 1_000
MAX_ELEMENTS = 2_000_000
DTYPES = ("float32", "float64", "int32", "int64")
_FUNCTIONS = ("train", "losses")


@dataclass(frozen=True)
class Outputs:
    """What a result may consist of, and nothing else.

    Attributes:
        arrays: Name to the kind of its numbers and to how many there may be at most.
        metrics: Names of single numbers.
    """

    arrays: Mapping[str, tuple[str, int]]
    metrics: tuple[str, ...]

    @classmethod
    def of(cls, value: Any) -> Self:
        """Return the outputs of plain values, `{"arrays": {"w": ["float32", 1000]}, "metrics": ["loss"]}`.

        Raises InvalidAlgorithm.
        """
        if not isinstance(value, dict) or set(value) - {"arrays", "metrics"}:
            raise InvalidAlgorithm("outputs: must have arrays and metrics, and nothing else")
        arrays, metrics = value.get("arrays", {}), value.get("metrics", [])
        if not isinstance(arrays, dict) or not isinstance(metrics, list) or len(arrays) + len(metrics) > MAX_OUTPUTS:
            raise InvalidAlgorithm(f"outputs: arrays by name and a list of metrics, at most {MAX_OUTPUTS} together")
        found = {}
        for name, kind in arrays.items():
            if not isinstance(kind, list) or len(kind) != 2 or kind[0] not in DTYPES:
                raise InvalidAlgorithm(
                    f"outputs: {_name(name)}: must be a list of one of {', '.join(DTYPES)} and a count"
                )
            if type(kind[1]) is not int or not 1 <= kind[1] <= MAX_ELEMENTS:
                raise InvalidAlgorithm(f"outputs: {_name(name)}: at most {MAX_ELEMENTS} numbers")
            found[_name(name)] = (str(kind[0]), kind[1])
        return cls(found, tuple(sorted({_name(name) for name in metrics})))

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values; `of` takes it back."""
        return {"arrays": {name: list(kind) for name, kind in self.arrays.items()}, "metrics": list(self.metrics)}


@dataclass(frozen=True)
class Algorithm:
    """One file that may be run."""

    name: str
    source: str
    outputs: Outputs

    @classmethod
    def of(cls, name: Any, source: Any, outputs: Any) -> Self:
        """Return a checked algorithm; its file is read, not run. Raises InvalidAlgorithm."""
        if not isinstance(source, str) or len(source.encode("utf-8", "replace")) > MAX_SOURCE_BYTES:
            raise InvalidAlgorithm(f"source: must be a Python file of at most {MAX_SOURCE_BYTES} bytes")
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise InvalidAlgorithm(f"source: no Python file: {str(error)[:200]}") from None
        defined = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
        if missing := [name for name in _FUNCTIONS if name not in defined]:
            raise InvalidAlgorithm(f"source: has no function {missing[0]}")
        return cls(_name(name), source, Outputs.of(outputs))

    @property
    def sha256(self) -> str:
        """Identity: the hash of the file and of what may leave."""
        outputs = json.dumps(self.outputs.as_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(f"{self.source}\0{outputs}".encode()).hexdigest()


_WIDE = 100_000
BUILT_IN_OUTPUTS: Mapping[str, Any] = {
    "ridge_cloning": {"arrays": {"weights": ["float32", _WIDE]}, "metrics": ["episodes"]},
    "mlp_cloning": {
        "arrays": {name: ["float32", _WIDE] for name in ("w1", "b1", "w2", "b2", "mean", "std")},
        "metrics": ["loss", "episodes"],
    },
    "statistics": {"arrays": {"mean": ["float64", 1_024], "std": ["float64", 1_024]}, "metrics": ["samples"]},
}


def built_in() -> dict[str, Algorithm]:
    """Return the algorithms that come with the room, by name. None of them is allowed until a provider says so."""
    folder = Path(__file__).parent / "builtin"
    return {
        name: Algorithm.of(name, (folder / f"{name}.py").read_text(), outputs)
        for name, outputs in BUILT_IN_OUTPUTS.items()
    }


class Approvals:
    """Which provider lets which algorithms visit. Safe from any thread."""

    def __init__(self, database: Book, witness: Witness, now_s: Callable[[], float]) -> None:
        self._database = database
        self._witness = witness
        self._now_s = now_s

    def approve(self, provider: str, algorithm: Algorithm) -> None:
        """Let it visit the provider's data, wherever agreements have the channel. Raises InvalidAlgorithm."""
        with act(self._database, self._witness) as one:
            # But for itself: what was approved before can be approved again.
            text = "SELECT count(*) FROM algorithm WHERE provider = ? AND sha256 <> ?"
            if one.db.execute(text, (provider, algorithm.sha256)).fetchone()[0] >= MAX_ALGORITHMS:
                raise InvalidAlgorithm(f"more than {MAX_ALGORITHMS} algorithms")
            one.db.execute(
                "INSERT INTO algorithm VALUES (?, ?, ?, ?, ?, ?, NULL) "
                "ON CONFLICT (provider, sha256) DO UPDATE SET withdrawn_s = NULL, approved_s = excluded.approved_s",
                (
                    provider,
                    algorithm.sha256,
                    algorithm.name,
                    algorithm.source,
                    json.dumps(algorithm.outputs.as_json()),
                    int(self._now_s()),
                ),
            )
            one.note("job", {"provider": provider, "what": "approved", "algorithm": algorithm.sha256})

    def withdraw(self, provider: str, sha256: str) -> bool:
        """Let it visit no more; return whether it could before. What runs is ended."""
        with act(self._database, self._witness) as one:
            text = "UPDATE algorithm SET withdrawn_s = ? WHERE provider = ? AND sha256 = ? AND withdrawn_s IS NULL"
            done = bool(one.db.execute(text, (int(self._now_s()), provider, sha256)).rowcount)
            if done:
                one.note("job", {"provider": provider, "what": "withdrawn", "algorithm": sha256})
        return done

    def find(self, provider: str, sha256: str) -> Algorithm | None:
        """Return an algorithm that the provider allows now."""
        text = "SELECT * FROM algorithm WHERE provider = ? AND sha256 = ? AND withdrawn_s IS NULL"
        row = self._database.reader().execute(text, (provider, sha256)).fetchone()
        if row is None:
            return None
        found = Algorithm(row["name"], row["source"], Outputs.of(json.loads(row["outputs"])))
        # A file that was changed in the database is another one.
        return found if found.sha256 == sha256 else None

    def allowed(self, provider: str) -> Sequence[Row]:
        """Return what a provider allows now: sha256, name, outputs, approved_s."""
        text = (
            "SELECT sha256, name, outputs, approved_s FROM algorithm WHERE provider = ? AND withdrawn_s IS NULL "
            "ORDER BY name, sha256"
        )
        return self._database.reader().execute(text, (provider,)).fetchall()


def _name(value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_NAME or not value.replace("_", "").isalnum():
        raise InvalidAlgorithm(f"name: must be of letters, digits and _, at most {MAX_NAME}")
    if not value.isascii():
        raise InvalidAlgorithm("name: must be of letters a to z, digits and _")
    return value
