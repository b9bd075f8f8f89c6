"""A venue with a standby: its scheduler is killed under a running job, and the job, its unit and all clients go on."""

import os
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2
from tests.system.hall import PATIENCE_S, Hall, is_running, open_hall, succeeded

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    folder = tmp_path_factory.mktemp("pair")
    with open_hall(folder / "data", Path(__file__).with_name("standby.toml")) as made:
        yield made


def test_a_job_goes_on_under_the_standby_in_the_same_attempt(pair: Hall) -> None:
    """Runner, host and API move by themselves; the killed one is started again, and is the standby then."""
    arm = jobs.unit(robot_class="arm")
    job = pair.acme.submit(jobs.collect(motion="reach_around", episodes=3, episode_s=2.0, units=[arm]))
    pair.until(pair.acme, job.name, is_running)
    first = pair.process("scheduler")
    killed = first.pid
    assert killed is not None
    os.kill(killed, signal.SIGKILL)
    later = pair.acme.submit(jobs.collect(motion="reach_around", episodes=1, episode_s=1.0, units=[arm]))

    ended = succeeded(pair.acme.wait(job.name, PATIENCE_S))
    assert [attempt.state for attempt in ended.attempts] == [job_pb2.ATTEMPT_STATE_SUCCEEDED], "no try was lost"
    succeeded(pair.acme.wait(later.name, PATIENCE_S))
    request = urllib.request.Request(
        f"{pair.supervisor.api_url}/v1/venue", headers={"Authorization": f"Bearer {pair.supervisor.token('operator')}"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        assert answer.status == 200
    assert first.restarts == 1
    assert pair.process("standby").restarts == 0
    (held,) = pair.read("SELECT count(*) AS leases, count(DISTINCT epoch) AS epochs FROM lease_unit")
    assert held["leases"] == held["epochs"] == 2, "one for each job"
    assert pair.read("SELECT 1 FROM event WHERE kind = 'lease.graced'")
