"""Jerk-limited targets, where Ruckig is installed."""

import sys

import numpy as np
import pytest

from controller import CommandError, JerkLimiter

T = 0.002


def test_without_ruckig_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ruckig", None)
    with pytest.raises(CommandError, match="extra 'jerk'"):
        JerkLimiter([1.0], [1.0], [1.0], T)


def test_speed_acceleration_and_jerk_stay_within_limits_and_targets_are_met() -> None:
    pytest.importorskip("ruckig")
    v, a, j = np.array([2.0, 1.0]), np.array([10.0, 20.0]), np.array([300.0, 900.0])
    made = JerkLimiter(v, a, j, T)
    made.start([0.5, -0.5])
    path = []
    for tick in range(1500):
        target = [1.5, 0.0] if tick < 100 else [-1.0, 0.7]
        path.append(np.stack(made.step(target)))
    q, dq = np.array(path).transpose(1, 0, 2)
    ddq = np.diff(dq, axis=0) / T

    assert (np.abs(dq) <= v * (1 + 1e-9)).all()
    assert (np.abs(ddq) <= a * (1 + 1e-6)).all()
    assert (np.abs(np.diff(ddq, axis=0)) / T <= j * (1 + 1e-6)).all()
    assert np.abs(dq).max(axis=0) == pytest.approx(v, rel=1e-3)
    assert q[-1] == pytest.approx([-1.0, 0.7], abs=1e-9)


def test_joints_do_not_wait_for_each_other() -> None:
    pytest.importorskip("ruckig")
    alone, together = JerkLimiter([1.0], [5.0], [50.0], T), JerkLimiter([1.0] * 2, [5.0] * 2, [50.0] * 2, T)
    for _ in range(200):
        q_alone, _ = alone.step([0.2])
        q_together, _ = together.step([0.2, 50.0])

    assert q_together[0] == pytest.approx(q_alone[0], abs=1e-12)


def test_what_is_no_limit_and_no_target_is_refused_by_name() -> None:
    pytest.importorskip("ruckig")
    with pytest.raises(CommandError, match="dddq_max_rad_s3"):
        JerkLimiter([1.0], [1.0], [0.0], T)
    with pytest.raises(CommandError, match="ddq_max_rad_s2"):
        JerkLimiter([1.0], [1.0, 2.0], [1.0], T)
    made = JerkLimiter([1.0], [1.0], [1.0], T)
    with pytest.raises(CommandError, match="target_rad"):
        made.step([np.nan])
    assert made.step([1.0])[0] > 0.0
