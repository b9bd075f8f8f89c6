"""Worlds kept without what is applied from outside go the way of whole rows, to the bit."""

from typing import Any

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import backend
from sim.body import body_of
from sim.catalog import find
from sim.compact import DESKS, CompactBatch
from sim.distribution import Uniform
from sim.engine import OpenBatch, library
from sim.mjcf import compile_model
from sim.randomisation import Randomisation, Term
from sim.sensors import Encoders
from sim.slot import SimSlot
from sim.tasks import find_task
from sim.worlds import Worlds

pytestmark = pytest.mark.skipif(backend() != "compiled", reason="nothing is compiled here")

NONE, POS = mujoco.mjtStage.mjSTAGE_NONE, mujoco.mjtStage.mjSTAGE_POS
QUADRUPED = find("own_quadruped")
SPEC = QUADRUPED.mjspec(visuals=False, actuators="physical")
SPEC.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
MODEL = compile_model(SPEC, label="own_quadruped")


def compact_batch(count: int, threads: int = 1) -> CompactBatch:
    functions = library()
    assert functions is not None
    return CompactBatch(functions, MODEL, count, threads)


@settings(max_examples=8, deadline=None)
@given(
    st.integers(0, 2**32 - 1), st.sampled_from([1, 8, 19, DESKS + 1, 2 * DESKS + 9]), st.integers(1, 3),
    st.sampled_from([0.0, 1e11, np.nan]),
)  # fmt: skip
def test_they_end_as_worlds_with_whole_rows_do_to_the_bit(seed: int, count: int, threads: int, wild: float) -> None:
    """States, warnings, drives and sites, where some are pushed, some rest, some begin anew and one may be far off."""
    random = np.random.default_rng(seed)
    speeds, pushes = random.standard_normal((count, MODEL.nv)), 20.0 * random.standard_normal((count, 3))
    targets, moving = random.uniform(-0.3, 0.3, (3, 12, count)), random.random((3, count)) < 0.8
    again = np.flatnonzero(random.random(count) < 0.3)
    ends = []
    for compact in (True, False):
        body, physics = body_of(MODEL, QUADRUPED.robot_spec()), QUADRUPED.actuator_physics()
        w = Worlds(MODEL, body, count, threads, physics=physics, compact=compact)
        assert isinstance(w.batch, CompactBatch if compact else OpenBatch)
        everyone = np.arange(count)
        w.batch.reset(everyone, keyframe=0, stage=POS)
        w.renew(everyone)
        sites, push = w.derive("site_xpos"), w.batch.bind("xfrc_applied")
        w.qvel[:] = 0.1 * speeds
        w.qvel[count // 2, 7] += wild
        seen: list[tuple[bytes, ...]] = []
        for k in range(3):
            push[k::3, body.base, :3] = pushes[k::3]
            w.drives.cohort.q_ref[:] += targets[k]
            w.drives.cohort.submit()
            ids = None if moving[k].all() else np.flatnonzero(moving[k])
            if ids is None or len(ids):
                assert w.advance(ids, 2 + k) == {}
            seen.append((w.states().tobytes(), sites.tobytes(), w.states(again).tobytes()))
            if k == 1 and len(again):
                w.batch.reset(again, keyframe=0, stage=NONE)
                w.qpos[again, 2] += 0.01
                w.renew(again)
                w.settle(again)
                seen.append((w.states().tobytes(), sites.tobytes()))
        memory = {name: array[..., :count].tobytes() for name, array in w.drives.memory().items()}
        lost = w.batch.warning[:, [int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQVEL)]]
        ends.append((seen, lost.tolist(), memory))

    assert ends[0] == ends[1]


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=10, deadline=None)
def test_whole_states_that_are_put_come_back_to_the_bit(seed: int, applied: bool) -> None:
    batch = compact_batch(5)
    states = np.random.default_rng(seed).standard_normal((5, batch.desk.nstate))
    if not applied:
        states[:, batch._applied_columns] = 0.0
    batch.put(states)
    assert batch.states().tobytes() == states.tobytes()
    assert batch.bind("qpos").tobytes() == np.ascontiguousarray(states[:, 1 : 1 + MODEL.nq]).tobytes()

    batch.reset(np.arange(5), keyframe=0, stage=NONE)
    assert not batch.applied.any()


def test_worlds_that_nobody_pushed_have_no_zeros_written_where_forces_are() -> None:
    batch = compact_batch(40)
    batch.applied.flags.writeable = False
    batch.reset(np.arange(40), keyframe=0, stage=POS)
    batch.put(batch.states())

    assert not batch.applied.any()


def test_a_slot_keeps_its_worlds_compact_unless_it_reads_or_varies_what_they_share() -> None:
    def batch(robot: str, task: str, **rest: Any) -> object:
        return SimSlot(find(robot), find_task(task), worlds=1, threads=1, seed=1, **rest).core.batch

    friction = Randomisation((Term("friction_scale", Uniform(0.5, 1.0)),))
    gains = Randomisation((Term("kp_scale", Uniform(0.5, 1.0)),))
    assert isinstance(batch("own_arm", "reach"), CompactBatch)
    assert isinstance(batch("own_quadruped", "walk", randomisation=gains), CompactBatch)
    assert not isinstance(batch("own_quadruped", "walk", randomisation=friction), CompactBatch)
    assert not isinstance(batch("own_quadruped", "walk", sensors=[Encoders("joints")]), CompactBatch)
