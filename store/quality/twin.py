"""Plausibility by physics: what a replay in the twin has found, as a part of the score.

The replay itself is `python -m runner.replay.measure`: this room simulates nothing. Kinds: `residual` (a unit's joint
that moved otherwise than its twin under the same targets), `replay` (a world that runs otherwise than recorded).
"""

from dataclasses import dataclass

from store.episode import STATE
from store.quality.finding import Finding, Track


@dataclass(frozen=True)
class TwinMeasure:
    """What the replay came to, and from when on it counts.

    Attributes:
        engine: What replayed it, with its version.
        rms_rad: Of a unit, the residual of each joint (root mean square [rad]); empty for a world.
        same: Of a world, whether every state was the same to the last bit; None for a unit.
        most_rad: Most residual of a joint. An emulated arm with 1 mrad of encoder noise leaves 1.5 mrad; one whose
            motors give 60 % of their torque leaves 20 mrad (`python -m bench store-quality`).
    """

    engine: str
    rms_rad: tuple[float, ...] = ()
    same: bool | None = None
    most_rad: float = 0.015


def check_twin(track: Track, measure: TwinMeasure) -> list[Finding]:
    """Return where a unit or a world did other than its twin, over the whole episode."""
    start_s, end_s = float(track.time_s.min()), float(track.time_s.max())
    found = []
    if measure.same is False:
        found.append(Finding("replay", STATE, None, start_s, end_s, 1.0, "runs otherwise than it was recorded"))
    for column, rms_rad in enumerate(measure.rms_rad):
        if not rms_rad <= measure.most_rad:
            text = f"{rms_rad:.3g} rad from its twin (root mean square)"
            found.append(Finding("residual", STATE, column, start_s, end_s, rms_rad, text))
    return found
