"""What is done is noted, whatever happens in between: of each act, and of the log that settles it."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from palaestra import merkle
from sharing import signing
from sharing.act import act
from sharing.aggregate.ledger import Ledger
from sharing.audit.key import load_key
from sharing.audit.log import Log
from sharing.classes import ColumnClass
from sharing.clock import Clock
from sharing.compute.algorithm import Approvals, built_in
from sharing.compute.jobs import Jobs, State
from sharing.database import Database
from sharing.dataspace.transfer import Transfers
from sharing.delta.recipients import Recipients
from sharing.errors import NotNoted
from sharing.grant import Ask, Grant
from sharing.register import proof_message
from sharing.terms import Channel, Purpose
from store.episode import STATE
from tests.sharing.stage import AURORA, BOREALIS, Hand, Stage, begin, stage, terms


class Place:
    """A room's file with its log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.database = Database(folder / "sharing.db")
        with self.database.transaction() as db:
            db.execute("CREATE TABLE IF NOT EXISTS done (number INTEGER)")
        self.log = Log(self.database, load_key(folder / "audit.pem"), Clock(source=Hand()), folder / "audit.lock")

    def do(self, number: int) -> None:
        with act(self.database, self.log) as one:
            one.db.execute("INSERT INTO done VALUES (?)", (number,))
            one.note("job", {"provider": AURORA, "number": number})

    def done(self) -> list[int]:
        return [row[0] for row in self.database.reader().execute("SELECT number FROM done ORDER BY number")]

    def noted(self) -> list[int]:
        rows = self.database.reader().execute("SELECT body FROM audit_leaf ORDER BY idx").fetchall()
        return sorted(json.loads(row[0])["fields"]["number"] for row in rows)

    def owed(self) -> int:
        return int(self.database.reader().execute("SELECT count(*) FROM audit_owed").fetchone()[0])

    def close(self) -> None:
        self.log.close()
        self.database.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()


class Killed(BaseException):
    """The process ends here."""


def test_what_is_undone_owes_nothing(place: Place) -> None:
    with pytest.raises(ZeroDivisionError), act(place.database, place.log) as one:
        one.db.execute("INSERT INTO done VALUES (1)")
        one.note("job", {"provider": AURORA, "number": 1})
        raise ZeroDivisionError
    place.do(2)
    assert (place.done(), place.noted(), place.owed()) == ([2], [2], 0)


def test_what_was_committed_and_not_noted_is_noted_at_the_next_start(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*owed: int) -> None:
        raise Killed

    monkeypatch.setattr(place.log, "settle", killed)
    for number in (1, 2):
        with pytest.raises(Killed):
            place.do(number)
    assert (place.done(), place.noted(), place.owed()) == ([1, 2], [], 2)
    place.close()
    again = Place(place.folder)
    assert (again.noted(), again.owed()) == ([1, 2], 0)
    again.do(3)
    assert again.noted() == [1, 2, 3]
    again.log.close()
    place.log = Place(place.folder).log


def test_what_the_disk_did_not_take_is_noted_as_soon_as_it_does(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The act stands, whoever did it is told that it could not be noted, and it comes before what comes next."""
    write = Log._write_all

    def full(self: Log, batch: object) -> None:
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(Log, "_write_all", full)
    with pytest.raises(NotNoted):
        place.do(1)
    with pytest.raises(NotNoted):
        place.log.note("job", {"provider": AURORA, "number": 7})
    assert place.done() == [1]
    monkeypatch.setattr(Log, "_write_all", write)
    place.do(2)
    assert (place.noted(), place.owed()) == ([1, 2], 0)
    first = json.loads(place.log.leaves(AURORA)[0].body)["fields"]
    assert first == {"provider": AURORA, "number": 1}


def test_several_notes_of_one_act_stand_in_its_order(place: Place) -> None:
    with act(place.database, place.log) as one:
        for number in range(20):
            one.note("job", {"provider": AURORA, "number": number})
    told = [json.loads(leaf.body)["fields"]["number"] for leaf in place.log.leaves(AURORA)]
    assert told == list(range(20))


def test_of_many_threads_with_a_disk_that_fails_now_and_then_each_act_is_noted_once(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = Log._write_all, iter(range(10**9))

    def some(self: Log, batch: Sequence[object]) -> None:
        if next(calls) % 3 == 1:
            raise OSError(28, "no space left on device")
        write(self, batch)  # type: ignore[arg-type]

    monkeypatch.setattr(Log, "_write_all", some)
    refused: list[int] = []

    def work(own: int) -> None:
        for number in range(own * 100, own * 100 + 40):
            try:
                place.do(number)
            except NotNoted:
                refused.append(number)

    threads = [threading.Thread(target=work, args=(own,)) for own in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.setattr(Log, "_write_all", write)
    place.do(10_000)
    assert refused, "the disk has never failed"
    assert len(place.done()) == 6 * 40 + 1
    assert (place.noted(), place.owed()) == (place.done(), 0)
    head = merkle.open_note(place.log.head(), place.log.public_key)
    hashes = place.log.hashes(0, 8_192)
    assert head.root == merkle.root_of(hashes[at : at + 32] for at in range(0, len(hashes), 32))


def test_a_person_in_what_was_owed_can_be_forgotten_afterwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with act(place.database, place.log) as one:
        one.note("job", {"provider": AURORA, "number": 1, "actor": "jo@aurora"})
    (leaf,) = place.log.leaves(AURORA)
    assert "jo@aurora" not in leaf.body and leaf.openings["actor"][1] == "jo@aurora"
    assert place.log.erase("jo@aurora") == 1


_DOING = """
import itertools, sys
from pathlib import Path
from tests.sharing.test_act import Place
place = Place(Path(sys.argv[1]))
for number in itertools.count(int(sys.argv[2])):
    place.do(number)
    print(number, flush=True)
"""


def test_after_kill_9_what_is_done_is_what_is_noted(tmp_path: Path) -> None:
    """Killed at any moment, ten times over: also between commit and note."""
    begin = 0
    for turn in range(10):
        process = subprocess.Popen(
            [sys.executable, "-c", _DOING, str(tmp_path), str(begin)], stdout=subprocess.PIPE, env=dict(os.environ)
        )
        assert process.stdout is not None
        assert process.stdout.readline()
        time.sleep(0.003 * turn)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        again = Place(tmp_path)
        assert (again.noted(), again.owed()) == (again.done(), 0)
        begin = again.done()[-1] + 1
        again.close()


Done = Callable[[Stage], object]


def register_key(staged: Stage) -> object:
    key = Ed25519PrivateKey.generate()
    public = signing.public_key_of(key)
    proof = signing.sign(key, signing.KEY, proof_message(AURORA, public))
    return staged.room.register.add_key(AURORA, public, proof)


def retire_key(staged: Stage) -> object:
    (key,) = staged.room.register.keys(AURORA)
    return staged.room.register.retire_key(AURORA, key.public_key)


def resume(staged: Stage) -> object:
    with staged.room.database.transaction() as db:
        db.execute("INSERT INTO suspension VALUES (?, 1, 'operator', '')", (BOREALIS,))
    return staged.room.register.resume(BOREALIS, by="operator")


def withdraw(staged: Stage) -> object:
    algorithm = built_in()["statistics"]
    with staged.room.database.transaction() as db:
        db.execute("INSERT INTO algorithm VALUES (?, ?, 'a', '', '{}', 1, NULL)", (AURORA, algorithm.sha256))
    return approvals(staged).withdraw(AURORA, algorithm.sha256)


def ask_for_job(staged: Stage) -> object:
    return jobs(staged).add(granted(staged, Channel.COMPUTE), 1, "0" * 64, {})


def end_job(staged: Stage) -> object:
    with staged.room.database.transaction() as db:
        db.execute(
            "INSERT INTO compute_job (id, agreement, provider, consumer, data_set, version, purpose, algorithm, "
            "parameters, state, reason, asked_s) VALUES ('j', ?, ?, ?, 'd', 1, 'training', 'a', '{}', 'queued', '', 1)",
            (agreement(staged), AURORA, BOREALIS),
        )
    return jobs(staged).end("j", State.ENDED)


def begin_transfer(staged: Stage) -> object:
    room = staged.room
    return Transfers(room.database, room.witness, room.clock).begin(granted(staged, Channel.EXPORT), "pid")


def issue_credential(staged: Stage) -> object:
    room = staged.room
    recipients = Recipients(room.database, room.gate, room.witness, room.clock)
    return recipients.issue(BOREALIS, Purpose.TRAINING, [agreement(staged)])


def charge_budget(staged: Stage) -> object:
    room = staged.room
    return Ledger(room.database, room.witness, room.clock.now_s).charge(granted(staged, Channel.EXPORT), 1, "q", 10, 0)


# Each act of the room, and kind and matter of what is noted of it.
ACTS: dict[str, tuple[Done, str, str]] = {
    "key registered": (register_key, "key", "registered"),
    "key retired": (retire_key, "key", "retired"),
    "vendor suspended": (
        lambda staged: staged.room.register.suspend(BOREALIS, "late", by="operator"), "agreement", "suspended",
    ),
    "vendor resumed": (resume, "agreement", "resumed"),
    "column classed": (
        lambda staged: staged.room.register.classify(AURORA, STATE, ColumnClass.TRADE_SECRET), "class", "",
    ),
    "terms offered": (lambda staged: begin(staged, terms(note="new")), "negotiation", "offer"),
    "agreed elsewhere": (lambda staged: staged.agree(note="another"), "agreement", "agreed"),
    "agreement revoked": (
        lambda staged: staged.room.register.revoke(agreement(staged), AURORA, "over"), "agreement", "revoked",
    ),
    "agreement collected": (
        lambda staged: staged.room.register.collected(
            staged.room.register.get(agreement(staged), AURORA).agreement
        ), "agreement", "collected",
    ),
    "algorithm approved": (
        lambda staged: approvals(staged).approve(AURORA, built_in()["statistics"]), "job", "approved",
    ),
    "algorithm withdrawn": (withdraw, "job", "withdrawn"),
    "job asked for": (ask_for_job, "job", "queued"),
    "job ended": (end_job, "job", "ended"),
    "budget charged": (charge_budget, "budget", ""),
    "transfer begun": (begin_transfer, "transfer", "start"),
    "credential issued": (issue_credential, "credential", "issued"),
}  # fmt: skip


def approvals(staged: Stage) -> Approvals:
    return Approvals(staged.room.database, staged.room.witness, staged.room.clock.now_s)


def jobs(staged: Stage) -> Jobs:
    return Jobs(staged.room.database, staged.room.witness, staged.room.clock.now_s)


def agreement(staged: Stage) -> str:
    (entry,) = staged.room.register.list(AURORA)
    return entry.agreement.digest


def granted(staged: Stage, channel: Channel) -> Grant:
    return staged.room.gate.authorize(Ask(BOREALIS, agreement(staged), channel, Purpose.TRAINING))


@pytest.mark.parametrize("name", ACTS)
def test_each_act_is_noted_though_the_process_ends_right_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Once, and by who opens the room next."""
    done, kind, what = ACTS[name]
    staged = stage(tmp_path, witness=None)
    staged.agree(channels=("export", "delta-share", "aggregate", "compute"), privacy_millionths=1_000_000)
    log = staged.room.witness
    assert isinstance(log, Log)

    def killed(self: Log, *owed: int) -> None:
        raise Killed

    with monkeypatch.context() as ending:
        ending.setattr(Log, "settle", killed)
        with pytest.raises(Killed):
            done(staged)
    before = log.size
    log.close()
    staged.close()

    again = stage(tmp_path, witness=None)
    (row,) = again.room.database.reader().execute("SELECT body FROM audit_leaf WHERE idx >= ?", (before,)).fetchall()
    leaf = json.loads(row[0])
    assert (leaf["kind"], leaf["fields"].get("what", leaf["fields"].get("state", ""))) == (kind, what)
    again.close()
