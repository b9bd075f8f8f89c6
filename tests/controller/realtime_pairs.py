"""The same robots under both forms of the realtime loop, and plants that a test looks through."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from controller import Cohort
from controller.errors import DriverError
from controller.loop import VirtualClock
from controller.plants import JointPlant, Port
from controller.realtime import LoopBackend, RealtimeLoop
from controller.realtime_library import loaded
from tests.controller.robots import PERIOD_S, robot

compiled_only = pytest.mark.skipif(loaded().handle is None, reason=loaded().reason)
both = pytest.mark.parametrize("backend", [pytest.param("compiled", marks=compiled_only), "python"])

_CALL = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)
_REST = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class WatchedPlant(JointPlant):
    """A `JointPlant` that calls back before it is read and before it is written, whichever loop has it.

    A callback that raises DriverError makes the plant fail. `torques` holds what each tick wrote.
    """

    def __init__(self, cohort: Cohort, **options: Any) -> None:
        super().__init__(cohort, **options)
        self.on_read: Callable[[int], None] = lambda tick: None
        self.on_write: Callable[[int], None] = lambda tick: None
        self.torques: dict[int, np.ndarray[Any, Any]] = {}
        self.rests = 0

    def read(self, tick: int, now_ns: int) -> None:
        self.on_read(tick)
        super().read(tick, now_ns)

    def write(self, tick: int, now_ns: int) -> None:
        self.on_write(tick)
        self.torques[tick] = self.cohort.tau.copy()
        super().write(tick, now_ns)

    def rest(self) -> None:
        self.rests += 1
        super().rest()

    def port(self, library: ctypes.CDLL) -> Port:
        """Python called from C: takes the GIL, which only a test may do."""
        inner = super().port(library)
        own = ctypes.c_void_p(inner.self)
        signature = {"restype": ctypes.c_int32, "argtypes": (ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)}
        for name in ("palaestra_joint_read", "palaestra_joint_write"):
            for key, value in signature.items():
                setattr(getattr(library, name), key, value)

        def read(_: int, tick: int, now_ns: int) -> int:
            try:
                self.on_read(tick)
            except DriverError:
                return -1
            return int(library.palaestra_joint_read(own, tick, now_ns))

        def write(_: int, tick: int, now_ns: int) -> int:
            try:
                self.on_write(tick)
            except DriverError:
                return -1
            self.torques[tick] = self.cohort.tau.copy()
            return int(library.palaestra_joint_write(own, tick, now_ns))

        def rest(_: int) -> None:
            self.rests += 1
            library.palaestra_joint_rest(own)

        calls = (_CALL(read), _CALL(write), _REST(rest))
        port = Port(*(ctypes.cast(call, ctypes.c_void_p).value for call in calls), inner.self)
        port.keep = (inner, calls)
        return port


class Rig:
    """One loop in virtual time with a watched plant."""

    def __init__(
        self,
        backend: LoopBackend,
        *,
        joints: int = 3,
        units: int = 1,
        dtype: Any = np.float32,
        physics: Any = None,
        plausibility: Any = None,
        **options: Any,
    ) -> None:
        self.clock = VirtualClock(1.0)
        spec = robot(joints, watchdog_s=20 * PERIOD_S, stop_dwell_s=2 * PERIOD_S, stop_timeout_s=100 * PERIOD_S)
        # The Python loop drives the compiled core here: what is compared is the loop.
        self.cohort = Cohort(spec, units, PERIOD_S, dtype=dtype, physics=physics, plausibility=plausibility)
        self.plant = WatchedPlant(self.cohort, damping_nms_rad=0.1, q_start_rad=0.1)
        self.loop = RealtimeLoop(self.cohort, self.plant, clock=self.clock, backend=backend, **options)

    def drive(self, unit: int = 0, **target: Any) -> None:
        """Arm the unit and have it run."""
        ticket = self.loop.arm(unit)
        self.loop.run(1)
        assert ticket.done()
        self.loop.set_target(unit, **({"q_ref": 1.0} | target))
        self.loop.run(1)
