"""Binds the compiled realtime loop, `controller/realtime.c`: proves every address and size once, then lets it run.

All memory is made here and held until the thread has ended. A loop that nobody stops is stopped when its object
goes or when the interpreter exits; a forked child has the object but not the thread, and is refused.
"""

import ctypes
import os
import time
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from controller import kernel
from controller.block import Block
from controller.cohort import Cohort
from controller.errors import KernelUnavailableError, LoopError
from controller.loop import BINS, NS_PER_S, LoopReport, VirtualClock, WallClock, period_ns
from controller.plants import Port
from controller.realtime_library import loaded
from controller.realtime_record import (
    ANSWER_ARRAYS,
    FIELDS,
    HISTOGRAMS_AT,
    JOINT_ARRAYS,
    SAMPLE_ARRAYS,
    UNIT_ARRAYS,
    CohortSamples,
    Grant,
    Kind,
    Message,
    Options,
    Record,
    Samples,
)

START_PATIENCE_S, END_PATIENCE_S = 5.0, 5.0
"""A thread begins and ends within a tick; on a machine that is stuck this long says so."""

CACHE_LINE_B = 64

SAMPLE_COUNTS = 2
"""Of `COUNTS`, the first: a sample says its tick and when it began."""

_MEMBER_BITS = ("fault", "fresh", "age", "state", "stop_request", "unit_fault")


class _Member(ctypes.Structure):
    """Mirror of `struct member` in realtime_loop.h."""

    _fields_ = (
        ("staged", ctypes.c_void_p * len(FIELDS)),
        *((name, ctypes.c_void_p) for name in ("q", "dq", *_MEMBER_BITS, "still")),
        *((name, ctypes.c_void_p) for name in ("trip_rad_s", "kp", "kd", "wish", "deadline_ns", *ANSWER_ARRAYS)),
        *((name, ctypes.c_uint32) for name in ("is_double", "joints", "lanes", "units")),
    )


class _MessageHead(ctypes.Structure):
    """Mirror of `struct message` in realtime_loop.h, up to its numbers."""

    _fields_ = (
        ("valid_until_ns", ctypes.c_int64),
        *((name, ctypes.c_uint32) for name in ("kind", "member", "unit", "number")),
    )


class _Span(ctypes.Structure):
    """Mirror of `struct span` in realtime_loop.h."""

    _fields_ = (
        ("from", ctypes.c_void_p),
        *((name, ctypes.c_size_t) for name in ("stride_b", "row_b", "rows", "offset_b")),
    )


class _Setup(ctypes.Structure):
    """Mirror of `struct setup` in realtime_loop.h."""

    _fields_ = (
        ("period_ns", ctypes.c_int64),
        ("spin_ns", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("virtual_now_ns", "step", "floor", "members", "ports", "ring")),
        *((name, ctypes.c_void_p) for name in ("spans", "sample_spans")),
        ("buffers", ctypes.c_void_p * 3),
        *((name, ctypes.c_void_p) for name in ("samples", "counts")),
        *((name, ctypes.c_size_t) for name in ("slots", "slot_b", "sample_slots", "sample_b")),
        *((name, ctypes.c_uint32) for name in ("member_count", "port_count", "span_count")),
        *((name, ctypes.c_uint32) for name in ("sample_span_count", "sample_every")),
        *((name, ctypes.c_int32) for name in ("priority", "cpu", "lock_memory")),
    )


def unavailable(options: Options) -> str:
    """Return why the compiled loop cannot run these, in one sentence; "" where it can."""
    library = loaded()
    if library.handle is None:
        return library.reason
    if library.handle.palaestra_setup_bytes() != ctypes.sizeof(_Setup):
        return "the library was built for another layout"
    for cohort in options.cohorts:
        if cohort.backend != "compiled":
            return f"the cohort of {cohort.spec.robot_model} runs on NumPy: {kernel.backend_reason()}"
    for plant in options.plants:
        if plant.port(library.handle) is None:
            return f"{type(plant).__name__} has no compiled form: it is Python"
    if not isinstance(options.clock, (WallClock, VirtualClock)):
        return f"{type(options.clock).__name__} is a clock that only Python can read"
    return ""


class NativeLoop:
    """A `controller.realtime_record.Engine`; see there for its methods."""

    error: BaseException | None = None

    def __init__(self, options: Options) -> None:
        """Bind. Raises KernelUnavailableError where `unavailable` has a reason."""
        reason = unavailable(options)
        if reason:
            raise KernelUnavailableError(f"the compiled loop cannot be used: {reason}")
        handle = loaded().handle
        assert handle is not None
        self._library = handle
        self._counts = np.zeros(HISTOGRAMS_AT + 2 * BINS, np.int64)
        members, state = _members(options)
        arrays = [self._counts]
        sampled = [self._counts[:SAMPLE_COUNTS]]
        for cohort, own in zip(options.cohorts, state, strict=True):
            block: Block = cohort.block
            arrays += [getattr(block, name)[..., : block.units] for name in JOINT_ARRAYS + UNIT_ARRAYS]
            arrays += [own[name] for name in ANSWER_ARRAYS]
            sampled += [getattr(block, name)[..., : block.units] for name in SAMPLE_ARRAYS]
        spans, layout, size_b = _spans(arrays)
        self._layout = layout
        self._buffers = [_aligned(size_b) for _ in range(3)]
        sample_spans, self._sample_layout, sample_b = _spans(sampled)
        self._samples = _aligned(options.samples * sample_b).reshape(options.samples, sample_b)
        self._samples_taken = 0
        ports, behind_ports = _ports(options, handle)
        # As long as the longest target of any cohort: head, numbers, and one byte for each.
        self._values = len(FIELDS) * max(len(cohort.spec.joints) for cohort in options.cohorts)
        slot_b = _whole_lines(ctypes.sizeof(_MessageHead) + 9 * self._values)
        ring = _aligned(options.queue * slot_b)
        self._message = _aligned(slot_b)
        step = kernel.bind([cohort.block for cohort in options.cohorts])
        addresses = kernel.address_of(step)
        assert addresses is not None
        clock = options.clock
        setup = _Setup(
            period_ns=period_ns(options.period_s),
            spin_ns=clock.spin_ns if isinstance(clock, WallClock) else 0,
            virtual_now_ns=ctypes.addressof(clock.cell) if isinstance(clock, VirtualClock) else None,
            step=addresses[0],
            floor=addresses[1],
            members=ctypes.addressof(members),
            ports=ctypes.addressof(ports),
            ring=ring.ctypes.data,
            spans=ctypes.addressof(spans),
            sample_spans=ctypes.addressof(sample_spans),
            samples=self._samples.ctypes.data,
            buffers=tuple(buffer.ctypes.data for buffer in self._buffers),
            counts=self._counts.ctypes.data,
            slots=options.queue,
            slot_b=slot_b,
            sample_slots=options.samples,
            sample_b=sample_b,
            member_count=len(options.cohorts),
            port_count=len(options.plants),
            span_count=len(layout),
            sample_span_count=len(self._sample_layout),
            sample_every=options.sample_every,
            priority=options.priority,
            cpu=options.cpu,
            lock_memory=int(options.lock_memory),
        )
        self._memory = _aligned(handle.palaestra_loop_bytes())
        self._loop = ctypes.c_void_p(self._memory.ctypes.data)
        keep = (
            options, members, state, spans, self._buffers, ports, behind_ports, ring, step, self._counts, self._memory,
            sample_spans, self._samples,
        )  # fmt: skip
        handle.palaestra_loop_setup(self._loop, ctypes.byref(setup))
        self._started: list[int] = []
        self._end = weakref.finalize(self, _let_go, handle, self._loop, keep, self._started)
        # `_let_go` may be done before this object goes, and a snapshot can still be asked for.
        self._keep = keep
        # The first snapshot is there before the first tick: what the cohorts are now.
        for array, offset_b in layout:
            for buffer in self._buffers:
                buffer[offset_b : offset_b + array.nbytes].view(array.dtype).reshape(array.shape)[...] = array

    @property
    def finished(self) -> bool:
        return bool(self._started) and bool(self._library.palaestra_loop_finished(self._loop))

    def run(self, ticks: int) -> None:
        self._library.palaestra_loop_run(self._loop, ctypes.c_int64(ticks))

    def start(self) -> None:
        error = self._library.palaestra_loop_start(self._loop)
        if error:
            raise LoopError(f"no thread for the loop: {os.strerror(error)}")
        self._started.append(os.getpid())
        give_up_s = time.monotonic() + START_PATIENCE_S
        while not self._library.palaestra_loop_started(self._loop):
            if time.monotonic() > give_up_s:
                raise LoopError(f"the loop's thread did not begin within {START_PATIENCE_S} s")
            time.sleep(1e-4)

    def stop(self) -> None:
        self._library.palaestra_loop_stop(self._loop)

    def join(self) -> None:
        self._end()

    def end(self) -> None:
        self._library.palaestra_loop_end(self._loop)

    def push(self, message: Message) -> bool:
        head = _MessageHead(
            valid_until_ns=message.valid_until_ns,
            kind=message.kind,
            member=message.member,
            unit=message.unit,
            number=message.number,
        )
        slot = self._message
        at_b = ctypes.sizeof(_MessageHead)
        slot[:at_b] = np.frombuffer(bytes(head), np.uint8)
        if message.kind is Kind.TARGET:
            assert message.values is not None and message.given is not None
            numbers = message.values.reshape(-1).view(np.uint8)
            slot[at_b : at_b + numbers.size] = numbers
            slot[at_b + numbers.size : at_b + numbers.size + message.given.size] = message.given.reshape(-1)
        return not self._library.palaestra_loop_push(self._loop, ctypes.c_void_p(slot.ctypes.data))

    def wish(self, member: int, unit: int, bits: int) -> None:
        self._library.palaestra_loop_wish(self._loop, member, unit, bits)

    def lease(self, member: int, unit: int, deadline_ns: int) -> None:
        self._library.palaestra_loop_lease(self._loop, member, unit, ctypes.c_int64(deadline_ns))

    def newest(self) -> Record:
        buffer = self._buffers[self._library.palaestra_loop_newest(self._loop)]
        arrays = iter(
            buffer[offset_b : offset_b + array.nbytes].view(array.dtype).reshape(array.shape).copy()
            for array, offset_b in self._layout
        )
        counts = next(arrays)
        names = JOINT_ARRAYS + UNIT_ARRAYS + ANSWER_ARRAYS
        cohorts = (len(self._layout) - 1) // len(names)
        members = [{name: next(arrays) for name in names} for _ in range(cohorts)]
        return Record(counts, tuple(members))

    def take_samples(self) -> Samples:
        begin, end = self._samples_taken, self._library.palaestra_loop_sampled(self._loop)
        # A copy: the slots are the loop's again after the drop.
        rows = self._samples[np.arange(begin, end) % max(1, len(self._samples))]
        self._library.palaestra_loop_drop(self._loop, ctypes.c_size_t(end))
        self._samples_taken = end
        arrays = iter(
            np.ascontiguousarray(rows[:, offset_b : offset_b + array.nbytes])
            .view(array.dtype)
            .reshape(end - begin, *array.shape)
            for array, offset_b in self._sample_layout
        )
        counts = next(arrays)
        cohorts = (len(self._sample_layout) - 1) // len(SAMPLE_ARRAYS)
        members = tuple(CohortSamples(*(next(arrays) for _ in SAMPLE_ARRAYS)) for _ in range(cohorts))
        return Samples(counts[:, 0], counts[:, 1] / NS_PER_S, members)

    def final(self) -> LoopReport:
        return Record(self._counts).report()

    def grants(self) -> Mapping[Grant, int]:
        given = {grant: int(self._library.palaestra_loop_grant(self._loop, int(grant))) for grant in Grant}
        return {grant: error for grant, error in given.items() if error >= 0}


def _let_go(library: ctypes.CDLL, loop: ctypes.c_void_p, keep: object, started: list[int]) -> None:
    """Stop and join the thread, if there is one in this process."""
    if started != [os.getpid()]:
        return
    library.palaestra_loop_stop(loop)
    give_up_s = time.monotonic() + END_PATIENCE_S
    while not library.palaestra_loop_finished(loop):
        if time.monotonic() > give_up_s:
            # A plant that never returns. Its thread must not find its memory gone.
            _STUCK.append(keep)
            return
        time.sleep(1e-4)
    library.palaestra_loop_join(loop)


_STUCK: list[object] = []


def _members(options: Options) -> tuple[Any, list[dict[str, npt.NDArray[Any]]]]:
    members = (_Member * len(options.cohorts))()
    state = []
    for member, cohort in zip(members, options.cohorts, strict=True):
        own = _own_arrays(cohort)
        state.append(own)
        block = cohort.block
        member.staged[:] = [getattr(block, f"staged_{name}").ctypes.data for name in FIELDS]
        for name in ("q", "dq", *_MEMBER_BITS):
            setattr(member, name, getattr(block, name).ctypes.data)
        if block.inspection is not None:
            member.still = block.inspection.still.ctypes.data
        for name, array in own.items():
            setattr(member, name, array.ctypes.data)
        if not options.leases:
            member.deadline_ns = None
        member.is_double = int(block.dtype == np.float64)
        member.joints, member.lanes, member.units = block.joints, block.lanes, block.units
    return members, state


def _own_arrays(cohort: Cohort) -> dict[str, npt.NDArray[Any]]:
    joints = cohort.spec.joints
    return {
        "trip_rad_s": np.array([joint.dq_max_rad_s * cohort.spec.overspeed_ratio for joint in joints]),
        "kp": np.array([joint.kp_nm_rad for joint in joints]),
        "kd": np.array([joint.kd_nms_rad for joint in joints]),
        "wish": np.zeros(cohort.units, np.uint32),
        "deadline_ns": np.zeros(cohort.units, np.int64),
        **{name: np.zeros(cohort.units, np.uint32) for name in ANSWER_ARRAYS},
    }


def _spans(arrays: list[npt.NDArray[Any]]) -> tuple[Any, list[tuple[npt.NDArray[Any], int]], int]:
    """Return what a copy consists of, the same as (array, offset) of each, and its size in bytes."""
    spans = (_Span * len(arrays))()
    layout = []
    offset_b = 0
    for span, array in zip(spans, arrays, strict=True):
        rows = array.shape[0] if array.ndim == 2 else 1
        row_b = array.shape[-1] * array.itemsize
        setattr(span, "from", array.ctypes.data)
        span.stride_b, span.row_b, span.rows, span.offset_b = array.strides[0], row_b, rows, offset_b
        layout.append((array, offset_b))
        offset_b += _whole_lines(rows * row_b)
    return spans, layout, offset_b


def _ports(options: Options, library: ctypes.CDLL) -> tuple[Any, list[Any]]:
    """Return the ports as the loop reads them, and what must live as long."""
    ports = (Port * len(options.plants))()
    made = [plant.port(library) for plant in options.plants]
    for index, (port, plant) in enumerate(zip(made, options.plants, strict=True)):
        assert port is not None
        port.member = next(i for i, cohort in enumerate(options.cohorts) if cohort is plant.cohort)
        port.first, port.units = plant.first, plant.units
        ports[index] = port
    return ports, made


def _whole_lines(size_b: int) -> int:
    return -(-size_b // CACHE_LINE_B) * CACHE_LINE_B


def _aligned(size_b: int) -> npt.NDArray[np.uint8]:
    """Return zeroed memory that begins on a cache line, every page of it touched."""
    memory = np.zeros(size_b + CACHE_LINE_B, np.uint8)
    memory[:] = 0
    start_b = -memory.ctypes.data % CACHE_LINE_B
    return memory[start_b : start_b + size_b]
