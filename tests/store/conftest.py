"""Builders of small episodes: a test says only what it cares about."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store import (
    ACTION,
    BASE_POSE,
    EFFORT,
    STATE,
    VELOCITY,
    EpisodeHeader,
    EpisodeRecorder,
    LocalObjects,
    Outcome,
    SealedEpisode,
    Status,
    joint_frames,
    joint_units,
)

Signals = dict[str, np.ndarray]


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker of the tests that need a LeRobot installation."""
    config.addinivalue_line("markers", "lerobot: reads our export with the real LeRobot, where it is installed")


def build_header(joints: int = 3, *, base_pose: bool = False, **changes: Any) -> EpisodeHeader:
    """Return a valid header of a small simulated arm."""
    values: dict[str, Any] = {
        "name": "vendors/acme/episodes/e-1",
        "vendor": "vendors/acme",
        "job": "vendors/acme/jobs/j-1",
        "attempt": 1,
        "robot_model": "own_arm",
        "maker": "Palaestra",
        "joint_names": tuple(f"joint_{i}" for i in range(joints)),
        "task": "reach the red box",
        "seed": 7,
        "control_rate_hz": 500.0,
        "sample_rate_hz": 100.0,
        "clock_source": "simulation",
        "engine": "mujoco",
        "engine_version": "4.0.0",
        "architecture": "x86_64",
        "model_sha256": "0123456789abcdef" * 4,
        "controller_version": "0.1.0",
        "controller_backend": "numpy",
        "started_at_ns": 1_750_000_000_000_000_000,
        "world": "slots/s-1/worlds/0",
        "units": joint_units(base_pose=base_pose),
        "frames": joint_frames(base_pose=base_pose),
        "calibration": "model",
    }
    return EpisodeHeader(**{**values, **changes})


def build_rows(
    header: EpisodeHeader, rows: int, *, seed: int = 0, rate_hz: float = 100.0
) -> tuple[np.ndarray, Signals]:
    """Return even times and random smooth-ish signals that fit the header."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(rows) / rate_hz
    signals: Signals = {
        signal: rng.standard_normal((rows, len(header.joint_names))).astype(np.float32)
        for signal in (STATE, VELOCITY, EFFORT, ACTION)
    }
    if BASE_POSE in header.signals:
        pose = rng.standard_normal((rows, 7))
        pose[:, 3:] /= np.linalg.norm(pose[:, 3:], axis=1, keepdims=True)
        signals[BASE_POSE] = pose.astype(np.float32)
    return time_s, signals


@dataclass
class House:
    """A store in a temporary folder."""

    root: Path
    objects: LocalObjects
    spool: Path

    def recorder(self, header: EpisodeHeader | None = None, **options: Any) -> EpisodeRecorder:
        """Return a recorder of this store."""
        return EpisodeRecorder(header or build_header(), self.spool, self.objects, **options)

    def seal(
        self,
        header: EpisodeHeader | None = None,
        rows: int = 100,
        *,
        seed: int = 0,
        rate_hz: float = 100.0,
        outcome: Outcome | None = None,
    ) -> SealedEpisode:
        """Record and seal one random episode."""
        header = header or build_header()
        recorder = self.recorder(header)
        recorder.extend(*build_rows(header, rows, seed=seed, rate_hz=rate_hz))
        return recorder.seal(outcome or Outcome(Status.SUCCESS, episode_return=1.5))

    def leftovers(self) -> list[Path]:
        """Return everything that lies in the working folders."""
        folders = [folder for folder in (self.spool, self.objects.incoming) if folder.is_dir()]
        return [path for folder in folders for path in folder.iterdir()]


@pytest.fixture
def house(tmp_path: Path) -> House:
    """An empty store."""
    return House(tmp_path, LocalObjects(tmp_path / "objects"), tmp_path / "spool")


@pytest.fixture
def make_header() -> Callable[..., EpisodeHeader]:
    """The builder of headers."""
    return build_header


@pytest.fixture
def make_rows() -> Callable[..., tuple[np.ndarray, Signals]]:
    """The builder of rows."""
    return build_rows
