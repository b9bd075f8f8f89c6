"""Attack 9: a recording, and a leaked file, that swell when they are read."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sharing.errors import NotReleasable
from sharing.projection.process import run
from sharing.projection.projector import LIMITS, Bounds, Projector
from sharing.projection.tracing import trace_file
from store.episode import STATE
from tests.sharing.projection.ground import Ground, Ledger, Looking, grant


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """A recording of 200 rows; a row is 14 values."""
    made = Ground(tmp_path)
    made.record(1)
    made.freeze([1])
    return made


def test_what_a_recording_claims_is_bounded_before_it_is_decoded(ground: Ground) -> None:
    """By rows times width, whatever the footer says of sizes; nothing half made stays."""
    with pytest.raises(NotReleasable, match="values"):
        ground.projector(bounds=Bounds(max_values=1_000)).project(grant())
    assert not list((ground.root / "projections").rglob("*.parquet"))
    # The mutant: without that bound it is made.
    assert ground.projector(bounds=Bounds(max_values=10_000)).project(grant())


def test_memory_files_and_time_of_the_process_are_bounded(ground: Ground) -> None:
    """Each bound by itself ends it, and what it left is gone."""
    for limits in (
        replace(LIMITS, file_bytes=2_000),
        replace(LIMITS, memory_bytes=64 << 20),
        replace(LIMITS, time_s=0.01),
    ):
        with pytest.raises(NotReleasable):
            ground.projector(bounds=Bounds(limits=limits)).project(grant())
    assert not list((ground.root / "projections").rglob("*.parquet"))


@pytest.mark.long
def test_a_leaked_file_that_swells_is_refused(ground: Ground) -> None:
    """A few kilobytes that are a gigabyte of zeros, in one page or many."""
    ledger = Ledger(ground.root / "sharing.db")
    ground.projector(ledger=ledger).project(grant())
    row = pa.array([[0.0] * 64], pa.list_(pa.float64(), 64))
    column = pa.chunked_array([pa.concat_arrays([row] * 1_000)] * 1_100)
    bomb = ground.root / "bomb.parquet"
    pq.write_table(pa.table({STATE: column}), bomb, row_group_size=1_100_000)
    assert bomb.stat().st_size < 1 << 20

    with pytest.raises(NotReleasable, match="rows"):
        trace_file(
            bomb,
            ledger=ledger,
            catalogue=Looking(ground.root / "catalogue.db"),
            objects=ground.objects,
            secret=ground.secret,
        )  # type: ignore[arg-type]


def test_an_answer_of_a_process_that_lies_is_not_believed(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was taken over, and says of files that are not there, or leads out of its folder."""

    def lying(told: dict[str, object], limits: object, **_: object) -> object:
        made = run(told, LIMITS)  # type: ignore[arg-type]
        made["tables"]["joints"][0]["name"] = "../../../../catalogue.db"
        return made

    monkeypatch.setattr("sharing.projection.projector.run", lying)

    with pytest.raises(NotReleasable, match="other than it did"):
        ground.projector().project(grant())


def test_without_that_check_a_consumer_would_be_given_the_catalogue(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mutant: then the second guard alone stands before it, that nothing with `..` is read."""
    projector = ground.projector()

    def lying(told: dict[str, object], limits: object, **_: object) -> object:
        made = run(told, LIMITS)  # type: ignore[arg-type]
        made["tables"]["joints"][0]["name"] = "../../../../catalogue.db"
        return made

    monkeypatch.setattr("sharing.projection.projector.run", lying)
    monkeypatch.setattr(Projector, "_check", lambda *_: None)
    file = projector.project(grant()).tables["joints"][0]

    assert projector.read(file, 0, 16) == b""
    assert file.path.read_bytes().startswith(b"SQLite format 3")
