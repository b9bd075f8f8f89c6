"""A process out of the nursery as its holder sees it: how it is told things, whether it lives, how it ended."""

import contextlib
import math
import os
import select
import signal
import threading
from collections.abc import Iterator
from typing import Protocol

from sim.slot_process import control
from sim.slot_process.nursery import Becomes, nursery
from sim.slot_process.work import Bounds


class Closable(Protocol):
    """Shared memory of some layout."""

    def close(self) -> None: ...


class Process:
    """A process from the nursery that waits for its work.

    Attributes:
        sock: Where it is told its work and asked what is rare.
        request_fd, response_fd: Eventfds, to it and from it.
        pid, pidfd: Of the process.
        segment: What is closed with it.
    """

    def __init__(self, what: Becomes = "slot") -> None:
        """Start it. Raises SlotDied."""
        self._nursery = nursery()
        self.segment: Closable | None = None
        with contextlib.ExitStack() as undo:
            self.sock, theirs = control.pair()
            undo.callback(self.sock.close)
            with theirs:
                self.request_fd = os.eventfd(0, os.EFD_CLOEXEC)
                undo.callback(os.close, self.request_fd)
                self.response_fd = os.eventfd(0, os.EFD_CLOEXEC)
                undo.callback(os.close, self.response_fd)
                self.pid, self.pidfd = self._nursery.start(
                    theirs.fileno(), self.request_fd, self.response_fd, what=what
                )
            undo.pop_all()
        self._code: int | None = None
        self._lock = threading.Lock()

    def kill(self) -> None:
        """End it at once, with whatever it may have started: it has a session of its own."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            # Until its end has been asked for the number is its own.
            if self._code is None and self._nursery.holder == os.getpid():
                # It may not have got as far as its session.
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
                os.killpg(self.pid, signal.SIGKILL)

    def code(self) -> int:
        """Wait for its end and return the exit code, negative for a signal."""
        with self._lock:
            if self._code is None:
                self._code = self._nursery.end(self.pid)
            return self._code

    def end(self) -> None:
        """Kill the process if it still runs, and let go of everything."""
        self.kill()
        self.code()
        self.sock.close()
        for fd in (self.request_fd, self.response_fd, self.pidfd):
            with contextlib.suppress(OSError):
                os.close(fd)
        if self.segment is not None:
            self.segment.close()


def alive(pidfd: int) -> bool:
    """Return whether a process still runs."""
    return not readable((pidfd,), 0.0)


def readable(fds: tuple[int, ...], patience_s: float) -> set[int]:
    """Return those that can be read, or that have an end to tell of; empty after `patience_s`."""
    # Not `select`, which cannot wait for descriptors from 1024 on.
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(math.ceil(1e3 * patience_s))}


@contextlib.contextmanager
def closing(fds: list[int]) -> Iterator[None]:
    """Close what is still in the list at the end: descriptors that nobody has taken over."""
    try:
        yield
    finally:
        for fd in fds:
            os.close(fd)


def how_ended(code: int, bounds: Bounds) -> str:
    """Return in words how a process ended."""
    if code >= 0:
        return f"ended by itself ({code})"
    name = signal.Signals(-code).name
    if name == "SIGXCPU":
        return f"was killed after {bounds.compile_cpu_s:g} s of processor time (SIGXCPU)"
    if name == "SIGALRM":
        return "was killed because its time was over, and nobody had extended it (SIGALRM)"
    return f"was killed by {name}"
