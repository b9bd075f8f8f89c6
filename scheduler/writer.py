"""The one writer: a thread that turns commands into grouped, durable transactions.

A command is a function of a Transaction. Commands that arrive together share one commit (up to 512 of them, what came
within 2 ms, or what was there with 256 changes), so that the disk's fsync is paid once; each runs in a savepoint of its
own, so that a refused one leaves no trace and does not spoil its neighbours. A command's future is resolved after the
commit, never before. Because everything that changes state passes here, the writer is also where grants are serialised.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from google.protobuf.message import Message

from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from scheduler import disk
from scheduler.leadership import Overtaken
from scheduler.snapshot.lasting import Lasting
from scheduler.sql import ERRORS, Connection, insert

log = logging.getLogger(__name__)
T = TypeVar("T")

BATCH_MAX = 512
BATCH_WAIT_S = 0.002
# Changes over which an fsync is spread thin enough.
BATCH_ENOUGH = 256
# After a cycle that took t, the next waits at least this many t, so that under a flood of commands deciding leaves them
# time: three quarters of the thread where nothing came of it, a third where something did, which had to be done anyway.
# In time of the processor: waits for the disk and for others' turns take nothing from the commands.
CYCLE_REST = 3.0
CYCLE_REST_AFTER_GRANTS = 0.5
# At least so long: many calls that come one by one would each bring one about, and most of what one for few jobs takes
# of the processor, it takes for a hundred too.
CYCLE_REST_MIN_S = 0.005
# After one that could not be written down, because the disk is full or somebody else holds the database.
CYCLE_AGAIN_S = 1.0
APPLIED = Failpoint("scheduler.command.applied", "a command has changed rows; its transaction is open")
COMMITTING = Failpoint("scheduler.commit.before", "all commands of a batch have run; nothing is committed")
COMMITTED = Failpoint("scheduler.commit.after", "a batch is committed; nobody has been told")
ANSWERING = Failpoint("scheduler.answer.before", "a batch is committed; this caller and those after it have no answer")
GRANTING = Failpoint("scheduler.cycle.before", "what was decided stands in the transaction; nothing is committed")
GRANTED = Failpoint("scheduler.cycle.after", "what was decided is committed; neither hosts nor runner know")


@dataclass
class Transaction:
    """What a command may use: the database inside the transaction, the time, and a place for events."""

    db: Connection
    now_ns: int
    last_seq: int = 0
    # Set by commands after which a waiting job might start.
    wants_cycle: bool = False
    # Set by a command that only repeats what was done before, so that it has done nothing.
    repeated: bool = False
    # What commands of this transaction found out for each other, under names of their own.
    memo: dict[str, Any] = field(default_factory=dict)
    # What they found out for those of later ones.
    lasting: Lasting | None = None
    # What is left to be done once before the commit, however many commands asked for it, under names of their own. What
    # a command put here is undone with it; so it is replaced, and never changed.
    at_commit: dict[str, Callable[["Transaction"], None]] = field(default_factory=dict)

    def event(self, kind: str, resource: str, body: Message, *, vendor: str | None, message: str) -> int:
        """Append an event and return its sequence number. vendor: its only reader besides operators; None for all."""
        cursor = self.db.execute(
            "INSERT INTO event (time_ns, kind, resource, vendor, message, body) VALUES (?, ?, ?, ?, ?, ?)",
            (self.now_ns, kind, resource, vendor, message, body.SerializeToString(deterministic=True)),
        )
        assert cursor.lastrowid is not None
        self.last_seq = cursor.lastrowid
        return cursor.lastrowid

    def events(self, rows: Sequence[tuple[str, str, str | None, str, bytes]]) -> int:
        """Append events, given by kind, resource, vendor, message and body; return the first one's sequence number.

        The others follow without a gap.
        """
        self.last_seq = insert(
            self.db,
            "INSERT INTO event (time_ns, kind, resource, vendor, message, body)",
            [(self.now_ns, *row) for row in rows],
        )
        return self.last_seq - len(rows) + 1


Command = Callable[[Transaction], T]
Item = TypeVar("Item")
Found = TypeVar("Found")


class Joint(Generic[Item, Found, T]):
    """A command that is run together with others of its kind that came next to it, in one savepoint.

    Args:
        run: Runs several; returns for each what it found or why it is refused. One that is refused leaves no trace.
        item: What `run` is given for this one.
        answer: Makes the command's result of what was found, outside of the transaction's way: it may only raise.
        changed: Whether what was found is that something was changed.
        size: How many changes it is.
    """

    def __init__(
        self,
        run: Callable[[Transaction, Sequence[Item]], Sequence[Found | PalaestraError]],
        item: Item,
        answer: Callable[[Found], T],
        changed: Callable[[Found], bool] = lambda found: True,
        size: int = 1,
    ) -> None:
        self.run = run
        self.item = item
        self.answer = answer
        self.changed = changed
        self.size = size

    def __call__(self, tx: Transaction) -> T:
        """Run it alone."""
        (found,) = self.run(tx, [self.item])
        if isinstance(found, PalaestraError):
            raise found
        return self.answer(found)


class Receiver(Protocol):
    """Waits for the result of a command; a Future of concurrent.futures is one."""

    def set_running_or_notify_cancel(self) -> bool:
        """Return whether anybody still waits; from then on somebody does."""
        ...

    def set_result(self, result: Any, /) -> None: ...

    def set_exception(self, exception: BaseException | None, /) -> None: ...


@dataclass(slots=True)
class _Entry:
    command: Command[Any]
    future: Receiver = field(default_factory=Future)


class Writer:
    """Runs commands on its own thread.

    Args:
        db: The connection of `open_writer`; from now on the writer's alone.
        now_ns: The clock.
        cycle: Command that grants what can be granted; run after a batch that wants it, in a transaction of its own.
        committed: Called on the writer's thread after each commit with the highest sequence number.
        answered: Called there when all commands of a commit have their results.
        broken: Called when the disk can no longer be trusted: nothing is written any more, and the process should end.
        is_read_only: Whether the disk can at present only be read.
        lasting: What commands of different transactions keep for each other, if they may.
        confirm: Raises Overtaken, in a transaction, if another scheduler leads; then nothing of it is kept.
    """

    def __init__(
        self,
        db: Connection,
        *,
        now_ns: Callable[[], int],
        cycle: Command[None],
        committed: Callable[[int], None],
        broken: Callable[[BaseException], None],
        is_read_only: Callable[[], bool] = lambda: False,
        confirm: Callable[[Connection], None] = lambda db: None,
        depth_max: int = 8192,
        lasting: Lasting | None = None,
        answered: Callable[[], None] = lambda: None,
    ) -> None:
        self._db = db
        self._now_ns = now_ns
        self._cycle = cycle
        self._committed = committed
        self._broken = broken
        self._is_read_only = is_read_only
        self._confirm = confirm
        self._disk_failed = False
        self._overtaken: Overtaken | None = None
        # The reason for which the disk took nothing the last time, if it did not.
        self._refused = ""
        # Put and taken without a lock that two threads would wait for each other at.
        self._queue: queue.SimpleQueue[_Entry | None] = queue.SimpleQueue()
        self._depth_max = depth_max
        self._lasting = lasting
        self._answered = answered
        self._stopped = False
        # Nobody takes from the queue any more.
        self._ended = False
        self._refusing = threading.Lock()
        self._cycle_wanted = False
        self._cycle_due_s = 0.0
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Finish what was accepted, then end the thread."""
        self._stopped = True
        self._queue.put(None)
        self._thread.join()

    def submit(self, command: Command[T], *, urgent: bool = False) -> "Future[T]":
        """Queue a command. A command whose future is cancelled before its turn is not run.

        urgent: our own book-keeping, such as a host that is gone; a flood of calls must not turn it away.
        The future fails with what the command raised, DISK_FULL, DISK_READ_ONLY, DATABASE_BUSY or DISK_FAILED. Raises
        QUEUE_FULL; SHUTTING_DOWN after `stop`, or after DISK_FAILED; Overtaken.
        """
        future: Future[T] = Future()
        self.send(command, future, urgent=urgent)
        return future

    def send(self, command: Command[Any], receiver: Receiver, *, urgent: bool = False) -> None:
        """Queue a command for whoever waits for its result. As `submit` otherwise."""
        if self._overtaken is not None:
            raise self._overtaken
        if self._stopped:
            raise PalaestraError("SHUTTING_DOWN", "the scheduler is stopping", retry_after_s=1.0)
        if not urgent and self._queue.qsize() >= self._depth_max:
            raise PalaestraError("QUEUE_FULL", "the scheduler's write queue is full", retry_after_s=0.2)
        self._queue.put(_Entry(command, receiver))
        if self._ended:
            # It may have come after the last look into the queue, between the questions above and now.
            self._refuse_all()

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:
            # Without this thread nothing would ever be answered again.
            log.exception("the writer failed")
            self._broken(error)
            raise
        finally:
            self._ended = True
            self._refuse_all()
            # Closing would write the log's pages to their places and try fsync again.
            if not self._disk_failed:
                self._db.close()

    def _serve(self) -> None:
        while not self._disk_failed and self._overtaken is None:
            wait_s = self._cycle_due_s - time.monotonic() if self._cycle_wanted else None
            batch, stopping = self._gather(wait_s)
            self._turn(batch, decide=not stopping)
            if stopping:
                return

    def _turn(self, batch: Sequence[_Entry], *, decide: bool = True) -> None:
        """Do one round of the writer's work: commit a batch, then decide if that is wanted and due."""
        if batch:
            self._cycle_wanted = self._commit(batch) or self._cycle_wanted
        ended = self._disk_failed or self._overtaken is not None
        if decide and self._cycle_wanted and time.monotonic() >= self._cycle_due_s and not ended:
            started_s = time.thread_time()
            granted = self._run_cycle()
            self._cycle_wanted = granted is None
            took_s = time.thread_time() - started_s
            rest_s = max(CYCLE_REST_MIN_S, took_s * (CYCLE_REST_AFTER_GRANTS if granted else CYCLE_REST))
            self._cycle_due_s = time.monotonic() + (CYCLE_AGAIN_S if granted is None else rest_s)

    def _gather(self, timeout_s: float | None) -> tuple[list[_Entry], bool]:
        """Wait for commands, for ever or for a time; return those that came and whether to stop."""
        try:
            wait = timeout_s is None or timeout_s > 0
            first = self._queue.get(timeout=timeout_s) if wait else self._queue.get_nowait()
        except queue.Empty:
            return [], False
        if first is None:
            return [], True
        until_s = time.monotonic() + BATCH_WAIT_S
        batch = [first]
        stopping = self._take(batch)
        # Wait for company only if there is some, and not enough: a lone caller should not pay for a crowd. And asleep:
        # to be woken by each that comes would take the interpreter's lock from those who bring them.
        wait_s = until_s - time.monotonic()
        if len(batch) > 1 and not stopping and wait_s > 0 and sum(map(_size, batch)) < BATCH_ENOUGH:
            time.sleep(wait_s)
            stopping = self._take(batch)
        return batch, stopping

    def _take(self, batch: list[_Entry]) -> bool:
        """Add what is there to a batch, as far as it goes; return whether to stop."""
        while len(batch) < BATCH_MAX:
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                break
            if entry is None:
                return True
            batch.append(entry)
        return False

    def _commit(self, batch: Sequence[_Entry]) -> bool:
        """Run a batch in one transaction; return whether a cycle is wanted after it."""
        # From here on a future can no longer be cancelled: a caller that gave up has no say over a running command.
        batch = [entry for entry in batch if entry.future.set_running_or_notify_cancel()]
        transaction = Transaction(self._db, self._now_ns(), lasting=self._lasting)
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._confirm(self._db)
            results = [result for group in _joint(batch) for result in self._run_group(group, transaction)]
            for last in transaction.at_commit.values():
                last(transaction)
            COMMITTING()
            self._db.execute("COMMIT")
        except Overtaken as error:
            self._end(error)
            for entry in batch:
                entry.future.set_exception(error)
            self._answered()
            return False
        except ERRORS as error:
            self._fail(batch, error)
            return False
        COMMITTED()
        if self._refused and transaction.last_seq:
            log.warning("what is written is taken again")
            self._refused = ""
        # First the news, then the answers: who has an answer finds its event.
        if transaction.last_seq:
            self._committed(transaction.last_seq)
        for entry, result, error_of_one in results:
            ANSWERING()
            if error_of_one is None:
                entry.future.set_result(result)
            else:
                entry.future.set_exception(error_of_one)
        self._answered()
        return transaction.wants_cycle

    def _run_group(
        self, group: Sequence[_Entry], transaction: Transaction
    ) -> list[tuple[_Entry, Any, BaseException | None]]:
        """Run commands together that can be; each alone if that fails, so that none is spoilt by its neighbours."""
        if len(group) > 1:
            first = group[0].command
            assert isinstance(first, Joint)
            items = [entry.command.item for entry in group if isinstance(entry.command, Joint)]
            found, error = self._run_one(lambda tx: first.run(tx, items), transaction)
            if error is None:
                return [(entry, *_answered(entry.command, one)) for entry, one in zip(group, found, strict=True)]
        return [(entry, *self._run_one(entry.command, transaction)) for entry in group]

    def _run_one(self, command: Command[Any], transaction: Transaction) -> tuple[Any, BaseException | None]:
        self._db.execute("SAVEPOINT command")
        last_seq, wants_cycle = transaction.last_seq, transaction.wants_cycle
        if self._lasting is not None:
            self._lasting.begin()
        at_commit = transaction.at_commit.copy()
        try:
            result = command(transaction)
            APPLIED()
            # Here, where its last statement may yet be refused.
            self._db.execute("RELEASE command")
        except Exception as error:
            if disk.is_fatal(error):
                raise
            self._db.execute("ROLLBACK TO command")
            self._db.execute("RELEASE command")
            # Its events are undone and their numbers will be given again: nobody may be told of them.
            transaction.last_seq, transaction.wants_cycle = last_seq, wants_cycle
            transaction.at_commit = at_commit
            transaction.memo.clear()
            if self._lasting is not None:
                self._lasting.undo()
            if not isinstance(error, PalaestraError):
                log.exception("command failed")
            return None, error
        return result, None

    def _run_cycle(self) -> bool | None:
        """Decide, and write down what is decided; return whether that was anything, None if it could not be written."""
        transaction = Transaction(self._db, self._now_ns())
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._confirm(self._db)
            self._cycle(transaction)
            GRANTING()
            self._db.execute("COMMIT")
        except Overtaken as error:
            self._end(error)
            return False
        except Exception as error:
            if disk.is_fatal(error):
                log.error("scheduling cycle failed: %s", error)
                self._give_up(error)
                return None
            log.exception("scheduling cycle failed")
            self._rollback()
            return False
        GRANTED()
        if transaction.last_seq:
            self._committed(transaction.last_seq)
        return bool(transaction.last_seq)

    def _fail(self, batch: Sequence[_Entry], error: Exception) -> None:
        reason = self._give_up(error)
        # Once: our own sweep would say so several times a second, to a log on the same disk.
        if reason != self._refused:
            log.error("commit failed, %s: %s", reason, error)
        self._refused = reason
        for entry in batch:
            entry.future.set_exception(disk.refusal(reason))
        self._answered()

    def _give_up(self, error: Exception) -> str:
        """Undo the transaction that the disk did not take; return why, having ended all writing if that must be."""
        reason = disk.judge(error, read_only=self._is_read_only())
        try:
            self._rollback()
        except ERRORS as another:
            log.error("rollback failed: %s", another)
            reason = disk.FAILED
        if reason == disk.FAILED:
            self._disk_failed = self._stopped = True
            self._broken(error)
        return reason

    def _end(self, error: Overtaken) -> None:
        """Undo the transaction and begin no other one."""
        self._rollback()
        self._overtaken = error
        self._broken(error)

    def _refuse_all(self) -> None:
        """Answer those who wait; none of it was begun."""
        stopping = PalaestraError("SHUTTING_DOWN", "the scheduler is stopping", retry_after_s=1.0)
        refusal = self._overtaken or (disk.refusal(disk.FAILED) if self._disk_failed else stopping)
        # At the end the writer's thread does this, and whoever came too late for it.
        with self._refusing:
            while True:
                try:
                    entry = self._queue.get_nowait()
                except queue.Empty:
                    self._answered()
                    return
                if entry is not None and entry.future.set_running_or_notify_cancel():
                    entry.future.set_exception(refusal)

    def _rollback(self) -> None:
        if self._lasting is not None:
            self._lasting.forget()
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")


def _size(entry: _Entry) -> int:
    return entry.command.size if isinstance(entry.command, Joint) else 1


def _joint(batch: Sequence[_Entry]) -> list[list[_Entry]]:
    """Return the batch in groups that can be run together, in order."""
    groups: list[list[_Entry]] = []
    before: Any = None
    for entry in batch:
        run = entry.command.run if isinstance(entry.command, Joint) else None
        if run is not None and run is before:
            groups[-1].append(entry)
        else:
            groups.append([entry])
        before = run
    return groups


def _answered(command: Any, found: Any) -> tuple[Any, BaseException | None]:
    if isinstance(found, PalaestraError):
        return None, found
    try:
        return command.answer(found), None
    except PalaestraError as error:
        return None, error
