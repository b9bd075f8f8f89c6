"""A cycle of a live venue: what it follows, what it looks at, and what it keeps of its decisions."""

import gc
import sqlite3
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from datetime import datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from palaestra.v1 import (
    body_pb2,
    calendar_service_pb2,
)
from scheduler import names
from scheduler.commands import (
    ending,
    granting,
    recording,
    running,
    timetable,
)
from scheduler.decide import decide
from scheduler.lifecycle import Step
from scheduler.queue import Queue
from scheduler.replay.database import decide_again
from scheduler.replay.workload import BadTrace
from scheduler.snapshot import kept
from scheduler.snapshot.use import gained
from scheduler.standing import Standing
from scheduler.state import Config, Decisions, Job, State
from scheduler.token import pack
from scheduler.writer import Transaction
from tests.scheduler.site import job
from tests.scheduler.stepping import UNITS, claim, small


def test_a_job_behind_hundreds_of_its_vendor_that_cannot_start_is_looked_at(tmp_path: Path) -> None:
    """300 jobs ask for a gripper that no unit has; the 301st, of lower priority, asks for what is free."""
    venue = small(tmp_path / "db")
    venue.hello(UNITS[:1], body=body_pb2.Body(end_effector="gripper"))
    blocked = job(claim={"units": [{"selector": {"end_effector": "gripper"}, "count": 1}], "duration": {"seconds": 60}})
    for _ in range(300):
        venue.run(venue.submit(blocked))
    venue.status("arm-1", fault="elbow")
    last = venue.run(venue.submit(job(1, priority=-1)))
    venue.writer._run_cycle()

    granted = venue.rows("SELECT uid FROM job WHERE state = 2")
    assert [row["uid"] for row in granted] == [last.name.split("/")[3]]


def test_a_look_after_nothing_has_happened_reads_no_row_of_a_job_unit_or_lease(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    for _ in range(5):
        venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    venue.look()
    read: list[str] = []
    venue.db.set_trace_callback(read.append)
    venue.db.execute("BEGIN")
    venue.cycle.venue.look(venue.clock.now_ns(), runner_ready=True)
    venue.db.execute("COMMIT")
    venue.db.set_trace_callback(None)

    assert not [query for query in read if "FROM job " in query or "FROM unit " in query or "FROM lease " in query]
    assert venue.cycle.venue.readings == 1


@pytest.mark.parametrize("held", [3, 40])
def test_a_look_counts_the_use_of_what_has_come_and_not_of_all_that_a_vendor_holds(
    held: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = small(tmp_path / "db")
    venue.run(running.register_runner("r", "r/one", held + 1))
    for _ in range(held):
        venue.run(venue.submit(job(0, 1)))
    venue.writer._run_cycle()
    assert len(venue.rows("SELECT 1 FROM lease WHERE state = 1")) == held
    venue.same()
    venue.run(venue.submit(job(0, 1)))
    venue.writer._run_cycle()
    counted: list[object] = []

    def count(lease: object, *others: Any) -> Any:
        counted.append(lease)
        return gained(lease, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(kept, "gained", count)
    venue.look()

    assert len(counted) == 1
    venue.same()


def test_what_was_rolled_back_is_read_anew_once(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.run(venue.submit(job(1)))

    def undone(tx: Transaction) -> None:
        venue.decide(tx)
        raise ValueError("undone")

    venue.writer._cycle = undone
    venue.writer._run_cycle()
    assert venue.rows("SELECT 1 FROM lease") == []
    venue.writer._cycle = venue.decide
    venue.writer._run_cycle()
    venue.writer._run_cycle()

    assert len(venue.rows("SELECT 1 FROM lease")) == 1
    assert venue.cycle.venue.readings == 2


def test_what_another_connection_writes_is_seen(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.same()
    with closing(sqlite3.connect(venue.path)) as db:
        db.execute("UPDATE unit SET latched = 1 WHERE id = 'arm-1'")
        db.commit()

    kept, _, _, _ = venue.look()
    assert [unit.unit for unit in kept.units if not unit.usable] == ["arm-1"]


def test_a_back_off_ends_by_time_alone(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    body = venue.run(venue.submit(job(1)))
    after_ns = venue.clock.now_ns() + 5 * 10**9
    venue.run(lambda tx: tx.db.execute("UPDATE job SET not_before_ns = ?", (after_ns,)))
    waiting = [len(venue.look()[0].jobs)]
    for after_s in (4.0, 1.0):
        venue.clock.pass_s(after_s)
        waiting.append(len(venue.look()[0].jobs))
    venue.writer._run_cycle()

    assert waiting == [0, 0, 1]
    assert venue.rows("SELECT uid FROM job WHERE state = 2")[0]["uid"] == body.name.split("/")[3]
    assert venue.cycle.venue.readings == 1


def test_what_must_stop_for_safety_stops_though_no_runner_is_connected(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    venue.run(venue.submit(job(1)))
    request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall")
    request.closure.end_time.FromNanoseconds(venue.clock.now_ns() + 3600 * 10**9)
    request.closure.stop_running = True
    venue.run(timetable.close(request, "hall"))
    venue.runner_ready = False
    venue.writer._run_cycle()

    assert [row["preempt_ns"] for row in venue.rows("SELECT preempt_ns FROM attempt")] == [venue.clock.now_ns()]
    assert len(venue.rows("SELECT 1 FROM lease")) == 1


def test_a_cycle_leaves_nothing_that_only_the_garbage_collector_could_free(tmp_path: Path) -> None:
    """With a choice of units, a planned start, grants, and the whole state and then changes written down.

    In a process of its own: threads that other tests have left behind make cycles too.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        assert alone.submit(left_by_two_cycles, tmp_path / "db").result() == [[], []]


def left_by_two_cycles(folder: Path) -> list[list[str]]:
    """What the garbage collector finds after each of two cycles."""
    venue = small(folder)
    venue.hello(UNITS[:1], body=body_pb2.Body(end_effector="gripper"))
    # What is found out once in the life of a process.
    pack(State(0), Config())
    found = []
    for _ in range(2):
        for units in (3, 1):
            venue.run(venue.submit(job(claim=claim(units))))
        venue.clock.pass_s(60.0)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            venue.writer._run_cycle()
            gc.collect()
            found.append([repr(left)[:200] for left in gc.garbage])
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        for row in venue.rows("SELECT * FROM attempt WHERE state IN (1, 2)"):
            venue.run(lambda tx, row=row: ending.end_attempt(tx, row, Step.FAIL, failure=ending.made_room()))
        for row in venue.rows("SELECT id, epoch FROM unit"):
            venue.status(row["id"], safe_epoch=row["epoch"], motion=1)
    assert len(venue.rows("SELECT 1 FROM decision")) == 2
    return found


def test_the_garbage_collector_is_spared_a_great_queue_once_it_is_read_and_then_by_the_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    venue = small(tmp_path / "db")
    spared: list[int] = []
    monkeypatch.setattr(gc, "freeze", lambda: spared.append(len(venue.rows("SELECT 1 FROM job"))))
    monkeypatch.setattr(granting, "SPARE_FROM", 6, raising=False)
    for _ in range(14):
        venue.run(venue.submit(job(3)))
        venue.clock.pass_s(600.0)
        venue.writer._run_cycle()

    assert spared == [7, 13]


def test_where_deciding_fails_what_must_stop_stops_and_no_decision_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One unit is closed and another is free: on the whole state something would be granted too."""
    venue = small(tmp_path / "db")
    venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    held = venue.rows("SELECT unit FROM lease_unit")[0]["unit"]
    venue.run(venue.submit(job(1)))
    request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall")
    request.closure.end_time.FromNanoseconds(venue.clock.now_ns() + 3600 * 10**9)
    request.closure.stop_running = True
    request.closure.units.append(names.unit("hall", held))
    venue.run(timetable.close(request, "hall"))

    def failing(standing: Standing, now_ns: int, config: Config) -> Decisions:
        if standing.queue:
            raise ValueError("no decision")
        return decide(standing, now_ns, config)

    monkeypatch.setattr(granting, "decide", failing)
    venue.writer._run_cycle()
    assert [row["preempt_ns"] for row in venue.rows("SELECT preempt_ns FROM attempt")] == [venue.clock.now_ns()]
    monkeypatch.undo()
    tokens = [row["token"] for row in venue.rows("SELECT token FROM decision")]
    assert len(tokens) == 1
    assert all(decide_again(venue.path, token).same for token in tokens)
    venue.same()
    # The job on which it failed is tried again after a while.
    venue.clock.pass_s(601.0)
    venue.writer._run_cycle()
    assert venue.rows("SELECT attempt_count FROM job WHERE vendor = 'acme' ORDER BY id")[-1][0] == 1
    assert venue.cycle.venue.readings == 1


def test_a_job_on_which_deciding_fails_is_set_aside_with_a_word_and_the_others_are_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out for a while, others with the same claim are not; after that it is tried again and starts."""
    venue = small(tmp_path / "db")
    for _ in range(2):
        venue.run(venue.submit(job(1)))
    poison = venue.run(venue.submit(job(0, 1)))
    bad = venue.rows("SELECT id FROM job ORDER BY id DESC")[0]["id"]
    calls = []

    def failing(standing: Standing, now_ns: int, config: Config) -> Decisions:
        calls.append(len(standing.queue))
        if bad in standing.queue.jobs:
            raise KeyError("something that no test has thought of")
        return decide(standing, now_ns, config)

    monkeypatch.setattr(granting, "decide", failing)
    venue.writer._run_cycle()
    assert len(venue.rows("SELECT 1 FROM lease")) == 2
    (told,) = venue.rows("SELECT resource, vendor, message FROM event WHERE kind = 'job.set_aside'")
    assert (told["resource"], told["vendor"]) == (poison.name, "acme")
    assert "leaves it out for 10 minutes" in told["message"] and "no test" not in told["message"]
    sought = len(calls)
    venue.run(venue.submit(job(0, 1)))
    venue.writer._run_cycle()
    assert len(calls) == sought + 1, "it is not sought again"
    assert len(venue.rows("SELECT 1 FROM lease")) == 3, "another one with the same claim"
    venue.same()
    monkeypatch.undo()
    venue.clock.pass_s(601.0)
    venue.writer._run_cycle()
    assert venue.rows("SELECT attempt_count FROM job WHERE id = ?", bad)[0][0] == 1


def test_a_job_that_cannot_even_be_indexed_is_set_aside_and_the_others_are_granted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it came first, and when it is there at the next start."""
    venue = small(tmp_path / "db")
    poison = venue.run(venue.submit(job(0, 1)))
    bad = venue.rows("SELECT id FROM job ORDER BY id DESC")[0]["id"]
    enter = Queue.add

    def failing(queue: Queue, one: Job) -> Any:
        if one.job == bad:
            raise KeyError("something that no test has thought of")
        return enter(queue, one)

    monkeypatch.setattr(Queue, "add", failing)
    venue.run(venue.submit(job(1)))
    venue.writer._run_cycle()
    assert [row["job_id"] for row in venue.rows("SELECT job_id FROM lease")] != [bad]
    assert len(venue.rows("SELECT 1 FROM lease")) == 1
    (told,) = venue.rows("SELECT resource, message FROM event WHERE kind = 'job.set_aside'")
    assert told["resource"] == poison.name and "no test" not in told["message"]
    readings = venue.cycle.venue.readings
    venue.run(venue.submit(job(0, 1)))
    venue.writer._run_cycle()
    assert len(venue.rows("SELECT 1 FROM lease")) == 2, "another one with the same claim"
    assert venue.cycle.venue.readings == readings, "it is not sought again"
    monkeypatch.undo()
    venue.clock.pass_s(601.0)
    venue.writer._run_cycle()
    assert venue.rows("SELECT attempt_count FROM job WHERE id = ?", bad)[0][0] == 1
    venue.same()


def test_decisions_are_kept_as_changes_and_those_they_build_on_are_kept_with_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 40 decisions the latest 16 can be made again, though most are told by what has changed."""
    monkeypatch.setattr(recording, "CHANGES_MAX", 3)
    venue = small(tmp_path / "db")
    venue.cycle._recorder = recording.Recorder(kept=16)
    # What is put together from what was put into words before is what it would be if it were put into words now.
    for name in ("pack", "pack_changes"):
        told = getattr(recording, name)

        def compared(*arguments: Any, told: Any = told) -> bytes:
            data: bytes = told(*arguments)
            assert data == told(*arguments[:-1])
            return data

        monkeypatch.setattr(recording, name, compared)
    tokens = []
    for _ in range(40):
        body = venue.run(venue.submit(job(1)))
        venue.writer._run_cycle()
        tokens.append(venue.rows("SELECT token FROM decision ORDER BY id DESC")[0]["token"])
        if len(tokens) in (7, 20):
            # A place goes, and comes again among those that stayed.
            for runner in ("r/2", "r/1"):
                venue.run(running.register_runner("r", runner, 3))
        venue.run(ending.cancel("acme", body.name.split("/")[3], ""))
        for row in venue.rows("SELECT * FROM attempt WHERE state IN (1, 2)"):
            venue.run(lambda tx, row=row: ending.end_attempt(tx, row, Step.CANCELLED, failure=ending.made_room()))
        for row in venue.rows("SELECT id, epoch FROM unit"):
            venue.status(row["id"], safe_epoch=row["epoch"], motion=1)

    assert len(set(tokens)) == 40
    marks = [bytes(row[0]) for row in venue.rows("SELECT substr(state, 1, 1) FROM decision ORDER BY id DESC")]
    assert b"".join(marks).count(b"+") >= len(marks) // 2
    assert max(map(len, b"".join(marks).split(b"x"))) <= 3
    assert 16 <= len(marks) <= 16 + 2 * 3 + 1
    assert all(decide_again(venue.path, token).same for token in tokens[-16:])
    assert decide_again(venue.path, tokens[-2][:12]).recorded.token == tokens[-2]
    for token in tokens[:-16]:
        with pytest.raises(BadTrace):
            decide_again(venue.path, token)


def test_changes_without_what_they_build_on_are_not_told_as_a_decision(tmp_path: Path) -> None:
    venue = small(tmp_path / "db")
    for _ in range(2):
        venue.run(venue.submit(job(1)))
        venue.writer._run_cycle()
    token = venue.rows("SELECT token FROM decision ORDER BY id DESC")[0]["token"]
    assert decide_again(venue.path, token).same
    venue.run(lambda tx: tx.db.execute("DELETE FROM decision WHERE id = 1"))

    with pytest.raises(BadTrace):
        decide_again(venue.path, token)


CHANGES = [
    "INSERT INTO used_mean VALUES ('rival', 1700000000000000000, 0.5, 0.9, 0.0)",
    "UPDATE job SET priority = 7",
    "UPDATE job SET deadline_ns = 1800000000000000000 WHERE state = 1",
    "UPDATE job SET not_before_ns = 1800000000000000000 WHERE state = 1",
    "UPDATE lease SET end_by_ns = end_by_ns + 1000",
    "UPDATE lease SET seats = 1, chargers = 1",
    "UPDATE attempt SET safe_ns = grant_ns + 5",
    "UPDATE unit SET zone = 'north'",
    "UPDATE unit SET fault = 'elbow' WHERE id = 'arm-1'",
    "UPDATE unit SET robot_model = 'other' WHERE id = 'arm-2'",
    "UPDATE body SET calibrated_ns = 1700000100000000000",
    "UPDATE body SET health = 6",
    "INSERT INTO unit_order (unit, action, body) VALUES ('arm-3', 'charge', x'')",
    "UPDATE unit_order SET done_ns = 5",
    "UPDATE unit_order SET done_ns = NULL",
    "DELETE FROM unit_order",
    "UPDATE body SET plugged = 1",
    "INSERT INTO unit (id, robot_model, online) VALUES ('new', 'own_arm', 1)",
    "INSERT INTO sim_slot VALUES ('s-9', 'r')",
    "DELETE FROM sim_slot WHERE id = 'r-1'",
    "INSERT OR REPLACE INTO cell SELECT id, '', 'walking', sector, 1, 0, 0, 0, 1, 1, '' FROM cell",
    "UPDATE cell SET zone = 'south'",
    "DELETE FROM cell WHERE id NOT IN (SELECT cell FROM lease_cell)",
    "UPDATE used_mean SET unit = unit + 5",
    "DELETE FROM used_mean",
    "INSERT INTO target VALUES ('rival', 3.0, 0)",
    "UPDATE target SET factor = 2.0",
    "DELETE FROM target",
    "UPDATE party SET guarantee_units = 2, limit_slots = 1 WHERE id = 'acme'",
    "UPDATE party SET starts_per_hour = 1 WHERE id = 'acme'",
    "UPDATE venue SET seats = 5, chargers = 3",
    "INSERT OR REPLACE INTO zone VALUES ('south', 1)",
    "UPDATE calendar_window SET stop_running = 1",
    "UPDATE venue SET time_zone = 'Asia/Shanghai'",
]


def test_every_change_of_a_row_is_seen_whoever_makes_it(tmp_path: Path) -> None:
    """Also those that no command makes today, one by one on a venue where jobs run and wait."""
    hours = (datetime(2023, 1, 1, 8), datetime(2023, 1, 2, 4))
    opening = [{"start": hours[0], "end": hours[1], "rrule": "FREQ=DAILY"}]
    cells = [{"id": "bench", "scenario": "assembly", "zone": "south"}, {"id": "desk", "scenario": "assembly"}]
    zones = [{"id": "north"}, {"id": "south"}]
    venue = small(tmp_path / "db", cell=cells, zone=zones, opening=opening)
    for body in (claim(1, 1, cell={"scenario": "assembly"}), claim(1), claim(2), claim(0, 2), claim(9)):
        venue.attempted(venue.submit(job(claim=body)))
    venue.writer._run_cycle()
    assert len(venue.rows("SELECT 1 FROM lease_cell")) == 1
    venue.same()
    for change in CHANGES:
        venue.run(lambda tx, change=change: tx.db.execute(change))
        venue.same()
    # At first, and for the five changes of the venue's rules.
    assert venue.cycle.venue.readings == 1 + 5
