"""What a runner is told: everything at first, in bounded messages, and then what changes."""

import asyncio
import random
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra.v1 import job_pb2, runner_service_pb2
from runner.wanted import Wanted
from scheduler import assignments
from scheduler.assignments import Attempt, difference
from scheduler.commands import ending
from scheduler.guard import _caller
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.services.runners import MESSAGE_BYTES, RunnerService
from tests.scheduler.site import PATIENCE_S, Site, job, play

on_both = pytest.mark.usefixtures("each_backend")
SLOTS = 40


class Runner:
    """One stream of assignments, read all the time, and what a runner makes of it."""

    def __init__(self, site: Site, instance: str = "r/one", *, sim_slots: int = SLOTS) -> None:
        _caller.set(Identity(Role.RUNNER, "", "token"))
        request = runner_service_pb2.WatchAssignmentsRequest(
            runner=instance.partition("/")[0], instance=instance, sim_slots=sim_slots
        )
        self._stream: Any = RunnerService(site.core).WatchAssignments(request, None)
        self._task = asyncio.create_task(self._read())
        self.messages: list[runner_service_pb2.WatchAssignmentsResponse] = []
        self.wanted = Wanted()

    @classmethod
    async def connected(cls, site: Site, instance: str = "r/one", *, sim_slots: int = SLOTS) -> "Runner":
        found = cls(site, instance, sim_slots=sim_slots)
        await found.until(lambda: found.wanted.complete)
        return found

    async def _read(self) -> None:
        async for data in self._stream:
            message = runner_service_pb2.WatchAssignmentsResponse.FromString(data)
            self.messages.append(message)
            self.wanted.take(message)

    @property
    def names(self) -> set[str]:
        return set(self.wanted.assignments)

    def told(self, attempt: str) -> int:
        """Return in how many messages an attempt was assigned."""
        return sum(one.attempt == attempt for message in self.messages for one in message.assignments)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                assert not self._task.done(), self._task
                await asyncio.sleep(0.005)

    async def gone(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._stream.aclose()


def live(site: Site, instance: str = "r/one") -> set[str]:
    """Return the attempts that a runner should carry out, as the database has them."""
    rows = site.rows(
        """
        SELECT j.vendor, j.uid, a.number FROM attempt a JOIN job j ON j.id = a.job_id
        WHERE a.state = 1 OR (a.state = 2 AND a.instance = ?)
        """,
        instance,
    )
    return {f"vendors/{row['vendor']}/jobs/{row['uid']}/attempts/{row['number']}" for row in rows}


async def granted(site: Site, runner: Runner, **fields: Any) -> str:
    """Submit a job for a sim slot; return its attempt once the runner was told."""
    name = (await site.submit(job(0, 1, **fields))).name
    await runner.until(lambda: any(attempt.startswith(name) for attempt in runner.names))
    return f"{name}/attempts/1"


def test_an_attempt_is_told_once_and_its_start_is_no_news(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        runner = await Runner.connected(site)
        one = await granted(site, runner)
        await site.start(site.get(one.rpartition("/attempts/")[0]))
        two = await granted(site, runner)
        # Two words of the stream that come for want of news: nothing is repeated in them.
        heard = len(runner.messages)
        await runner.until(lambda: len(runner.messages) >= heard + 2)
        assert runner.names == {one, two}
        assert (runner.told(one), runner.told(two)) == (1, 1)
        await runner.gone()

    play(tmp_path, scene)


@on_both
def test_a_wish_to_cancel_and_an_end_are_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By their events: nothing is left for the time when all is read again."""
    monkeypatch.setattr(assignments, "WHOLE_S", 1e9)

    async def scene(site: Site) -> None:
        runner = await Runner.connected(site)
        one, two = await granted(site, runner), await granted(site, runner)
        vendor, uid = "acme", one.split("/")[3]
        await site.start(site.get(one.rpartition("/attempts/")[0]))
        await site.run(ending.cancel(vendor, uid, ""))
        await runner.until(lambda: runner.wanted.assignments[one].cancel_requested)
        assert not runner.wanted.assignments[two].cancel_requested
        await site.finish(one, job_pb2.ATTEMPT_STATE_CANCELLED)
        await runner.until(lambda: runner.names == {two})
        await runner.gone()

    play(tmp_path, scene)


@on_both
def test_what_another_runner_has_taken_is_not_wanted_of_this_one_any_more(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        one, two = await Runner.connected(site), await Runner.connected(site, "s/two")
        attempt = await granted(site, one)
        await two.until(lambda: attempt in two.names)
        await site.start(site.get(attempt.rpartition("/attempts/")[0]), "s/two")
        await one.until(lambda: not one.names)
        assert two.names == {attempt}
        for runner in (one, two):
            await runner.gone()

    play(tmp_path, scene)


def test_a_stream_begins_with_everything_in_messages_that_any_runner_takes(tmp_path: Path) -> None:
    """One vendor's jobs are as long as jobs may be: another's work is told beside them all the same."""

    async def scene(site: Site) -> None:
        first = await Runner.connected(site)
        long = "x" * 60_000
        attempts = {await granted(site, first, display_name="", labels={"note": long}) for _ in range(SLOTS - 1)}
        attempts.add(await granted(site, first))
        await first.gone()
        again = await Runner.connected(site)
        assert again.names == attempts
        assert [message.complete for message in again.messages].count(True) == 1
        sizes = [message.ByteSize() for message in again.messages]
        assert max(sizes) < 2 * MESSAGE_BYTES
        assert sum(sizes) > 30 * MESSAGE_BYTES
        await again.gone()

    play(tmp_path, scene)


def test_what_changed_without_an_event_is_found_when_all_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "WHOLE_S", 1.5)

    async def scene(site: Site) -> None:
        runner = await Runner.connected(site)
        attempt = await granted(site, runner)
        await site.run(lambda tx: tx.db.execute("UPDATE attempt SET state = 2, instance = 'x/y'") and None)
        await runner.until(lambda: not runner.names)
        assert attempt in [name for message in runner.messages for name in message.ended]
        await runner.gone()

    play(tmp_path, scene)


def test_news_that_are_too_many_to_be_told_one_by_one_are_read_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assignments, "WHOLE_S", 1e9)
    monkeypatch.setattr(assignments, "KEPT", 2)

    async def scene(site: Site) -> None:
        runner = await Runner.connected(site)
        names = [(await site.submit(job(0, 1))).name for _ in range(10)]
        await runner.until(lambda: runner.names == {f"{name}/attempts/1" for name in names})
        await runner.gone()

    play(tmp_path, scene)


@on_both
@pytest.mark.parametrize("seed", range(3))
def test_whatever_happens_to_jobs_a_runner_ends_up_wanting_what_the_database_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Grants, starts by this runner and another, cancellations, ends, repeats after failures; in any order."""
    monkeypatch.setattr(assignments, "WHOLE_S", 1e9)
    chance = random.Random(seed)

    async def start(site: Site, attempt: str) -> None:
        await site.start(site.get(attempt.rpartition("/attempts/")[0]), chance.choice(("r/one", "s/two")))

    async def cancel(site: Site, attempt: str) -> None:
        await site.run(ending.cancel("acme", attempt.split("/")[3], ""))

    async def succeed(site: Site, attempt: str) -> None:
        await end(site, attempt, outcome=job_pb2.ATTEMPT_STATE_SUCCEEDED)

    async def fail(site: Site, attempt: str) -> None:
        failure = job_pb2.Failure(reason="RUNNER_LOST", message="gone", retryable=True)
        await end(site, attempt, outcome=job_pb2.ATTEMPT_STATE_FAILED, failure=failure)

    async def end(site: Site, attempt: str, **fields: Any) -> None:
        row = site.row("SELECT a.instance FROM attempt a JOIN job j ON j.id = a.job_id WHERE j.uid = ? AND a.state = 2",
                       attempt.split("/")[3])  # fmt: skip
        if row is not None:
            await site.finish(attempt, instance=row["instance"], **fields)

    async def scene(site: Site) -> None:
        runner, other = await Runner.connected(site), await Runner.connected(site, "s/two")
        acts: list[Callable[[Site, str], Coroutine[Any, Any, None]]] = [start, start, start, cancel, succeed, fail]
        for _ in range(80):
            attempts = sorted(live(site) | live(site, "s/two"))
            if not attempts or chance.random() < 0.35:
                await site.submit(job(0, 1))
            else:
                attempt = chance.choice(attempts)
                row = site.row("SELECT state FROM job WHERE uid = ?", attempt.split("/")[3])
                act = chance.choice(acts)
                if act is not start or row["state"] == job_pb2.JOB_STATE_GRANTED:
                    await act(site, attempt)
            if chance.random() < 0.2:
                await site.sweep(30.0)
        await site.settle()
        await runner.until(lambda: runner.names == live(site))
        await other.until(lambda: other.names == live(site, "s/two"))
        ended = [name for message in runner.messages for name in message.ended]
        # It has had many. Whether it has any in the end depends on when cycles came between.
        assert len(ended) > 10
        for one in (runner, other):
            await one.gone()

    play(tmp_path, scene)


def attempts_of(found: Mapping[int, tuple[int, int | None]]) -> dict[str, Attempt]:
    return {
        f"j{job_id}": Attempt(f"j{job_id}", job_id, number, cancel_ns, None, None, 1, "acme")
        for job_id, (number, cancel_ns) in found.items()
    }


some = st.dictionaries(
    st.integers(0, 6), st.tuples(st.integers(1, 3), st.sampled_from([None, 5])), max_size=6
).map(attempts_of)  # fmt: skip


@given(before=some, found=some)
def test_what_is_told_makes_of_what_was_told_before_what_there_is(
    before: dict[str, Attempt], found: dict[str, Attempt]
) -> None:
    due, ended = difference(before, found)
    kept = {attempt.name: attempt for attempt in before.values()}
    for attempt in ended:
        del kept[attempt.name]
    assert not {attempt.name for attempt in due if kept.get(attempt.name) == attempt}
    kept |= {attempt.name: attempt for attempt in due}
    assert kept == {attempt.name: attempt for attempt in found.values()}
