"""Jobs from submission to episode, through every process of a venue."""

import hashlib
import io
import json
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pyarrow.parquet as parquet
import pytest

from palaestra import jobs
from palaestra.errors import PalaestraError
from palaestra.jobfile import job_from_toml
from palaestra.v1 import episode_pb2, job_pb2, venue_service_pb2
from store import ACTION, LocalObjects, read_episode
from tests.system.hall import PATIENCE_S, Hall, is_running, succeeded

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]
ARM = jobs.unit(robot_class="arm")
DOG = jobs.unit(robot_class="quadruped")


def reach(**fields: object) -> job_pb2.Job:
    given: dict[str, object] = {"motion": "reach_around", "episodes": 1, "episode_s": 1.0, "units": [ARM]}
    return jobs.collect(**(given | fields))  # type: ignore[arg-type]


def test_a_collection_ends_with_episodes_whose_bytes_are_in_the_store(hall: Hall, data: Path) -> None:
    job = hall.acme.submit(reach(episodes=2, cell=jobs.cell(scenario="bench-assembly"), seed=3))
    succeeded(hall.acme.wait(job.name, PATIENCE_S))

    episodes = list(hall.acme.episodes(job.name))
    assert len(episodes) == 2
    for episode in episodes:
        found = LocalObjects(data / "store" / "objects").path_of(episode.content.sha256)
        assert hashlib.sha256(found.read_bytes()).hexdigest() == episode.content.sha256
        read = read_episode(found)
        assert (len(read.time_s), read.header.cell) == (episode.rows, "venues/hall/cells/bench")
        assert episode.outcome == episode_pb2.EPISODE_OUTCOME_SUCCESS
    with pytest.raises(PalaestraError) as hidden:
        hall.bolt.job(job.name)
    assert hidden.value.reason == "NOT_FOUND"


def test_what_was_trained_is_evaluated(hall: Hall) -> None:
    training = hall.acme.submit(jobs.train("reach", "own_arm", iterations=2, directions=4))
    trained = succeeded(hall.acme.wait(training.name, PATIENCE_S))
    evaluation = hall.acme.submit(jobs.evaluate("reach", "own_arm", episodes=4, policy_job=training.name))
    judged = succeeded(hall.acme.wait(evaluation.name, PATIENCE_S))

    assert len(trained.result.return_curve) == 2
    assert judged.result.trials == 4
    assert judged.result.success_low <= judged.result.success_rate <= judged.result.success_high
    assert judged.episode_count == 4
    assert any("iteration 2/2" in line.text for line in hall.acme.log(training.name))


def test_a_job_file_that_names_a_scenario_is_collected_and_evaluated(hall: Hall, data: Path, tmp_path: Path) -> None:
    """As whoever writes one would: the file, what the venue says of it, and the episodes that come of it."""
    file = tmp_path / "start.toml"
    file.write_text(
        """
        [claim]
        sim_slots = 1
        duration_s = 600
        [collect]
        scenario = "manufacturing/machine-start"
        level = 3
        script = "pass"
        robot_model = "own_arm"
        worlds = 2
        """
    )
    job = hall.acme.submit(job_from_toml(file))
    succeeded(hall.acme.wait(job.name, PATIENCE_S))
    episodes = list(hall.acme.episodes(job.name))
    assert [episode.outcome for episode in episodes] == [episode_pb2.EPISODE_OUTCOME_SUCCESS] * 2
    assert {(episode.scenario, episode.level) for episode in episodes} == {("manufacturing/machine-start", 3)}
    read = read_episode(LocalObjects(data / "store" / "objects").path_of(episodes[0].content.sha256))
    assert read.header.level == "L3" and len(read.time_s) == episodes[0].rows

    for script, successes in (("pass", 2), ("fail", 0)):
        trials = jobs.evaluate("", "own_arm", scenario="machine-start", level=3, script=script, episodes=2)
        judged = succeeded(hall.acme.wait(hall.acme.submit(trials).name, PATIENCE_S))
        assert (judged.result.trials, judged.result.successes) == (2, successes)
    with pytest.raises(PalaestraError, match="did you mean manufacturing/machine-start"):
        hall.acme.submit(jobs.collect(scenario="manufacturing/machine-stat", script="pass", robot_model="own_arm"))


def test_what_was_trained_drives_a_unit(hall: Hall, data: Path) -> None:
    """The policy sees through the unit's own sensors; the unit goes where it wants, and the episode tells."""
    training = hall.acme.submit(jobs.train("reach", "own_arm", iterations=1, directions=4))
    succeeded(hall.acme.wait(training.name, PATIENCE_S))
    arm = jobs.unit(robot_model="own_arm")
    job = hall.acme.submit(jobs.collect(policy_job=training.name, units=[arm], episodes=1, episode_s=1.5))
    succeeded(hall.acme.wait(job.name, PATIENCE_S))

    (entry,) = (episode for episode in hall.acme.episodes(job.name) if episode.outcome == 1)
    episode = read_episode(LocalObjects(data / "store" / "objects").path_of(entry.content.sha256))
    assert entry.unit
    assert entry.task == "reach by own_arm"
    # After one iteration it wants little, but a robot that merely held home would be asked for nothing at all.
    assert np.ptp(episode.signals[ACTION], axis=0).max() > 1e-4


def test_a_cancel_frees_everything_in_two_seconds(hall: Hall) -> None:
    job = hall.acme.submit(reach(episodes=20, episode_s=10.0))
    running = hall.until(hall.acme, job.name, is_running)
    unit = running.attempts[0].resources[0]
    time.sleep(1.0)
    asked_s = time.monotonic()
    hall.acme.cancel(job.name)
    ended = hall.acme.wait(job.name, PATIENCE_S)
    took_s = time.monotonic() - asked_s

    assert ended.state == job_pb2.JOB_STATE_CANCELLED
    print(f"cancelled after {took_s:.2f} s")
    # Two are promised; twice that on a machine that others use too.
    assert took_s < 4.0
    after = hall.acme.submit(reach(units=[jobs.unit(name=unit)]))
    succeeded(hall.acme.wait(after.name, PATIENCE_S))


def test_a_job_whose_robot_breaks_is_tried_again_on_another(hall: Hall) -> None:
    job = hall.bolt.submit(jobs.collect(motion="trot_in_place", episodes=2, episode_s=2.0, units=[DOG]))
    running = hall.until(hall.bolt, job.name, is_running)
    broken = running.attempts[0].resources[0]
    time.sleep(1.0)
    hall.operator.inject_fault(broken, venue_service_pb2.FAULT_KIND_ENCODER_DROPOUT)
    try:
        ended = succeeded(hall.bolt.wait(job.name, PATIENCE_S))
    finally:
        hall.operator.reset_unit(broken)
    # The venue itself tries it out before anybody gets it again.
    assert hall.checked(broken).body_state.HasField("check_time")

    first, second = sorted(ended.attempts, key=lambda attempt: attempt.number)
    assert (first.failure.reason, list(first.resources)) == ("UNIT_FAULT", [broken])
    assert broken not in second.resources
    outcomes = [episode.outcome for episode in hall.bolt.episodes(job.name)]
    assert outcomes.count(episode_pb2.EPISODE_OUTCOME_SUCCESS) == 2


def test_an_impossible_claim_is_refused_at_once(hall: Hall) -> None:
    with pytest.raises(PalaestraError) as refused:
        hall.acme.submit(reach(units=[jobs.unit(robot_class="arm", count=3)]))

    assert refused.value.reason == "IMPOSSIBLE_CLAIM"


def test_rest_page_and_command_line_show_the_same_job(hall: Hall, tmp_path: Path) -> None:
    job = hall.acme.submit(reach(display_name="seen <b>everywhere</b>"))
    succeeded(hall.acme.wait(job.name, PATIENCE_S))
    uid = job.name.rpartition("/")[2]
    supervisor = hall.supervisor
    headers = {"authorization": f"Bearer {supervisor.token('vendor-acme')}"}
    with httpx.Client(base_url=supervisor.api_url, headers=headers, timeout=30.0, trust_env=False) as http:
        rest = http.get(f"/v1/{job.name}")
        assert rest.status_code == 200, rest.text
        assert (rest.json()["name"], rest.json()["state"]) == (job.name, "JOB_STATE_SUCCEEDED")
        page = http.get(f"/ui/lite/jobs/acme/{uid}")
        assert page.status_code == 200, page.text
        assert "seen &lt;b&gt;everywhere" in page.text
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PALAESTRA_")}
    environment["XDG_CONFIG_HOME"] = str(tmp_path)
    command = [str(Path(sys.executable).with_name("palaestra"))]

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [*command, *arguments], env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("login", str(supervisor.data / "logins" / "acme.toml"))
    listed = json.loads(run("jobs", "--json"))
    assert uid in {shown["name"].rpartition("/")[2] for shown in listed["jobs"]}


def test_a_job_s_episodes_are_exported_as_a_lerobot_data_set(hall: Hall, tmp_path: Path) -> None:
    job = hall.acme.submit(reach(episodes=2))
    succeeded(hall.acme.wait(job.name, PATIENCE_S))
    headers = {"authorization": f"Bearer {hall.supervisor.token('vendor-acme')}"}
    with httpx.Client(base_url=hall.supervisor.api_url, headers=headers, timeout=60.0, trust_env=False) as http:
        answer = http.get(f"/v1/{job.name}/export", params={"fps": 100})

    assert answer.status_code == 200, answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(tmp_path)
    info = json.loads(next(tmp_path.rglob("info.json")).read_text())
    assert (info["codebase_version"], info["total_episodes"]) == ("v3.0", 2)
    tables = [parquet.read_table(path) for path in tmp_path.rglob("data/chunk-*/*.parquet")]
    frames = sum(table.num_rows for table in tables)
    assert info["total_frames"] == frames
    # A frame each 10 ms from the first row to the last.
    wanted = sum(round(episode.duration_s * 100) + 1 for episode in hall.acme.episodes(job.name))
    assert abs(frames - wanted) <= 2
    assert {row for table in tables for row in table["episode_index"].to_pylist()} == {0, 1}
