"""The machine under a simulated venue: its clocks, its chance, its network, its disk. One venue in one Python process.

What is replaced here is replaced for the whole Python process and never put back: runs are made in processes of their
own (`tests/simulation/running.py`), which end by `os._exit`.
"""

import asyncio
import contextvars
import functools
import os
import random
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc.aio

import controller.drive
import controller.host
import runner.attempt
import scheduler.core
import store.objects
import store.spool
from scheduler.writer import BATCH_MAX, Writer
from tests.simulation import loop as loop_module
from tests.simulation.loop import Killed, Process, VirtualLoop, present
from tests.simulation.network import Network
from tests.simulation.station import SimStation

EPOCH_S = 1_700_000_000
# Less clockwork than in a real venue, or a second would take too long.
SWEEP_PERIOD_S = 0.5
BLOCK_S = 0.5
EXPIRY_S = 0.1


def wall_ns(loop: VirtualLoop) -> int:
    """Return the wall clock of the machine whose process asks [ns since the epoch]."""
    process = present()
    return int((loop.time() + (process.wall_s if process is not None else 0.0) + EPOCH_S) * 1e9)


def install(loop: VirtualLoop, network: Network, seed: int) -> None:
    """Put simulated time, chance and network in the place of the real ones."""
    chance = random.Random(f"ids {seed}")
    random.seed(f"jitter {seed}")
    for module, name, new in (
        (secrets, "randbits", chance.getrandbits),
        (secrets, "token_bytes", lambda size=32: chance.randbytes(size)),
        (secrets, "token_hex", lambda size=32: chance.randbytes(size).hex()),
        (secrets, "token_urlsafe", lambda size=32: chance.randbytes(size).hex()),
        (time, "time_ns", lambda: wall_ns(loop)),
        (time, "time", lambda: wall_ns(loop) / 1e9),
        (time, "monotonic", loop.time),
        (time, "monotonic_ns", lambda: int(loop.time() * 1e9)),
        # What work takes of a processor is nothing here.
        (time, "thread_time", loop.time),
        (grpc.aio, "insecure_channel", network.channel),
        (grpc.aio, "server", network.server),
        # Nobody pulls the plug here: what a killed process has written stays.
        (os, "fsync", lambda descriptor: None),
        (controller.host, "Station", SimStation),
        (controller.host, "WallClock", lambda spin_s=0.0: _LoopClock(loop)),
        (controller.host, "EXPIRY_S", EXPIRY_S),
        (controller.drive, "BLOCK_S", BLOCK_S),
        (scheduler.core, "SWEEP_PERIOD_S", SWEEP_PERIOD_S),
        # Its folders are looked at once and not by every attempt.
        (runner.attempt, "LocalObjects", functools.cache(store.objects.LocalObjects)),
        (store.spool.Claim, "release", _release(store.spool.Claim.release)),
    ):
        setattr(module, name, new)


class _LoopClock:
    def __init__(self, loop: VirtualLoop) -> None:
        self.now_s = loop.time


def _release(release: Any) -> Any:
    def released(claim: Any) -> None:
        """Leave the files of a killed process where they are; the kernel takes its locks."""
        process = present()
        if process is None or process.alive:
            release(claim)
        elif claim._descriptor >= 0:
            os.close(claim._descriptor)
            claim._descriptor = -1

    return released


class SteppedWriter(Writer):
    """The scheduler's writer, a round at a time on the event loop instead of on a thread."""

    # Time [s] from a command to its commit; and who hears of a commit before anybody else.
    commit_s: Any = staticmethod(lambda: 0.001)
    witness: Any = staticmethod(lambda: None)

    def __init__(self, db: Any, **arguments: Any) -> None:
        told = arguments["committed"]

        def committed(sequence: int) -> None:
            SteppedWriter.witness()
            told(sequence)

        super().__init__(db, **arguments | {"committed": committed})
        self._due = self._stuck = False
        db.execute("PRAGMA synchronous=OFF")

    def start(self) -> None: ...

    def stop(self) -> None:
        self._stopped = True
        self._round()
        self._db.close()

    def send(self, command: Any, receiver: Any, *, urgent: bool = False) -> None:
        super().send(command, receiver, urgent=urgent)
        self._wake()

    def _wake(self, at_s: float = 0.0) -> None:
        """Do a round after a while, and not before a time."""
        if not self._due:
            self._due = True
            wait_s = max(SteppedWriter.commit_s(), at_s - time.monotonic())
            asyncio.get_running_loop().call_later(wait_s, self._round)

    def _round(self) -> None:
        self._due = False
        if self._stuck:
            return
        batch = []
        while not self._queue.empty() and len(batch) < BATCH_MAX:
            if (entry := self._queue.get_nowait()) is not None:
                batch.append(entry)
        if self._disk_failed:
            return
        try:
            self._turn(batch)
        except Killed:
            # In the middle of a transaction, of which the end never comes.
            self._stuck = True
            raise
        if self._disk_failed:
            self._refuse_all()
        elif not self._queue.empty():
            self._wake()
        elif self._cycle_wanted:
            self._wake(self._cycle_due_s)


def close_at_death(process: Process, core: Any) -> None:
    """Have a killed scheduler let go of its files: what is not committed is gone."""
    for close in (core._writer._db.close, core.read.close, core.leadership.release):
        process.at_death.append(close)


def nobody() -> contextvars.Context:
    """Return the context of the world outside of all processes."""
    return contextvars.Context()


@contextmanager
def as_process(process: Process) -> Iterator[None]:
    """Do something for a process from outside of it."""
    token = loop_module._present.set(process)
    try:
        yield
    finally:
        loop_module._present.reset(token)
