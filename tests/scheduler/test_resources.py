"""Resources as bytes are those that are read, and show nobody what is not his."""

from dataclasses import replace
from pathlib import Path

from palaestra.v1 import event_pb2
from scheduler import resources
from scheduler.identity import Identity
from scheduler.roles import Role
from scheduler.sql import insert
from scheduler.writer import Transaction
from tests.scheduler.site import Site, job, play

READERS = (
    Identity(Role.OPERATOR),
    Identity(Role.VENDOR, "acme"),
    Identity(Role.VENDOR, "rival"),
    replace(Identity(Role.READER, "acme"), projects=frozenset({"legs"})),
)


def test_an_event_in_bytes_is_the_event_for_every_reader(tmp_path: Path) -> None:
    """Of jobs, leases, units, cells and slots; who may not see whose a unit is finds no lease in its bytes either."""

    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job(1, 1, cell="assembly"))
        await site.settle()
        rows = site.core.read.execute("SELECT * FROM event ORDER BY seq").fetchall()
        kinds = {event_pb2.Event.FromString(row["body"]).WhichOneof("state") for row in rows}
        assert {"job", "lease", "unit", "cell", "sim_slot"} <= kinds
        told = {"acme": 0, "rival": 0}
        for row in rows:
            for reader in READERS:
                found = event_pb2.Event.FromString(resources.event_bytes(row, reader))
                assert found == resources.event(row, reader)
                if reader.role is Role.VENDOR and found.HasField("unit"):
                    told[reader.vendor] += bool(found.unit.lease)
        assert told["acme"] > 0
        assert told["rival"] == 0

    play(tmp_path, scene)


def test_jobs_and_leases_of_many_rows_are_those_of_each(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        bodies = [await site.submit(job(count, 1)) for count in (1, 2, 0)] + [await site.submit(job(3))]
        await site.settle()
        db = site.core.read
        job_rows = db.execute("SELECT * FROM job ORDER BY id DESC").fetchall()
        lease_rows = db.execute(f"{resources.LEASES} ORDER BY l.id DESC").fetchall()
        jobs, leases = resources.jobs(db, job_rows), resources.leases(db, lease_rows)

        assert [found.name for found in jobs] == [body.name for body in reversed(bodies)]
        assert jobs == [resources.job(db, row) for row in job_rows]
        assert leases == [resources.lease(db, row) for row in lease_rows]
        assert sorted(len(found.attempts) for found in jobs) == [0, 0, 1, 1]
        assert sorted((len(lease.units), len(lease.sim_slots)) for lease in leases) == [(1, 1), (2, 1)]
        assert {lease.job for lease in leases} == {found.name for found in jobs if found.attempts}

    play(tmp_path, scene)


def test_of_a_job_that_was_tried_very_often_the_last_attempts_are_read_and_no_others(tmp_path: Path) -> None:
    """By what the database steps through: the same for a job of a thousand attempts as for one of twenty."""

    async def scene(site: Site) -> None:
        await site.connect()
        often, seldom = [await site.submit(job(1)) for _ in range(2)]
        await site.settle()

        def add(tx: Transaction) -> None:
            for uid, count in ((often.name.split("/")[3], 1000), (seldom.name.split("/")[3], 20)):
                (row,) = tx.db.execute("SELECT * FROM job WHERE uid = ?", (uid,)).fetchall()
                lease_id = tx.db.execute("SELECT id FROM lease WHERE job_id = ?", (row["id"],)).fetchone()[0]
                rows = [(row["id"], number, 5, lease_id, tx.now_ns, "[]") for number in range(2, count + 1)]
                insert(tx.db, "INSERT INTO attempt (job_id, number, state, lease_id, grant_ns, resources)", rows)
                tx.db.execute("UPDATE job SET attempt_count = ? WHERE id = ?", (count, row["id"]))

        await site.run(add)
        steps = []
        for body, last in ((often, 1000), (seldom, 20)):
            row = site.row("SELECT * FROM job WHERE uid = ?", body.name.split("/")[3])
            count = 0

            def step() -> int:
                nonlocal count
                count += 1
                return 0

            site.core.read.set_progress_handler(step, 1)  # type: ignore[attr-defined]
            found = resources.job(site.core.read, row)
            site.core.read.set_progress_handler(None, 1)  # type: ignore[attr-defined]
            assert [attempt.number for attempt in found.attempts] == list(range(last, last - 10, -1))
            steps.append(count)
        assert steps[0] < 1.2 * steps[1], steps

    play(tmp_path, scene)
