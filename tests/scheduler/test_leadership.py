"""Who leads: epochs only grow, one that was overtaken commits nothing, and nobody is overtaken too early."""

import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from scheduler import database, presence
from scheduler.clock import DRIFT_MAX
from scheduler.database import DatabaseInUse
from scheduler.leadership import Candidate, Leadership, Mark, Overtaken, Sight, Verdict, Vigil
from scheduler.seat import FileSeat, folder_of, lead
from scheduler.writer import Transaction, Writer
from tests.scheduler.process import ROOT

TTL_S = 2.5
MARK = Mark(7, "one", "127.0.0.1:1")
# Takes the leadership, begins a transaction, says its process id and stops.
STUCK = """
import os, signal, sys
from pathlib import Path
from scheduler import database, seat
path = Path(sys.argv[1])
leadership = seat.lead(path, ttl_s=0.1)
db = database.open_writer(path)
db.execute("BEGIN IMMEDIATE")
print("stuck", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scheduler.db"


@pytest.fixture
def stuck(path: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A leader that was stopped in the middle of a transaction."""
    command = [sys.executable, "-c", STUCK, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None and process.stdout.readline() == b"stuck\n"
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
        yield process
        process.kill()


def taken(seat: FileSeat) -> Leadership:
    """Take over from whoever leads, dead or not."""
    found = Candidate(seat, ttl_s=0.0).attempt()
    assert found is not None
    return found


@given(
    looks=st.lists(st.tuples(st.floats(0.0, 2 * TTL_S), st.booleans()), max_size=30),
    phase_s=st.floats(0.0, TTL_S),
    speed=st.floats(1.0 / (1.0 + DRIFT_MAX), 1.0 + DRIFT_MAX),
)
def test_nobody_is_overtaken_as_long_as_he_is_good_by_his_own_clock(
    looks: list[tuple[float, bool]], phase_s: float, speed: float
) -> None:
    """A leader beats or not before each look; the clock of whoever looks runs up to 5 % faster or slower."""
    vigil, now_s, beats, good_until_s = Vigil(TTL_S), 0.0, 0, TTL_S
    for pause_s, beat in looks:
        if beat:
            # At any time since the last look.
            beats, good_until_s = beats + 1, now_s + min(phase_s, pause_s) + TTL_S
        now_s += pause_s
        verdict = vigil.judge(Sight(MARK, alive=True, beats=beats), now_s=now_s * speed)
        assert verdict is Verdict.HELD or now_s >= good_until_s - 1e-6


def test_one_that_does_nothing_is_overtaken_after_its_time_and_one_that_is_gone_at_once() -> None:
    vigil = Vigil(TTL_S)

    assert vigil.judge(Sight(None), now_s=0.0) is Verdict.GONE
    assert vigil.judge(Sight(MARK, alive=True, beats=1), now_s=0.0) is Verdict.HELD
    assert vigil.judge(Sight(MARK, alive=True, beats=1), now_s=TTL_S) is Verdict.HELD
    assert vigil.judge(Sight(MARK, alive=True, beats=1), now_s=1.06 * TTL_S) is Verdict.LAPSED
    assert vigil.judge(Sight(Mark(8, "two", ""), alive=True, beats=1), now_s=1.06 * TTL_S) is Verdict.HELD, "another"
    assert vigil.judge(Sight(MARK, alive=False, beats=2), now_s=1.07 * TTL_S) is Verdict.GONE


@settings(max_examples=20)
@given(steps=st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=25))
def test_only_the_newest_epoch_is_ever_written_with(steps: list[tuple[int, bool]]) -> None:
    """Three that overtake each other and write, in any order: each write is of the newest, and epochs only grow."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as ends:
        path = Path(folder) / "scheduler.db"
        seats = [FileSeat(path) for _ in range(3)]
        for seat in seats:
            ends.callback(seat.leave)
        db = database.open_writer(path)
        ends.callback(db.close)
        leaders: dict[int, Leadership] = {}
        newest = 0
        for who, takes in steps:
            if takes:
                leaders[who] = taken(seats[who])
                assert leaders[who].epoch == newest + 1
                newest += 1
            elif who in leaders:
                db.execute("BEGIN IMMEDIATE")
                try:
                    leaders[who].confirm(db)
                    assert leaders[who].epoch == newest
                except Overtaken:
                    assert leaders[who].epoch < newest
                    with pytest.raises(Overtaken):
                        leaders[who].check()
                db.execute("ROLLBACK")


def test_of_two_that_take_over_at_once_exactly_one_does(path: Path) -> None:
    first, second = FileSeat(path), FileSeat(path)

    assert first.take(None, Mark(1, first.instance, ""))
    assert not second.take(None, Mark(1, second.instance, ""))
    assert second.look() == Sight(Mark(1, first.instance, ""), alive=True, beats=1, pid=os.getpid())
    first.leave()
    second.leave()


def test_a_second_one_is_refused_and_told_who_leads_until_the_first_has_left(path: Path) -> None:
    first = lead(path, "127.0.0.1:7400", ttl_s=TTL_S)
    with pytest.raises(DatabaseInUse, match=rf"process id {os.getpid()} at 127\.0\.0\.1:7400; with --standby"):
        lead(path, ttl_s=TTL_S)
    first.release()
    second = lead(path, ttl_s=TTL_S)

    assert second.epoch == first.epoch + 1
    second.release()


def test_one_that_has_not_beaten_yet_is_good_for_its_time_and_no_longer(path: Path) -> None:
    """Between the take-over and the first beat lies a whole start; who is stopped there must look before it answers."""
    for ttl_s, answers in ((3600.0, True), (0.0, False)):
        leadership = lead(path, ttl_s=ttl_s)
        leadership.check()
        other = FileSeat(path)
        taken(other)
        if answers:
            leadership.check()
        else:
            with pytest.raises(Overtaken):
                leadership.check()
        leadership.release()
        other.leave()


def test_no_migration_while_anybody_leads_or_waits(path: Path) -> None:
    waiting = FileSeat(path)

    with pytest.raises(DatabaseInUse, match=f"process id {os.getpid()}"):
        database.DatabaseLock(path)
    waiting.leave()
    database.DatabaseLock(path).release()


def test_an_overtaken_writer_keeps_nothing_and_says_so(path: Path) -> None:
    """Two commands in one transaction, begun after the take-over; and nothing is taken afterwards."""
    leadership, other = lead(path, ttl_s=TTL_S), FileSeat(path)
    ends: list[BaseException] = []
    writer = Writer(
        database.open_writer(path), now_ns=lambda: 0, cycle=lambda tx: None, committed=lambda sequence: None,
        broken=ends.append, confirm=leadership.confirm,
    )  # fmt: skip

    def command(name: str) -> None:
        def run(tx: Transaction) -> None:
            tx.db.execute("INSERT INTO vendor VALUES (?, '', 1.0)", (name,))

        writer.submit(run).result(timeout=30.0)

    writer.start()
    command("before")
    taken(other)
    with pytest.raises(PalaestraError) as caught:
        command("after")
    with pytest.raises(PalaestraError) as again:
        command("later")
    writer.stop()

    assert (caught.value.reason, again.value.reason) == ("NOT_LEADER", "NOT_LEADER")
    assert "led in epoch 1; another one leads in epoch 2" in caught.value.message
    assert [type(end) for end in ends] == [Overtaken]
    with closing(sqlite3.connect(path)) as db:
        assert [name for (name,) in db.execute("SELECT id FROM vendor")] == ["before"]
    leadership.release()
    other.leave()


def test_an_overtaken_writer_decides_nothing(path: Path) -> None:
    """The take-over comes between a commit and the cycle that it asked for."""
    leadership, other = lead(path, ttl_s=TTL_S), FileSeat(path)
    ends: list[BaseException] = []
    decided: list[int] = []

    def committed(sequence: int) -> None:
        taken(other)

    writer = Writer(
        database.open_writer(path), now_ns=lambda: 0, cycle=lambda tx: decided.append(1),
        committed=committed, broken=ends.append, confirm=leadership.confirm,
    )  # fmt: skip

    def command(tx: Transaction) -> None:
        tx.last_seq, tx.wants_cycle = 1, True

    writer.start()
    writer.submit(command).result(timeout=30.0)
    writer.stop()

    assert not decided
    assert [type(end) for end in ends] == [Overtaken]
    leadership.release()
    other.leave()


def test_a_leader_that_was_stopped_in_a_transaction_is_ended_because_it_blocks_everybody(
    path: Path, stuck: "subprocess.Popen[bytes]"
) -> None:
    seat = FileSeat(path)
    candidate = Candidate(seat, ttl_s=0.1)
    give_up_s = time.monotonic() + 60.0
    while (found := candidate.attempt()) is None:
        assert time.monotonic() < give_up_s
        time.sleep(0.02)

    assert found.epoch == 2
    assert stuck.wait(30.0) == -signal.SIGKILL
    seat.leave()


def test_only_the_process_that_holds_the_file_is_ended(tmp_path: Path) -> None:
    """Its number stands there too, but numbers are given again."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    present = presence.Presence(tmp_path / "there", "one")
    os.pwrite(present._file, presence._CONTENT.pack(1, bystander.pid), 0)

    assert not presence.kill(tmp_path / "there", "one")
    assert bystander.poll() is None
    bystander.communicate(b"\n")
    assert bystander.returncode == 0
    present.leave()


def test_what_dead_processes_leave_is_seen_as_such_and_swept(path: Path, stuck: "subprocess.Popen[bytes]") -> None:
    before = FileSeat(path)
    assert before.look().alive
    stuck.kill()
    stuck.wait()

    assert not before.look().alive
    taken(before)
    assert [file.name for file in folder_of(path).iterdir()] == [before.instance]
    before.leave()
