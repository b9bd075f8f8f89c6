"""Cameras on worlds: what they see, to which step it belongs, and that nothing of it reaches the slot."""

import gc
import math
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim import picture
from sim.cameras import Camera, Cameras, frame_at, from_tables, segment, to_tables
from sim.cameras.draw import Painter
from sim.cameras.scene import scene_of
from sim.errors import BadCamera, CamerasDied, CamerasTimeout, NoDisplay
from sim.slot_process import Bounds, LeasedSlot, ModelWork, SlotSpec, TaskWork

ARM = TaskWork("own_arm", motion="reach_around", horizon_s=4.0)
SPEC = SlotSpec(ARM, worlds=2, seed=5)
RAYS = Camera("rays", picture="ray_depth", width_px=48, height_px=32)

# A wall three metres ahead of a camera one metre above the floor, and a ball before its right half.
ROOM = """<mujoco><worldbody>
<geom type="plane" size="20 20 .1"/><geom name="wall" type="box" pos="3.5 0 2" size=".5 10 4"/>
<body name="ball" pos="2 -1 1"><freejoint/><geom type="sphere" size=".3" rgba="1 0 0 1"/></body>
<camera name="ahead" pos="0 0 1" xyaxes="0 -1 0 0 0 1" fovy="60"/>
</worldbody></mujoco>"""


def room(folder: Path) -> ModelWork:
    (folder / "room.xml").write_text(ROOM)
    return ModelWork(str(folder), "room.xml")


def why_no_display() -> str:
    try:
        context, _ = picture.offscreen(16, 16)
    except NoDisplay as error:
        return str(error)
    context.free()
    return ""


needs_display = pytest.mark.skipif(bool(why_no_display()), reason=why_no_display() or "OpenGL is there")


@pytest.fixture(scope="module")
def cast() -> Iterator[Cameras]:
    with Cameras(SPEC, [RAYS]) as cameras:
        yield cameras


@pytest.fixture(scope="module")
def slot() -> Iterator[LeasedSlot]:
    with LeasedSlot(SPEC) as slot:
        slot.record(positions=True, digests=True)
        yield slot


@given(rate_hz=st.sampled_from([1.0, 7.0, 12.5, 25.0, 30.0, 50.0, 59.94, 100.0]), ticks=st.integers(2, 300))
def test_frame_k_belongs_to_the_first_step_that_is_not_before_it(rate_hz: float, ticks: int) -> None:
    """By the definition, in whole numbers of hundredths; a camera faster than the steps has one frame for each."""
    found = {tick: frame_at(tick, period_s=0.02, rate_hz=rate_hz) for tick in range(ticks)}

    hundredths = round(100 * rate_hz)
    for tick, number in found.items():
        # Frames that are due after the step before, and not after this one: k * 50 * 100 <= tick * hundredths.
        due = [k for k in range(int(tick * rate_hz / 50) + 2) if k * 5000 <= tick * hundredths]
        fresh = [k for k in due if tick == 0 or k * 5000 > (tick - 1) * hundredths]
        assert number == (fresh[-1] if fresh else None)


def test_a_pixel_of_a_known_room_has_its_distance(tmp_path: Path) -> None:
    """By rays: 3 m to the wall wherever it is looked at, for depth is along the axis; the floor by its angle."""
    camera = Camera("c", picture="ray_depth", width_px=64, height_px=64, model_camera="ahead")
    with Cameras(SlotSpec(room(tmp_path), worlds=1), [camera]) as cameras:
        home = np.array([[2.0, -1.0, 1.0, 1, 0, 0, 0]])
        (depth,) = cameras.draw(home).images["c"]
        (without,) = cameras.draw(home + np.array([0, 0, 50, 0, 0, 0, 0])).images["c"]

    assert cameras.fovy_rad["c"] == pytest.approx(math.radians(60))
    assert without[5, 5] == without[20, 32] == without[20, 60] == pytest.approx(3.0, abs=1e-6)
    # The lowest row's middle looks down by atan((63/64) tan 30 deg); the camera is 1 m high.
    assert without[63, 32] == pytest.approx(1.0 / ((63 / 64) * math.tan(math.radians(30))), rel=1e-5)
    # The ball is in the right half, two metres ahead: its nearest point is 0.3 m before that.
    seen = depth < without - 0.01
    assert seen.any()
    assert not seen[:, :32].any()
    assert depth[seen].min() == pytest.approx(1.70, abs=0.01)


def test_what_is_beyond_the_range_or_nowhere_is_read_as_nought(tmp_path: Path) -> None:
    camera = Camera("c", picture="ray_depth", width_px=32, height_px=32, model_camera="ahead", range_m=2.5)
    scene = scene_of(room(tmp_path), [camera])
    depth = np.ones((32, 32), np.float32)
    with Painter(scene, [camera]) as painter:
        painter.pose(np.array([2.0, -1.0, 51.0, 1, 0, 0, 0]))
        painter.draw(camera, depth)

    assert depth[0, 0] == 0.0
    assert 1.7 < depth[31, 16] < 2.5


@needs_display
def test_opengl_and_rays_see_the_same_distances_and_two_bodies_look_where_they_are_turned() -> None:
    """On a robot, from beside it and from a body of it: all but the outlines agree to a centimetre."""
    pose = {"width_px": 64, "height_px": 48}
    cameras = [
        Camera("a", picture="depth", **pose),  # type: ignore[arg-type]
        Camera("b", picture="ray_depth", **pose),  # type: ignore[arg-type]
        Camera("c", picture="depth", body="world", at_m=(1.5, 0.0, 0.8), yaw_rad=math.pi, pitch_rad=0.3, **pose),  # type: ignore[arg-type]
        Camera("d", picture="ray_depth", body="world", at_m=(1.5, 0.0, 0.8), yaw_rad=math.pi, pitch_rad=0.3, **pose),  # type: ignore[arg-type]
    ]
    scene = scene_of(ARM, cameras)
    seen = {camera.name: np.zeros(camera.frame_shape, np.float32) for camera in cameras}
    with Painter(scene, cameras) as painter:
        painter.pose(scene.key_qpos[0])
        for camera in cameras:
            painter.draw(camera, seen[camera.name])

    for drawn, by_rays in (("a", "b"), ("c", "d")):
        assert (seen[drawn] > 0).mean() > 0.3
        assert np.percentile(np.abs(seen[drawn] - seen[by_rays]), 95) < 0.01
    assert np.abs(seen["a"] - seen["c"]).mean() > 0.1


@needs_display
def test_a_frame_depends_on_the_positions_alone(tmp_path: Path) -> None:
    """Not on what was drawn before, on the other cameras, nor on which process draws: to the last bit."""
    work, ahead = room(tmp_path), Camera("ahead", width_px=64, height_px=48, model_camera="ahead")
    large = Camera("large", width_px=128, height_px=96)
    here, there = np.array([[2.0, -1.0, 1.0, 1, 0, 0, 0]]), np.array([[2.5, 0.5, 1.5, 1, 0, 0, 0]])
    with Cameras(SlotSpec(work, worlds=1), [ahead, large]) as cameras:
        first = cameras.draw(here).images["ahead"]
        other = cameras.draw(there).images["ahead"]
        again = cameras.draw(here, only=["ahead"]).images
    with Cameras(SlotSpec(work, worlds=1), [ahead]) as cameras:
        alone = cameras.draw(here).images["ahead"]

    assert list(again) == ["ahead"]
    assert first.tobytes() == again["ahead"].tobytes() == alone.tobytes()
    red = (first[0, ..., 0] > 1.5 * first[0, ..., 1]) & (first[0, ..., 0] > 60)
    assert red.any()
    assert not red[:, :32].any()
    assert other.tobytes() != first.tobytes()


def test_looking_changes_no_world_and_killing_who_looks_neither(cast: Cameras, slot: LeasedSlot) -> None:
    """The states go on as those of a slot that nobody looks at, through the death of the process that draws."""
    actions = np.full((2, slot.action_size), 0.3)

    def states(*, looked_at: bool) -> list[int]:
        slot.reset(episodes=[3, 3])
        found: list[int] = []
        cameras = Cameras(SPEC, [RAYS]) if looked_at else None
        for step in range(6):
            slot.step(actions)
            found += slot.digests().tolist()
            if cameras and step < 3:
                cameras.draw(slot.positions(), tick=step)
            elif cameras and step == 3:
                os.kill(cameras.pid, signal.SIGKILL)
                with pytest.raises(CamerasDied, match="killed by SIGKILL while it drew step 3"):
                    cameras.draw(slot.positions(), tick=step)
                with pytest.raises(CamerasDied, match="closed"):
                    cameras.draw(slot.positions(), tick=step)
        return found

    assert states(looked_at=True) == states(looked_at=False)
    # Another slot's cameras have noticed nothing either.
    assert cast.draw(slot.positions()).images["rays"].any()


def test_who_draws_gives_up_what_a_slot_gives_up(cast: Cameras, slot: LeasedSlot) -> None:
    assert [(layer.name, layer.holds) for layer in cast.layers] == [(each.name, each.holds) for each in slot.layers]


def test_worlds_that_are_not_running_are_not_drawn(cast: Cameras, slot: LeasedSlot) -> None:
    slot.reset(episodes=[0, 1])
    before = cast.draw(slot.positions()).images["rays"]
    for _ in range(5):
        slot.step(np.full((2, slot.action_size), 1.0))
    after = cast.draw(slot.positions(), running=[True, False]).images["rays"]

    assert not np.array_equal(after[0], before[0])
    assert np.array_equal(after[1], before[1])


def test_a_frame_that_is_due_while_another_is_drawn_is_missed_counted_and_never_mislabelled(slot: LeasedSlot) -> None:
    """The process is stopped while it draws: two frames are due meanwhile; then it goes on, and so do the frames."""
    with Cameras(SPEC, [RAYS]) as cameras:
        slot.reset(episodes=[0, 0])
        qpos = slot.positions()
        os.kill(cameras.pid, signal.SIGSTOP)
        told = [cameras.offer(tick, qpos + tick, period_s=0.02) for tick in range(6)]
        os.kill(cameras.pid, signal.SIGCONT)
        first = cameras.finish()
        assert cameras.offer(6, qpos + 6, period_s=0.02) is None
        second = cameras.finish()
        nothing = cameras.finish()
        wanted = {tick: cameras.draw(qpos + tick).images["rays"] for tick in (0, 6)}

    # Frames are due at 0, 2 and 4; the first is what is being drawn.
    assert told == [None] * 6
    assert cameras.missed == {"rays": 2}
    assert nothing is None
    assert first is not None
    assert second is not None
    assert (first.tick, second.tick) == (0, 6)
    assert np.array_equal(first.images["rays"], wanted[0])
    assert np.array_equal(second.images["rays"], wanted[6])


def test_drawing_that_takes_too_long_is_ended_and_says_so(slot: LeasedSlot) -> None:
    cameras = Cameras(SPEC, [RAYS], bounds=Bounds(step_s=0.2))
    os.kill(cameras.pid, signal.SIGSTOP)

    with pytest.raises(CamerasTimeout, match=r"longer than 0.2 s while it drew step 7"):
        cameras.draw(slot.positions(), tick=7)
    with pytest.raises(ProcessLookupError):
        os.kill(cameras.pid, 0)


def test_positions_that_are_none_and_cameras_that_are_not_there_are_refused_and_the_rest_goes_on(
    cast: Cameras, slot: LeasedSlot
) -> None:
    good = slot.positions()
    bad = good.copy()
    bad[1, 0] = math.nan
    with pytest.raises(BadCamera, match="positions of world 1 are not finite"):
        cast.draw(bad)
    with pytest.raises(BadCamera, match=r"shape \(1, "):
        cast.draw(good[:1])
    with pytest.raises(BadCamera, match="no camera 'side'; there are rays"):
        cast.draw(good, only=["side"])
    assert cast.draw(good).images["rays"].any()


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"name": "A"}, "name 'A'"),
        ({"name": "a", "picture": "xray"}, "picture = 'xray': one of rgb"),
        ({"name": "a", "width_px": 321}, "width_px = 321: an even number"),
        ({"name": "a", "height_px": 4096}, "height_px = 4096: .* to 2048"),
        ({"name": "a", "rate_hz": math.nan}, "rate_hz = nan"),
        ({"name": "a", "body": "x", "model_camera": "y"}, "not beside model_camera"),
        ({"name": "a", "at_m": [0.0, math.inf, 0.0]}, "at_m"),
        ({"name": "a", "lens": "wide"}, "no field 'lens'"),
        ({"name": "a", "rate_hz": "fast"}, "rate_hz = 'fast'"),
    ],
)
def test_a_description_that_makes_no_sense_is_named(table: dict[str, object], says: str) -> None:
    with pytest.raises(BadCamera, match=says):
        from_tables([table])


def test_descriptions_cross_as_tables_unchanged() -> None:
    cameras = (RAYS, Camera("side", rate_hz=30.0, at_m=(0.1, 0.0, -0.5), yaw_rad=0.3))

    assert from_tables(to_tables(cameras)) == cameras
    with pytest.raises(BadCamera, match="each once"):
        from_tables(to_tables((RAYS, RAYS)))


@pytest.mark.parametrize(
    ("camera", "says"),
    [
        (Camera("a", picture="ray_depth", body="nose"), "no body 'nose'; there are world, "),
        (Camera("a", picture="ray_depth", model_camera="top"), "the model has no camera 'top'; it has none"),
    ],
)
def test_what_the_model_does_not_have_is_named_by_the_process(camera: Camera, says: str) -> None:
    with pytest.raises(BadCamera, match=says):
        Cameras(SPEC, [camera])


def test_frames_in_memory_that_its_maker_can_shorten_are_not_read() -> None:
    fd = os.memfd_create("palaestra-frames", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, segment.segment_bytes([RAYS], 2, 7))
        with pytest.raises(BadCamera, match="not sealed"):
            segment.FrameSegment(fd, [RAYS], 2, 7)
    finally:
        os.close(fd)


def test_frames_that_take_too_much_memory_are_refused_with_the_number() -> None:
    large = Camera("a", picture="ray_depth", width_px=2048, height_px=2048)
    with pytest.raises(BadCamera, match=r"in 64 worlds take 10\d+ bytes, at most"):
        Cameras(SlotSpec(ARM, worlds=64), [large])


def test_without_opengl_the_reason_is_told_and_rays_still_see(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, whose search for OpenGL can be made to fail."""

    def none(*_: object) -> None:
        raise NoDisplay("no offscreen OpenGL, install libegl1 or libosmesa6")

    monkeypatch.setattr("sim.cameras.draw.offscreen", none)
    both = [RAYS, Camera("side", width_px=48, height_px=32)]
    scene = scene_of(ARM, both)
    with pytest.raises(NoDisplay, match="libosmesa6"):
        Painter(scene, both)
    depth = np.zeros(RAYS.frame_shape, np.float32)
    with Painter(scene, [RAYS]) as painter:
        painter.pose(scene.key_qpos[0])
        painter.draw(RAYS, depth)
    assert painter.backend == "rays"
    assert depth.any()


@needs_display
def test_a_picture_larger_than_the_offscreen_buffer_is_refused_with_both_sizes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A context that gives less than was asked for, as drivers with a smaller limit do."""
    camera = Camera("side", width_px=64, height_px=48)
    scene = scene_of(ARM, [camera])
    import mujoco

    class Small:
        def __init__(self, *_: object) -> None:
            self.offWidth, self.offHeight = 32, 32
            self.currentBuffer = mujoco.mjtFramebuffer.mjFB_OFFSCREEN

    monkeypatch.setattr(mujoco, "MjrContext", Small)
    monkeypatch.setattr(mujoco, "mjr_setBuffer", lambda *_: None)
    with pytest.raises(BadCamera, match="64 x 48 px: the offscreen buffer has at most 32 x 32"):
        Painter(scene, [camera])


def test_nothing_is_left_of_cameras_that_were_closed_or_forgotten() -> None:
    """No process and no shared memory; a closed one's last views go with it."""

    def frames() -> int:
        return Path("/proc/self/maps").read_text().count("palaestra-frames")

    # What tests before this one have left to the collector is not ours.
    gc.collect()
    before = frames()
    closed, forgotten = Cameras(SPEC, [RAYS]), Cameras(SPEC, [RAYS])
    assert frames() == before + 2
    pids = closed.pid, forgotten.pid
    closed.close()
    closed.close()
    del closed, forgotten
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert frames() == before
