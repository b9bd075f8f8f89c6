"""Leadership in PostgreSQL: one leads, whoever is gone or hangs is followed, and what it had begun is undone."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("psycopg")

from database.address import Address
from palaestra.client import Client
from palaestra.errors import PalaestraError
from scheduler import database
from scheduler.database import DatabaseInUse
from scheduler.leadership import Blocked, Candidate, Leadership, Mark, Overtaken, Sight
from scheduler.postgres import opening
from scheduler.postgres.seat import SessionSeat
from scheduler.seat import lead
from scheduler.sql import Failed
from tests.cluster import Cluster
from tests.scheduler.nursery import Nursery
from tests.scheduler.site import job
from tests.scheduler.test_standby import SERVING, Pair, until

# Nobody beats in these tests: whoever is to be overtaken is, and nobody else, however slow the machine.
TTL_S = 3600.0
# Of schedulers as processes, which do: so long that a busy machine is not taken for one that hangs.
PAIR_TTL_S = 6.0


@pytest.fixture
def place(cluster: Cluster) -> Address:
    return cluster.fresh()


def taken(seat: SessionSeat) -> Leadership:
    """Take over from whoever leads, dead or not."""
    found = Candidate(seat, ttl_s=0.0).attempt()
    assert found is not None
    return found


def lead_at_last(place: Address) -> Leadership:
    """Lead as soon as the server has noticed that whoever led is gone."""
    give_up_s = time.monotonic() + 30.0
    while True:
        try:
            return lead(place, ttl_s=TTL_S)
        except DatabaseInUse:
            assert time.monotonic() < give_up_s


def test_an_empty_database_gets_its_tables_and_its_first_leader(cluster: Cluster) -> None:
    first = lead(cluster.fresh(empty=True), ttl_s=TTL_S)
    assert first.epoch == 1
    first.check()
    first.release()


def test_a_second_one_is_refused_and_told_who_leads_until_the_first_has_left(place: Address) -> None:
    first = lead(place, "127.0.0.1:7400", ttl_s=TTL_S)
    with pytest.raises(DatabaseInUse, match=r"session id \d+ at 127\.0\.0\.1:7400; with --standby"):
        lead(place, ttl_s=TTL_S)
    first.release()
    second = lead_at_last(place)

    assert second.epoch == first.epoch + 1
    second.release()


def test_of_many_that_take_over_at_once_exactly_one_does(place: Address) -> None:
    """Of the same mark, from threads that begin together; again and again."""
    with ExitStack() as ends:
        seats = [SessionSeat(place) for _ in range(4)]
        for seat in seats:
            ends.callback(seat.leave)
        before: Mark | None = None
        for epoch in range(1, 9):
            # All but the one that leads.
            others = [seat for seat in seats if before is None or seat.instance != before.instance]
            marks = [Mark(epoch, seat.instance, "") for seat in others]
            won: list[Mark] = []
            together = threading.Barrier(len(others))

            def attempt(seat: SessionSeat, mark: Mark, before: Mark | None, won: list[Mark], at: Any) -> None:
                # Finds out whether its session was ended, as that of a former leader is.
                seat.look()
                at.wait()
                # Who was kept waiting for too long has not taken it.
                with suppress(Blocked):
                    if seat.take(before, mark):
                        won.append(mark)

            threads = [
                threading.Thread(target=attempt, args=(seat, mark, before, won, together))
                for seat, mark in zip(others, marks, strict=True)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(won) == 1
            before = won[0]
            assert others[0].look().mark == before


def test_one_that_works_is_seen_to_and_one_that_left_is_not_there(place: Address) -> None:
    leadership, watcher = lead(place, ttl_s=TTL_S), SessionSeat(place)
    first = watcher.look()
    idle = watcher.look()
    leadership._seat.beat()
    beaten = watcher.look()
    leadership.release()
    give_up_s = time.monotonic() + 30.0
    while watcher.look().alive:
        assert time.monotonic() < give_up_s

    assert first == idle
    assert first.alive and beaten.alive and beaten.beats > first.beats
    assert watcher.look() == Sight(leadership.mark)
    watcher.leave()


def test_what_an_overtaken_writer_had_begun_is_undone_and_the_next_one_can_write_at_once(place: Address) -> None:
    """It holds the lock and an open transaction, and does nothing."""
    leadership, other = lead(place, ttl_s=TTL_S), SessionSeat(place)
    db = database.open_writer(place, leadership.mark.instance)
    db.execute("BEGIN IMMEDIATE")
    leadership.confirm(db)
    db.execute("INSERT INTO vendor VALUES ('late', '', 1.0)")
    after = taken(other)
    with closing(database.open_writer(place, after.mark.instance)) as new:
        new.execute("BEGIN IMMEDIATE")
        after.confirm(new)
        new.execute("INSERT INTO vendor VALUES ('new', '', 1.0)")
        with pytest.raises(Failed):
            db.execute("COMMIT")
        with pytest.raises(Overtaken):
            leadership.confirm(new)
        new.execute("COMMIT")
    with pytest.raises(Overtaken, match="led in epoch 1; another one leads in epoch 2"):
        leadership.check()
        leadership._look()
    with closing(opening.open_reader(place)) as reader:
        assert [row[0] for row in reader.execute("SELECT id FROM vendor")] == ["new"]
    db.close()
    leadership.release()
    other.leave()


def test_a_row_that_a_stopped_transaction_has_locked_is_not_waited_for(place: Address) -> None:
    """Its session is ended, and the next look takes over."""
    leadership, other = lead(place, ttl_s=TTL_S), SessionSeat(place)
    db = database.open_writer(place, leadership.mark.instance)
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE meta SET value = value WHERE key = 'leader'").fetchall()
    candidate = Candidate(other, ttl_s=0.0)
    give_up_s = time.monotonic() + 30.0
    while (found := candidate.attempt()) is None:
        assert time.monotonic() < give_up_s

    assert found.epoch == 2
    db.close()
    leadership.release()
    other.leave()


def test_a_seat_whose_session_was_ended_goes_on_in_a_new_one(place: Address) -> None:
    leadership, other = lead(place, ttl_s=TTL_S), SessionSeat(place)
    assert other.end(leadership.mark.instance)
    leadership._look()
    assert other.look().alive
    leadership.release()
    other.leave()


class PostgresPair(Pair):
    """Two schedulers on one database of a cluster."""

    def __init__(self, nursery: Nursery, folder: Path, place: Address, ttl_s: float = PAIR_TTL_S) -> None:
        super().__init__(nursery, folder, ttl_s)
        self._place = place

    def start(self, number: int, main: str = "scheduler.__main__:main", *more: str) -> None:
        super().start(number, main, "--database", self._place.url, *more)

    def read(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        with closing(opening.open_reader(self._place)) as db:
            return [tuple(row) for row in db.execute(sql, values)]


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery("scheduler.__main__") as found:
        yield found


@pytest.fixture
def pair(nursery: Nursery, tmp_path: Path, place: Address) -> Iterator[PostgresPair]:
    found = PostgresPair(nursery, tmp_path, place)
    yield found
    found.end()


def test_a_standby_takes_over_from_one_that_is_killed_and_from_one_that_is_stopped(pair: PostgresPair) -> None:
    """All jobs are there; the stopped one commits nothing more, and ends when it wakes."""
    pair.both()
    token = pair.token("vendor-acme")
    with Client(pair.addresses[1], token, timeout_s=30.0) as alone, pytest.raises(PalaestraError) as caught:
        alone.submit(job())
    assert caught.value.reason == "NOT_LEADER"
    with Client(pair.address, token, timeout_s=60.0) as client:
        names = [client.submit(job()).name]
        pair.signal(0, signal.SIGKILL)
        assert pair.code(0) == -signal.SIGKILL
        names.append(client.submit(job()).name)
        assert pair.leads_now(1)
        pair.start(0)
        pair.await_standby(0)
        pair.signal(1, signal.SIGSTOP)
        until("the other one leads", partial(pair.leads_now, 0))
        until("the other one serves", lambda: pair.health(0) == SERVING)
        # One that is stopped for good may be on another machine, where nobody ends it: its clients wait for it.
        with Client(pair.addresses[0], token, timeout_s=60.0) as other:
            names.append(other.submit(job()).name)
        pair.signal(1, signal.SIGCONT)
        # Whatever it is told first: that another one leads, or that its session was ended.
        assert pair.code(1) == 3, pair.log(1)
        assert pair.mark().epoch == 3
    assert sorted(names) == sorted(f"vendors/acme/jobs/{uid}" for (uid,) in pair.read("SELECT uid FROM job"))
