"""Memory that nobody writes to is not taken."""

import mmap
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from controller import Cohort, RobotSpec
from controller.pages import blank
from tests.controller.robots import PERIOD_S, joint


def present(array: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of the pages that an array begins in has the system given: whole pages only."""
    first = -(-array.ctypes.data // mmap.PAGESIZE)
    count = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE - first
    with Path("/proc/self/pagemap").open("rb") as table:
        table.seek(8 * first)
        return np.frombuffer(table.read(8 * count), np.uint64) >> np.uint64(63) != 0


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_of_a_blank_array_only_the_pages_that_were_written_to_take_memory() -> None:
    rows = blank((64, mmap.PAGESIZE // 8), np.float64)
    assert not present(rows).any()
    rows[5] = 1.0

    assert np.flatnonzero(present(rows)).tolist() == [5]
    assert rows.sum() == rows.shape[1]


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").is_dir(), reason="no huge pages that a system gives unasked"
)
def test_no_huge_pages_are_given_for_a_blank_array_whatever_the_system_is_set_to() -> None:
    rows = blank((64, mmap.PAGESIZE // 8), np.float64)

    flags: list[str] = []
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        head = line.split(maxsplit=1)[0]
        if not head.endswith(":"):
            begin, end = (int(bound, 16) for bound in head.split("-"))
            inside = begin <= rows.ctypes.data < end
        elif inside and head == "VmFlags:":
            flags = line.split()[1:]
    assert "nh" in flags


@pytest.mark.parametrize("shape", [(0, 3), (3,), (2000, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_a_blank_array_is_one_of_zeros_that_can_be_written(shape: tuple[int, ...], dtype: type) -> None:
    array = blank(shape, dtype)

    assert (array.shape, array.dtype, array.flags.c_contiguous) == (shape, np.dtype(dtype), True)
    assert not array.any()
    array[...] = 1
    assert array.all()


def test_robots_built_anew_get_no_zeros_written_over_zeros() -> None:
    cohort = Cohort(RobotSpec(robot_model="r", joints=(joint("a"),)), 3, PERIOD_S, dtype=np.float64)
    block = cohort.block
    for rows in (block.fault, block.staged_dq_ref, block.staged_tau_ff, block.held_dq_ref, block.held_tau_ff):
        rows.flags.writeable = False
    cohort.renew([0, 2], np.zeros((1, 2)), np.zeros((1, 2)))

    block.fault.flags.writeable = True
    block.fault[0, 2] = 1
    cohort.renew([2], np.zeros((1, 1)), np.zeros((1, 1)))
    assert not block.fault.any()
