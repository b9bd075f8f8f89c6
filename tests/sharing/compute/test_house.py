"""Where compute jobs wait and run: allowed algorithms alone, and an end as soon as nothing is shared any more."""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sharing.compute import house as module
from sharing.compute.algorithm import Algorithm, built_in
from sharing.compute.jobs import MOST_OPEN, Job, Jobs, State, TooManyJobs
from sharing.confined import process
from sharing.errors import InvalidAlgorithm, NotShared
from sharing.grant import Ask
from sharing.terms import Channel, Purpose
from tests.sharing.compute.visitors import PATIENCE_S, bare, house_of, settled
from tests.sharing.stage import AURORA, BOREALIS, CYGNUS

ENDLESS = bare("    while True:\n        pass", "endless")
TRAIN = Purpose.TRAINING


def test_what_runs_ends_when_the_agreement_is_revoked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The job ends as no longer shared, its process with it, and others that wait never begin."""
    house, agreement, staged = house_of(tmp_path)
    house.approvals.approve(AURORA, ENDLESS)
    running = threading.Event()
    run = process.run

    def seen(*arguments: Any, **more: Any) -> bytes:
        running.set()
        return run(*arguments, **more)

    monkeypatch.setattr(process, "run", seen)
    house.start()
    jobs = [house.submit(BOREALIS, agreement, TRAIN, ENDLESS.sha256, {}) for _ in range(2)]
    assert running.wait(PATIENCE_S)
    staged.room.register.revoke(agreement, AURORA, "enough")

    assert [(job.state, job.reason) for job in (settled(house, one) for one in jobs)] == [
        (State.ENDED, "no longer shared")
    ] * 2
    house.stop()
    staged.close()


def test_what_runs_ends_when_its_consumer_or_its_provider_says_so(tmp_path: Path) -> None:
    """Taken back by the one, or the algorithm withdrawn by the other."""
    house, agreement, staged = house_of(tmp_path)
    house.approvals.approve(AURORA, ENDLESS)
    house.start()
    first = house.submit(BOREALIS, agreement, TRAIN, ENDLESS.sha256, {})
    assert house.cancel(first)
    assert not house.cancel(first)
    second = house.submit(BOREALIS, agreement, TRAIN, ENDLESS.sha256, {})
    assert house.approvals.withdraw(AURORA, ENDLESS.sha256)

    assert settled(house, first).reason == "taken back by its consumer"
    assert settled(house, second).reason == "no longer shared"
    with pytest.raises(NotShared):
        house.submit(BOREALIS, agreement, TRAIN, ENDLESS.sha256, {})
    house.stop()
    staged.close()


def test_how_a_job_ended_is_noted_once_also_where_it_is_taken_back_while_it_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house, agreement, staged = house_of(tmp_path)
    house.approvals.approve(AURORA, ENDLESS)
    running = threading.Event()
    run = process.run

    def seen(*arguments: Any, **more: Any) -> bytes:
        running.set()
        return run(*arguments, **more)

    monkeypatch.setattr(process, "run", seen)
    house.start()
    job = house.submit(BOREALIS, agreement, TRAIN, ENDLESS.sha256, {})
    assert running.wait(PATIENCE_S)
    assert house.cancel(job)
    # It waits for the thread in which the job ran, which has told how it ended then.
    house.stop()

    assert [one.get("state", "approved") for one in staged.notes.of("job")] == ["approved", "queued", "ended"]
    staged.close()


def test_what_the_provider_did_not_approve_does_not_visit(tmp_path: Path) -> None:
    """Also what comes with the room, and what another vendor approved."""
    house, agreement, staged = house_of(tmp_path)
    algorithm = built_in()["statistics"]
    house.approvals.approve(BOREALIS, algorithm)
    with pytest.raises(NotShared):
        house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {})
    staged.close()


def test_a_file_that_was_changed_in_the_database_is_not_run(tmp_path: Path) -> None:
    """Its hash is looked at each time."""
    house, agreement, staged = house_of(tmp_path)
    algorithm = built_in()["statistics"]
    house.approvals.approve(AURORA, algorithm)
    with staged.room.database.transaction() as db:
        db.execute("UPDATE algorithm SET source = source || ' '")
    with pytest.raises(NotShared):
        house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {})
    staged.close()


def test_a_consumer_has_so_many_jobs_open(tmp_path: Path) -> None:
    """And what an earlier process left open has failed when the next one starts."""
    house, agreement, staged = house_of(tmp_path)
    algorithm = built_in()["statistics"]
    house.approvals.approve(AURORA, algorithm)
    jobs = [house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {}) for _ in range(MOST_OPEN)]
    with pytest.raises(TooManyJobs):
        house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {})
    house.start()
    house.stop()
    assert {house.jobs.get(job.id).state for job in jobs} == {State.FAILED}  # type: ignore[union-attr]
    assert Jobs(staged.room.database, staged.room.witness, staged.room.clock.now_s).open() == []
    staged.close()


@pytest.mark.parametrize(
    ("name", "source", "outputs"),
    [
        ("x y", "def train(d, p): pass\ndef losses(d, a, p): pass", {}),
        ("x", "def train(d, p): pass", {}),
        ("x", "def train(:", {}),
        ("x", "\x00", {}),
        ("x", "(" * 5000, {}),
        ("x", 7, {}),
        ("x", "def train(d, p): pass\ndef losses(d, a, p): pass", {"arrays": {"w": ["object", 1]}}),
        ("x", "def train(d, p): pass\ndef losses(d, a, p): pass", {"arrays": {"w": ["float32", 10**9]}}),
        ("x", "def train(d, p): pass\ndef losses(d, a, p): pass", {"arrays": {"../w": ["float32", 1]}}),
        ("x", "def train(d, p): pass\ndef losses(d, a, p): pass", {"files": []}),
    ],
)
def test_a_file_that_is_no_algorithm_is_refused(name: object, source: object, outputs: object) -> None:
    """Read, never run."""
    with pytest.raises(InvalidAlgorithm):
        Algorithm.of(name, source, outputs)


def test_parameters_are_numbers_and_texts(tmp_path: Path) -> None:
    """Nothing nested, nothing long."""
    house, agreement, staged = house_of(tmp_path)
    for parameters in ([], {"a": {}}, {"a": True}, {"a": "x" * 201}, {str(n): 1 for n in range(33)}):
        with pytest.raises(InvalidAlgorithm, match="parameters"):
            house.submit(BOREALIS, agreement, TRAIN, "0" * 64, parameters)
    staged.close()


def test_nobody_keeps_all_others_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a job of one consumer comes the next one's, also where the first has older ones."""
    house, agreement, staged = house_of(tmp_path)
    theirs = staged.agree(consumer=CYGNUS, channels=("compute",)).digest
    algorithm = built_in()["statistics"]
    house.approvals.approve(AURORA, algorithm)
    served: list[str] = []

    def visited(job: Job) -> tuple[State, str]:
        served.append(job.consumer)
        return State.FAILED, ""

    monkeypatch.setattr(house, "_visited", visited)
    monkeypatch.setattr(house.jobs, "begin", lambda job, begin=house.jobs.begin: begin(job) and go.wait(PATIENCE_S))
    go = threading.Event()
    house.start()
    jobs = [house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {}) for _ in range(3)]
    jobs.append(house.submit(CYGNUS, theirs, TRAIN, algorithm.sha256, {}))
    go.set()
    for job in jobs:
        settled(house, job)
    house.stop()

    assert served[:2] == [BOREALIS, CYGNUS]
    assert served.count(BOREALIS) == 3
    staged.close()


def test_a_defect_ends_its_job_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is raised while a job runs: it has failed, and the next one runs."""
    house, agreement, staged = house_of(tmp_path)
    algorithm = built_in()["statistics"]
    house.approvals.approve(AURORA, algorithm)

    def visited(job: Job) -> tuple[State, str]:
        raise RuntimeError("a defect of a test")

    monkeypatch.setattr(house, "_visited", visited)
    house.start()
    for _ in range(2):
        job = settled(house, house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {}))
        assert (job.state, job.reason) == (State.FAILED, "a defect")
    house.stop()
    staged.close()


def test_a_disk_that_is_full_for_a_while_ends_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where a job begins nor where it ends: the house has one thread, and no other would come."""
    house, agreement, staged = house_of(tmp_path)
    algorithm = built_in()["statistics"]
    house.approvals.approve(AURORA, algorithm)
    monkeypatch.setattr(module, "AGAIN_S", 0.01)
    monkeypatch.setattr(house, "_visited", lambda job: (State.FAILED, "as a test wants"))
    for name in ("begin", "end"):
        monkeypatch.setattr(house.jobs, name, once_full(getattr(house.jobs, name)))
    house.start()
    job = settled(house, house.submit(BOREALIS, agreement, TRAIN, algorithm.sha256, {}))
    house.stop()

    assert (job.state, job.reason) == (State.FAILED, "as a test wants")
    staged.close()


def once_full(work: Callable[..., bool]) -> Callable[..., bool]:
    """Return what works from the second time on."""
    failed: list[bool] = []

    def tried(*arguments: Any) -> bool:
        if not failed:
            failed.append(True)
            raise sqlite3.OperationalError("database or disk is full")
        return work(*arguments)

    return tried


def test_what_was_made_of_data_is_told_as_long_as_they_are_shared(tmp_path: Path) -> None:
    house, agreement, staged = house_of(tmp_path)
    grant = staged.room.gate.authorize(Ask(BOREALIS, agreement, Channel.COMPUTE, TRAIN, 0))
    job = house.jobs.add(grant, 1, "0" * 64, {})
    house.jobs.begin(job.id)
    house.jobs.end(job.id, State.RELEASED, "", {"episodes": 80, "metrics": {"loss": 0.25}}, b"npz")

    def told() -> list[dict[str, Any]]:
        asked = staged.as_("borealis")
        return [
            asked.get("/sharing/v1/jobs").json()["jobs"][0]["lineage"],
            asked.get(f"/sharing/v1/jobs/{job.id}").json()["lineage"],
        ]

    assert told() == [{"episodes": 80, "metrics": {"loss": 0.25}}] * 2
    staged.room.register.revoke(agreement, AURORA, "")
    assert told() == [{"episodes": 80}] * 2
    staged.close()
