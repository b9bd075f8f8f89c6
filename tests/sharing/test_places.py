"""Nobody's requests for something that takes long keep all others waiting."""

from pathlib import Path

import pytest

from palaestra.errors import PalaestraError
from sharing.dataspace import routes as dataspace
from sharing.export import routes as export
from sharing.places import Places
from tests.sharing.stage import BOREALIS, CYGNUS, stage


def test_a_consumer_has_so_many_places_and_all_have_so_many() -> None:
    places = Places(most=2, each=1)
    with places.one(BOREALIS):
        with pytest.raises(PalaestraError, match="made already"), places.one(BOREALIS):
            pass
        with places.one(CYGNUS), pytest.raises(PalaestraError, match="made already"), places.one("vendors/dione"):
            pass
    with places.one(BOREALIS):
        pass


def test_exports_and_transfers_have_places(
    tmp_path: Path, made_catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one nothing is made, and the answer is the same at once."""
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    for module in (export, dataspace):
        monkeypatch.setattr(module, "Places", lambda **bounds: Places(most=0))
    staged = stage(tmp_path)
    digest, client = staged.agree().digest, staged.as_("borealis")
    message = {"@type": "TransferRequestMessage", "consumerPid": "1", "agreementId": digest, "format": "export"}
    name = client.post("/sharing/dsp/transfers/request", json=message).json()["providerPid"]

    for path in (
        f"/sharing/v1/exports/{digest}?format=parquet",
        f"/sharing/dsp/transfers/{name}/data",
        f"/sharing/dsp/transfers/{name}/data/joints/x.parquet",
    ):
        assert client.get(path).json()["reason"] == "OVER_QUOTA"
    # It is no way to learn what there is.
    assert staged.as_("cygnus").get(f"/sharing/v1/exports/{digest}?format=parquet").status_code == 404
    staged.close()


def test_leaked_files_under_trace_are_few_and_go_with_a_process_that_was_killed(
    tmp_path: Path, made_catalogue: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is up to 256 MiB on the room's disk, and somebody's data."""
    (tmp_path / "catalogue.db").write_bytes(made_catalogue.read_bytes())
    (tmp_path / "sharing").mkdir()
    left = tmp_path / "sharing" / ".trace-left"
    left.write_bytes(b"somebody's")
    monkeypatch.setattr(export, "TRACES_MOST", 0)
    staged = stage(tmp_path)

    assert not left.exists()
    assert staged.as_("aurora").post(export.TRACE_PATH, content=b"PAR1").json()["reason"] == "OVER_QUOTA"
    staged.close()
