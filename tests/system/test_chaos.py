"""kill -9 of everything in turn, while jobs run: no acknowledged job is lost, no unit is granted twice."""

import os
import signal
import time
from itertools import pairwise
from pathlib import Path

import pytest

from palaestra import Client, jobs
from palaestra.v1 import episode_pb2, job_pb2
from tests.system.hall import PATIENCE_S, Hall, is_running
from venue.process import session_members

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


def test_a_killed_worker_s_job_is_tried_again(hall: Hall) -> None:
    job = hall.acme.submit(jobs.train("reach", "own_arm", iterations=200, directions=4))
    hall.until(hall.acme, job.name, lambda found: found.progress.fraction > 0.0)
    os.kill(working_pid(hall), signal.SIGKILL)
    again = hall.until(hall.acme, job.name, lambda found: is_running(found) and len(found.attempts) == 2)
    goes_on = hall.until(hall.acme, job.name, lambda found: found.progress.fraction > again.progress.fraction)
    hall.acme.cancel(job.name)

    assert {attempt.failure.reason for attempt in goes_on.attempts} == {"RUNNER_LOST", ""}
    assert any("goes on after iteration" in line.text for line in hall.acme.log(job.name))
    assert hall.acme.wait(job.name, PATIENCE_S).state == job_pb2.JOB_STATE_CANCELLED


@pytest.mark.parametrize("victim", ["scheduler", "runner", "host-one"])
def test_no_job_is_lost_and_nothing_granted_twice_when_it_is_killed(hall: Hall, victim: str) -> None:
    """Jobs of two vendors for arms, dogs, slots and the cell are submitted around the kill; all of them end well."""
    arm, dog = jobs.unit(robot_class="arm"), jobs.unit(robot_class="quadruped")
    bench = jobs.cell(scenario="bench-assembly")
    submitted = [
        (client, client.submit(job).name)
        for client in (hall.acme, hall.bolt)
        for job in (
            jobs.collect(motion="reach_around", episodes=2, episode_s=1.5, units=[arm], cell=bench),
            jobs.collect(motion="trot_in_place", episodes=2, episode_s=1.5, units=[dog]),
            jobs.train("reach", "own_arm", iterations=2, directions=4),
        )
    ]
    running(submitted, 3)
    process = hall.process(victim)
    killed = process.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    # Also in the middle of it a vendor gets its job in: the client waits for the scheduler.
    late = hall.acme.submit(jobs.collect(motion="reach_around", episodes=1, episode_s=1.0, units=[arm]))
    submitted.append((hall.acme, late.name))

    for client, name in submitted:
        ended = client.wait(name, PATIENCE_S)
        assert ended.state == job_pb2.JOB_STATE_SUCCEEDED, str(ended)
        if ended.HasField("collect"):
            good = [e for e in client.episodes(name) if e.outcome == episode_pb2.EPISODE_OUTCOME_SUCCESS]
            assert len(good) >= ended.collect.episodes
    assert process.pid not in (None, killed)
    check_grants(hall)
    check_episodes(hall)


@pytest.mark.parametrize("victim", ["gcs_server", pytest.param("raylet", marks=pytest.mark.long)])
def test_a_ray_that_loses_a_part_is_replaced_and_its_jobs_are_tried_again(hall: Hall, victim: str) -> None:
    """Each job that ran has ended well soon after: a robot's, and one that trains and goes on from its checkpoint."""
    arm = jobs.unit(robot_class="arm")
    submitted = [
        (client, client.submit(job).name)
        for client in (hall.acme, hall.bolt)
        for job in (
            jobs.collect(motion="reach_around", episodes=1, episode_s=1.5, units=[arm]),
            jobs.train("reach", "own_arm", iterations=3, directions=4),
        )
    ]
    running(submitted, 2)
    before = hall.process("runner").pid
    assert before is not None
    killed_s, killed_ns = time.monotonic(), time.time_ns()
    os.kill(part_of_ray(before, victim), signal.SIGKILL)

    for client, name in submitted:
        ended = client.wait(name, PATIENCE_S)
        assert ended.state == job_pb2.JOB_STATE_SUCCEEDED, str(ended)
    mine = hall.read("SELECT instance, end_ns FROM attempt WHERE state IN (4, 6) AND end_ns > ?", killed_ns)
    over_s = (max(row["end_ns"] for row in mine) - killed_ns) / 1e9
    print(f"{victim} killed: attempts under way were over {over_s:.1f} s later (bar: 60 s)")
    print(f"{victim} killed: all jobs that ran have ended well {time.monotonic() - killed_s:.1f} s later (bar: 60 s)")
    lost = {attempt.failure.reason for client, name in submitted for attempt in client.job(name).attempts} - {""}
    assert "RUNNER_LOST" in lost
    assert hall.process("runner").pid not in (None, before)
    assert hall.process("runner").last_exit_code == 1, "it ended by itself"
    assert f"Ray's {victim} ended" in hall.process("runner").log_path.read_text()
    check_grants(hall)
    check_episodes(hall)


def part_of_ray(runner: int, name: str) -> int:
    """Return the process of Ray's with that name in the runner's session."""
    for pid in session_members(runner):
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            if os.path.basename(line.read().split(b"\0")[0].decode()) == name:
                return pid
    raise AssertionError(f"the runner has no {name}")


def running(submitted: list[tuple[Client, str]], wanted: int) -> None:
    """Wait until so many of the jobs run."""
    give_up_s = time.monotonic() + PATIENCE_S
    while sum(is_running(client.job(name)) for client, name in submitted) < wanted:
        assert time.monotonic() < give_up_s, "the jobs do not start"
        time.sleep(0.05)


def check_grants(hall: Hall) -> None:
    """No unit was ever in two open leases, and its epochs only rose."""
    rows = hall.read("SELECT unit, epoch, grant_ns, free_ns FROM lease_unit ORDER BY unit, epoch")
    assert rows
    for before, after in pairwise(rows):
        if before["unit"] == after["unit"]:
            assert before["epoch"] < after["epoch"]
            assert before["free_ns"] is not None
            assert before["free_ns"] <= after["grant_ns"]


def check_episodes(hall: Hall) -> None:
    """Each (attempt, index) is in the catalogue once, and its bytes are in the store."""
    twice = hall.read("SELECT job_id, attempt, number FROM episode GROUP BY 1, 2, 3 HAVING count(*) > 1")
    assert not [tuple(row) for row in twice]
    objects = hall.supervisor.data / "store" / "objects"
    for (body,) in hall.read("SELECT body FROM episode"):
        sha256 = episode_pb2.Episode.FromString(body).content.sha256
        assert list(objects.rglob(f"*{sha256}*")), f"{sha256} is not in the store"


def working_pid(hall: Hall) -> int:
    """Return the worker process of the runner's session that is at work: Ray gives it the name of what it calls.

    Processor time does not tell: on a busy machine others that have just begun have used more of it.
    """
    runner = hall.process("runner").pid
    assert runner is not None
    give_up_s = time.monotonic() + PATIENCE_S
    while True:
        lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in session_members(runner)}
        at_work = [pid for pid, line in lines.items() if line.startswith("ray::Worker.run")]
        if len(at_work) == 1:
            return at_work[0]
        assert time.monotonic() < give_up_s, lines
        time.sleep(0.05)
