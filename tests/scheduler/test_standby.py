"""A standby as a process: it takes over from one that is killed or stopped, and that one can do nothing any more."""

import os
import signal
import sqlite3
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from palaestra import ids
from palaestra.channel import authorization, routing, target
from palaestra.client import Client
from palaestra.errors import PalaestraError, from_rpc
from palaestra.v1 import (
    api_key_pb2,
    host_service_pb2,
    host_service_pb2_grpc,
    job_service_pb2,
    job_service_pb2_grpc,
    runner_service_pb2,
    runner_service_pb2_grpc,
    venue_service_pb2,
    venue_service_pb2_grpc,
)
from scheduler import database
from scheduler.leadership import Mark
from scheduler.seat import KEY
from tests.scheduler.nursery import Nursery
from tests.scheduler.process import FILE, PATIENCE_S
from tests.scheduler.site import job
from tests.scheduler.test_crash import Crowd, check, first_answer, free_address, listed

LEADER_TTL_S = 1.0
LEASE_TTL_S = 30.0
BAR_S = 5.0
WAITING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


def until(what: str, holds: Callable[[], object]) -> Any:
    give_up_s = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < give_up_s, f"not in {PATIENCE_S} s: {what}"
        time.sleep(0.01)
    return found


class Pair:
    """Two schedulers on one database, each started as a standby.

    Attributes:
        addresses: Of each.
        pids: Of each while it runs.
        leads: Index of the one that leads, as of the last look.
    """

    def __init__(self, nursery: Nursery, folder: Path, ttl_s: float = LEADER_TTL_S) -> None:
        self._nursery = nursery
        self._folder = folder
        self.data = folder / "data"
        self.addresses = [free_address(), free_address()]
        self.pids: dict[int, int] = {}
        (folder / "venue.toml").write_text(
            f"{FILE}\n[scheduler]\nleader_ttl_s = {ttl_s}\nlease_ttl_s = {LEASE_TTL_S}\n"
        )

    @property
    def address(self) -> str:
        return ",".join(self.addresses)

    @property
    def leads(self) -> int:
        return self.addresses.index(self.mark().address)

    def start(self, number: int, main: str = "tests.scheduler.merciful:main", *more: str) -> None:
        arguments = ["--venue", str(self._folder / "venue.toml"), "--data", str(self.data)]
        arguments += ["--listen", self.addresses[number], "--standby", *more]
        self.pids[number] = self._nursery.start(main, self._folder / f"log-{number}", *arguments)

    def both(self) -> None:
        """Start one, and the other once that one serves."""
        self.start(0)
        until("the first serves", lambda: self.health(0) == SERVING)
        self.start(1)
        until("the second waits", lambda: self.health(1) == WAITING)

    def leads_now(self, number: int) -> bool:
        return self.leads == number

    def await_standby(self, number: int) -> None:
        until("it waits", lambda: self.health(number) == WAITING)

    def signal(self, number: int, what: signal.Signals) -> None:
        os.kill(self.pids[number], what)

    def code(self, number: int) -> int:
        """Wait for its end; return the exit code, negative for a signal."""
        return self._nursery.wait(self.pids.pop(number))

    def log(self, number: int) -> str:
        return (self._folder / f"log-{number}").read_text()

    def token(self, name: str) -> str:
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(sqlite3.connect(f"file:{self.data / database.FILE}?mode=ro", uri=True, timeout=30.0)) as db:
            return db.execute(sql, values).fetchall()

    def mark(self) -> Mark:
        return Mark.from_bytes(self.read("SELECT value FROM meta WHERE key = ?", KEY)[0][0])

    def health(self, number: int) -> int:
        with grpc.insecure_channel(self.addresses[number], [("grpc.use_local_subchannel_pool", 1)]) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            try:
                return int(stub.Check(health_pb2.HealthCheckRequest(), timeout=5.0).status)
            except grpc.RpcError:
                return -1

    def end(self) -> None:
        for number in list(self.pids):
            self.signal(number, signal.SIGKILL)
            self.code(number)


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("scheduler.__main__", "tests.scheduler.merciful") as found:
        yield found


@pytest.fixture
def pair(nursery: Nursery, tmp_path: Path) -> Iterator[Pair]:
    found = Pair(nursery, tmp_path)
    yield found
    found.end()


def test_a_standby_says_so_and_to_those_it_knows_where_the_leader_is(pair: Pair) -> None:
    """Its health is NOT_SERVING; a stranger learns nothing else, who has a token the address."""
    pair.both()
    leader = {"leader": pair.addresses[0]}
    with Client(pair.address, pair.token("vendor-acme"), timeout_s=60.0) as acme:
        # Made after the standby has begun to wait.
        made, revoked = [acme.api_keys.create(api_key_pb2.ApiKey(role="vendor")) for _ in range(2)]
        acme.api_keys.revoke(revoked.api_key.name)
    wrong = made.secret[:-1] + ("a" if made.secret[-1] != "a" else "b")
    for token, told in (
        ("no token at all", {}), (pair.token("operator"), leader), (made.secret, leader), (revoked.secret, {}),
        (wrong, {}),
    ):  # fmt: skip
        with Client(pair.addresses[1], token, timeout_s=30.0) as client, pytest.raises(PalaestraError) as caught:
            client.venue()
        assert caught.value.reason == "NOT_LEADER"
        assert caught.value.metadata == told
        assert (pair.addresses[0] in str(caught.value)) is bool(told)
    pair.signal(1, signal.SIGTERM)
    assert pair.code(1) == 0
    assert pair.health(0) == SERVING


def test_a_second_scheduler_that_is_no_standby_is_refused_with_the_first_s_address(
    pair: Pair, nursery: Nursery, tmp_path: Path
) -> None:
    pair.start(0)
    until("the first serves", lambda: pair.health(0) == SERVING)
    log = tmp_path / "second"
    arguments = ["--venue", str(tmp_path / "venue.toml"), "--data", str(pair.data), "--listen", "127.0.0.1:0"]

    assert nursery.wait(nursery.start("scheduler.__main__:main", log, *arguments)) == 2
    assert f"is in use by the scheduler with process id {pair.pids[0]} at {pair.addresses[0]}" in log.read_text()
    assert "Traceback" not in log.read_text()


def test_an_orderly_end_hands_over_and_no_call_fails(pair: Pair) -> None:
    """A client that submits all the while, each job once, has an answer to each."""
    pair.both()
    ending = threading.Event()
    names: list[str] = []
    failures: list[PalaestraError] = []

    def submit() -> None:
        with Client(pair.address, pair.token("vendor-acme"), timeout_s=60.0) as client:
            while not ending.is_set():
                try:
                    names.append(client.submit(job()).name)
                except PalaestraError as error:
                    failures.append(error)

    def some_more() -> None:
        before = len(names)
        until("jobs are taken", lambda: len(names) > before + 20)

    threads = [threading.Thread(target=submit) for _ in range(2)]
    for thread in threads:
        thread.start()
    for leader in (0, 1):
        some_more()
        pair.signal(leader, signal.SIGTERM)
        assert pair.code(leader) == 0
        until("the other one leads", partial(pair.leads_now, 1 - leader))
        pair.start(leader)
        pair.await_standby(leader)
    some_more()
    ending.set()
    for thread in threads:
        thread.join()

    assert not failures
    assert sorted(names) == sorted(f"vendors/acme/jobs/{uid}" for (uid,) in pair.read("SELECT uid FROM job"))


@pytest.mark.slow
def test_no_answer_is_lost_and_nothing_is_there_twice_when_standbys_take_over(pair: Pair) -> None:
    """kill -9 of whoever leads, six times among 600 jobs of five callers that know both."""
    pair.both()
    metadata = authorization(pair.token("vendor-acme"))
    took_s, epochs = [], [pair.mark().epoch]
    with Crowd(pair.address, metadata, 600) as crowd:
        for number in range(6):
            crowd.share = (number + 1) / 7
            crowd.await_answer()
            leader = pair.leads
            started_s = time.monotonic()
            pair.signal(leader, signal.SIGKILL)
            took_s.append(first_answer(pair.address, metadata, started_s))
            assert pair.code(leader) == -signal.SIGKILL
            assert pair.leads == 1 - leader
            epochs.append(pair.mark().epoch)
            pair.start(leader)
            pair.await_standby(leader)
        crowd.finish()
        there = listed(pair.address, metadata)
    pair.end()

    check(crowd, there, pair.data)
    assert epochs == list(range(1, 8)), "one for each leader"
    print(
        f"a standby answers after kill -9: median {statistics.median(took_s):.2f} s of {len(took_s)} (bar: {BAR_S} s)"
    )


def test_a_leader_that_was_stopped_and_overtaken_commits_nothing_more_and_ends(pair: Pair) -> None:
    """It has a call and a stream when it goes on; both are refused, its epoch is over, and nothing is there of it."""
    pair.both()
    operator, acme = authorization(pair.token("operator")), pair.token("vendor-acme")
    with grpc.insecure_channel(pair.addresses[0]) as channel:
        stub: Any = venue_service_pb2_grpc.VenueServiceStub(channel)  # type: ignore[no-untyped-call]
        jobs: Any = job_service_pb2_grpc.JobServiceStub(channel)  # type: ignore[no-untyped-call]
        events = stub.WatchEvents(venue_service_pb2.WatchEventsRequest(), metadata=operator)
        next(events)
        pair.signal(0, signal.SIGSTOP)
        request = job_service_pb2.SubmitJobRequest(parent="vendors/acme", job=job(), request_id=ids.new_request_id())
        late = jobs.SubmitJob.future(request, timeout=2 * PATIENCE_S, metadata=authorization(acme))
        until("the other one leads", lambda: pair.mark().address == pair.addresses[1])
        until("the other one serves", lambda: pair.health(1) == SERVING)
        with Client(pair.address, acme, timeout_s=60.0) as other:
            until("it takes a job", lambda: other.submit(job()).name)
        pair.signal(0, signal.SIGCONT)
        assert pair.code(0) == 3
        with pytest.raises(grpc.RpcError) as caught:
            for _ in events:
                pass
        refused = from_rpc(late.exception())

    assert "another one leads in epoch 2" in pair.log(0)
    assert "Traceback" not in pair.log(0)
    assert from_rpc(caught.value).reason in ("NOT_LEADER", "SHUTTING_DOWN")
    assert refused.reason in ("NOT_LEADER", "SHUTTING_DOWN"), refused
    assert pair.mark() == Mark(2, pair.mark().instance, pair.addresses[1])
    assert pair.read("SELECT count(*) FROM job") == [(1,)], "that of the new leader alone"


@pytest.mark.slow
def test_a_leader_that_stays_stopped_is_ended_and_clients_go_on(nursery: Nursery, tmp_path: Path) -> None:
    """With the time to live that venues have; printed."""
    pair = Pair(nursery, tmp_path, ttl_s=2.5)
    pair.start(0, "scheduler.__main__:main")
    until("the first serves", lambda: pair.health(0) == SERVING)
    pair.start(1, "scheduler.__main__:main")
    until("the second waits", lambda: pair.health(1) == WAITING)
    with Client(pair.address, pair.token("vendor-acme"), timeout_s=60.0) as client:
        client.submit(job())
        started_s = time.monotonic()
        pair.signal(0, signal.SIGSTOP)
        client.submit(job())
        took_s = time.monotonic() - started_s

        assert pair.code(0) == -signal.SIGKILL
        client.submit(job())
    assert pair.read("SELECT count(*) FROM job") == [(3,)]
    print(f"a client of both has an answer after SIGSTOP of the leader: {took_s:.2f} s (bar: {BAR_S} s)")
    pair.end()


def test_of_two_standbys_exactly_one_takes_over(pair: Pair) -> None:
    pair.both()
    pair.addresses.append(free_address())
    pair.start(2)
    until("the third waits", lambda: pair.health(2) == WAITING)
    pair.signal(0, signal.SIGKILL)
    pair.code(0)
    until("another one serves", lambda: SERVING in (pair.health(1), pair.health(2)))

    winner = pair.leads
    loser = 3 - winner
    assert winner in (1, 2)
    assert (pair.health(winner), pair.health(loser)) == (SERVING, WAITING)
    assert pair.mark().epoch == 2
    pair.signal(winner, signal.SIGKILL)
    pair.code(winner)
    until("the last one serves", lambda: pair.health(loser) == SERVING)
    assert pair.mark().epoch == 3


def test_after_a_take_over_every_lease_has_a_full_time_of_grace_and_no_unit_is_granted_twice(pair: Pair) -> None:
    """A host and a runner come to the new leader; the lease is the same, and a second job does not get the unit."""
    pair.both()
    with Client(pair.address, pair.token("vendor-acme"), timeout_s=60.0) as client:
        with Floor(pair):
            client.submit(job())
            (lease,) = until("granted", lambda: pair.read("SELECT id, epoch, expire_ns FROM lease JOIN lease_unit ON "
                                                          "lease_id = id"))  # fmt: skip
            second = client.submit(job()).name
        before_ns = time.time_ns()
        pair.signal(0, signal.SIGKILL)
        pair.code(0)
        with Floor(pair):
            assert client.job(second).name == second
            held = pair.read("SELECT lease_id, epoch, expire_ns FROM lease JOIN lease_unit ON lease_id = id")

    assert [row[:2] for row in held] == [lease[:2]], "the same lease, the same epoch, and no other"
    assert held[0][2] >= before_ns + int(LEASE_TTL_S * 1e9)
    graced = pair.read("SELECT resource FROM event WHERE kind = 'lease.graced'")
    assert len(graced) == 1


class Floor:
    """A host with the one unit and a runner, both as plain streams to whoever leads."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._channel = grpc.insecure_channel(target(pair.address), routing(pair.address))
        self._ended = threading.Event()

    def __enter__(self) -> "Floor":
        hosts: Any = host_service_pb2_grpc.HostServiceStub(self._channel)  # type: ignore[no-untyped-call]
        runners: Any = runner_service_pb2_grpc.RunnerServiceStub(self._channel)  # type: ignore[no-untyped-call]
        hello = host_service_pb2.HostHello(
            host="h", instance="i", address="127.0.0.1:1",
            units=[host_service_pb2.UnitDeclaration(
                unit="venues/hall/units/arm-1", robot_model="own_arm", robot_class="arm", maker="Own", joint_count=3
            )],
        )  # fmt: skip

        def requests() -> Iterator[host_service_pb2.ConnectRequest]:
            yield host_service_pb2.ConnectRequest(hello=hello)
            self._ended.wait()

        self._connect = hosts.Connect(requests(), metadata=authorization(self._pair.token("host")), wait_for_ready=True)
        next(self._connect)
        watch = runner_service_pb2.WatchAssignmentsRequest(
            runner="r", instance="r/one", sim_slots=1, tasks=[], motions=["sway"], robot_models=["own_arm"]
        )
        self._watch = runners.WatchAssignments(
            watch, metadata=authorization(self._pair.token("runner")), wait_for_ready=True
        )
        next(self._watch)
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._channel.close()
