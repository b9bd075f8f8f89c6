"""The health check: its course alone, and on a real unit host with sound and broken robots."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from palaestra.v1 import job_pb2
from palaestra.v1.venue_service_pb2 import FaultKind
from runner.check import AMPLITUDE_RAD, FOLLOW_MIN, CheckCourse
from runner.course import Seen
from runner.errors import AttemptError
from runner.work import carry_out
from sim.catalog import find
from tests.runner.desk import Desk, attempt_at
from tests.runner.floor import A, Floor, floor


def walk(course: CheckCourse, answer: float, *, frozen: int = -1, delay_s: float = 0.04) -> npt.NDArray[np.float64]:
    """Take a course with joints that follow by a share, late; one may not move at all."""
    told: list[npt.NDArray[np.float64]] = []
    last = home = course.target(0.0, Seen(0.0, np.zeros(0), np.zeros(0), None), np.zeros(0))
    late = round(delay_s / 0.02)
    for step in range(1, round(course.duration_s / 0.02)):
        seen = home + answer * (told[-late] - home) if len(told) >= late else home.copy()
        seen[frozen] = home[frozen] if frozen >= 0 else seen[frozen]
        last = course.target(step * 0.02, Seen(0.0, seen, seen * 0.0, None), last)
        told.append(last)
    return course.follows()


def course(joints: int = 5) -> CheckCourse:
    return CheckCourse(np.zeros(joints), np.full(joints, -1.0), np.full(joints, 1.0))


@pytest.mark.parametrize("answer", [0.1, 0.5, 1.0])
def test_each_joints_share_is_found_in_spite_of_a_delay(answer: float) -> None:
    assert np.allclose(walk(course(), answer), answer, rtol=0.1)


def test_a_joint_that_does_not_move_stands_out() -> None:
    follows = walk(course(), 0.8, frozen=3)
    assert follows[3] < FOLLOW_MIN < np.delete(follows, 3).min()


def test_targets_stay_inside_the_limits_and_joints_without_room_are_not_said_to_follow() -> None:
    low, high = np.array([-0.02, -1.0, 0.0]), np.array([0.03, 0.0, 0.0])
    planned = CheckCourse(np.zeros(3), low, high)
    nothing = Seen(0.0, np.zeros(0), np.zeros(0), None)
    targets = np.array([planned.target(t, nothing, np.zeros(3)) for t in np.arange(0.0, planned.duration_s, 0.02)])
    assert (targets >= low - 1e-12).all() and (targets <= high + 1e-12).all()
    assert np.abs(targets[:, 1]).max() == pytest.approx(AMPLITUDE_RAD, rel=0.02)
    assert np.isnan(planned.follows()[2])


def lease(hall: Floor, epoch: int = 1) -> dict[str, Any]:
    return {
        "endpoints": [hall.grant(A, epoch)],
        "lease": {"name": f"lease-{epoch}"},
        "lease_token": f"token-{epoch}",
    }


JOB = job_pb2.Job(check=job_pb2.CheckSpec())


@pytest.fixture
def hall(tmp_path: Path) -> Iterator[Floor]:
    with floor(tmp_path / "state") as made:
        yield made


def test_a_sound_unit_passes_and_its_job_tells_each_joints_share(hall: Floor, tmp_path: Path) -> None:
    desk = Desk()
    result = carry_out(attempt_at(desk, tmp_path, JOB, **lease(hall)))

    assert result.first_torque_unix_ns > 0
    assert desk.episodes == {}, "a check records nothing"
    (line,) = [line for line in desk.log if "share" in line]
    assert all(name in line for name in find("own_arm").joint_names())
    hall.rests(A)


def test_a_unit_with_a_joint_that_does_not_answer_fails_and_the_joint_is_named(hall: Floor, tmp_path: Path) -> None:
    """The wrist's gain is so low that a check swings its torque by a fifth: the host has no reason to stop."""
    hall.inject(A, FaultKind.FAULT_KIND_ENCODER_FROZEN, "wrist_pitch")
    with pytest.raises(AttemptError) as failed:
        carry_out(attempt_at(Desk(), tmp_path, JOB, **lease(hall)))

    assert (failed.value.reason, failed.value.retryable) == ("CHECK_FAILED", False)
    assert "wrist_pitch" in str(failed.value) and "elbow" not in str(failed.value)


def test_a_joint_that_its_host_takes_for_frozen_is_a_fault_and_is_named(hall: Floor, tmp_path: Path) -> None:
    hall.inject(A, FaultKind.FAULT_KIND_ENCODER_FROZEN, "elbow")
    with pytest.raises(AttemptError) as failed:
        carry_out(attempt_at(Desk(), tmp_path, JOB, **lease(hall)))

    assert failed.value.reason == "UNIT_FAULT"
    assert "ENCODER_FROZEN at elbow" in str(failed.value)


def test_a_unit_that_stops_during_its_check_is_a_fault_and_no_failed_check(hall: Floor, tmp_path: Path) -> None:
    hall.inject(A, FaultKind.FAULT_KIND_ENCODER_DROPOUT, "elbow")
    with pytest.raises(AttemptError) as failed:
        carry_out(attempt_at(Desk(), tmp_path, JOB, **lease(hall)))
    assert failed.value.reason == "UNIT_FAULT"
