"""The process that measures recordings: `python -m sharing.credits.worker`, confined before it opens any.

It is told on standard input which recordings, and answers with one line of JSON. A recording that cannot be read is
told as such, and the others are measured.
"""

import base64
import json
import sys
from pathlib import Path
from typing import Any

from sharing.credits.sketch import sketch_of
from sharing.projection.sources import source_of
from store.episode import ACTION, JOINT_SIGNALS, STATE
from store.errors import StoreError
from store.imports.confine import Limits, confine
from store.quality import check_track, track_of
from store.reader import read_episode


def main() -> int:
    """Measure. Returns the exit code."""
    told = json.load(sys.stdin)
    sources = [Path(source["path"]) for source in told["episodes"]]
    rooms = ("sharing", "store", "catalogue", "palaestra")
    confine(Path(told["work"]), Limits(**told["limits"]), more=sources, rooms=rooms)
    print(json.dumps({"episodes": [measured(source, told["max_values"]) for source in told["episodes"]]}))
    return 0


def measured(source: dict[str, str], max_values: int) -> dict[str, Any]:
    """Return what the weight of a recording depends on, or `unreadable`."""
    try:
        columns = frozenset(JOINT_SIGNALS)
        episode = read_episode(source_of(source), sha256=source["sha256"], max_values=max_values, columns=columns)
        header, track = episode.header, track_of(episode)
        name = next((name for name in (STATE, ACTION) if name in track.signals), "")
        if not name or not len(track.time_s):
            return {"unreadable": "no joints"}
        sketch = sketch_of(track.time_s, track.signals[name])
        return {
            "duration_ms": int((track.time_s[-1] - track.time_s[0]) * 1000),
            "quality_ppm": int(check_track(track).score * 1e6),
            "joints": sketch.path.shape[1],
            "model": header.robot_model,
            "scenario": header.scenario or "",
            "imported": header.source is not None,
            "path": base64.b64encode(sketch.path.tobytes()).decode(),
            "residual": base64.b64encode(sketch.residual.tobytes()).decode(),
            "recorded": base64.b64encode(sketch.recorded.tobytes()).decode(),
        }
    except (StoreError, OSError, ValueError, MemoryError) as error:
        return {"unreadable": type(error).__name__}


if __name__ == "__main__":
    sys.exit(main())
