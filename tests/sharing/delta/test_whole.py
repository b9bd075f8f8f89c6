"""Through everything: real recordings, the real gate, the real projector, and bytes at the other end."""

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]
import pytest

from sharing import signing
from sharing.register import proof_message
from store import read_episode
from store.episode import ACTION, EFFORT, STATE
from tests.sharing.delta.ground import ROOT, Delta, Tables, lines_of, path_of
from tests.sharing.projection.ground import DATA_SET, Ground
from tests.sharing.stage import key_of, stage

ACME = "vendors/acme"
JOINTS = f"{ROOT}/shares/acme/schemas/walks/tables/joints"


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    """Three episodes of acme in two versions."""
    made = Ground(tmp_path)
    for number in (1, 2, 3):
        made.record(number, rows=50 * number)
    made.freeze([1, 2])
    made.freeze([1, 2, 3])
    return made


@pytest.fixture
def opened(ground: Ground, tmp_path: Path) -> Iterator[Delta]:
    staged = stage(tmp_path, projector=ground.projector(now_s=lambda: 0.0))
    public = signing.public_key_of(key_of(ACME))
    proof = signing.sign(key_of(ACME), signing.KEY, proof_message(ACME, public))
    staged.room.register.add_key(ACME, public, proof)
    yield Delta(staged, Tables(tmp_path / "unused"))
    staged.close()


def test_granted_columns_of_recordings_arrive_and_nothing_else_does(opened: Delta, ground: Ground) -> None:
    agreement = opened.stage.agree(provider=ACME, data_set=DATA_SET, columns=(ACTION, STATE, EFFORT))
    client = opened.client(opened.credential("borealis", agreement.digest))
    answer = client.post(f"{JOINTS}/query", json={})
    _, _, *files = lines_of(answer)
    assert len(files) == 3
    said = answer.content
    for line, sealed in zip(files, ground.sealed, strict=True):
        data = opened.nobody().get(path_of(line["file"]["url"])).content
        table, original = pq.read_table(io.BytesIO(data)), read_episode(sealed.path)
        assert table.column_names == ["episode", "time_s", STATE, ACTION]
        assert np.allclose(np.array(table[STATE].to_pylist()), original.signals[STATE], atol=1e-3)
        said += data
    # Agreed or not, a trade secret does not leave: not its name, its values or their limits; nor where all this is.
    header = read_episode(ground.sealed[0].path).header
    secrets = [EFFORT, "effort", header.name, str(header.unit), ground.sealed[0].sha256, str(ground.root)]
    assert not [secret for secret in secrets if secret.encode() in said]
    effort = read_episode(ground.sealed[0].path).signals[EFFORT]
    assert effort[:4].tobytes() not in said

    _, _, *changed = lines_of(client.get(f"{JOINTS}/changes", params={"startingVersion": 2}))
    assert [list(line) for line in changed] == [["add"]]
    assert changed[0]["add"]["id"] == files[2]["file"]["id"]
    assert len(lines_of(client.post(f"{JOINTS}/query", json={"version": 1}))) == 4

    opened.stage.room.register.revoke(agreement.digest, ACME, "")
    assert opened.nobody().get(path_of(files[0]["file"]["url"])).status_code == 404
