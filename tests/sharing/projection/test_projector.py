"""What a consumer gets: the granted columns, made once, whole or not at all."""

import io
import json
import os
import threading
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from sharing.errors import NotReleasable, NotShared
from sharing.projection.marks import AMPLITUDE
from sharing.projection.process import run
from sharing.projection.projector import CONTENTS, Projector
from sharing.projection.tables import EPISODES, JOINTS
from store import read_episode
from store.episode import ACTION, EFFORT, STATE, VELOCITY
from tests.sharing.projection.ground import KINEMATIC, SENSOR, Ground, grant


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Two episodes in one version."""
    made = Ground(tmp_path)
    made.record(1, sensor=True, imu=True, note="handed over by Jane Roe at /home/jane/x.bag")
    made.record(2, rows=100)
    made.freeze([1, 2])
    return made


def table_of(projector: Projector, file: Any) -> Any:
    """Read a file of a projection through the projector."""
    content = projector.read(file, 0, file.size_bytes)
    assert len(content) == file.size_bytes
    return pq.read_table(io.BytesIO(content))


def test_a_projection_has_the_granted_columns_with_their_values_and_no_others(ground: Ground) -> None:
    """Values within the mark; one file for each episode, oldest first."""
    projector = ground.projector()

    made = projector.project(grant())

    assert set(made.tables) == {EPISODES, JOINTS}
    for file, sealed in zip(made.tables[JOINTS], ground.sealed, strict=True):
        table, original = table_of(projector, file), read_episode(sealed.path)
        assert table.column_names == ["episode", "time_s", *KINEMATIC]
        assert table.schema.equals(made.schemas[JOINTS].remove_metadata())
        assert table["time_s"].to_pylist() == original.time_s.tolist()
        for column in KINEMATIC:
            values = np.array(table[column].to_pylist(), np.float32)
            assert np.allclose(values, original.signals[column], atol=1.1 * AMPLITUDE)
            low, high = file.stats[column]
            assert (low, high) == (values.min(), values.max())
    rows = table_of(projector, made.tables[EPISODES][0]).to_pylist()
    assert [row["rows"] for row in rows] == [200, 100]
    assert {row["task"] for row in rows} == {"reach the red box"}


def test_streams_and_sensors_are_tables_of_their_own(ground: Ground) -> None:
    """Each with its own times; a stream of texts is scrubbed."""
    projector = ground.projector()

    made = projector.project(grant(columns=(STATE, SENSOR)))

    assert set(made.tables) == {EPISODES, JOINTS, SENSOR}
    (skin,) = made.tables[SENSOR]
    assert table_of(projector, skin)["value"].to_pylist() == [[0.25, 0.25]] * 200


def test_the_same_grant_is_made_once_and_another_choice_anew(ground: Ground, monkeypatch: Any) -> None:
    """By the identity of what is made; a new process finds what there is."""
    calls = []
    projector = ground.projector()
    first = projector.project(grant())
    monkeypatch.setattr("sharing.projection.projector.run", lambda *_, **__: calls.append(1))

    again = ground.projector().project(grant())

    assert again == first
    assert not calls
    with pytest.raises(TypeError):
        projector.project(grant(columns=(STATE,)))
    assert calls


def test_what_is_dropped_is_gone_and_cannot_be_read(ground: Ground) -> None:
    """All of the agreement, and of no other."""
    projector = ground.projector()
    mine, other = projector.project(grant()), projector.project(grant("b" * 64))
    file = mine.tables[JOINTS][0]

    assert projector.drop("a" * 64) == 1
    assert projector.drop("a" * 64) == 0
    assert projector.drop("../b") == 0

    with pytest.raises(NotShared):
        projector.read(file, 0, 10)
    assert table_of(projector, other.tables[JOINTS][0]).num_rows == 200
    assert not [path for path in (ground.root / "projections").rglob("*") if "a" * 64 in str(path)]


def test_a_projection_that_was_dropped_while_it_was_made_does_not_appear(ground: Ground, monkeypatch: Any) -> None:
    """The revocation came first."""
    projector = ground.projector()
    check = projector._check

    def late(*args: Any) -> None:
        check(*args)
        projector.drop("a" * 64)

    monkeypatch.setattr(projector, "_check", late)

    with pytest.raises(NotShared):
        projector.project(grant())
    assert not list((ground.root / "projections").rglob("*.parquet"))


def test_a_revocation_ends_the_process_that_makes_a_projection(ground: Ground, monkeypatch: Any) -> None:
    """Also where it writes nothing for hours, as a detector may that looks at one recording."""
    monkeypatch.setattr("sharing.projection.projector.run", partial(run, module="tests.sharing.projection.sleeper"))
    projector = ground.projector()
    refused: list[BaseException] = []

    def ask() -> None:
        try:
            projector.project(grant())
        except NotShared as error:
            refused.append(error)

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    told, until_s = ground.root / "sleeper.pid", time.monotonic() + 60.0
    while not (told.exists() and told.read_text()) and time.monotonic() < until_s:
        time.sleep(0.02)
    pid = int(told.read_text())

    projector.drop("a" * 64)

    asking.join(20.0)
    assert refused and not asking.is_alive()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_nothing_half_made_is_ever_seen(ground: Ground, monkeypatch: Any) -> None:
    """Whatever fails on the way; and what a killed process left goes at the next start."""
    for place in ("_check", "_remember"):
        projector = ground.projector()
        with monkeypatch.context() as patch:
            patch.setattr(projector, place, lambda *_: (_ for _ in ()).throw(OSError("gone")))
            with pytest.raises(OSError, match="gone"):
                projector.project(grant())
        assert not list((ground.root / "projections").rglob(CONTENTS))
    left = ground.root / "projections" / ("a" * 64) / f".{'c' * 64}.0011.partial" / JOINTS
    left.mkdir(parents=True)
    (left / "half.parquet").write_bytes(b"half")

    assert ground.projector().project(grant()).tables[JOINTS]
    assert not left.exists()


def test_what_no_terms_can_let_out_is_refused_by_name(ground: Ground) -> None:
    """Torque, whatever the grant says; unknown columns are no more than absent."""
    projector = ground.projector()

    with pytest.raises(NotReleasable, match=EFFORT):
        projector.project(grant(columns=(STATE, EFFORT)))
    assert set(projector.project(grant(columns=(ACTION, "observation.base_pose"))).tables) == {EPISODES, JOINTS}


def test_what_there_is_not_is_not_shared(ground: Ground) -> None:
    """No such data set, version, agreement; one word for all."""
    projector = ground.projector()
    missing = (
        grant(data_set="vendors/acme/datasets/none"),
        grant(data_set="vendors/bolt/datasets/walks"),
        grant(version=2),
        grant(agreement="../../etc"),
        grant(data_set="vendors/acme/datasets/walks/versions"),
    )
    for one in missing:
        with pytest.raises(NotShared, match=r"^not found$"):
            projector.project(one)


def test_ranges_of_a_file_are_its_bytes(ground: Ground) -> None:
    """Any begin and size."""
    projector = ground.projector()
    file = projector.project(grant(columns=(VELOCITY,))).tables[JOINTS][0]
    whole = file.path.read_bytes()

    assert projector.read(file, 5, 7) == whole[5:12]
    assert projector.read(file, len(whole) - 3, 100) == whole[-3:]
    assert projector.read(file, len(whole), 1) == b""
    with pytest.raises(ValueError, match="-1"):
        projector.read(file, -1, 4)


def test_files_lie_encrypted_where_there_is_a_vault(ground: Ground) -> None:
    """And are read as they are; their hash and size are those of what the consumer gets."""

    class Xor:
        def seal(self, owner: str, source: Path, target: Path) -> None:
            assert owner == "a" * 64
            target.write_bytes(bytes(byte ^ 0x5A for byte in source.read_bytes()))

        def read(self, owner: str, path: Path, begin: int, size_bytes: int) -> bytes:
            assert owner == "a" * 64
            return bytes(byte ^ 0x5A for byte in path.read_bytes()[begin : begin + size_bytes])

    projector = ground.projector(vault=Xor())
    made = projector.project(grant())

    assert all(b"PAR1" not in path.read_bytes() for path in (ground.root / "projections").rglob("*.parquet"))
    assert table_of(projector, made.tables[JOINTS][0]).num_rows == 200
    assert json.loads((made.tables[JOINTS][0].path.parent.parent / CONTENTS).read_text())["version"] == 1
