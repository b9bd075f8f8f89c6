"""A scheduler, a host with many units and a crew of clients, all real processes that can be killed and paused."""

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import pairwise
from pathlib import Path

from scheduler import database
from tests.leases.evidence import Evidence
from tests.leases.network import CREW, HOST, SCHEDULER, Network
from tests.scheduler.nursery import Nursery

PATIENCE_S = 40.0
MAIN = {
    SCHEDULER: "scheduler.__main__:main",
    HOST: "tests.leases.host:main",
    CREW: "tests.leases.crew:main",
}
VENUE = """
[venue]
id = "hall"
[[vendor]]
id = "acme"
[scheduler]
lease_ttl_s = {ttl_s}
decisions_kept = 0
{tables}
"""


class Ground:
    """Use as a context; `start` what is wanted.

    Args:
        folder: For the database, the records and the logs.
        network: Between the parties.
        units, clients: How many.
        holds: Whether one of the clients drives on until it is stopped.
        ttl_s: Time to live of a lease without a word.
        heedless: Whether the host has the defect of asking nobody for epochs.
        scheduler: Its main function, "module:function".
    """

    def __init__(
        self,
        folder: Path,
        network: Network,
        *,
        units: int,
        clients: int,
        ttl_s: float,
        holds: bool = False,
        heedless: bool = False,
        scheduler: str = MAIN[SCHEDULER],
    ) -> None:
        self.folder, self.network, self.ttl_s = folder, network, ttl_s
        self._clients, self._holds, self._heedless = clients, holds, heedless
        self._main = MAIN | {SCHEDULER: scheduler}
        self.units = [f"venues/hall/units/u-{number:02}" for number in range(units)]
        self._pids: dict[str, int] = {}
        # Of each file of the crew, what has been read of it [bytes]; and the leases in that.
        self._read_b: dict[Path, int] = {}
        self._acquired: set[str] = set()
        self._stack = ExitStack()
        (folder / "venue.toml").write_text(VENUE.format(ttl_s=ttl_s, tables=network.tables()))
        nurseries: dict[tuple[str, ...], Nursery] = {}
        modules = sorted({main.partition(":")[0] for main in self._main.values()})
        self._nurseries = {}
        for party in MAIN:
            within = tuple(network.within(party))
            if within not in nurseries:
                wanted = [self._main[party].partition(":")[0]] if within else modules
                nurseries[within] = self._stack.enter_context(Nursery(*wanted, within=within))
            self._nurseries[party] = nurseries[within]

    def __enter__(self) -> "Ground":
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._pids.values():
            os.kill(pid, signal.SIGCONT)
        self._stack.close()

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self, *parties: str) -> None:
        """Start processes; the scheduler is waited for where it makes the tokens that the others need."""
        for party in parties:
            arguments = {SCHEDULER: self._for_scheduler, HOST: self._for_host, CREW: self._for_crew}[party]()
            nursery = self._nurseries[party]
            self._pids[party] = nursery.start(self._main[party], self.folder / f"{party}.log", *arguments)
            if party == SCHEDULER:
                self.until("the scheduler listens", (self.data / "scheduler.address").exists)

    def kill(self, party: str) -> None:
        """kill -9."""
        self._nurseries[party].kill(self._pids.pop(party))

    @contextmanager
    def paused(self, party: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT afterwards."""
        os.kill(self._pids[party], signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._pids[party], signal.SIGCONT)

    @contextmanager
    def cut_off(self, party: str) -> Iterator[None]:
        """No word passes between the party and the scheduler."""
        self.network.cut(party)
        try:
            yield
        finally:
            self.network.heal(party)

    def finish(self) -> None:
        """Have the clients end what they have begun, and wait until all has ended."""
        (self.folder / "stop").touch()
        self.until("the clients end", self._crew_is_done)
        with closing(sqlite3.connect(self.data / database.FILE, timeout=30.0)) as db:
            self.until("every job ends", lambda: not db.execute("SELECT 1 FROM job WHERE state < 5").fetchone())
            open_leases = "SELECT 1 FROM lease WHERE state IN (1, 2, 3, 5)"
            self.until("every lease ends", lambda: not db.execute(open_leases).fetchone())

    def _crew_is_done(self) -> bool:
        found = self._records(CREW)
        return found.exists() and '"what": "done"' in found.read_text()

    def evidence(self) -> Evidence:
        """Return what was written down until now."""
        return Evidence.of(self.folder)

    def doubled(self) -> list[str]:
        """Return the grants of the database that overlap, or whose epochs do not grow."""
        with closing(sqlite3.connect(self.data / database.FILE)) as db:
            assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
            rows = db.execute("SELECT unit, epoch, grant_ns, free_ns FROM lease_unit ORDER BY unit, epoch").fetchall()
        return [
            f"{before} and {after}"
            for before, after in pairwise(rows)
            if before[0] == after[0] and (before[1] >= after[1] or before[3] is None or before[3] > after[2])
        ]

    def count(self, sql: str) -> int:
        """Return the one number of a query to the database."""
        with closing(sqlite3.connect(self.data / database.FILE, timeout=30.0)) as db:
            found: int = db.execute(sql).fetchone()[0]
        return found

    def acquisitions(self) -> int:
        """Return how many leases the crew has had so far."""
        for path in self.folder.glob(f"{CREW}-*.records"):
            seen_b = self._read_b.get(path, 0)
            with path.open("rb") as file:
                file.seek(seen_b)
                # Up to the last whole line; the next look goes on there.
                new = file.read().rpartition(b"\n")[0]
            self._read_b[path] = seen_b + len(new)
            # Each once, however often it was begun.
            lines = [json.loads(line) for line in new.splitlines() if b'"what": "acquired"' in line]
            self._acquired.update(record["attempt"] for record in lines)
        return len(self._acquired)

    def is_held(self) -> bool:
        """Whether a client drives now who does not stop by itself."""
        seen = Evidence.of(self.folder, self._records(CREW).name)
        return bool(seen.held(time.monotonic()))

    def _records(self, party: str) -> Path:
        return self.folder / f"{party}-{self._pids[party]}.records"

    def until(self, what: str, holds: Callable[[], object], progress: Callable[[], object] = lambda: None) -> None:
        """Wait until `holds()`; fail with `what` if it does not, and `progress()` stays as it is, for too long."""
        give_up_s, seen = time.monotonic() + PATIENCE_S, progress()
        while not holds():
            if (now := progress()) != seen:
                give_up_s, seen = time.monotonic() + PATIENCE_S, now
            assert time.monotonic() < give_up_s, f"never: {what}; logs in {self.folder}"
            time.sleep(0.02)

    def _for_scheduler(self) -> list[str]:
        (self.data / "scheduler.address").unlink(missing_ok=True)
        listen = self.network.listen(SCHEDULER)
        return ["--venue", str(self.folder / "venue.toml"), "--data", str(self.data), "--listen", listen]

    def _token(self, name: str) -> str:
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def _for_host(self) -> list[str]:
        given = self._common(HOST, "host") | {
            "listen": self.network.listen(HOST), "watchdog_s": 1.0, "heedless": self._heedless,
        }  # fmt: skip
        return [json.dumps(given)]

    def _for_crew(self) -> list[str]:
        given = self._common(CREW, "runner") | {
            "vendor_token": self._token("vendor-acme"), "clients": self._clients, "holds": self._holds,
            "seed": len(self._pids), "beat_s": self.ttl_s / 5,
        }  # fmt: skip
        return [json.dumps(given)]

    def _common(self, party: str, role: str) -> dict[str, object]:
        return {
            "folder": str(self.folder), "scheduler": self.network.scheduler_for(party), "token": self._token(role),
            "tls": self.network.tls(party), "silence_s": max(1.5, self.ttl_s / 2), "units": self.units,
        }  # fmt: skip
