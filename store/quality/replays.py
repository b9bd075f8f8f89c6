"""What replays in the twin have said, for scoring: the lines of JSON that `python -m runner.replay.measure` prints."""

import json
import math
from pathlib import Path
from typing import Any

from store.errors import StoreError
from store.quality.motion import MotionLimits
from store.quality.twin import TwinMeasure


class BadReplay(StoreError):
    """A line that tells of no replay; the message names it."""


def read_replays(path: Path) -> dict[str, dict[str, Any]]:
    """Return for each file what `check_track` takes of its replay: `twin`, and `motion` with the joints' limits.

    Raises BadReplay with the number of a line that is none.
    """
    found = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            said = json.loads(line)
            found[str(said["file"])] = _taken(said)
        except (ValueError, TypeError, KeyError) as error:
            raise BadReplay(f"{path.name}: line {number}: {type(error).__name__} {error}") from error
    return found


def _taken(said: dict[str, Any]) -> dict[str, Any]:
    taken: dict[str, Any] = {}
    if "lower_rad" in said:
        lower, upper = (tuple(map(float, said[name])) for name in ("lower_rad", "upper_rad"))
        if len(lower) != len(upper) or any(math.isnan(bound) for bound in (*lower, *upper)):
            raise ValueError("lower_rad and upper_rad: a number of each for each joint")
        taken["motion"] = MotionLimits(lower_rad=lower, upper_rad=upper)
    if "refused" not in said:
        same = said.get("same")
        if same is not None and not isinstance(same, bool):
            raise ValueError(f"same: {same!r}")
        taken["twin"] = TwinMeasure(str(said["engine"]), tuple(map(float, said.get("rms_rad", ()))), same)
    return taken
