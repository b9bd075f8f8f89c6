"""Accounts: what cannot be noted is not posted, one that fails holds up nobody, and nothing lies there in the clear."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from sharing.credits.measure import Measured
from sharing.errors import InvalidTerms, NotNoted
from sharing.projection.sources import Source
from store.objects import ObjectStore
from tests.sharing.credits.mill import Mill, in_this_process, movement


def test_what_cannot_be_noted_is_not_posted_and_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mill = Mill(tmp_path)
    mill.deliver("aurora", [mill.record("aurora", movement(1, 5))])

    def full(kind: str, fields: Mapping[str, str | int]) -> int:
        raise NotNoted

    with monkeypatch.context() as refused:
        refused.setattr(mill.notes, "note", full)
        with pytest.raises(NotNoted):
            mill.accounts.earn()
    assert mill.accounts.ledger.postings("vendors/aurora") == []
    assert mill.accounts.earn() == 1
    assert len(mill.accounts.ledger.postings("vendors/aurora")) == 1
    mill.close()


def test_a_version_that_cannot_be_measured_holds_up_nobody_else(tmp_path: Path) -> None:
    def sometimes(sources: Sequence[Source], objects: ObjectStore) -> Iterable[Measured]:
        if sources[0].uid == "e-1":
            raise KeyError("whatever a process that read a vendor's file may answer")
        return in_this_process(sources, objects)

    mill = Mill(tmp_path, measuring=sometimes)
    mill.deliver("aurora", [mill.record("aurora", movement(1, 5))])
    mill.deliver("cygnus", [mill.record("cygnus", movement(2, 5))])
    assert (mill.accounts.earn(), mill.accounts.earn()) == (1, 0)
    assert mill.accounts.ledger.balance("vendors/cygnus") > 1_000
    mill.close()


def test_what_is_kept_to_compare_with_is_encrypted_and_goes_with_its_vendor_s_key(tmp_path: Path) -> None:
    mill = Mill(tmp_path)
    path = movement(1, 5)
    assert mill.earned("aurora", [mill.record("aurora", path)]) > 1_000
    (kept,) = (tmp_path / "sharing" / "credits").iterdir()
    sha256 = kept.name.removesuffix(".sealed")
    sketch = mill.accounts.kept("vendors/aurora", sha256)
    assert sketch is not None
    assert sketch.shape == (40, 3)
    assert sketch[5].tobytes() not in kept.read_bytes()
    mill.vault.shred("vendors/aurora")
    assert mill.accounts.kept("vendors/aurora", sha256) is None
    # Its hash is still known, and others go on earning.
    assert mill.earned("aurora", [1], to="cygnus") == 0
    assert mill.earned("cygnus", [mill.record("cygnus", movement(2, 5))]) > 1_000
    mill.close()


def test_a_request_to_issue_is_carried_out_once(tmp_path: Path) -> None:
    mill = Mill(tmp_path)
    for amount in (5, 5, 7):
        mill.accounts.grant("vendors/aurora", amount, "the-very-same")
    assert mill.accounts.ledger.balance("vendors/aurora") == 5
    for amount, request in ((0, "the-very-same"), (5, "short"), (5, "x" * 65), (5, "not/a/name")):
        with pytest.raises(InvalidTerms):
            mill.accounts.grant("vendors/aurora", amount, request)
    for vendor in ("ground", "vendors/", "vendors/A", "vendors/a/b", "vendors/" + "a" * 64):
        with pytest.raises(InvalidTerms, match="vendor"):
            mill.accounts.grant(vendor, 5, "another-request")
    mill.close()
