"""In PostgreSQL a vendor's call sees that vendor's rows only, whatever its query forgot."""

import re
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from database.address import Address
from database.postgres import schema
from database.postgres.connection import Connection
from scheduler import database
from scheduler.postgres import opening, vendors
from scheduler.sql import Failed
from tests.cluster import Cluster
from tests.scheduler import places
from tests.scheduler.site import PATIENCE_S, Site, job, play

TABLES = schema.tables(schema.created(database.SCHEMA))


@pytest.fixture
def shared(tmp_path: Path, cluster: Cluster) -> Callable[[str | None], opening.Connection]:
    """A venue with something of two vendors in it; returns a connection that reads for one of them."""
    places.use(cluster)

    async def scene(site: Site) -> None:
        await site.connect(slots=4)
        for vendor in ("acme", "rival"):
            for _ in range(2):
                await site.submit(job(0, 1), vendor, request_id="")
        await site.settle()
        await site.submit(job(3), "acme")
        await site.settle()

    try:
        play(tmp_path, scene)
        place = places.place(tmp_path / "db")
    finally:
        places.use(None)
    assert not isinstance(place, Path)
    return lambda vendor: opening.open_reader(place, lambda: vendor)


def test_a_query_without_its_condition_sees_own_rows_only(shared: Callable[[str | None], opening.Connection]) -> None:
    for table in ("job", "lease", "party", "usage"):
        with closing(shared(None)) as house, closing(shared("acme")) as acme:
            everybody = {row["vendor"] for row in house.execute(f"SELECT vendor FROM {table}")}
            own = {row["vendor"] for row in acme.execute(f"SELECT vendor FROM {table}")}
        assert own <= {"acme"}, table
        if table in ("job", "lease", "party"):
            assert own == {"acme"} and {"acme", "rival"} <= everybody


def test_what_belongs_to_a_job_or_lease_is_seen_with_it(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared(None)) as house, closing(shared("acme")) as acme:
        for table, counts in {"attempt": (5, 3), "lease_slot": (4, 2)}.items():
            every, own = (db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for db in (house, acme))
            assert (every, own) == counts, table


def test_events_for_everybody_and_own_ones_are_seen(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared("rival")) as rival:
        assert {row[0] for row in rival.execute("SELECT vendor FROM event")} == {"rival", None}


def test_a_vendor_that_is_none_sees_no_vendors_rows(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared("")) as nobody:
        assert nobody.execute("SELECT count(*) FROM job").fetchone()[0] == 0


def test_a_read_for_one_vendor_leaves_nothing_behind_for_the_next(
    shared: Callable[[str | None], opening.Connection],
) -> None:
    """One connection serves calls of all; after a refused statement too."""
    with closing(shared(None)) as db:
        seen = []
        for vendor in ("acme", "rival", None):
            db._vendor = lambda vendor=vendor: vendor  # type: ignore[misc]
            with pytest.raises(Failed, match="does not exist"):
                db.execute("SELECT * FROM nothing")
            seen.append({row[0] for row in db.execute("SELECT vendor FROM lease")})
        assert seen == [{"acme"}, {"rival"}, {"acme", "rival"}]


def test_a_read_with_a_value_that_cannot_be_sent_leaves_nothing_behind_either(
    shared: Callable[[str | None], opening.Connection],
) -> None:
    with closing(shared("acme")) as db:
        with pytest.raises(struct.error):
            db.execute("SELECT * FROM lease WHERE id = ?", (2**70,))
        db._vendor = lambda: None
        assert {row[0] for row in db.execute("SELECT vendor FROM lease")} == {"acme", "rival"}


def test_who_finds_the_role_made_by_another_venue_just_now_may_act_as_it(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two venues of one server start for the first time together, under roles of their own that are no superusers."""
    role = "palaestra_vendor_of_two"
    monkeypatch.setattr(vendors, "ROLE", role)
    monkeypatch.setattr("database.postgres.connection.ROLE", role)
    with closing(Connection(cluster.address().url, {})) as admin:
        if int(admin.execute("SHOW server_version_num").fetchone()[0]) >= 160_000:
            pytest.skip("who may make roles may not take others' since version 16")
        admin.script("CREATE ROLE plain LOGIN CREATEROLE")
        admin.execute("CREATE DATABASE of_plain OWNER plain")
        admin.execute("BEGIN")
        admin.execute(f"CREATE ROLE {role} NOLOGIN")
        admin.wire.wait()
        address = Address(cluster.address("of_plain").url.replace("postgres@", "plain@"))
        with ThreadPoolExecutor(1) as second:
            opened = second.submit(opening.open_writer, address)
            try:
                with closing(Connection(cluster.address().url, {})) as looker:
                    waits = "SELECT 1 FROM pg_stat_activity WHERE datname = 'of_plain' AND wait_event_type = 'Lock'"
                    give_up_s = time.monotonic() + PATIENCE_S
                    while looker.execute(waits).fetchone() is None and not opened.done():
                        assert time.monotonic() < give_up_s
                        time.sleep(0.01)
            finally:
                admin.execute("COMMIT")
            opened.result(PATIENCE_S).close()
    with closing(opening.open_reader(address, lambda: "acme")) as acme:
        assert acme.execute("SELECT count(*) FROM job").fetchone()[0] == 0


def test_what_no_vendor_has_business_with_is_denied(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared("acme")) as acme:
        for table in vendors.CLOSED:
            with pytest.raises(Failed, match="permission denied"):
                acme.execute(f"SELECT * FROM {table}")


def test_the_role_cannot_write(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared("acme")) as acme:
        acme.wire.script("SET default_transaction_read_only TO off")
        with pytest.raises(Failed, match="permission denied"):
            acme.execute("UPDATE job SET priority = 9")


@pytest.mark.parametrize("table", TABLES)
def test_every_table_has_its_place(table: str) -> None:
    """A new table fails here until somebody has said whose its rows are; one with vendors' rows needs a policy."""
    assert (table in vendors.ROWS) + (table in vendors.OPEN) + (table in vendors.CLOSED) == 1
    (text,) = (
        one
        for one in schema.statements(database.SCHEMA + ";" + schema._REMEMBER)
        if re.match(rf"CREATE TABLE {table}\b", one)
    )
    if re.search(r"[(,]\s*vendor\s+TEXT", text):
        assert "vendor = " in vendors.ROWS[table]


def test_every_policy_is_in_force(shared: Callable[[str | None], opening.Connection]) -> None:
    with closing(shared(None)) as db:
        rows = db.execute(
            """
            SELECT c.relname, c.relrowsecurity, (SELECT count(*) FROM pg_policy p WHERE p.polrelid = c.oid)
            FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = to_regnamespace('public')
            """
        ).fetchall()
        bypass = db.execute("SELECT rolbypassrls, rolsuper FROM pg_roles WHERE rolname = ?", (vendors.ROLE,)).fetchone()
    assert {row[0] for row in rows if row[1] and row[2]} == set(vendors.ROWS)
    assert tuple(bypass) == (False, False)
