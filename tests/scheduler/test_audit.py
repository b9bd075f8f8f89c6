"""The audit: whoever changes something is written down with the change, and nobody can change that unseen."""

import asyncio
import json
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from palaestra import Client, PalaestraError, chain
from palaestra.audit import Verification
from palaestra.chain import BrokenChain, exported
from palaestra.operations import Place
from palaestra.v1 import audit_service_pb2, audit_service_pb2_grpc, calendar_pb2, calendar_service_pb2
from palaestra.v1.audit_pb2 import AuditEntry, AuditHead
from palaestra.v1.calendar_pb2 import Closure
from palaestra.v1.calendar_service_pb2 import CreateClosureRequest
from scheduler import audit, database
from scheduler.commands import timetable
from scheduler.configuration import settings_of
from scheduler.identity import Identity
from scheduler.roles import ROLES, Role
from scheduler.writer import Command, Transaction
from tests.scheduler.contract import METHODS
from tests.scheduler.site import PATIENCE_S, VENUE, LiveServer, Site, error_of, job, play
from tests.scheduler.test_isolation import FIRST, Hall

ROOT = Path(__file__).parents[2]
CHAINS = ("acme", "rival", "venue")
COLUMNS = ("time_ns", "actor", "role", "method", "resource", "reason", "request_sha256", "hash", "venue_hash", "chain")


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with LiveServer(tmp_path_factory.mktemp("audit")) as server:
        yield server


@pytest.fixture
def acme(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("vendor-acme"), timeout_s=PATIENCE_S) as client:
        yield client


@pytest.fixture
def operator(live: LiveServer) -> Iterator[Client]:
    with Client(live.address, live.token("operator"), timeout_s=PATIENCE_S) as client:
        yield client


def record(db: sqlite3.Connection, calls: list[tuple[str, str]]) -> None:
    """Write down some calls, each of whom it concerns and why."""
    for number, (whose, reason) in enumerate(calls):
        tx = Transaction(db, 1_700_000_000_000_000_000 + number)
        audit.write(tx, [whose], "operator by token", "operator", "A/B", f"x/{number}", reason, b"\1" * 32)
        for last in tx.at_commit.values():
            last(tx)


def look(db: sqlite3.Connection, whose: str, noted: AuditHead | None = None) -> AuditHead:
    """Verify a chain as a client does. Raises BrokenChain."""
    parent = "venues/-" if whose == audit.ALL else f"vendors/{whose}"
    verification = Verification(parent, audit.head(db, whose, 0), noted)
    for entry in audit.entries(db, whose, 0, 1_000_000):
        if not verification.take(entry):
            break
    return verification.result()


def fresh() -> sqlite3.Connection:
    db = database.connect(":memory:")
    db.executescript((ROOT / "scheduler/migrations/versions/0003_audit.sql").read_text())
    return db


CALLS = st.lists(st.tuples(st.sampled_from(CHAINS), st.text(max_size=8)), min_size=2, max_size=12)


@given(calls=CALLS)
def test_what_was_written_down_is_whole_in_every_chain(calls: list[tuple[str, str]]) -> None:
    with closing(fresh()) as db:
        record(db, calls)
        assert look(db, audit.ALL).sequence == len(calls)
        assert sum(look(db, whose).sequence for whose in CHAINS) == len(calls)


@given(calls=CALLS, data=st.data())
def test_a_changed_removed_inserted_or_moved_entry_is_found(calls: list[tuple[str, str]], data: st.DataObject) -> None:
    """By whoever looks at the venue's chain, whatever it was; and by the vendor, if it was in the vendor's own."""
    with closing(fresh()) as db:
        record(db, calls)
        db.execute("CREATE TABLE was AS SELECT * FROM audit")
        number = data.draw(st.integers(1, len(calls)))
        whose = calls[number - 1][0]
        match data.draw(st.sampled_from(["change", "remove", "move", "insert", "cut"])):
            case "change":
                column = data.draw(st.sampled_from(COLUMNS))
                (old,) = db.execute(f"SELECT {column} FROM audit WHERE seq = ?", (number,)).fetchone()
                new: Any = old + 1 if column == "time_ns" else old + (b"x" if isinstance(old, bytes) else "x")
                db.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", (new, number))
                if column == "venue_hash":
                    whose = audit.ALL
            case "remove":
                db.execute("DELETE FROM audit WHERE seq = ?", (number,))
            case "move":
                others = [n for n, (chain, _) in enumerate(calls, 1) if chain == whose and n != number]
                if not others:
                    return
                other = data.draw(st.sampled_from(others))
                for column in ("reason", "resource"):
                    pair = {n: db.execute(f"SELECT {column} FROM audit WHERE seq = {n}").fetchone()[0]
                            for n in (number, other)}  # fmt: skip
                    db.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", (pair[other], number))
                    db.execute(f"UPDATE audit SET {column} = ? WHERE seq = ?", (pair[number], other))
            case "insert":
                db.execute("DELETE FROM audit WHERE seq >= ?", (number,))
                with closing(fresh()) as other:
                    record(other, [*calls[: number - 1], (whose, "this never was")])
                    row = other.execute("SELECT * FROM audit WHERE seq = ?", (number,)).fetchone()
                db.execute(f"INSERT INTO audit VALUES ({', '.join('?' * len(row))})", tuple(row))
                db.execute(
                    """INSERT INTO audit SELECT seq + 1, chain, chain_seq + (chain = ?), time_ns, actor, role, method,
                      resource, reason, request_sha256, hash, venue_hash FROM was WHERE seq >= ?""",
                    (whose, number),
                )
            case "cut":
                db.execute("DELETE FROM audit WHERE seq >= ?", (number,))

        with pytest.raises(BrokenChain):
            look(db, audit.ALL)
        if whose != audit.ALL:
            with pytest.raises(BrokenChain):
                look(db, whose)


@given(calls=CALLS, kept=st.integers(0, 11))
def test_who_noted_a_head_finds_a_chain_that_was_written_anew(calls: list[tuple[str, str]], kept: int) -> None:
    """All hashes right again, and heads with them: only a head that was kept elsewhere tells."""
    with closing(fresh()) as db, closing(fresh()) as forged:
        record(db, calls)
        head = look(db, audit.ALL)
        anew = [*calls[:kept], *[(whose, f"{reason} or so") for whose, reason in calls[kept:]]]
        record(forged, anew)
        look(forged, audit.ALL)
        if anew == calls:
            look(forged, audit.ALL, head)
            return
        with pytest.raises(BrokenChain):
            look(forged, audit.ALL, head)


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hall]:
    settings = settings_of(
        VENUE
        | {
            "vendor": [{"id": "acme"}, {"id": "bolt"}],
            "project": [{"id": "walk", "vendor": "acme"}],
            "scheduler": {"lease_ttl_s": 3600.0},
        },
        "test",
    )
    with LiveServer(tmp_path_factory.mktemp("hall"), settings) as live:
        yield Hall(live)


def test_every_method_that_changes_something_is_written_down_once_if_it_is_accepted(hall: Hall) -> None:
    """A method is looked at without anybody entering it here; those that only look change no row of any table."""
    accepted = set()
    for name in METHODS:
        role = min(ROLES[name], key=lambda role: role is not Role.OPERATOR).value
        path, pattern = FIRST.get(name, ("", ""))
        values = {path: hall.acme.of(pattern)} if path else {}
        before = hall.live.core.read.execute("SELECT count(*) FROM audit").fetchone()[0]
        reason, _ = hall.outcome(name, values, hall.callers[role], "-")
        rows = hall.live.core.read.execute("SELECT * FROM audit WHERE seq > ?", (before,)).fetchall()
        if reason or not audit.is_audited(name):
            assert rows == [], name
        else:
            accepted.add(name)
            assert {row["method"] for row in rows} == {name}
            assert {row["role"] for row in rows} == {role}
            assert len({row["chain"] for row in rows}) == len(rows)
    # Those that this hall refuses: a unit that is offline, a closure that is not there, a job that has ended before.
    assert {name for name in METHODS if audit.is_audited(name)} - accepted <= {
        "ApiKeyService/CreateApiKey",
        "ApiKeyService/RotateApiKey",
        "CalendarService/DeleteClosure",
        "FleetService/SetUnitHealth",
        "JobService/OpenSlot",
        "JobService/ReorderJob",
        "ReservationService/CreateReservation",
        "VenueService/InjectUnitFault",
        "VenueService/ResetUnit",
    }


def test_methods_that_are_not_written_down_are_those_that_look_and_the_house_s_own_processes() -> None:
    quiet = {name for name in METHODS if not audit.is_audited(name)}

    assert {name for name in quiet if not name.split("/")[1].startswith(("Get", "List"))} == {
        *(name for name in METHODS if name.startswith(("HostService/", "RunnerService/"))),
        "JobService/ExplainJob",
        "JobService/ReadLog",
        "JobService/WatchJob",
        "JobService/WhatIf",
        "StoreService/CheckRoom",
        "VenueService/WatchEvents",
    }


def test_a_vendor_finds_who_did_what_with_its_things_and_nothing_of_others(
    live: LiveServer, acme: Client, operator: Client
) -> None:
    with Client(live.address, live.token("vendor-rival"), timeout_s=PATIENCE_S) as rival:
        theirs = rival.submit(job())
        own = acme.submit(job())
        operator.operations.reorder(own.name, 9, reason="a visit of the minister")
        operator.cancel(own.name)
        acme.api_keys.revoke(acme.api_keys.create(_reader()).api_key.name)
        told = [entry for entry in acme.audit.entries() if entry.resource == own.name]
        assert [(entry.method, entry.role, entry.reason) for entry in told] == [
            ("JobService/SubmitJob", "vendor", ""),
            ("JobService/ReorderJob", "operator", "a visit of the minister"),
            ("JobService/CancelJob", "operator", ""),
        ]
        assert [entry.actor for entry in told] == ["vendor acme by token", "operator by token", "operator by token"]
        mine = list(acme.audit.entries())
        assert [entry.sequence for entry in mine] == list(range(1, len(mine) + 1)), "and no gap tells of others"
        assert {entry.vendor for entry in mine} == {"vendors/acme"}
        assert not any(entry.venue_sequence or entry.venue_hash for entry in mine)
        assert theirs.name not in {entry.resource for entry in mine}
        assert {entry.method for entry in mine} >= {"ApiKeyService/CreateApiKey", "ApiKeyService/RevokeApiKey"}
        assert acme.audit.verify().sequence == len(mine)
        everything = list(operator.audit.entries())
        assert {theirs.name, own.name} <= {entry.resource for entry in everything}
        assert operator.audit.verify().sequence == len(everything)
        assert operator.audit.verify(parent="vendors/acme").hash == mine[-1].hash
        for wrong in (lambda: acme.audit.head(parent="venues/-"), lambda: acme.audit.head(parent="vendors/rival")):
            with pytest.raises(PalaestraError) as caught:
                wrong()
            assert caught.value.reason == "NOT_FOUND"


def test_what_a_refused_command_had_written_down_is_gone_and_the_chain_goes_on_without_it(tmp_path: Path) -> None:
    """Commands share a transaction: what one of them wrote before it was refused must not be counted by the next."""

    async def scene(site: Site) -> None:
        def told(reason: str, *, refused: bool = False) -> Command[None]:
            def command(tx: Transaction) -> None:
                audit.write(tx, ["acme"], "somebody", "operator", "A/B", "x", reason)
                if refused:
                    raise PalaestraError("NOT_FOUND", "after all")

            return command

        commands = [told("1"), told("never", refused=True), told("2"), told("3"), told("never", refused=True)]
        await asyncio.gather(*map(site.run, commands), return_exceptions=True)
        assert [entry.reason for entry in audit.entries(site.core.read, "acme", 0, 9)] == ["1", "2", "3"]
        for whose in ("acme", audit.ALL):
            verification = Verification(
                "venues/-" if whose == audit.ALL else "vendors/acme", audit.head(site.core.read, whose, 0)
            )
            for entry in audit.entries(site.core.read, whose, 0, 9):
                verification.take(entry)
            assert verification.result().sequence == 3

    play(tmp_path, scene)


def test_what_is_refused_or_only_checked_leaves_no_entry(live: LiveServer, acme: Client) -> None:
    before = acme.audit.head().sequence
    acme.submit(job(), validate_only=True)
    acme.what_if(job())
    with pytest.raises(PalaestraError):
        acme.submit(job(units=99))
    with pytest.raises(PalaestraError):
        acme.cancel("vendors/acme/jobs/none")

    assert acme.audit.head().sequence == before
    acme.submit(job())
    assert acme.audit.head().sequence == before + 1


def test_who_holds_a_unit_that_is_stopped_finds_it_in_its_chain_and_others_do_not(hall: Hall) -> None:
    """The hall's leases hold no unit; one is made to. A stop of the venue concerns all who hold something."""
    live = hall.live
    held = (
        "INSERT INTO lease_unit (lease_id, unit, epoch, grant_ns) SELECT id, 'arm-1', 77, 1 FROM lease "
        "WHERE vendor = 'bolt' AND state IN (1, 2) LIMIT 1"
    )
    assert live.run(lambda tx: tx.db.execute(held).rowcount) == 1
    try:
        hall.ask("VenueService/StopUnit", hall.request("VenueService/StopUnit", {}), hall.callers["safety"])
    finally:
        live.run(lambda tx: tx.db.execute("DELETE FROM lease_unit WHERE epoch = 77"))
    rows = live.core.read.execute("SELECT chain, role FROM audit ORDER BY seq DESC LIMIT 2").fetchall()
    assert {(row["chain"], row["role"]) for row in rows} == {("venue", "safety"), ("bolt", "safety")}


@pytest.mark.parametrize(
    ("scope", "concerned"),
    [
        ({"units": ["venues/hall/units/arm-1"]}, {"venue", "bolt"}),
        ({"units": ["venues/hall/units/arm-2"]}, {"venue"}),
        ({"zones": ["north"]}, {"venue", "bolt"}),
        ({"zones": ["south"]}, {"venue"}),
        ({}, {"venue", "acme", "bolt"}),
    ],
    ids=["its unit", "another unit", "its unit's zone", "another zone", "the venue"],
)
def test_who_holds_what_is_closed_finds_it_in_its_chain_and_others_do_not(
    scope: dict[str, list[str]], concerned: set[str]
) -> None:
    closure = Closure(stop_running=True, **scope)
    with closing(database.connect(":memory:")) as db:
        db.executescript(
            """
            CREATE TABLE unit (id, zone); CREATE TABLE cell (id, zone);
            CREATE TABLE lease (id, vendor, state);
            CREATE TABLE lease_unit (lease_id, unit, free_ns); CREATE TABLE lease_cell (lease_id, cell, free_ns);
            INSERT INTO unit VALUES ('arm-1', 'north'), ('arm-2', 'south'), ('arm-3', 'south');
            INSERT INTO lease VALUES (1, 'bolt', 2), (2, 'acme', 2), (3, 'gone', 4);
            INSERT INTO lease_unit VALUES (1, 'arm-1', NULL), (3, 'arm-2', 5);
            """
        )
        found = audit._concerned(db, CreateClosureRequest(parent="venues/-", closure=closure))
    assert set(found) == concerned
    assert len(found) == len(concerned)


def test_closing_a_place_is_told_with_its_reason_in_the_chain_of_the_house(operator: Client) -> None:
    place = Place(units=["arm-2"])
    made = operator.operations.cordon(place, reason="its cable is worn")
    assert operator.operations.release(place) == [made.name]
    assert operator.operations.release(place) == []

    entries = [entry for entry in operator.audit.entries() if entry.resource == made.name]
    assert [(entry.method, entry.reason, entry.vendor) for entry in entries] == [
        ("CalendarService/CreateClosure", "its cable is worn", ""),
        ("CalendarService/DeleteClosure", "", ""),
    ]


def test_pages_of_the_audit_belong_to_their_chain_and_caller(live: LiveServer, acme: Client) -> None:
    for _ in range(3):
        acme.submit(job())
    stub = audit_service_pb2_grpc.AuditServiceStub(live.channel)

    def page(parent: str, who: str, token: str = "") -> Any:
        request = audit_service_pb2.ListAuditEntriesRequest(parent=parent, page_size=2, page_token=token)
        return stub.ListAuditEntries(request, timeout=PATIENCE_S, metadata=live.metadata(who))

    first = page("vendors/acme", "vendor-acme")
    second = page("vendors/acme", "vendor-acme", first.next_page_token)
    assert [entry.sequence for entry in (*first.entries, *second.entries)] == [1, 2, 3, 4]
    told = {
        (error.reason, error.message)
        for error in (
            error_of(page, "vendors/rival", "vendor-rival", first.next_page_token),
            error_of(page, "venues/-", "operator", first.next_page_token),
            error_of(page, "vendors/acme", "operator", first.next_page_token),
        )
    }
    assert {reason for reason, _ in told} == {"PAGE_TOKEN_INVALID"}
    assert len(told) == 1, "and why is not told"


def _script() -> str:
    """Return the script that docs/security.md shows."""
    page = (ROOT / "docs" / "security.md").read_text()
    (found,) = re.findall(r"```python\n(.*?)```", page[page.index("## The audit") :], re.DOTALL)
    assert len(found.splitlines()) <= 20
    return str(found)


def _checked(lines: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", _script()],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def _changed(line: str) -> str:
    return json.dumps(json.loads(line) | {"actor": "nobody"})


@pytest.mark.parametrize(
    "forge",
    [
        lambda lines: [_changed(lines[0]), *lines[1:]],
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [lines[1], lines[0], *lines[2:]],
        lambda lines: [lines[0], lines[0], *lines[1:]],
    ],
    ids=["changed", "removed", "moved", "inserted"],
)
def test_an_export_is_checked_by_the_script_of_the_page_on_security(
    forge: Callable[[list[str]], list[str]], acme: Client
) -> None:
    for _ in range(3):
        acme.submit(job(), request_id=None)
    entries: list[AuditEntry] = list(acme.audit.entries())
    lines = [exported(entry) for entry in entries]

    done = _checked(lines)
    assert (done.returncode, done.stderr) == (0, "")
    assert entries[-1].hash.hex() in done.stdout
    assert _checked(forge(lines)).returncode != 0


def _reader() -> Any:
    from palaestra.api_keys import api_key

    return api_key("reader")


def test_who_holds_what_is_cordoned_or_drained_finds_it_in_its_chain_and_others_do_not(tmp_path: Path) -> None:
    async def scene(site: Site) -> None:
        await site.connect()
        await site.submit(job())
        await site.settle()
        held = site.row("SELECT unit FROM lease_unit WHERE free_ns IS NULL")["unit"]
        other = next(unit for unit in ("arm-1", "arm-2") if unit != held)
        for unit, drains, count in ((held, False, 1), (other, True, 1), (held, True, 2)):
            closure = calendar_pb2.Closure(units=[f"venues/hall/units/{unit}"], stop_running=drains)
            closure.end_time.FromNanoseconds(site.clock.now_ns() + 10**12)
            request = calendar_service_pb2.CreateClosureRequest(parent="venues/hall", closure=closure)
            audit.begin(audit.Call("CalendarService/CreateClosure", Identity(Role.OPERATOR, "", "token"), request))
            await site.run(timetable.close(request, "hall"))
            assert len(audit.entries(site.core.read, "acme", 0, 9)) == count, (unit, drains)
            assert audit.entries(site.core.read, "rival", 0, 9) == []

    play(tmp_path, scene)


@given(
    st.dictionaries(
        st.sampled_from(["actor", "method", "reason", "resource", "sequence", "vendor"]), st.text() | st.integers()
    )
)
def test_the_text_of_an_entry_is_that_of_json(fields: dict[str, str | int]) -> None:
    assert chain._text(fields) == json.dumps(fields, sort_keys=True, separators=(",", ":"))


def test_entries_of_one_commit_are_those_of_as_many_commits(tmp_path: Path) -> None:
    """Written by few statements together, also over the bound of one statement, or each by its own: the same rows."""
    calls = [(CHAINS[number % 3], f"reason {number}") for number in range(150)]
    found = []
    for name, together in (("one", True), ("many", False)):
        with closing(database.open_writer(tmp_path / name)) as db:
            db.execute("INSERT INTO venue (id, display_name, width_m, depth_m) VALUES ('hall', 'hall', 1, 1)")
            transactions = [Transaction(db, 1_700_000_000_000_000_000)]
            for whose, reason in calls:
                if not together:
                    transactions.append(Transaction(db, 1_700_000_000_000_000_000))
                audit.write(transactions[-1], [whose], "somebody", "operator", "A/B", "x", reason, b"\1" * 32)
                if not together:
                    _commit(transactions[-1])
            if together:
                _commit(transactions[0])
            found.append(
                [tuple(row) for table in ("audit", "audit_head") for row in db.execute(f"SELECT * FROM {table}")]
            )
            assert look(db, audit.ALL).sequence == len(calls)

    assert found[0] == found[1]


def _commit(tx: Transaction) -> None:
    for last in tx.at_commit.values():
        last(tx)


def test_a_reason_with_a_zero_byte_leaves_the_chain_whole(tmp_path: Path, each_backend: str) -> None:
    """PostgreSQL keeps no such text: what is hashed is what can be kept."""

    async def scene(site: Site) -> None:
        for reason in ("a\0b", "c"):
            await site.run(partial(audit.write, concerned=["acme"], actor="x", role="operator", method="A/B",
                                   resource="x", reason=reason))  # fmt: skip
        verification = Verification("vendors/acme", audit.head(site.core.house, "acme", 0))
        entries = audit.entries(site.core.house, "acme", 0, 9)
        for entry in entries:
            verification.take(entry)
        assert verification.result().sequence == 2
        assert [entry.reason for entry in entries] == ["a\ufffdb", "c"]

    play(tmp_path, scene)
