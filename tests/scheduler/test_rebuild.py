"""Any past can be rebuilt from the events: the fold of the log up to each number is what the tables were then."""

import asyncio
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palaestra.errors import PalaestraError
from palaestra.v1 import (
    calendar_pb2,
    calendar_service_pb2,
    episode_pb2,
    job_array_service_pb2,
    job_pb2,
    reservation_pb2,
    reservation_service_pb2,
    runner_service_pb2,
)  # fmt: skip
from scheduler import database
from scheduler.commands import arrays, ending, fleet, inventory, reserving, running, timetable
from scheduler.names import parts
from scheduler.rebuild import command, tables
from scheduler.rebuild.record import Gap, Record, Rows, rebuild
from scheduler.writer import Transaction
from tests.scheduler.site import TTL_S, Site, job, play

SHAPES: list[dict[str, Any]] = [
    {"units": 1},
    {"units": 2, "sim_slots": 1, "cell": "assembly"},
    {"units": 0, "sim_slots": 2},
    {"units": 1, "priority": 3, "labels": {"a": "b"}, "max_attempts": 1},
]
FAILURES = [
    job_pb2.Failure(reason="WORK_FAILED", message="it broke", retryable=True),
    job_pb2.Failure(reason="WORK_FAILED", message="it broke", retryable=False),
    job_pb2.Failure(reason="UNIT_FAULT", message="joint stuck", retryable=True),
]
ARTIFACT = job_pb2.Artifact(sha256="ef" * 32, size_bytes=9)


class Witness:
    """Notes, in the transaction of each command, what the tables are at its last event."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.seen: dict[int, Rows] = {}
        writer = site.core._writer
        run_one, cycle = writer._run_one, writer._cycle

        def watched_one(entry: Any, tx: Transaction) -> Any:
            answer = run_one(entry, tx)
            self.note(tx.db)
            return answer

        def watched_cycle(tx: Transaction) -> None:
            cycle(tx)
            self.note(tx.db)

        writer._run_one = watched_one  # type: ignore[method-assign]
        writer._cycle = watched_cycle

    def note(self, db: sqlite3.Connection) -> None:
        last = db.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
        self.seen[last] = tables.rows(db)


class Player:
    """Does what vendors, runners, hosts, operators and time do, as far as it makes sense at the moment."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def names(self, states: str) -> list[str]:
        rows = self.site.rows(
            f"""
            SELECT j.vendor, j.uid, a.number FROM attempt a JOIN job j ON j.id = a.job_id
            WHERE a.state IN ({states}) ORDER BY j.id
            """
        )
        return [f"vendors/{row['vendor']}/jobs/{row['uid']}/attempts/{row['number']}" for row in rows]

    async def submit(self, n: int) -> None:
        await self.site.submit(job(**SHAPES[n % len(SHAPES)]), ("acme", "rival", "third")[n % 3])

    async def array(self, n: int) -> None:
        site = self.site
        request = job_array_service_pb2.SubmitJobArrayRequest(parent="vendors/acme", job=job(), size=2 + n % 3)
        await site.run(arrays.submit("acme", request, site.core.catalogue, site.core.limits))

    async def settle(self, n: int) -> None:
        await self.site.settle()

    async def start(self, n: int) -> None:
        for name in self.names("1")[: 1 + n % 2]:
            await self.site.run(running.start(name, "r/one"))

    async def beat(self, n: int) -> None:
        beats = [
            runner_service_pb2.AttemptBeat(attempt=name, progress=job_pb2.JobProgress(fraction=n / 100, message="on"))
            for name in self.names("2")
        ]
        await self.site.run(
            running.heartbeat(runner_service_pb2.HeartbeatAttemptsRequest(instance="r/one", attempts=beats), TTL_S)
        )

    async def finish(self, n: int) -> None:
        for name in self.names("2")[:1]:
            if n % 3:
                await self.site.finish(name, job_pb2.ATTEMPT_STATE_SUCCEEDED, result=job_pb2.JobResult())
            else:
                await self.site.finish(name, job_pb2.ATTEMPT_STATE_FAILED, failure=FAILURES[n % len(FAILURES)])

    async def episode(self, n: int) -> None:
        for name in self.names("2")[:1]:
            body = episode_pb2.Episode(index=n, robot_model="own_arm", content=ARTIFACT)
            request = runner_service_pb2.CatalogueEpisodeRequest(attempt=name, instance="r/one", episode=body)
            await self.site.run(running.catalogue(request))

    async def rest(self, n: int) -> None:
        """A host says which epochs are over, and perhaps that a unit has a fault."""
        for row in self.site.rows("SELECT id, epoch FROM unit ORDER BY id"):
            if n % 4 == 0:
                await self.site.status(row["id"], safe_epoch=row["epoch"] - 1, motion=3, fault="joint stuck")
            else:
                await self.site.status(row["id"], safe_epoch=row["epoch"], motion=1)

    async def cancel(self, n: int) -> None:
        rows = self.site.rows("SELECT vendor, uid FROM job WHERE state < 5 ORDER BY id")
        if rows:
            row = rows[n % len(rows)]
            await self.site.run(ending.cancel(row["vendor"], row["uid"], ""))

    async def wait(self, n: int) -> None:
        await self.site.sweep(float((1, 3, 12, 700)[n % 4]))
        await self.site.run(reserving.sweep(self.site.core.bounds.grace_s))

    async def restart(self, n: int) -> None:
        """Of the scheduler, the runner or the host."""
        site = self.site
        if n % 3 == 0:
            await site.run(fleet.all_offline())
            site.clock.set_by_s((0.0, 3600.0, -3600.0)[n // 3 % 3])
            await site.run(inventory.recover(TTL_S, site.clock.anchor()))
        elif n % 3 == 1:
            await site.run(running.register_runner("r", f"r/{n}", 1 + n % 2))
            await site.run(running.register_runner("r", "r/one", 2))
        await site.hello(units=("arm-1", "arm-2", "arm-3"), instance="i1" if n % 3 else "i2")
        await site.hello(units=("arm-1", "arm-2", "arm-3"))

    async def reserve(self, n: int) -> None:
        start_s = self.site.clock.now_ns() // 10**9 + 60 * (n % 5)
        body = reservation_pb2.Reservation(claim=job().claim)
        body.claim.ClearField("duration")
        body.start_time.FromSeconds(start_s)
        body.end_time.FromSeconds(start_s + 600)
        request = reservation_service_pb2.CreateReservationRequest(parent="vendors/rival", reservation=body)
        made = await self.site.run(reserving.reserve("rival", request, self.site.core.bounds))
        if n % 2:
            await self.site.run(reserving.cancel(*parts(made.name), ""))

    async def close(self, n: int) -> None:
        body = calendar_pb2.Closure(display_name="works", units=["venues/hall/units/arm-1"], stop_running=n % 2 == 0)
        body.end_time.FromSeconds(self.site.clock.now_ns() // 10**9 + 60)
        request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall", closure=body)
        made = await self.site.run(timetable.close(request, "hall"))
        if n % 3 == 0:
            await self.site.run(timetable.reopen(parts(made.name)[1]))


DEEDS = ("submit", "array", "settle", "start", "beat", "finish", "episode", "rest", "cancel", "wait", "restart",
         "reserve", "close")  # fmt: skip
STORIES = st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 99)), min_size=10, max_size=40)
# One in which everything happens, so that it does not hang on what is drawn.
ALL = [
    (deed, n) for n in (1, 2, 3, 4) for deed in ("submit", "settle", *DEEDS, "start", "rest", "finish", "wait", "rest")
]


def tell(story: list[tuple[str, int]]) -> tuple[dict[int, Rows], list[tuple[int, int, str, bytes]]]:
    """Play a story; return what the tables were at each number, and the events."""

    async def play(folder: Path) -> tuple[dict[int, Rows], list[tuple[int, int, str, bytes]]]:
        async with Site(folder) as site:
            witness = Witness(site)
            await site.connect()
            player = Player(site)
            for deed, n in story:
                try:
                    await getattr(player, deed)(n)
                except PalaestraError:
                    # Refused; that leaves no trace, which is looked at like everything else.
                    continue
            await site.settle()
            events = [tuple(row) for row in site.rows("SELECT seq, time_ns, kind, body FROM event ORDER BY seq")]
            # A cycle may go on meanwhile.
            return {at: seen for at, seen in witness.seen.items() if at <= len(events)}, events

    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(play(Path(folder)))


def check(story: list[tuple[str, int]]) -> list[tuple[int, int, str, bytes]]:
    seen, events = tell(story)
    assert len(seen) > 3
    record = Record()
    for event in events:
        record.apply(*event)
        if record.sequence in seen:
            assert tables.differences(record.rows, seen[record.sequence]) == [], f"at {record.sequence}"
    assert record.sequence == max(seen)
    return events


def test_the_past_is_rebuilt_from_events_in_a_story_in_which_everything_happens(each_backend: str) -> None:
    events = check(ALL)
    kinds = {kind for _, _, kind, _ in events}

    assert kinds >= {
        "job.submitted", "job.granted", "job.started", "job.progress", "job.episode", "job.succeeded", "job.cancelled",
        "lease.granted", "lease.started", "lease.ending", "lease.ended", "unit.leased", "unit.freed", "unit.fault",
        "cell.leased", "cell.freed", "reservation.created", "closure.created", "closure.deleted", "episode.sealed",
    }  # fmt: skip


@settings(max_examples=8)
@given(STORIES)
def test_the_state_rebuilt_from_events_is_the_tables_at_every_number(story: list[tuple[str, int]]) -> None:
    check(story)


def test_every_column_is_rebuilt_or_is_said_not_to_be() -> None:
    """Whoever adds a table or a column finds here that events should tell of it, or that it must be said why not."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.executescript(database.SCHEMA)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        found = {
            table: {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
            for table in names
            if not table.startswith("sqlite_")
        }
        told = {
            table: {column[0] for column in db.execute(query).description}
            for table, (_, query) in tables.QUERIES.items()
        }
    # Names of rows stand for their numbers.
    links = {"attempt": {"job_id", "lease_id"}, "lease": {"job_id"}, "lease_unit": {"lease_id"},
             "lease_slot": {"lease_id"}, "lease_cell": {"lease_id"}}  # fmt: skip
    silent = set()
    for table, columns in found.items():
        if table in tables.NOT_TOLD:
            silent.add(table)
            continue
        untold = columns - told.get(table, set()) - links.get(table, set())
        silent |= {f"{table}.{column}" for column in untold}

    assert silent == set(tables.NOT_TOLD)


def test_a_log_with_a_gap_is_not_made_up_for() -> None:
    _, events = tell([("submit", 1), ("settle", 0)])
    for broken in (events[1:], events[:3] + events[4:]):
        with pytest.raises(Gap, match="is not there"):
            rebuild(broken)


def test_a_change_without_its_event_is_found() -> None:
    seen, events = tell([("submit", 0), ("settle", 0), ("start", 0)])
    there = seen[max(seen)]
    lies: list[Callable[[Rows], Any]] = [
        lambda rows: next(iter(rows["job"].values())).update(state=5),
        lambda rows: next(iter(rows["lease_unit"].values())).update(epoch=9),
        lambda rows: rows["lease"].clear(),
        lambda rows: rows["unit"].update({("arm-9",): {}}),
    ]
    for lie in lies:
        rebuilt = rebuild(events).rows
        assert tables.differences(rebuilt, there) == []
        lie(rebuilt)
        assert len(tables.differences(rebuilt, there)) == 1


def test_the_command_shows_a_past_and_checks_the_present(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(units=2))
        await site.settle()

    play(tmp_path, scene)
    path = tmp_path / "db"
    assert command.main([str(path)]) == 0
    assert "units held: 2" in capsys.readouterr().out
    assert command.main([str(path), "--at", "3"]) == 0
    assert "units held: 0" in capsys.readouterr().out
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE unit SET epoch = 7 WHERE id = 'arm-1'")
        db.commit()
    assert command.main([str(path)]) == 1
    assert "unit ('arm-1',) is rebuilt with epoch: 1, not 7" in capsys.readouterr().out
    with closing(sqlite3.connect(path)) as db:
        db.execute("DELETE FROM event WHERE seq = 1")
        db.commit()
    assert command.main([str(path)]) == 2
    assert "event 1 is not there" in capsys.readouterr().err
    assert command.main([str(tmp_path / "none")]) == 2
