"""Courses of units: the one along a served policy, which never waits for its server."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from palaestra import jobs
from runner.collect import collect
from runner.course import Course, Seen, ServedCourse, course_of
from runner.errors import AttemptError, Stopped
from sim.body import body_of
from sim.catalog import find
from sim.env.openpi import STATE
from sim.env.wire import pack, unpack
from store import ACTION, read_episode
from store import STATE as POSITION
from tests.runner.desk import Desk, attempt_at
from tests.runner.floor import A, B, floor
from tests.sim.policy_server import ABOUT, answering, server

PATIENCE_S = 60.0
ENTRY = find("own_arm")
HOME = body_of(ENTRY.model(), ENTRY.robot_spec()).home_q
SEEN = Seen(0.0, HOME, np.zeros(7), None)


def job(address: str, **fields: Any) -> Any:
    policy = {"openpi": address, "chunk_steps": 3, **fields.pop("policy", {})}
    return jobs.collect(policy=policy, policy_task="reach", robot_model="own_arm", **fields)


def course(address: str, folder: Path, **policy: Any) -> Course:
    units = [jobs.unit(robot_model="own_arm")]
    return course_of(attempt_at(Desk(), folder, job(address, policy=policy, units=units)), "own_arm", 0)


def until(course: Course, done: Callable[[np.ndarray], bool]) -> np.ndarray:
    """Ask for targets until one is as wanted; each answer comes at once."""
    pause = threading.Event()
    for _ in range(round(PATIENCE_S / 0.01)):
        target = course.target(0.0, SEEN, HOME)
        if done(target):
            return target
        pause.wait(0.01)
    raise AssertionError("no such target came")


def moved(target: np.ndarray) -> bool:
    return bool((target != HOME).all())


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    opened = threading.Event()
    yield opened
    opened.set()


def gated(gate: threading.Event, asked: list[Any]) -> Any:
    """A server that answers nothing before the gate is open."""

    def handler(socket: Any) -> None:
        socket.send(pack(ABOUT))
        for message in socket:
            asked.append(unpack(message))
            gate.wait(PATIENCE_S)
            socket.send(pack({"actions": np.full((4, 7), 0.5)}))

    return handler


def test_until_the_server_answers_the_joints_hold(gate: threading.Event, tmp_path: Path) -> None:
    asked: list[Any] = []
    with server(gated(gate, asked)) as address, closing(course(address, tmp_path)) as along:
        along.begin(0)
        for _ in range(50):
            assert along.target(0.0, SEEN, HOME) is HOME
        gate.set()
        until(along, moved)
        # The rest of the chunk is there: nobody is asked, nothing is waited for.
        assert all(moved(along.target(0.0, SEEN, HOME)) for _ in range(2))
        assert len(asked) == 1
        assert along.target(0.0, SEEN, HOME) is HOME
        until(along, moved)

    assert len(asked) == 2
    assert asked[0]["prompt"] == along.title
    assert asked[0][STATE].dtype == np.float32


def test_an_answer_to_the_last_episode_is_not_carried_out_in_the_next(gate: threading.Event, tmp_path: Path) -> None:
    asked: list[Any] = []
    with server(gated(gate, asked)) as address, closing(course(address, tmp_path)) as along:
        along.begin(0)
        along.target(0.0, SEEN, HOME)
        along.begin(1)
        gate.set()
        until(along, moved)

    assert len(asked) == 2


@pytest.mark.parametrize(
    ("handler", "retryable", "message"),
    [
        (lambda socket: socket.close(), True, "looked for it for"),
        (answering(lambda _: pack({"actions": np.zeros((1, 3))})), False, "3 numbers"),
        (answering(lambda _: "no such camera"), False, "no such camera"),
    ],
)
def test_a_server_that_is_lost_or_answers_nonsense_ends_the_course(
    handler: Callable[[Any], None], retryable: bool, message: str, tmp_path: Path
) -> None:
    with server(handler) as address, closing(course(address, tmp_path, outage_s=0.2)) as along:
        along.begin(0)
        with pytest.raises(AttemptError, match=message) as lost:
            until(along, moved)

    assert (lost.value.reason, lost.value.retryable) == ("POLICY_SERVER_LOST", retryable)


def test_a_course_is_let_go_of_while_its_server_still_thinks(gate: threading.Event, tmp_path: Path) -> None:
    with server(gated(gate, [])) as address:
        along = course(address, tmp_path, timeout_s=100.0)
        assert isinstance(along, ServedCourse)
        along.target(0.0, SEEN, HOME)
        asked = along._asked
        along.close()
        assert asked is not None
        # Its thread gives up by itself, long before the server's time is over.
        with pytest.raises(Exception, match="not waited for"):
            asked.result(PATIENCE_S)


def test_where_the_venue_does_not_call_no_unit_is_driven(tmp_path: Path) -> None:
    with pytest.raises(AttemptError) as refused:
        course("ws://203.0.113.9:8000", tmp_path)

    assert (refused.value.reason, refused.value.retryable) == ("POLICY_SERVER_REFUSED", False)


def test_one_job_drives_units_and_worlds_by_its_claim_alone(desk: Desk, tmp_path: Path) -> None:
    """Two units, until the policy itself sees that both have moved; then two worlds."""
    stop, went = threading.Event(), threading.Barrier(2, action=lambda: stop.set())

    def driving(socket: Any) -> None:
        socket.send(pack(ABOUT))
        first: np.ndarray | None = None
        for count, message in enumerate(socket):
            seen = unpack(message)[STATE]
            first = seen if first is None else first
            # In small steps: the plant behind this floor rests to the last bit, and a jump from there looks like a
            # frozen encoder.
            socket.send(pack({"actions": np.full((1, 9), min(0.01 * count, 0.5))}))
            if np.abs(seen - first).max() > 0.05 and not stop.is_set():
                went.wait(PATIENCE_S)

    with server(driving) as address, floor(tmp_path / "state") as hall:
        units = [jobs.unit(robot_model="own_arm", count=2)]
        lease = {"lease": {"name": "lease-1"}, "lease_token": "token-1", "endpoints": [hall.grant(A), hall.grant(B)]}
        attempt = attempt_at(desk, tmp_path, job(address, units=units, episode_s=600.0), stop=stop, **lease)
        with pytest.raises(Stopped):
            collect(attempt)
    others = Desk()
    with server(answering(lambda _: pack({"actions": np.full((3, 9), 0.5)}))) as address:
        collect(attempt_at(others, tmp_path, job(address, worlds=2, episode_s=0.2)))

    assert sorted(episode.unit for episode in desk.episodes.values()) == [A, B]
    for entry in desk.episodes.values():
        episode = read_episode(attempt.objects.path_of(entry.content.sha256))
        assert np.ptp(episode.signals[ACTION], axis=0).max() > 0.01
        assert np.ptp(episode.signals[POSITION], axis=0).max() > 0.01
    assert len(others.episodes) == 2
