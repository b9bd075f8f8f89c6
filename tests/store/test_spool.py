"""Sweeping what dead processes left."""

from pathlib import Path
from typing import Any

from store import Outcome, Status, clean_spool
from store.spool import Claim


def test_a_living_recorder_is_not_swept(house: Any) -> None:
    """A sweep in the middle of an episode frees nothing, and the episode can still be sealed."""
    zeros = [0.0, 0.0, 0.0]
    recorder = house.recorder(block_bytes=1)
    recorder.append(0.0, zeros, zeros, zeros, zeros)

    assert clean_spool(house.spool) == 0

    recorder.append(1.0, zeros, zeros, zeros, zeros)
    assert recorder.seal(Outcome(Status.SUCCESS)).rows == 2


def test_files_that_nobody_holds_are_swept_and_others_are_left(tmp_path: Path) -> None:
    """Leftovers of both kinds go; a file that is not ours stays."""
    claim = Claim(tmp_path)
    claim.extra.write_bytes(b"living")
    (tmp_path / "dead.spool").write_bytes(b"12345")
    (tmp_path / "dead.sealing").write_bytes(b"678")
    (tmp_path / "notes.txt").write_bytes(b"mine")

    assert clean_spool(tmp_path) == 8

    left = {path.name for path in tmp_path.iterdir()}
    assert left == {claim.path.name, claim.extra.name, "notes.txt"}
    claim.release()
    claim.release()
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt"}


def test_a_spool_that_does_not_exist_is_clean(tmp_path: Path) -> None:
    """Nothing to do, and nothing is made."""
    assert clean_spool(tmp_path / "none") == 0
    assert list(tmp_path.iterdir()) == []
