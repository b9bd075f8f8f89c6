"""The book of privacy budgets: what each consumer's questions about a data set have cost, before their answers left.

A budget is of one consumer and one data set: whatever was asked under older or other agreements, and about whichever
version, counts against it. A new agreement with the same budget gives nothing back; one with a larger budget gives the
difference.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from sqlite3 import Connection, Row
from typing import Protocol

from sharing.act import act
from sharing.errors import BudgetExhausted
from sharing.grant import Grant
from sharing.witness import Witness

DELTA_MOST_TRILLIONTHS = 10_000_000
"""All risks of selections together: 1e-5 for each consumer and data set, in 1e-12."""


class Book(Protocol):
    """The room's database, see `sharing.database.Database`."""

    def reader(self) -> Connection:
        """Return a connection to look."""
        ...

    def transaction(self) -> AbstractContextManager[Connection]:
        """Change all or nothing."""
        ...


@dataclass(frozen=True)
class Charge:
    """What was paid for one question, and its answer if there is one already."""

    id: int
    answer: str | None


@dataclass(frozen=True)
class Balance:
    """How a budget stands. Epsilon in millionths, delta in 1e-12."""

    budget_millionths: int
    spent_millionths: int
    spent_delta_trillionths: int

    @property
    def left_millionths(self) -> int:
        """What is left of epsilon."""
        return max(0, self.budget_millionths - self.spent_millionths)


class Ledger:
    """Charges and answers. Safe from any thread."""

    def __init__(self, database: Book, witness: Witness, now_s: Callable[[], float]) -> None:
        self._database = database
        self._witness = witness
        self._now_s = now_s

    def charge(
        self, grant: Grant, version: int, question: str, epsilon_millionths: int, delta_trillionths: int
    ) -> Charge:
        """Charge a question once, in one transaction that is noted; the same one of the same version again is free.

        Raises:
            BudgetExhausted: The budget does not cover it; nothing is charged.
        """
        who = (grant.consumer, grant.agreement, version, question)
        with act(self._database, self._witness) as one:
            db = one.db
            found = db.execute(_CHARGE, who).fetchone()
            if found is not None:
                return Charge(found["id"], found["body"])
            balance = _balance(db, grant)
            if epsilon_millionths > balance.left_millionths:
                raise BudgetExhausted(
                    f"the question costs {epsilon_millionths / 1e6:g} of epsilon; left are "
                    f"{balance.left_millionths / 1e6:g} of {balance.budget_millionths / 1e6:g} for {grant.data_set}"
                )
            if delta_trillionths > DELTA_MOST_TRILLIONTHS - balance.spent_delta_trillionths:
                raise BudgetExhausted(
                    f"too many questions by groups that only the data know were asked of {grant.data_set}; "
                    "groups with declared values can still be asked for"
                )
            made = db.execute(
                "INSERT INTO privacy_charge (consumer, agreement, version, question, provider, data_set, "
                "epsilon_millionths, delta_trillionths, charged_s) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*who, grant.provider, grant.data_set, epsilon_millionths, delta_trillionths, int(self._now_s())),
            ).lastrowid
            assert made is not None
            fields: dict[str, str | int] = {
                "question": question,
                "epsilon_millionths": epsilon_millionths,
                "allowed": 1,
                "charge": made,
            }
            one.note("budget", {**grant.parties(), **fields})
        return Charge(made, None)

    def answer(self, charge: int, body: str) -> str:
        """Keep the answer to a charge and return the one that is kept: the first. No other one ever leaves."""
        with self._database.transaction() as db:
            db.execute("INSERT OR IGNORE INTO privacy_answer VALUES (?, ?, ?)", (charge, body, int(self._now_s())))
            kept: str = db.execute("SELECT body FROM privacy_answer WHERE charge = ?", (charge,)).fetchone()[0]
        return kept

    def balance(self, grant: Grant) -> Balance:
        """Return how the budget of a grant's consumer and data set stands."""
        return _balance(self._database.reader(), grant)

    def spent(self, vendor: str) -> Sequence[Row]:
        """Return what was spent by and of a vendor: consumer, provider, data_set, epsilon_millionths, questions."""
        text = """
            SELECT consumer, provider, data_set, sum(epsilon_millionths) AS epsilon_millionths, count(*) AS questions
            FROM privacy_charge WHERE consumer = ?1 OR provider = ?1 GROUP BY 1, 2, 3 ORDER BY 3, 1 LIMIT 1000
        """
        return self._database.reader().execute(text, (vendor,)).fetchall()


_CHARGE = """
SELECT c.id, a.body FROM privacy_charge c LEFT JOIN privacy_answer a ON a.charge = c.id
WHERE c.consumer = ? AND c.agreement = ? AND c.version = ? AND c.question = ?
"""


def _balance(db: Connection, grant: Grant) -> Balance:
    row = db.execute(
        "SELECT coalesce(sum(epsilon_millionths), 0), coalesce(sum(delta_trillionths), 0) FROM privacy_charge "
        "WHERE consumer = ? AND data_set = ?",
        (grant.consumer, grant.data_set),
    ).fetchone()
    return Balance(grant.privacy_millionths, row[0], row[1])
