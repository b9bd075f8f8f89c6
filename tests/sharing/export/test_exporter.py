"""Archives that others read: value for value what the projection holds, signed, and theirs alone."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from palaestra.errors import PalaestraError
from sharing.errors import InvalidTerms, NotShared
from sharing.export import exporter
from sharing.export.exporter import export, venue_key
from sharing.projection.tables import JOINTS
from store.episode import ACTION, STATE
from store.exports import check_folder
from tests.sharing.projection.ground import KINEMATIC, SENSOR, Ground, grant


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Two episodes."""
    made = Ground(tmp_path)
    made.record(1, sensor=True)
    made.record(2, sensor=True, rows=100)
    made.freeze([1, 2])
    return made


def unpacked(ground: Ground, projector: Any, form: str, columns: Any = (*KINEMATIC, SENSOR)) -> Path:
    """Return the folder of an export."""
    file = export(projector, grant(columns=columns), form, venue_key(ground.root / "export.key"))
    with zipfile.ZipFile(io.BytesIO(projector.read(file, 0, file.size_bytes))) as packed:
        packed.extractall(ground.root / form)
    return ground.root / form


def test_plain_parquet_and_lerobot_hold_the_projections_values(ground: Ground) -> None:
    """To the bit; at the rate at which it was recorded nothing is resampled away."""
    projector = ground.projector()
    made = projector.project(grant(columns=(*KINEMATIC, SENSOR)))
    parts = [pq.read_table(io.BytesIO(projector.read(file, 0, file.size_bytes))) for file in made.tables[JOINTS]]

    plain = pq.read_table(unpacked(ground, projector, "parquet") / "joints.parquet")
    (data,) = (unpacked(ground, projector, "lerobot") / "data").rglob("*.parquet")

    for column in KINEMATIC:
        values = [row for part in parts for row in part[column].to_pylist()]
        assert plain[column].to_pylist() == values
    wanted = np.array([row for part in parts for row in part[STATE].to_pylist()], np.float32)
    assert np.allclose(np.array(pq.read_table(data)[STATE].to_pylist()), wanted, atol=1e-6)


def test_every_export_is_signed_and_its_manifest_names_the_agreement(ground: Ground) -> None:
    """Checked by the store's own check; with Croissant."""
    pytest.importorskip("mcap")
    projector = ground.projector()
    for form in ("lerobot", "parquet", "mcap"):
        folder = unpacked(ground, projector, form)

        checked = check_folder(folder)

        assert checked.about["agreement"] == "a" * 64
        assert checked.about["consumer"] == "vendors/bolt"
        assert checked.about["columns"] == [*KINEMATIC, SENSOR]
        assert json.loads((folder / "croissant.json").read_text())["license"] == f"urn:palaestra:agreement:{'a' * 64}"


def test_an_export_goes_with_its_agreement_and_leaves_nothing(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dropped as the projection is; nothing of the work stays beside it."""
    projector = ground.projector()
    key = venue_key(ground.root / "export.key")
    file = export(projector, grant(columns=(ACTION,)), "parquet", key)

    assert export(projector, grant(columns=(ACTION,)), "parquet", key) == file
    assert [path.name for path in file.path.parent.parent.iterdir()] and not list(
        (ground.root / "projections").rglob("work")
    )
    monkeypatch.setattr(exporter, "MOST_ARCHIVES", 1)
    with pytest.raises(PalaestraError, match="archives of this agreement"):
        export(projector, grant(columns=(ACTION,)), "mcap", key)
    assert projector.drop("a" * 64) == 2
    with pytest.raises(NotShared):
        projector.read(file, 0, 1)


def test_formats_and_rates_that_there_are_not_are_refused_by_name(ground: Ground) -> None:
    """Before anything is made."""
    projector, key = ground.projector(), venue_key(ground.root / "export.key")
    for form, fps, word in (("../etc", 0, "format"), ("lerobot", 5_000, "fps"), ("mcap", 30, "fps")):
        with pytest.raises(InvalidTerms, match=word):
            export(projector, grant(), form, key, fps=fps)
    assert not list((ground.root / "projections").iterdir())
