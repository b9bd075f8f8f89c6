"""Attack 4: a column that was not granted, sought by its name, its values and its statistics in every byte that leaves.

Torque is planted with numbers that are found nowhere else, the identifiers with words that are; every file of every
channel is searched, packed and unpacked.
"""

import io
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sharing.classes import ColumnClass
from sharing.errors import NotReleasable
from sharing.export.exporter import export
from sharing.projection import plan, worker
from sharing.projection.transforms import Transforms
from store.episode import EFFORT
from tests.sharing.projection.ground import KINEMATIC, NOTE, Ground, grant

PLANTED = 13.724619
"""A torque that stands in the middle of the episode, and is its largest, smallest and mean."""
CANARIES = (
    b"arm-00017",
    b"venues/north",
    b"jane",
    b"Jane",
    b"j-1",
    b"0123456789abcdef",
    b"4.0.0",
    b"1750003600",
    b"e-1\x00",
    b"x.bag",
)
FORMATS = ("lerobot", "parquet", "mcap")
KEY = Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """One episode with the planted torque and a note of where it came from."""
    made = Ground(tmp_path_factory.mktemp("ground"))
    effort = np.full((200, 3), PLANTED, np.float32)
    made.record(1, signals={EFFORT: effort}, note="seen by operator Jane Roe at /home/jane/x.bag")
    made.freeze([1])
    return made


def everything(ground: Ground, name: str = "projections") -> Iterator[tuple[str, bytes]]:
    """Yield all that a consumer may get of every channel, packed and unpacked, and what lies beside it."""
    projector = ground.projector(name)
    granted = grant(columns=(*KINEMATIC, NOTE), transforms={"contact-flag": {"threshold_percent": "150"}})
    made = projector.project(granted)
    for table, files in made.tables.items():
        for file in files:
            content = projector.read(file, 0, file.size_bytes)
            yield f"{table}/{file.name}", content + repr(file.stats).encode() + file.name.encode()
            yield from opened(f"{table}/{file.name}", content)
    yield "schemas", repr(made.schemas).encode() + repr(made.tables).encode()
    for form in FORMATS:
        archive = export(projector, granted, form, KEY)
        content = projector.read(archive, 0, archive.size_bytes)
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            for member in packed.namelist():
                inside = packed.read(member)
                yield f"{form}/{member}", inside + member.encode()
                if member.endswith(".parquet"):
                    yield from opened(f"{form}/{member}", inside)
    for path in (ground.root / name).rglob("projection.json"):
        yield path.name, path.read_bytes()


def opened(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield what a Parquet file says when it is read: footer, schema, values."""
    with pq.ParquetFile(io.BytesIO(content)) as file:
        yield f"{name}: footer", repr(file.metadata.to_dict()).encode() + repr(file.metadata.metadata).encode()
        table = file.read()
        yield f"{name}: values", repr(table.to_pydict()).encode()


def found(ground: Ground, name: str = "projections") -> list[str]:
    """Return where something of what was not granted is found."""
    numbers = (
        struct.pack("<f", PLANTED),
        struct.pack("<d", PLANTED),
        b"13.7246",
        struct.pack("<d", float(np.float32(PLANTED))),
    )
    wanted = (EFFORT.encode(), b"effort", *numbers, *CANARIES)
    return [f"{place}: {one!r}" for place, content in everything(ground, name) for one in wanted if one in content]


def test_nothing_of_a_column_that_was_not_granted_is_in_any_byte_that_leaves(ground: Ground) -> None:
    """Names, values, statistics; files, footers, schemas, JSON, Croissant, manifest."""
    assert found(ground) == []


def test_a_column_too_many_is_found_by_that_search(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """The mutant: the guard over classes is gone, and torque is granted."""
    monkeypatch.setattr(plan, "class_of", lambda _: ColumnClass.KINEMATIC)
    made = answer_of(ground, (*KINEMATIC, EFFORT), ground.root / "mutant")

    assert EFFORT in made["schemas"] or EFFORT in str(made)
    content = b"".join(path.read_bytes() for path in (ground.root / "mutant").rglob("*.parquet"))
    assert EFFORT.encode() in content


def test_the_guard_over_classes_stops_it(ground: Ground) -> None:
    """The same without the mutation."""
    with pytest.raises(NotReleasable, match=EFFORT):
        answer_of(ground, (*KINEMATIC, EFFORT), ground.root / "guarded")


def answer_of(ground: Ground, columns: tuple[str, ...], out: Path) -> dict[str, Any]:
    """Make a projection in this process, where a test can take a guard away."""
    out.mkdir()
    key = bytes(32).hex()
    told = {
        "episodes": [{"path": str(one.path), "sha256": one.sha256} for one in ground.sealed],
        "columns": list(columns),
        "secrets": {"names": key, "marks": key, "times": key},
        "words": [],
        "max_values": 1 << 28,
        "generalise": True,
    }
    return worker.make(told, Transforms(), out, None)
