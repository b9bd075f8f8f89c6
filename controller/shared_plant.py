"""A plant that is arrays in memory: whoever measures and applies torques is another thread or another process."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from controller.cohort import Cohort
from controller.errors import CommandError
from controller.loop import NS_PER_S
from controller.plants import STALE, TORN, Lanes, PlantError, Port, Reals, addresses, lanes_of, port_of, units_of
from controller.realtime_library import loaded


class _SharedPlant(ctypes.Structure):
    _fields_ = (
        ("to", Lanes),
        *((name, ctypes.c_void_p) for name in ("measured", "commanded", "scratch")),
        ("stale_ns", ctypes.c_int64),
    )


class SharedPlant:
    """Arrays in memory between the loop and whoever measures: another thread, or another process.

    The other side calls `measure` with what it has read from its robots and takes torques with `torque`. Both
    are a few memory copies, and neither side waits for the other, were it stopped in the middle of one. What is
    not refreshed for `stale_s` reads as not measured, which stops the units. So does what claims to come from as far
    in the future: it was measured on another clock, and would never grow old.
    """

    def __init__(
        self,
        cohort: Cohort,
        *,
        first: int = 0,
        units: int | None = None,
        memory: Any = None,
        stale_s: float | None = None,
        simulated: bool = False,
    ) -> None:
        """Bind units `first` to `first + units` of the cohort.

        Args:
            cohort: Whose units they are.
            first: The first of them.
            units: How many; default is all from the first on.
            memory: A writable buffer of `memory_b` bytes, zeroed, such as `SharedMemory(...).buf`; default
                is memory of this process.
            stale_s: Longest time without a new measurement, > 0, at most 1e9; default is the model's watchdog.
            simulated: The other side is a simulation and takes the torque at the joints, without the friction
                that the cohort's actuator physics computes.

        Raises:
            CommandError: no such units, a buffer of another size, or `stale_s` is out of its bounds.
        """
        self.cohort, self.first = cohort, first
        self.units = units_of(cohort, first, units)
        stale_s = cohort.spec.watchdog_s if stale_s is None else stale_s
        if not 0.0 < stale_s <= 1e9:
            raise CommandError(f"stale_s = {stale_s!r}: must be above 0 and at most 1e9")
        self._stale_ns = round(stale_s * NS_PER_S)
        size = len(cohort.spec.joints) * self.units
        whole = self.memory_b(cohort, self.units) // 8
        words = np.zeros(whole, np.uint64) if memory is None else np.frombuffer(memory, np.uint64)
        if words.size != whole:
            raise CommandError(f"memory of {words.nbytes} bytes: must be {self.memory_b(cohort, self.units)}")
        if not words.flags.writeable:
            raise CommandError("memory: must be writable")
        self._size = size
        self._tau = cohort.tau_joint if simulated else cohort.tau
        measured = _side_words(2 * size)
        self._measured, self._commanded = words[:measured], words[measured:]
        self._scratch = np.zeros(2 * size, np.uint64)
        self._library = loaded().handle

    @staticmethod
    def memory_b(cohort: Cohort, units: int) -> int:
        """Return the size of the memory that `units` units of the cohort take."""
        size = len(cohort.spec.joints) * units
        return 8 * (_side_words(2 * size) + _side_words(size))

    def measure(self, q_rad: Any, dq_rad_s: Any, now_ns: int) -> None:
        """The other side: leave positions and speeds, shape (J, units), measured at `now_ns` on the loop's clock.

        Raises:
            CommandError: an array of another shape.
        """
        shape = (len(self.cohort.spec.joints), self.units)
        values = np.empty((2, *shape))
        for row, given in zip(values, (q_rad, dq_rad_s), strict=True):
            if np.shape(given) != shape:
                raise CommandError(f"measurements of shape {np.shape(given)}: must be {shape}")
            row[:] = given
        _put(self._library, self._measured, values.reshape(-1).view(np.uint64), now_ns)

    def torque(self) -> tuple[int, Reals]:
        """The other side: return the tick of the newest torques, -1 at rest, and them [N m], shape (J, units).

        Raises:
            PlantError: the loop has written none yet.
        """
        words = np.empty(self._size, np.uint64)
        tick = _get(self._library, self._commanded, words)
        return tick, words.view(np.float64).reshape(-1, self.units)

    def read(self, tick: int, now_ns: int) -> None:
        """Take the newest measurements. Raises PlantError where there are none, or old ones."""
        measured_ns = _get(self._library, self._measured, self._scratch)
        if abs(now_ns - measured_ns) > self._stale_ns:
            raise PlantError(STALE)
        q, dq = self._scratch.view(np.float64).reshape(2, -1, self.units)
        self.cohort.q[:, self.first : self.first + self.units] = q
        self.cohort.dq[:, self.first : self.first + self.units] = dq

    def write(self, tick: int, now_ns: int) -> None:
        """Leave the torques."""
        tau = self._tau[:, self.first : self.first + self.units].astype(np.float64)
        _put(self._library, self._commanded, tau.reshape(-1).view(np.uint64), tick)

    def rest(self) -> None:
        """Leave zeros, of tick -1."""
        _put(self._library, self._commanded, np.zeros(self._size, np.uint64), -1)

    def port(self, library: ctypes.CDLL) -> Port:
        """Return the compiled form."""
        own = _SharedPlant(
            lanes_of(self, self._tau), *addresses(self._measured, self._commanded, self._scratch), self._stale_ns
        )
        return port_of(library, "shared", own, self)


def _put(library: ctypes.CDLL | None, side: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64], stamp: int) -> None:
    if library is not None:
        library.palaestra_shared_put(
            ctypes.c_void_p(side.ctypes.data), ctypes.c_void_p(words.ctypes.data), ctypes.c_size_t(words.size),
            ctypes.c_int64(stamp),
        )  # fmt: skip
        return
    # Without the library this relies on stores staying in order between processes, as x86 keeps them.
    following = int(side[0]) + 1
    slot = _slot(side, following)
    slot[:1].view(np.int64)[0] = stamp
    slot[1:] = words
    side[0] = np.uint64(following)


def _side_words(count: int) -> int:
    """Return the size of one side of a `SharedPlant`: a sequence number, and two slots of a stamp and `count` words."""
    return 1 + 2 * (1 + count)


def _slot(side: npt.NDArray[np.uint64], sequence: int) -> npt.NDArray[np.uint64]:
    slots: npt.NDArray[np.uint64] = side[1:].reshape(2, -1)
    slot: npt.NDArray[np.uint64] = slots[sequence % 2]
    return slot


def _get(library: ctypes.CDLL | None, side: npt.NDArray[np.uint64], words: npt.NDArray[np.uint64]) -> int:
    if library is not None:
        stamp = ctypes.c_int64()
        wrong = library.palaestra_shared_get(
            ctypes.c_void_p(side.ctypes.data), ctypes.c_void_p(words.ctypes.data), ctypes.c_size_t(words.size),
            ctypes.byref(stamp),
        )  # fmt: skip
        if wrong:
            raise PlantError(wrong)
        return stamp.value
    for _ in range(64):
        newest = int(side[0])
        slot = _slot(side, newest)
        stamp_ns = int(slot[:1].view(np.int64)[0])
        words[:] = slot[1:]
        if int(side[0]) == newest:
            if newest == 0:
                raise PlantError(STALE)
            return stamp_ns
    raise PlantError(TORN)
