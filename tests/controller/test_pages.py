"""Memory that nobody writes to is not taken."""

import mmap
import os
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from controller import Cohort, RobotSpec
from controller.pages import blank, repeated
from tests.controller.robots import PERIOD_S, joint

PRESENT, SHARED = np.uint64(1 << 63), np.uint64(1 << 61)


def present(array: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of the pages that an array begins in has the system given: whole pages only."""
    return np.asarray((entries(array) & PRESENT) != 0)


def own(array: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Which of them are the array's alone, and not of a file or shared."""
    return np.asarray((entries(array) & (PRESENT | SHARED)) == PRESENT)


def entries(array: npt.NDArray[np.float64]) -> npt.NDArray[np.uint64]:
    """What the system says of them: `pagemap` of Linux."""
    first = -(-array.ctypes.data // mmap.PAGESIZE)
    count = (array.ctypes.data + array.nbytes) // mmap.PAGESIZE - first
    with Path("/proc/self/pagemap").open("rb") as table:
        table.seek(8 * first)
        return np.frombuffer(table.read(8 * count), np.uint64)


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


@pytest.mark.parametrize("width", [1, 16, 700, 5000])
def test_a_repeated_array_has_each_value_in_its_row_to_the_bit_and_can_be_written(width: int) -> None:
    values = np.array([1.0, -0.0, 0.0, np.nan, 1.0, np.inf])
    rows = repeated(values, width)
    expected = np.repeat(values, width).reshape(len(values), width)

    assert (rows.shape, rows.dtype, rows.flags.c_contiguous) == (expected.shape, np.dtype(np.float64), True)
    assert rows.tobytes() == expected.tobytes()
    expected[4, width // 2] = rows[4, width // 2] = 7.0
    assert rows.tobytes() == expected.tobytes(), "what one row is given no other row of its value shows"
    rows[:] = 2.0
    assert (rows == 2.0).all()


def test_without_files_in_memory_a_repeated_array_is_a_plain_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    rows = repeated(np.array([1.0, 2.0]), 5000)
    assert rows.tobytes() == np.repeat([1.0, 2.0], 5000).tobytes()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_rows_that_stay_as_they_are_share_their_pages_and_a_written_page_is_a_row_s_own() -> None:
    rows = repeated(np.linspace(1.0, 4.0, 32), 2**16)
    assert rows.sum() > 0.0
    before = own(rows)
    assert before.mean() < 0.02, "the ends of rows are their own, at most"

    rows[7, 2**15] = rows[9, 2**15] = 9.0
    assert (own(rows) ^ before).sum() == 2


def test_a_renewed_unit_has_the_default_gains_again_and_no_other_unit_s_change() -> None:
    cohort = Cohort(
        RobotSpec(robot_model="r", joints=tuple(joint(f"j{i}") for i in range(3))), 2000, PERIOD_S, dtype=np.float64
    )
    default = cohort.kp[:, 5].copy()
    cohort.kp[:, 4:7] *= 2.0
    cohort.renew([5], np.zeros((3, 1)), np.zeros((3, 1)))

    assert (cohort.kp[:, 5] == default).all()
    assert (cohort.kp[:, [4, 6]] == 2.0 * default[:, None]).all()
    assert (cohort.block.held_kp[:, 5] == default).all()
