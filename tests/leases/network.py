"""Two ways to have a network between scheduler, host and crew that can be cut: through proxies, or for real."""

import os
import secrets
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.leases.proxy import Fault, Proxy
from tests.scheduler.test_crash import free_address
from venue.authority import Authority

SCHEDULER, HOST, CREW = "scheduler", "host", "crew"


class Network(ABC):
    """Where the three parties are, and what is between them. Use as a context."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def within(self, party: str) -> Sequence[str]:
        """Return the command that runs another one where the party is."""
        return ()

    def tables(self) -> str:
        """Return what the venue file needs besides."""
        return ""

    def tls(self, party: str) -> list[str]:
        """Return the files of a party's certificate: of the authority, its own, its key."""
        return []

    @abstractmethod
    def listen(self, party: str) -> str:
        """Return where the scheduler or the host listens."""

    @abstractmethod
    def scheduler_for(self, party: str) -> str:
        """Return where a party finds the scheduler."""

    @abstractmethod
    def cut(self, party: str) -> None:
        """Cut a party off from the scheduler: nothing passes any more, and nobody is told."""

    @abstractmethod
    def heal(self, party: str) -> None:
        """Undo it."""


class Loopback(Network):
    """All on one machine; proxies stand before the scheduler."""

    def __init__(self) -> None:
        super().__init__()
        self._address = free_address()
        self.proxies = {party: self._stack.enter_context(Proxy(self._address)) for party in (HOST, CREW)}

    def listen(self, party: str) -> str:
        return self._address if party == SCHEDULER else "127.0.0.1:0"

    def scheduler_for(self, party: str) -> str:
        return self.proxies[party].address

    def cut(self, party: str) -> None:
        self.proxies[party].set(Fault.HOLD)

    def heal(self, party: str) -> None:
        self.proxies[party].set(Fault.NONE)


PORT = 7411
ADDRESSES = {SCHEDULER: "10.213.1.2", HOST: "10.213.2.2", CREW: "10.213.3.2"}
ROUTER = "router"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespaces(Network):
    """Each party in a network namespace, with certificates, as if it had a machine of its own; a router between them.

    When it cuts, the router swallows what goes from the one to the other: both ends keep their link, nobody is told
    anything, and TCP sends again, ever more slowly.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("network namespaces need `ip` and root")
        tag = f"pal{secrets.token_hex(2)}"
        self._names = {party: f"{tag}-{party[0]}" for party in (ROUTER, *ADDRESSES)}
        self._folder = folder
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
                self._stack.callback(_ip, "netns", "del", name)
                _ip("-n", name, "link", "set", "lo", "up")
            for party, address in ADDRESSES.items():
                self._connect(party, address, f"{address.rpartition('.')[0]}.1")
            forward = "/proc/sys/net/ipv4/ip_forward"
            _ip("netns", "exec", self._names[ROUTER], "sh", "-c", f"echo 1 > {forward}")
        except (subprocess.CalledProcessError, OSError) as error:
            self._stack.close()
            why = getattr(error, "stderr", b"").decode().strip() or error
            pytest.skip(f"network namespaces are not permitted here: {why}")
        self._certify()

    def _connect(self, party: str, address: str, gateway: str) -> None:
        own, router = self._names[party], self._names[ROUTER]
        _ip("-n", own, "link", "add", "up0", "type", "veth", "peer", "name", f"{party[:8]}0", "netns", router)
        for name, end, of in ((own, "up0", address), (router, f"{party[:8]}0", gateway)):
            _ip("-n", name, "addr", "add", f"{of}/24", "dev", end)
            _ip("-n", name, "link", "set", end, "up")
        _ip("-n", own, "route", "add", "default", "via", gateway)

    def _certify(self) -> None:
        folder = self._folder / "data" / "tls"
        authority = Authority.create(folder, "hall")
        authority.sign_server([ADDRESSES[SCHEDULER]], days=1)
        for party, role, names in ((HOST, "host/farm", [ADDRESSES[HOST]]), (CREW, "runner/crew", [])):
            certificate, key = authority.sign_client(f"spiffe://hall/{role}", days=1, names=names)
            (self._folder / f"{party}.crt").write_bytes(certificate)
            (self._folder / f"{party}.key").write_bytes(key)

    def within(self, party: str) -> Sequence[str]:
        return "ip", "netns", "exec", self._names[party]

    def tables(self) -> str:
        return f'[tls]\nlisten = "0.0.0.0:{PORT}"\n'

    def tls(self, party: str) -> list[str]:
        ca = self._folder / "data" / "tls" / "ca.crt"
        return [str(path) for path in (ca, self._folder / f"{party}.crt", self._folder / f"{party}.key")]

    def listen(self, party: str) -> str:
        return "127.0.0.1:0" if party == SCHEDULER else f"{ADDRESSES[HOST]}:0"

    def scheduler_for(self, party: str) -> str:
        return f"{ADDRESSES[SCHEDULER]}:{PORT}"

    def cut(self, party: str) -> None:
        self._swallow("add", party)

    def heal(self, party: str) -> None:
        self._swallow("del", party)

    def _swallow(self, change: str, party: str) -> None:
        ends = ADDRESSES[party], ADDRESSES[SCHEDULER]
        for one, other in (ends, ends[::-1]):
            _ip("-n", self._names[ROUTER], "rule", change, "from", one, "to", other, "blackhole")
