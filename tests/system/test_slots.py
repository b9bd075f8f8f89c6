"""Worlds that a vendor's own program drives, and what jobs ask of theirs, through every process of a venue."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.errors import PalaestraError
from palaestra.v1 import job_pb2
from runner.replay.world import verify
from sim.env.wire import pack
from store import ACTION, LocalObjects, read_episode
from tests.sim.policy_server import answering, server
from tests.system.hall import PATIENCE_S, Hall, succeeded

pytest.importorskip("gymnasium")
from palaestra_env.remote import RemoteSlot
from sim.env.vector import make_vec

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
TERMS: list[jobs.Table] = [{"quantity": "mass_scale", "uniform": {"low": 0.8, "high": 1.2}, "each": True}]


def test_a_vendors_program_steps_leased_worlds_and_nobody_elses_does(hall: Hall) -> None:
    with hall.acme.slots(robot="own_arm", task="reach", worlds=3, seed=4, idle_s=600.0) as env:
        here = make_vec("own_arm", "reach", 3, job_seed=4)
        for one, other in zip(env.reset(seed=7)[0], here.reset(seed=7)[0], strict=True):
            assert one.tobytes() == other.tobytes()
        action = np.full(env.action_space.shape, 0.3, np.float32)
        for _ in range(5):
            assert env.step(action)[0].tobytes() == here.step(action)[0].tobytes()
        action[1, 0] = np.nan
        _, _, terminated, _, info = env.step(action)
        assert terminated.tolist() == [False, True, False]
        assert "'shoulder_yaw' is nan" in info["failure"][1]

        ticket = hall.acme.open_slot(env.job)
        for stranger in (hall.bolt, hall.operator):
            with pytest.raises(PalaestraError) as refused:
                stranger.open_slot(env.job)
            assert refused.value.reason in ("NOT_FOUND", "ROLE_DENIED")
        with hall.bolt.slots(robot="own_arm", task="reach", worlds=1, duration_s=600.0) as other_env:
            other = hall.bolt.open_slot(other_env.job)
            with pytest.raises(PalaestraError) as refused:
                RemoteSlot(ticket.address, lease=ticket.lease, epoch=ticket.epoch, token=other.token)
            assert refused.value.reason == "LEASE_TOKEN_INVALID"
    assert succeeded(hall.acme.wait(env.job, PATIENCE_S)).attempts[0].number == 1
    assert not any(lease.job == env.job for lease in hall.acme.leases())


def test_the_end_of_a_lease_ends_the_worlds_with_its_reason(hall: Hall) -> None:
    """One is cancelled by its vendor, the other's time is over."""
    with hall.acme.slots(robot="own_arm", task="reach", worlds=2) as env:
        env.reset(seed=1)
        hall.acme.cancel(env.job)
        with pytest.raises(PalaestraError) as told:
            for _ in range(1_000_000):
                env.step(np.zeros(env.action_space.shape, np.float32))
    assert told.value.reason == "JOB_CANCELLED"
    # On a machine that is busy enough the time may be over before the worlds stand: it is told alike.
    with (
        pytest.raises(PalaestraError, match="the claim's duration ended") as told,
        hall.bolt.slots(robot="own_arm", task="reach", worlds=2, duration_s=6.0, max_attempts=1) as env,
    ):
        env.reset(seed=1)
        for _ in range(10_000_000):
            env.step(np.zeros(env.action_space.shape, np.float32))
    assert told.value.reason == "WORK_FAILED"


def test_randomised_worlds_of_a_served_policy_are_recorded_and_run_again(hall: Hall, data: Path) -> None:
    sensors: list[jobs.Table] = [{"name": "imu", "imu": {"gyro": {"noise": 0.01}}}]
    with server(answering(lambda _: pack({"actions": np.full((4, 7), 0.2)}))) as address:
        job = jobs.evaluate(
            "reach",
            "own_arm",
            episodes=2,
            policy={"openpi": address, "chunk_steps": 4},
            randomisation=TERMS,
            sensors=sensors,
        )
        made = hall.acme.submit(job)
        ended = succeeded(hall.acme.wait(made.name, PATIENCE_S))

    assert ended.result.trials == 2
    for entry in hall.acme.episodes(made.name):
        episode = read_episode(LocalObjects(data / "store" / "objects").path_of(entry.content.sha256))
        assert episode.signals["observation.sensor.imu.gyro"].shape == (entry.rows, 3)
        assert verify(episode).same


def test_a_job_of_a_served_policy_goes_from_a_world_to_a_unit_by_its_claim_alone(hall: Hall, data: Path) -> None:
    claims: list[dict[str, Any]] = [{"worlds": 1}, {"units": [jobs.unit(robot_model="own_arm")]}]
    with server(answering(lambda _: pack({"actions": np.full((2, 7), 0.1)}))) as address:
        made = [
            hall.acme.submit(
                jobs.collect(
                    policy={"openpi": address, "chunk_steps": 2},
                    policy_task="reach",
                    robot_model="own_arm",
                    episode_s=1.0,
                    **claim,
                )
            )
            for claim in claims
        ]
        for job in made:
            succeeded(hall.acme.wait(job.name, PATIENCE_S))

    episodes = [list(hall.acme.episodes(job.name)) for job in made]
    assert [len(found) for found in episodes] == [1, 1]
    assert [bool(found[0].unit) for found in episodes] == [False, True]
    for found in episodes:
        episode = read_episode(LocalObjects(data / "store" / "objects").path_of(found[0].content.sha256))
        assert np.isfinite(episode.signals[ACTION]).all()


def test_a_slip_in_what_worlds_are_asked_for_is_refused_with_what_was_meant(hall: Hall) -> None:
    wrong: list[tuple[job_pb2.Job, str]] = [
        (jobs.train("reach", "own_arm", randomisation=[{**TERMS[0], "quantity": "mass_scal"}]), "mass_scale"),
        (jobs.train("reach", "own_arm", randomisation=[{**TERMS[0], "of": ["forarm_yaw"]}]), "forearm_yaw"),
        (jobs.evaluate("reach", "own_arm", policy={"openpi": "ws://10.0.0.1:8000"}), "127.0.0.1"),
    ]
    for job, meant in wrong:
        with pytest.raises(PalaestraError, match=meant):
            hall.acme.submit(job)
