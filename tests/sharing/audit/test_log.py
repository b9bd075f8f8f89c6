"""The log: durable, one writer, group commit, each vendor its own, and what it refuses."""

import itertools
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from palaestra import merkle
from sharing.audit.key import ExposedKey, load_key
from sharing.audit.leaf import hidden_value
from sharing.audit.log import HEAD_PERIOD_S, AuditBroken, Log
from sharing.clock import Clock
from sharing.database import Database
from sharing.errors import NotNoted
from tests.sharing.stage import AURORA, BOREALIS, CYGNUS, Hand, Stage, stage


class Place:
    """A folder with a log in it, which can be opened again."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.hand = folder, Hand()
        self.database = Database(folder / "sharing.db")
        self.log = self.open()

    def open(self) -> Log:
        """Open the log as a process does at its start."""
        return Log(
            self.database, load_key(self.folder / "audit.pem"), Clock(source=self.hand), self.folder / "audit.lock"
        )

    def close(self) -> None:
        """Close everything."""
        self.log.close()
        self.database.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


def note(log: Log, number: int, consumer: str = BOREALIS) -> int:
    """Note something plain."""
    return log.note("decision", {"provider": AURORA, "consumer": consumer, "about": f"file-{number}"})


def test_notes_of_many_threads_are_each_one_leaf_and_share_commits(place: Place) -> None:
    """Eight threads: every index once, fewer commits than notes, and the head covers exactly what is in the file."""
    commits = []
    database = place.database
    inner = database.transaction

    def counted() -> object:
        commits.append(1)
        return inner()

    database.transaction = counted  # type: ignore[method-assign,assignment]
    held = threading.Barrier(8)
    found: list[int] = []

    def work(own: int) -> None:
        held.wait()
        found.extend(note(place.log, own * 100 + number) for number in range(25))

    threads = [threading.Thread(target=work, args=(own,)) for own in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    del database.transaction  # type: ignore[method-assign]

    assert sorted(found) == list(range(200))
    assert len(commits) < 200
    hashes = place.log.hashes(0, 200)
    leaves = [hashes[at : at + 32] for at in range(0, len(hashes), 32)]
    head = merkle.open_note(place.log.head(), place.log.public_key)
    assert (head.size, head.root) == (200, merkle.root_of(leaves))
    for index in (0, 63, 64, 127, 199):
        merkle.check_inclusion(leaves[index], index, 200, place.log.inclusion(index, 200), head.root)
    for first in (1, 64, 100, 199, 200):
        proof = place.log.consistency(first, 200)
        merkle.check_consistency(first, merkle.root_of(leaves[:first]), 200, head.root, proof)


@pytest.mark.parametrize("failure", [sqlite3.OperationalError("disk I/O error"), RuntimeError("a defect of ours")])
def test_notes_that_waited_for_a_write_that_failed_are_refused_and_nobody_waits_for_ever(
    place: Place, failure: Exception
) -> None:
    """Eight threads, every third commit fails: the file has what was acknowledged, each at the index that was told."""
    database = place.database
    inner, commits = database.transaction, itertools.count()

    @contextmanager
    def failing() -> Iterator[sqlite3.Connection]:
        with inner() as db:
            yield db
            if next(commits) % 3 == 2:
                raise failure

    database.transaction = failing  # type: ignore[method-assign]
    held = threading.Barrier(8)
    told: dict[int, int] = {}
    refused: list[int] = []

    def work(own: int) -> None:
        held.wait()
        for number in range(own * 100, own * 100 + 25):
            try:
                told[note(place.log, number)] = number
            except (NotNoted, RuntimeError):
                refused.append(number)

    threads = [threading.Thread(target=work, args=(own,), daemon=True) for own in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(30.0)
    assert not any(one.is_alive() for one in threads)
    del database.transaction  # type: ignore[method-assign]

    assert refused and len(told) + len(refused) == 200
    assert sorted(told) == list(range(len(told))) == list(range(place.log.size))
    assert note(place.log, 999) == len(told)
    rows = place.database.reader().execute("SELECT idx, body FROM audit_leaf ORDER BY idx").fetchall()
    written = {row["idx"]: json.loads(row["body"])["fields"]["about"] for row in rows}
    assert written == {index: f"file-{number}" for index, number in {**told, len(told): 999}.items()}


def test_a_log_goes_on_where_it_was(place: Place) -> None:
    """Closed and opened after each few leaves, its tree is the one of all of them."""
    for number in range(11):
        note(place.log, number)
        place.log.close()
        place.log = place.open()
    hashes = place.log.hashes(0, 100)
    root = merkle.root_of(hashes[at : at + 32] for at in range(0, len(hashes), 32))
    assert merkle.open_note(place.log.head(), place.log.public_key) == merkle.Checkpoint(place.log.origin, 11, root)


def test_a_second_writer_is_refused(place: Place) -> None:
    """By the lock; and by the file, where somebody wrote past it."""
    with pytest.raises(AuditBroken, match="another process"):
        place.open()
    note(place.log, 0)
    db = sqlite3.connect(place.folder / "sharing.db")
    db.execute("INSERT INTO audit_leaf VALUES (1, '{}', zeroblob(32))")
    db.commit()
    db.close()
    with pytest.raises(NotNoted):
        note(place.log, 1)
    assert place.log.size == 1


def test_heads_are_signed_as_time_goes_on_and_on_request(place: Place) -> None:
    """One for each period in which something was noted; asking twice gives the same."""
    note(place.log, 0)
    assert len(place.log.heads()) == 1
    note(place.log, 1)
    assert len(place.log.heads()) == 1
    place.hand.at_s += HEAD_PERIOD_S
    note(place.log, 2)
    note(place.log, 3)
    assert place.log.head() == place.log.head()
    sizes = [merkle.open_note(one, place.log.public_key).size for one in place.log.heads()]
    assert sizes == [1, 3, 4]


def test_what_is_written_cannot_be_changed_by_mistake(place: Place) -> None:
    """Leaves, nodes and heads neither change nor go by SQL."""
    for number in range(4):
        note(place.log, number)
    place.log.head()
    for statement in (
        "UPDATE audit_leaf SET body = '{}'",
        "DELETE FROM audit_leaf",
        "UPDATE audit_node SET hash = zeroblob(32)",
        "DELETE FROM audit_node",
        "DELETE FROM audit_head",
        "UPDATE audit_head SET size = 9",
    ):
        with pytest.raises(sqlite3.IntegrityError), place.database.transaction() as db:
            db.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_node SET hash = zeroblob(32) WHERE level = 2",
        "DELETE FROM audit_leaf WHERE idx >= 3",
        "UPDATE audit_leaf SET hash = zeroblob(32) WHERE idx = 4",
        "UPDATE audit_head SET note = replace(note, 'palaestra', 'elsewhere')",
    ],
)
def test_a_file_that_was_changed_is_not_opened(place: Place, statement: str) -> None:
    """Somebody with the disk in hand takes the triggers away: the log does not go on upon what it did not sign."""
    for number in range(5):
        note(place.log, number)
    place.log.head()
    place.log.close()
    db = sqlite3.connect(place.folder / "sharing.db")
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute(statement)
    db.commit()
    db.close()
    with pytest.raises(AuditBroken):
        place.open()
    place.log = Log(
        Database(place.folder / "new.db"), load_key(place.folder / "audit.pem"), Clock(), place.folder / "audit.lock"
    )


def test_people_are_hashed_with_salt_and_can_be_forgotten(place: Place) -> None:
    """The leaf has a hash; salt and value are shown to whom it concerns, until they are erased; the tree stays."""
    fields = {"provider": AURORA, "consumer": BOREALIS, "actor": "jo@aurora"}
    index = place.log.note("job", fields)
    (told,) = place.log.leaves(AURORA)
    salt, value = told.openings["actor"]
    assert value == "jo@aurora" and "jo@aurora" not in told.body
    assert json.loads(told.body)["fields"]["actor"] == hidden_value(salt, value)
    before = place.log.hashes(0, 1)

    assert place.log.erase("jo@aurora") == 1

    (after, *_) = place.log.leaves(AURORA)
    assert after.index == index and after.body == told.body and not after.openings
    assert place.log.hashes(0, 1) == before
    everything = (place.folder / "sharing.db").read_bytes()
    assert b"jo@aurora" not in everything or place.database.reader().execute(
        "SELECT count(*) FROM audit_opening"
    ).fetchone() == (0,)


def test_equal_notes_have_unlike_hashes(place: Place) -> None:
    """Otherwise a competitor who guesses what a leaf says could see that it is so."""
    for _ in range(20):
        note(place.log, 0)
    hashes = place.log.hashes(0, 20)
    assert len({hashes[at : at + 32] for at in range(0, len(hashes), 32)}) == 20


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    """Mode 0600, or it is no key."""
    load_key(tmp_path / "k.pem")
    (tmp_path / "k.pem").chmod(0o640)
    with pytest.raises(ExposedKey):
        load_key(tmp_path / "k.pem")


def test_a_full_disk_refuses_and_heals(place: Place) -> None:
    """Nothing is acknowledged that is not on the disk; when there is room again it goes on, without a gap."""
    note(place.log, 0)
    db_bytes = sum(path.stat().st_size for path in place.folder.glob("sharing.db*"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    text = "x" * 2_000
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (db_bytes, hard))
        noted = 1
        with pytest.raises(NotNoted):
            for _ in range(2_000):
                assert place.log.note("bytes", {"provider": AURORA, "a": text, "b": text, "c": text}) == noted
                noted += 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, ignored)
    assert note(place.log, 1) == noted
    assert place.log.size == noted + 1


_NOTING = """
import sys
from pathlib import Path
from sharing.audit.key import load_key
from sharing.audit.log import Log
from sharing.clock import Clock
from sharing.database import Database
folder = Path(sys.argv[1])
log = Log(Database(folder / "sharing.db"), load_key(folder / "audit.pem"), Clock(), folder / "audit.lock")
while True:
    print(log.note("decision", {"provider": "vendors/aurora"}), flush=True)
"""


def test_what_was_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """Killed between two notes, whichever: the last index that was told is there, and the tree is whole."""
    told = -1
    for upto in (3, 40):
        process = subprocess.Popen(
            [sys.executable, "-c", _NOTING, str(tmp_path)], stdout=subprocess.PIPE, env=dict(os.environ)
        )
        assert process.stdout is not None
        for _ in range(upto):
            line = process.stdout.readline()
            assert line, "the process ended by itself"
            told = int(line)
        process.kill()
        process.communicate()
        again = Place(tmp_path)
        assert again.log.size > told
        head = merkle.open_note(again.log.head(), again.log.public_key)
        hashes = again.log.hashes(0, 8_192)
        assert head.root == merkle.root_of(hashes[at : at + 32] for at in range(0, len(hashes), 32))
        again.close()


def _with_log(folder: Path) -> Stage:
    """Return a room that notes in its own log."""
    return stage(folder, witness=None)


def test_each_vendor_reads_its_own_leaves_and_the_hashes_of_all(tmp_path: Path) -> None:
    """Over REST: aurora and borealis theirs, cygnus neither, an operator the house's; refusals are one body."""
    staged = _with_log(tmp_path)
    log = staged.room.witness
    assert isinstance(log, Log)
    begin = log.size
    note(log, 1)
    log.note("decision", {"provider": CYGNUS, "consumer": AURORA, "about": "secret-of-two"})
    log.note("agreement", {"what": "collected"})

    def read(token: str, path: str, **query: int) -> dict[str, object]:
        answer = staged.as_(token).get(f"/sharing/v1/audit/{path}", params=query)
        assert answer.status_code == 200, answer.text
        found: dict[str, object] = answer.json()
        return found

    def indices(token: str) -> list[int]:
        leaves = read(token, "leaves", after=begin - 1)["leaves"]
        assert isinstance(leaves, list)
        return [one["index"] for one in leaves]

    assert indices("aurora") == [begin, begin + 1]
    assert indices("borealis") == [begin]
    assert indices("cygnus") == [begin + 1]
    assert indices("operator") == [begin + 2]
    head = merkle.open_note(str(read("cygnus", "head")["head"]), log.public_key)
    assert head.size == begin + 3
    proof = read("borealis", "inclusion", index=begin, size=head.size)["proof"]
    assert isinstance(proof, list)
    leaf = log.hashes(begin, 1)
    merkle.check_inclusion(leaf, begin, head.size, [bytes.fromhex(one) for one in proof], head.root)
    assert staged.as_("nobody").get("/sharing/v1/audit/head").status_code == 401
    for path in ("inclusion?index=9999&size=9999", "inclusion?index=-1&size=1", "consistency?first=9&second=3"):
        assert staged.as_("aurora").get(f"/sharing/v1/audit/{path}").status_code == 400
    log.close()
    staged.close()
