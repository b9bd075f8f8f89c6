"""DataService over the wire: what the SDK and the command line say, with the real catalogue behind it."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from catalogue import Catalogue as Files
from catalogue.dataset import Datasets
from palaestra.aio import AsyncClient
from palaestra.client import Client
from palaestra.data import RecordingSession, query
from palaestra.errors import PalaestraError
from palaestra.v1 import (
    data_service_pb2,
    data_service_pb2_grpc,
    episode_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    runner_service_pb2,
)
from scheduler.commands import running
from scheduler.commands.submitting import Catalogue
from scheduler.core import RunnerConnection
from scheduler.shelf import READERS
from tests.cluster import Cluster
from tests.scheduler.site import PATIENCE_S, LiveServer, error_of, job

INSTANCE = "r/one"
KNOWN = Catalogue(frozenset({"reach"}), frozenset({"sway"}), frozenset({"own_arm"}))
SUCCESS, FAILURE = episode_pb2.EPISODE_OUTCOME_SUCCESS, episode_pb2.EPISODE_OUTCOME_FAILURE


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("live")) as server:
        yield server


@pytest.fixture(scope="module")
def attempt(live: LiveServer) -> str:
    return running_attempt(live)


def running_attempt(live: LiveServer) -> str:
    """Return a running attempt of acme's."""
    live.run(running.register_runner("r", INSTANCE, 2))
    live.core.runners["r"] = RunnerConnection(INSTANCE, KNOWN)
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)
    words = {"timeout": PATIENCE_S, "metadata": live.metadata("vendor-acme")}
    name = stub.SubmitJob(job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(0, 1)), **words).name
    get = job_service_pb2.GetJobRequest(name=name)
    found = live.until(lambda: stub.GetJob(get, **words), lambda answer: bool(answer.attempts))
    live.run(running.start(found.attempts[0].name, INSTANCE))
    return str(found.attempts[0].name)


@pytest.fixture(scope="module")
def client(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as made:
        yield made


def record(live: LiveServer, attempt: str, index: int, **fields: Any) -> str:
    """Enter an episode as a runner does; return its name."""
    episode = episode_pb2.Episode(
        index=index,
        robot_model="own_arm",
        maker="Own",
        content=job_pb2.Artifact(sha256=f"{index:064x}", size_bytes=10),
        duration_s=1.0,
        **fields,
    )
    request = runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance=INSTANCE, episode=episode)
    return str(live.run(running.catalogue(request)).name)


def names(found: Any) -> list[str]:
    return [one.episode.name for one in found]


def test_what_was_acknowledged_is_found_at_once_labelled_and_frozen(
    live: LiveServer, client: Client, attempt: str
) -> None:
    """The way of a vendor's data from a recorder to a data set."""
    earlier = next(client.data.sessions(), RecordingSession())
    first = record(live, attempt, 0, task="pick the red cube", outcome=SUCCESS)
    assert names(client.data.search(query(text="red cub*"))) == [first]
    second = record(live, attempt, 1, task="pick the blue cup", outcome=FAILURE)
    assert names(client.data.search(query(outcome="failure", maker="Own"))) == [second]
    assert {first, second} <= set(names(client.data.search()))

    assert client.data.label([first], {"grasp": "firm"}, quality=0.75, quality_parts={"jerk": 0.5}) == 1
    assert names(client.data.search(query(labels=["grasp=firm"], quality_min=0.7))) == [first]
    assert names(client.data.search(query(quality_min=0.8))) == []

    dataset = client.data.create_dataset("red-things", "what is red")
    version = client.data.freeze(dataset.name, wanted=query(text="red"))
    assert (version.number, version.episode_count, version.duration_s) == (1, 1, 1.0)
    assert client.data.freeze("red-things", episodes=[first]) == version
    assert [one.name for one in client.data.episodes("red-things/1")] == [first]
    assert client.data.version("red-things/1") == version
    assert [one.number for one in client.data.versions("red-things")] == [1]
    assert client.data.dataset("red-things").latest_version == 1
    shown = client.data.record(first)
    assert list(shown.dataset_versions) == [version.name]
    assert dict(shown.labels) == {"grasp": "firm"}
    (session,) = client.data.sessions()
    assert session.name == attempt
    assert session.episode_count == earlier.episode_count + 2
    assert session.success_count == earlier.success_count + 1


def test_changes_are_in_the_vendor_s_audit(live: LiveServer, client: Client, attempt: str) -> None:
    name = record(live, attempt, 10, task="audited")
    client.data.label([name], {"seen": "yes"})
    client.data.create_dataset("audited-set")

    methods = [entry.method for entry in client.audit.entries()]

    assert {"DataService/LabelEpisodes", "DataService/CreateDataset"} <= set(methods)


def test_pages_go_on_where_the_last_one_ended_also_while_more_comes_in(
    live: LiveServer, client: Client, attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("palaestra.data.PAGE_SIZE", 2)
    made = [record(live, attempt, 100 + number, task="paged work") for number in range(7)]
    found = []
    for number, one in enumerate(client.data.search(query(text="paged"))):
        found.append(one.episode.name)
        if number == 3:
            record(live, attempt, 150, task="paged work, later")

    assert found == made[::-1]


def test_a_vendor_s_long_versions_keep_nobody_else_waiting(
    live: LiveServer, client: Client, attempt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More of them at a time than the catalogue has threads."""
    name = record(live, attempt, 500, task="frozen slowly")
    begun, go, freeze = threading.Event(), threading.Event(), Datasets.freeze

    def slow(*words: Any, **more: Any) -> Any:
        begun.set()
        assert go.wait(PATIENCE_S)
        return freeze(*words, **more)

    monkeypatch.setattr(Datasets, "freeze", slow)
    client.data.create_dataset("slow")
    with ThreadPoolExecutor(READERS + 1) as pool:
        made = [pool.submit(client.data.freeze, "slow", episodes=[name]) for _ in range(READERS + 1)]
        try:
            assert begun.wait(PATIENCE_S)
            # One is at work and the others come while the rival asks.
            with Client(live.address, live.token("vendor-rival"), timeout_s=PATIENCE_S / 4) as rival:
                assert [list(rival.data.search()) for _ in range(20)] == [[]] * 20
            assert not any(one.done() for one in made)
        finally:
            go.set()
        assert {one.result().number for one in made} == {1}


@pytest.mark.parametrize(
    ("act", "reason"),
    [
        (lambda data: data.record("e-none"), "NOT_FOUND"),
        (lambda data: data.label(["vendors/bolt/episodes/x"], {"a": "b"}), "NOT_FOUND"),
        (lambda data: data.label(["e-none"], {"a": "b"}), "NOT_FOUND"),
        (lambda data: data.label(["e-none"], {"A b": "c"}), "INVALID_FIELD"),
        (lambda data: data.label(["e-none"]), "INVALID_FIELD"),
        (lambda data: data.freeze("none", episodes=["e"]), "NOT_FOUND"),
        (lambda data: data.version("none/1"), "NOT_FOUND"),
        (lambda data: data.version("none"), "INVALID_FIELD"),
        (lambda data: list(data.search(query(text="***"))), "INVALID_FIELD"),
        (lambda data: list(data.search(parent="vendors/bolt")), "NOT_FOUND"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(client: Client, act: Any, reason: str) -> None:
    with pytest.raises(PalaestraError) as refused:
        act(client.data)

    assert refused.value.reason == reason


def test_operators_see_rows_of_all_and_change_nothing(live: LiveServer, attempt: str) -> None:
    name = record(live, attempt, 200, task="seen by the house")
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as house:
        assert names(house.data.search(query(text="house"))) == [name]
        assert house.data.record(name).episode.name == name
        with pytest.raises(PalaestraError) as refused:
            house.data.label([name], {"a": "b"})
        assert refused.value.reason == "ROLE_DENIED"


def test_the_same_answers_come_awaited(live: LiveServer, attempt: str) -> None:
    async def scene() -> None:
        async with AsyncClient(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
            data = client.data
            found = [one.episode.name async for one in data.search(query(text="awaited"))]
            assert found == [name]
            assert (await data.record(name)).episode.name == name
            assert await data.label([name], {"a": "b"}) == 1
            assert (await data.create_dataset("awaited-set")).latest_version == 0
            version = await data.freeze("awaited-set", episodes=[name])
            assert (await data.version("awaited-set/1")) == version
            assert [one.number async for one in data.versions("awaited-set")] == [1]
            assert [one.name async for one in data.episodes("awaited-set/1")] == [name]
            assert (await data.dataset("awaited-set")).latest_version == 1
            assert "awaited-set" in [one.name.rpartition("/")[2] async for one in data.datasets()]
            assert [one.name async for one in data.sessions()] == [attempt]

    name = record(live, attempt, 300, task="awaited task")
    asyncio.run(scene())


def test_the_command_line_searches_labels_and_freezes(
    live: LiveServer, attempt: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from palaestra.cli import run as command

    monkeypatch.setenv("PALAESTRA_ADDRESS", live.address)
    monkeypatch.setenv("PALAESTRA_TOKEN", live.token("vendor-acme"))
    name = record(live, attempt, 400, task="typed by hand", outcome=SUCCESS)
    uid = name.rpartition("/")[2]

    def run(*words: str) -> str:
        code = command(words)
        out, err = capsys.readouterr()
        assert code == 0, (words, out, err)
        return out

    for words, said in (
        (("list",), uid),
        (("search", "--text", "typed", "--outcome", "success"), "typed by hand"),
        (("show", uid), "task: typed by hand"),
        (("label", uid, "--set", "grasp=firm", "--quality", "0.5"), "1 of 1 changed"),
        (("search", "--label", "grasp=firm", "--quality-min", "0.5"), uid),
        (("sessions",), "own_arm"),
        (("dataset", "create", "typed", "--description", "by hand"), "vendors/acme/datasets/typed"),
        (("dataset", "freeze", "typed", "--text", "typed"), "1 episodes"),
        (("dataset", "list"), "typed"),
        (("dataset", "show", "typed"), "selected vendors/acme"),
        (("dataset", "episodes", "typed/1"), uid),
    ):
        assert said in run("data", *words), words
        assert json.loads(run("data", *words, "--json")) is not None, words


def test_a_catalogue_that_was_lost_is_read_again_from_the_scheduler_s_table(tmp_path: Path) -> None:
    """Labels go with the file; every episode comes back, once."""
    with LiveServer(tmp_path) as server:
        attempt = running_attempt(server)
        made = [record(server, attempt, number, task="kept") for number in range(3)]
        with Client(server.address, server.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
            assert sorted(names(client.data.search())) == sorted(made)
    for path in tmp_path.glob("catalogue.db*"):
        path.unlink()

    with (
        LiveServer(tmp_path) as server,
        Client(server.address, server.token("vendor-acme"), timeout_s=PATIENCE_S) as client,
    ):
        assert sorted(names(client.data.search())) == sorted(made)
        # As after a restore of an older database: it knows two, and then records another one under the third's number.
        server.run(lambda tx: tx.db.execute("DELETE FROM episode WHERE uid = ?", (made[2].split("/")[-1],)))
        assert sorted(names(client.data.search())) == sorted(made[:2])
        with pytest.raises(PalaestraError) as caught:
            client.data.record(made[2])
        assert caught.value.reason == "NOT_FOUND"
        made[2] = record(server, attempt, 3, task="kept")
        assert sorted(names(client.data.search())) == sorted(made)


def test_a_scheduler_that_was_overtaken_labels_and_freezes_nothing(tmp_path: Path) -> None:
    """It does not know of it yet: the catalogue does, by the name of who leads."""
    with LiveServer(tmp_path) as server:
        # Without the client, which would look for the new leader.
        create = data_service_pb2_grpc.DataServiceStub(server.channel).CreateDataset
        words = {"timeout": PATIENCE_S, "metadata": server.metadata("vendor-acme")}
        vendor = "vendors/acme"
        asked = [data_service_pb2.CreateDatasetRequest(parent=vendor, dataset_id=name) for name in ("grasps", "walks")]
        create(asked[0], **words)
        latter = Files(tmp_path / "catalogue.db", "another")
        latter.lead(9, lambda: None)
        for request in asked:
            found = error_of(partial(create, request, **words))
            assert (found.reason, "which led in epoch 9" in found.message) == ("NOT_LEADER", True)
        assert [row["name"] for row in latter.datasets.list("acme")] == ["grasps"]
        latter.close()


def test_a_catalogue_in_postgresql_answers_the_same_and_while_it_is_gone_says_so(
    cluster: Cluster, tmp_path: Path
) -> None:
    """The scheduler goes on meanwhile, and the catalogue takes up what it missed."""
    pytest.importorskip("psycopg")
    place = cluster.fresh(empty=True)
    with (
        LiveServer(tmp_path, catalogue=place) as server,
        Client(server.address, server.token("vendor-acme"), timeout_s=PATIENCE_S) as client,
    ):
        attempt = running_attempt(server)
        test_what_was_acknowledged_is_found_at_once_labelled_and_frozen(server, client, attempt)
        assert not (tmp_path / "catalogue.db").exists()
        search = data_service_pb2_grpc.DataServiceStub(server.channel).ListRecords
        words = {"timeout": PATIENCE_S, "metadata": server.metadata("vendor-acme")}
        request = data_service_pb2.ListRecordsRequest(parent="vendors/acme")
        cluster.kill()
        try:
            made = record(server, attempt, 7)
            assert error_of(partial(search, request, **words)).reason == "DISK_FAILED"
        finally:
            cluster.start()
        assert made in [one.episode.name for one in search(request, **words).records]
