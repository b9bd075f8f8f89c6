"""The process that writes a projection in another format: `python -m sharing.export.worker`. It sees no recording."""

import json
import sys
from pathlib import Path
from typing import Any

# Named here, so that they are loaded before the walls go up.
from sharing.errors import NotReleasable
from sharing.export.episodes import seal_all
from sharing.export.videos import write_videos
from store.errors import StoreError
from store.exports import mcap_file, parquet
from store.exports.croissant import write_croissant
from store.imports.confine import Limits, confine
from store.lerobot import MAX_FPS, export_job
from store.objects import ObjectStore

FORMATS = ("lerobot", "mcap", "parquet")


def main() -> int:
    """Write one export into `out`. Returns the exit code: 0 also for a refusal, which is an answer."""
    told = json.load(sys.stdin)
    work, out = Path(told["work"]), Path(told["out"])
    try:
        if told["format"] == "mcap":
            import mcap.writer  # noqa: F401
        confine(work, Limits(**told["limits"]), writable=work, rooms=("sharing", "store", "catalogue", "palaestra"))
        objects, digests = seal_all(work / "tables", told, work / "sealed")
        licence = f"urn:palaestra:agreement:{told['agreement']}"
        if told["format"] == "lerobot":
            fps = told["fps"] or min(MAX_FPS, max(1, round(_rate_hz(objects, digests))))
            export_job(objects, digests, out, fps)
            _describe(out, licence, len(digests))
        elif told["format"] == "mcap":
            mcap_file.write_mcap(objects, digests, out, licence=licence)
        else:
            parquet.write_parquet(objects, digests, out, licence=licence)
        if told["format"] != "lerobot":
            # LeRobot's format has its own place for videos; beside the others each is a file.
            write_videos(work / "tables", out)
        answer: dict[str, Any] = {"episodes": len(digests)}
    except (NotReleasable, StoreError) as error:
        answer = {"refused": str(error)[:1000]}
    except MemoryError:
        answer = {"refused": "takes more memory than an export may"}
    print(json.dumps(answer))
    return 0


def _rate_hz(objects: ObjectStore, digests: list[str]) -> float:
    return next(iter(parquet.read_headers(objects, digests).values())).sample_rate_hz


def _describe(out: Path, licence: str, episodes: int) -> None:
    write_croissant(
        out,
        name="palaestra-lerobot",
        description=f"{episodes} episodes in LeRobot's format v3.0",
        licence=licence,
        published="1970-01-01",
        tables=(),
        encoding="application/octet-stream",
    )


if __name__ == "__main__":
    sys.exit(main())
