"""Leased worlds as the SDK and the command line hand them out: when they stand, and what is said when they do not."""

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from palaestra import Client, PalaestraError, cli, jobs, slots
from palaestra.v1 import job_pb2
from tests.client.fake_venue import VENDOR_TOKEN, FakeVenue

RUNNING = job_pb2.JOB_STATE_RUNNING
PATIENCE_S = 60.0


def stand(venue: FakeVenue, name: str, *, number: int = 1, told: int = 1, **fields: Any) -> None:
    """Put a job to work whose worlds stand, as attempt `told` says."""
    job = job_pb2.Job()
    job.CopyFrom(venue.jobs[name])
    job.state = RUNNING
    del job.attempts[:]
    job.attempts.add(number=number, state=job_pb2.ATTEMPT_STATE_RUNNING)
    job.progress.slot.attempt, job.progress.slot.address = told, "127.0.0.1:7"
    venue.put(job)


def soon(venue: FakeVenue, act: Callable[[str], None]) -> threading.Thread:
    """Act on the first job that is submitted."""

    def run() -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not venue.calls("WatchJob") and time.monotonic() < until_s:
            time.sleep(0.005)
        act(next(iter(venue.jobs)))

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_ticket_is_asked_for_once_the_worlds_of_the_present_attempt_stand(venue: FakeVenue) -> None:
    def act(name: str) -> None:
        stand(venue, name, number=2, told=1)
        time.sleep(0.1)
        assert not venue.calls("OpenSlot")
        stand(venue, name, number=2, told=2)

    with Client(venue.address, VENDOR_TOKEN) as client:
        name = client.submit(jobs.serve("own_arm", task="reach")).name
        thread = soon(venue, act)
        assert client.slots.ticket(name).token == "t"
        thread.join()


def test_a_job_that_fails_before_is_told_with_its_reason(venue: FakeVenue) -> None:
    def act(name: str) -> None:
        job = job_pb2.Job()
        job.CopyFrom(venue.jobs[name])
        job.state = job_pb2.JOB_STATE_FAILED
        job.failure.reason, job.failure.message = "BROKEN_MODEL", "no such mesh"
        venue.put(job)

    pytest.importorskip("gymnasium")
    with Client(venue.address, VENDOR_TOKEN) as client:
        thread = soon(venue, act)
        with pytest.raises(PalaestraError, match="no such mesh") as failed:
            client.slots(robot="own_arm", task="reach")
        thread.join()
    assert failed.value.reason == "BROKEN_MODEL"


def test_worlds_that_do_not_come_in_time_are_given_up(venue: FakeVenue) -> None:
    pytest.importorskip("gymnasium")
    with Client(venue.address, VENDOR_TOKEN) as client:
        with pytest.raises(TimeoutError):
            client.slots(robot="own_arm", task="reach", start_timeout_s=0.3)
        (name,) = venue.jobs
        assert client.job(name).state == job_pb2.JOB_STATE_CANCELLED


def test_the_command_line_too_gives_up_what_does_not_come_in_time(
    venue: FakeVenue, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for key, value in (("ADDRESS", venue.address), ("TOKEN", VENDOR_TOKEN)):
        monkeypatch.setenv(f"PALAESTRA_{key}", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert cli.run(["slot", "lease", "--robot", "own_arm", "--task", "reach", "--wait-s", "0.3"]) == 1
    (job,) = venue.jobs.values()
    assert job.state == job_pb2.JOB_STATE_CANCELLED
    said = f"the worlds of {job.name} did not stand within 0.3 s; it was cancelled [SLOT_NOT_READY]"
    assert said in capsys.readouterr().err


def test_the_command_line_says_in_its_own_words_what_to_name(capsys: Any) -> None:
    for words in ([], ["--task", "reach", "--motion", "sway"]):
        assert cli.run(["slot", "lease", "--robot", "own_arm", *words]) == 2
        assert "name a --task or a --motion" in capsys.readouterr().err


def test_from_elsewhere_it_is_said_where_the_venue_opens_no_way(venue: FakeVenue) -> None:
    """Its worlds have an address on its own machine only, which here would be somebody else's."""
    pytest.importorskip("gymnasium")
    with Client(venue.address, VENDOR_TOKEN) as client:
        client.slots = slots.Slots(client, None, elsewhere=True)
        thread = soon(venue, lambda name: stand(venue, name))
        with pytest.raises(PalaestraError, match="slots_listen"):
            client.slots(robot="own_arm", task="reach")
        thread.join()
        (name,) = venue.jobs
        assert client.job(name).state == job_pb2.JOB_STATE_CANCELLED


def test_without_its_packages_it_says_what_to_install(venue: FakeVenue, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ModuleNotFoundError(name="gymnasium")

    monkeypatch.setattr(slots, "import_module", missing)
    install = r"gymnasium: pip install \"palaestra\[env\]\""
    with Client(venue.address, VENDOR_TOKEN) as client, pytest.raises(PalaestraError, match=install):
        client.slots(robot="own_arm", task="reach")
    assert not venue.jobs, "and nothing is leased for nothing"


def test_a_job_to_serve_has_a_task_or_a_motion() -> None:
    job = jobs.serve("own_arm", motion="sway", episode_s=2.0, idle_s=9.0, pace={"mode": "real_time", "rate": 2.0})
    assert (job.serve.motion, job.serve.idle_timeout.seconds, job.claim.sim_slots) == ("sway", 9, 1)
    assert job.serve.pace.rate == 2.0
    for wrong in ({}, {"task": "reach", "motion": "sway"}):
        with pytest.raises(PalaestraError, match="a task or a motion"):
            jobs.serve("own_arm", **wrong)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"quantity": "mass_scale", "unifrom": {"low": 1.0}}, r"randomisation\[0\].unifrom: .* did you mean uniform"),
        ({"quantity": "mass_scale", "uniform": {"lo": 1.0}}, r"randomisation\[0\].uniform.lo"),
        ({"quantity": 5}, r"randomisation\[0\].quantity: must be text"),
    ],
)
def test_a_table_with_another_field_is_named(table: dict[str, Any], message: str) -> None:
    with pytest.raises(PalaestraError, match=message):
        jobs.train("reach", "own_arm", randomisation=[table])


def test_the_command_line_leases_worlds_and_prints_what_opens_them(
    venue: FakeVenue, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    for key, value in (("ADDRESS", venue.address), ("TOKEN", VENDOR_TOKEN)):
        monkeypatch.setenv(f"PALAESTRA_{key}", value)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    thread = soon(venue, lambda name: stand(venue, name))
    words = ["slot", "lease", "--robot", "own_arm", "--task", "reach", "--worlds", "64", "--json"]
    assert cli.run(words) == 0
    thread.join()
    assert json.loads(capsys.readouterr().out)["token"] == "t"
    (job,) = venue.jobs.values()
    assert (job.serve.worlds, job.serve.task) == (64, "reach")

    assert cli.run(["slot", "ticket", job.name]) == 0
    assert "127.0.0.1:7" in capsys.readouterr().out
