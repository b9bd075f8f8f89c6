"""Cohorts driven on time by a thread that Python cannot hold up.

    with RealtimeLoop(cohort, JointPlant(cohort), priority=80) as loop:
        loop.arm(0).wait()
        loop.set_target(0, q_ref={"left_knee": 0.4}, kp=60.0)
        print(loop.snapshot().cohorts[0].q)

The loop owns its cohorts from `start` (or the first `run`) to `stop`: nobody else may touch them. What Python
wants is queued, and what the loop knows is copied out; neither waits for the other, whatever the GIL does.
Stops and the ends of leases go past the queue and cannot be refused. The compiled form is `realtime.c`; where it
cannot be used `realtime_reference.py` runs, the same to the bit, but late whenever Python is busy.
"""

import operator
import os
import threading
import time
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from controller.cohort import Cohort, Target
from controller.errors import CommandError, KernelUnavailableError, LoopError, QueueFullError, StateError, StopHeldError
from controller.loop import NS_PER_S, Clock, LoopReport, VirtualClock, WallClock, period_ns
from controller.plants import PLANT_ERRORS, Plant
from controller.realtime_native import NativeLoop, unavailable
from controller.realtime_record import (
    FIELDS,
    Answer,
    CohortSnapshot,
    Engine,
    Grant,
    Kind,
    Message,
    Options,
    Samples,
    Snapshot,
)
from controller.realtime_reference import PythonLoop
from controller.safety import State

LoopBackend = Literal["compiled", "python"]

QUEUE = 256
"""Messages that may wait: a second of targets at 50 Hz for five units."""

PRIORITY_MAX = 99
"""Of SCHED_FIFO on Linux; 99 is also that of the kernel's own watchdogs."""

POWERED = (State.RUN, State.STOPPING)

# By which loop a cohort is driven: two would write the same arrays.
_driven: weakref.WeakKeyDictionary[Cohort, "weakref.ref[RealtimeLoop]"] = weakref.WeakKeyDictionary()
_taking = threading.Lock()


class Ticket:
    """The answer to an `arm` or a `reset`, once its tick has come."""

    def __init__(self, loop: "RealtimeLoop", message: Message, name: str) -> None:
        self._loop, self._message, self._name = loop, message, name

    def done(self) -> bool:
        """Return whether it was carried out; False as long as its tick has not come.

        Raises:
            StateError: the unit was in another state; nothing was changed.
            StopHeldError: a stop was waiting, a sensor not finite, or a joint too fast; nothing was changed.
            LoopError: a newer `arm` or `reset` of the unit was answered before anybody asked for this one.
        """
        asked = self._message
        arrays = self._loop._newest().members
        if not arrays:
            return False
        answered, answer, row = (
            int(arrays[asked.member][n][asked.unit]) for n in ("answered", "answer", "answer_joint")
        )
        if answered < asked.number:
            return False
        what = f"{asked.kind.name} of unit {asked.unit}"
        if answered > asked.number:
            raise LoopError(f"{what}: a newer call was answered meanwhile")
        spec = self._loop.cohorts[asked.member].spec
        refusals: dict[Answer, Exception] = {
            Answer.WRONG_STATE: StateError(f"{what}: it is not in {self._name}"),
            Answer.STOP_WAITS: StopHeldError(f"{what}: a stop request is waiting"),
            Answer.SENSOR: StopHeldError(f"{what}: {spec.joints[row].name} measures no finite value"),
            Answer.TOO_FAST: StopHeldError(f"{what}: {spec.joints[row].name} moves faster than its trip speed"),
        }
        refusal = refusals.get(Answer(answer))
        if refusal is not None:
            raise refusal
        return True

    def wait(self, timeout_s: float = 1.0) -> None:
        """Return when it was carried out.

        Raises:
            StateError, StopHeldError, LoopError: as `done`; LoopError also after `timeout_s`, or without a loop.
        """
        give_up_s = time.monotonic() + timeout_s
        while not self.done():
            if not self._loop.running:
                raise LoopError(f"{self._message.kind.name} of unit {self._message.unit}: the loop does not run")
            if time.monotonic() > give_up_s:
                raise LoopError(f"{self._message.kind.name} of unit {self._message.unit}: no tick within {timeout_s} s")
            time.sleep(min(self._loop.period_s, 0.001))


class RealtimeLoop:
    """Cohorts, their plants and the loop that drives them. All calls may come from any thread.

    Attributes:
        cohorts: What it drives.
        period_s: Control period.
        backend: "compiled" or "python".
        backend_reason: Why the compiled form is not used, "" where it is.
    """

    def __init__(
        self,
        cohorts: Cohort | Sequence[Cohort],
        plants: Plant | Sequence[Plant],
        *,
        clock: Clock | None = None,
        leases: bool = False,
        queue: int = QUEUE,
        samples: int = 0,
        sample_every: int = 1,
        priority: int | None = None,
        cpu: int | None = None,
        lock_memory: bool = False,
        backend: LoopBackend | None = None,
    ) -> None:
        """Bind cohorts and plants.

        Args:
            cohorts: One or many, of one period.
            plants: Each unit of each cohort belongs to exactly one.
            clock: Default is the wall clock without spinning.
            leases: Units are driven only while their lease lasts, see `renew_lease`; at first none does.
            queue: How many messages may wait, at least 1.
            samples: How many ticks are kept for `take_samples`.
            sample_every: Every how many ticks one is kept; where that one was missed, the next stands in.
            priority: Of SCHED_FIFO, 1 to 99; asked for, and `grants` tells whether it was given.
            cpu: The only processor that the thread runs on; likewise.
            lock_memory: Keep the whole process in memory; likewise.
            backend: None takes the compiled form where it can be used.

        Raises:
            CommandError: no cohorts, two periods, a unit without a plant or with two, or a number out of range.
            KernelUnavailableError: the compiled form was asked for and cannot be used.
        """
        self.cohorts: tuple[Cohort, ...] = (cohorts,) if isinstance(cohorts, Cohort) else tuple(cohorts)
        one: Any = plants
        self.plants: tuple[Plant, ...] = tuple(plants) if isinstance(plants, Sequence) else (one,)
        self.period_s = _period_s(self.cohorts)
        _refuse_gaps(self.cohorts, self.plants)
        self._clock: Clock = WallClock() if clock is None else clock
        if isinstance(self._clock, WallClock) and self._clock.spin_ns >= period_ns(self.period_s):
            raise CommandError(f"spin_s = {self._clock.spin_ns / NS_PER_S}: must be below the period {self.period_s}")
        self._leases = leases
        self._options = Options(
            cohorts=self.cohorts,
            plants=self.plants,
            period_s=self.period_s,
            clock=self._clock,
            leases=leases,
            queue=_number("queue", queue, 1, 2**20),
            samples=_number("samples", samples, 0, 2**24),
            sample_every=_number("sample_every", sample_every, 1, 2**31),
            priority=0 if priority is None else _number("priority", priority, 1, PRIORITY_MAX),
            cpu=-1 if cpu is None else _number("cpu", cpu, 0, (os.cpu_count() or 1) - 1),
            lock_memory=lock_memory,
        )
        if backend not in (None, "compiled", "python"):
            raise CommandError(f"backend {backend!r}: must be 'compiled' or 'python'")
        self.backend_reason = "it was asked for" if backend == "python" else unavailable(self._options)
        if backend == "compiled" and self.backend_reason:
            raise KernelUnavailableError(f"the compiled loop cannot be used: {self.backend_reason}")
        self.backend: LoopBackend = "python" if self.backend_reason else "compiled"
        self._engine: Engine = NativeLoop(self._options) if self.backend == "compiled" else PythonLoop(self._options)
        self._pushing, self._reading = threading.Lock(), threading.Lock()
        self._numbers = 0
        self._pid = os.getpid()
        self._started = self._stopped = False
        # Of who drives in his own thread: one at a time, and whoever stops him waits until he has.
        self._turn = threading.RLock()

    def __enter__(self) -> "RealtimeLoop":
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def running(self) -> bool:
        """Whether the loop's thread runs now."""
        return self._pid == os.getpid() and self._started and not self._stopped and not self._engine.finished

    def start(self) -> None:
        """Drive from now on, in a thread of its own.

        Raises:
            LoopError: it was started before or runs, the clock is virtual, another loop drives a cohort, or the system
                gives no thread.
        """
        with self._alone():
            if self._started or self._stopped:
                raise LoopError("a loop is started once")
            if isinstance(self._clock, VirtualClock):
                raise LoopError("a virtual clock has no thread: use run")
            self._take_cohorts()
            self._engine.start()
            self._started = True
        # A loop that nobody stops ends with this object, at the latest when the interpreter does.
        weakref.finalize(self, _finish, self._engine, self._pid)

    def run(self, ticks: int) -> LoopReport:
        """Drive in the caller's thread until `ticks` more scheduled ticks have passed, missed ones included.

        Raises:
            LoopError: the loop was started or stopped, another thread runs it, or another loop drives a cohort.
            CommandError: `ticks` is below 0.
        """
        with self._alone():
            if self._started or self._stopped:
                raise LoopError("run is for a loop without a thread, before it is stopped")
            self._take_cohorts()
            self._engine.run(_number("ticks", ticks, 0, 2**62))
            return self._engine.final()

    def stop(self, *, brake: bool = True) -> LoopReport:
        """Bring all units to rest, end the loop and return what it kept. May be called again.

        Args:
            brake: Brake first (stop category 1), for as long as the models' stop timeouts allow. The torque
                is off afterwards in any case, through the core and through the plants.

        Raises:
            LoopError: the loop had ended by an error, or its thread does not end because a plant hangs.
        """
        self._refuse_elsewhere()
        if self._stopped:
            return self._engine.final()
        if self._started:
            if brake:
                self._brake()
            self._engine.stop()
            give_up_s = time.monotonic() + 5.0 + 2.0 * self.period_s
            while not self._engine.finished:
                if time.monotonic() > give_up_s:
                    raise LoopError("the loop's thread does not end: a plant does not return")
                time.sleep(min(self.period_s, 0.001))
            self._engine.join()
        else:
            self._engine.stop()
            with self._turn:
                if not self._stopped:
                    self._engine.end()
                self._stopped = True
        self._stopped = True
        if self._engine.error is not None:
            raise LoopError(f"the loop died: {self._engine.error!r}") from self._engine.error
        return self._engine.final()

    def set_target(
        self,
        unit: int,
        *,
        q_ref: Target | None = None,
        dq_ref: Target | None = None,
        tau_ff: Target | None = None,
        kp: Target | None = None,
        kd: Target | None = None,
        valid_s: float | None = None,
        cohort: int = 0,
    ) -> None:
        """Queue the command of one unit: as `Cohort.set_target`, for the next tick.

        A target that its tick finds older than `valid_s` is left: what was queued before a stall is not obeyed
        after it. The default is the model's watchdog.

        Raises:
            CommandError: no such unit or joint, or not J values.
            QueueFullError: too many messages wait. Nothing was queued.
        """
        chosen, column = self._unit(cohort, unit)
        shape = (len(FIELDS), len(chosen.spec.joints))
        values, given = np.zeros(shape), np.zeros(shape, np.bool_)
        for row, (name, value) in enumerate(zip(FIELDS, (q_ref, dq_ref, tau_ff, kp, kd), strict=True)):
            if value is not None:
                joints, numbers = chosen._rows(name, value)
                values[row, joints], given[row, joints] = numbers, True
        valid_s = chosen.spec.watchdog_s if valid_s is None else valid_s
        if not valid_s > 0.0:
            raise CommandError(f"valid_s = {valid_s!r}: must be above 0")
        until_ns = self._clock.now_ns() + int(min(valid_s, 1e9) * NS_PER_S)
        self._push(Message(Kind.TARGET, cohort, column, valid_until_ns=until_ns, values=values, given=given))

    def arm(self, unit: int, *, cohort: int = 0) -> Ticket:
        """Queue `Cohort.arm`; the ticket says what became of it. Raises CommandError, QueueFullError."""
        return self._ask(Kind.ARM, cohort, unit, "INIT")

    def reset(self, unit: int, *, cohort: int = 0) -> Ticket:
        """Queue `Cohort.reset`; the ticket says what became of it. Raises CommandError, QueueFullError."""
        return self._ask(Kind.RESET, cohort, unit, "STOPPED")

    def request_stop(self, unit: int, category: int, *, cohort: int = 0) -> None:
        """Ask for a stop of category 0 or 1: the next tick carries it out. Goes past the queue, never refused.

        Raises:
            CommandError: no such unit or category.
            LoopError: this process was forked from the one whose loop it is.
        """
        if category not in (0, 1):
            raise CommandError(f"stop category {category!r}: must be 0 or 1")
        self._refuse_elsewhere()
        column = self._unit(cohort, unit)[1]
        self._engine.wish(cohort, column, 1 << category)

    def stop_all(self, category: int) -> None:
        """Ask for a stop of every unit."""
        for member, cohort in enumerate(self.cohorts):
            for unit in range(cohort.units):
                self.request_stop(unit, category, cohort=member)

    def renew_lease(self, unit: int, duration_s: float, *, cohort: int = 0) -> None:
        """Let the unit be driven for `duration_s` from now on, on the loop's clock; 0 ends it. Past the queue.

        When it has run out the loop brakes the unit (stop category 1), whoever still commands it.

        Raises:
            CommandError: no such unit, a duration below 0, or the loop was made without `leases`.
        """
        self._refuse_elsewhere()
        if not self._leases:
            raise CommandError("this loop was made without leases")
        if not 0.0 <= duration_s <= 1e9:
            raise CommandError(f"duration_s = {duration_s!r}: must be from 0 to 1e9")
        column = self._unit(cohort, unit)[1]
        self._engine.lease(cohort, column, self._clock.now_ns() + int(duration_s * NS_PER_S))

    def snapshot(self) -> Snapshot:
        """Return a copy of the loop as of its newest tick."""
        record = self._newest()
        report = record.report()
        number = record.count("plant_error")
        port = record.count("plant_error_port")
        text = ""
        if number:
            known = PLANT_ERRORS[number] if 0 < number < len(PLANT_ERRORS) else f"error {number} of its own"
            text = f"{type(self.plants[port]).__name__} {port}: {known}"
        return Snapshot(
            tick=record.count("tick") if report.ticks else -1,
            time_s=record.count("now_ns") / NS_PER_S,
            start_s=record.count("start_ns") / NS_PER_S,
            report=report,
            commands=record.count("commands"),
            stale_commands=record.count("stale_commands"),
            lease_stops=record.count("lease_stops"),
            plant_errors=record.count("plant_errors"),
            plant_error=text,
            lost_samples=record.count("lost_samples"),
            cohorts=tuple(_cohort_snapshot(arrays) for arrays in record.members),
        )

    def take_samples(self) -> Samples:
        """Remove and return the sampled ticks since the last call, oldest first; also after `stop`."""
        with self._reading:
            return self._engine.take_samples()

    def grants(self) -> dict[str, str]:
        """Return what the operating system said to what it was asked for: "granted", or why not."""
        return {
            Grant(number).name: "granted" if error == 0 else f"refused: {os.strerror(error)}"
            for number, error in self._engine.grants().items()
        }

    def _ask(self, kind: Kind, cohort: int, unit: int, state: str) -> Ticket:
        column = self._unit(cohort, unit)[1]
        with self._pushing:
            self._numbers += 1
            message = Message(kind, cohort, column, number=self._numbers)
            self._push_locked(message)
        return Ticket(self, message, state)

    def _push(self, message: Message) -> None:
        with self._pushing:
            self._push_locked(message)

    def _push_locked(self, message: Message) -> None:
        self._refuse_elsewhere()
        if self._stopped:
            raise LoopError("the loop was stopped")
        if not self._engine.push(message):
            raise QueueFullError(f"{self._options.queue} messages wait for the loop: unit {message.unit} was not heard")

    def _newest(self) -> Any:
        with self._reading:
            return self._engine.newest()

    def _unit(self, cohort: int, unit: int) -> tuple[Cohort, int]:
        member = operator.index(cohort)
        if not 0 <= member < len(self.cohorts):
            raise CommandError(f"cohort {cohort!r}: the loop has {len(self.cohorts)}")
        return self.cohorts[member], self.cohorts[member]._column(unit)

    def _brake(self) -> None:
        self.stop_all(1)
        patience_s = max(cohort.spec.stop_timeout_s for cohort in self.cohorts) + 10.0 * self.period_s
        give_up_s = time.monotonic() + patience_s
        begun = self._newest().report().due
        while not self._engine.finished and time.monotonic() < give_up_s:
            record = self._newest()
            resting = all(not np.isin(arrays["state"], POWERED).any() for arrays in record.members)
            if resting and record.report().due > begun:
                return
            time.sleep(min(self.period_s, 0.001))

    def _take_cohorts(self) -> None:
        """Drive the cohorts from now until the loop is stopped; raise LoopError if another loop drives one of them."""
        with _taking:
            for cohort in self.cohorts:
                other = _driven.get(cohort)
                loop = None if other is None else other()
                # What was driven where this process was forked from is driven there, on memory of its own.
                if loop is not None and loop is not self and not loop._stopped and loop._pid == os.getpid():
                    raise LoopError(f"{cohort.spec.robot_model}: another loop drives this cohort; stop that one first")
            _driven.update((cohort, weakref.ref(self)) for cohort in self.cohorts)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._refuse_elsewhere()
        if not self._turn.acquire(blocking=False):
            raise LoopError("another thread runs the loop or ends it")
        try:
            yield
        finally:
            self._turn.release()

    def _refuse_elsewhere(self) -> None:
        if self._pid != os.getpid():
            raise LoopError("the loop runs in the process that made it, not in this one that was forked from it")


def _finish(engine: Engine, pid: int) -> None:
    if pid == os.getpid():
        engine.stop()
        engine.join()


def _period_s(cohorts: Sequence[Cohort]) -> float:
    if not cohorts:
        raise CommandError("a loop drives at least one cohort")
    periods_s = sorted({cohort.period_s for cohort in cohorts})
    if len(periods_s) > 1:
        raise CommandError(f"cohorts of one loop share one period: got {periods_s}")
    if len({id(cohort) for cohort in cohorts}) < len(cohorts):
        raise CommandError("a cohort is given twice")
    period_ns(periods_s[0])
    return periods_s[0]


def _refuse_gaps(cohorts: Sequence[Cohort], plants: Sequence[Plant]) -> None:
    ways = {id(cohort): np.zeros(cohort.units, np.int64) for cohort in cohorts}
    for plant in plants:
        if id(plant.cohort) not in ways:
            raise CommandError(f"{type(plant).__name__}: its cohort is not one of the loop's")
        ways[id(plant.cohort)][plant.first : plant.first + plant.units] += 1
    for cohort in cohorts:
        for unit, count in enumerate(ways[id(cohort)].tolist()):
            if count != 1:
                raise CommandError(f"{cohort.spec.robot_model}: unit {unit} has {count} plants, must have one")


def _number(name: str, value: int, least: int, most: int) -> int:
    number = operator.index(value)
    if not least <= number <= most:
        raise CommandError(f"{name} = {value!r}: must be from {least} to {most}")
    return number


def _cohort_snapshot(arrays: Mapping[str, npt.NDArray[Any]]) -> CohortSnapshot:
    names = ("q", "dq", "tau", "fault", "unit_fault", "state")
    return CohortSnapshot(**{name: arrays[name] for name in names}, age_ticks=arrays["age"])
