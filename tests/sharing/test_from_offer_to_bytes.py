"""Through everything that is real: negotiated, signed, granted, projected, served, revoked, collected."""

import io
from pathlib import Path

import pyarrow.parquet as pq

from sharing import signing
from sharing.problem import NOT_SHARED
from sharing.register import proof_message
from sharing.server import collect
from store.episode import EFFORT
from tests.sharing.projection.ground import Ground
from tests.sharing.stage import BOREALIS, begin, key_of, stage, take, terms

ACME = "vendors/acme"


def test_the_granted_columns_arrive_and_nothing_is_left_when_it_is_over(tmp_path: Path) -> None:
    ground = Ground(tmp_path)
    for number in (1, 2):
        ground.record(number, rows=50)
    ground.freeze([1, 2])
    projector = ground.projector()
    staged = stage(tmp_path, projector=projector)
    public = signing.public_key_of(key_of(ACME))
    staged.room.register.add_key(ACME, public, signing.sign(key_of(ACME), signing.KEY, proof_message(ACME, public)))
    about = terms(provider=ACME, data_set=f"{ACME}/datasets/walks")
    accepted = take(staged, begin(staged, about, by=ACME), "accept", BOREALIS)
    take(staged, take(staged, accepted, "sign", BOREALIS), "sign", ACME)

    client = staged.as_("borealis")
    message = {"@type": "TransferRequestMessage", "consumerPid": "1", "agreementId": about.digest(), "format": "export"}
    started = client.post("/sharing/dsp/transfers/request", json=message).json()
    path = started["dataAddress"]["endpoint"].removeprefix(staged.room.address)
    files = client.get(path).json()["files"]
    contents = {(f["table"], f["name"]): client.get(f"{path}/{f['table']}/{f['name']}").content for f in files}

    joints = [pq.read_table(io.BytesIO(data)) for (table, _), data in contents.items() if table == "joints"]
    assert [set(table.column_names) - {"episode", "time_s"} for table in joints] == [set(about.columns)] * 2
    assert all(EFFORT.encode() not in data for data in contents.values())
    assert sum(int(note["bytes"]) for note in staged.notes.of("bytes")) == sum(map(len, contents.values()))

    assert list((tmp_path / "projections").rglob("*.parquet"))
    staged.as_("borealis").post(f"/sharing/v1/agreements/{about.digest()}:revoke", json={"reason": "done"})
    assert client.get(path).content == NOT_SHARED
    assert (collect(staged.room), collect(staged.room)) == (1, 0)
    assert not list((tmp_path / "projections").rglob("*.parquet"))
    staged.close()
