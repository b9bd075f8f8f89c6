"""The one writer: group commit, neighbours, full disks, bounded queues, callers that give up."""

import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.empty_pb2 import Empty

from palaestra.errors import PalaestraError
from scheduler import database
from scheduler.writer import Transaction, Writer

PATIENCE_S = 30.0


class Desk:
    """A writer on a table of numbers, that can be made to wait in the middle of a batch."""

    def __init__(self, folder: Path, depth_max: int = 100) -> None:
        self.path = folder / "db"
        self.db = database.open_writer(self.path)
        self.db.execute("CREATE TABLE number (value INTEGER PRIMARY KEY, padding BLOB)")
        self.reader = database.open_reader(self.path)
        self.committed: list[int] = []
        self.broken: list[BaseException] = []
        self.cycles = 0
        self.writer = Writer(
            self.db, now_ns=time.time_ns, cycle=self._cycle, committed=self.committed.append,
            broken=self.broken.append, depth_max=depth_max,
        )  # fmt: skip

    def _cycle(self, tx: Transaction) -> None:
        self.cycles += 1

    def numbers(self) -> list[int]:
        return [row[0] for row in self.reader.execute("SELECT value FROM number ORDER BY value")]

    def hold(self) -> Callable[[], None]:
        """Keep the writer busy until the answer is called, so that what is submitted meanwhile is one batch."""
        entered, release = threading.Event(), threading.Event()

        def wait(tx: Transaction) -> None:
            entered.set()
            assert release.wait(PATIENCE_S)

        self.writer.submit(wait)
        assert entered.wait(PATIENCE_S)
        return release.set


def insert(value: int, *, event: bool = False, padding: int = 0) -> Callable[[Transaction], int]:
    def command(tx: Transaction) -> int:
        tx.db.execute("INSERT INTO number VALUES (?, zeroblob(?))", (value, padding))
        if event:
            tx.event("number", str(value), Empty(), vendor=None, message="")
        return value

    return command


def refuse(value: int) -> Callable[[Transaction], None]:
    def command(tx: Transaction) -> None:
        insert(value, event=True)(tx)
        raise PalaestraError("NOT_FOUND", "refused after it wrote")

    return command


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    found = Desk(tmp_path)
    found.writer.start()
    yield found
    found.writer.stop()
    found.reader.close()


def test_an_answer_comes_only_after_the_commit(desk: Desk) -> None:
    """Whoever has an answer finds its effect with another connection."""
    seen: queue.Queue[list[int]] = queue.Queue()
    release = desk.hold()
    futures = [desk.writer.submit(insert(n)) for n in range(5)]
    for future in futures:
        future.add_done_callback(lambda _: seen.put(desk.numbers()))
    assert not any(future.done() for future in futures)
    release()

    assert [future.result(PATIENCE_S) for future in futures] == [0, 1, 2, 3, 4]
    assert [seen.get(timeout=PATIENCE_S) for _ in futures] == [[0, 1, 2, 3, 4]] * 5, "one commit for all"


def test_a_refused_command_leaves_no_trace_and_does_not_spoil_its_neighbours(desk: Desk) -> None:
    release = desk.hold()
    futures: list[Future[Any]] = [desk.writer.submit(c) for c in (insert(1), refuse(2), insert(3), insert(1))]
    release()

    assert futures[0].result(PATIENCE_S) == 1
    assert isinstance(futures[1].exception(PATIENCE_S), PalaestraError)
    assert futures[2].result(PATIENCE_S) == 3
    assert isinstance(futures[3].exception(PATIENCE_S), sqlite3.IntegrityError)
    assert desk.numbers() == [1, 3]
    assert not desk.broken


def test_a_mistake_in_one_commands_sql_is_its_own(desk: Desk) -> None:
    release = desk.hold()
    wrong = desk.writer.submit(lambda tx: tx.db.execute("SELECT nothing FROM nowhere"))
    right = desk.writer.submit(insert(1))
    release()

    assert isinstance(wrong.exception(PATIENCE_S), sqlite3.OperationalError)
    assert right.result(PATIENCE_S) == 1
    assert not desk.broken


def test_the_events_of_a_refused_command_are_not_announced(desk: Desk) -> None:
    """Its numbers are given again: a watcher that was told of them would miss the events that get them."""
    release = desk.hold()
    desk.writer.submit(insert(1, event=True))
    desk.writer.submit(refuse(2))
    release()
    desk.writer.submit(insert(3)).result(PATIENCE_S)
    last = desk.reader.execute("SELECT max(seq) FROM event").fetchone()[0]

    assert desk.committed[-1] == last == 1


def test_a_command_whose_caller_gave_up_is_not_run_and_hurts_nobody(desk: Desk) -> None:
    release = desk.hold()
    given_up = desk.writer.submit(insert(1))
    waiting = desk.writer.submit(insert(2))
    assert given_up.cancel()
    release()

    assert waiting.result(PATIENCE_S) == 2
    assert desk.writer.submit(insert(3)).result(PATIENCE_S) == 3
    assert desk.numbers() == [2, 3]


def test_a_command_that_is_running_cannot_be_given_up(desk: Desk) -> None:
    entered, release = threading.Event(), threading.Event()

    def slow(tx: Transaction) -> int:
        entered.set()
        assert release.wait(PATIENCE_S)
        return insert(1)(tx)

    future = desk.writer.submit(slow)
    assert entered.wait(PATIENCE_S)
    assert not future.cancel()
    release.set()

    assert future.result(PATIENCE_S) == 1


def test_a_full_disk_refuses_the_batch_keeps_reads_and_heals(desk: Desk) -> None:
    """PRAGMA max_page_count stands for the disk's size: SQLite answers SQLITE_FULL either way."""
    desk.writer.submit(insert(1)).result(PATIENCE_S)
    pages = desk.reader.execute("PRAGMA page_count").fetchone()[0]
    desk.writer.submit(lambda tx: tx.db.execute(f"PRAGMA max_page_count={pages + 2}").fetchone()).result(PATIENCE_S)
    release = desk.hold()
    futures = [desk.writer.submit(insert(n, padding=4096 * 8)) for n in (2, 3)]
    release()

    for future in futures:
        refusal = future.exception(PATIENCE_S)
        assert isinstance(refusal, PalaestraError)
        assert (refusal.reason, refusal.retry_after_s) == ("DISK_FULL", 5.0)
    assert desk.numbers() == [1]
    assert not desk.broken
    desk.writer.submit(lambda tx: tx.db.execute("PRAGMA max_page_count=1000000").fetchone()).result(PATIENCE_S)
    assert desk.writer.submit(insert(2, padding=4096 * 8)).result(PATIENCE_S) == 2
    assert desk.reader.execute("PRAGMA integrity_check").fetchone()[0] == "ok"


def test_more_than_the_queue_holds_is_refused_with_a_time_to_try_again(tmp_path: Path) -> None:
    desk = Desk(tmp_path, depth_max=3)
    desk.writer.start()
    release = desk.hold()
    accepted = [desk.writer.submit(insert(n)) for n in range(3)]
    with pytest.raises(PalaestraError) as caught:
        desk.writer.submit(insert(9))
    release()

    assert caught.value.reason == "QUEUE_FULL"
    assert caught.value.retry_after_s
    assert [future.result(PATIENCE_S) for future in accepted] == [0, 1, 2]
    desk.writer.stop()
    desk.reader.close()


def test_what_was_accepted_is_finished_before_the_end_and_nothing_is_accepted_after(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.writer.start()
    release = desk.hold()
    accepted = [desk.writer.submit(insert(n)) for n in range(3)]
    release()
    desk.writer.stop()

    assert [future.result(0) for future in accepted] == [0, 1, 2]
    with pytest.raises(PalaestraError, match="stopping"):
        desk.writer.submit(insert(4))
    desk.reader.close()


def test_a_cycle_follows_a_batch_that_asks_for_one_and_no_other(desk: Desk) -> None:
    def ask(tx: Transaction) -> None:
        tx.wants_cycle = True

    def ask_and_fail(tx: Transaction) -> None:
        tx.wants_cycle = True
        raise PalaestraError("NOT_FOUND", "no")

    desk.writer.submit(insert(1)).result(PATIENCE_S)
    desk.writer.submit(ask_and_fail).exception(PATIENCE_S)
    desk.writer.submit(insert(2)).result(PATIENCE_S)
    assert desk.cycles == 0
    desk.writer.submit(ask).result(PATIENCE_S)
    give_up_s = time.monotonic() + PATIENCE_S
    while desk.cycles == 0 and time.monotonic() < give_up_s:
        time.sleep(0.001)

    assert desk.cycles == 1


def test_while_another_process_holds_the_database_callers_are_told_so_and_nothing_is_lost(tmp_path: Path) -> None:
    """Nobody takes that for a disk that failed: the writer goes on once the other one lets go."""
    desk = Desk(tmp_path)
    desk.db.execute("PRAGMA busy_timeout=1")
    with closing(sqlite3.connect(desk.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        desk.writer.start()
        refusal = desk.writer.submit(insert(1)).exception(PATIENCE_S)
        assert isinstance(refusal, PalaestraError)
        assert (refusal.reason, refusal.code) == ("DATABASE_BUSY", grpc.StatusCode.UNAVAILABLE)
        assert refusal.retry_after_s
        assert not desk.broken
        other.execute("ROLLBACK")
    desk.db.execute(f"PRAGMA busy_timeout={int(1000 * PATIENCE_S)}")
    assert desk.writer.submit(insert(1)).result(PATIENCE_S) == 1
    desk.writer.stop()
    desk.reader.close()


def test_a_cycle_that_could_not_be_written_is_run_again_by_itself(tmp_path: Path) -> None:
    """Another process takes the database after the batch that wants the cycle, and gives it back after the refusal."""
    desk = Desk(tmp_path)
    desk.db.execute("PRAGMA busy_timeout=1")
    other = sqlite3.connect(desk.path, isolation_level=None, check_same_thread=False)
    refused, decided = threading.Event(), threading.Event()

    def want(tx: Transaction) -> None:
        tx.wants_cycle = True
        tx.event("number", "1", Empty(), vendor=None, message="")

    def is_read_only() -> bool:
        # Asked for each failure of a write.
        other.execute("ROLLBACK")
        refused.set()
        return False

    desk.writer._committed = lambda sequence: other.execute("BEGIN IMMEDIATE") and None
    desk.writer._is_read_only = is_read_only
    desk.writer._cycle = lambda tx: decided.set()
    desk.writer.start()
    desk.writer.submit(want).result(PATIENCE_S)
    assert refused.wait(PATIENCE_S)
    assert decided.wait(PATIENCE_S), "the cycle was forgotten"
    assert not desk.broken
    desk.writer.stop()
    desk.reader.close()
    other.close()


@pytest.mark.parametrize("ends", ["in order", "by its disk"])
def test_whoever_comes_while_the_writer_ends_is_answered(tmp_path: Path, ends: str) -> None:
    """The writer's thread ends after a command was let in and before it is in the queue."""
    desk = Desk(tmp_path)
    desk.writer.start()
    real = desk.writer._queue

    def fail(tx: Transaction) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    class Slow:
        def put(self, entry: Any) -> None:
            desk.writer._queue = real
            if ends == "in order":
                desk.writer.stop()
            else:
                desk.writer.submit(fail).exception(PATIENCE_S)
                desk.writer._thread.join(PATIENCE_S)
            assert not desk.writer._thread.is_alive()
            real.put(entry)

        def qsize(self) -> int:
            return 0

    desk.writer._queue = Slow()  # type: ignore[assignment]
    refusal = desk.writer.submit(insert(1)).exception(PATIENCE_S)
    assert isinstance(refusal, PalaestraError)
    assert refusal.reason == ("SHUTTING_DOWN" if ends == "in order" else "DISK_FAILED")
    desk.reader.close()
