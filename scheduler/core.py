"""What all services share: the writer, a reader, the hub, and who is connected."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import logging
import os
import signal
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from database.address import Place
from palaestra.errors import PalaestraError
from palaestra.failpoint import Failpoint
from scheduler import audit, calibration, database, disk, events, guard, scene, seat
from scheduler.answering import Answers
from scheduler.calibration import Calibration
from scheduler.clock import Clock
from scheduler.commands import (
    accounting,
    checking,
    ending,
    fleet,
    granting,
    inventory,
    reserving,
    simfirst,
    targeting,
)  # fmt: skip
from scheduler.commands.submitting import Catalogue, Limits
from scheduler.configuration import Settings
from scheduler.foresight import Foresight
from scheduler.hub import Hub
from scheduler.leadership import Leadership, Overtaken
from scheduler.paging import Pager
from scheduler.snapshot import past
from scheduler.snapshot.lasting import Lasting
from scheduler.tail import Tail
from scheduler.targets import loop as targets
from scheduler.writer import Command, Transaction, Writer

log = logging.getLogger(__name__)
T = TypeVar("T")

SWEEP_PERIOD_S = 0.2
# Looking through all reservations for what is out of order takes longer, and is less urgent.
INSPECT_SWEEPS = 25
ADOPTED = Failpoint("scheduler.start.adopted", "the venue file is taken over; leases of before have no grace yet")
RECOVERED = Failpoint("scheduler.start.recovered", "leases of before have their grace; nobody is served yet")


@dataclass(frozen=True, eq=False)
class RunnerConnection:
    """One open stream of a runner."""

    instance: str
    catalogue: Catalogue


class Core:
    """The venue's state and the only ways to it: `run` changes, `read` looks.

    clock: The time; None: this machine's. writer: What runs commands; by default on a thread of its own.
    leadership: Of the database; None: it is taken now.
    Raises DatabaseInUse if another scheduler has the database.
    """

    def __init__(
        self,
        settings: Settings,
        place: Place,
        loop: asyncio.AbstractEventLoop,
        *,
        clock: Clock | None = None,
        writer: type[Writer] = Writer,
        leadership: Leadership | None = None,
    ) -> None:
        self.settings = settings
        self.leadership = leadership or seat.lead(place, ttl_s=settings.leader_ttl_s)
        db = database.open_writer(place, self.leadership.mark.instance)
        self.secret = database.secret(db)
        self.pager = Pager(self.secret)
        self.clock = clock or Clock()
        # What calls read by. In PostgreSQL a vendor's call sees that vendor's rows only; what it is to learn of the
        # others, such as which units are in use, is read by `house` and stripped of whose it is.
        self.read = database.open_reader(place, guard.reads_for)
        self.house = database.open_reader(place)
        self.hub = Hub(loop, self._last_sequence())
        self.tail = Tail(self.house, self.hub)
        self.limits = Limits(settings.queued_jobs_max)
        self.bounds = reserving.Bounds(
            duration_max_s=settings.reservation_max_s,
            horizon_s=settings.reservation_horizon_s,
            open_max=settings.reservations_max,
            grace_s=settings.reservation_grace_s,
        )
        self._draining = False
        # Set when nothing can be written any more.
        self.broken = False
        # Open connections, the newest of each: of a runner by name, of a host by "host/instance".
        self.runners: dict[str, RunnerConnection] = {}
        self.hosts: dict[str, object] = {}
        # Of hosts, by id and instance, those that are gone and of which that is not written down yet.
        self._gone: set[tuple[str, str]] = set()
        # When each unit was last heard of.
        self.seen_ns: dict[str, int] = {}
        self.config = settings.deciding
        self._decider = granting.Cycle(
            db,
            self.config,
            lease_ttl_s=settings.lease_ttl_s,
            preempt_grace_s=settings.preempt_grace_s,
            decisions_kept=settings.decisions_kept,
        )
        self._answers = Answers(loop)
        self._writer = writer(
            db,
            now_ns=self.clock.now_ns,
            cycle=self._cycle,
            committed=self.hub.committed,
            broken=self._give_up,
            is_read_only=lambda: isinstance(place, Path) and disk.is_read_only(place.parent),
            lasting=Lasting(db),
            answered=self._answers.deliver,
            confirm=self.leadership.confirm,
        )
        # The clock may be another one later.
        self.foresight = Foresight(
            place, now_ns=lambda: self.clock.now_ns(), config=self.config, runner_ready=lambda: self._ready
        )
        self._sweeper: asyncio.Task[None] | None = None
        self._teller: asyncio.Task[None] | None = None
        self._place = place
        self._targets: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start writing; bring configuration and state of an earlier life together."""
        self._writer.start()
        await self.run(inventory.apply(self.settings.venue))
        await self.run(accounting.adopt(self.settings.usage_half_life_s))
        await self.run(fleet.all_offline())
        ADOPTED()
        await self.run(inventory.recover(self.settings.lease_ttl_s, self.clock.anchor()))
        RECOVERED()
        gate = simfirst.apply(every_job=self.settings.sim_first, success_min=self.settings.sim_first_success_min)
        await self.run(gate)
        self._sweeper = asyncio.create_task(self._sweep())
        self._teller = asyncio.create_task(self.foresight.tell_some(self.run))
        if self.settings.targets_period_s:
            self._targets = asyncio.create_task(targets.run(self._place, self.settings.targets_period_s, self.run))
        else:
            await self.run(targeting.put({}))

    async def stop(self) -> None:
        """Finish what was accepted and close everything."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        if self._teller is not None:
            self._teller.cancel()
        if self._targets is not None:
            self._targets.cancel()
            # Its process ends with it.
            await asyncio.gather(self._targets, return_exceptions=True)
        await asyncio.to_thread(self._writer.stop)
        self.read.close()
        self.house.close()
        self.leadership.release()

    def overtaken(self, error: Overtaken) -> None:
        """End the process, because another scheduler leads."""
        if not self.broken:
            log.critical("overtaken, so that this scheduler ends: %s", error.message)
            self.broken = True
            os.kill(os.getpid(), signal.SIGTERM)

    def drain(self) -> None:
        """Start nothing new, and end every stream."""
        self._draining = True
        self.hub.close()

    async def run(self, command: Command[T], *, urgent: bool = False) -> T:
        """Run a command; when this returns, its effects are on the disk. urgent: see `Writer.submit`.

        In a call that is to be written down, it is written down with the command.
        """
        answer = self._answers.expect()
        self._writer.send(audit.recorded(command), answer, urgent=urgent)
        return cast(T, await answer.future)

    @property
    def folder(self) -> Path | None:
        """The folder of the database, None of one that is no file."""
        return self._place.parent if isinstance(self._place, Path) else None

    @property
    def venue(self) -> str:
        return self.settings.venue.id

    @property
    def catalogue(self) -> Catalogue:
        """What the connected runners know together."""
        return _together(tuple(connection.catalogue for connection in self.runners.values()))

    def lease_token(self, lease_uid: str) -> str:
        """Return the token that opens a lease's units. Derived, so that it need not be stored."""
        digest = hmac.new(self.secret, b"lease\0" + lease_uid.encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    async def connections_changed(self) -> None:
        """Look whether something can start now that somebody came or went."""

        def command(tx: Transaction) -> None:
            tx.wants_cycle = True

        await self.run(command)

    async def host_gone(self, host: str, instance: str) -> None:
        """Note that a host is not connected any more; if that cannot be written now, the sweep does it."""
        self._gone.add((host, instance))
        await self._note_gone()

    async def _note_gone(self) -> None:
        for gone in sorted(self._gone):
            self._gone.discard(gone)
            if "/".join(gone) in self.hosts:
                # It is back.
                continue
            try:
                await self.run(fleet.offline(*gone), urgent=True)
            except BaseException:
                self._gone.add(gone)
                raise

    def calibration(self) -> Calibration:
        """Return how well told starts have held."""
        return calibration.calibration(past.told(self.house, self.clock.now_ns()))

    @property
    def _ready(self) -> bool:
        """Whether anything could start."""
        return bool(self.runners) and not self._draining

    def _cycle(self, tx: Transaction) -> None:
        ready = self._ready
        checking.cycle(lease_ttl_s=self.settings.lease_ttl_s, runner_ready=ready)(tx)
        self._decider.command(runner_ready=ready)(tx)

    def _last_sequence(self) -> int:
        found: int = self.house.execute("SELECT coalesce(max(seq), 0) FROM event").fetchone()[0]
        return found

    async def _sweep(self) -> None:
        for count in itertools.count():
            await asyncio.sleep(SWEEP_PERIOD_S)
            try:
                await self._note_gone()
                await self.run(ending.sweep(), urgent=True)
                await self.run(reserving.sweep(self.bounds.grace_s), urgent=True)
                if count % INSPECT_SWEEPS == 0:
                    await self.run(reserving.inspect(), urgent=True)
                await self.run(lambda tx: events.forget_old(tx, self.settings.events_kept))
            except PalaestraError as error:
                # The disk's, which the writer has logged; five times a second would be too often.
                log.debug("sweep refused: %s", error)
            except Exception:
                log.exception("sweep failed")

    def _give_up(self, error: BaseException) -> None:
        """End the process when the disk cannot be trusted; the supervisor starts another, which reads what is there."""
        if isinstance(error, Overtaken):
            self.overtaken(error)
            return
        log.critical("the database cannot be written any more, so the scheduler ends: %s", error)
        self.broken = True
        os.kill(os.getpid(), signal.SIGTERM)


@lru_cache(maxsize=1)
def _together(known: tuple[Catalogue, ...]) -> Catalogue:
    return Catalogue(
        frozenset().union(*(c.tasks for c in known)),
        frozenset().union(*(c.motions for c in known)),
        frozenset().union(*(c.robot_models for c in known)),
        scene.together(c.worlds for c in known),
        frozenset().union(*(c.scenarios for c in known)),
    )
