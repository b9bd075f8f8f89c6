"""What one runner has been told to carry out, and what of that has changed since.

A stream begins with everything, in messages of bounded length; from then on only changes are told, so that neither what
is sent nor what is read grows with what a runner already has. Changes are found by the events of jobs, as whatever
changes an attempt tells of its job in the same transaction; now and then all is read again, so that nothing depends on
that alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from scheduler import names
from scheduler.sql import Connection, Row, portions
from scheduler.tail import KEPT, Tail

# After so long all is read again [s].
WHOLE_S = 5.0
# No attempt has been granted yet.
_BEFORE_GRANTS = "job.submitted"
_ATTEMPTS = """
SELECT j.uid, a.job_id, a.number, a.cancel_ns, a.preempt_ns, a.stop_by_ns, a.lease_id, j.vendor
FROM attempt a JOIN job j ON j.id = a.job_id
"""


class Attempt(NamedTuple):
    """Of an attempt, and of its job, what is looked at again and again; the columns of `_ATTEMPTS`."""

    uid: str
    job_id: int
    number: int
    cancel_ns: int | None
    preempt_ns: int | None
    stop_by_ns: int | None
    lease_id: int
    vendor: str

    @property
    def name(self) -> str:
        return names.attempt(self.vendor, self.uid, self.number)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a runner has to be told: new attempts and those that are to stop otherwise than was told; those that ended.

    whole: Whether this is what differs in all it has, and not in some.
    """

    due: Sequence[Attempt]
    ended: Sequence[Attempt]
    whole: bool

    def __bool__(self) -> bool:
        return bool(self.due or self.ended)


class Told:
    """What one stream of a runner's instance has been told.

    Args:
        db: A connection that reads.
        tail: The latest events.
        instance: The runner's.
    """

    def __init__(self, db: Connection, tail: Tail, instance: str) -> None:
        self._db = db
        self._tail = tail
        self._instance = instance
        # By the job's id: a job has one attempt at most that has not ended.
        self._known: dict[str, Attempt] = {}
        # All of before this event has been looked at; None: nothing has.
        self._upto: int | None = None
        self._whole_s = 0.0

    def look(self, sequence: int, now_s: float) -> Changes:
        """Return what has changed up to an event, as told from here on. now_s: Of a clock that only goes forward."""
        jobs = None if self._upto is None or now_s - self._whole_s >= WHOLE_S else self._changed_after(self._upto)
        self._upto = sequence
        if jobs is None:
            self._whole_s = now_s
            found, before = self._all(), self._known
        else:
            found = self._of(jobs)
            before = {uid: self._known[uid] for uid in jobs if uid in self._known}
        due, ended = difference(before, found)
        for attempt in ended:
            del self._known[attempt.uid]
        for attempt in due:
            self._known[attempt.uid] = attempt
        return Changes(due, ended, whole=jobs is None)

    def _changed_after(self, sequence: int) -> set[str] | None:
        """Return the ids of the jobs of which there is news; None if that is too much to tell."""
        rows = self._tail.after(sequence, KEPT)
        if rows is None or len(rows) == KEPT:
            return None
        return {
            names.parts(row["resource"])[1]
            for row in rows
            if row["kind"].startswith("job.") and row["kind"] != _BEFORE_GRANTS
        }

    def _all(self) -> dict[str, Attempt]:
        """Return the granted attempts that nobody has started, and those that this instance runs."""
        query = f"{_ATTEMPTS} WHERE a.state = 1 OR (a.state = 2 AND a.instance = ?) ORDER BY a.grant_ns"
        return _by_job(self._db.execute(query, (self._instance,)))

    def _of(self, jobs: Iterable[str]) -> dict[str, Attempt]:
        """Return the same of some jobs."""
        found: dict[str, Attempt] = {}
        for some, text in portions(sorted(jobs)):
            # Only the newest attempt of a job can be under way.
            query = f"""
            {_ATTEMPTS} WHERE j.uid IN {text} AND a.number = j.attempt_count
              AND (a.state = 1 OR (a.state = 2 AND a.instance = ?)) ORDER BY a.grant_ns
            """
            found |= _by_job(self._db.execute(query, (*some, self._instance)))
        return found


def difference(
    before: Mapping[str, Attempt], found: Mapping[str, Attempt]
) -> tuple[Sequence[Attempt], Sequence[Attempt]]:
    """Return what is new or differs among what was found, in its order, and what of before is not there any more."""
    due = [attempt for uid, attempt in found.items() if before.get(uid) != attempt]
    ended = [
        attempt for uid, attempt in before.items() if (now := found.get(uid)) is None or now.number != attempt.number
    ]
    return due, ended


def _by_job(rows: Iterable[Row]) -> dict[str, Attempt]:
    return {attempt.uid: attempt for attempt in (Attempt(*row) for row in rows)}
