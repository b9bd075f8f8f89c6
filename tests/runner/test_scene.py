"""What jobs ask of their worlds: it reaches them, it stands in their episodes, and those run again to the last bit."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2
from runner.collect import collect
from runner.errors import AttemptError
from runner.evaluate import evaluate
from runner.replay.errors import NotComparable
from runner.replay.world import verify
from runner.scene import randomisation_of, scene_of, sensors_of
from runner.train import train
from sim.distribution import LogUniform, Normal, Uniform
from sim.randomisation import Randomisation, Term
from sim.sensors import Contact, Depth, Encoders, Error, ForceTorque, Imu, from_tables
from store import LocalObjects, read_episode
from tests.runner.desk import Desk, attempt_at

TERMS: list[jobs.Table] = [
    {"quantity": "payload_kg", "uniform": {"low": 0.0, "high": 0.5}, "of": ["forearm_yaw"]},
    {"quantity": "mass_scale", "log_uniform": {"low": 0.8, "high": 1.25}, "each": True},
    {"quantity": "kp_scale", "normal": {"mean": 1.0, "deviation": 0.1, "low": 0.8, "high": 1.2}},
]
SENSORS: list[jobs.Table] = [
    {"name": "imu", "imu": {"body": "elbow", "at_m": [0.0, 0.1, 0.0], "gyro": {"noise": 0.01, "delay_s": 0.04}}},
    {"name": "joints", "encoders": {"angle": {"resolution": 1e-4, "bias": 1e-3}}},
]


def asked(**fields: Any) -> job_pb2.CollectSpec:
    given: dict[str, Any] = {"motion": "reach_around", "robot_model": "own_arm", "worlds": 3, "episodes": 2}
    return jobs.collect(**(given | fields), episode_s=0.3, seed=5).collect


def test_terms_become_those_of_the_simulation() -> None:
    found = Randomisation.from_table(randomisation_of(asked(randomisation=TERMS).randomisation))

    assert found == Randomisation(
        (
            Term("payload_kg", Uniform(0.0, 0.5), of=("forearm_yaw",)),
            Term("mass_scale", LogUniform(0.8, 1.25), each=True),
            Term("kp_scale", Normal(1.0, 0.1, 0.8, 1.2)),
        )
    )


def test_sensors_become_those_of_the_simulation() -> None:
    more: list[jobs.Table] = [
        {"name": "wrist", "force_torque": {"body": "wrist_yaw", "force": {"noise": 0.5}}},
        {"name": "foot", "contact": {"body": "elbow"}},
        {"name": "eye", "depth": {"width_px": 4, "height_px": 3, "pitch_rad": 0.5, "range_m": 2.0}},
    ]
    found = from_tables(sensors_of(asked(sensors=[*SENSORS, *more]).sensors))

    assert found == (
        Imu("imu", body="elbow", at_m=(0.0, 0.1, 0.0), gyro=Error(noise=0.01, delay_s=0.04)),
        Encoders("joints", angle=Error(resolution=1e-4, bias=1e-3)),
        ForceTorque("wrist", body="wrist_yaw", force=Error(noise=0.5)),
        Contact("foot", body="elbow"),
        Depth("eye", width_px=4, height_px=3, pitch_rad=0.5, range_m=2.0),
    )


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Files of randomised worlds with sensors: three worlds, two episodes each."""
    desk, folder = Desk(), tmp_path_factory.mktemp("scene")
    job = job_pb2.Job(collect=asked(randomisation=TERMS, sensors=SENSORS))
    collect(attempt_at(desk, folder, job))
    objects = LocalObjects(folder / "objects")
    return [objects.path_of(episode.content.sha256) for _, episode in sorted(desk.episodes.items())]


def test_episodes_hold_what_each_drew_and_what_was_read(recorded: list[Path]) -> None:
    drawn = []
    for path in recorded:
        episode = read_episode(path)
        assert episode.header.replay is not None
        drawn.append(json.loads(episode.header.replay["drawn"]))
        assert episode.signals["observation.sensor.imu.gyro"].shape == (len(episode.time_s), 3)
        assert episode.signals["observation.sensor.joints.angle"].shape == (len(episode.time_s), 7)
        assert len(json.loads(episode.header.replay["randomisation"])) == 3
    assert [len(values) for values in drawn[0].values()] == [1, 8, 1]
    assert len({tuple(each["payload_kg(forearm_yaw)"]) for each in drawn}) == len(recorded) == 6
    assert all(0.0 <= each["payload_kg(forearm_yaw)"][0] < 0.5 for each in drawn)


def test_randomised_episodes_run_again_to_the_last_bit(recorded: list[Path]) -> None:
    for path in recorded:
        verdict = verify(read_episode(path))
        assert verdict.same, path
        assert verdict.rows == 15


def test_another_draw_than_the_recorded_one_is_found(recorded: list[Path]) -> None:
    """What is imposed is what the file says, so a file that says something else is another episode."""
    episode = read_episode(recorded[0])
    replay: Any = episode.header.replay
    table = json.loads(replay["drawn"])
    table["payload_kg(forearm_yaw)"][0] += 1e-3
    replay["drawn"] = json.dumps(table)
    assert not verify(episode).same

    replay["drawn"] = json.dumps({"payload_kg(forearm_yaw)": [0.1]})
    with pytest.raises(NotComparable, match="what it drew"):
        verify(episode)


def test_worlds_go_the_same_way_with_and_without_sensors(desk: Desk, tmp_path: Path) -> None:
    def angles(name: str, **fields: Any) -> list[bytes]:
        own, folder = Desk(), tmp_path / name
        collect(attempt_at(own, folder, job_pb2.Job(collect=asked(**fields))))
        objects = LocalObjects(folder / "objects")
        found = [read_episode(objects.path_of(e.content.sha256)) for _, e in sorted(own.episodes.items())]
        return [episode.signals["observation.state"].tobytes() for episode in found]

    assert angles("with", randomisation=TERMS, sensors=SENSORS) == angles("without", randomisation=TERMS)
    assert angles("plain") != angles("without", randomisation=TERMS)


def test_evaluation_and_training_meet_the_randomised_worlds(desk: Desk, tmp_path: Path) -> None:
    terms: list[jobs.Table] = [{"quantity": "payload_kg", "uniform": {"low": 5.0, "high": 9.0}}]
    plain, heavy = (
        evaluate(
            attempt_at(Desk(), tmp_path / name, jobs.evaluate("reach", "own_arm", episodes=4, randomisation=given))
        )
        for name, given in (("plain", ()), ("heavy", terms))
    )
    assert heavy.return_after != plain.return_after
    light, laden = (
        train(
            attempt_at(
                Desk(),
                tmp_path / name,
                jobs.train("reach", "own_arm", iterations=1, directions=2, randomisation=given),
            )
        )
        for name, given in (("light", ()), ("laden", terms))
    )
    assert np.isfinite(laden.return_after)
    assert laden.return_before != light.return_before


def test_what_the_robot_does_not_have_is_refused_for_good_by_name(desk: Desk, tmp_path: Path) -> None:
    """Also where a scheduler let it through."""
    wrong = asked(randomisation=[{"quantity": "payload_kg", "uniform": {"low": 0.0, "high": 1.0}, "of": ["tail"]}])
    with pytest.raises(AttemptError, match="'tail'") as refused:
        collect(attempt_at(desk, tmp_path, job_pb2.Job(collect=wrong)))
    assert (refused.value.reason, refused.value.retryable) == ("INVALID_FIELD", False)


def test_a_scene_of_a_newer_contract_is_no_plain_one() -> None:
    spec = job_pb2.ServeSpec(task="reach", robot_model="own_arm")
    spec.pace.mode = 77  # type: ignore[assignment]
    with pytest.raises(KeyError):
        scene_of(spec)
