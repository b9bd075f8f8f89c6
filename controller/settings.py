"""Settings of a unit host process. Read once, where the process starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """Settings of one unit host.

    Attributes:
        host: Name of the process within its venue: lower-case letters, digits and hyphens.
        scheduler: Address of the scheduler, "127.0.0.1:port".
        token: The host role's token.
        state_folder: Where the highest epochs are kept; must outlive the process.
        listen: Address to serve drives on; port 0 takes a free one.
        period_s: Control period.
        spin_s: Last part of each period that the loop spins instead of sleeping; costs a core that much.
        dtype: Element type of the control core.
        backend: None takes the compiled kernel where there is one.
        watchdog_s: Replaces the watchdog of every robot model; None keeps them.
        ddq_max_rad_s2: Targets are approached with at most this acceleration, and the model's speed limits, in the
            shortest time; the speeds of targets are not used then. None gives them to the law as they come.
        beat_s: Longest time between two beats.
        silence_s: The stream is opened anew after this long without a word from the scheduler.
        reconnect_min_s, reconnect_max_s: First and longest pause before a new attempt.
        open_patience_s: A drive stream must open its unit within this time.
    """

    host: str
    scheduler: str
    token: str
    state_folder: Path
    listen: str = "127.0.0.1:0"
    period_s: float = 0.002
    spin_s: float = 0.0
    dtype: Literal["float32", "float64"] = "float32"
    backend: Literal["compiled", "numpy"] | None = None
    watchdog_s: float | None = None
    ddq_max_rad_s2: float | None = None
    beat_s: float = 0.5
    silence_s: float = 5.0
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 2.0
    open_patience_s: float = 5.0
