"""ReviewService over the wire: what the SDK and the command line say, with the real catalogue behind it."""

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from catalogue import Catalogue
from catalogue.catalogue import Change
from palaestra.aio import AsyncClient
from palaestra.cli.data import data
from palaestra.client import Client
from palaestra.data import query
from palaestra.errors import PalaestraError
from palaestra.review import opinion, wanted
from palaestra.v1 import job_service_pb2, job_service_pb2_grpc
from scheduler.commands import running
from scheduler.core import RunnerConnection
from tests.scheduler.site import PATIENCE_S, LiveServer, job
from tests.scheduler.test_data import INSTANCE, KNOWN, record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


@pytest.fixture(scope="module")
def live(folder: Path) -> Iterator[LiveServer]:
    with LiveServer(folder) as server:
        server.run(running.register_runner("r", INSTANCE, 2))
        server.core.runners["r"] = RunnerConnection(INSTANCE, KNOWN)
        yield server


@pytest.fixture(scope="module")
def client(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as made:
        yield made


@pytest.fixture(scope="module")
def episodes(live: LiveServer, client: Client, folder: Path) -> list[str]:
    """Four in the queue, the worst first; as the venue's own program scores, so that the rules are its."""
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)
    words = {"timeout": PATIENCE_S, "metadata": live.metadata("vendor-acme")}
    name = stub.SubmitJob(job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(0, 1)), **words).name
    get = job_service_pb2.GetJobRequest(name=name)
    attempt = live.until(lambda: stub.GetJob(get, **words), lambda answer: bool(answer.attempts)).attempts[0].name
    live.run(running.start(attempt, INSTANCE))
    found = [record(live, attempt, 100 + number, task=f"look {number}") for number in range(4)]
    assert len(list(client.data.search())) >= 4  # the catalogue has followed
    catalogue = Catalogue(folder / "catalogue.db", forward=False)
    labels = {"review": "open", "fault.gap": "2"}
    changes = {
        name.rpartition("/")[2]: Change(labels, (), number / 10, {}, "palaestra-quality/3")
        for number, name in enumerate(found)
    }
    catalogue.score(changes, by="venue", now_ns=1)
    catalogue.close()
    return found


def uid(name: str) -> str:
    return name.rpartition("/")[2]


def test_a_queue_is_worked_off_by_two_people(live: LiveServer, client: Client, episodes: list[str]) -> None:
    assert [one.record.episode.name for one in client.reviews.queue()] == episodes
    assert list(client.reviews.queue(wanted(fault="jerk"))) == []

    first = client.reviews.next(reviewer="anna")
    second = client.reviews.next(reviewer="ben", order="informative")

    assert first is not None and second is not None
    assert {first.record.episode.name, second.record.episode.name} == set(episodes[:2])
    assert first.holder.endswith("anna") and first.claim_end_time.seconds > 0
    again = client.reviews.next(reviewer="anna", length_s=3600)
    assert again is not None and again.record.episode.name == episodes[0]
    with pytest.raises(PalaestraError) as refused:
        client.reviews.answer(episodes[0], opinion("accepted", reviewer="ben"))
    assert refused.value.reason == "REVIEW_CLAIMED"

    said = opinion("rejected", outcome="failure", failure_cause="missed_grasp", faults=["gap"], reviewer="anna")
    kept = client.reviews.answer(uid(episodes[0]), said)

    assert not kept.open and kept.holder == ""
    assert {one.field: one.value for one in kept.annotations}["verdict"] == "rejected"
    assert [one.record.episode.name for one in client.reviews.queue()] == episodes[1:]
    assert [one.episode.name for one in client.data.search(query(labels=["failure_cause=missed_grasp"]))] == [
        episodes[0]
    ]
    figures = client.reviews.figures()
    (gap,) = [one for one in figures.agreements if one.kind == "gap"]
    assert (gap.method, gap.both, gap.precision, gap.recall) == ("palaestra-quality/3", 1, 1.0, 1.0)
    assert (figures.open_count, figures.rejected_count) == (3, 1)

    async def released() -> str:
        async with AsyncClient(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as other:
            return str((await other.reviews.release(episodes[1], reviewer="ben")).holder)

    assert asyncio.run(released()) == ""


def test_operators_see_rows_and_answer_for_nobody(live: LiveServer, episodes: list[str]) -> None:
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as operator:
        assert set(episodes[1:]) <= {one.record.episode.name for one in operator.reviews.queue()}
        assert operator.reviews.get(episodes[1]).open
        with pytest.raises(PalaestraError) as refused:
            operator.reviews.answer(episodes[1], opinion("accepted"))
    assert refused.value.reason == "ROLE_DENIED"


def test_another_vendors_episode_is_none_in_the_same_words(live: LiveServer, episodes: list[str]) -> None:
    """Also where it is claimed, and where it never was."""
    none = episodes[1][:-4] + "0000"
    with Client(live.address, live.token("vendor-rival"), timeout_s=PATIENCE_S) as rival:
        assert list(rival.reviews.queue()) == []
        assert rival.reviews.next() is None
        told = set()
        for name in (episodes[1], none):
            for call in (
                lambda: rival.reviews.get(name),  # noqa: B023
                lambda: rival.reviews.answer(name, opinion("accepted")),  # noqa: B023
                lambda: rival.reviews.release(name),  # noqa: B023
            ):
                with pytest.raises(PalaestraError) as refused:
                    call()
                told.add(str(refused.value).replace(name, "NAME"))
        with pytest.raises(PalaestraError) as denied:
            list(rival.reviews.queue(parent="vendors/acme"))
    assert len(told) == 1 and "NAME not found" in told.pop()
    assert denied.value.reason == "NOT_FOUND"


def test_members_of_a_version_come_with_labels_and_score(client: Client, episodes: list[str]) -> None:
    """A page at a time, in the version's order."""
    client.data.create_dataset("looked-at")
    client.data.freeze("looked-at", episodes=[episodes[2], episodes[0], episodes[1]])

    found = list(client.data.records("looked-at/1"))

    assert [one.episode.name for one in found] == [episodes[2], episodes[0], episodes[1]]
    assert [one.quality for one in found] == [0.2, 0.0, 0.1]
    assert found[0].labels["fault.gap"] == "2"


def test_the_command_line_takes_shows_and_answers(
    live: LiveServer,
    episodes: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PALAESTRA_ADDRESS", live.address)
    monkeypatch.setenv("PALAESTRA_TOKEN", live.token("vendor-acme"))

    def run(*words: str) -> Any:
        return CliRunner().invoke(data, ["review", *words])

    taken = run("next", "--as", "cleo", "--json")
    assert taken.exit_code == 0, taken.output
    name = json.loads(taken.stdout)["record"]["episode"]["name"]
    assert uid(name) in run("list").stdout
    said = ("--subtask", "reach=0-0.4", "--subtask", "grasp=0.4-1", "--faults", "none", "--as", "cleo")
    accepted = run("accept", uid(name), "--outcome", "success", *said)
    assert accepted.exit_code == 0, accepted.output
    assert "in the queue: no" in accepted.stdout and "reach 0-0.4 s, grasp 0.4-1 s" in accepted.stdout
    labelled = run("label", uid(name), "--grade", "good", "--json")
    assert json.loads(labelled.stdout)["answers"][0]["grade"] == "good"
    assert "gap" in run("figures").stdout
    assert run("accept", uid(name), "--subtask", "reach=now").exit_code == 2
    assert run("list", "--order", "best").exit_code == 2


def test_a_claim_and_an_answer_stand_in_the_audit(live: LiveServer, client: Client) -> None:
    methods = {entry.method for entry in client.audit.entries()}
    assert {"ReviewService/ClaimReview", "ReviewService/AnswerReview", "ReviewService/ReleaseReview"} <= methods


def test_the_catalogue_keeps_who_when_and_why(folder: Path, episodes: list[str]) -> None:
    with closing(sqlite3.connect(folder / "catalogue.db")) as db:
        rows = db.execute("SELECT author, reviewer, set_ns, rule_method, rule_faults FROM review_answer").fetchall()
    assert rows
    for author, _, set_ns, method, faults in rows:
        assert author.startswith("vendor acme by ") and set_ns > 0
        assert (method, faults) == ("palaestra-quality/3", '["gap"]')
