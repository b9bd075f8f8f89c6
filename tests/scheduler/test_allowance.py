"""A vendor's quota over the wire: before a recording begins, when it is sealed, and as the vendor sees it."""

from collections.abc import Iterator
from typing import Any

import pytest

from catalogue.keeping import Policy
from palaestra.client import Client
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import (
    episode_pb2,
    job_pb2,
    job_service_pb2,
    job_service_pb2_grpc,
    runner_service_pb2,
    runner_service_pb2_grpc,
    store_service_pb2,
    store_service_pb2_grpc,
)
from scheduler.commands import running
from scheduler.commands.submitting import Catalogue
from scheduler.configuration import settings_of
from scheduler.core import RunnerConnection
from scheduler.named import artifacts, episodes
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, job

INSTANCE = "r/one"
KNOWN = Catalogue(frozenset({"reach"}), frozenset({"sway"}), frozenset({"own_arm"}))


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """acme may have three episodes, and 100 bytes."""
    quota = {"vendor": [{"id": "acme", "quota_episodes": 3, "quota_gb": 100e-9}], "warn_share": 0.6}
    with LiveServer(tmp_path_factory.mktemp("live"), settings_of({**VENUE, "store": quota}, "test")) as server:
        server.run(running.register_runner("r", INSTANCE, 2))
        server.core.runners["r"] = RunnerConnection(INSTANCE, KNOWN)
        yield server


def start(live: LiveServer, vendor: str) -> str:
    stub = job_service_pb2_grpc.JobServiceStub(live.channel)
    words = {"timeout": PATIENCE_S, "metadata": live.metadata(f"vendor-{vendor}")}
    name = stub.SubmitJob(job_service_pb2.SubmitJobRequest(parent=f"vendors/{vendor}", job=job(0, 1)), **words).name
    get = job_service_pb2.GetJobRequest(name=name)
    found = live.until(lambda: stub.GetJob(get, **words), lambda answer: bool(answer.attempts))
    live.run(running.start(found.attempts[0].name, INSTANCE))
    return str(found.attempts[0].name)


def call(live: LiveServer, method: Any, request: Any, role: str = "runner") -> Any:
    """Call as a role. Raises PalaestraError."""
    import grpc

    try:
        return method(request, timeout=PATIENCE_S, metadata=live.metadata(role))
    except grpc.RpcError as error:
        raise from_rpc(error) from None


def record(live: LiveServer, attempt: str, index: int, size_bytes: int) -> Any:
    content = job_pb2.Artifact(sha256=f"{index:064x}", size_bytes=size_bytes)
    episode = episode_pb2.Episode(index=index, robot_model="own_arm", content=content)
    request = runner_service_pb2.CatalogueEpisodeRequest(attempt=attempt, instance=INSTANCE, episode=episode)
    return call(live, runner_service_pb2_grpc.RunnerServiceStub(live.channel).CatalogueEpisode, request)


def room(live: LiveServer, attempt: str) -> str:
    method = store_service_pb2_grpc.StoreServiceStub(live.channel).CheckRoom
    return str(call(live, method, store_service_pb2.CheckRoomRequest(attempt=attempt)).warning)


def test_a_vendor_records_until_its_quota_is_full_and_again_when_there_is_room(live: LiveServer) -> None:
    """What does not fit is refused with its reason, what is there already is not; retention makes room."""
    acme, rival = start(live, "acme"), start(live, "rival")
    assert room(live, acme) == ""
    first = record(live, acme, 0, 40)
    with pytest.raises(
        PalaestraError, match="vendors/acme has no room in the store: 40 of 100 bytes are there"
    ) as over:
        record(live, acme, 1, 61)
    assert over.value.reason == "STORE_QUOTA"
    record(live, acme, 1, 59)
    assert room(live, acme) == "the store's quota is nearly full: 0.00 of 1e-07 GB, 2 of 3 episodes"
    record(live, acme, 2, 1)

    with pytest.raises(PalaestraError, match="3 of 3 episodes are there"):
        room(live, acme)
    assert record(live, acme, 0, 40).name == first.name, "a repeat is no further episode"
    # Nobody else has less for that.
    assert room(live, rival) == ""
    record(live, rival, 0, 10_000)

    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
        found = client.data.usage()
        assert (found.vendor, found.episode_count, found.size_bytes) == ("vendors/acme", 3, 100)
        assert (found.episode_count_max, found.size_bytes_max) == (3, 100)
        assert found.warning.startswith("the store's quota is full")
        with pytest.raises(PalaestraError, match="vendors/rival not found"):
            client.data.usage("vendors/rival")
        with pytest.raises(PalaestraError, match="vendors/nobody not found"):
            client.data.usage("vendors/nobody")

    assert {uid for uid, _ in episodes(live.core.house)} >= {first.name.rpartition("/")[2]}
    assert list(artifacts(live.core.house)) == []

    shelf = live.server._shelf
    asked = shelf.ask(lambda c: list(c.keeping.expire(Policy(days=1), (), now_ns=2**62, apply=True)))
    gone = live.act(asked)
    assert len(gone) == 4
    assert room(live, acme) == ""
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
        found = client.data.usage("vendors/acme")
        assert (found.episode_count, found.removed_episode_count, found.removed_size_bytes) == (0, 3, 100)


def test_what_jobs_were_given_and_have_made_is_named(live: LiveServer) -> None:
    attempt = start(live, "rival")
    checkpoint = job_pb2.Artifact(sha256="c0" * 32, size_bytes=3, media_type="application/json")
    live.run(running.save_checkpoint(attempt, INSTANCE, checkpoint))
    assert "c0" * 32 in set(artifacts(live.core.house))
