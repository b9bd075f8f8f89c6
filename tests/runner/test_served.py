"""Policies that are served elsewhere, as an attempt calls them: the worlds' own results, and every way to lose them."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from palaestra.v1 import job_pb2
from runner.collect import collect
from runner.errors import AttemptError, Stopped
from runner.evaluate import evaluate
from runner.replay.world import verify
from runner.settings import Settings
from sim.env.openpi import STATE
from sim.env.wire import pack
from sim.tasks import find_task
from store import LocalObjects, read_episode
from tests.runner.desk import Desk, attempt_at
from tests.sim.policy_server import ABOUT, answering, server

PATIENCE_S = 60.0
DEFAULT = Settings("runner", "", "", Path(), Path()).policy_servers
TITLE = find_task("reach").title


def steady(observation: dict[str, Any]) -> bytes:
    """A policy: a chunk of two steps that depends on what it sees and is wider than the robot."""
    return pack({"actions": np.tile(np.tanh(observation[STATE].sum()) * np.ones(9), (2, 1))})


def judge(address: str, folder: Path, *, desk: Desk | None = None, **fields: Any) -> job_pb2.JobResult:
    policy = {"openpi": address, "chunk_steps": 2, "timeout_s": 20.0, **fields}
    return evaluate(attempt_at(desk or Desk(), folder, jobs.evaluate("reach", "own_arm", episodes=2, policy=policy)))


def test_a_served_policy_is_judged_and_its_episodes_run_again(tmp_path: Path) -> None:
    seen: list[Any] = []
    desk = Desk()
    with server(answering(lambda o: seen.append(o) or steady(o))) as address:
        first = judge(address, tmp_path, desk=desk, prompt="reach out")
        again = judge(address, tmp_path)

    assert (first.trials, first) == (2, again)
    assert {observation["prompt"] for observation in seen} == {"reach out", TITLE}
    objects = LocalObjects(tmp_path / "objects")
    for episode in desk.episodes.values():
        assert verify(read_episode(objects.path_of(episode.content.sha256))).same


def test_collection_follows_a_served_policy_too(desk: Desk, tmp_path: Path) -> None:
    with server(answering(steady)) as address:
        job = jobs.collect(policy={"openpi": address}, policy_task="reach", robot_model="own_arm", worlds=2, episodes=1)
        collect(attempt_at(desk, tmp_path, job))

    assert len(desk.episodes) == 2


def test_a_server_that_comes_back_is_asked_again_and_nothing_differs(tmp_path: Path) -> None:
    """It hangs up in the middle of each connection; the result is that of one which does not."""

    def failing(socket: Any) -> None:
        socket.send(pack(ABOUT))
        for count, message in enumerate(socket):
            if count == 40:
                return
            socket.send(answer(message))

    def answer(message: bytes) -> bytes:
        from sim.env.wire import unpack

        return steady(unpack(message))

    desk = Desk()
    with server(answering(steady)) as address:
        wanted = judge(address, tmp_path / "sound")
    with server(failing) as address:
        got = judge(address, tmp_path / "failing", desk=desk)

    assert got == wanted
    assert any("has gone" in line for line in desk.log)


@pytest.mark.parametrize(
    ("handler", "retryable", "message"),
    [
        (lambda socket: socket.close(), True, "looked for it for"),
        (answering(lambda _: "Traceback\nValueError: no such camera"), False, "no such camera"),
        (answering(lambda _: pack({"actions": np.full((1, 7), np.nan)})), False, "not finite"),
        (answering(lambda _: pack({"actions": np.zeros((1, 3))})), False, "3 numbers"),
    ],
)
def test_a_server_that_is_lost_or_answers_nonsense_is_named(
    handler: Callable[[Any], None], retryable: bool, message: str, tmp_path: Path
) -> None:
    with server(handler) as address, pytest.raises(AttemptError, match=message) as lost:
        judge(address, tmp_path, outage_s=0.2)

    assert (lost.value.reason, lost.value.retryable) == ("POLICY_SERVER_LOST", retryable)


def test_a_stop_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    """The server never answers, and its deadline is far away."""
    asked, over, stop = threading.Event(), threading.Event(), threading.Event()

    def silent(socket: Any) -> None:
        socket.send(pack(ABOUT))
        next(iter(socket))
        asked.set()
        over.wait(PATIENCE_S)

    def stopping() -> None:
        asked.wait(PATIENCE_S)
        stop.set()

    policy = {"timeout_s": 100.0}
    with server(silent) as address:
        threading.Thread(target=stopping).start()
        job = jobs.evaluate("reach", "own_arm", episodes=2, policy={"openpi": address, **policy})
        began_s = time.monotonic()
        with pytest.raises(Stopped):
            evaluate(attempt_at(Desk(), tmp_path, job, stop=stop))
        took_s = time.monotonic() - began_s
        over.set()
    assert took_s < PATIENCE_S


@pytest.mark.parametrize("allowed", [("gpu.example:8000",), DEFAULT], ids=["elsewhere", "by default"])
def test_only_addresses_that_the_venue_allows_are_called(allowed: tuple[str, ...], tmp_path: Path) -> None:
    called: list[Any] = []
    with server(answering(steady, seen=called)) as address:
        attempt = attempt_at(Desk(), tmp_path, jobs.evaluate("reach", "own_arm", policy={"openpi": address}))
        attempt.settings = replace(attempt.settings, policy_servers=allowed)
        with pytest.raises(AttemptError) as refused:
            evaluate(attempt)

    assert (refused.value.reason, refused.value.retryable) == ("POLICY_SERVER_REFUSED", False)
    assert called == []


def test_a_server_cannot_send_the_runner_elsewhere(tmp_path: Path) -> None:
    """It answers the handshake with a redirect to another server, which must not be called."""
    from websockets.datastructures import Headers
    from websockets.http11 import Response
    from websockets.sync.server import serve

    called: list[Any] = []
    with server(answering(steady, seen=called)) as elsewhere:

        def redirect(connection: Any, request: Any) -> Response:
            return Response(302, "Found", Headers([("Location", elsewhere), ("Content-Length", "0")]), b"")

        with serve(lambda _: None, "127.0.0.1", 0, process_request=redirect) as running:
            thread = threading.Thread(target=running.serve_forever)
            thread.start()
            try:
                with pytest.raises(AttemptError) as lost:
                    judge(f"ws://127.0.0.1:{running.socket.getsockname()[1]}", tmp_path, outage_s=0.1)
            finally:
                running.shutdown()
                thread.join()

    assert lost.value.reason == "POLICY_SERVER_LOST"
    assert called == []
