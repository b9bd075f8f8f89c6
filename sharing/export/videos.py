"""Videos beside an export: of each camera and episode one MP4, frames as they lie in the projection and at their times.

videos/observation.images.front/EPISODE.mp4
"""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq  # type: ignore[import-untyped,unused-ignore]

from sharing.desensitise.h264 import IDR, type_of, units
from sharing.projection.plan import FRAME
from store.camera import IMAGE_PREFIX, pyav
from store.episode import TIME

VIDEOS = "videos"
CLOCK_HZ = 90_000
"""Of times in the files, as H.264's own (ITU-T H.222.0, 2.7.4)."""


def write_videos(tables: Path, out: Path) -> int:
    """Write the videos of a projection's files below `out`; return how many.

    Args:
        tables: The projection's files, `TABLE/EPISODE.parquet`.
    """
    count = 0
    for folder in sorted(tables.glob(f"{IMAGE_PREFIX}*")):
        for file in sorted(folder.iterdir()):
            target = out / VIDEOS / folder.name / f"{file.stem}.mp4"
            target.parent.mkdir(parents=True, exist_ok=True)
            _mux(pq.read_table(file, use_threads=False), target)
            count += 1
    return count


def _mux(table: Any, path: Path) -> None:
    """Put packets into a container, without touching them."""
    av = pyav()
    packets, times_s = table.column(FRAME).to_pylist(), table.column(TIME).to_pylist()
    ticks = [round(CLOCK_HZ * time_s) for time_s in times_s]
    # Read as a stream, so that FFmpeg finds the parameters that a container needs.
    with (
        av.open(io.BytesIO(b"".join(packets)), "r", format="h264") as source,
        # Bit-exact: no name of the software, no date.
        av.open(str(path), "w", format="mp4", options={"movflags": "faststart", "fflags": "+bitexact"}) as target,
    ):
        stream = target.add_stream_from_template(source.streams.video[0])
        stream.time_base = Fraction(1, CLOCK_HZ)
        for number, packet in enumerate(packets):
            made = av.Packet(packet)
            made.stream, made.time_base = stream, stream.time_base
            made.pts = made.dts = ticks[number]
            # The last is shown for as long as the one before it.
            shown = min(number, len(ticks) - 2)
            made.duration = ticks[shown + 1] - ticks[shown] if len(ticks) > 1 else 1
            made.is_keyframe = any(type_of(unit) == IDR for unit in units(packet))
            target.mux(made)
