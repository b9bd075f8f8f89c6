"""One run: a venue with its processes, what its users do, what goes wrong, and the calm that must heal it."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Callable, Coroutine
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

from controller.host import UnitHost
from controller.settings import HostSettings
from palaestra.failpoint import Failpoint
from palaestra.v1 import runner_service_pb2
from runner.service import Runner
from runner.settings import Settings as RunnerSettings
from scheduler.clock import Clock
from scheduler.configuration import settings_of
from scheduler.core import Core
from scheduler.identity import Credentials
from scheduler.server import Server
from store.spool import clean_spool
from tests.simulation import machine, users
from tests.simulation.faults import Plan
from tests.simulation.invariants import Invariants
from tests.simulation.loop import Killed, Process, VirtualLoop, present
from tests.simulation.machine import SteppedWriter
from tests.simulation.network import Network
from tests.simulation.station import SimStation, hosted
from tests.simulation.workers import SimPool

ADDRESS = "127.0.0.1:7400"
TTL_S = 4.0
ROUGH_S = 8.0
LASTING_S = 16.0
# In a life of long work and long cuts: how long these may last.
WORK_LONG_S = 10.0
ORPHANS_LONG_S = 10.0
EVERYBODY = ["host-a", "host-b", "runner", "scheduler"]
CUT_LONG_S = 9.0
# A process goes on for so long after its writer has begun to wait for a disk that it does not see answer.
LAST_WORDS_S = 0.004
# Virtual time by which everything must have ended once faults have ceased.
CALM_MAX_S = 240.0
HOSTS = {"host-a": ("arm-1", "arm-2"), "host-b": ("arm-3",)}
VENUE: dict[str, Any] = {
    "venue": {"id": "hall"},
    "vendor": [{"id": "acme"}, {"id": "rival", "weight": 2.0}],
    "cell": [{"id": "bench", "scenario": "assembly", "level": 2}],
    "unit": [{"id": unit, "robot": "dry_robot"} for units in HOSTS.values() for unit in units],
    "scheduler": {
        "lease_ttl_s": TTL_S,
        "hold_after_s": 10.0,
        "queued_jobs_max": 50,
        "preempt_after_s": 8.0,
        "decisions_kept": 50,
    },
}


def plan_of(seed: int) -> Plan:
    """Return what goes wrong in a seed's life."""
    return Plan.of(Random(f"plan {seed}"))


class Venue:
    """A venue of one seed.

    Attributes:
        rough: Whether faults happen still.
        invariants: What is broken, if anything.
        reached, killed: How often each failpoint was passed, and how often a process was killed there.
    """

    def __init__(self, seed: int, folder: Path, *, watch: Callable[[str], None] | None = None) -> None:
        self.seed, self.folder = seed, folder
        self.chance = Random(f"venue {seed}")
        self.plan = plan_of(seed)
        self.loop = VirtualLoop()
        self._digest = hashlib.sha256()
        self._watch = watch
        self.network = Network(self.loop, Random(f"network {seed}"), self.trace)
        self.invariants = Invariants(folder / "db", folder / "objects", self.loop, self.trace)
        self.network.answered = self.invariants.answered
        self.rough = True
        self.reached: dict[str, int] = {}
        self.killed: dict[str, int] = {}
        self._present: dict[str, Process] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._count = 0
        self._wall_s = 0.0
        self._rates: dict[str, float] = {}
        self._pools: dict[Process, SimPool] = {}
        self._stations: dict[Process, Any] = {}
        self.settings = settings_of(VENUE, "simulation")

    # Looking on.

    def trace(self, line: str) -> None:
        line = f"{self.loop.now_s:.6f} {line}"
        self._digest.update(line.encode() + b"\n")
        if self._watch is not None:
            self._watch(line)

    @property
    def digest(self) -> str:
        """What distinguishes this run from any other: all events, answers and faults with their times."""
        return self._digest.hexdigest()

    # Processes.

    def process(self, name: str, *, rate: float = 1.0) -> Process:
        """Return a new process."""
        self._count += 1
        process = Process(f"{name}#{self._count}" if name == "worker" else name, rate=rate)
        process.at_death.append(lambda: self.network.died(process))
        return process

    def keep(self, task: "asyncio.Task[Any]") -> None:
        """Keep a task from being forgotten, and its errors from going unseen."""
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        if not task.cancelled() and (error := task.exception()) is not None and not isinstance(error, Killed):
            self.loop.failures.append(f"{task.get_coro().__qualname__}: {error!r}")  # type: ignore[union-attr]

    def spawn(self, name: str, work: Callable[[Process], Coroutine[Any, Any, None]]) -> Process:
        """Start a process that is started again a while after it ends, however it ends."""
        # A machine's clock is as fast or slow as it is, whatever is started there.
        rate = self._rates.setdefault(name, self.chance.uniform(0.975, 1.025) if "drift" in self.plan.kinds else 1.0)
        process = self.process(name, rate=rate)
        process.wall_s = self._wall_s if name == "scheduler" else 0.0
        self._present[name] = process
        self.trace(f"{name} starts")

        async def life() -> None:
            with contextlib.suppress(Exception):
                await work(process)
            self.kill(process)

        def again() -> None:
            later_s = self.loop.now_s + self.chance.choice((0.05, 0.5, 2.0, 5.0)) * (0.5 + self.chance.random())
            self.loop.at(later_s, self.spawn, name, work, context=machine.nobody())

        process.at_death.append(again)
        self.loop.call_soon(lambda: self.keep(self.loop.create_task(life())), context=process.context())
        return process

    def kill(self, process: Process) -> None:
        """Kill a process, as `kill -9`."""
        if process.alive:
            self.trace(f"{process.name} dies")
            process.kill()

    def passed(self, point: Failpoint) -> None:
        """Be told that a failpoint is passed."""
        process = present()
        if process is None or not process.alive:
            return
        self.reached[point.name] = self.reached.get(point.name, 0) + 1
        due = self.plan.due(point.name) if self.rough else False
        if isinstance(due, Exception):
            self.trace(f"{process.name} at {point.name}: {due}")
            raise due
        if due:
            self.trace(f"{process.name} is killed at {point.name}")
            self.killed[point.name] = self.killed.get(point.name, 0) + 1
            if point.name == "scheduler.commit.before":
                # The writer waits for the disk; what the rest of the process has to say, it may say still.
                self.loop.at(self.loop.now_s + LAST_WORDS_S, self.kill, process, context=machine.nobody())
            else:
                self.kill(process)
            raise Killed(point.name)

    async def _scheduler(self, process: Process) -> None:
        clock = Clock(
            wall_ns=lambda: machine.wall_ns(self.loop),
            monotonic_ns=lambda: int(self.loop.time() * 1e9),
            since_boot_ns=lambda: int(self.loop.time() * 1e9),
            boot=lambda: "one",
        )
        core = Core(self.settings, self.folder / "db", self.loop, clock=clock, writer=SteppedWriter)
        machine.close_at_death(process, core)
        over = self.loop.create_future()
        writer: Any = core._writer
        writer._broken = lambda error: self.loop.call_later(0.05, lambda: over.done() or over.set_result(None))
        credentials = Credentials.open(self.folder / "tokens", [vendor.id for vendor in self.settings.venue.vendors])
        server = Server(core, credentials, ADDRESS)
        await core.start()
        await server.start()
        await over

    async def _host(self, process: Process) -> None:
        units = [hosted("hall", unit) for unit in HOSTS[process.name]]
        settings = HostSettings(
            host=process.name, scheduler=ADDRESS, token=self.token("host"), state_folder=self.folder / process.name
        )
        host = UnitHost(units, settings)
        self._stations[process] = host.station
        await host.run()

    async def _runner(self, process: Process) -> None:
        settings = RunnerSettings(
            "runner", ADDRESS, self.token("runner"), self.folder / "objects", self.folder / "spool"
        )
        clean_spool(settings.spool)
        pool = SimPool(self, settings)

        def orphan() -> None:
            # Ray ends with the runner that started it, but not in the same moment.
            for worker in pool.workers:
                later_s = self.chance.choice((0.0, 0.1, 2.0))
                if self.plan.lasting and self.rough:
                    later_s = ORPHANS_LONG_S
                self.loop.at(self.loop.now_s + later_s, self.kill, worker.process, context=machine.nobody())

        process.at_death.append(orphan)
        self._pools[process] = pool
        catalogue = runner_service_pb2.WatchAssignmentsRequest(motions=["sway"], robot_models=["dry_robot"])
        await Runner(settings, pool, catalogue).run()

    def work_s(self) -> float:
        """Draw how long an episode on a unit takes."""
        return self.chance.uniform(0.4, WORK_LONG_S if self.plan.lasting and self.rough else 2.0)

    def token(self, name: str) -> str:
        """Return a token of the scheduler's folder."""
        return (self.folder / "tokens" / f"{name}.token").read_text().strip()

    # What goes wrong by itself.

    async def _trouble(self) -> None:
        kinds, chance = self.plan.kinds, self.chance
        weather = self.network.weather
        if "weather" in kinds:
            worst = chance.choice((0.02, 0.1))
            weather.lose_request, weather.lose_answer, weather.double, weather.late = worst, worst, worst, worst
            weather.cut = worst / 5
            weather.delay_s = chance.choice((0.002, 0.05, 0.2))
        while True:
            await asyncio.sleep(chance.uniform(0.3, 2.5))
            kind = chance.choice(("kills", "freezes", "partitions", "breakdowns", "clocks"))
            if kind in kinds:
                getattr(self, f"_{kind}")()

    def _somebody(self) -> Process:
        found = [process for process in self._present.values() if process.alive and process.name != "operator"]
        found += [w.process for pool in self._pools.values() for w in pool.workers if w.process.alive]
        return self.chance.choice(sorted(found, key=lambda process: process.name))

    def _kills(self) -> None:
        self.kill(self._somebody())

    def _freezes(self) -> None:
        process = self._somebody()
        if not process.frozen:
            self.trace(f"{process.name} freezes")
            process.frozen = True
            self.loop.at(
                self.loop.now_s + self.chance.choice((0.2, 1.0, 6.0)), self._thaw, process, context=machine.nobody()
            )

    def _thaw(self, process: Process) -> None:
        if process.frozen:
            self.trace(f"{process.name} goes on")
            self.loop.thaw(process)

    def _partitions(self) -> None:
        one = self.chance.choice(("scheduler", "scheduler", "runner"))
        others = self.chance.choice((["host-a"], ["host-b"], ["acme"], ["runner"], ["scheduler"], EVERYBODY))
        last_s = self.chance.choice((0.3, 2.0, 8.0))
        self._part(one, others, last_s)

    def _part(self, one: str, others: list[str], last_s: float) -> None:
        self.trace(f"nothing goes between {one} and {', '.join(others)} for {last_s} s")
        self.loop.call_later(last_s, self.network.part(one, others))

    async def _ordeal(self) -> None:
        """Have nobody hear of the scheduler for long, or a runner go without its workers, or both."""
        await asyncio.sleep(self.chance.uniform(3.0, 7.0))
        what = self.chance.choice(("alone", "orphans", "both", "both"))
        if what != "orphans":
            self._part("scheduler", EVERYBODY if what == "alone" else list(HOSTS), CUT_LONG_S)
        if what != "alone":
            self.kill(self._present["runner"])

    def _breakdowns(self) -> None:
        host = self._present[self.chance.choice(sorted(HOSTS))]
        station = self._stations.get(host)
        if host.alive and not host.frozen and station is not None:
            unit = self.chance.choice(sorted(station.units))
            self.trace(f"{unit} breaks down")
            self.loop.call_soon(station.break_down, unit, "JOINT_STUCK at joint_1", context=host.context())

    def _clocks(self) -> None:
        self._wall_s += self.chance.choice((-3600.0, -2.0, 2.0, 3600.0))
        self.trace(f"the scheduler's clock is set to {self._wall_s:+.0f} s")

    # The run.

    async def _live(self) -> None:
        with machine.as_process(self.process("house")):
            Credentials.open(self.folder / "tokens", [vendor.id for vendor in self.settings.venue.vendors])
        self.spawn("scheduler", self._scheduler)
        for name in HOSTS:
            self.spawn(name, self._host)
        self.spawn("runner", self._runner)
        self.spawn("acme", lambda process: users.vendor(self, "acme"))
        self.spawn("rival", lambda process: users.vendor(self, "rival"))
        self.spawn("operator", lambda process: users.operator(self))
        self.spawn("watcher", lambda process: users.watcher(self))
        trouble = [self.loop.create_task(self._trouble())]
        if self.plan.lasting:
            trouble.append(self.loop.create_task(self._ordeal()))
        await asyncio.sleep(LASTING_S if self.plan.lasting else ROUGH_S)
        for task in trouble:
            task.cancel()
        self._calm()
        give_up_s = self.loop.now_s + CALM_MAX_S
        while self.loop.now_s < give_up_s:
            await asyncio.sleep(0.5)
            settled = self.invariants.submitted and not self.invariants.open_jobs() and self.calm_users >= 2
            if settled:
                break
        self.invariants.final()

    calm_users = 0

    def _calm(self) -> None:
        """Let nothing go wrong any more."""
        self.trace("calm")
        self.rough = False
        self.network.weather.__init__()  # type: ignore[misc]
        self.network.heal()
        for process in self._present.values():
            self._thaw(process)
        for pool in self._pools.values():
            for worker in pool.workers:
                self._thaw(worker.process)

    def run(self) -> list[str]:
        """Live through it; return what is broken."""
        machine.install(self.loop, self.network, self.seed)
        SimStation.witness, SimStation.chance = self.invariants, Random(f"station {self.seed}")
        commit = Random(f"commit {self.seed}")
        SteppedWriter.commit_s = staticmethod(lambda: commit.uniform(0.0002, 0.004))
        SteppedWriter.witness = staticmethod(self.invariants.committed)
        Failpoint.hook = self.passed
        handler = _Defects(self.loop)
        logging.getLogger().addHandler(handler)
        live = self.loop.create_task(self._live())
        self.loop._thread_id = 1  # type: ignore[attr-defined]
        asyncio._set_running_loop(self.loop)
        while not live.done() and not self.invariants.broken and not self.loop.failures:
            self.loop._run_once()
        if live.done() and live.exception() is not None:
            self.loop.failures.append(f"the run itself: {live.exception()!r}")
        return self.invariants.broken + [f"{self.loop.now_s:.3f} s: {failure}" for failure in self.loop.failures]


class _Defects(logging.Handler):
    """What the product's own code logs with a traceback is a defect, unless a fault was its cause."""

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(logging.ERROR)
        self._loop = loop

    def emit(self, record: logging.LogRecord) -> None:
        process = present()
        if record.exc_info and record.exc_info[1] is not None and process is not None and process.alive:
            error = record.exc_info[1]
            if not isinstance(error, Killed) and not getattr(error, "sqlite_errorcode", None):
                self._loop.failures.append(f"{record.name} in {process.name}: {record.getMessage()}: {error!r}")


def run(seed: int, folder: Path, **options: Any) -> SimpleNamespace:
    """Run a seed; return what came of it. Once in a Python process."""
    venue = Venue(seed, folder, **options)
    broken = venue.run()
    return SimpleNamespace(
        seed=seed, digest=venue.digest, broken=broken, reached=venue.reached, killed=venue.killed,
        kinds=sorted(venue.plan.kinds), virtual_s=venue.loop.now_s, jobs=venue.invariants.jobs,
        grants=venue.invariants.grants, events=venue.invariants._sequence,
    )  # fmt: skip
