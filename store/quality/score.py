"""A score of an episode, 0 to 1, whose parts are named: one for each step.

A part starts at 1. Each finding costs it the base of its kind in `COSTS` and the share of the episode's time that it
spans; a part does not fall below 0. The score is the weighted geometric mean of the parts, so one part of 0 makes it 0:
a fast arm does not make up for a broken clock. Bases and weights are this project's choice, public and in one place.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from store.quality.alignment import AlignmentLimits, check_alignment
from store.quality.cameras import CameraLimits, check_cameras
from store.quality.finding import Finding, StepRecord, Track, run_step
from store.quality.motion import (
    MotionLimits,
    check_activity,
    check_plausibility,
    check_response,
    check_smoothness,
)
from store.quality.sensors import SensorLimits, check_sensors
from store.quality.timing import TimingLimits, check_timing
from store.quality.twin import TwinMeasure, check_twin

WEIGHTS = {
    "timing": 2.0,
    "alignment": 1.0,
    "sensors": 2.0,
    "cameras": 1.0,
    "plausibility": 2.0,
    "activity": 0.5,
    "smoothness": 1.0,
    "response": 1.0,
    "twin": 2.0,
}
"""Of each part. `cameras` is there only where frames were looked at, `twin` where a replay in the twin was possible."""
COSTS = {
    "backwards": 0.3,
    "gap": 0.05,
    "jitter": 0.2,
    "rate": 0.3,
    "not_finite": 0.3,
    "frozen": 0.2,
    "jump": 0.1,
    "frozen_frames": 0.3,
    "lost_frames": 0.1,
    "blank_frames": 0.3,
    "limit": 0.1,
    "speed": 0.1,
    "mismatch": 0.3,
    "idle": 0.0,
    "jerk": 0.3,
    "lag": 0.4,
    "misaligned": 0.3,
    "residual": 0.3,
    "replay": 0.5,
}
_WHOLE = frozenset({"jitter", "rate", "mismatch", "jerk", "lag", "misaligned", "residual", "replay"})
"""Kinds that are said of the whole episode: their span is no further cost."""
METHOD = "palaestra-quality/3"
"""What the catalogue names as the method of the score; its number rises when a score would change."""


@dataclass(frozen=True)
class Quality:
    """What the checks say of an episode.

    Attributes:
        score: 0 to 1.
        parts: 0 to 1 each, under the names of `WEIGHTS`.
        steps: What was done, with hashes, parameters and findings.
    """

    score: float
    parts: Mapping[str, float]
    steps: tuple[StepRecord, ...] = field(repr=False)

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, step by step."""
        return tuple(finding for step in self.steps for finding in step.findings)


def check_track(
    track: Track,
    *,
    timing: TimingLimits | None = None,
    sensors: SensorLimits | None = None,
    motion: MotionLimits | None = None,
    alignment: AlignmentLimits | None = None,
    cameras: CameraLimits | None = None,
    twin: TwinMeasure | None = None,
) -> Quality:
    """Run every step over a track and score it. Pure: the same track and limits give the same answer.

    twin: What a replay in the twin has found, where there was one.
    """
    motion = motion or MotionLimits()
    steps: tuple[StepRecord, ...] = (
        run_step("timing", check_timing, track, timing or TimingLimits()),
        run_step("alignment", check_alignment, track, alignment or AlignmentLimits()),
        run_step("sensors", check_sensors, track, sensors or SensorLimits()),
        run_step("plausibility", check_plausibility, track, motion),
        run_step("activity", check_activity, track, motion),
        run_step("smoothness", check_smoothness, track, motion),
        run_step("response", check_response, track, motion),
    )
    if track.cameras:
        steps += (run_step("cameras", check_cameras, track, cameras or CameraLimits()),)
    if twin is not None:
        steps += (run_step("twin", check_twin, track, twin),)
    parts = {step.step: part_of(step.findings, track.duration_s) for step in steps}
    return Quality(combine(parts), parts, steps)


def part_of(findings: Sequence[Finding], duration_s: float) -> float:
    """Return 1 less the costs of the findings, at least 0."""
    cost = 0.0
    for found in findings:
        cost += COSTS[found.kind]
        if found.kind not in _WHOLE:
            cost += min(1.0, (found.end_s - found.start_s) / duration_s)
    return max(0.0, 1.0 - cost)


def combine(parts: Mapping[str, float]) -> float:
    """Return the geometric mean of the parts, weighted by `WEIGHTS`."""
    if min(parts.values()) <= 0:
        return 0.0
    total = sum(WEIGHTS[name] for name in parts)
    return math.exp(sum(WEIGHTS[name] * math.log(part) for name, part in parts.items()) / total)
