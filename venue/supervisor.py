"""Starts a venue's processes in order, restarts what dies, stops all of it within ten seconds."""

import fcntl
import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import grpc

from palaestra.tls_files import TlsFiles
from palaestra.v1 import venue_pb2, venue_service_pb2, venue_service_pb2_grpc
from venue.login import write_logins
from venue.process import Process
from venue.profile import Host, Profile

log = logging.getLogger(__name__)

READY_S = 120.0
# A process that was started again so often before it was ready is not going to be.
TRIES_MAX = 3
WATCH_PERIOD_S = 0.1
# Together under ten seconds: first those who use the scheduler, then the scheduler.
STOP_USERS_S = 5.0
STOP_SCHEDULER_S = 4.0
RAY_PREFIX = "pal-ray-"
# May name the catalogue's database, with its password.
CATALOGUE = "PALAESTRA_CATALOGUE"
# Ray appends about 60 bytes to the folder's path.
RAY_ROOT_MAX = 30
REPOSITORY = Path(__file__).resolve().parent.parent

Say = Callable[[str], None]


class VenueError(Exception):
    """The venue cannot be started; the message says why and shows the end of the log."""


class Supervisor:
    """The processes of one venue.

    Attributes:
        data: Folder of everything the venue keeps.
        api_url: Address of console and REST.
        sharing_url: Address of what vendors share; empty without `[sharing] enabled`.
        scheduler_address: Address for SDK and CLI; with a standby both, with a comma between.
    """

    def __init__(
        self, profile: Profile, data: Path, *, say: Say = lambda text: None, interrupt: threading.Event | None = None
    ) -> None:
        """Prepare, start nothing. interrupt: set from outside to give up starting. Raises VenueError."""
        self.profile = profile
        self.data = data.resolve()
        self._say = say
        try:
            self.data.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = _lock(self.data / "venue.lock")
            self._logs = self.data / "logs"
            self._logs.mkdir(exist_ok=True)
            self._ray_folder = None if profile.ray_address else _ray_folder(self.data / "ray.folder")
        except OSError as error:
            raise VenueError(f"{self.data} cannot be used: {error}") from error
        # Who leads is at any of them.
        self._listens = [f"127.0.0.1:{profile.scheduler_port or _free_port()}"]
        if profile.standby:
            self._listens.append(f"127.0.0.1:{profile.standby_port or _free_port()}")
        self.scheduler_address = ",".join(self._listens)
        self._api_listen = profile.tls.api_listen or f"127.0.0.1:{profile.api_port or _free_port()}"
        self._api_port = int(self._api_listen.rpartition(":")[2])
        self.api_url = f"http://{self._api_listen}"
        if profile.tls.api_listen:
            self.api_url = profile.tls.api_url(self._certified_names())
        self._sharing_listen = self.sharing_url = ""
        if profile.sharing:
            self._sharing_listen = profile.tls.sharing_listen or f"127.0.0.1:{profile.sharing_port or _free_port()}"
            self.sharing_url = f"http://{self._sharing_listen}"
            if profile.tls.sharing_listen:
                self.sharing_url = profile.tls.sharing_url(self._certified_names())
        self._schedulers = [self._scheduler(number, listen) for number, listen in enumerate(self._listens)]
        self._users = [*(self._host(host) for host in profile.hosts_here), self._runner(), self._api()]
        if profile.sharing:
            self._users.append(self._sharing())
        self._interrupt = interrupt or threading.Event()
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="watcher", daemon=True)

    @property
    def processes(self) -> list[Process]:
        """All processes, the schedulers first."""
        return [*self._schedulers, *self._users]

    def process(self, name: str) -> Process:
        """Return the process of that name."""
        return next(process for process in self.processes if process.name == name)

    def token(self, name: str) -> str:
        """Return a token by the name of its file: "operator", "vendor-acme"."""
        return (self.data / "tokens" / f"{name}.token").read_text().strip()

    def start(self) -> None:
        """Start everything and wait until the venue can work. Raises VenueError."""
        for port, what in (
            *zip(map(_port, self._listens), ("scheduler", "standby"), strict=False),
            (self._api_port, "api"),
            *([(_port(self._sharing_listen), "sharing")] if self._sharing_listen else []),
        ):
            _check_free(port, f"[ports] {what} in {self.profile.path}")
        if self.profile.encrypted:
            self._begin_encryption()
        self._say("starting the scheduler")
        first, *standby = self._schedulers
        first.start()
        self._watcher.start()
        self._await("the scheduler", lambda: self._venue() is not None, first)
        for process in standby:
            self._say("starting its standby")
            process.start()
            self._await("the standby", lambda: _answers(self._listens[1]), process)
        write_logins(
            self.data, self.profile.vendors, self.scheduler_address, self.api_url, sharing_url=self.sharing_url
        )
        self._write_remote_logins()
        for process in self._users:
            self._say(f"starting {process.name}")
            process.start()
        hosts = [self.process(f"host-{host.id}") for host in self.profile.hosts_here]
        self._await("the unit hosts", self._hosts_connected, *hosts)
        self._await("the runner and its Ray", self._runner_connected, self.process("runner"))
        self._await("the console", lambda: _answers(self._api_listen), self.process("api"))
        if self._sharing_listen:
            self._await("sharing", lambda: _answers(self._sharing_listen), self.process("sharing"))

    def stop(self) -> None:
        """Stop everything, the scheduler last. Returns within ten seconds; a second call does nothing."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        if self._watcher.is_alive():
            self._watcher.join()
        for process in self._users:
            process.terminate()
        deadline_s = time.monotonic() + STOP_USERS_S
        for process in self._users:
            process.wait(deadline_s)
        # Together, so that none takes over from another.
        for process in self._schedulers:
            process.terminate()
        deadline_s = time.monotonic() + STOP_SCHEDULER_S
        for process in self._schedulers:
            process.wait(deadline_s)
        if self._ray_folder is not None:
            shutil.rmtree(self._ray_folder, ignore_errors=True)
        os.close(self._lock)

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_PERIOD_S):
            for process in self.processes:
                try:
                    if process.watch():
                        self._say(f"{process.name} ended and was started again")
                except OSError:
                    # The terminal that we speak to is gone, or the disk is full: neither may end the watch.
                    log.exception("watching %s", process.name)

    def _await(self, what: str, ready: Callable[[], bool], *processes: Process) -> None:
        deadline_s = time.monotonic() + READY_S
        while True:
            failed = next((process for process in processes if _hopeless(process)), None)
            if failed is not None or time.monotonic() > deadline_s:
                process = failed or processes[0]
                raise VenueError(f"{what} did not start; the end of {process.log_path}:\n{process.tail()}")
            if ready() and all(process.pid is not None for process in processes):
                return
            if self._interrupt.wait(0.1):
                raise VenueError("stopped while starting")

    def _venue(self) -> venue_pb2.Venue | None:
        token = self.data / "tokens" / "operator.token"
        if not token.exists():
            return None
        with TlsFiles().channel(self.scheduler_address, []) as channel:
            stub = venue_service_pb2_grpc.VenueServiceStub(channel)
            metadata = (("authorization", f"Bearer {self.token('operator')}"),)
            try:
                request = venue_service_pb2.GetVenueRequest(name="venues/-")
                venue: venue_pb2.Venue = stub.GetVenue(request, timeout=2.0, metadata=metadata)
            except grpc.RpcError:
                return None
            return venue

    def _hosts_connected(self) -> bool:
        """Whether the scheduler sees all units that the hosts serve; each host leaves their number once it serves."""
        files = [self.data / "hosts" / f"{host.id}.address" for host in self.profile.hosts_here]
        if not all(file.exists() for file in files):
            return False
        served = sum(json.loads(file.read_text())["units"] for file in files)
        with TlsFiles().channel(self.scheduler_address, []) as channel:
            stub = venue_service_pb2_grpc.VenueServiceStub(channel)
            metadata = (("authorization", f"Bearer {self.token('operator')}"),)
            request = venue_service_pb2.ListUnitsRequest(parent="venues/-", page_size=1000)
            try:
                units = stub.ListUnits(request, timeout=2.0, metadata=metadata).units
            except grpc.RpcError:
                return False
        online: int = sum(unit.state != venue_pb2.UNIT_STATE_OFFLINE for unit in units)
        return online >= int(served)

    def _runner_connected(self) -> bool:
        venue = self._venue()
        return venue is not None and venue.runner_count > 0

    def _process(self, module: str, arguments: list[str], *, name: str = "") -> Process:
        command = [sys.executable, "-m", "venue.child", str(os.getpid()), module, *arguments]
        return Process(name or module, command, self._logs)

    def _scheduler(self, number: int, listen: str) -> Process:
        arguments = ["--venue", str(self.profile.path), "--data", str(self.data), "--listen", listen]
        arguments += ["--catalogue", self._catalogue]
        if self.profile.standby:
            # Both: whichever leads when the other one is started again.
            arguments.append("--standby")
        tls = self.profile.tls
        if number and tls.listen:
            arguments += ["--tls-listen", tls.standby_listen]
        return self._process("scheduler", arguments, name="standby" if number else "")

    def _begin_encryption(self) -> None:
        """Have the store encrypt what is put from now on; what was put before stays as it is until it is told to."""
        store = self.data / "store"
        command = ["-m", "store", "encrypt", str(store / "objects"), "--keys", str(store / "keys"), "--begin"]
        done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=120, check=False)
        if done.returncode:
            raise VenueError(f"[store] encryption: {done.stderr.strip()[-500:]}")

    def _host(self, host: Host) -> Process:
        state = self.data / "hosts"
        state.mkdir(exist_ok=True)
        (state / f"{host.id}.address").unlink(missing_ok=True)
        arguments = [
            *("--venue", str(self.profile.path)),
            *("--host", host.id),
            *("--scheduler", self.scheduler_address),
            *("--token-file", str(self.data / "tokens" / "host.token")),
            *("--state", str(state)),
        ]
        if host.watchdog_s is not None:
            arguments += ["--watchdog-s", str(host.watchdog_s)]
        if host.battery_lapse is not None:
            arguments += ["--battery-lapse", str(host.battery_lapse)]
        if host.actuators is not None:
            arguments += ["--actuators", host.actuators]
        return self._process("sim.host", arguments, name=f"host-{host.id}")

    def _runner(self) -> Process:
        profile = self.profile
        arguments = [
            *("--scheduler", self.scheduler_address),
            *("--token-file", str(self.data / "tokens" / "runner.token")),
            *("--store", str(self.data / "store")),
            *("--sim-slots", str(profile.sim_slots)),
            *("--warm-workers", str(profile.warm_workers)),
            *("--ray-cpus", str(profile.ray_cpus)),
            *("--ray-address", profile.ray_address),
        ]
        if profile.objects_at:
            arguments += ["--objects", profile.objects_at]
            if profile.storage.copies_bytes is not None:
                arguments += ["--copies-bytes", str(profile.storage.copies_bytes)]
        if self._ray_folder is not None:
            arguments += ["--ray-folder", str(self._ray_folder)]
        if any(host.elsewhere for host in profile.hosts):
            for option, name in (("ca", "ca.crt"), ("cert", "runner.crt"), ("key", "runner.key")):
                arguments += [f"--drive-{option}", str(self._tls_folder / name)]
        for rule in profile.policy_servers:
            arguments += ["--policy-server", rule]
        if profile.tls.slots_listen:
            folder = self._tls_folder
            listen = f"{profile.tls.slots_listen}:0"
            arguments += [
                *("--slots-listen", listen),
                *("--slots-name", profile.tls.reached(listen, self._certified_names()).rpartition(":")[0]),
                *("--slots-cert", str(folder / "server.crt")),
                *("--slots-key", str(folder / "server.key")),
            ]
        return self._process("runner", arguments)

    def _api(self) -> Process:
        arguments = [
            *("--listen", self._api_listen),
            *("--scheduler", self.scheduler_address),
            *("--objects", str(self.data / "store" / "objects")),
            *("--token-file", str(self.data / "tokens" / "gateway.token")),
            *("--console", str(REPOSITORY / "api" / "static" / "console")),
        ]
        if self.profile.objects_at:
            arguments += ["--objects-at", self.profile.objects_at]
        if self.profile.tls.api_listen:
            folder = self._tls_folder
            arguments += ["--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")]
        return self._process("api", arguments)

    def _sharing(self) -> Process:
        store = self.data / "store"
        arguments = [
            *("--listen", self._sharing_listen),
            *("--scheduler", self.scheduler_address),
            *("--folder", str(self.data / "sharing")),
            *("--catalogue", self._catalogue),
            *("--objects", str(store / "objects")),
        ]
        if self.profile.objects_at:
            arguments += ["--objects-at", self.profile.objects_at]
        if self.profile.sharing_cluster:
            arguments += ["--cluster", self.profile.ray_address]
        if self.profile.tls.sharing_listen:
            folder = self._tls_folder
            arguments += ["--address", self.sharing_url]
            arguments += ["--cert", str(folder / "server.crt"), "--key", str(folder / "server.key")]
        return self._process("sharing", arguments)

    @property
    def _catalogue(self) -> str:
        """Where the catalogue is; the environment, which the processes inherit, comes before the venue file."""
        if os.environ.get(CATALOGUE):
            return "-"
        return self.profile.catalogue or str(self.data / "store" / "catalogue.db")

    @property
    def _tls_folder(self) -> Path:
        return self.data / self.profile.tls.folder

    def _certified_names(self) -> list[str]:
        """Return by which names others know this machine. Raises VenueError if there is no certificate."""
        # Here and not at the top: a venue that stays on its machine needs no such library.
        from venue.authority import certified_names

        names = certified_names(self._tls_folder / "server.crt")
        if not names:
            raise VenueError(
                f"{self._tls_folder / 'server.crt'} is not there or names nobody; `palaestra-venue ca init` and "
                "`palaestra-venue ca server NAME` make one, docs/security.md has the steps"
            )
        return names

    def _write_remote_logins(self) -> None:
        """Write the logins of those from elsewhere who need no certificate of their own."""
        tls = self.profile.tls
        root = self._tls_folder / "ca.crt"
        if tls.listen and not tls.client_certificates and root.exists():
            names = self._certified_names()
            listens = [tls.listen, *([tls.standby_listen] if self.profile.standby else [])]
            write_logins(
                self.data,
                self.profile.vendors,
                ",".join(tls.reached(listen, names) for listen in listens),
                tls.api_url(names),
                folder="logins-remote",
                tls_root=root.read_text(encoding="utf-8"),
                sharing_url=tls.sharing_url(names) if self.profile.sharing else "",
            )


def _hopeless(process: Process) -> bool:
    """Whether a process that is being started will not come up: exit code 2 is a refusal, the rest a series."""
    return process.last_exit_code == 2 or process.restarts >= TRIES_MAX


def _answers(listen: str) -> bool:
    host, _, port = listen.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
    try:
        with socket.create_connection((host, int(port)), timeout=1.0):
            return True
    except OSError:
        return False


def _port(listen: str) -> int:
    return int(listen.rpartition(":")[2])


def _check_free(port: int, setting: str) -> None:
    """Raise VenueError if somebody listens on the port already."""
    with socket.socket() as probe:
        # As servers do: a connection of before that is still being forgotten is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise VenueError(f"port {port}, {setting}, cannot be used: {error.strerror}") from error


def _ray_folder(note: Path) -> Path:
    """Return a new folder for Ray's files, removing the one that a killed venue has left.

    Ray keeps sockets there, whose paths have room for 107 bytes, so it cannot be a part of the data folder. Its name is
    random, so that nobody can make it before us; the data folder's note says which it is.
    """
    if note.exists():
        former = Path(note.read_text(encoding="utf-8").strip())
        if former.name.startswith(RAY_PREFIX):
            shutil.rmtree(former, ignore_errors=True)
    root = tempfile.gettempdir()
    folder = Path(tempfile.mkdtemp(prefix=RAY_PREFIX, dir=root if len(root) <= RAY_ROOT_MAX else "/tmp"))
    note.write_text(f"{folder}\n", encoding="utf-8")
    return folder


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _lock(path: Path) -> int:
    """Hold the venue's folder. Raises VenueError if another supervisor does."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise VenueError(f"this venue is running already; its folder {path.parent} is locked") from None
    return file
