"""A PostgreSQL of the tests' own: started once, on a socket in a folder of its own."""

import itertools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from database.address import Address

# Of Debian; elsewhere the programs are on the path.
FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
PATIENCE_S = 60.0
# What a process has written outlives its kill -9 in the machine's memory; fsync is for power cuts, which no test makes.
# The rest is what tests have no use for.
OPTIONS = {"listen_addresses": "", "max_connections": 60, "fsync": "off", "autovacuum": "off", "jit": "off"}
_serial = itertools.count(1)


class NoPostgres(Exception):
    """There is none to be had here; says why."""


class Cluster:
    """Use as a context."""

    def __init__(self) -> None:
        program = shutil.which("initdb", path=os.pathsep.join([*map(str, FOLDERS), os.environ.get("PATH", "")]))
        if program is None:
            raise NoPostgres("PostgreSQL's initdb is not installed here")
        if find_spec("psycopg") is None:
            raise NoPostgres("psycopg is not installed here (the extra `postgres`)")
        self._programs = Path(program).parent
        # Short, since a socket's path is; not below pytest's folders, which others may not enter.
        self._folder = Path(tempfile.mkdtemp(prefix="pg", dir="/tmp"))
        self._templates: set[str] = set()
        self._server: subprocess.Popen[bytes] | None = None
        # The server refuses to run as root. By a program and not by Popen, whose fork gRPC does not bear.
        self._as: list[str] = []
        if os.geteuid() == 0:
            try:
                found = pwd.getpwnam("postgres")
            except KeyError:
                raise NoPostgres("PostgreSQL does not run as root, and there is no user postgres") from None
            os.chown(self._folder, found.pw_uid, found.pw_gid)
            self._as = ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups"]
            if shutil.which("setpriv") is None:
                raise NoPostgres("PostgreSQL does not run as root, and setpriv is not installed here")

    def __enter__(self) -> "Cluster":
        options = [
            "--auth=trust",
            "--username=postgres",
            "--encoding=UTF8",
            "--locale=C",
            "--no-instructions",
            "--no-sync",
        ]
        command = [*self._as, str(self._programs / "initdb"), "-D", str(self._folder / "data"), *options]
        try:
            made = subprocess.run(command, check=False, capture_output=True, text=True, cwd=self._folder)
            if made.returncode != 0:
                pytest.skip(f"PostgreSQL does not run here: {made.stderr.strip()[-300:]}")
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._server is not None:
            # Not orderly: nobody will miss what is in it.
            self._server.send_signal(signal.SIGQUIT)
            self._server.wait(PATIENCE_S)
        shutil.rmtree(self._folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        options = [word for name, value in OPTIONS.items() for word in ("-c", f"{name}={value}")]
        options += ["-c", f"unix_socket_directories={self._folder}"]
        with (self._folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [*self._as, str(self._programs / "postgres"), "-D", str(self._folder / "data"), *options],
                stdout=log,
                stderr=log,
                cwd=self._folder,
            )
        command = [str(self._programs / "pg_isready"), "-q", "-U", "postgres", "-h", str(self._folder)]
        give_up_s = time.monotonic() + PATIENCE_S
        while subprocess.run(command, check=False).returncode != 0:
            assert self._server.poll() is None and time.monotonic() < give_up_s, (self._folder / "log").read_text()
            time.sleep(0.05)

    def kill(self) -> None:
        """Pull the plug: the server and all of its processes are gone at once."""
        assert self._server is not None
        # Held still first: who has just been born would live on, and keep the memory that the next server wants.
        self._server.send_signal(signal.SIGSTOP)
        children = Path(f"/proc/{self._server.pid}/task/{self._server.pid}/children").read_text().split()
        for pid in (*map(int, children), self._server.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._server.wait(PATIENCE_S)
        give_up_s = time.monotonic() + PATIENCE_S
        while any(_lives(pid) for pid in children):
            assert time.monotonic() < give_up_s, "its processes go on"
            time.sleep(0.01)

    def revive(self) -> None:
        """Start the server if it was killed."""
        if self._server is not None and self._server.poll() is not None:
            self.start()

    def address(self, name: str = "postgres") -> Address:
        return Address(f"postgresql://postgres@/{name}?host={self._folder}")

    def fresh(self, *, empty: bool = False) -> Address:
        """Return a database of its own, which nobody has used yet; it has a venue's tables, unless it is empty."""
        template = "template1" if empty else self._template("venue_template", _make_venue)
        name = f"venue_{next(_serial)}"
        with closing(self._admin()) as db:
            # Through the log: copying files waits for a checkpoint before and after.
            db.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY wal_log")
        return self.address(name)

    def _template(self, name: str, make: Callable[[Address], None]) -> str:
        """Make tables once: that takes longer than to copy them."""
        if name not in self._templates:
            with closing(self._admin()) as db:
                db.execute(f"CREATE DATABASE {name}")
            make(self.address(name))
            self._templates.add(name)
        return name

    def _admin(self) -> Any:
        from database.postgres.connection import Connection

        return Connection(self.address().url, {})


def _make_venue(address: Address) -> None:
    from scheduler.postgres import opening
    from scheduler.snapshot.feed import Feed

    with closing(opening.open_writer(address)) as db:
        Feed(db)


def started() -> Cluster:
    """Return a cluster to be used as a context, or skip."""
    try:
        return Cluster()
    except NoPostgres as error:
        pytest.skip(str(error))


def _lives(pid: str) -> bool:
    """Return whether a process holds anything still."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
