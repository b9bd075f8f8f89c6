"""Who may drive: pure decisions, and the epochs that outlive the process."""

import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import grants
from controller.epochs import EpochFile
from controller.errors import EpochFileError
from controller.grants import Grant, Offer

UNIT = "venues/v/units/a"


def offer(epoch: int, *, lease: str = "", unit: str = UNIT, ttl_s: float = 5.0) -> Offer:
    return Offer(unit, lease or f"lease-{epoch}", epoch, b"hash", ttl_s)


def held(epoch: int, deadline_s: float = 5.0) -> dict[str, Grant]:
    return {UNIT: Grant(f"lease-{epoch}", epoch, b"hash", deadline_s)}


def test_a_first_grant_holds_from_receipt_until_its_time_to_live_ends() -> None:
    change = grants.receive({}, [offer(3, ttl_s=2.0)], highest={UNIT: 0}, now_s=10.0)

    assert change.held == {UNIT: Grant("lease-3", 3, b"hash", 12.0)}
    assert change.raised == {UNIT: 3}
    assert change.over == {UNIT: 2}
    assert grants.expire(change.held, now_s=11.9).held == change.held
    late = grants.expire(change.held, now_s=12.0)
    assert (late.held, late.over) == ({}, {UNIT: 3})


def test_the_same_grant_again_lives_longer_and_changes_nothing_else() -> None:
    change = grants.receive(held(3), [offer(3, ttl_s=2.0)], highest={UNIT: 3}, now_s=100.0)

    assert change.held == held(3, deadline_s=102.0)
    assert (change.raised, change.over) == ({}, {})


def test_a_higher_epoch_ends_the_one_that_holds() -> None:
    change = grants.receive(held(3), [offer(7)], highest={UNIT: 3}, now_s=0.0)

    assert change.held[UNIT].epoch == 7
    assert change.raised == {UNIT: 7}
    assert change.over[UNIT] == 6


@pytest.mark.parametrize("epoch", [1, 2, 3])
def test_an_epoch_that_is_not_higher_than_all_before_is_stale(epoch: int) -> None:
    """Nothing is held, as after a restart: even the highest known epoch opens nothing again."""
    change = grants.receive({}, [offer(epoch)], highest={UNIT: 3}, now_s=0.0)

    assert (change.held, change.raised) == ({}, {})


def test_a_grant_that_is_no_longer_in_the_set_is_over() -> None:
    change = grants.receive(held(3), [], highest={UNIT: 3}, now_s=0.0)

    assert (change.held, change.over) == ({}, {UNIT: 3})


def test_another_lease_under_the_same_epoch_is_not_the_same_grant() -> None:
    change = grants.receive(held(3), [offer(3, lease="another")], highest={UNIT: 3}, now_s=0.0)

    assert (change.held, change.over) == ({}, {UNIT: 3})


def test_offers_for_units_of_other_hosts_are_ignored() -> None:
    change = grants.receive({}, [offer(3, unit="venues/v/units/z")], highest={UNIT: 0}, now_s=0.0)

    assert (change.held, change.raised, change.over) == ({}, {}, {})


@given(st.lists(st.lists(st.integers(1, 8), max_size=3), max_size=12))
def test_whatever_the_scheduler_sends_epochs_only_grow_and_what_was_over_stays_over(
    messages: list[list[int]],
) -> None:
    holding: dict[str, Grant] = {}
    highest, over = 0, 0
    for epochs in messages:
        change = grants.receive(holding, map(offer, epochs), highest={UNIT: highest}, now_s=0.0)
        holding = dict(change.held)
        assert change.raised.get(UNIT, highest + 1) > highest
        highest = change.raised.get(UNIT, highest)
        assert change.over.get(UNIT, over) >= over
        over = change.over.get(UNIT, over)
        if UNIT in holding:
            assert holding[UNIT].epoch == highest > over


def test_a_token_opens_only_its_own_grant() -> None:
    grant = Grant("lease", 1, hashlib.sha256(b"secret").digest(), 1.0)

    assert grant.opens_with("secret")
    assert not grant.opens_with("Secret")
    assert not grant.opens_with("")


def test_epochs_outlive_the_process_and_never_shrink(tmp_path: Path) -> None:
    path = tmp_path / "new" / "epochs.json"
    file = EpochFile(path)
    assert file.highest(UNIT) == 0
    file.raise_to({UNIT: 5, "venues/v/units/b": 2})
    file.raise_to({UNIT: 3})

    assert file.highest(UNIT) == 5
    again = EpochFile(path)
    assert (again.highest(UNIT), again.highest("venues/v/units/b")) == (5, 2)
    assert [p.name for p in path.parent.iterdir()] == ["epochs.json"]


def test_an_epoch_that_did_not_reach_the_disk_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "epochs.json"
    file = EpochFile(path)
    file.raise_to({UNIT: 5})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            file.raise_to({UNIT: 6})

    assert file.highest(UNIT) == 5
    assert EpochFile(path).highest(UNIT) == 5


def test_epochs_are_synced_before_the_new_file_takes_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is draft synced, renamed, folder synced."""
    path = tmp_path / "epochs.json"
    steps: list[str] = []
    sync, rename = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda fd: (steps.append("sync"), sync(fd))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (steps.append("rename"), rename(a, b))[1])
    EpochFile(path).raise_to({UNIT: 1})

    assert steps == ["sync", "rename", "sync"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"a": -1}', '{"a": 1.5}', '{"a": true}', '{"a": "1"}'])
def test_a_file_of_epochs_that_is_damaged_keeps_the_host_from_starting(tmp_path: Path, content: str) -> None:
    path = tmp_path / "epochs.json"
    path.write_text(content)

    with pytest.raises(EpochFileError, match=r"epochs\.json"):
        EpochFile(path)
    assert path.read_text() == content
