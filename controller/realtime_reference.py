"""The realtime loop in Python: the specification of `controller/realtime.c`, and what runs without a compiler.

One tick, in this order: read the plants (who cannot be read is blind, which stops him), take the messages that
waited, take stops and look at leases, step the core, write the plants (who cannot be written is stopped), tell.
Commands age by the clock and not by the ticks that ran: missed ticks count for the watchdog.
"""

import errno
import math
import os
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.cohort import Cohort, Floor
from controller.errors import DriverError
from controller.loop import BINS, NS_PER_S, Loop, LoopReport
from controller.plants import PlantError
from controller.realtime_record import (
    ANSWER_ARRAYS,
    COUNTS,
    FIELDS,
    FOREVER_NS,
    HISTOGRAMS_AT,
    JOINT_ARRAYS,
    SAMPLE_ARRAYS,
    UNIT_ARRAYS,
    Answer,
    CohortSamples,
    Grant,
    Kind,
    Message,
    Options,
    Record,
    Samples,
)
from controller.safety import State

_AT = {name: index for index, name in enumerate(COUNTS)}
_FOREVER_TICKS = 0xFFFFFFFF


class PythonLoop:
    """A `controller.realtime_record.Engine`; see there for its methods."""

    def __init__(self, options: Options) -> None:
        self._o = options
        self._floor = Floor(options.cohorts)
        self._loop = Loop(options.period_s, self._tick, options.clock, on_missed=self._miss)
        self._messages: deque[Message] = deque()
        self._samples: deque[tuple[int, int, list[list[npt.NDArray[Any]]]]] = deque()
        self._sample_due = 0
        self._lock = threading.Lock()
        self._wishes = [np.zeros(cohort.units, np.uint32) for cohort in options.cohorts]
        first = 0 if options.leases else FOREVER_NS
        self._deadlines_ns = [np.full(cohort.units, first, np.int64) for cohort in options.cohorts]
        self._answers = [np.zeros((len(ANSWER_ARRAYS), cohort.units), np.uint32) for cohort in options.cohorts]
        self._counts = np.zeros(HISTOGRAMS_AT + 2 * BINS, np.int64)
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._grants: Mapping[Grant, int] = {}
        self._record = Record(self._counts.copy(), ())
        self.error: BaseException | None = None
        self._tell()

    @property
    def finished(self) -> bool:
        return self._thread is not None and not self._thread.is_alive()

    def run(self, ticks: int) -> None:
        self._loop.run(ticks)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._main, name="palaestra-loop", daemon=True)
        self._thread.start()
        self._ready.wait(5.0)

    def stop(self) -> None:
        self._loop.stop()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def end(self) -> None:
        for cohort in self._o.cohorts:
            powered = np.isin(cohort.block.state, (State.ARMED, State.RUN, State.STOPPING))
            cohort.block.stop_request[powered] |= np.uint32(1)
        self._floor.step()
        self._write(self._loop.report.due)
        for plant in self._o.plants:
            plant.rest()
        self._tell()

    def push(self, message: Message) -> bool:
        if len(self._messages) >= self._o.queue:
            return False
        self._messages.append(message)
        return True

    def wish(self, member: int, unit: int, bits: int) -> None:
        with self._lock:
            self._wishes[member][unit] |= np.uint32(bits)

    def lease(self, member: int, unit: int, deadline_ns: int) -> None:
        self._deadlines_ns[member][unit] = deadline_ns

    def newest(self) -> Record:
        return self._record

    def take_samples(self) -> Samples:
        rows = [self._samples.popleft() for _ in range(len(self._samples))]
        cohorts = []
        for member, cohort in enumerate(self._o.cohorts):
            shape = (len(rows), len(cohort.spec.joints), cohort.units)
            arrays = [
                np.array([arrays[member][at] for _, _, arrays in rows], cohort.block.dtype).reshape(shape)
                for at in range(len(SAMPLE_ARRAYS))
            ]
            cohorts.append(CohortSamples(*arrays))
        ticks = np.array([tick for tick, _, _ in rows], np.int64)
        return Samples(ticks, np.array([now_ns for _, now_ns, _ in rows], np.int64) / NS_PER_S, tuple(cohorts))

    def final(self) -> LoopReport:
        return self._loop.report

    def grants(self) -> Mapping[Grant, int]:
        return self._grants

    def _main(self) -> None:
        try:
            self._grants = _prepare(self._o)
            self._ready.set()
            self._loop.run()
        except BaseException as error:
            self.error = error
        finally:
            self.end()

    def _tick(self, k: int) -> None:
        now_ns = self._o.clock.now_ns()
        for number, plant in enumerate(self._o.plants):
            try:
                plant.read(k, now_ns)
            except DriverError as error:
                self._plant_failed(number, error)
                columns = slice(plant.first, plant.first + plant.units)
                plant.cohort.q[:, columns] = plant.cohort.dq[:, columns] = np.nan
        for _ in range(len(self._messages)):
            self._take(self._messages.popleft(), now_ns)
        for member, cohort in enumerate(self._o.cohorts):
            self._take_stops(member, cohort, now_ns)
        self._floor.step()
        self._write(k)
        self._counts[_AT["tick"]] = k
        self._counts[_AT["now_ns"]] = now_ns
        self._counts[_AT["start_ns"]] = self._loop.start_ns or 0
        self._counts[_AT["ticks"]] = self._loop.report.ticks
        self._counts[_AT["missed"]] = self._loop.report.missed
        self._sample(k, now_ns)
        self._tell()

    def _take(self, message: Message, now_ns: int) -> None:
        cohort, unit = self._o.cohorts[message.member], message.unit
        self._counts[_AT["commands"]] += 1
        if message.kind is Kind.TARGET:
            if now_ns > message.valid_until_ns:
                self._counts[_AT["stale_commands"]] += 1
                return
            assert message.values is not None and message.given is not None
            with np.errstate(over="ignore"):
                for name, values, given in zip(FIELDS, message.values, message.given, strict=True):
                    getattr(cohort, name)[given, unit] = values[given]
            cohort.submit(unit)
            return
        answer, joint = self._held(message)
        if answer is Answer.DONE:
            (cohort.arm if message.kind is Kind.ARM else cohort.reset)(unit)
        self._answers[message.member][:, unit] = message.number, answer, joint

    def _held(self, message: Message) -> tuple[Answer, int]:
        cohort, unit = self._o.cohorts[message.member], message.unit
        if cohort.unit_state(unit) is not (State.INIT if message.kind is Kind.ARM else State.STOPPED):
            return Answer.WRONG_STATE, 0
        if cohort.block.stop_request[unit] or self._wishes[message.member][unit]:
            return Answer.STOP_WAITS, 0
        for row, joint in enumerate(cohort.spec.joints):
            q, dq = float(cohort.q[row, unit]), float(cohort.dq[row, unit])
            if not (math.isfinite(q) and math.isfinite(dq)):
                return Answer.SENSOR, row
            if abs(dq) > joint.dq_max_rad_s * cohort.spec.overspeed_ratio:
                return Answer.TOO_FAST, row
        return Answer.DONE, 0

    def _take_stops(self, member: int, cohort: Cohort, now_ns: int) -> None:
        block, units = cohort.block, cohort.units
        with self._lock:
            block.stop_request[:units] |= self._wishes[member]
            self._wishes[member][:] = 0
        if self._o.leases:
            driven = np.isin(block.state[:units], (State.ARMED, State.RUN))
            over = driven & (now_ns >= self._deadlines_ns[member])
            block.stop_request[:units][over] |= np.uint32(2)
            self._counts[_AT["lease_stops"]] += int(over.sum())

    def _write(self, k: int) -> None:
        for number, plant in enumerate(self._o.plants):
            try:
                plant.write(k, self._o.clock.now_ns())
            except DriverError as error:
                self._plant_failed(number, error)
                plant.rest()
                columns = slice(plant.first, plant.first + plant.units)
                plant.cohort.block.stop_request[columns] |= np.uint32(1)

    def _plant_failed(self, number: int, error: DriverError) -> None:
        self._counts[_AT["plant_errors"]] += 1
        self._counts[_AT["plant_error"]] = error.number if isinstance(error, PlantError) else -1
        self._counts[_AT["plant_error_port"]] = number

    def _miss(self, missed: int) -> None:
        for cohort in self._o.cohorts:
            age = cohort.block.age[: cohort.units]
            age[:] = np.minimum(age.astype(np.uint64) + np.uint64(missed), _FOREVER_TICKS)

    def _sample(self, k: int, now_ns: int) -> None:
        if not self._o.samples or k < self._sample_due:
            return
        self._sample_due += self._o.sample_every * (1 + (k - self._sample_due) // self._o.sample_every)
        if len(self._samples) >= self._o.samples:
            self._counts[_AT["lost_samples"]] += 1
            return
        arrays = [
            [getattr(cohort.block, name)[:, : cohort.units].copy() for name in SAMPLE_ARRAYS]
            for cohort in self._o.cohorts
        ]
        self._samples.append((k, now_ns, arrays))

    def _tell(self) -> None:
        report = self._loop.report
        self._counts[_AT["lateness_max_ns"]] = round(report.lateness_max_s * NS_PER_S)
        self._counts[_AT["cost_max_ns"]] = round(report.cost_max_s * NS_PER_S)
        self._counts[HISTOGRAMS_AT : HISTOGRAMS_AT + BINS] = report.lateness_count
        self._counts[HISTOGRAMS_AT + BINS :] = report.cost_count
        members = []
        for cohort, answers in zip(self._o.cohorts, self._answers, strict=True):
            block, units = cohort.block, cohort.units
            arrays = {name: getattr(block, name)[..., :units].copy() for name in JOINT_ARRAYS + UNIT_ARRAYS}
            members.append(arrays | {name: row.copy() for name, row in zip(ANSWER_ARRAYS, answers, strict=True)})
        self._record = Record(self._counts.copy(), tuple(members))


def _prepare(options: Options) -> dict[Grant, int]:
    """Ask the system for this thread what realtime.c asks for; memory is locked only over there."""
    grants = {}
    if options.priority:
        grants[Grant.SCHED_FIFO] = _errno(
            lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(options.priority))
        )
    if options.cpu >= 0:
        grants[Grant.AFFINITY] = _errno(lambda: os.sched_setaffinity(0, {options.cpu}))
    if options.lock_memory:
        grants[Grant.LOCKED_MEMORY] = errno.ENOSYS
    return grants


def _errno(ask: Callable[[], object]) -> int:
    try:
        ask()
    except OSError as error:
        return error.errno or errno.EIO
    except AttributeError:
        return errno.ENOSYS
    return 0
