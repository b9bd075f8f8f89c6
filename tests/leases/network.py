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
# Between any two a network of its own, so that each can be cut alone.
LINKS = {(SCHEDULER, HOST): "10.213.1", (SCHEDULER, CREW): "10.213.2", (CREW, HOST): "10.213.3"}


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)


class Namespaces(Network):
    """Each party in a network namespace, with certificates, as if it had a machine of its own.

    Cutting takes the cable out: packets are lost, and both ends go on believing in their connections.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        if shutil.which("ip") is None or os.geteuid() != 0:
            pytest.skip("network namespaces need `ip` and root")
        tag = f"pal{secrets.token_hex(2)}"
        self._names = {party: f"{tag}-{party[0]}" for party in (SCHEDULER, HOST, CREW)}
        self._folder = folder
        try:
            for name in self._names.values():
                _ip("netns", "add", name)
                self._stack.callback(_ip, "netns", "del", name)
                _ip("-n", name, "link", "set", "lo", "up")
            for (one, other), net in LINKS.items():
                ends = self._cable(one, other)
                names = (self._names[one], self._names[other])
                _ip("-n", names[0], "link", "add", ends[0], "type", "veth", "peer", "name", ends[1], "netns", names[1])
                for number, (name, end) in enumerate(zip(names, ends, strict=True), 1):
                    _ip("-n", name, "addr", "add", f"{net}.{number}/24", "dev", end)
                    _ip("-n", name, "link", "set", end, "up")
        except (subprocess.CalledProcessError, OSError) as error:
            self._stack.close()
            why = getattr(error, "stderr", b"").decode().strip() or error
            pytest.skip(f"network namespaces are not permitted here: {why}")
        self._certify()

    def _cable(self, one: str, other: str) -> tuple[str, str]:
        tag = self._names[one].partition("-")[0]
        return f"{tag}{one[0]}{other[0]}0", f"{tag}{one[0]}{other[0]}1"

    def _certify(self) -> None:
        folder = self._folder / "data" / "tls"
        authority = Authority.create(folder, "hall")
        authority.sign_server([f"{LINKS[SCHEDULER, HOST]}.1", f"{LINKS[SCHEDULER, CREW]}.1"], days=1)
        for party, role, names in ((HOST, "host", [f"{LINKS[CREW, HOST]}.2"]), (CREW, "runner", [])):
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
        return "127.0.0.1:0" if party == SCHEDULER else f"{LINKS[CREW, HOST]}.2:0"

    def scheduler_for(self, party: str) -> str:
        return f"{LINKS[SCHEDULER, party]}.1:{PORT}"

    def cut(self, party: str) -> None:
        self._set(party, "down")

    def heal(self, party: str) -> None:
        self._set(party, "up")

    def _set(self, party: str, state: str) -> None:
        _ip("-n", self._names[SCHEDULER], "link", "set", self._cable(SCHEDULER, party)[0], state)
