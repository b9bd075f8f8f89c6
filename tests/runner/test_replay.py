"""Episodes run again: a world's to the last bit, or with the place where it differs; a unit's with what is left."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import mujoco
import numpy as np
import pytest

from controller import Cohort
from palaestra import jobs
from runner.collect import collect
from runner.evaluate import evaluate
from runner.replay import __main__ as command
from runner.replay import frames
from runner.replay import measure as measuring
from runner.replay.errors import NotComparable
from runner.replay.twin import residual
from runner.replay.world import verify
from sim import picture
from sim.body import body_of
from sim.catalog import find
from sim.errors import NoDisplay
from sim.motion import find_motion
from sim.unit import EmulatedUnit
from store import ACTION, EFFORT, STATE, VELOCITY, Episode, LocalObjects, read_episode
from tests.runner.desk import Desk, attempt_at
from tests.store.conftest import build_header

COLLECT = jobs.collect(motion="trot_in_place", episodes=2, episode_s=0.3, robot_model="own_quadruped", worlds=3, seed=4)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("replay")


@pytest.fixture(scope="module")
def files(folder: Path) -> Iterator[list[Path]]:
    """Sealed episodes of three worlds, two rounds, and of two trials of an evaluation."""
    desk = Desk()
    attempt = attempt_at(desk, folder, COLLECT)
    collect(attempt)
    other = Desk()
    evaluate(attempt_at(other, folder, jobs.evaluate("reach", "own_arm", episodes=2, seed=9, actuators="ideal")))
    objects = LocalObjects(folder / "objects")
    return [objects.path_of(e.content.sha256) for desk in (desk, other) for _, e in sorted(desk.episodes.items())]


def changed(episode: Episode, **changes: object) -> Episode:
    return dataclasses.replace(episode, header=dataclasses.replace(episode.header, **changes))


def test_every_world_runs_again_to_the_last_bit_alone(files: list[Path]) -> None:
    """Recorded in slots of three and two worlds, run again one by one; the second round and another task too."""
    assert len(files) == 8
    for file in files:
        verdict = verify(read_episode(file))
        assert verdict.same
        assert verdict.rows == len(read_episode(file).time_s)
        # What was recorded in 32 bits is the same angle rounded.
        assert verdict.residual_rad < 1e-6


def test_one_bit_of_one_action_is_found_where_it_acts(files: list[Path]) -> None:
    episode = read_episode(files[0])
    assert episode.replay is not None
    actions = episode.replay.actions.copy()
    actions[5, 2] = np.nextafter(actions[5, 2], 1.0) + 1e-12

    verdict = verify(dataclasses.replace(episode, replay=dataclasses.replace(episode.replay, actions=actions)))

    assert not verdict.same
    assert verdict.first_difference == 5


def test_another_seed_or_episode_is_found_at_once(files: list[Path]) -> None:
    episode = read_episode(files[0])
    table = dict(episode.header.replay or {})
    for key, value in (("seed", "5"), ("episode", "1")):
        assert verify(changed(episode, replay={**table, key: value})).first_difference == 0


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"engine_version": "3.16.0"},
            f"another engine version: MuJoCo 3.16.0 recorded it, MuJoCo {mujoco.__version__} is here",
        ),
        ({"architecture": "riscv128"}, "another architecture: riscv128 recorded it"),
        ({"model_sha256": "0" * 64}, "the hash of its model was 0000"),
        ({"drives_sha256": "0" * 64}, "the hash of its drives was 0000"),
        ({"replay": None}, "holds no actions"),
        ({"robot_model": "own_boat"}, "own_boat"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_its_reason(
    files: list[Path], changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotComparable, match=reason):
        verify(changed(read_episode(files[0]), **changes))


def unit_episode(noise_rad: float, *, weak: float = 1.0) -> Episode:
    """Two seconds of an emulated arm, its host's core in the loop, as a host's samples would give them."""
    entry = find("own_arm")
    unit = EmulatedUnit(entry, "twin", period_s=0.002, encoder_noise_rad=noise_rad)
    core = Cohort(unit.spec, 1, 0.002, dtype=np.float64)
    motion = find_motion("reach_around").fit(entry)
    joints = len(unit.spec.joints)
    q, dq = np.zeros(joints), np.zeros(joints)
    unit.read(q, dq)
    core.renew(np.array([0]), q[:, None], dq[:, None])
    core.q_ref[:, 0] = body_of(unit.model, unit.spec).home_q
    rows: dict[str, list[np.ndarray]] = {STATE: [], VELOCITY: [], EFFORT: [], ACTION: []}
    for tick in range(1000):
        if tick % 10 == 0:
            core.q_ref[:, 0] = motion.targets(tick * 0.002)
            core.submit()
        unit.read(q, dq)
        core.q[:, 0], core.dq[:, 0] = q, dq
        core.step()
        unit.write(weak * core.tau[:, 0])
        if tick % 5 == 4:
            unit.read(q, dq)
            for name, value in ((STATE, q), (VELOCITY, dq), (EFFORT, core.tau[:, 0]), (ACTION, core.q_ref[:, 0])):
                rows[name].append(value.astype(np.float32).copy())
    header = build_header(
        unit="venues/v/units/twin",
        world=None,
        robot_model="own_arm",
        joint_names=unit.spec.joint_names,
        actuators="physical",
        drives_sha256=unit.identity().provenance["drives_sha256"],
    )
    time_s = 0.01 * np.arange(200)
    signals = {name: np.array(values) for name, values in rows.items()}
    return Episode(header, read_outcome(), time_s, signals)


def read_outcome() -> object:
    from store import Outcome, Status

    return Outcome(Status.SUCCESS)


def test_a_twin_that_blows_up_is_no_comparison() -> None:
    """MuJoCo would put it back to its start, and the residual would be of that."""
    episode = unit_episode(0.0)
    velocity = episode.signals[VELOCITY].copy()
    velocity[::10] = 1e12

    with pytest.raises(NotComparable, match="blew up"):
        residual(dataclasses.replace(episode, signals={**episode.signals, VELOCITY: velocity}))


def test_a_twin_explains_an_emulated_unit_and_not_a_weaker_one() -> None:
    """The twin has no heat from before and starts in 32 bits, so it comes near; a motor at 60 % is another robot."""
    sound, weak = residual(unit_episode(0.0)), residual(unit_episode(0.0, weak=0.6))

    assert sound.same_drives
    assert sound.rows == 199
    assert sound.overall_rad < 5e-3
    assert weak.overall_rad > 3 * sound.overall_rad


def test_a_picture_and_a_video_show_the_robot(files: list[Path], tmp_path: Path) -> None:
    from PIL import Image

    episode = read_episode(files[0])
    frames.picture(episode, tmp_path / "strip.png")
    frames.video(episode, tmp_path / "run.gif")

    strip = np.asarray(Image.open(tmp_path / "strip.png"))
    assert strip.shape == (frames.HEIGHT_PX, frames.STRIP_FRAMES * frames.WIDTH_PX, 3)
    assert strip.std() > 5.0
    with Image.open(tmp_path / "run.gif") as run:
        assert run.n_frames == 4
    with pytest.raises(NotComparable, match="ends in"):
        frames.video(episode, tmp_path / "run.avi")


def test_a_video_of_a_replay_plays_at_the_episodes_own_pace(files: list[Path], tmp_path: Path) -> None:
    """0.3 s at 50 Hz of rows: 25 frames a second from the first row to the last."""
    av = pytest.importorskip("av", reason="the extra `video` is not installed")
    episode = read_episode(files[0])
    frames.video(episode, tmp_path / "run.mp4")

    with av.open(str(tmp_path / "run.mp4")) as container:
        shown = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    length_s = episode.time_s[-1] - episode.time_s[0]
    assert [time_s for time_s, _ in shown] == pytest.approx([0.04 * i for i in range(int(length_s * 25 + 1e-6) + 1)])
    assert shown[0][1].shape == (frames.HEIGHT_PX, frames.WIDTH_PX, 3)
    assert all(pixels.std() > 5.0 for _, pixels in shown)


def test_what_a_camera_recorded_is_shown_as_it_is(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Depths as greys, so that no video codec is needed; a camera that there is not is named with those there are."""
    desk = Desk()
    deep = jobs.camera("deep", picture="ray_depth", width_px=32, height_px=24)
    job = jobs.collect(motion="reach_around", episode_s=0.3, robot_model="own_arm", worlds=1, cameras=[deep])
    collect(attempt_at(desk, folder, job))
    (entry,) = desk.episodes.values()
    file = str(LocalObjects(folder / "objects").path_of(entry.content.sha256))

    strip, run = tmp_path / "strip.png", tmp_path / "run.gif"
    assert command.main([file, "--camera", "deep", "--picture", str(strip), "--video", str(run), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["drawn"] == "camera deep: 32 x 24 px, 25 Hz, 8 frames"
    from PIL import Image

    pixels = np.asarray(Image.open(strip))
    assert pixels.shape == (24, 6 * 32, 3)
    assert pixels.std() > 5.0
    with Image.open(run) as shown:
        # Still pictures are one frame of a GIF: of eight, at least the moving ones are there.
        assert shown.n_frames > 4
    assert command.main([file, "--camera", "front", "--picture", str(strip)]) == 2
    assert "no camera 'front'; it has deep" in capsys.readouterr().err
    assert command.main([file, "--camera", "deep"]) == 2
    assert "one of them goes with it" in capsys.readouterr().err


def test_without_opengl_the_picture_is_drawn_in_lines(
    files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    def none(*_: object) -> None:
        raise NoDisplay("no display")

    monkeypatch.setattr(picture, "offscreen", none)
    how = frames.picture(read_episode(files[0]), tmp_path / "strip.png")

    assert how.startswith("lines")
    assert np.asarray(Image.open(tmp_path / "strip.png")).std() > 5.0


def test_the_command_says_0_the_same_1_differs_2_cannot(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command.main([str(files[0]), "--verify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdict"] == "the same to the last bit"

    broken = tmp_path / "no.parquet"
    broken.write_bytes(b"PAR1")
    assert command.main([str(broken), "--verify"]) == 2
    assert "not a whole Parquet file" in capsys.readouterr().err

    episode = read_episode(files[0])
    other = changed(episode, replay={**dict(episode.header.replay or {}), "seed": "5"})
    monkeypatch.setattr(command, "read_episode", lambda _: other)
    assert command.main([str(files[0]), "--verify"]) == 1
    assert "first_difference: 0" in capsys.readouterr().out


def test_scoring_gets_a_line_for_each_file_whatever_becomes_of_it(
    files: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A world as recorded, another engine's, and no episode; limits wherever the model is known."""
    (tmp_path / "none").write_bytes(b"PAR1PAR1")

    assert measuring.main([str(files[0]), str(tmp_path / "none")]) == 0

    whole, none = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert whole["file"] == str(files[0]) and whole["same"] is True
    assert len(whole["lower_rad"]) == len(whole["upper_rad"]) == len(read_episode(files[0]).header.joint_names)
    assert "none" in none["refused"] and "same" not in none
    with pytest.raises(NotComparable, match="another engine"):
        measuring.measure(changed(read_episode(files[0]), engine_version="3.16.0"))
    assert measuring.joint_limits(changed(read_episode(files[0]), robot_model="own_boat")) == {}


def test_a_moment_that_is_unlike_the_others_does_not_make_another_robot() -> None:
    """The usual stretch counts: one jump of a reading is no weaker motor."""
    episode = unit_episode(0.0)
    state = episode.signals[STATE].copy()
    state[20:23] += 0.5

    jumped = dataclasses.replace(episode, signals={**episode.signals, STATE: state})

    assert residual(jumped).rms_rad.max() > 0.03
    assert max(measuring.measure(jumped)["rms_rad"]) < 5e-3
    with pytest.raises(NotComparable, match="at most"):
        measuring.measure(dataclasses.replace(episode, time_s=episode.time_s * 1000))
