"""Transfers: flows that another data space asked for, each a row with a state. Bytes go by the gate like all others."""

import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from sharing.act import Act, act
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import BadStep, NotShared
from sharing.grant import Grant
from sharing.witness import Witness

OPEN_MAX = 1_000


class State(StrEnum):
    """How a transfer stands. REQUESTED is never seen: what is granted starts at once, what is not is not there."""

    STARTED = "STARTED"
    SUSPENDED = "SUSPENDED"
    COMPLETED = "COMPLETED"
    TERMINATED = "TERMINATED"


FOLLOWS: Mapping[tuple[State, str], State] = {
    (State.STARTED, "suspension"): State.SUSPENDED,
    (State.STARTED, "completion"): State.COMPLETED,
    (State.STARTED, "termination"): State.TERMINATED,
    (State.SUSPENDED, "start"): State.STARTED,
    (State.SUSPENDED, "termination"): State.TERMINATED,
}
"""What is not here is refused: nothing that has ended begins again."""
MESSAGES = {
    "start": "TransferStartMessage",
    "suspension": "TransferSuspensionMessage",
    "completion": "TransferCompletionMessage",
    "termination": "TransferTerminationMessage",
}


@dataclass(frozen=True)
class Transfer:
    """A transfer. suspended_by: Which side did, and so may start it again."""

    id: str
    agreement: str
    consumer: str
    provider: str
    consumer_pid: str
    format: str
    purpose: str
    state: State
    suspended_by: str


class Transfers:
    """All transfers. Safe from any thread."""

    def __init__(self, database: Database, witness: Witness, clock: Clock) -> None:
        self._database = database
        self._witness = witness
        self._clock = clock

    def get(self, name: str, party: str) -> Transfer:
        """Return a transfer to one of its sides. Raises NotShared."""
        return _get(self._database.reader(), name, party)

    def begin(self, grant: Grant, consumer_pid: str) -> Transfer:
        """Begin a transfer that was granted; asked for again it is the same one. Raises BadStep for too many."""
        now_s = int(self._clock.now_s())
        with act(self._database, self._witness) as one:
            db = one.db
            text = "SELECT * FROM transfer WHERE consumer = ? AND consumer_pid = ?"
            row = db.execute(text, (grant.consumer, consumer_pid)).fetchone()
            if row is not None:
                if row["agreement"] != grant.agreement:
                    raise BadStep("consumerPid: was used for another agreement")
                return _transfer(row)
            text = "SELECT count(*) FROM transfer WHERE consumer = ? AND state IN ('STARTED', 'SUSPENDED')"
            if db.execute(text, (grant.consumer,)).fetchone()[0] >= OPEN_MAX:
                raise BadStep(f"{OPEN_MAX} transfers are open; complete or terminate some")
            values = (
                *(secrets.token_hex(16), grant.agreement, grant.consumer, grant.provider, consumer_pid),
                *(str(grant.channel), str(grant.purpose), str(State.STARTED), now_s, now_s),
            )
            db.execute(
                "INSERT INTO transfer (id, agreement, consumer, provider, consumer_pid, format, purpose, state, "
                "created_s, changed_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                values,
            )
            made = _get(db, values[0], grant.consumer)
            _note(one, made, "start", grant.consumer)
        return made

    def change(self, name: str, what: str, party: str) -> Transfer:
        """Start again, suspend, complete or terminate a transfer, by either side. Raises NotShared, BadStep."""
        with act(self._database, self._witness) as one:
            db = one.db
            before = _get(db, name, party)
            state = FOLLOWS.get((before.state, what))
            if state is None:
                raise BadStep(f"the transfer is {before.state}: {what} cannot follow")
            if what == "start" and before.suspended_by != party:
                raise BadStep("the other side suspended the transfer, and may start it again")
            db.execute(
                "UPDATE transfer SET state = ?, suspended_by = ?, changed_s = ? WHERE id = ?",
                (str(state), party if state is State.SUSPENDED else "", int(self._clock.now_s()), name),
            )
            after = _get(db, name, party)
            _note(one, after, what, party)
        return after


def _note(one: Act, of: Transfer, what: str, by: str) -> None:
    fields = {"what": what, "transfer": of.id, "agreement": of.agreement, "by": by}
    one.note("transfer", {**fields, "provider": of.provider, "consumer": of.consumer})


def _get(db: sqlite3.Connection, name: str, party: str) -> Transfer:
    row = db.execute("SELECT * FROM transfer WHERE id = ?", (name,)).fetchone()
    if row is None or party not in (row["provider"], row["consumer"]):
        raise NotShared
    return _transfer(row)


def _transfer(row: sqlite3.Row) -> Transfer:
    texts = ("id", "agreement", "consumer", "provider", "consumer_pid", "format", "purpose")
    return Transfer(**{name: row[name] for name in texts}, state=State(row["state"]), suspended_by=row["suspended_by"])
