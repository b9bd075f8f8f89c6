"""The book: sums to zero whatever happens, and only grows."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.credits import GROUND
from sharing.credits.ledger import EARNED, GRANTED, PAID, Earning, Ledger, document_of
from sharing.database import Database
from sharing.errors import BudgetExhausted

VENDORS = ("vendors/aurora", "vendors/borealis")
_POSTING = st.tuples(
    st.sampled_from((EARNED, PAID, GRANTED)),
    st.sampled_from(("a", "b")),
    st.integers(1, 3),
    st.sampled_from(VENDORS),
    st.integers(0, 50),
)


@given(st.lists(_POSTING, max_size=20))
@settings(max_examples=10, deadline=None)
def test_under_any_sequence_accounts_sum_to_zero_and_no_vendor_owes(
    tmp_path_factory: pytest.TempPathFactory, given_: list[tuple[str, str, int, str, int]]
) -> None:
    database = Database(tmp_path_factory.mktemp("book") / "sharing.db")
    ledger = Ledger(database)
    seen = set()
    for leaf, (kind, agreement, version, vendor, amount) in enumerate(given_):
        other = VENDORS[1 - VENDORS.index(vendor)]
        debit = vendor if kind == PAID else GROUND
        before = ledger.balance(debit)
        again = (kind, agreement, version) in seen
        try:
            ledger.add(
                document_of(kind, agreement, version, debit, other, amount, 1, []),
                [],
                leaf,
                [Earning(f"{leaf:064x}", "k", 3, 1)],
            )
            seen.add((kind, agreement, version))
        except BudgetExhausted:
            assert kind == PAID and before < amount
            continue
        assert ledger.balance(debit) == before - (0 if again else amount)
    balances = {account: ledger.balance(account) for account in (GROUND, *VENDORS)}
    assert sum(balances.values()) == 0
    assert all(balances[vendor] >= 0 for vendor in VENDORS)
    lines = database.reader().execute("SELECT posting, count(*), sum(amount_microcredits) FROM credit_line GROUP BY 1")
    assert all((row[1], row[2]) == (2, 0) for row in lines)
    assert len(seen) == database.reader().execute("SELECT count(*) FROM credit_recording").fetchone()[0]
    for vendor in VENDORS:
        assert ledger.balance(vendor) == sum(one.amount_for(vendor) for one in ledger.postings(vendor, size=100))
    database.close()


@pytest.mark.parametrize(
    "text",
    [
        "UPDATE credit_posting SET amount_microcredits = 9",
        "DELETE FROM credit_posting",
        "DELETE FROM credit_recording",
        "UPDATE credit_recording SET novel_ms = 0",
        "INSERT INTO credit_posting SELECT 7, kind, agreement, version, debit, credit, 1, document, items, 7, 1 "
        "FROM credit_posting",
        "INSERT INTO credit_posting SELECT 7, 'paid', agreement, version, credit, debit, amount_microcredits + 1, "
        "document, items, 7, 1 FROM credit_posting",
        "INSERT INTO credit_posting SELECT 7, 'earned', 'x', version, credit, credit, 0, document, items, 7, 1 "
        "FROM credit_posting",
    ],
)
def test_whoever_writes_into_the_file_nothing_is_changed_doubled_or_overdrawn(tmp_path: Path, text: str) -> None:
    database = Database(tmp_path / "sharing.db")
    document = document_of(EARNED, "a", 1, GROUND, VENDORS[0], 5, 1, [])
    Ledger(database).add(document, [], 0, [Earning("0" * 64, "k", 3, 1)])
    database.close()
    db = sqlite3.connect(tmp_path / "sharing.db")
    with pytest.raises(sqlite3.IntegrityError):
        db.execute(text)
    db.close()


_WRITER = """
import sys
from pathlib import Path
from sharing.credits.ledger import EARNED, Earning, Ledger, document_of
from sharing.database import Database
ledger = Ledger(Database(Path(sys.argv[1])))
for number in range(100_000):
    document = document_of(EARNED, "a", number, "ground", "vendors/aurora", 7, 1, [])
    ledger.add(document, [], number, [Earning(f"{number:064x}", "k", 3, 1)])
    print(number, flush=True)
"""


def test_what_was_posted_is_whole_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "sharing.db"
    process = subprocess.Popen([sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(20)]
    os.kill(process.pid, signal.SIGKILL)
    told += [int(line) for line in process.stdout.read().split("\n")[:-1]]
    process.stdout.close()
    process.wait()
    database = Database(path)
    ledger = Ledger(database)
    count = database.reader().execute("SELECT count(*) FROM credit_posting").fetchone()[0]
    assert count in (len(told), len(told) + 1)
    assert (ledger.balance("vendors/aurora"), ledger.balance(GROUND)) == (7 * count, -7 * count)
    assert database.reader().execute("SELECT count(*) FROM credit_recording").fetchone()[0] == count
    database.close()
