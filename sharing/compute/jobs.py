"""Compute jobs as the room's file keeps them, and the table of their states."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from sqlite3 import Connection, Row
from typing import Any

from sharing.act import Act, act
from sharing.aggregate.ledger import Book
from sharing.grant import Grant
from sharing.witness import Witness

MOST_OPEN = 8
"""Jobs of a consumer that have not ended."""


class State(StrEnum):
    """How a job stands. Only what is queued or running changes."""

    QUEUED = "queued"
    RUNNING = "running"
    RELEASED = "released"
    """Its result passed the gate, and can be had."""
    REFUSED = "refused"
    """Its result would have told who was in it; nobody gets it."""
    FAILED = "failed"
    ENDED = "ended"
    """Taken back: by its consumer, or because nothing is shared any more."""


OPEN = (State.QUEUED, State.RUNNING)


@dataclass(frozen=True)
class Job:
    """One job. `result` is kept apart, see `Jobs.result`."""

    id: str
    agreement: str
    provider: str
    consumer: str
    data_set: str
    version: int
    purpose: str
    algorithm: str
    parameters: Mapping[str, Any]
    state: State
    reason: str
    asked_s: int
    ended_s: int | None
    lineage: Mapping[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**vars(self), "state": str(self.state), "parameters": dict(self.parameters)}


class TooManyJobs(Exception):
    """The consumer has as many jobs open as it may."""


class Jobs:
    """Jobs in the room's file. Safe from any thread."""

    def __init__(self, database: Book, witness: Witness, now_s: Callable[[], float]) -> None:
        self._database = database
        self._witness = witness
        self._now_s = now_s

    def add(self, grant: Grant, version: int, algorithm: str, parameters: Mapping[str, Any]) -> Job:
        """Keep a new job, queued. Raises TooManyJobs."""
        job = secrets.token_hex(16)
        with act(self._database, self._witness) as one:
            db = one.db
            count = db.execute(
                "SELECT count(*) FROM compute_job WHERE consumer = ? AND state IN (?, ?)", (grant.consumer, *OPEN)
            ).fetchone()[0]
            if count >= MOST_OPEN:
                raise TooManyJobs
            db.execute(
                "INSERT INTO compute_job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '', ?, NULL, NULL, NULL)",
                (
                    job,
                    grant.agreement,
                    grant.provider,
                    grant.consumer,
                    grant.data_set,
                    version,
                    str(grant.purpose),
                    algorithm,
                    json.dumps(parameters, sort_keys=True),
                    State.QUEUED,
                    int(self._now_s()),
                ),
            )
            found = _get(db, job)
            assert found is not None
            _note(one, found)
        return found

    def get(self, job: str) -> Job | None:
        """Return a job; None if there is none. Whose it is, the caller looks at."""
        return _get(self._database.reader(), job)

    def list(self, vendor: str, most: int = 200) -> Sequence[Job]:
        """Return jobs that a vendor asked for, and those that visited its data, the newest first."""
        whose = "consumer = ?1 OR provider = ?1"
        text = f"SELECT {_COLUMNS} FROM compute_job WHERE {whose} ORDER BY asked_s DESC, id LIMIT ?2"
        return [_job(row) for row in self._database.reader().execute(text, (vendor, most))]

    def open(self) -> Sequence[Job]:
        """Return all jobs that have not ended, the oldest first."""
        text = f"SELECT {_COLUMNS} FROM compute_job WHERE state IN (?, ?) ORDER BY asked_s, id"
        return [_job(row) for row in self._database.reader().execute(text, OPEN)]

    def begin(self, job: str) -> bool:
        """Have a queued job run; return whether it does: it may have been taken back."""
        with self._database.transaction() as db:
            text = "UPDATE compute_job SET state = ? WHERE id = ? AND state = ?"
            return bool(db.execute(text, (State.RUNNING, job, State.QUEUED)).rowcount)

    def end(
        self,
        job: str,
        state: State,
        reason: str = "",
        lineage: Mapping[str, Any] | None = None,
        result: bytes | None = None,
    ) -> bool:
        """End an open job; return whether it was open. What has ended stays as it is."""
        told = None if lineage is None else json.dumps(lineage, sort_keys=True)
        with act(self._database, self._witness) as one:
            text = (
                "UPDATE compute_job SET state = ?, reason = ?, ended_s = ?, lineage = ?, result = ? "
                "WHERE id = ? AND state IN (?, ?)"
            )
            values = (state, reason[:500], int(self._now_s()), told, result, job, *OPEN)
            done = bool(one.db.execute(text, values).rowcount)
            if done and (found := _get(one.db, job)) is not None:
                _note(one, found)
        return done

    def result(self, job: str) -> bytes | None:
        """Return the result of a released job."""
        text = "SELECT result FROM compute_job WHERE id = ? AND state = ?"
        row = self._database.reader().execute(text, (job, State.RELEASED)).fetchone()
        return None if row is None else row["result"]


_COLUMNS = (
    "id, agreement, provider, consumer, data_set, version, purpose, algorithm, parameters, state, reason, asked_s, "
    "ended_s, lineage"
)


def _get(db: Connection, job: str) -> Job | None:
    row = db.execute(f"SELECT {_COLUMNS} FROM compute_job WHERE id = ?", (job,)).fetchone()
    return None if row is None else _job(row)


def _note(one: Act, job: Job) -> None:
    fields: dict[str, str | int] = {
        "provider": job.provider,
        "consumer": job.consumer,
        "agreement": job.agreement,
        "job": job.id,
        "algorithm": job.algorithm,
        "state": str(job.state),
    }
    one.note("job", fields)


def _job(row: Row) -> Job:
    return Job(
        **{
            **dict(row),
            "state": State(row["state"]),
            "parameters": json.loads(row["parameters"]),
            "lineage": None if row["lineage"] is None else json.loads(row["lineage"]),
        }
    )
