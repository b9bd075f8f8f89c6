"""Enters admitted jobs with their events, many at a time: a row among others costs a fraction of one alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp

from palaestra import ids
from palaestra.v1 import job_pb2
from scheduler import encoding, events, names
from scheduler.commands import dependencies, reserving, simfirst
from scheduler.commands.dependencies import Open
from scheduler.lifecycle import JobState
from scheduler.sql import insert
from scheduler.writer import Transaction

_JOBS = """
INSERT INTO job (uid, vendor, leaf, request_id, request_sha256, state, priority, deadline_ns, spec, create_ns,
  event_seq, open_after, open_gates, array_uid, array_index)
"""
_NAME = job_pb2.Job.DESCRIPTOR.fields_by_name["name"].number
# What stands before the value of the field, a varint.
_SEQUENCE = encoding.varint(job_pb2.Job.DESCRIPTOR.fields_by_name["sequence"].number << 3)


@dataclass(frozen=True)
class Held:
    """What an accepted job waits for besides its claim."""

    before: tuple[Open, ...] = ()
    works: tuple[str, ...] = ()
    # The row of the reservation that it starts in.
    reservation_id: int | None = None

    def __bool__(self) -> bool:
        return bool(self.before or self.works or self.reservation_id is not None)


NOTHING = Held()


@dataclass(slots=True)
class Entry:
    """A job that is entered, or will be.

    Attributes:
        body: The message, but for its sequence number.
        sequence: Of its event; 0 until it is entered.
    """

    uid: str
    name: str
    vendor: str
    leaf: str
    spec: bytes
    priority: int
    deadline_ns: int
    held: Held
    request_id: str | None
    digest: bytes | None
    array_uid: str | None
    array_index: int
    body: bytes = b""
    sequence: int = 0

    def message(self) -> bytes:
        """Return the bytes of the job as `resources.job` would read it from the new row."""
        return self.body + _SEQUENCE + encoding.varint(self.sequence)

    def job(self) -> job_pb2.Job:
        """Return the same as a message."""
        return job_pb2.Job.FromString(self.message())


class Intake:
    """Jobs that a transaction has admitted; `enter` writes down those that are not yet."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx
        self._pending: list[Entry] = []
        # What all of them have that come into being now. The etag is that of version 1.
        create_time = Timestamp()
        create_time.FromNanoseconds(tx.now_ns)
        state = job_pb2.JOB_STATE_QUEUED
        self._new = job_pb2.Job(state=state, create_time=create_time, etag="1").SerializeToString()
        self._uids: list[str] = []
        # Of each vendor, what stands before the id in the name of a job, as text and as the beginning of the message.
        self._before: dict[str, tuple[str, bytes]] = {}

    def __len__(self) -> int:
        return len(self._pending)

    def expect(self, count: int) -> None:
        """Say how many more may come."""
        self._uids += ids.new_ids(count)

    def add(
        self,
        vendor: str,
        leaf: str,
        spec: bytes,
        *,
        priority: int,
        deadline_ns: int,
        held: Held = NOTHING,
        request_id: str | None = None,
        digest: bytes | None = None,
        array_uid: str | None = None,
        array_index: int = 0,
    ) -> Entry:
        """Take an admitted job.

        array_uid, array_index: The array that it is one of, and its place there.
        """
        uid = self._uids.pop() if self._uids else ids.new_id()
        before = self._before.get(vendor) or self._name(vendor, uid)
        body = b"%b%b%b%b" % (before[1], uid.encode(), spec, self._new)
        entry = Entry(
            uid, before[0] + uid, vendor, leaf, spec, priority, deadline_ns, held, request_id, digest, array_uid,
            array_index, body,
        )  # fmt: skip
        if array_uid is not None:
            array = names.job_array(vendor, array_uid)
            entry.body += job_pb2.Job(array=array, array_index=array_index).SerializeToString()
        self._pending.append(entry)
        return entry

    def _name(self, vendor: str, uid: str) -> tuple[str, bytes]:
        # Ids have one length, so that all names of a vendor's jobs have.
        name = names.job(vendor, uid)
        field = encoding.length_delimited(_NAME, name.encode())
        found = self._before[vendor] = name[: -len(uid)], field[: -len(uid)]
        return found

    def count_of(self, vendor: str) -> int:
        """Return how many of a vendor are not entered yet."""
        return sum(entry.vendor == vendor for entry in self._pending)

    def forget(self, count: int) -> None:
        """Take back the last `count` that are not entered."""
        del self._pending[len(self._pending) - count :]

    def enter(self) -> None:
        """Write down what has come, each job with its event."""
        entries, self._pending = self._pending, []
        if not entries:
            return
        tx = self._tx
        first = events.jobs_submitted(tx, [(entry.name, entry.vendor, entry.body) for entry in entries])
        for sequence, entry in enumerate(entries, first):
            entry.sequence = sequence
        state, now_ns = int(JobState.QUEUED), tx.now_ns
        last_id = insert(
            tx.db,
            _JOBS,
            [
                (e.uid, e.vendor, e.leaf, e.request_id, e.digest, state, e.priority, e.deadline_ns, e.spec, now_ns,
                 e.sequence, len(e.held.before), len(e.held.works), e.array_uid, e.array_index)
                for e in entries
            ],
        )  # fmt: skip
        self._hold(entries, last_id - len(entries) + 1)
        tx.wants_cycle = True

    def _hold(self, entries: Sequence[Entry], first_id: int) -> None:
        """Write down what they wait for."""
        for job_id, entry in enumerate(entries, first_id):
            if entry.held:
                dependencies.link(self._tx, job_id, entry.held.before)
                simfirst.close(self._tx, job_id, entry.vendor, entry.held.works)
                if entry.held.reservation_id is not None:
                    reserving.attach(self._tx, entry.held.reservation_id, job_id)
