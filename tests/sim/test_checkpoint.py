"""Checkpoints as bytes: whole and unchanged, or refused with the reason."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.catalog import find
from sim.checkpoint import from_bytes, to_bytes
from sim.errors import BadSnapshot
from sim.slot import SimSlot, Snapshot
from sim.slot_process import ModelWork
from sim.slot_process.model_slot import ModelSlot
from sim.tasks import find_task

SNAPSHOT = Snapshot(
    {"engine": "mujoco", "worlds": "2"},
    np.array([[1.0, -0.0], [np.nextafter(1, 2), 5e-324]]),
    {"steps": np.array([3, 4]), "ended": np.array([True, False]), "none": np.zeros((2, 0))},
)


def test_a_checkpoint_keeps_every_bit() -> None:
    read = from_bytes(to_bytes(SNAPSHOT))

    assert read.header == SNAPSHOT.header
    assert read.state.tobytes() == SNAPSHOT.state.tobytes()
    assert {name: (a.dtype, a.shape, a.tobytes()) for name, a in read.arrays.items()} == {
        name: (a.dtype, a.shape, a.tobytes()) for name, a in SNAPSHOT.arrays.items()
    }
    assert to_bytes(read) == to_bytes(SNAPSHOT)


@given(st.data())
def test_a_checkpoint_with_one_flipped_bit_or_cut_short_is_refused(data: st.DataObject) -> None:
    whole = bytearray(to_bytes(SNAPSHOT))
    if data.draw(st.booleans()):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    else:
        del whole[data.draw(st.integers(0, len(whole) - 1)) :]

    with pytest.raises(BadSnapshot):
        from_bytes(bytes(whole))


@pytest.mark.parametrize(
    "table", [[["state", "object", [1]]], [["state", "float64", [10**9]]], [["state", "float64", [-1]]], "x", [[]], []]
)
def test_a_head_that_lies_is_refused_although_its_hash_is_right(table: object) -> None:
    import hashlib

    head = json.dumps({"header": {}, "arrays": table}).encode()
    whole = b"PALCKPT1" + len(head).to_bytes(8, "little") + head + bytes(64)

    with pytest.raises(BadSnapshot):
        from_bytes(whole + hashlib.sha256(whole).digest())


@pytest.mark.parametrize("key", ["engine_version", "architecture", "model_sha256", "drives_sha256", "version", "task"])
def test_a_checkpoint_of_something_else_is_refused_with_what_differs(key: str) -> None:
    slot = SimSlot(find("own_arm"), find_task("reach"), worlds=1, threads=1, seed=1)
    before = slot.digests()
    kept = slot.snapshot()
    other = Snapshot({**kept.header, key: "other"}, kept.state, kept.arrays)

    with pytest.raises(BadSnapshot, match=f"{key} is .* here and 'other' in the snapshot"):
        slot.restore(from_bytes(to_bytes(other)))
    assert (slot.digests() == before).all()


def test_a_checkpoint_that_lacks_an_array_changes_nothing() -> None:
    slot = SimSlot(find("own_arm"), find_task("reach"), worlds=1, threads=1, seed=1)
    kept = slot.snapshot()
    slot.step(np.ones((1, slot.action_size)))
    before = slot.digests()
    del kept.arrays["steps"]

    with pytest.raises(BadSnapshot, match="steps is missing"):
        slot.restore(kept)
    assert (slot.digests() == before).all()


def test_a_model_of_ones_own_goes_on_to_the_last_bit(tmp_path: Path) -> None:
    (tmp_path / "m.xml").write_text(
        '<mujoco><worldbody><geom type="plane" size="5 5 .1"/><body pos="0 0 .3"><freejoint/><geom size=".1"/></body>'
        '<body pos="1 0 1"><joint name="h"/><geom type="capsule" size=".05" fromto="0 0 0 .3 0 0"/></body></worldbody>'
        '<actuator><motor joint="h"/></actuator><sensor><jointpos joint="h"/></sensor></mujoco>'
    )
    slot = ModelSlot(ModelWork(str(tmp_path), "m.xml"), worlds=2, threads=1, seed=0, first_world=0)
    controls = [np.array([[np.sin(k)], [np.cos(k)]]) for k in range(40)]
    for control in controls[:15]:
        slot.step(control)
    kept = to_bytes(slot.snapshot())
    after = [slot.step(control).obs.tobytes() for control in controls[15:]]
    slot.restore(from_bytes(kept))

    assert [slot.step(control).obs.tobytes() for control in controls[15:]] == after
