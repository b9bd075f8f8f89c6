"""A slot in a process of its own: the same numbers, and whatever happens to it stays with it."""

import contextlib
import gc
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from sim.errors import BadAction, BadSlot, BadSnapshot, BrokenModel, SlotDied, SlotTimeout, UnknownTask
from sim.slot_process import Bounds, LeasedSlot, ModelWork, Pace, SlotSpec, TaskWork
from sim.slot_process.nursery import nursery
from sim.slot_process.program import open_task
from sim.slot_process.segment import STEP, TEXT_BYTES, WORD, Sizes, attach, create
from sim.slot_process.serve import _listed

ARM = TaskWork("own_arm", motion="reach_around", horizon_s=4.0)
MIB = 2**20

BALL = """<mujoco><option timestep="0.002"/><worldbody><geom type="plane" size="5 5 .1"/>
<body pos="0 0 1"><freejoint/><geom size=".1"/></body>
<body pos="1 0 1"><joint name="hinge" type="hinge"/><geom type="capsule" size=".05" fromto="0 0 0 .3 0 0"/></body>
</worldbody><actuator><motor joint="hinge"/></actuator></mujoco>"""


def spec(worlds: int = 3, **fields: object) -> SlotSpec:
    return SlotSpec(ARM, worlds=worlds, seed=5, **fields)  # type: ignore[arg-type]


def model(folder: Path, text: str = BALL) -> ModelWork:
    (folder / "model.xml").write_text(text)
    return ModelWork(str(folder), "model.xml")


def actions(step: int, slot: LeasedSlot) -> np.ndarray:
    return 0.5 * np.sin(step + np.arange(slot.worlds * slot.action_size)).reshape(slot.worlds, -1)


@pytest.fixture(scope="module")
def arm() -> Iterator[LeasedSlot]:
    with LeasedSlot(spec()) as slot:
        yield slot


def test_a_slot_process_gives_the_same_bits_as_a_slot_here(arm: LeasedSlot) -> None:
    here = open_task(spec(), ARM)
    arm.record(signals=True, digests=True)
    first = arm.reset(episodes=[7, 8, 9]), here.reset(episodes=[7, 8, 9])
    assert first[0].tobytes() == first[1].tobytes()
    for step in range(12):
        there, at_home = arm.step(actions(step, arm)), here.step(actions(step, arm))
        for one, other in zip(there, at_home, strict=True):
            assert one.tobytes() == other.tobytes()
        assert (arm.digests() == here.digests()).all()
        for one, other in zip(
            (*arm.joint_state(), arm.base_pose()), (*here.joint_state(), here.base_pose()), strict=True
        ):
            assert one.tobytes() == other.tobytes()


def test_a_world_is_the_same_in_a_slot_of_any_size(arm: LeasedSlot) -> None:
    arm.record(digests=True)
    arm.reset(worlds=[0, 1, 2], episodes=[0, 0, 0])
    asked = [actions(step, arm) for step in range(6)]
    seen = []
    for action in asked:
        arm.step(action)
        seen.append(arm.digests()[2])
    with LeasedSlot(spec(worlds=1, first_world=2)) as alone:
        alone.record(digests=True)
        alone.reset(episodes=[0])
        for action, digest in zip(asked, seen, strict=True):
            alone.step(action[2:])
            assert alone.digests()[0] == digest


def test_a_checkpoint_goes_on_to_the_last_bit_in_another_process(arm: LeasedSlot) -> None:
    arm.reset(worlds=[0, 1, 2])
    for step in range(3):
        arm.step(actions(step, arm))
    kept = arm.checkpoint()
    after = [arm.step(actions(step, arm)).obs.tobytes() for step in range(3, 7)]
    with LeasedSlot(spec()) as other:
        other.restore(kept)
        assert [other.step(actions(step, other)).obs.tobytes() for step in range(3, 7)] == after
    with pytest.raises(BadSnapshot, match="damaged"):
        arm.restore(kept[:-1] + bytes([kept[-1] ^ 1]))
    with pytest.raises(BadSnapshot, match="worlds is '2' here and '3'"), LeasedSlot(spec(worlds=2)) as smaller:
        smaller.restore(kept)
    # What was refused changed nothing.
    arm.restore(kept)
    assert arm.step(actions(3, arm)).obs.tobytes() == after[0]


def test_controls_that_are_no_numbers_are_refused_and_step_nothing(arm: LeasedSlot) -> None:
    arm.record(digests=True)
    arm.reset()
    before = arm.step(np.zeros((3, arm.action_size)))
    digests = arm.digests()
    wrong = np.zeros((3, arm.action_size))
    wrong[1, 0] = np.nan

    with pytest.raises(BadAction, match=r"worlds \[1\] are not finite"):
        arm.step(wrong)
    with pytest.raises(BadAction, match="shape"):
        arm.step(np.zeros((2, arm.action_size)))

    assert (arm.digests() == digests).all()
    assert arm.step(np.zeros((3, arm.action_size))).obs.shape == before.obs.shape


def test_what_cannot_be_built_is_refused_by_name_and_leaves_no_process() -> None:
    before = children()
    with pytest.raises(UnknownTask, match="juggle"):
        LeasedSlot(SlotSpec(TaskWork("own_arm", task="juggle"), worlds=1))
    with pytest.raises(BadSlot, match="worlds = 0"):
        SlotSpec(ARM, worlds=0)
    with pytest.raises(BadSlot, match="exactly one"):
        SlotSpec(TaskWork("own_arm"), worlds=1)
    assert children() == before


def test_a_slot_killed_in_the_middle_of_a_step_says_so_and_no_other_notices(tmp_path: Path) -> None:
    with LeasedSlot(spec(worlds=400)) as victim, LeasedSlot(spec()) as other:
        other.reset(episodes=[0, 0, 0])
        zeros = np.zeros((400, victim.action_size))
        killer = threading.Timer(0.05, os.kill, (victim.pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(SlotDied, match="killed by SIGKILL during a step"):
            for _ in range(10_000):
                victim.step(zeros)
        killer.join()
        with pytest.raises(SlotDied, match="closed"):
            victim.step(zeros)
        assert np.isfinite(other.step(np.zeros((3, other.action_size))).obs).all()


def test_a_world_that_blows_up_is_named_and_its_neighbours_go_on(tmp_path: Path) -> None:
    """A torque of 1e10 N m is a number that MuJoCo takes, and no state survives it."""
    with LeasedSlot(SlotSpec(model(tmp_path), worlds=3)) as slot:
        torque = np.zeros((3, 1))
        torque[1] = 1e10
        with pytest.raises(BadAction, match="beyond 1e"):
            slot.step(2.0 * torque)
        one = slot.step(torque)
        assert one.terminated.tolist() == [False, True, False]
        assert "world 1" in slot.failures[1]
        assert np.isfinite(one.obs).all()
        with LeasedSlot(SlotSpec(slot.spec.work, worlds=1)) as alone:
            assert alone.step([[0.0]]).obs.tobytes() == one.obs[0].tobytes() == one.obs[2].tobytes()
        slot.reset([False, True, False])
        assert not slot.terminated.any()
        assert not slot.failures


def test_a_model_that_is_unstable_by_itself_fails_its_worlds_and_no_other_slot_notices(
    arm: LeasedSlot, tmp_path: Path
) -> None:
    """A spring that no step of this length can follow: nobody does anything, and the state outgrows all numbers."""
    spring = (
        '<mujoco><option timestep="0.02"/><worldbody><body><joint type="slide" stiffness="1e9" springref="1"/>'
        '<geom size=".1"/></body></worldbody></mujoco>'
    )
    zeros = np.zeros((2, 0))
    with LeasedSlot(SlotSpec(model(tmp_path, spring), worlds=2)) as slot:
        for _ in range(200):
            if slot.step(zeros).terminated.all():
                break
        assert slot.failures.keys() == {0, 1}
        assert all("unstable" in why for why in slot.failures.values())
        assert np.isfinite(slot.step(zeros).obs).all()
        slot.reset()
        assert not slot.terminated.any()
    assert np.isfinite(arm.step(np.zeros((3, arm.action_size))).obs).all()


HOSTILE = {
    "an include outside": ('<mujoco><include file="../secret.xml"/></mujoco>', "outside the model's folder"),
    "a mesh outside": (
        '<mujoco><asset><mesh name="m" file="/etc/hostname"/></asset></mujoco>',
        "outside the model's folder",
    ),
    "a missing mesh": ('<mujoco><asset><mesh name="m" file="m.obj"/></asset></mujoco>', "missing"),
    "a plugin": ('<mujoco><extension><plugin plugin="mujoco.pid"/></extension></mujoco>', "plugins run foreign code"),
    "no XML": ("<mujoco><worldbody>", "XML syntax"),
    "NaN": ('<mujoco><worldbody><body pos="0 nan 0"/></worldbody></mujoco>', "not finite"),
    "a huge arena": ('<mujoco><size memory="400G"/></mujoco>', "size memory"),
    "a step of no length": ('<mujoco><option timestep="1e-9"/></mujoco>', "substeps"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_is_refused_with_its_reason(name: str, tmp_path: Path) -> None:
    text, reason = HOSTILE[name]
    (tmp_path / "secret.xml").write_text("<mujoco/>")
    folder = tmp_path / "folder"
    folder.mkdir()

    with pytest.raises(BrokenModel, match=reason):
        LeasedSlot(SlotSpec(model(folder, text), worlds=1))


def test_a_gigabyte_mesh_is_refused_before_it_is_read(tmp_path: Path) -> None:
    work = model(tmp_path, '<mujoco><asset><mesh name="m" file="m.obj"/></asset></mujoco>')
    with open(tmp_path / "m.obj", "wb") as file:
        file.truncate(2**30)

    with pytest.raises(BrokenModel, match=r"m\.obj: 1073741824 bytes .* too large"):
        LeasedSlot(SlotSpec(work, worlds=1))


def test_a_model_that_compiles_for_ever_loses_its_slot_and_nothing_else(arm: LeasedSlot, tmp_path: Path) -> None:
    """Bodies enough for minutes of compiling, below every bound on what a file may ask for."""
    bodies = '<replicate count="140" offset="0 0 1"><replicate count="140" offset="0 1 0"><body><freejoint/>'
    work = model(
        tmp_path,
        f'<mujoco><worldbody>{bodies}<geom size=".1"/></body></replicate></replicate></worldbody></mujoco>',
    )
    with pytest.raises(SlotDied, match="1 s of processor time"):
        LeasedSlot(SlotSpec(work, worlds=1), bounds=Bounds(compile_cpu_s=1.0))
    assert arm.step(np.zeros((3, arm.action_size))).obs.shape == (3, arm.obs_size)


def test_a_slot_gets_no_more_memory_than_its_bound(arm: LeasedSlot, tmp_path: Path) -> None:
    """Many worlds of a model with a large arena on a bound of 32 MiB."""
    work = model(tmp_path, BALL.replace("<worldbody>", '<size memory="900M"/><worldbody>', 1))
    with pytest.raises((BrokenModel, SlotDied)):
        LeasedSlot(SlotSpec(work, worlds=60_000), bounds=Bounds(memory_bytes=32 * MIB))
    assert arm.step(np.zeros((3, arm.action_size))).obs.shape == (3, arm.obs_size)


def test_a_step_that_takes_too_long_costs_the_slot() -> None:
    with LeasedSlot(spec(worlds=300), bounds=Bounds(step_s=1e-3)) as slot:
        with pytest.raises(SlotTimeout, match=r"longer than 0\.001 s during a"):
            for _ in range(100):
                slot.step(np.zeros((300, slot.action_size)))
        assert not alive(slot.pid)


def test_a_slot_ends_with_its_lease_unless_it_is_extended() -> None:
    with LeasedSlot(spec(worlds=1), ttl_s=0.8) as slot:
        until_s = time.monotonic() + 1.6
        while time.monotonic() < until_s:
            slot.extend(0.8)
            slot.step(np.zeros((1, slot.action_size)))
        # Nobody extends it any more.
        with pytest.raises(SlotDied, match="time was over"):
            while True:
                slot.step(np.zeros((1, slot.action_size)))


def test_a_stuck_slot_ends_with_its_lease_too() -> None:
    """Stopped by a signal it runs no Python; the kernel's timer still has it when it goes on."""
    with LeasedSlot(spec(worlds=1), ttl_s=0.3) as slot:
        os.kill(slot.pid, signal.SIGSTOP)
        time.sleep(0.5)
        os.kill(slot.pid, signal.SIGCONT)
        with pytest.raises(SlotDied, match="time was over"):
            while True:
                slot.step(np.zeros((1, slot.action_size)))


def test_fifty_slots_of_five_vendors_leave_nothing_behind(tmp_path: Path) -> None:
    """Some are closed, some killed, some forgotten, some never get built, some end while they step."""
    folders = [tmp_path / f"vendor{n}" for n in range(5)]
    for folder in folders:
        folder.mkdir()
        model(folder)
        (folder / "broken.xml").write_text("<mujoco>")
    nursery()
    processes, descriptors, shared = children(), open_files(), segments()
    slots = []
    for number in range(50):
        folder = folders[number % 5]
        file = "broken.xml" if number % 10 == 9 else "model.xml"
        try:
            slots.append(LeasedSlot(SlotSpec(ModelWork(str(folder), file), worlds=2), ttl_s=600.0))
        except BrokenModel:
            assert file == "broken.xml"
    assert len(slots) == 45
    pids = [slot.pid for slot in slots]
    for number, slot in enumerate(slots):
        slot.step(np.zeros((2, 1)))
        if number % 4 == 0:
            slot.close()
        elif number % 4 == 1:
            os.kill(slot.pid, signal.SIGKILL)
        elif number % 4 == 2:
            os.write(slot._process.request_fd, (1).to_bytes(8, "little"))
            slot.kill()
    for number, slot in enumerate(slots):
        if number % 4 in (1, 2):
            with pytest.raises(SlotDied):
                slot.step(np.zeros((2, 1)))
    del slot
    slots.clear()
    gc.collect()

    assert not [pid for pid in pids if alive(pid)]
    assert children() == processes
    assert open_files() == descriptors
    assert segments() == shared
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["broken.xml"] * 5 + ["model.xml"] * 5


def test_slots_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, sys; from sim.slot_process import *; from sim.slot_process.nursery import nursery;"
        f"s = LeasedSlot(SlotSpec(ModelWork({str(tmp_path)!r}, 'model.xml'), worlds=1));"
        "print(s.pid, nursery().pid, flush=True); sys.stdin.read()"
    )
    model(tmp_path)
    import subprocess
    import sys

    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as holder:
        assert holder.stdout is not None
        pids = [int(word) for word in holder.stdout.readline().split()]
        assert len(pids) == 2
        assert all(alive(pid) for pid in pids)
        holder.kill()
    until_s = time.monotonic() + 20.0
    while any(alive(pid) for pid in pids) and time.monotonic() < until_s:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]


def test_a_slot_knows_nothing_of_its_holders_secrets(monkeypatch: pytest.MonkeyPatch, arm: LeasedSlot) -> None:
    environment = Path(f"/proc/{arm.pid}/environ").read_bytes()
    assert b"TOKEN" not in environment.upper()
    assert os.readlink(f"/proc/{arm.pid}/cwd").endswith("(deleted)")
    assert os.getsid(arm.pid) == arm.pid
    limits = Path(f"/proc/{arm.pid}/limits").read_text()
    assert "Max data size             unlimited" not in limits
    assert resource.prlimit(arm.pid, resource.RLIMIT_CORE) == (0, 0)


def test_in_real_time_a_slot_goes_on_without_its_controller_and_counts_it() -> None:
    with LeasedSlot(spec(worlds=1, pace=Pace("real_time", 4.0))) as slot:
        slot.step(np.zeros((1, slot.action_size)))
        until_s = time.monotonic() + 20.0
        while slot.pacing().held < 5 and time.monotonic() < until_s:
            time.sleep(0.01)
        slot.step(np.zeros((1, slot.action_size)))
        pacing = slot.pacing()
    assert pacing.held >= 5
    assert pacing.steps == pacing.held + 2
    assert sum(pacing.lateness) == pacing.steps


def test_in_lockstep_time_waits_for_the_controller() -> None:
    """20 ms of the world's time take at least 10 ms at twice real time; nothing happens unasked."""
    with LeasedSlot(spec(worlds=1, pace=Pace("lockstep", 2.0))) as slot:
        slot.reset()
        start_s = time.monotonic()
        for _ in range(10):
            slot.step(np.zeros((1, slot.action_size)))
        took_s = time.monotonic() - start_s
        time.sleep(0.1)
        pacing = slot.pacing()
    # Reset began the schedule a moment before our clock did.
    assert took_s > 10 * 0.01 - 0.01
    assert (pacing.steps, pacing.held) == (10, 0)


def test_a_segment_that_could_be_shortened_is_refused() -> None:
    sizes = Sizes(2, 3, 4, 0, 0, 0)
    fd = os.memfd_create("open")
    os.ftruncate(fd, 1 << 20)
    with pytest.raises(BadSlot, match="not sealed"):
        attach(fd, sizes)
    os.close(fd)
    sealed = create(sizes)
    with pytest.raises(PermissionError):
        os.ftruncate(sealed.fd, 10)
    with pytest.raises(BadSlot, match="bytes"):
        attach(os.dup(sealed.fd), Sizes(2, 3, 5000, 0, 0, 0))
    sealed.close()


def test_a_late_answer_of_the_nursery_is_never_taken_for_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """A nursery that is too slow once is given up with all its slots, and another one starts slots from then on."""
    # Not the one that the other tests' slots live by.
    monkeypatch.setattr("sim.slot_process.nursery._nursery", None)
    slow = nursery()
    with LeasedSlot(spec()) as before:
        descriptors = open_files()
        os.kill(slow.pid, signal.SIGSTOP)
        slow._sock.settimeout(0.2)
        with pytest.raises(SlotDied, match="gone"):
            LeasedSlot(spec())
        # One less: the connection to the one that was given up.
        assert open_files() == descriptors - 1
        with pytest.raises(SlotDied):
            for _ in range(1000):
                before.step(actions(0, before))
    with LeasedSlot(spec()) as after:
        assert nursery() is not slow
        assert after.step(actions(0, after)).obs.shape == (3, after.obs_size)
    nursery().close()


def test_what_an_interrupted_holder_asks_next_is_not_answered_with_what_it_asked_before() -> None:
    with LeasedSlot(spec(worlds=400)) as slot:
        start = slot.reset(episodes=np.zeros(400, np.int64))
        for _ in range(3):
            slot.step(actions(0, slot))
            # A step that nobody waits for, as after an interrupt.
            slot._shared.words[WORD.command] = STEP
            slot._shared.words[WORD.request] += 1
            os.eventfd_write(slot._process.request_fd, 1)
            time.sleep(0.003)
            assert (slot.reset(episodes=np.zeros(400, np.int64)) == start).all()


def test_a_slot_yields_no_more_than_it_was_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the thread that starts the first one yields to others by itself."""
    monkeypatch.setattr("sim.slot_process.nursery._nursery", None)
    asked, found = os.getpriority(os.PRIO_PROCESS, 0) + 3, []

    def start() -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), asked)
        with LeasedSlot(spec(), bounds=Bounds(niceness=asked)) as slot:
            found.append(os.getpriority(os.PRIO_PROCESS, slot.pid))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    nursery().close()
    assert found == [asked]


def test_every_failed_world_has_its_reason_however_many_there_are() -> None:
    """Only the first ones stand beside the answer; the slot is asked for the others, page by page."""
    with LeasedSlot(SlotSpec(TaskWork("own_arm", task="reach"), worlds=450)) as slot:
        actions = np.zeros((450, slot.action_size))
        actions[::2] = np.nan
        slot.step(actions, contain=True)
        assert sorted(slot.failures) == list(range(0, 450, 2))
        assert slot.failures[448].startswith("world 448: the action of joint")
        # Those that are reset are sound again, the others keep their reason.
        mask = np.zeros(450, np.bool_)
        mask[:400] = True
        slot.reset(mask)
        assert sorted(slot.failures) == list(range(400, 450, 2))
        slot.step(np.zeros((450, slot.action_size)))
        assert sorted(slot.failures) == list(range(400, 450, 2))
        slot.reset()
        assert slot.failures == {}


def test_what_episodes_have_drawn_is_told_and_is_that_of_a_slot_here() -> None:
    term = {"quantity": "mass_scale", "distribution": "uniform", "low": 0.5, "high": 2.0, "each": True}
    work = TaskWork("own_arm", task="reach", randomisation=(term,))
    spec = SlotSpec(work, worlds=5, seed=3)
    here = open_task(spec, work)
    with LeasedSlot(spec) as slot:
        slot.reset(episodes=np.full(5, 7))
        here.reset(episodes=np.full(5, 7))
        drawn = slot.drawn([4, 1])
        assert {name: rows.tolist() for name, rows in drawn.items()} == {
            name: [here.randomiser.drawn(4)[name], here.randomiser.drawn(1)[name]] for name in here.randomiser.drawn(0)
        }
        with pytest.raises(BadSlot, match="from 0 to 4"):
            slot.drawn([5])
        slot.step(np.zeros((5, slot.action_size)))


def test_however_many_worlds_fail_and_however_long_the_reasons_they_can_be_read() -> None:
    for reason in ("of this world\u0001" * 100, "\u2603" * 300, "short"):
        text = _listed(dict.fromkeys(range(1000), reason))
        assert len(text.encode()) <= TEXT_BYTES
        assert len(json.loads(text)) == 200


def test_a_holder_with_too_many_open_files_is_told_and_keeps_its_slots(arm: LeasedSlot) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    processes, descriptors = children(), open_files()
    for spare in range(1, 8):
        # `listdir` above has one open beside those that it counts.
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(int(fd) for fd in os.listdir("/proc/self/fd")) + spare, hard))
        try:
            LeasedSlot(spec()).close()
        except (SlotDied, BadSlot, OSError):
            pass
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert (children(), open_files()) == (processes, descriptors), f"{spare} descriptors to spare"
    assert np.isfinite(arm.reset()).all()


def test_a_slot_works_beside_a_thousand_open_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2048:
        pytest.skip(f"at most {hard} files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(1024):
                stack.callback(os.close, os.open(os.devnull, os.O_RDONLY))
            with LeasedSlot(spec()) as slot:
                assert np.isfinite(slot.step(actions(0, slot)).obs).all()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_pace_of_a_slot_that_stands_still_is_no_question_without_end() -> None:
    with LeasedSlot(spec(), bounds=Bounds(step_s=0.2)) as slot:
        os.kill(slot.pid, signal.SIGSTOP)
        slot._shared.words[WORD.sequence] = 1
        with pytest.raises(SlotTimeout, match="pace"):
            slot.pacing()


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and is not asked for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children() -> list[str]:
    """The slot processes of this test process, zombies too."""
    pid = nursery().pid
    return sorted(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())


def segments() -> int:
    """Segments that this process and its nursery have mapped or open; they have no names anywhere else."""
    gc.collect()
    count = 0
    for pid in (os.getpid(), nursery().pid):
        count += Path(f"/proc/{pid}/maps").read_text().count("memfd:palaestra")
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                count += "memfd:palaestra" in os.readlink(file)
    return count


def open_files() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
