"""All substeps in one call: equal to the loop over substeps to the bit, worlds that raise contained."""

import ctypes
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import mujoco
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller import backend
from sim.body import body_of
from sim.catalog import ACTUATORS, Actuators, find
from sim.engine import OpenBatch, library
from sim.rollout import parts_of
from sim.sites import Sites
from sim.worlds import Worlds

pytestmark = pytest.mark.skipif(backend() != "compiled", reason="nothing is compiled here")

NONE, POS = mujoco.mjtStage.mjSTAGE_NONE, mujoco.mjtStage.mjSTAGE_POS


ENTRY = find("own_quadruped")


@cache
def model_with(actuators: Actuators) -> mujoco.MjModel:
    """A quadruped whose explosions stay visible."""
    spec = ENTRY.mjspec(visuals=False, actuators=actuators)
    spec.option.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_AUTORESET)
    return spec.compile()


def worlds(count: int, threads: int, actuators: Actuators, *, whole: bool, compact: bool = False) -> Worlds:
    """Worlds at home and armed; `whole`: substeps in one call, else one by one through MuJoCo's batch."""
    entry, model = ENTRY, model_with(actuators)
    physics = entry.actuator_physics() if actuators == "physical" else None
    body = body_of(model, entry.robot_spec())
    made = Worlds(model, body, count, threads, physics=physics, own_models=not whole, compact=compact)
    assert (made._rollout is not None) == whole
    made.batch.reset(np.arange(count), keyframe=0, stage=NONE)
    made.renew(np.arange(count))
    return made


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 19),
    st.integers(1, 3),
    st.sampled_from(ACTUATORS),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 1e3, 1e11, np.nan]),
)
def test_substeps_in_one_call_equal_substeps_one_by_one_to_the_bit(
    seed: int, count: int, threads: int, actuators: Actuators, differ: bool, derived: bool, wild: float
) -> None:
    """States, the warnings that mean a world is lost, the memory of the drives, what is copied out; some worlds rest,
    one may be far off, and worlds may differ in their friction."""
    random = np.random.default_rng(seed)
    moved = 1.0 + 0.2 * random.standard_normal((count, 18))
    targets = random.uniform(-0.5, 0.5, (3, 12, count))
    moving = random.random((3, count)) < 0.8
    substeps = random.integers(1, 6, 3)
    ends = []
    for whole in (True, False):
        w = worlds(count, threads, actuators, whole=whole)
        if differ:
            w.batch.expand("geom_friction")[:] *= np.linspace(0.1, 1.0, count)[:, None, None]
        seen = w.batch.bind("xpos") if derived else np.zeros(0)
        w.qvel[:] = 0.1 * moved
        w.qvel[count // 2, 7] += wild
        cohort = w.drives.cohort
        for k in range(3):
            cohort.q_ref[:] += targets[k]
            cohort.submit()
            ids = None if moving[k].all() else np.flatnonzero(moving[k])
            if ids is None or len(ids):
                assert w.advance(ids, int(substeps[k]), stage=POS if derived else NONE) == {}
        # What stands beyond the robots in a row of the core is nobody's.
        memory = {name: array[..., :count].tobytes() for name, array in w.drives.memory().items()}
        lost = w.batch.warning[:, [int(mujoco.mjtWarning.mjWARN_BADQPOS), int(mujoco.mjtWarning.mjWARN_BADQVEL)]]
        ends.append((w.batch.state.tobytes(), lost.tolist(), memory, seen.tobytes()))

    assert ends[0] == ends[1]


RAISES = """
#include <mujoco/mujoco.h>
/* Raises in worlds beyond 100 m, at the given time. */
void raises(const mjModel *m, mjData *d)
{
    if (d->qpos[0] > 100 && d->time > 0.003)
        mju_error("world at %.0f m", d->qpos[0]);
}
"""


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("whole", "compact"), [(True, False), (False, False), (True, True)])
def test_worlds_in_which_mujoco_raises_are_named_with_its_reason_and_the_others_go_on_to_the_bit(
    tmp_path: Path, threads: int, whole: bool, compact: bool
) -> None:
    """Two neighbours, the last of a group and a lone one raise in the third substep."""
    functions = library()
    assert functions is not None
    package = Path(mujoco.__file__).parent
    source, made = tmp_path / "raises.c", tmp_path / "raises.so"
    source.write_text(RAISES)
    engine = next(package.glob("libmujoco.*"))
    include = f"-I{package / 'include'}"
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", include, str(source), "-o", str(made), str(engine)], check=True)
    raises = ctypes.CDLL(str(made)).raises
    far = [2, 3, 7, 17]
    count = 19
    plain = worlds(count, threads, "physical", whole=False)
    w = worlds(count, threads, "physical", whole=whole, compact=compact)
    for each in (plain, w):
        each.qpos[far, 0] = 101.0 + np.arange(4)
    plain.advance(None, 10)
    start = w.states()[far]
    hook = ctypes.c_void_p.in_dll(functions, "mjcb_passive")
    hook.value = ctypes.cast(raises, ctypes.c_void_p).value
    try:
        failures = w.advance(None, 10)
    finally:
        hook.value = None

    assert failures == {world: f"raises: world at {101 + k} m" for k, world in enumerate(far)} or failures == {
        world: f"world at {101 + k} m" for k, world in enumerate(far)
    }
    others = np.setdiff1d(np.arange(count), far)
    assert w.states()[others].tobytes() == plain.states()[others].tobytes()
    assert np.allclose(w.states()[far, 0], start[:, 0] + 2 * 0.002)
    assert w.advance(None, 1) == {}


def test_the_batch_over_c_functions_does_what_mujocos_does_to_the_bit() -> None:
    """Resets, forward stages, fields of worlds' own, derived constants, outputs, rays, one world's model and data."""
    functions = library()
    assert functions is not None
    model = model_with("ideal")
    random = np.random.default_rng(3)
    speeds, masses = random.standard_normal((5, model.nv)), 1.0 + random.random((5, model.nbody))
    points, directions = random.standard_normal((5, 4, 3)), random.standard_normal((5, 4, 3))
    found = []
    for batch in (mujoco.batch.Batch(model, 5, 2), OpenBatch(functions, model, 5, 2)):
        seen = [batch.bind(name) for name in ("xpos", "sensordata", "ncon", "site_xpos")]
        batch.reset(keyframe=0)
        batch.reset([1, 3], keyframe=[-1, 0], stage=NONE)
        batch.bind("qvel")[:] = speeds
        batch.expand("body_mass")[:] *= masses
        batch.expand("opt.gravity")[2] = [0.0, 0.0, -1.0]
        batch.set_const()
        batch.step([0, 2, 3], nstep=3, stage=POS)
        batch.forward([1])
        own, data = batch.get_model(2), batch.get_data(4)
        found.append(
            [
                batch.state, batch.warning, batch.status, *seen, batch._b.expanded("body_subtreemass"),
                own.body_subtreemass, own.opt.gravity, data.qpos, data.qvel,
                *batch.ray(points, directions, normal=True), *batch.ray(points[0, 0], directions[0, 0], ids=[1, 4]),
            ]
        )  # fmt: skip
        assert (batch.nsim, batch.nthread, batch.persistent, batch.error(0)) == (5, 2, False, "")

    for ours, theirs in zip(*found, strict=True):
        assert ours.dtype == theirs.dtype
        assert ours.shape == theirs.shape
        assert ours.tobytes() == theirs.tobytes()


def test_arrays_outlive_the_batch_they_are_of() -> None:
    functions = library()
    assert functions is not None
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    batch = OpenBatch(functions, model, 2, 1)
    batch.step()
    time = batch.bind("time")
    del batch

    assert time.tolist() == [model.opt.timestep] * 2


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_where_sites_are_is_what_mujocos_position_stage_says_to_the_bit(seed: int) -> None:
    """Those of some worlds in any posture; the others' stay, and no state changes."""
    functions = library()
    assert functions is not None
    model = model_with("ideal")
    batch = OpenBatch(functions, model, 4, 2)
    sites = Sites(batch)
    batch.bind("qpos")[:] = np.random.default_rng(seed).standard_normal((4, model.nq))
    before = batch.state.copy()
    ids = np.array([0, 3])
    sites.find(ids)
    assert batch.state.tobytes() == before.tobytes()
    expected = batch.bind("site_xpos")
    batch.forward(stage=POS)

    assert model.nsite > 0
    assert sites.positions[ids].tobytes() == expected[ids].tobytes()
    assert not sites.positions[[1, 2]].any()


def test_only_what_a_step_changes_is_read_back_and_nothing_that_the_model_lacks_is_asked_for() -> None:
    """Unless something that a step may change lies behind what is given to it: then all of it is."""
    state = mujoco.mjtState
    plain = mujoco.MjModel.from_xml_string(
        '<mujoco><worldbody><body><joint name="j"/><geom size=".1"/></body></worldbody>'
        '<actuator><motor joint="j"/></actuator></mujoco>'
    )
    whole, kept = int(state.mjSTATE_INTEGRATION), int(state.mjSTATE_TIME | state.mjSTATE_QPOS | state.mjSTATE_QVEL)
    kept |= int(state.mjSTATE_WARMSTART)
    forces = int(state.mjSTATE_CTRL | state.mjSTATE_QFRC_APPLIED | state.mjSTATE_XFRC_APPLIED)
    assert parts_of(plain, whole) == (kept | forces, kept)
    assert parts_of(plain, whole & ~forces) == (kept, kept)
    own = mujoco.MjModel.from_xml_string('<mujoco><size nuserdata="3"/></mujoco>')
    present, moved = parts_of(own, whole)
    assert present == moved
    assert present & int(state.mjSTATE_USERDATA)


def test_a_step_reads_no_clock_unless_somebody_gave_mujoco_one() -> None:
    """The clock is of the process, so this is told by another one."""
    program = """
import sys, mujoco
if sys.argv[1] == "given":
    mujoco.set_mjcb_time(lambda: 7.0)
from sim.engine import library
assert library() is not None
data = mujoco.MjData(model := mujoco.MjModel.from_xml_string("<mujoco/>"))
mujoco.mj_step(model, data)
if sys.argv[1] == "own":
    assert data.timer[0].duration == 0.0, data.timer[0].duration
    calls = []
    mujoco.set_mjcb_time(lambda: calls.append(1) or float(len(calls)))
    mujoco.mj_step(model, data)
    assert data.timer[0].duration > 0.0
else:
    assert mujoco.get_mjcb_time()() == 7.0
"""
    for whose in ("own", "given"):
        done = subprocess.run([sys.executable, "-c", program, whose], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
