"""`python -m runner.replay FILE [--verify] [--picture OUT] [--video OUT] [--json]`; for people: `palaestra replay`.

Exit code 0: as recorded, or nothing was to be compared; 1: differs; 2: cannot be compared, and why.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runner.replay.errors import NotComparable
from sim.errors import SimError
from store import Episode, read_episode
from store.errors import StoreError


def main(arguments: Sequence[str] | None = None) -> int:
    """Return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runner.replay", description="Run a recorded episode again.")
    parser.add_argument("file", type=Path, help="sealed episode, a Parquet file")
    parser.add_argument("--verify", action="store_true", help="compare states bit for bit; of a unit: the residual")
    parser.add_argument("--picture", type=Path, metavar="OUT.png", help="draw some moments of it")
    parser.add_argument("--video", type=Path, metavar="OUT.mp4", help="draw all of it (.mp4, .gif, .webp, .png)")
    parser.add_argument("--camera", metavar="NAME", help="show what this camera recorded, instead of drawing it anew")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args(arguments)
    root = os.environ.get("MENAGERIE_ROOT")
    menagerie_root = Path(root) if root else None
    try:
        episode = read_episode(given.file)
        found: dict[str, Any] = {"episode": episode.header.name, "rows": len(episode.time_s)}
        code = _compare(episode, menagerie_root, found) if given.verify else 0
        if given.camera and not (given.picture or given.video):
            raise NotComparable("--camera says what --picture or --video shows: one of them goes with it")
        if given.camera:
            from runner.replay import frames

            found["drawn"] = f"camera {given.camera}: " + frames.recorded(
                given.file, given.camera, picture=given.picture, video=given.video
            )
            found |= {name: str(out) for name, out in (("picture", given.picture), ("video", given.video)) if out}
        elif given.picture or given.video:
            from runner.replay import frames

            if given.picture:
                found["picture"], found["drawn"] = (
                    str(given.picture),
                    frames.picture(episode, given.picture, menagerie_root=menagerie_root),
                )
            if given.video:
                found["video"], found["drawn"] = (
                    str(given.video),
                    frames.video(episode, given.video, menagerie_root=menagerie_root),
                )
    except (NotComparable, StoreError, SimError, OSError, ImportError) as error:
        if given.json:
            print(json.dumps({"file": str(given.file), "error": str(error)}))
        print(f"error: {error}", file=sys.stderr)
        return 2
    if given.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name}: {value}")
    return code


def _compare(episode: Episode, menagerie_root: Path | None, found: dict[str, Any]) -> int:
    if episode.header.world is not None:
        from runner.replay.world import verify

        verdict = verify(episode, menagerie_root=menagerie_root)
        found["verdict"] = "the same to the last bit" if verdict.same else "differs"
        if not verdict.same:
            found["first_difference"] = verdict.first_difference
        found["residual_rad"] = verdict.residual_rad
        return 0 if verdict.same else 1
    from runner.replay.twin import residual

    left = residual(episode, menagerie_root=menagerie_root)
    worst = int(left.max_rad.argmax())
    found["verdict"] = "a unit: compared with its twin"
    found["residual_rms_rad"] = left.overall_rad
    found["residual_max_rad"] = float(left.max_rad[worst])
    found["worst_joint"] = left.joint_names[worst]
    found["base_rms_m"] = left.base_rms_m
    found["twin_has_its_drives"] = left.same_drives
    found["joints"] = {name: float(rms) for name, rms in zip(left.joint_names, left.rms_rad, strict=True)}
    return 0


if __name__ == "__main__":
    sys.exit(main())
